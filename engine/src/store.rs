//! [`Store`]: a guest's world, with the embedder's data in it.
//!
//! A [`Store<T>`] owns a heap-allocated [`StoreInner<T>`]: the embedder's data and hooks, and the part that knows no `T` ([`StoreOpaque`], in
//! [`opaque`]), which owns the runtime's store. Everything made in a store lives as long as it does; handles ([`crate::Func`],
//! [`crate::Memory`] and so on) are copies of a store's number and an index or address, and mean nothing without the store.
//!
//! While the guest runs, the embedder's borrow of the store is lent on to host functions: [`StoreOpaque::lend`] leaves a pointer derived
//! from that borrow with the runtime, and whatever the guest calls takes it from there. So a host function's borrow ends before the guest
//! goes on, and the caller's begins again when the guest is done. [`hooks`] does the same for limits and deadlines, [`context`] has the
//! types that embedders see of all this.

mod context;
mod deadline;
mod hooks;
mod opaque;
mod timer;

pub use context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
pub use deadline::{InterruptHandle, UpdateDeadline};
pub(crate) use opaque::StoreId;
pub use opaque::StoreOpaque;

use crate::error::error_of;
use crate::{Engine, Error, ResourceLimiter, Result};
use hooks::Hooks;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use wasmo_runtime::StoreHooks;

type Limiter<T> = Box<dyn (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync>;

/// What a [`Store`] holds.
pub struct StoreInner<T: 'static> {
    pub(crate) opaque: StoreOpaque,
    limiter: Option<Limiter<T>>,
    /// Between an attempt to grow and the report of its failure.
    refusal: Option<hooks::Refusal>,
    epoch: deadline::EpochAction<T>,
    hooks: NonNull<Hooks<T>>,
    data: ManuallyDrop<T>,
}

/// A guest's world: instances, memories, tables, globals and functions, and a value of the embedder's that host functions reach.
///
/// Nothing in a store is freed before the store; make one for each guest whose traces are to vanish. A store is used by one thread at a time,
/// but may move between threads.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Caller, Engine, Func, Instance, Module, Store};
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (import "" "" (func $count)) (start $count))"#)?;
/// let mut store = Store::new(&engine, 0_u32);
/// let count = Func::wrap(&mut store, |mut caller: Caller<'_, u32>| *caller.data_mut() += 1);
/// Instance::new(&mut store, &module, &[count.into()])?;
/// assert_eq!(store.into_data(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Store<T: 'static> {
    inner: NonNull<StoreInner<T>>,
}

// SAFETY: the store owns what its pointers lead to: the runtime's store (which is `Send`), hooks and callbacks that are `Send`, values of the host's
// that are `Send`, and the data.
unsafe impl<T: Send> Send for Store<T> {}

impl<T: 'static> Store<T> {
    /// A store with `data` in it.
    ///
    /// # Panics
    /// When the system has no room for the guest's stack, or the engine's pool no store; [`Store::try_new`] answers an error then.
    pub fn new(engine: &Engine, data: T) -> Self {
        match Self::try_new(engine, data) {
            Ok(store) => store,
            Err(error) => panic!("cannot make a store: {error:#}"),
        }
    }

    /// As [`Store::new`].
    ///
    /// # Errors
    /// When the system has no room for the guest's stack; a [`crate::PoolConcurrencyLimitError`] when as many stores exist as the engine's pool may have.
    pub fn try_new(engine: &Engine, data: T) -> Result<Self> {
        let mut opaque = StoreOpaque::new(engine)?;
        let hooks = NonNull::from(Box::leak(Box::new(Hooks::new(opaque.runtime_ptr()))));
        opaque.runtime_mut().set_hooks(Some(hooks.as_ptr() as *mut dyn StoreHooks));
        let inner = StoreInner {
            opaque,
            limiter: None,
            refusal: None,
            epoch: deadline::EpochAction::Trap,
            hooks,
            data: ManuallyDrop::new(data),
        };
        let inner = NonNull::from(Box::leak(Box::new(inner)));
        // SAFETY: nobody else knows the store yet.
        unsafe { (*inner.as_ptr()).opaque.runtime_mut() }.set_data(inner.as_ptr().cast());
        Ok(Self { inner })
    }

    fn inner(&self) -> &StoreInner<T> {
        // SAFETY: `inner` was leaked from a box by `try_new`, is freed only when the store is dropped, and `self` is borrowed.
        unsafe { self.inner.as_ref() }
    }

    fn inner_mut(&mut self) -> &mut StoreInner<T> {
        // SAFETY: as in `inner`, and `self` is borrowed mutably.
        unsafe { self.inner.as_mut() }
    }

    /// The data.
    pub fn data(&self) -> &T {
        &self.inner().data
    }

    /// The data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.inner_mut().data
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.inner().opaque.engine()
    }

    /// Ends the store and hands back the data.
    pub fn into_data(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so the box is taken back once; nothing else points to it outside of calls, and none is under way, for it
        // would have borrowed the store.
        let mut inner = unsafe { Box::from_raw(this.inner.as_ptr()) };
        // SAFETY: the data is taken once, and the drop of `StoreInner` does not touch it.
        unsafe { ManuallyDrop::take(&mut inner.data) }
    }

    /// Sets who decides on the growth of memories and tables, and on the numbers of instances, tables and memories. Without, the numbers are
    /// bounded by [`crate::DEFAULT_LIMIT`], sizes only by what the types and the system allow.
    pub fn limiter(&mut self, limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static) {
        self.inner_mut().limiter = Some(Box::new(limiter));
    }
}

impl<T: 'static> StoreInner<T> {
    pub(crate) fn data(&self) -> &T {
        &self.data
    }

    pub(crate) fn data_mut(&mut self) -> &mut T {
        &mut self.data
    }

    /// Takes the error or panic by which the limiter has refused the last attempt to grow. A panic goes on here.
    pub(crate) fn take_refusal(&mut self) -> Option<Error> {
        match self.refusal.take()? {
            hooks::Refusal::Plain => None,
            hooks::Refusal::Failure(failure) => Some(error_of(failure)),
        }
    }

    /// Makes sure that `instances`, `tables` and `memories` more may be created.
    pub(crate) fn check_counts(&mut self, instances: usize, tables: usize, memories: usize) -> Result<()> {
        let default = crate::DEFAULT_LIMIT;
        let (max_instances, max_tables, max_memories) = match &mut self.limiter {
            Some(limiter) => {
                let limiter = limiter(&mut self.data);
                (limiter.instances(), limiter.tables(), limiter.memories())
            }
            None => (default, default, default),
        };
        self.opaque.counts.check("instances", self.opaque.counts.instances, instances, max_instances)?;
        self.opaque.counts.check("tables", self.opaque.counts.tables, tables, max_tables)?;
        self.opaque.counts.check("memories", self.opaque.counts.memories, memories, max_memories)
    }
}

impl<T: 'static> Drop for StoreInner<T> {
    fn drop(&mut self) {
        self.opaque.runtime_mut().set_hooks(None);
        // SAFETY: `hooks` was leaked from a box by `Store::try_new` and the runtime, the only other one that knew it, has just forgotten it.
        drop(unsafe { Box::from_raw(self.hooks.as_ptr()) });
    }
}

impl<T: 'static> Drop for Store<T> {
    fn drop(&mut self) {
        // SAFETY: the box is taken back once, since `into_data` forgets the store; no call is under way, for it would have borrowed the store.
        let mut inner = unsafe { Box::from_raw(self.inner.as_ptr()) };
        // SAFETY: the data is dropped once, and the drop of `StoreInner` does not touch it.
        unsafe { ManuallyDrop::drop(&mut inner.data) };
    }
}

impl<T: fmt::Debug + 'static> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("data", self.data()).finish_non_exhaustive()
    }
}

impl<T: Default + 'static> Default for Store<T> {
    /// A store of a new engine with default configuration.
    fn default() -> Self {
        Self::new(&Engine::default(), T::default())
    }
}
