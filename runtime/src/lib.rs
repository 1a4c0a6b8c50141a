//! Stores, VMContexts, memories, tables, traps, stacks and helpers: what compiled code stands on.
//!
//! Read [`store`] first: a [`Store`] owns everything that a guest can reach, and all of it lives as long as the store.
//! [`instance`] makes an instance from a [`Module`] and imports, and [`pool`] keeps what stores give back for the next ones. A call goes through `entry` onto the guest's own
//! `stack`, comes back through the same stubs when the guest calls the host or a `helper`, and ends by returning or by
//! being unwound ([`trap`]). `code` explains code addresses for backtraces, [`debug`] for profilers and debuggers. [`artifact`] loads a
//! module from a file.
//!
//! The crate knows neither LLVM nor the embedder: code comes in as [`wasmo_abi::code::ModuleCode`], the embedder's
//! wishes as [`StoreHooks`] and callbacks. Operating-system calls are made in `sys` only, machine registers are named
//! in `entry`, `sys` and `trap::unwind` only.

mod arena;
pub mod artifact;
mod code;
pub mod code_memory;
pub mod cpu;
pub mod debug;
mod entry;
pub mod error;
mod exec;
mod func_ref;
mod helper;
pub mod instance;
pub mod interrupt;
pub mod late;
mod memory;
pub mod module;
pub mod pool;
mod slots;
pub mod stack;
pub mod store;
mod sys;
mod table;
mod thread;
pub mod tier;
pub mod trap;
pub mod type_registry;
mod vmcontext;

pub use entry::{Arguments, Results};
pub use error::{CallError, Error, Failure, InstantiateError};
pub use instance::Instance;
pub use interrupt::InterruptHandle;
pub use late::{LateId, RemoveError};
pub use memory::MemoryImage;
pub use module::Module;
pub use pool::{Pool, PoolLimits};
pub use store::{
    Extern, FuncHandle, GlobalId, HostImport, Import, InstanceId, MemoryId, Store, StoreHooks, StoreOptions, TableId,
};
pub use trap::backtrace::{Backtrace, Frame};
pub use type_registry::TypeRegistry;
