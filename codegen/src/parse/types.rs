//! wasmparser's types as wasmo's.

use wasmo_abi::types::{FuncType, GlobalType, Limits, MemoryType, RefType, TableType, ValType};

use crate::error::{Error, ErrorKind};

fn unsupported(what: &impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the type {what} is not supported"))
}

/// A value type.
///
/// # Errors
/// When it belongs to a feature that wasmo does not have.
pub fn value_type(ty: wasmparser::ValType) -> Result<ValType, Error> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => ValType::Ref(ref_type(ty)?),
    })
}

/// A reference type.
pub(super) fn ref_type(ty: wasmparser::RefType) -> Result<RefType, Error> {
    match ty {
        wasmparser::RefType::FUNCREF => Ok(RefType::Func),
        wasmparser::RefType::EXTERNREF => Ok(RefType::Extern),
        other => Err(unsupported(&other)),
    }
}

/// A function type.
pub(super) fn func_type(ty: &wasmparser::FuncType) -> Result<FuncType, Error> {
    let list = |types: &[wasmparser::ValType]| -> Result<_, Error> { types.iter().map(|&ty| value_type(ty)).collect() };
    Ok(FuncType { params: list(ty.params())?, results: list(ty.results())? })
}

/// A table type.
pub(super) fn table_type(ty: &wasmparser::TableType) -> Result<TableType, Error> {
    Ok(TableType { element: ref_type(ty.element_type)?, limits: Limits { min: ty.initial, max: ty.maximum } })
}

/// A memory type.
pub(super) fn memory_type(ty: &wasmparser::MemoryType) -> MemoryType {
    MemoryType { limits: Limits { min: ty.initial, max: ty.maximum } }
}

/// A global type.
pub(super) fn global_type(ty: &wasmparser::GlobalType) -> Result<GlobalType, Error> {
    Ok(GlobalType { content: value_type(ty.content_type)?, mutable: ty.mutable })
}
