//! WebAssembly to LLVM IR to machine code.
//!
//! [`parse()`] makes a [`wasmo_abi::module::ModuleInfo`] of a module's bytes. `translate` turns function bodies into LLVM IR, which it builds with
//! `ir`; no other module builds IR.

pub mod error;
pub mod ir;
pub mod parse;
pub mod translate;

pub use error::{Error, ErrorKind};
pub use parse::{parse, validate};
