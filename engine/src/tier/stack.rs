//! Stacks that are large enough for LLVM, for threads of the embedder's that compile because their guest waits.
//!
//! A few are kept for the next function, with the memory that compiling a small one takes.

use crate::Result;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};
use wasmo_codegen::Compiler;
use wasmo_runtime::stack::GuestStack;

/// So many stacks are kept, each with so many bytes of memory.
const KEPT: usize = 4;
const KEPT_BYTES: usize = 256 << 10;

static STACKS: Mutex<Vec<GuestStack>> = Mutex::new(Vec::new());

/// Does `work` on a large stack, and answers what it does. A panic goes on here.
///
/// # Errors
/// When there is no address space for a stack.
pub(super) fn on_large_stack<T>(work: impl FnOnce() -> T) -> Result<T> {
    let kept = STACKS.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut stack = match kept {
        Some(stack) => stack,
        None => GuestStack::new(Compiler::STACK_SIZE)?,
    };
    let (low, size) = (stack.low(), stack.high() - stack.low());
    // SAFETY: the stack is mapped, aligned to pages, and nobody else's until this ends; the closure does not unwind.
    let outcome = unsafe { psm::on_stack(low as *mut u8, size, || catch_unwind(AssertUnwindSafe(work))) };
    if stack.keep(KEPT_BYTES) {
        let mut stacks = STACKS.lock().unwrap_or_else(PoisonError::into_inner);
        if stacks.len() < KEPT {
            stacks.push(stack);
        }
    }
    outcome.map_or_else(|panic| resume_unwind(panic), Ok)
}

#[cfg(test)]
mod tests {
    use super::on_large_stack;

    fn deep(levels: u32) -> u64 {
        let page = std::hint::black_box([levels; 1024]);
        if levels == 0 { 0 } else { deep(levels - 1) + u64::from(page[7]) }
    }

    #[test]
    fn there_is_room_and_results_and_panics_come_back() {
        // 40 MB of frames, more than a thread of the tests has.
        for _ in 0..3 {
            assert_eq!(on_large_stack(|| deep(10_000)).unwrap(), 50_005_000);
        }
        let panic = std::panic::catch_unwind(|| on_large_stack(|| panic!("as it should be")).unwrap_or(()));
        assert!(panic.is_err());
        assert_eq!(on_large_stack(|| 7).unwrap(), 7);
    }
}
