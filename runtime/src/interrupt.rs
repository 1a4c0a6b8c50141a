//! [`InterruptHandle`]: stops a guest from another thread.
//!
//! While a call into the guest is under way, the store's `Shared` record points to the slot of the thread it runs on.
//! Interrupting sets the flag in the execution context first and signals that thread then; so whoever looks at the flag
//! too early gets the signal. The order on the running thread is: clear the flag, then publish the slot. An
//! interruption that finds a slot is therefore never cleared before its call has ended, and one that comes late at most
//! stops the call that is under way by then.
//!
//! A signal alone may be missed: when it comes while a host function is just about to wait in a system call, nothing is
//! left that would end the wait. So whoever interrupts goes on with [`InterruptHandle::repeat`] until the call has ended.

use crate::exec::Exec;
use crate::thread::Slot;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a store shares with its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The execution context; `None` once the store is gone. The lock keeps the store while a handle works on it.
    exec: Mutex<Option<NonNull<Exec>>>,
    /// Where the store's guest runs; null when no call is under way.
    pub(crate) running: AtomicPtr<Slot>,
}

// SAFETY: the pointer is followed under the lock only, and then only to an atomic field; the store takes it away before
// the context goes.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(exec: NonNull<Exec>) -> Arc<Self> {
        Arc::new(Self { exec: Mutex::new(Some(exec)), running: AtomicPtr::new(ptr::null_mut()) })
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
        let slot = self.0.running.load(Ordering::Acquire);
        if slot.is_null() {
            return false;
        }
        // SAFETY: the lock is held, so the context lives.
        unsafe { &(*exec.as_ptr()).vm.interrupt }.store(1, Ordering::SeqCst);
        // SAFETY: slots are never freed.
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
        let slot = self.0.running.load(Ordering::Acquire);
        if slot.is_null() {
            return false;
        }
        // SAFETY: the lock is held, so the context lives.
        let interrupted = unsafe { &(*exec.as_ptr()).vm.interrupt }.load(Ordering::SeqCst) != 0;
        if interrupted {
            // SAFETY: slots are never freed.
            unsafe { &*slot }.interrupt();
        }
        interrupted
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
