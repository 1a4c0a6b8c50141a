//! The stubs between the host's stack and the guest's, in assembly.
//!
//! * [`enter`] moves to the guest's stack and calls an [`EnterThunk`]. Its frame on the host's stack (the
//!   [`EntryFrame`]) holds the callee-saved registers and the values that `host_sp` and `guest_sp` of the execution
//!   context had before; `host_sp` points to it while the guest runs.
//! * [`EXIT`] is what generated code calls to reach the host. Its frame on the guest's stack (the [`ExitFrame`]) holds
//!   the frame pointer and return address with which unwinding starts; `guest_sp` points to it while the host runs, and
//!   means nothing while the guest does.
//! * [`unwind`] is the address of what leaves the guest for the entry frame that `host_sp` points to, and makes `enter`
//!   answer the reason.
//!
//! So the frames form a chain. An activation of the guest reaches from its innermost frame up to the address that
//! `guest_sp` had when it was entered, which its entry frame tells; there lies the exit frame of the activation before,
//! whose entry frame is the one that `host_sp` pointed to then; or the end of the stack.
//!
//! `interrupt` is looked at after each move to the guest's stack. An interruption that comes before the move sets the
//! flag in time; one that comes after it finds the stack pointer on the guest's stack and is handled there
//! ([`crate::trap::catch`]). So none is lost.
//!
//! While the host runs below an entry frame, the stubs' call frame information describes that frame, so that debuggers
//! and panics find the host's callers.

use crate::exec::Exec;
use wasmo_abi::vm::{EnterThunk, ExitStub, RawValue, VmContext, VmExecContext, VmHostCallback};

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as arch;
#[cfg(target_arch = "x86_64")]
use x86_64 as arch;

pub(crate) use arch::{EntryFrame, ExitFrame, kept_registers, trap_code_at};

/// What [`enter`] answers when the guest returned.
pub(crate) const RETURNED: u32 = 0;
/// What [`enter`] answers when a function of the host failed.
pub(crate) const HOST_FAILED: u32 = 1;
/// What [`enter`] answers when a stub found that the guest is to be interrupted.
pub(crate) const INTERRUPTED: u32 = 2;
/// What [`enter`] answers when the signal handler caught a trap.
pub(crate) const TRAPPED: u32 = 3;

/// Offsets in [`Exec`] that the stubs use.
mod offset {
    use super::{Exec, VmExecContext};
    use std::mem::offset_of;

    const VM: usize = offset_of!(Exec, vm);
    pub(super) const HOST_SP: usize = VM + offset_of!(VmExecContext, host_sp);
    pub(super) const GUEST_SP: usize = VM + offset_of!(VmExecContext, guest_sp);
    pub(super) const INTERRUPT: usize = VM + offset_of!(VmExecContext, interrupt);
    pub(super) const UNWOUND_FROM: usize = offset_of!(Exec, unwound_from);
}

unsafe extern "C" {
    fn wasmo_enter(
        exec: *mut VmExecContext,
        thunk: EnterThunk,
        code: *const u8,
        context: *mut VmContext,
        values: *mut RawValue,
    ) -> u32;
    safe fn wasmo_exit(exec: *mut VmExecContext, callback: VmHostCallback<u8>, context: *mut u8, values: *mut RawValue);
    fn wasmo_unwind();
    fn wasmo_no_code();
}

/// Calls `thunk` on the guest's stack; answers [`RETURNED`] or why the guest was unwound.
///
/// # Safety
/// `exec` belongs to a store that lives, and is the current context of this thread; `thunk` fits `code`, `code` fits
/// `context`, and `values` is as long as the type wants.
pub(crate) unsafe fn enter(
    exec: *mut Exec,
    thunk: EnterThunk,
    code: *const u8,
    context: *mut VmContext,
    values: *mut RawValue,
) -> u32 {
    // SAFETY: the caller promises what the stub wants.
    unsafe { wasmo_enter(exec.cast(), thunk, code, context, values) }
}

/// The stub that generated code calls to reach the host.
pub(crate) const EXIT: ExitStub = wasmo_exit;

/// Address of the stub that leaves the guest: it takes the execution context and the reason as its two arguments.
pub(crate) fn unwind() -> usize {
    wasmo_unwind as *const () as usize
}

/// Address of code, in any wasm convention, that traps as `unreachable` does. It stands for host functions without an
/// exit thunk.
pub(crate) fn no_code() -> usize {
    wasmo_no_code as *const () as usize
}
