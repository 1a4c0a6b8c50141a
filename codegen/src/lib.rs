//! WebAssembly to LLVM IR to machine code.
//!
//! [`parse()`] makes a [`wasmo_abi::module::ModuleInfo`] of a module's bytes. `translate` turns function bodies into LLVM IR, which it builds with
//! `ir`; no other module builds IR but `thunks`. `pipeline` optimises it and emits objects for the machine that `target` names, `object` reads their tables, and
//! `orc` links them for this process, or [`image`] for a file. [`Compiler`] leads all that. Code that is wanted at once, for functions that have just been called, `baseline` makes of their bodies without LLVM.

mod artifact;
mod baseline;
mod compiler;
mod diagnostics;
mod emitter;
mod error;
pub mod image;
mod ir;
mod job;
mod late;
mod llvm;
mod neighbour;
mod object;
mod orc;
mod parse;
mod partition;
mod phases;
mod pipeline;
mod profile;
mod shim;
mod target;
mod thunks;
mod translate;
mod unit;

pub use compiler::{CompiledModule, Compiler, Observer, Print};
pub use error::{Error, ErrorKind};
pub use llvm::llvm_failure;
pub use neighbour::Neighbour;
pub use object::Object;
pub use parse::{parse, validate, validate_single_memory};
pub use profile::{Callees, Counters, Guess};
pub use target::{Cpu, TargetOptions};
pub use unit::{NewCode, PlacedCode, Request, Soon, Source};

/// LLVM's shared library, where it was when wasmo was built.
pub const LLVM_LIBRARY: &str = env!("WASMO_LLVM_LIBRARY");
