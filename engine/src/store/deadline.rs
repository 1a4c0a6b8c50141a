//! How guests are stopped, or made to pause: interrupt handles, time limits, epochs, fuel.

use super::{Store, StoreContextMut, timer};
use crate::{AsContext, AsContextMut, Caller, Result};
use anyhow::bail;
use std::fmt;
use std::time::Duration;

/// What is to happen when a guest has reached its epoch deadline.
pub(super) enum EpochAction<T: 'static> {
    Trap,
    Callback(EpochCallback<T>),
}

type EpochCallback<T> = Box<dyn FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync>;

/// What a guest does after [`Store::epoch_deadline_callback`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateDeadline {
    /// It traps with [`crate::Trap::Interrupt`].
    Interrupt,
    /// It goes on, until the epoch is this many ticks beyond the current one.
    Continue(u64),
}

/// Stops the guest of a store from any thread, however it is compiled; see [`Store::interrupt_handle`].
#[derive(Clone)]
pub struct InterruptHandle {
    pub(super) inner: wasmo_runtime::InterruptHandle,
}

impl InterruptHandle {
    /// Makes the call into the guest that is under way end with [`crate::Trap::Interrupt`]: at once when the guest is running, and as soon as the host
    /// returns to it when it has called a host function. Answers whether a call was under way; if none was, nothing happens.
    ///
    /// A host function that waits in a system call sees `EINTR`, or `ErrorKind::Interrupted`, again and again until it returns, so that the
    /// interruption cannot be lost between its last look at [`Caller::interrupted`](crate::Caller::interrupted) and the wait.
    pub fn interrupt(&self) -> bool {
        let running = self.inner.interrupt();
        if running {
            timer::repeat(&self.inner);
        }
        running
    }
}

impl fmt::Debug for InterruptHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InterruptHandle")
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::get_fuel`].
    ///
    /// # Errors
    /// As [`Store::get_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        if !self.engine().config().tunables.consume_fuel {
            bail!("fuel is not configured in this store: see Config::consume_fuel");
        }
        Ok(self.0.opaque.runtime().fuel())
    }

    /// As [`Store::set_fuel`].
    ///
    /// # Errors
    /// As [`Store::set_fuel`].
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        if !self.engine().config().tunables.consume_fuel {
            bail!("fuel is not configured in this store: see Config::consume_fuel");
        }
        self.opaque().runtime_mut().set_fuel(fuel);
        Ok(())
    }

    /// As [`Store::set_epoch_deadline`].
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.opaque().runtime_mut().set_epoch_deadline(ticks_beyond_current);
    }
}

impl<T: 'static> Store<T> {
    /// A handle by which any thread can stop the guest.
    ///
    /// ```
    /// # fn main() -> wasmo::Result<()> {
    /// use std::time::Duration;
    /// use wasmo::{Engine, Instance, Module, Store, Trap};
    ///
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (func (export "spin") (loop br 0)))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
    ///
    /// let handle = store.interrupt_handle();
    /// let other = std::thread::spawn(move || {
    ///     std::thread::sleep(Duration::from_millis(20));
    ///     handle.interrupt();
    /// });
    /// let error = spin.call(&mut store, ()).unwrap_err();
    /// assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    /// # other.join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle { inner: self.inner().opaque.runtime().interrupt_handle() }
    }

    /// From now on, a call into the guest that takes longer than `timeout` of wall time traps with [`crate::Trap::Interrupt`]; `None`, the initial state,
    /// lifts the limit. Calls that host functions make belong to the outermost call. A host function that does not return is not stopped;
    /// its waits are ended as [`InterruptHandle::interrupt`] does.
    pub fn set_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.inner_mut().opaque.timeout = timeout.into();
    }

    /// The fuel that is left.
    ///
    /// # Errors
    /// When [`crate::Config::consume_fuel`] is off.
    pub fn get_fuel(&self) -> Result<u64> {
        let context = self.as_context();
        if !context.engine().config().tunables.consume_fuel {
            bail!("fuel is not configured in this store: see Config::consume_fuel");
        }
        Ok(context.0.opaque.runtime().fuel())
    }

    /// Sets how many operators guests may execute from now on. A store begins with none; when all is used, the guest traps with
    /// [`crate::Trap::OutOfFuel`]. What is counted is deterministic, but may change from version to version.
    ///
    /// # Errors
    /// When [`crate::Config::consume_fuel`] is off.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.as_context_mut().set_fuel(fuel)
    }

    /// Sets the epoch at which guests compiled with [`crate::Config::epoch_interruption`] act: this many ticks
    /// ([`crate::Engine::increment_epoch`]) from now. A store begins with 0 ticks, so that nothing runs until a deadline is set.
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.as_context_mut().set_epoch_deadline(ticks_beyond_current);
    }

    /// At the epoch deadline, the guest traps with [`crate::Trap::Interrupt`]. That is also the initial state.
    pub fn epoch_deadline_trap(&mut self) {
        self.inner_mut().epoch = EpochAction::Trap;
    }

    /// At the epoch deadline, `callback` is asked; its error ends the guest with that error.
    pub fn epoch_deadline_callback(
        &mut self,
        callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) {
        self.inner_mut().epoch = EpochAction::Callback(Box::new(callback));
    }
}

impl<T: 'static> Caller<'_, T> {
    /// As [`Store::get_fuel`].
    ///
    /// # Errors
    /// As [`Store::get_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        self.store.get_fuel()
    }

    /// As [`Store::set_fuel`].
    ///
    /// # Errors
    /// As [`Store::set_fuel`].
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.store.set_fuel(fuel)
    }

    /// As [`Store::set_epoch_deadline`].
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.store.set_epoch_deadline(ticks_beyond_current);
    }
}
