//! [`StoreOpaque`]: the part of a store that does not know the type of its data, and calls into the guest.

use super::timer::Alarm;
use crate::error::{call_failed, runtime};
use crate::func::HostFunc;
use crate::linker::Resolved;
use crate::{Engine, Error, FuncType, Module, Result};
use anyhow::bail;
use std::any::Any;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmo_abi::code::Thunks;
use wasmo_abi::index::{EntityIndex, TypeIndex};
use wasmo_abi::vm::{EnterThunk, RawValue};
use wasmo_runtime::{Arguments, CallError, FuncHandle, InstanceId, Results, StoreOptions};

/// Tells stores apart: unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(u64);

impl StoreId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// How many of each the store has.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) instances: usize,
    pub(crate) tables: usize,
    pub(crate) memories: usize,
}

impl Counts {
    pub(super) fn check(&self, what: &str, existing: usize, wanted: usize, limit: usize) -> Result<()> {
        let total = existing.saturating_add(wanted);
        if wanted > 0 && total > limit {
            bail!("resource limit exceeded: {what} count too high at {total} (the limit is {limit})");
        }
        Ok(())
    }
}

/// The part of a store that does not know the type of its data.
pub struct StoreOpaque {
    id: StoreId,
    engine: Engine,
    /// Owned; a pointer because the runtime's store is also reached from within calls.
    runtime: NonNull<wasmo_runtime::Store>,
    /// The modules of the instances, by the instance's number.
    instances: Vec<Option<Module>>,
    pub(crate) counts: Counts,
    /// What was linked into its instances later.
    pub(crate) late: crate::late_link::Registry,
    /// Values of the host's that guests may hold references to; reference n + 1 is to the one at n.
    pub(crate) externs: Vec<Box<dyn Any + Send + Sync>>,
    /// The host functions that have been made functions of this store, by their address.
    host_funcs: HashMap<*const HostFunc, (FuncHandle, Arc<HostFunc>)>,
    /// What host functions were imported from otherwise.
    resolved: Vec<Arc<Resolved>>,
    /// How long a call may take.
    pub(crate) timeout: Option<Duration>,
    /// Room for the values of calls with a dynamic type, kept to save allocations.
    pub(crate) val_storage: Vec<crate::Val>,
    /// The type of the last function that was called with a dynamic type, and its number: looking a type up takes a lock that all threads share.
    last_type: Option<(u32, FuncType)>,
}

impl StoreOpaque {
    pub(super) fn new(engine: &Engine) -> Result<Self> {
        let options = StoreOptions {
            stack_size: engine.config().max_wasm_stack,
            epoch: Arc::clone(engine.epoch()),
            pool: Arc::clone(engine.pool()),
        };
        let mut store = runtime(wasmo_runtime::Store::new(&options))?;
        if engine.config().tunables.epoch_interruption {
            store.set_epoch_deadline(0);
        }
        Ok(Self {
            id: StoreId::next(),
            engine: engine.clone(),
            runtime: NonNull::from(Box::leak(store)),
            instances: Vec::new(),
            counts: Counts::default(),
            late: crate::late_link::Registry::default(),
            externs: Vec::new(),
            host_funcs: HashMap::new(),
            resolved: Vec::new(),
            timeout: None,
            val_storage: Vec::new(),
            last_type: None,
        })
    }

    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn runtime_ptr(&self) -> *mut wasmo_runtime::Store {
        self.runtime.as_ptr()
    }

    pub(crate) fn runtime(&self) -> &wasmo_runtime::Store {
        // SAFETY: the runtime's store is ours and lives as long as we do; a call into the guest borrows us mutably.
        unsafe { self.runtime.as_ref() }
    }

    pub(crate) fn runtime_mut(&mut self) -> &mut wasmo_runtime::Store {
        // SAFETY: as in `runtime`, and we are borrowed mutably.
        unsafe { self.runtime.as_mut() }
    }

    /// Makes sure that a handle of store `id` is ours.
    ///
    /// # Panics
    /// When it is not: that is a bug of the embedder's that no caller could handle.
    #[inline]
    pub(crate) fn assert_owns(&self, id: StoreId) {
        if id != self.id {
            wrong_store();
        }
    }

    pub(crate) fn add_instance(&mut self, id: InstanceId, module: Module) {
        let position = id.position();
        if self.instances.len() <= position {
            self.instances.resize(position + 1, None);
        }
        self.instances[position] = Some(module);
    }

    pub(crate) fn instance_module(&self, id: InstanceId) -> Option<&Module> {
        self.late.module(id).or_else(|| self.instances.get(id.position())?.as_ref())
    }

    /// Keeps host functions that an instance imports for as long as the store lives.
    pub(crate) fn keep(&mut self, resolved: &Arc<Resolved>) {
        if !self.resolved.last().is_some_and(|last| Arc::ptr_eq(last, resolved)) {
            self.resolved.push(Arc::clone(resolved));
        }
    }

    /// The type of a function of this store.
    pub(crate) fn type_of(&self, func: FuncHandle) -> FuncType {
        match self.runtime().func_type_id(func) {
            Some(id) => FuncType::from_abi(self.engine.types().get(id)),
            // Nothing can be said of a function that was removed, and nothing done with it.
            None => FuncType::from_lists([], []),
        }
    }

    /// The type of a function of this store; cheap when it is the one that was last given back to [`StoreOpaque::return_type`].
    pub(crate) fn borrow_type(&mut self, func: FuncHandle) -> FuncType {
        let wanted = self.runtime().func_type_id(func);
        match self.last_type.take() {
            Some((id, ty)) if Some(id) == wanted => ty,
            _ => self.type_of(func),
        }
    }

    /// Keeps what [`StoreOpaque::borrow_type`] has answered for `func`.
    pub(crate) fn return_type(&mut self, func: FuncHandle, ty: FuncType) {
        self.last_type = self.runtime().func_type_id(func).map(|id| (id, ty));
    }

    /// The function of this store that stands for `host`.
    pub(crate) fn host_func(&mut self, host: &Arc<HostFunc>) -> FuncHandle {
        if let Some((handle, _)) = self.host_funcs.get(&Arc::as_ptr(host)) {
            return *handle;
        }
        let type_id = self.engine.types().register(host.ty().as_abi());
        let handle = self.runtime_mut().new_host_import(type_id, host.to_import());
        self.host_funcs.insert(Arc::as_ptr(host), (handle, Arc::clone(host)));
        handle
    }

    /// Makes sure that the guest can call `func` when it gets it as a value, and answers that value.
    ///
    /// Functions of modules can be called as they are, and so can host functions that a module imports, for the runtime gives the import the module's own
    /// thunk. A host function that the host hands out itself gets its code here, the first time.
    pub(crate) fn func_to_raw(&mut self, func: FuncHandle) -> Result<u64> {
        if self.runtime().lacks_exit_thunk(func)
            && let Some(type_id) = self.runtime().func_type_id(func)
        {
            let thunks = self.thunks(type_id)?;
            self.runtime_mut().set_exit_thunk(func, thunks.exit);
        }
        Ok(self.runtime().func_to_raw(func))
    }

    /// The thunks of a type, from any module in the store or else from the engine; both outlive the store's functions.
    fn thunks(&self, type_id: u32) -> Result<Thunks> {
        for module in self.instances.iter().flatten() {
            let runtime = module.runtime();
            for (position, _) in runtime.type_ids.iter().enumerate().filter(|(_, id)| **id == type_id) {
                if let Some(thunks) = runtime.code.thunks(TypeIndex::from_position(position)) {
                    return Ok(thunks);
                }
            }
        }
        self.engine.thunks(type_id)
    }

    /// Lends the store to the runtime: until the next use of what `current` was derived from, hooks and host functions find their store through the
    /// runtime's [`data`](wasmo_runtime::Store::data), with the rights that `current` has.
    ///
    /// That pointer has held the store's address since the store was made, so that nothing needs to be written: what is done here, as far as Rust is
    /// concerned, is to write `current` there.
    ///
    /// `current` points to the `StoreInner` that this is a part of, with the right to change all of it.
    #[inline]
    pub(crate) fn lend(current: *mut u8) {
        // SAFETY: nothing is executed.
        unsafe { std::arch::asm!("/* {0} */", in(reg) current, options(nostack, preserves_flags)) };
    }

    /// Calls `func` with the arguments in `values`, which become its results.
    ///
    /// # Errors
    /// When the guest traps, or a host function fails.
    ///
    /// # Panics
    /// When a host function has panicked: the panic goes on.
    ///
    /// # Safety
    /// `current` points to the `StoreInner` that `this` is a part of, with the right to change all of it, as `this` has. `func` is a function of the
    /// store, `enter` the thunk of its type, and `values` has room for its parameters and for its results, and holds arguments of the right types.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "each layer would take as long as a host function's call")]
    pub(crate) unsafe fn call(
        this: *mut Self,
        current: *mut u8,
        func: FuncHandle,
        enter: Option<EnterThunk>,
        values: *mut RawValue,
    ) -> Result<()> {
        Self::lend(current);
        // SAFETY: by the caller's promise; likewise below.
        let (store, timeout) = unsafe { ((*this).runtime.as_ptr(), (*this).timeout) };
        // What the closure below captures would otherwise have to lie in memory.
        let Some(timeout) = timeout else {
            // SAFETY: as above.
            return unsafe { wasmo_runtime::Store::call(store, func, enter, values) }
                // SAFETY: as above; the call is over.
                .map_err(|error| unsafe { Self::failed(this, error) });
        };
        // SAFETY: as above.
        let work = move || unsafe { wasmo_runtime::Store::call(store, func, enter, values) };
        // SAFETY: as above.
        unsafe { Self::call_in_time(this, timeout, work) }
    }

    /// As [`StoreOpaque::call`], with all arguments and results in registers; answers what `finish` makes of the results.
    ///
    /// # Errors
    /// As [`StoreOpaque::call`].
    ///
    /// # Panics
    /// As [`StoreOpaque::call`].
    ///
    /// # Safety
    /// As [`StoreOpaque::call`], and as [`wasmo_runtime::Store::call_direct`] for `func` and `arguments`.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "arguments and results must stay in registers")]
    pub(crate) unsafe fn call_direct<R>(
        this: *mut Self,
        current: *mut u8,
        func: FuncHandle,
        arguments: Arguments,
        finish: impl Fn(&Results) -> R,
    ) -> Result<R> {
        Self::lend(current);
        // SAFETY: by the caller's promise; likewise below.
        let (store, timeout) = unsafe { ((*this).runtime.as_ptr(), (*this).timeout) };
        let Some(timeout) = timeout else {
            // SAFETY: as above.
            return unsafe { wasmo_runtime::Store::call_direct(store, func, arguments, finish) }
                // SAFETY: as above; the call is over.
                .map_err(|error| unsafe { Self::failed(this, error) });
        };
        // SAFETY: as above.
        let work = || unsafe { wasmo_runtime::Store::call_direct(store, func, arguments, finish) };
        // SAFETY: as above.
        unsafe { Self::call_in_time(this, timeout, work) }
    }

    /// The error of a call that is over, or the panic of a host function.
    ///
    /// # Safety
    /// `this` is a store that nothing else uses.
    #[cold]
    #[inline(never)]
    #[allow(clippy::boxed_local, reason = "the usual way passes pointers only")]
    unsafe fn failed(this: *mut Self, error: Box<CallError>) -> Error {
        // SAFETY: by the caller's promise: what the call was lent is ours again.
        call_failed(unsafe { &*this }, *error)
    }

    /// A call for which there is a time limit; calls within it are a part of it.
    ///
    /// # Safety
    /// As [`StoreOpaque::call`] with what `work` calls, the store having been lent.
    #[cold]
    #[inline(never)]
    unsafe fn call_in_time<R>(
        this: *mut Self,
        timeout: Duration,
        work: impl FnOnce() -> std::result::Result<R, Box<CallError>>,
    ) -> Result<R> {
        // SAFETY: by the caller's promise; likewise below.
        let alarm = unsafe { (*this).alarm(timeout) }?;
        let result = work();
        if let Some(alarm) = alarm {
            alarm.disarm();
        }
        // SAFETY: as above.
        result.map_err(|error| unsafe { Self::failed(this, error) })
    }

    /// What ends the call that is about to begin when its time is up; calls within it are a part of it.
    fn alarm(&self, timeout: Duration) -> Result<Option<Alarm>> {
        let runtime = self.runtime();
        if runtime.running() { Ok(None) } else { Alarm::set(timeout, runtime.interrupt_handle()) }
    }

    /// The thunk to enter `func` through, or `None` when it is a host function, which is called without.
    pub(crate) fn enter_thunk(&self, func: FuncHandle) -> Result<Option<EnterThunk>> {
        let runtime = self.runtime();
        if let Some(thunk) = runtime.enter_thunk(func) {
            return Ok(Some(thunk));
        }
        if runtime.host_data(func).is_some() {
            return Ok(None);
        }
        let Some(type_id) = runtime.func_type_id(func) else {
            bail!("the function is of a late module that was removed");
        };
        // A function that no other module can reach, as a start function.
        Ok(Some(self.thunks(type_id)?.enter))
    }
}

impl Drop for StoreOpaque {
    fn drop(&mut self) {
        // SAFETY: the box was leaked by `new` and is taken back once. It goes before the host functions that it points to, which are fields of ours.
        drop(unsafe { Box::from_raw(self.runtime.as_ptr()) });
    }
}

#[cold]
fn wrong_store() -> ! {
    panic!("object used with the wrong store")
}
