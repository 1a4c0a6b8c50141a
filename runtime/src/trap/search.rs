//! Whatever a guest that waits for the host may hold: every word of its stack, and of the host's stack, where functions of the host have saved registers of the guest's.

use super::activations::Activations;
use crate::entry;
use crate::exec::Exec;
use crate::sys::thread::stack_bounds;
use std::mem::size_of;

/// Shows `look` each word that the calls under way in a store may have left on either stack, or in a register that functions of the host keep. Answers `false`, and may have shown nothing,
/// when it is not known where some of them lie: functions of the host between two calls may have gone to a stack of their own. Without a call under way there are no words.
///
/// # Safety
/// The host runs, on the thread on which the calls are under way, and on the stack that it had when the guest called it last.
#[inline(never)]
pub(crate) unsafe fn each_word(exec: &Exec, mut look: impl FnMut(usize)) -> bool {
    // SAFETY: as the caller promises; nobody returns meanwhile.
    let mut activations = unsafe { Activations::of(exec) };
    let Some(innermost) = activations.next() else { return true };
    let outermost = activations.last();
    // The host's functions keep registers of the guest's that they have not used themselves; here they are put on the stack, too.
    let registers = entry::kept_registers();
    let here = registers.as_ptr() as usize;
    let end = outermost.map_or(innermost.entry, |outermost| outermost.entry);
    if outermost.is_some() {
        let within = stack_bounds().is_ok_and(|(low, size)| low <= here && here < end && end < low + size);
        if !within {
            return false;
        }
    }
    for stack in [here..end, innermost.exit..exec.vm.guest_stack_high] {
        for address in stack.step_by(size_of::<usize>()) {
            // SAFETY: both ranges are parts of stacks that are in use, between frames that exist; words are read as they are.
            look(unsafe { std::ptr::read_volatile(address as *const usize) });
        }
    }
    true
}
