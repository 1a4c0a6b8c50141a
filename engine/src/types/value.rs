//! Types of values ([`ValType`]) and of functions ([`FuncType`]).

use crate::Engine;
use std::fmt;
use std::sync::Arc;
use wasmo_abi::types as abi;

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeapType {
    /// A value of the host's; see [`crate::ExternRef`].
    Extern,
    /// A function; see [`crate::Func`].
    Func,
}

/// A reference type (core specification, 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType {
    heap_type: HeapType,
}

impl RefType {
    /// A nullable reference to a function.
    pub const FUNCREF: Self = Self { heap_type: HeapType::Func };
    /// A nullable reference to a value of the host's.
    pub const EXTERNREF: Self = Self { heap_type: HeapType::Extern };

    /// What references of the type refer to.
    pub fn heap_type(&self) -> &HeapType {
        &self.heap_type
    }

    /// Whether null is a value of the type; so far it always is.
    pub fn is_nullable(&self) -> bool {
        true
    }

    /// Whether every reference of this type is one of type `other` (core specification, 3.3.3).
    pub fn matches(&self, other: &Self) -> bool {
        self == other
    }

    pub(crate) fn from_abi(ty: abi::RefType) -> Self {
        match ty {
            abi::RefType::Func => Self::FUNCREF,
            abi::RefType::Extern => Self::EXTERNREF,
        }
    }

    pub(crate) fn to_abi(self) -> abi::RefType {
        match self.heap_type {
            HeapType::Func => abi::RefType::Func,
            HeapType::Extern => abi::RefType::Extern,
        }
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_abi().fmt(f)
    }
}

/// A value type (core specification, 2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// A reference.
    Ref(RefType),
}

impl ValType {
    /// `funcref`.
    pub const FUNCREF: Self = Self::Ref(RefType::FUNCREF);
    /// `externref`.
    pub const EXTERNREF: Self = Self::Ref(RefType::EXTERNREF);

    /// Whether this is an integer or float type.
    pub fn is_num(&self) -> bool {
        matches!(self, Self::I32 | Self::I64 | Self::F32 | Self::F64)
    }

    /// Whether this is the vector type.
    pub fn is_v128(&self) -> bool {
        matches!(self, Self::V128)
    }

    /// Whether this is a reference type.
    pub fn is_ref(&self) -> bool {
        matches!(self, Self::Ref(_))
    }

    /// The reference type, if this is one.
    pub fn as_ref(&self) -> Option<&RefType> {
        match self {
            Self::Ref(ty) => Some(ty),
            _ => None,
        }
    }

    /// Whether every value of this type is one of type `other` (core specification, 3.3.4).
    pub fn matches(&self, other: &Self) -> bool {
        self == other
    }

    pub(crate) fn from_abi(ty: abi::ValType) -> Self {
        match ty {
            abi::ValType::I32 => Self::I32,
            abi::ValType::I64 => Self::I64,
            abi::ValType::F32 => Self::F32,
            abi::ValType::F64 => Self::F64,
            abi::ValType::V128 => Self::V128,
            abi::ValType::Ref(ty) => Self::Ref(RefType::from_abi(ty)),
        }
    }

    pub(crate) fn to_abi(self) -> abi::ValType {
        match self {
            Self::I32 => abi::ValType::I32,
            Self::I64 => abi::ValType::I64,
            Self::F32 => abi::ValType::F32,
            Self::F64 => abi::ValType::F64,
            Self::V128 => abi::ValType::V128,
            Self::Ref(ty) => abi::ValType::Ref(ty.to_abi()),
        }
    }
}

impl From<RefType> for ValType {
    fn from(ty: RefType) -> Self {
        Self::Ref(ty)
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_abi().fmt(f)
    }
}

/// A function type (core specification, 2.3.6). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FuncType {
    inner: Arc<abi::FuncType>,
}

impl FuncType {
    /// The type of functions with these parameters and results. The engine is asked for because types may be kept in it; today any
    /// engine will do.
    ///
    /// # Examples
    ///
    /// ```
    /// use wasmo::{Engine, FuncType, ValType};
    ///
    /// let ty = FuncType::new(&Engine::default(), [ValType::I32, ValType::I32], [ValType::I64]);
    /// assert_eq!(ty.to_string(), "(i32, i32) -> (i64)");
    /// ```
    pub fn new(
        _engine: &Engine,
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        Self::from_lists(params, results)
    }

    pub(crate) fn from_lists(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        Self::from_abi(Arc::new(abi::FuncType {
            params: params.into_iter().map(ValType::to_abi).collect(),
            results: results.into_iter().map(ValType::to_abi).collect(),
        }))
    }

    pub(crate) fn from_abi(inner: Arc<abi::FuncType>) -> Self {
        Self { inner }
    }

    pub(crate) fn as_abi(&self) -> &abi::FuncType {
        &self.inner
    }

    /// Whether functions of this type may be used where `other` is expected (core specification, 3.3.6).
    pub fn matches(&self, other: &Self) -> bool {
        self == other
    }

    /// The types of the parameters, in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        self.inner.params.iter().map(|ty| ValType::from_abi(*ty))
    }

    /// The types of the results, in order.
    pub fn results(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        self.inner.results.iter().map(|ty| ValType::from_abi(*ty))
    }

    /// The type of parameter `index`, counted from 0, if there are that many.
    pub fn param(&self, index: usize) -> Option<ValType> {
        self.inner.params.get(index).map(|ty| ValType::from_abi(*ty))
    }

    /// The type of result `index`, counted from 0, if there are that many.
    pub fn result(&self, index: usize) -> Option<ValType> {
        self.inner.results.get(index).map(|ty| ValType::from_abi(*ty))
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FuncType({self})")
    }
}
