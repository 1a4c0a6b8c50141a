//! The types of values and of what modules import and export, as embedders see them.
//!
//! They mirror [`wasmo_abi::types`], which the compiler and the runtime use, but leave room for what later proposals add: a [`RefType`] is a
//! struct of a heap type and nullability although every reference is nullable today. [`value`] holds the types of values and functions,
//! [`external`] those of everything that can be imported or exported, [`module`] those of a module's imports and exports.

mod external;
mod module;
mod value;

pub use external::{ExternType, GlobalType, MemoryType, Mutability, TableType};
pub(crate) use module::entity_type;
pub use module::{ExportType, ImportType};
pub use value::{FuncType, HeapType, RefType, ValType};
