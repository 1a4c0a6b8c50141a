//! The interrupted registers of an x86-64 thread, as a signal handler sees them.

use crate::trap::{Registers, Resume};
use libc::{REG_EFL, REG_RBP, REG_RDI, REG_RIP, REG_RSI, REG_RSP, greg_t, ucontext_t};

/// The direction flag of `rflags`, which the calling convention wants clear.
const DIRECTION_FLAG: greg_t = 1 << 10;

/// Reads the registers that unwinding needs.
#[allow(clippy::cast_possible_truncation, reason = "addresses have 64 bits on this architecture")]
pub(super) fn registers(context: &ucontext_t) -> Registers {
    let gregs = &context.uc_mcontext.gregs;
    let get = |register: i32| gregs[register as usize] as usize;
    // The return address lies on the stack, so there is no link register.
    Registers { pc: get(REG_RIP), sp: get(REG_RSP), fp: get(REG_RBP), lr: 0 }
}

/// Makes the thread go on at `resume`, as if that function had been called with its two arguments.
pub(super) fn resume(context: &mut ucontext_t, resume: Resume) {
    let gregs = &mut context.uc_mcontext.gregs;
    let mut set = |register: i32, value: usize| gregs[register as usize] = value as greg_t;
    set(REG_RIP, resume.pc);
    set(REG_RSP, resume.sp);
    set(REG_RDI, resume.exec);
    set(REG_RSI, resume.reason);
    gregs[REG_EFL as usize] &= !DIRECTION_FLAG;
}
