//! Traps: how the guest is stopped, and where it was.
//!
//! `catch` decides in a signal handler whether the guest has trapped. `unwind` steps from one frame of the guest to
//! the one that called it, and [`backtrace`] turns such steps into functions and offsets. `search` finds what a guest that waits may hold, without knowing its frames.

pub(crate) mod activations;
pub mod backtrace;
pub(crate) mod catch;
pub(crate) mod search;
pub(crate) mod unwind;

/// The registers that finding a caller takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    /// Program counter.
    pub(crate) pc: usize,
    /// Stack pointer.
    pub(crate) sp: usize,
    /// Frame pointer.
    pub(crate) fp: usize,
    /// Link register; 0 where the architecture has none.
    pub(crate) lr: usize,
}

/// Where a thread goes on after a signal: in `pc`, a function of (`exec`, `reason`), with the stack pointer `sp`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resume {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) exec: usize,
    pub(crate) reason: usize,
}
