//! How long a guest may run, where its code counts: fuel and epochs.
//!
//! Both are fields of the execution context. Generated code writes the fuel and reads the deadline, but not while the
//! host runs, so they are read and written here without more ado.

use super::Store;
use std::sync::atomic::Ordering;

impl Store {
    /// The fuel that is left.
    pub fn fuel(&self) -> u64 {
        // SAFETY: the context lives; generated code writes the field, but not while the host runs.
        let fuel = unsafe { (&raw const (*self.exec.as_ptr()).vm.fuel).read() };
        fuel.min(0).unsigned_abs()
    }

    /// Sets the fuel that is left; at most 2⁶³ − 1 units are taken.
    pub fn set_fuel(&mut self, fuel: u64) {
        let fuel = i64::try_from(fuel).unwrap_or(i64::MAX);
        // SAFETY: as in `fuel`.
        unsafe { (&raw mut (*self.exec.as_ptr()).vm.fuel).write(-fuel) };
    }

    /// Takes `fuel` off what was used; answers whether any is left now.
    pub(crate) fn add_fuel(&mut self, fuel: u64) -> bool {
        let added = i64::try_from(fuel).unwrap_or(i64::MAX);
        // SAFETY: as in `fuel`.
        unsafe {
            let place = &raw mut (*self.exec.as_ptr()).vm.fuel;
            place.write(place.read().saturating_sub(added));
            place.read() < 0
        }
    }

    /// Lets the guest run until the engine's epoch is `ticks` beyond what it is now. At first there is no deadline.
    pub fn set_epoch_deadline(&mut self, ticks: u64) {
        let deadline = self.epoch.load(Ordering::Relaxed).saturating_add(ticks);
        // SAFETY: the context lives; generated code only reads the field, and not while the host runs.
        unsafe { (&raw mut (*self.exec.as_ptr()).vm.epoch_deadline).write(deadline) };
    }
}
