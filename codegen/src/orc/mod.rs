//! The linker and owner of code: LLVM's ORC, bare.
//!
//! One [`Session`] belongs to each compiler, and one JITDylib in it to each module, since all modules use the same symbol names
//! ([`wasmo_abi::symbol`]). ORC compiles nothing here: it is given finished objects, links them in the caller's thread, and keeps the code until
//! the module's [`session::Dylib`] is dropped.
//!
//! * [`session`] wraps the session and its dylibs, and turns every error of ORC into an [`crate::Error`]: nothing is printed, nothing aborts.
//! * [`link`] links the objects of one module and makes [`wasmo_abi::code::ModuleCode`] of them.
//!
//! Where code is put is decided by `shim/slab.cpp`.

pub(crate) mod link;
pub(crate) mod session;

pub(crate) use session::Session;
