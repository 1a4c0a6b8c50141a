//! [`Hooks`]: where the runtime asks the embedder about limits, epochs and fuel.
//!
//! The runtime keeps a pointer to it for the store's life. It finds the store by the pointer that [`StoreOpaque::lend`] has left with the
//! runtime, so it may only be called after one. A panic of the embedder's never leaves it: there are guest frames and assembly below.
//!
//! [`StoreOpaque::lend`]: super::StoreOpaque::lend

use super::StoreInner;
use super::deadline::{EpochAction, UpdateDeadline};
use crate::{ResourceLimiter, Result, StoreContextMut};
use anyhow::anyhow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmo_abi::trap::TrapCode;
use wasmo_runtime::{Failure, StoreHooks};

/// The limiter's answer to the last attempt to grow, when it was not yes.
pub(super) enum Refusal {
    /// No.
    Plain,
    /// An error, or a panic.
    Failure(Failure),
}

pub(super) struct Hooks<T: 'static> {
    runtime: *mut wasmo_runtime::Store,
    data: std::marker::PhantomData<fn() -> T>,
}

impl<T: 'static> Hooks<T> {
    pub(super) fn new(runtime: *mut wasmo_runtime::Store) -> Self {
        Self { runtime, data: std::marker::PhantomData }
    }

    /// Lets `work` have the store, and turns its error or panic into a failure.
    fn with<R>(&self, work: impl FnOnce(&mut StoreInner<T>) -> Result<R>) -> std::result::Result<R, Failure> {
        // SAFETY: the runtime's store lives as long as the hooks, and calls them after `StoreOpaque::lend`, which has left a
        // pointer to our store there; whoever lent it does not use it until the runtime returns.
        let store = unsafe { &mut *(*self.runtime).data().cast::<StoreInner<T>>() };
        match catch_unwind(AssertUnwindSafe(|| work(store))) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::Host(Box::new(error))),
            Err(payload) => Err(Failure::Panic(payload)),
        }
    }
}

impl<T: 'static> Hooks<T> {
    /// Lets the limiter decide, and keeps its answer for [`Hooks::failed`].
    fn decide(&self, question: impl FnOnce(&mut dyn ResourceLimiter) -> Result<bool>) -> bool {
        let decision = self.with(|store| match &mut store.limiter {
            Some(limiter) => question(limiter(&mut store.data)),
            None => Ok(true),
        });
        let (allowed, refusal) = match decision {
            Ok(true) => (true, None),
            Ok(false) => (false, Some(Refusal::Plain)),
            Err(failure) => (false, Some(Refusal::Failure(failure))),
        };
        // SAFETY: as in `with`.
        unsafe { (*(*self.runtime).data().cast::<StoreInner<T>>()).refusal = refusal };
        allowed
    }

    /// After an attempt to grow: why the guest is to end.
    fn failed(&self, report: impl FnOnce(&mut dyn ResourceLimiter) -> Result<()>) -> std::result::Result<(), Failure> {
        let mut refusal = None;
        self.with(|store| {
            refusal = store.refusal.take();
            match &mut store.limiter {
                Some(limiter) if refusal.is_none() => report(limiter(&mut store.data)),
                _ => Ok(()),
            }
        })?;
        match refusal {
            Some(Refusal::Failure(failure)) => Err(failure),
            _ => Ok(()),
        }
    }
}

/// The runtime counts in 64 bits, the embedding API in `usize`, which has as many.
fn size(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

impl<T: 'static> StoreHooks for Hooks<T> {
    fn memory_growing(&mut self, current: u64, desired: u64, max: Option<u64>) -> bool {
        self.decide(|limiter| limiter.memory_growing(size(current), size(desired), max.map(size)))
    }

    fn table_growing(&mut self, current: u64, desired: u64, max: Option<u64>) -> bool {
        self.decide(|limiter| limiter.table_growing(size(current), size(desired), max.map(size)))
    }

    fn memory_grow_failed(&mut self) -> std::result::Result<(), Failure> {
        self.failed(|limiter| limiter.memory_grow_failed(anyhow!("the memory's type or the system does not allow it")))
    }

    fn table_grow_failed(&mut self) -> std::result::Result<(), Failure> {
        self.failed(|limiter| limiter.table_grow_failed(anyhow!("the table's type or the system does not allow it")))
    }

    fn new_epoch(&mut self) -> std::result::Result<u64, Failure> {
        let update = self.with(|store| {
            // The callback is taken out of the store that it gets, and put back unless it has set another.
            match std::mem::replace(&mut store.epoch, EpochAction::Trap) {
                EpochAction::Trap => Ok(UpdateDeadline::Interrupt),
                EpochAction::Callback(mut callback) => {
                    let update = callback(StoreContextMut(store));
                    if matches!(store.epoch, EpochAction::Trap) {
                        store.epoch = EpochAction::Callback(callback);
                    }
                    update
                }
            }
        })?;
        match update {
            UpdateDeadline::Continue(ticks) => Ok(ticks),
            UpdateDeadline::Interrupt => Err(Failure::Trap(TrapCode::Interrupt)),
        }
    }

    fn out_of_fuel(&mut self) -> std::result::Result<u64, Failure> {
        Err(Failure::Trap(TrapCode::OutOfFuel))
    }
}
