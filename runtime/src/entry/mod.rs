//! The stubs between the host's stack and the guest's, in assembly.
//!
//! * [`enter`] moves to the guest's stack and calls code there, in whatever convention, with the registers that it was
//!   given. Its frame on the host's stack (the [`EntryFrame`]) holds what the stub's caller needs when the guest is
//!   unwound; `host_sp` of the execution context points to it while the guest or what the guest has called runs.
//! * [`EXIT`] is what generated code calls to reach the host with an array of values, and the stubs of [`exit_direct`]
//!   are code in the wasm convention, which hands the arguments on in registers. Both leave on the guest's stack the
//!   [`ExitFrame`] with which unwinding starts, and its address in the entry frame.
//! * [`unwind`] is the address of what leaves the guest for the entry frame that `host_sp` points to, and makes `enter`
//!   answer the reason.
//!
//! So the entry frames of a store form a chain. An activation of the guest reaches from its innermost frame up to
//! where the exit frame of the activation before lies, which that one's entry frame tells; or up to the end of the
//! stack.
//!
//! Calls cost as little as they do because nothing that a call saves goes through memory to the next call: registers
//! that must survive are either kept by the guest, or saved and restored by the caller's compiler (`enter` is declared
//! to change them); what lies in the entry frame is read when the guest is unwound only; and calls and returns are
//! paired, so that the processor predicts them. `direct` exits use r14 (x22), which no caller in the wasm convention
//! expects to be kept and every function in C's keeps.
//!
//! `interrupt` is looked at after each move to the guest's stack. An interruption that comes before the move sets the
//! flag in time; one that comes after it finds the stack pointer on the guest's stack and is handled there
//! ([`crate::trap::catch`]). So none is lost.
//!
//! While the host runs below an entry frame, the stubs' call frame information describes that frame, so that debuggers
//! and panics find the host's callers.

use crate::exec::Exec;
use std::mem::MaybeUninit;
use wasmo_abi::vm::{
    DIRECT_FLOATS, DIRECT_INTEGERS, DIRECT_RESULTS, ExitStub, RawValue, VmExecContext, VmHostCallback,
};

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as arch;
#[cfg(target_arch = "x86_64")]
use x86_64 as arch;

pub(crate) use arch::{
    EntryFrame, ExitFrame, before_pop, caller, enter, kept_registers, makes_up_at, stack_pointer, trap_code_at,
};

/// Why [`enter`] came back: the guest returned.
pub(crate) const RETURNED: usize = 0;
/// A function of the host failed.
pub(crate) const HOST_FAILED: usize = 1;
/// A stub found that the guest is to be interrupted.
pub(crate) const INTERRUPTED: usize = 2;
/// The signal handler caught a trap.
pub(crate) const TRAPPED: usize = 3;

/// Offsets that the stubs use: in [`Exec`], in a [`wasmo_abi::vm::VmHostFunc`], in an [`EntryFrame`].
mod offset {
    use super::{EntryFrame, Exec, VmExecContext};
    use std::mem::offset_of;
    use wasmo_abi::vm::VmHostFunc;

    const VM: usize = offset_of!(Exec, vm);
    pub(super) const HOST_SP: usize = VM + offset_of!(VmExecContext, host_sp);
    pub(super) const INTERRUPT: usize = VM + offset_of!(VmExecContext, interrupt);
    pub(super) const UNWOUND_FROM: usize = offset_of!(Exec, unwound_from);
    pub(super) const HOST_FUNC_EXEC: usize = offset_of!(VmHostFunc, exec);
    pub(super) const HOST_FUNC_DIRECT: usize = offset_of!(VmHostFunc, direct);
    pub(super) const EXIT_SP: usize = offset_of!(EntryFrame, exit_sp);
}

/// Where an activation stands among others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation {
    /// Where the guest's stack begins for it, a multiple of 16.
    pub(crate) guest_sp: usize,
    /// The entry frame of the activation before, or 0.
    pub(crate) outer: usize,
}

impl Activation {
    /// The one that begins below `address`. Functions in the wasm convention may pop up to 16 bytes that belong to their
    /// caller, so these are left to them.
    #[inline]
    pub(crate) const fn below(address: usize, outer: usize) -> Self {
        Self { guest_sp: (address & !15) - 16, outer }
    }
}

/// Arguments in registers, in the wasm convention: the integers (and references) in order, and the floats. Of a
/// 32-bit value, only the lower half counts.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    pub(crate) integers: [MaybeUninit<u64>; DIRECT_INTEGERS],
    pub(crate) floats: [MaybeUninit<f64>; DIRECT_FLOATS],
}

impl Arguments {
    /// All registers with any content.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the arrays must dissolve into registers")]
    pub const fn new() -> Self {
        Self { integers: [MaybeUninit::uninit(); DIRECT_INTEGERS], floats: [MaybeUninit::uninit(); DIRECT_FLOATS] }
    }

    /// Sets an integer, a reference, or the bits of a float: the one at `position` of its kind.
    ///
    /// # Panics
    /// When there is no such register.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "as above")]
    pub const fn set(&mut self, float: bool, position: usize, bits: u64) {
        if float {
            self.floats[position] = MaybeUninit::new(f64::from_bits(bits));
        } else {
            self.integers[position] = MaybeUninit::new(bits);
        }
    }
}

impl Default for Arguments {
    fn default() -> Self {
        Self::new()
    }
}

/// Results in registers, in the wasm convention; those that the function does not have are of any content.
#[derive(Clone, Copy, Debug)]
pub struct Results {
    pub(crate) integers: [u64; DIRECT_RESULTS],
    pub(crate) floats: [f64; DIRECT_RESULTS],
}

impl Results {
    /// An integer, a reference, or the bits of a float: the one at `position` of its kind.
    ///
    /// # Panics
    /// When there is no such register.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the arrays must dissolve into registers")]
    pub const fn get(&self, float: bool, position: usize) -> u64 {
        if float { self.floats[position].to_bits() } else { self.integers[position] }
    }
}

unsafe extern "C" {
    fn wasmo_enter();
    safe fn wasmo_exit(exec: *mut VmExecContext, callback: VmHostCallback<u8>, context: *mut u8, values: *mut RawValue);
    fn wasmo_unwind(exec: *mut VmExecContext, reason: usize) -> !;
    fn wasmo_exit_direct();
    fn wasmo_no_code();
    fn wasmo_stubs();
    fn wasmo_stubs_end();
    /// Pairs of offsets from `wasmo_stubs`: between them, the stack pointer points to an exit frame, if it is on the guest's stack.
    static wasmo_framed: [u32; 0];
    static wasmo_framed_end: [u32; 0];
}

/// Where in the stubs a guest was stopped, on its own stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InStub {
    /// The stack pointer points to an exit frame.
    Framed,
    /// The stub was just entered, or is about to return.
    Frameless,
}

/// Where in the stubs the instruction at `pc` is; `None` if it is elsewhere.
pub(crate) fn in_stub(pc: usize) -> Option<InStub> {
    let (start, end) = (wasmo_stubs as *const () as usize, wasmo_stubs_end as *const () as usize);
    if !(start..end).contains(&pc) {
        return None;
    }
    let (first, last) = (&raw const wasmo_framed, &raw const wasmo_framed_end);
    // SAFETY: the table reaches from one to the other, and is constant.
    let framed = unsafe {
        let pairs = (last as usize - first as usize) / size_of::<[u32; 2]>();
        std::slice::from_raw_parts(first.cast::<[u32; 2]>(), pairs)
    };
    let inside = |&[from, to]: &[u32; 2]| (from as usize..to as usize).contains(&(pc - start));
    Some(if framed.iter().any(inside) { InStub::Framed } else { InStub::Frameless })
}

/// The stub that generated code calls to reach the host with an array of values.
pub(crate) const EXIT: ExitStub = wasmo_exit;

/// Each stub of [`exit_direct`] takes so many bytes.
const DIRECT_STUB: usize = 64;

/// Address of code in the wasm convention that calls [`wasmo_abi::vm::VmHostFunc::direct`] of its context on the host's
/// stack, for functions with `integers` parameters that are integers or references. `None` when these are too many for
/// the registers, one of which is for the context.
pub(crate) fn exit_direct(integers: usize) -> Option<usize> {
    (integers < DIRECT_INTEGERS).then(|| wasmo_exit_direct as *const () as usize + integers * DIRECT_STUB)
}

/// Address of the stub that leaves the guest: it takes the execution context and the reason as its two arguments.
pub(crate) fn unwind() -> usize {
    wasmo_unwind as *const () as usize
}

/// Leaves the guest from a host function that it has called, which has failed.
///
/// # Safety
/// The context is that of a store whose guest waits for the running host function, and between the guest and here there
/// is no frame with a destructor.
pub(crate) unsafe fn leave(exec: *mut VmExecContext) -> ! {
    // SAFETY: as the caller promises.
    unsafe { wasmo_unwind(exec, HOST_FAILED) }
}

/// Address of code, in any wasm convention, that traps as `unreachable` does. It stands for host functions without an
/// exit thunk.
pub(crate) fn no_code() -> usize {
    wasmo_no_code as *const () as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_where_stubs_have_a_frame() {
        // The first instruction makes the frame.
        let first = if cfg!(target_arch = "x86_64") { 1 } else { 4 };
        let direct = (0..DIRECT_INTEGERS).filter_map(exit_direct);
        for stub in direct.chain([EXIT as *const () as usize]) {
            assert_eq!(in_stub(stub), Some(InStub::Frameless));
            assert_eq!(in_stub(stub + first), Some(InStub::Framed));
        }
        assert_eq!(in_stub(wasmo_enter as *const () as usize), Some(InStub::Frameless));
        assert_eq!(in_stub(no_code()), Some(InStub::Frameless));
        assert_eq!(in_stub(unwind()), Some(InStub::Framed));
        assert_eq!(in_stub(in_stub as *const () as usize), None);
        assert_eq!(in_stub(wasmo_stubs_end as *const () as usize), None);
    }
}
