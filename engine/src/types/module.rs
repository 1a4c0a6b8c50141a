//! Types of a module's imports and exports.

use crate::types::{ExternType, FuncType, GlobalType, MemoryType, TableType};
use std::sync::Arc;
use wasmo_abi::module::{EntityRef, ModuleInfo};

/// The type of one item of a module's index spaces.
pub(crate) fn entity_type(info: &ModuleInfo, entity: EntityRef) -> ExternType {
    match entity {
        EntityRef::Func(func) => ExternType::Func(FuncType::from_abi(Arc::new(info.func_type(func).clone()))),
        EntityRef::Table(table) => ExternType::Table(TableType { inner: info.tables[table] }),
        EntityRef::Memory(memory) => ExternType::Memory(MemoryType { inner: info.memories[memory] }),
        EntityRef::Global(global) => ExternType::Global(GlobalType::from_abi(info.globals[global])),
    }
}

/// One import of a module; see [`crate::Module::imports`].
#[derive(Clone, Debug)]
pub struct ImportType<'module> {
    module: &'module str,
    name: &'module str,
    ty: ExternType,
}

impl<'module> ImportType<'module> {
    pub(crate) fn new(module: &'module str, name: &'module str, ty: ExternType) -> Self {
        Self { module, name, ty }
    }

    /// The first name: the module to import from.
    pub fn module(&self) -> &'module str {
        self.module
    }

    /// The second name: the item.
    pub fn name(&self) -> &'module str {
        self.name
    }

    /// What is expected there.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}

/// One export of a module; see [`crate::Module::exports`].
#[derive(Clone, Debug)]
pub struct ExportType<'module> {
    name: &'module str,
    ty: ExternType,
}

impl<'module> ExportType<'module> {
    pub(crate) fn new(name: &'module str, ty: ExternType) -> Self {
        Self { name, ty }
    }

    /// The name, unique among the exports.
    pub fn name(&self) -> &'module str {
        self.name
    }

    /// What is exported.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}
