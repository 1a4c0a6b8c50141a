//! The operating system: memory mappings, signals, threads. Nothing else in the crate calls it.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub(crate) use unix::{mmap, signal, thread};
