//! [`StoreOpaque`]: the part of a store that does not know the type of its data, and calls into the guest.

use super::timer::Alarm;
use crate::error::{call_failed, runtime};
use crate::func::HostFunc;
use crate::linker::Resolved;
use crate::{Engine, Module, Result};
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
use wasmo_runtime::{FuncHandle, InstanceId, StoreOptions};

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

    /// The function of this store that stands for `host`.
    pub(crate) fn host_func(&mut self, host: &Arc<HostFunc>) -> FuncHandle {
        if let Some((handle, _)) = self.host_funcs.get(&Arc::as_ptr(host)) {
            return *handle;
        }
        let type_id = self.engine.types().register(host.ty().as_abi());
        let handle = self.runtime_mut().new_host_func(type_id, host.callback(), host.data(), 0);
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

    /// Leaves `current` with the runtime for the time of `work`, so that hooks and host functions find their store.
    ///
    /// # Safety
    /// `current` points to the `StoreInner` that `this` is a part of, with the right to change all of it.
    #[inline]
    pub(crate) unsafe fn enter<R>(this: *mut Self, current: *mut u8, work: impl FnOnce(*mut Self) -> R) -> R {
        /// Puts back what was there, also when `work` panics.
        struct Restore {
            runtime: *mut wasmo_runtime::Store,
            outer: *mut u8,
        }
        impl Drop for Restore {
            fn drop(&mut self) {
                // SAFETY: the runtime's store outlives the call of `enter`.
                unsafe { (*self.runtime).set_data(self.outer) };
            }
        }
        // SAFETY: by the caller's promise, `this` may be read.
        let runtime = unsafe { (*this).runtime.as_ptr() };
        // SAFETY: the runtime's store lives as long as `*this`.
        let outer = unsafe { (*runtime).data() };
        // SAFETY: as above.
        unsafe { (*runtime).set_data(current) };
        let _restore = Restore { runtime, outer };
        work(this)
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
    /// As for [`StoreOpaque::enter`]; `func` is a function of the store, `enter` the thunk of its type, and `values` has room for its parameters
    /// and for its results, and holds arguments of the right types.
    #[inline]
    pub(crate) unsafe fn call(
        this: *mut Self,
        current: *mut u8,
        func: FuncHandle,
        enter: Option<EnterThunk>,
        values: *mut RawValue,
    ) -> Result<()> {
        // SAFETY: by the caller's promise.
        let result = unsafe {
            if (*this).timeout.is_some() {
                Self::call_in_time(this, current, func, enter, values)?
            } else {
                Self::enter(this, current, |this| {
                    wasmo_runtime::Store::call((*this).runtime.as_ptr(), func, enter, values)
                })
            }
        };
        match result {
            Ok(()) => Ok(()),
            // SAFETY: the call is over, so what it was lent is ours again.
            Err(error) => Err(call_failed(unsafe { &*this }, error)),
        }
    }

    /// # Safety
    /// As for [`StoreOpaque::call`].
    #[cold]
    unsafe fn call_in_time(
        this: *mut Self,
        current: *mut u8,
        func: FuncHandle,
        enter: Option<EnterThunk>,
        values: *mut RawValue,
    ) -> Result<std::result::Result<(), wasmo_runtime::CallError>> {
        // SAFETY: by the caller's promise.
        let store = unsafe { &mut *this };
        let outermost = store.runtime().data().is_null();
        let alarm = match store.timeout {
            Some(timeout) if outermost => Alarm::set(timeout, store.runtime().interrupt_handle())?,
            _ => None,
        };
        // SAFETY: by the caller's promise.
        let result = unsafe {
            Self::enter(this, current, |this| wasmo_runtime::Store::call((*this).runtime.as_ptr(), func, enter, values))
        };
        if let Some(alarm) = alarm {
            alarm.disarm();
        }
        Ok(result)
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
