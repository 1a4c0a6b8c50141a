//! Decides in a signal handler whether the guest has trapped, and records it.
//!
//! Everything here is async-signal-safe. The guest is on the running thread or it is not meant: faults are raised by
//! the instruction that the thread is executing.

use super::{Registers, Resume};
use crate::entry;
use crate::exec::Exec;
use crate::thread::THREAD;
use std::sync::atomic::Ordering;
use wasmo_abi::trap::TrapCode;

/// What a signal says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// An access to this address failed.
    Access(usize),
    /// The instruction cannot be executed, or is a breakpoint.
    Instruction,
    /// Some guest on this thread may have to be interrupted.
    Interrupt,
}

/// Where to go on when the guest is to be unwound because of `fault`; `None` when it is not the guest's.
pub(crate) fn catch(fault: Fault, at: Registers) -> Option<Resume> {
    let exec = THREAD.with(|thread| thread.current.get());
    if exec.is_null() {
        return None;
    }
    // SAFETY: `current` is the context of a store that lives, or null.
    let context = unsafe { &*exec };
    // On any other stack the host is running, and what it does wrong is its own.
    if !context.on_guest_stack(at.sp) {
        return None;
    }
    let code = classify(context, fault, at)?;
    context.trap_registers.set(at);
    context.trap_code.store(code as u8, Ordering::Relaxed);
    // The stack pointer is moved here already, so that no signal finds it on the guest's stack any more and overwrites
    // the record.
    Some(Resume { pc: entry::unwind(), sp: context.entry_frame(), exec: exec as usize, reason: entry::TRAPPED })
}

fn classify(exec: &Exec, fault: Fault, at: Registers) -> Option<TrapCode> {
    match fault {
        Fault::Access(address) if (exec.guard_low..exec.vm.guest_stack_low).contains(&address) => {
            Some(TrapCode::StackOverflow)
        }
        Fault::Access(address) if exec.in_memory(address) => Some(TrapCode::MemoryOutOfBounds),
        Fault::Access(_) => None,
        // SAFETY: the kernel says that this instruction was executed and could not be.
        Fault::Instruction => unsafe { entry::trap_code_at(at.pc) },
        // The signal may be late or another store's.
        Fault::Interrupt if exec.vm.interrupt.load(Ordering::SeqCst) != 0 => Some(TrapCode::Interrupt),
        Fault::Interrupt => None,
    }
}
