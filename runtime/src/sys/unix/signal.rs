//! Signal handlers: they translate what the kernel says and ask [`crate::trap::catch`] whether the guest is meant.
//!
//! The handlers are installed once for the process and stay. A signal that is not the guest's is passed on to the
//! handler that was there before, or has its default effect; so Rust's own report of a stack overflow, crash reporters
//! and debuggers keep working. A handler that the embedder installs later must pass on what it does not know in the
//! same way.
//!
//! Everything here that runs in a handler is async-signal-safe: it reads thread-local cells without initialiser and
//! memory, and takes no lock.

use super::context;
use crate::error::Error;
use crate::trap::catch::{Fault, catch};
use libc::{c_int, c_void, sigaction, siginfo_t, ucontext_t};
use std::cell::UnsafeCell;
use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::OnceLock;

/// The signal that interrupts a guest. Its default is to be ignored, so that one that comes late harms nobody.
pub(crate) const INTERRUPT: c_int = libc::SIGURG;

/// The signals that are caught. [`PREVIOUS`] has the handlers that were there before, in this order.
const SIGNALS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGTRAP, INTERRUPT];

struct Previous(UnsafeCell<MaybeUninit<[sigaction; SIGNALS.len()]>>);

// SAFETY: written once, before the first handler is installed; only read afterwards.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::uninit()));

/// Installs the handlers, if they are not.
pub(crate) fn install() -> Result<(), Error> {
    static DONE: OnceLock<Result<(), i32>> = OnceLock::new();
    DONE.get_or_init(|| install_all().map_err(|error| error.raw_os_error().unwrap_or(0))).map_err(|code| Error::Os {
        what: "cannot install the signal handlers that catch traps".into(),
        source: io::Error::from_raw_os_error(code),
    })
}

fn install_all() -> io::Result<()> {
    // SAFETY: the structure is plain data, for which zero is a valid content.
    let mut previous: [sigaction; SIGNALS.len()] = unsafe { mem::zeroed() };
    for (signal, previous) in SIGNALS.into_iter().zip(&mut previous) {
        // SAFETY: asks only; the pointer is valid for a write.
        if unsafe { sigaction(signal, ptr::null(), previous) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: `install` runs this once, and no handler of ours is installed yet, so nobody reads.
    unsafe { (*PREVIOUS.0.get()).write(previous) };
    for signal in SIGNALS {
        // SAFETY: as above: plain data.
        let mut action: sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = handle as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
        // No SA_RESTART: a host function that waits in a system call for a guest that is being interrupted should hear
        // of it.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the pointers are valid. All signals are held back while the handler runs, so that a fault is handled
        // as a whole.
        unsafe {
            libc::sigfillset(&raw mut action.sa_mask);
            if sigaction(signal, &raw const action, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, ucontext: *mut c_void) {
    // SAFETY: the kernel calls the handler with valid pointers, because of SA_SIGINFO; nobody else has them.
    let (details, interrupted) = unsafe { (&*info, &mut *ucontext.cast::<ucontext_t>()) };
    // A signal that another process or `kill` sent is no fault of the guest.
    let raised_by_fault = details.si_code > 0;
    let fault = match signal {
        INTERRUPT => Some(Fault::Interrupt),
        // SAFETY: these signals carry an address.
        libc::SIGSEGV | libc::SIGBUS if raised_by_fault => Some(Fault::Access(unsafe { details.si_addr() } as usize)),
        libc::SIGILL | libc::SIGTRAP if raised_by_fault => Some(Fault::Instruction),
        _ => None,
    };
    if let Some(resume) = fault.and_then(|fault| catch(fault, context::registers(interrupted))) {
        context::resume(interrupted, resume);
        return;
    }
    pass_on(signal, info, ucontext, raised_by_fault);
}

/// Does what would have happened without our handler.
fn pass_on(signal: c_int, info: *mut siginfo_t, ucontext: *mut c_void, raised_by_fault: bool) {
    let Some(position) = SIGNALS.iter().position(|&known| known == signal) else { return };
    // SAFETY: our handlers run only after the previous ones were recorded.
    let previous = unsafe { &(*PREVIOUS.0.get()).assume_init_ref()[position] };
    match previous.sa_sigaction {
        // The default of this one is nothing.
        libc::SIG_DFL if signal == INTERRUPT => {}
        libc::SIG_IGN if !raised_by_fault || signal == INTERRUPT => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: plain data; sigaction and raise may be called in handlers. When the handler returns, a faulting
            // instruction faults again; a signal that was sent is sent again, and held back until then.
            unsafe {
                let mut action: sigaction = mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                sigaction(signal, &raw const action, ptr::null_mut());
                if !raised_by_fault {
                    libc::raise(signal);
                }
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: whoever installed it said with SA_SIGINFO that it has this type.
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = unsafe { mem::transmute(handler) };
            handler(signal, info, ucontext);
        }
        handler => {
            // SAFETY: whoever installed it said by the absence of SA_SIGINFO that it has this type.
            let handler: extern "C" fn(c_int) = unsafe { mem::transmute(handler) };
            handler(signal);
        }
    }
}
