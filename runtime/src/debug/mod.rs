//! What profilers and debuggers are told of code that no file describes: `perf` by lines in a file ([`perf_map`]), GDB by images of ELF objects in a list that it
//! reads ([`gdb`]).
//!
//! Both are of the process, not of an engine: both find code by its address. Whoever makes code says what is in it ([`Symbol`]), and takes a [`gdb::Registration`]
//! back before the code goes.

mod elf;
pub mod gdb;
pub mod perf_map;

/// A name for some bytes of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// What to call it: without line breaks and other control characters.
    pub name: String,
    /// Its first byte.
    pub address: usize,
    /// How many there are.
    pub size: usize,
}
