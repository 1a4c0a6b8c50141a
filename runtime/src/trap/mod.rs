//! Traps.
pub mod backtrace;
