//! Whether code of a module is under way on a store's guest stack.
//!
//! A word of the stack that looks like a return address into the code is cheap to find and may be garbage, so what is found is confirmed by walking the frames. Where
//! a walk cannot go on (a thunk that the embedder compiled for itself has no table), what lies beyond is believed.

use crate::code;
use crate::exec::Exec;
use crate::trap::activations::{Activations, exit_registers, read_stack};
use std::mem::size_of;
use std::ops::Range;

/// Whether one of the frames on the guest's stack, in any activation, is of code in one of `ranges`.
///
/// # Safety
/// The host runs.
pub(super) unsafe fn running(exec: &Exec, ranges: &[Range<usize>]) -> bool {
    let within = |address: usize| ranges.iter().any(|range| range.contains(&address));
    // A return address may be the first byte after the code, when the call is its last instruction.
    let suspect = |address: &usize| {
        // SAFETY: as the caller promises.
        unsafe { read_stack::<usize>(exec, *address) }.is_some_and(|word| within(word.wrapping_sub(1)))
    };
    // SAFETY: as the caller promises.
    let Some(innermost) = unsafe { Activations::of(exec) }.next() else { return false };
    let words = (innermost.exit..exec.vm.guest_stack_high).step_by(size_of::<usize>());
    let suspects: Vec<usize> = words.filter(suspect).collect();
    if suspects.is_empty() {
        return false;
    }
    // SAFETY: as above.
    for activation in unsafe { Activations::of(exec) } {
        // SAFETY: as above.
        let mut at = unsafe { exit_registers(exec, activation.exit) };
        while let Some(registers) = at.filter(|registers| registers.sp < activation.end) {
            let pc = registers.pc.wrapping_sub(1);
            if within(pc) {
                return true;
            }
            // SAFETY: as above.
            let read = |address: usize| unsafe { read_stack::<usize>(exec, address) };
            let caller = code::find(pc).and_then(|location| location.step(registers, read));
            at = caller.filter(|caller| caller.sp > registers.sp || (caller.sp == registers.sp && registers.lr != 0));
            let beyond = registers.sp..activation.end;
            if at.is_none() && suspects.iter().any(|suspect| beyond.contains(suspect)) {
                return true;
            }
        }
    }
    false
}
