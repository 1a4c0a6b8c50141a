//! Threads: where their stacks end, an alternate stack for signal handlers, and a signal to one of them.

use super::mmap::{Mapping, page_size};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Bytes of the stack on which signal handlers run. The kernel puts all vector registers there, and handlers of others
/// that ours passes a signal on to may want some.
const SIGNAL_STACK: usize = 64 << 10;

/// Names a thread.
#[derive(Clone, Copy)]
pub(crate) struct ThreadId(libc::pthread_t);

impl ThreadId {
    /// The thread that asks.
    pub(crate) fn current() -> Self {
        // SAFETY: pthread_self only reads.
        Self(unsafe { libc::pthread_self() })
    }

    /// Sends `signal` to the thread.
    ///
    /// # Safety
    /// The thread has not ended.
    pub(crate) unsafe fn signal(self, signal: i32) {
        // SAFETY: the thread exists, as the caller promises. The call can fail only for a bad signal number.
        unsafe { libc::pthread_kill(self.0, signal) };
    }
}

/// The lowest address and the size of the stack of the thread that asks.
pub(crate) fn stack_bounds() -> io::Result<(usize, usize)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the attributes are written by the first call when it succeeds, only then read, and destroyed once.
    unsafe {
        check(libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()))?;
        let mut low = ptr::null_mut();
        let mut size = 0;
        let answer = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        check(answer)?;
        Ok((low as usize, size))
    }
}

fn check(answer: i32) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(answer)) }
}

/// An alternate stack that this thread's signal handlers run on; when dropped, the thread has none.
///
/// Without it a guest that overflows its stack could not be caught: there would be no room to run the handler.
#[derive(Debug)]
pub(crate) struct SignalStack {
    _mapping: Mapping,
}

impl SignalStack {
    /// Gives the thread that asks an alternate stack, unless it has one that is large enough: then the answer is
    /// `None`.
    pub(crate) fn ensure() -> io::Result<Option<Self>> {
        // SAFETY: the structure is plain data, for which zero is a valid content.
        let mut present = unsafe { MaybeUninit::<libc::stack_t>::zeroed().assume_init() };
        // SAFETY: asks only; the pointer is valid for a write.
        if unsafe { libc::sigaltstack(ptr::null(), &raw mut present) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if present.ss_flags & libc::SS_DISABLE == 0 && present.ss_size >= SIGNAL_STACK {
            return Ok(None);
        }
        let guard = page_size();
        let mut mapping = Mapping::reserve(SIGNAL_STACK + guard)?;
        mapping.open(guard, SIGNAL_STACK)?;
        let stack = libc::stack_t {
            // SAFETY: the mapping is longer than its guard.
            ss_sp: unsafe { mapping.base().as_ptr().add(guard) }.cast(),
            ss_flags: 0,
            ss_size: SIGNAL_STACK,
        };
        // SAFETY: the memory stays mapped until drop, which disables the stack first.
        if unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Some(Self { _mapping: mapping }))
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let disable = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: SIGNAL_STACK };
        // SAFETY: the value is dropped by the thread it was made on (see `crate::thread`), whose alternate stack is the
        // one to disable.
        unsafe { libc::sigaltstack(&raw const disable, ptr::null_mut()) };
    }
}
