//! The operating system: memory and file mappings, signals, threads, barriers. Nothing else in the crate calls it.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub(crate) use unix::{barrier, code, file, mmap, signal, thread};
