//! A thin layer over LLVM: all IR is built with what is defined here.
//!
//! [`Ir`] is one LLVM module under construction. [`types`] maps WebAssembly's types to LLVM's; [`tbaa`] names the classes of memory that
//! cannot overlap; [`builder`] has the instructions, with short names; [`intrinsics`] finds LLVM's intrinsic functions;
//! [`attributes`] says what all functions have in common; [`signature`] is the calling convention of wasm functions;
//! [`debug`] ties instructions to offsets in the wasm module.
//!
//! Instructions are without names, and constants are folded while they are built: a value that an operator pops may be a constant where the wasm
//! code has none.

pub mod attributes;
pub mod builder;
pub mod context;
pub mod debug;
pub mod intrinsics;
pub mod signature;
pub mod tbaa;
pub mod types;

pub use context::{Ir, Options};
pub use types::Value;
