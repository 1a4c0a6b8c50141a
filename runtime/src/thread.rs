//! What the runtime keeps for each thread: which guest runs on it, where its own stack ends, and how it is signalled.
//!
//! [`THREAD`] has neither initialiser nor destructor, so that signal handlers may read it at any time. [`prepare`]
//! fills it at a thread's first call; what must be undone when the thread ends belongs to a second thread-local.
//!
//! A [`Slot`] stands for a thread towards others. Slots are used again, never freed, so a pointer to one is always
//! valid; whether its thread lives is known under its lock.

use crate::error::Error;
use crate::exec::Exec;
use crate::sys::signal;
use crate::sys::thread::{SignalStack, ThreadId, stack_bounds};
use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// Bytes of the host's stack that must be free for a call into the guest: host functions run there and cannot be
/// stopped.
const SPARE: usize = 256 << 10;

/// What the runtime keeps for a thread.
pub(crate) struct Thread {
    /// The execution context of the guest entered last, or null.
    pub(crate) current: Cell<*mut Exec>,
    /// The host's stack pointer must be above this for a call; at first no address is.
    pub(crate) stack_floor: Cell<usize>,
    /// The thread's slot; null before [`prepare`].
    pub(crate) slot: Cell<*const Slot>,
}

thread_local! {
    /// The running thread's record.
    pub(crate) static THREAD: Thread = const {
        Thread { current: Cell::new(ptr::null_mut()), stack_floor: Cell::new(usize::MAX), slot: Cell::new(ptr::null()) }
    };

    static ENDING: RefCell<Ending> = const { RefCell::new(Ending { slot: None, _signal_stack: None }) };
}

/// Undoes [`prepare`] when the thread ends.
struct Ending {
    slot: Option<&'static Slot>,
    _signal_stack: Option<SignalStack>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        THREAD.with(|thread| {
            thread.slot.set(ptr::null());
            thread.stack_floor.set(usize::MAX);
        });
        *slot.thread.lock().unwrap_or_else(PoisonError::into_inner) = None;
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }
}

/// A thread as others see it.
pub(crate) struct Slot {
    thread: Mutex<Option<ThreadId>>,
}

static FREE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

impl Slot {
    fn claim() -> &'static Self {
        let slot = FREE
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_else(|| Box::leak(Box::new(Self { thread: Mutex::new(None) })));
        *slot.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(ThreadId::current());
        slot
    }

    /// Sends the interrupting signal to the slot's thread, if it lives.
    pub(crate) fn interrupt(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = *thread {
            // SAFETY: a thread empties its slot, under this lock, before it ends.
            unsafe { thread.signal(signal::INTERRUPT) };
        }
    }
}

/// Whether a call may start with the host's stack pointer near `sp`.
pub(crate) enum Room {
    /// It may.
    Enough,
    /// The host's stack is used up.
    Exhausted,
}

/// Readies the running thread for guests, if it is not, and says whether its stack has room. Called when `stack_floor`
/// is not below `sp`.
#[cold]
pub(crate) fn prepare(sp: usize) -> Result<Room, Error> {
    THREAD.with(|thread| {
        if thread.slot.get().is_null() {
            signal::install()?;
            let failed = |what: &str| {
                let what = what.to_owned();
                move |source| Error::Os { what, source }
            };
            let (low, size) = stack_bounds().map_err(failed("cannot find the bounds of the thread's stack"))?;
            let signal_stack = SignalStack::ensure().map_err(failed("cannot map a stack for signal handlers"))?;
            let slot = Slot::claim();
            let ending = Ending { slot: Some(slot), _signal_stack: signal_stack };
            // A thread whose locals are being destroyed can enter no guest any more; then `ending` undoes everything
            // here.
            ENDING
                .try_with(|place| place.replace(ending))
                .map_err(|_| Error::Internal("the guest was called while its thread was ending".into()))?;
            thread.slot.set(slot);
            // On a very small stack a quarter must do.
            thread.stack_floor.set(low + SPARE.min(size / 4));
        }
        Ok(if sp > thread.stack_floor.get() { Room::Enough } else { Room::Exhausted })
    })
}
