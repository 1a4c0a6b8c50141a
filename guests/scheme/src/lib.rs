//! A Scheme interpreter that runs inside wasmo, and natively for its tests.
//!
//! Text goes through [`reader`] (data), `analyse` (a resolved [`tree`]), `emit` (instructions of
//! [`op`]) and `run` (a register machine with its own stack, so that deep recursion is an error and
//! not a trap). `value`, `object` and [`heap`] say how data looks in memory; [`proto`] holds the seam
//! at which the [`jit`] replaces a procedure's instructions by machine code.
//!
//! The language: integers of 63 bits (a result that needs more is an error), booleans, characters,
//! immutable strings, symbols, pairs, vectors, procedures; `lambda`, `define`, `let` in all forms,
//! `do`, `cond`, `case`, quasi-quotation; proper tail calls. No continuations, macros or inexact
//! numbers.

pub mod error;
pub mod heap;
pub mod inline;
pub mod jit;
pub mod machine;
pub mod object;
pub mod op;
pub mod printer;
pub mod proto;
pub mod reader;
pub mod symbols;
pub mod tree;
pub mod value;

mod analyse;
mod emit;
mod enter;
mod primitives;
mod run;

pub use error::Error;
pub use machine::{Machine, Program};
pub use printer::Style;
pub use value::Value;
