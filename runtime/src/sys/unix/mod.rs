//! POSIX, as Linux has it.

pub(crate) mod barrier;
pub(crate) mod code;
#[cfg_attr(target_arch = "x86_64", path = "context_x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "context_aarch64.rs")]
mod context;
pub(crate) mod file;
pub(crate) mod mmap;
pub(crate) mod signal;
pub(crate) mod thread;
