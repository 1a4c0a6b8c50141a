//! [`InterruptHandle`]: stops a guest from another thread.
//!
//! While a call into the guest is under way, `host_sp` of the execution context is not 0, and its `slot` stands for the
//! thread it runs on. Interrupting sets the flag in the execution context first and signals that thread then; so whoever
//! looks at the flag too early gets the signal. The order on the running thread is: clear the flag, set the slot, and
//! have the stub set `host_sp`. An interruption that finds a call is therefore never cleared before the call has ended,
//! and one that comes late at most stops the call that is under way by then.
//!
//! A signal alone may be missed: when it comes while a host function is just about to wait in a system call, nothing is
//! left that would end the wait. So whoever interrupts goes on with [`InterruptHandle::repeat`] until the call has ended.

use crate::exec::Exec;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// What a store shares with its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The execution context; `None` once the store is gone. The lock keeps the store while a handle works on it.
    exec: Mutex<Option<NonNull<Exec>>>,
}

// SAFETY: the pointer is followed under the lock only, and then only to atomic fields; the store takes it away before
// the context goes.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(exec: NonNull<Exec>) -> Arc<Self> {
        Arc::new(Self { exec: Mutex::new(Some(exec)) })
    }

    /// Parts the handles from the store.
    pub(crate) fn close(&self) {
        *self.exec.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Stops the guest of one store, from any thread, at any time.
#[derive(Clone)]
pub struct InterruptHandle(pub(crate) Arc<Shared>);

impl InterruptHandle {
    /// Makes the call into the guest that is under way end with [`wasmo_abi::trap::TrapCode::Interrupt`]: at once when
    /// the guest is running, and as soon as the host returns to the guest when a host function is running. All calls
    /// nested in one another end so. Answers whether a call was under way; if none was, nothing happens, and later
    /// calls are not affected.
    ///
    /// The guest of another store that a host function runs meanwhile is not stopped.
    ///
    /// A host function that waits in a system call sees `EINTR`; [`crate::Store::interrupted`] tells it the reason.
    pub fn interrupt(&self) -> bool {
        let exec = self.0.exec.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(exec) = *exec else { return false };
        let exec = exec.as_ptr();
        // SAFETY: the lock is held, so the context lives.
        let (host_sp, slot, flag) = unsafe { (&(*exec).vm.host_sp, &(*exec).slot, &(*exec).vm.interrupt) };
        if host_sp.load(Ordering::Acquire) == 0 {
            return false;
        }
        flag.store(1, Ordering::SeqCst);
        let slot = slot.load(Ordering::Acquire);
        // SAFETY: the slot was set before the call began, and slots are never freed.
        unsafe { &*slot }.interrupt();
        true
    }
}

impl InterruptHandle {
    /// Signals once more, if the call that was interrupted has not ended; answers whether it has not. A call that was not
    /// interrupted is not.
    pub fn repeat(&self) -> bool {
        let exec = self.0.exec.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(exec) = *exec else { return false };
        let exec = exec.as_ptr();
        // SAFETY: the lock is held, so the context lives.
        let (host_sp, slot, flag) = unsafe { (&(*exec).vm.host_sp, &(*exec).slot, &(*exec).vm.interrupt) };
        if host_sp.load(Ordering::Acquire) == 0 || flag.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let slot = slot.load(Ordering::Acquire);
        // SAFETY: the slot was set before the call began, and slots are never freed.
        unsafe { &*slot }.interrupt();
        true
    }

    /// Whether both stop the guest of the same store.
    #[must_use]
    pub fn same_store(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for InterruptHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InterruptHandle")
    }
}
