//! [`Store`]: everything that a guest can reach, and its execution context.
//!
//! Memories, tables, globals, functions and instances are made in a store and live as long as it does, except those of late modules ([`crate::late`]); they are named
//! by numbers ([`MemoryId`] …), functions by address ([`FuncHandle`]). Numbers and handles of one store mean nothing in
//! another, and the embedding API keeps them apart.
//!
//! * `entities` has the operations on memories, tables and globals, `funcs` those on functions, `limits` fuel and
//!   epochs, and `call` what runs the guest.
//! * What the next store can use goes to the pool with the store's end: `shell` has the parts that any store can use, [`crate::pool`] says what else.
//! * A guest under way reaches the store again through its execution context, by raw pointer ([`Store::of_exec`]):
//!   while a host function runs, the `&mut Store` that started the call is not used by anyone.

mod call;
mod entities;
mod funcs;
mod import;
mod limits;
mod shell;

pub use import::{HostImport, Import};
pub(crate) use shell::Shell;

use crate::arena::Arena;
use crate::error::{Error, Failure};
use crate::exec::Exec;
pub use crate::func_ref::FuncHandle;
use crate::instance::Instance;
use crate::interrupt::InterruptHandle;
use crate::late::{Late, LateId};
use crate::memory::Memory;
use crate::pool::Pool;
use crate::slots::Key;
use crate::table::Table;
use crate::trap::backtrace::{Backtrace, Start};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmo_abi::types::GlobalType;
use wasmo_abi::vm::{VmContext, VmExecContext, VmFuncRef, VmGlobal, VmHostFunc};

/// A memory of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryId(pub(crate) Key);

/// A table of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableId(pub(crate) Key);

/// A global of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalId(pub(crate) Key);

/// An instance of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InstanceId(pub(crate) u32);

impl InstanceId {
    /// The number of instances that were made in the store before this one.
    pub fn position(self) -> usize {
        self.0 as usize
    }
}

/// Anything that can be imported and exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extern {
    /// A function.
    Func(FuncHandle),
    /// A table.
    Table(TableId),
    /// A memory.
    Memory(MemoryId),
    /// A global.
    Global(GlobalId),
}

/// What a store is made with.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The size of the guest's stack in bytes; rounded up to pages and to at least 64 KiB. It is committed as it is
    /// used.
    pub stack_size: usize,
    /// The engine's epoch counter.
    pub epoch: Arc<AtomicU64>,
    /// Where the parts of the store come from, and go to when it is dropped.
    pub pool: Arc<Pool>,
}

/// What the embedder wants to be asked. The hooks run on the host's stack, some while the guest waits; they must not
/// call into the store.
///
/// A hook that panics while the guest waits ends the guest with [`Failure::Panic`].
pub trait StoreHooks {
    /// Whether a memory may grow from `current` to `desired` bytes; `current` is 0 when it is being made. `max` is the
    /// most that its type allows, if it says.
    fn memory_growing(&mut self, current: u64, desired: u64, max: Option<u64>) -> bool;
    /// Whether a table may grow from `current` to `desired` elements; likewise.
    fn table_growing(&mut self, current: u64, desired: u64, max: Option<u64>) -> bool;
    /// A memory could not grow, or was not allowed to. An error ends the guest; otherwise its `memory.grow` answers -1.
    ///
    /// # Errors
    /// Why the guest is to end.
    fn memory_grow_failed(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    /// A table could not grow, or was not allowed to; likewise.
    ///
    /// # Errors
    /// Why the guest is to end.
    fn table_grow_failed(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    /// The epoch deadline has passed. Answers how many ticks beyond the current epoch the next one is, or why the guest
    /// is to end.
    fn new_epoch(&mut self) -> Result<u64, Failure>;
    /// The fuel is used up. Answers how much to add, more than 0, or why the guest is to end.
    fn out_of_fuel(&mut self) -> Result<u64, Failure>;
}

/// A memory or a table that a store knows.
#[derive(Debug)]
pub(crate) struct Known<T> {
    pub(crate) place: NonNull<T>,
    /// The late module that has defined it.
    pub(crate) owner: Option<LateId>,
}

/// A global: where its content lies, in an instance's context or in the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Global {
    pub(crate) place: NonNull<VmGlobal>,
    pub(crate) ty: GlobalType,
    pub(crate) owner: Option<LateId>,
}

/// Everything that a guest can reach; see the module's documentation.
pub struct Store {
    pub(crate) exec: NonNull<Exec>,
    /// Taken out only by drop.
    pub(crate) shell: ManuallyDrop<Shell>,
    hooks: Option<NonNull<dyn StoreHooks>>,
    /// Why the host function under way failed, and the frames if they are known already.
    failure: Option<(Failure, Option<Backtrace>)>,
    pub(crate) pool: Arc<Pool>,
    /// Keeps the counter that the execution context points to.
    epoch: Arc<AtomicU64>,
    host_memories: Arena<Memory>,
    host_tables: Arena<Table>,
    host_globals: Arena<VmGlobal>,
    pub(crate) host_funcs: Arena<VmHostFunc>,
    pub(crate) func_refs: Arena<VmFuncRef>,
    /// Instances that may go before the store does.
    pub(crate) late: Late,
}

// SAFETY: all pointers of a store lead to what it owns, except those that the embedder gave it, which stand under the
// embedder's own promise of Send. A guest that is under way borrows the store, so the store cannot go to another thread
// then.
unsafe impl Send for Store {}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("instances", &self.shell.instances.len())
            .field("memories", &self.shell.memories.len())
            .field("tables", &self.shell.tables.len())
            .field("globals", &self.shell.globals.len())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store. It must stay in its box: a guest finds it by its address.
    ///
    /// # Errors
    /// When the guest's stack cannot be mapped.
    pub fn new(options: &StoreOptions) -> Result<Box<Self>, Error> {
        let pool = &options.pool;
        let suitable = pool.shell()?.filter(|shell| shell.suits(options.stack_size));
        // One that does not suit, of which there are none while all stores want the same, makes room for one that does.
        let shell = suitable.map_or_else(|| Shell::new(options.stack_size), Ok).inspect_err(|_| pool.lose_shell())?;
        let mut store = Box::new(Self {
            exec: shell.exec,
            shell: ManuallyDrop::new(shell),
            hooks: None,
            failure: None,
            pool: Arc::clone(pool),
            epoch: Arc::clone(&options.epoch),
            host_memories: Arena::default(),
            host_tables: Arena::default(),
            host_globals: Arena::default(),
            host_funcs: Arena::default(),
            func_refs: Arena::default(),
            late: Late::default(),
        });
        let address: *mut Self = &raw mut *store;
        store.shell.enter(address, &options.epoch);
        Ok(store)
    }

    pub(crate) fn exec_ref(&self) -> &Exec {
        // SAFETY: the context lives as long as the store. What others write to it meanwhile is in cells or is read
        // through raw pointers.
        unsafe { self.exec.as_ref() }
    }

    /// The execution context; it keeps its address.
    pub fn exec(&self) -> *mut VmExecContext {
        self.exec.as_ptr().cast()
    }

    /// The store that an execution context belongs to: of [`VmHostFunc::exec`], say.
    ///
    /// # Safety
    /// The context is that of a store that lives.
    pub unsafe fn of_exec(exec: *mut VmExecContext) -> *mut Self {
        // SAFETY: as the caller promises; stores make contexts as the first part of an `Exec`.
        unsafe { (*exec.cast::<Exec>()).store.get() }
    }

    /// The instance that a context belongs to: of [`VmHostFunc::caller`], say.
    ///
    /// # Safety
    /// The context is that of an instance whose store lives.
    pub unsafe fn instance_of(context: *mut VmContext) -> InstanceId {
        // SAFETY: as the caller promises; instantiation stored the address of the instance's record.
        unsafe { (*(*context).instance.cast::<Instance>()).id }
    }

    /// Sets whom to ask; with `None`, growth is allowed, and the guest ends where epoch or fuel would have been asked
    /// for.
    ///
    /// The pointer must stay valid until it is replaced or the store is dropped, and nobody may hold a reference to
    /// what it points to while the store is being worked with.
    pub fn set_hooks(&mut self, hooks: Option<*mut dyn StoreHooks>) {
        self.hooks = hooks.and_then(NonNull::new);
    }

    /// Sets a pointer that the store keeps for the embedder and does not look at.
    pub fn set_data(&mut self, data: *mut u8) {
        self.exec_ref().data.set(data);
    }

    /// The pointer of [`Store::set_data`]; null at first.
    pub fn data(&self) -> *mut u8 {
        self.exec_ref().data.get()
    }

    /// The pointer of [`Store::set_data`] of the store that an execution context belongs to.
    ///
    /// # Safety
    /// The context is that of a store that lives.
    #[inline]
    pub unsafe fn data_of_exec(exec: *mut VmExecContext) -> *mut u8 {
        // SAFETY: as the caller promises; stores make contexts as the first part of an `Exec`.
        unsafe { (*exec.cast::<Exec>()).data.get() }
    }

    /// Whether a call into the guest is under way.
    pub fn running(&self) -> bool {
        self.exec_ref().entry_frame() != 0
    }

    /// Asks the hooks, if there are any.
    pub(crate) fn ask<T>(&mut self, question: impl FnOnce(&mut dyn StoreHooks) -> T) -> Option<T> {
        let mut hooks = self.hooks?;
        // SAFETY: `set_hooks` demands that the pointer is valid and that nobody else has a reference.
        Some(question(unsafe { hooks.as_mut() }))
    }

    /// An instance of the store.
    ///
    /// # Panics
    /// When the number is another store's, or of a late module that is gone.
    pub fn instance(&self, instance: InstanceId) -> &Instance {
        // SAFETY: instances are not written once they are made, and are removed only while nobody borrows the store.
        unsafe { self.instance_place(instance).as_ref() }
    }

    pub(crate) fn instance_place(&self, instance: InstanceId) -> NonNull<Instance> {
        self.late.instance(instance).unwrap_or_else(|| self.shell.instances.get(instance.0))
    }

    /// The number of instances made so far.
    pub fn instance_count(&self) -> usize {
        self.shell.instances.len()
    }

    /// A handle by which other threads may stop the guest.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle(Arc::clone(&self.shell.shared))
    }

    /// Whether the guest will be stopped when the host function under way returns: the time to give up a long wait.
    pub fn interrupted(&self) -> bool {
        self.exec_ref().vm.interrupt.load(Ordering::Relaxed) != 0
    }

    /// The guest's functions that wait for the host function under way; none when no guest runs.
    pub fn backtrace(&self) -> Backtrace {
        // SAFETY: the host is running, so nobody writes to the guest's stack.
        unsafe { Backtrace::take(self.exec_ref(), Start::Waiting) }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: this is done once, and nobody looks at the field afterwards.
        let mut shell = unsafe { ManuallyDrop::take(&mut self.shell) };
        // SAFETY: the context lives as long as the shell; no guest runs.
        let exec = unsafe { self.exec.as_ref() };
        let (entered, tables_written) = (exec.entered(), exec.vm.tables_written != 0);
        if entered {
            for memory in shell.memories.iter() {
                // SAFETY: memories live until their owners go, below.
                unsafe { memory.place.as_ref() }.touch();
            }
        }
        shell.instances.drain().for_each(|instance| instance.recycle(tables_written));
        self.late.clear();
        match shell.reset(self.pool.zeroes_stacks()) {
            Some(shell) => self.pool.keep_shell(shell),
            None => self.pool.lose_shell(),
        }
        // What this store might have come back to, and waited for nobody else.
        crate::tier::reclaim();
    }
}
