//! WASI preview 1 for wasmo.
//!
//! A [`WasiCtx`] is all that one guest can reach of the host; [`WasiCtxBuilder`] makes it. The
//! functions that guests import are in [`preview1`] and know no engine: they work on a context and on
//! [`GuestMemory`]; those of the interface before it, which old programs import, are in [`snapshot0`]. A guest that ends its program makes the call into it fail with [`I32Exit`].
//!
//! Confinement: files are reached only through preopened directories, and every path is resolved
//! below one of them by cap-std, so `..`, absolute paths and symbolic links cannot leave it. On top of
//! that the embedder sets [`DirPerms`] and [`FilePerms`] for each preopened directory, and descriptors
//! carry the rights of preview 1, which only shrink.
//!
//! Invariant: nothing a guest passes makes the host panic, read or write outside the guest's memory,
//! or allocate without bound.

#![forbid(unsafe_code)]

mod ctx;
mod descriptor;
mod errno;
mod exit;
mod iovec;
mod linker;
mod memory;
mod pipe;
pub mod preview1;
pub mod snapshot0;
mod stream;
mod table;
pub mod types;

pub use ctx::{WasiCtx, WasiCtxBuilder};
pub use errno::Errno;
pub use exit::I32Exit;
pub use linker::{MODULE, MODULE_SNAPSHOT0, add_snapshot0_to_linker, add_to_linker};
pub use memory::GuestMemory;
pub use pipe::{MemoryInputPipe, MemoryOutputPipe};
pub use stream::{
    DiscardOutput, EmptyInput, InheritedStderr, InheritedStdin, InheritedStdout, StdinStream, StdoutStream,
};
pub use types::{DirPerms, FilePerms};
