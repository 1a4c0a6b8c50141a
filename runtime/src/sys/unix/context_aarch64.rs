//! The interrupted registers of an AArch64 thread, as a signal handler sees them.

use crate::trap::{Registers, Resume};
use libc::ucontext_t;

/// Frame pointer and link register.
const FP: usize = 29;
const LR: usize = 30;

/// Reads the registers that unwinding needs.
#[allow(clippy::cast_possible_truncation, reason = "addresses have 64 bits on this architecture")]
pub(super) fn registers(context: &ucontext_t) -> Registers {
    let machine = &context.uc_mcontext;
    Registers {
        pc: machine.pc as usize,
        sp: machine.sp as usize,
        fp: machine.regs[FP] as usize,
        lr: machine.regs[LR] as usize,
    }
}

/// Makes the thread go on at `resume`, as if that function had been called with its two arguments.
pub(super) fn resume(context: &mut ucontext_t, resume: Resume) {
    let machine = &mut context.uc_mcontext;
    machine.pc = resume.pc as u64;
    machine.sp = resume.sp as u64;
    machine.regs[0] = resume.exec as u64;
    machine.regs[1] = resume.reason as u64;
}
