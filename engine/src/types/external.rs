//! Types of memories, tables and globals, and of whatever can be imported and exported.

use crate::types::{FuncType, RefType, ValType};
use std::fmt;
use wasmo_abi::types::{self as abi, Limits};

/// Whether `actual` limits are allowed where `expected` are declared by an import (core specification, 3.3.8).
fn limits_match(actual: Limits, expected: Limits) -> bool {
    actual.min >= expected.min
        && match (actual.max, expected.max) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(actual), Some(expected)) => actual <= expected,
        }
}

fn write_limits(f: &mut fmt::Formatter<'_>, limits: Limits) -> fmt::Result {
    match limits.max {
        Some(max) => write!(f, "{} to {max}", limits.min),
        None => write!(f, "{} or more", limits.min),
    }
}

/// A memory type; sizes are in pages of 64 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemoryType {
    pub(crate) inner: abi::MemoryType,
}

impl MemoryType {
    /// A memory of at least (and initially) `minimum` pages, and at most `maximum`.
    pub fn new(minimum: u32, maximum: Option<u32>) -> Self {
        Self { inner: abi::MemoryType { limits: Limits { min: minimum.into(), max: maximum.map(Into::into) } } }
    }

    /// The least size in pages, which is also the initial one.
    pub fn minimum(&self) -> u64 {
        self.inner.limits.min
    }

    /// The greatest size in pages, if bounded.
    pub fn maximum(&self) -> Option<u64> {
        self.inner.limits.max
    }

    /// The size of a page in bytes.
    pub fn page_size(&self) -> u64 {
        abi::PAGE_SIZE
    }

    /// Whether the memory is addressed with 64 bits; so far none is.
    pub fn is_64(&self) -> bool {
        false
    }

    /// Whether threads may share the memory; so far none may.
    pub fn is_shared(&self) -> bool {
        false
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory of ")?;
        write_limits(f, self.inner.limits)?;
        f.write_str(" pages")
    }
}

/// A table type; sizes are in elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TableType {
    pub(crate) inner: abi::TableType,
}

impl TableType {
    /// A table of at least (and initially) `minimum` elements of type `element`, and at most `maximum`.
    pub fn new(element: RefType, minimum: u32, maximum: Option<u32>) -> Self {
        let limits = Limits { min: minimum.into(), max: maximum.map(Into::into) };
        Self { inner: abi::TableType { element: element.to_abi(), limits } }
    }

    /// The type of the elements.
    pub fn element(&self) -> RefType {
        RefType::from_abi(self.inner.element)
    }

    /// The least size, which is also the initial one.
    pub fn minimum(&self) -> u64 {
        self.inner.limits.min
    }

    /// The greatest size, if bounded.
    pub fn maximum(&self) -> Option<u64> {
        self.inner.limits.max
    }
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("table of ")?;
        write_limits(f, self.inner.limits)?;
        write!(f, " {}", self.inner.element)
    }
}

/// Whether a global may change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutability {
    /// It keeps its initial value.
    Const,
    /// It may be set.
    Var,
}

/// A global type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GlobalType {
    content: ValType,
    mutability: Mutability,
}

impl GlobalType {
    /// A global that holds a `content`.
    pub fn new(content: ValType, mutability: Mutability) -> Self {
        Self { content, mutability }
    }

    /// The type of the value.
    pub fn content(&self) -> &ValType {
        &self.content
    }

    /// Whether the value may change.
    pub fn mutability(&self) -> Mutability {
        self.mutability
    }

    pub(crate) fn from_abi(ty: abi::GlobalType) -> Self {
        let mutability = if ty.mutable { Mutability::Var } else { Mutability::Const };
        Self { content: ValType::from_abi(ty.content), mutability }
    }

    pub(crate) fn to_abi(self) -> abi::GlobalType {
        abi::GlobalType { content: self.content.to_abi(), mutable: self.mutability == Mutability::Var }
    }
}

impl fmt::Display for GlobalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mutability {
            Mutability::Const => write!(f, "global {}", self.content),
            Mutability::Var => write!(f, "global mut {}", self.content),
        }
    }
}

/// The type of anything that can be imported or exported (core specification, 2.3.11).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A global.
    Global(GlobalType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
}

impl ExternType {
    /// Whether something of this type may be imported as `other` (core specification, 3.3.11). Of memories and tables, the minimum is what
    /// they have, so they fit where less is expected.
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Func(ty), Self::Func(other)) => ty.matches(other),
            (Self::Global(ty), Self::Global(other)) => ty == other,
            (Self::Table(ty), Self::Table(other)) => {
                ty.element() == other.element() && limits_match(ty.inner.limits, other.inner.limits)
            }
            (Self::Memory(ty), Self::Memory(other)) => limits_match(ty.inner.limits, other.inner.limits),
            _ => false,
        }
    }

    /// The function type, if this is one.
    pub fn func(&self) -> Option<&FuncType> {
        match self {
            Self::Func(ty) => Some(ty),
            _ => None,
        }
    }

    /// The global type, if this is one.
    pub fn global(&self) -> Option<&GlobalType> {
        match self {
            Self::Global(ty) => Some(ty),
            _ => None,
        }
    }

    /// The table type, if this is one.
    pub fn table(&self) -> Option<&TableType> {
        match self {
            Self::Table(ty) => Some(ty),
            _ => None,
        }
    }

    /// The memory type, if this is one.
    pub fn memory(&self) -> Option<&MemoryType> {
        match self {
            Self::Memory(ty) => Some(ty),
            _ => None,
        }
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Func(ty) => write!(f, "func {ty}"),
            Self::Global(ty) => ty.fmt(f),
            Self::Table(ty) => ty.fmt(f),
            Self::Memory(ty) => ty.fmt(f),
        }
    }
}

macro_rules! into_extern_type {
    ($($variant:ident $ty:ident),*) => {$(
        impl From<$ty> for ExternType {
            fn from(ty: $ty) -> Self {
                Self::$variant(ty)
            }
        }
    )*};
}
into_extern_type!(Func FuncType, Global GlobalType, Table TableType, Memory MemoryType);
