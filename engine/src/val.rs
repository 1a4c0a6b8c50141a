//! [`Val`] and [`Ref`]: values whose type is known at run time only.

use crate::store::StoreOpaque;
use crate::{AsContext, ExternRef, Func, HeapType, RefType, Result, V128, ValType};
use anyhow::bail;
use wasmo_abi::vm::RawValue;

/// A value of any type. Floats are given by their bits, so that NaNs stay what they are.
#[derive(Clone, Copy, Debug)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// 128-bit vector.
    V128(V128),
    /// Reference to a function, or null.
    FuncRef(Option<Func>),
    /// Reference to a value of the host's, or null.
    ExternRef(Option<ExternRef>),
}

macro_rules! accessors {
    ($($variant:ident($bound:ident) $get:ident $unwrap:ident $ty:ty = $value:expr, $what:literal;)*) => {$(
        #[doc = concat!("The ", $what, ", if this is one.")]
        pub fn $get(&self) -> Option<$ty> {
            match self {
                Self::$variant($bound) => Some($value),
                _ => None,
            }
        }

        #[doc = concat!("The ", $what, ".")]
        ///
        /// # Panics
        /// When the value is of another type.
        pub fn $unwrap(&self) -> $ty {
            match self.$get() {
                Some(value) => value,
                None => panic!(concat!("expected the value to be a ", $what, ", but it is {:?}"), self),
            }
        }
    )*};
}

impl Val {
    /// A null reference of this heap type.
    pub fn null_ref(heap_type: &HeapType) -> Self {
        Ref::null(heap_type).into()
    }

    /// The null reference to a function.
    pub const fn null_func_ref() -> Self {
        Self::FuncRef(None)
    }

    /// The null reference to a value of the host's.
    pub const fn null_extern_ref() -> Self {
        Self::ExternRef(None)
    }

    /// Zero or null, which is what locals of the type begin with.
    pub fn default_for_ty(ty: &ValType) -> Option<Self> {
        Some(match ty {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(V128::from(0)),
            ValType::Ref(ty) => Self::null_ref(ty.heap_type()),
        })
    }

    /// The type. References are not precise about what they refer to, so the store is not needed so far.
    ///
    /// # Errors
    /// Never so far.
    pub fn ty(&self, _store: impl AsContext) -> Result<ValType> {
        Ok(self.val_type())
    }

    pub(crate) fn val_type(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::FuncRef(_) => ValType::FUNCREF,
            Self::ExternRef(_) => ValType::EXTERNREF,
        }
    }

    accessors! {
        I32(value) i32 unwrap_i32 i32 = *value, "32-bit integer";
        I64(value) i64 unwrap_i64 i64 = *value, "64-bit integer";
        F32(bits) f32 unwrap_f32 f32 = f32::from_bits(*bits), "32-bit float";
        F64(bits) f64 unwrap_f64 f64 = f64::from_bits(*bits), "64-bit float";
        V128(value) v128 unwrap_v128 V128 = *value, "vector";
        FuncRef(func) func_ref unwrap_func_ref Option<&Func> = func.as_ref(), "reference to a function";
        ExternRef(value) extern_ref unwrap_extern_ref Option<&ExternRef> = value.as_ref(), "reference to a value of the host's";
    }

    /// The reference, if this is one.
    pub fn ref_(self) -> Option<Ref> {
        match self {
            Self::FuncRef(func) => Some(Ref::Func(func)),
            Self::ExternRef(value) => Some(Ref::Extern(value)),
            _ => None,
        }
    }

    /// As generated code has it.
    ///
    /// # Errors
    /// When a reference is of another store, or a host function cannot be compiled a thunk for.
    pub(crate) fn to_raw(self, store: &mut StoreOpaque) -> Result<RawValue> {
        Ok(match self {
            Self::I32(value) => RawValue::from_u32(value.cast_unsigned()),
            Self::I64(value) => RawValue::from_u64(value.cast_unsigned()),
            Self::F32(bits) => RawValue::from_u32(bits),
            Self::F64(bits) => RawValue::from_u64(bits),
            Self::V128(value) => RawValue::from_u128(value.as_u128()),
            Self::FuncRef(func) => RawValue::from_u64(Ref::Func(func).to_raw(store)?),
            Self::ExternRef(value) => RawValue::from_u64(Ref::Extern(value).to_raw(store)?),
        })
    }

    /// # Safety
    /// `raw` is a value of type `ty` of this store.
    pub(crate) unsafe fn from_raw(raw: RawValue, ty: ValType, store: &StoreOpaque) -> Self {
        match ty {
            ValType::I32 => Self::I32(raw.as_u32().cast_signed()),
            ValType::I64 => Self::I64(raw.as_u64().cast_signed()),
            ValType::F32 => Self::F32(raw.as_u32()),
            ValType::F64 => Self::F64(raw.as_u64()),
            ValType::V128 => Self::V128(V128::from(raw.as_u128())),
            // SAFETY: by the caller's promise.
            ValType::Ref(ty) => unsafe { Ref::from_raw(raw.as_u64(), ty, store) }.into(),
        }
    }
}

/// A reference of either type.
#[derive(Clone, Copy, Debug)]
pub enum Ref {
    /// To a function, or null.
    Func(Option<Func>),
    /// To a value of the host's, or null.
    Extern(Option<ExternRef>),
}

impl Ref {
    /// The null reference of this heap type.
    pub fn null(heap_type: &HeapType) -> Self {
        match heap_type {
            HeapType::Func => Self::Func(None),
            HeapType::Extern => Self::Extern(None),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Func(None) | Self::Extern(None))
    }

    /// The function (or null), if this is a reference to one.
    pub fn as_func(&self) -> Option<Option<&Func>> {
        match self {
            Self::Func(func) => Some(func.as_ref()),
            Self::Extern(_) => None,
        }
    }

    /// The host's value (or null), if this is a reference to one.
    pub fn as_extern(&self) -> Option<Option<&ExternRef>> {
        match self {
            Self::Extern(value) => Some(value.as_ref()),
            Self::Func(_) => None,
        }
    }

    /// The function (or null).
    ///
    /// # Panics
    /// When the reference is of the other type.
    pub fn unwrap_func(&self) -> Option<&Func> {
        self.as_func().expect("the reference is not to a function")
    }

    /// The host's value (or null).
    ///
    /// # Panics
    /// When the reference is of the other type.
    pub fn unwrap_extern(&self) -> Option<&ExternRef> {
        self.as_extern().expect("the reference is not to a value of the host's")
    }

    /// The type. References are not precise about what they refer to, so the store is not needed so far.
    ///
    /// # Errors
    /// Never so far.
    pub fn ty(&self, _store: impl AsContext) -> Result<RefType> {
        Ok(self.ref_type())
    }

    pub(crate) fn ref_type(&self) -> RefType {
        match self {
            Self::Func(_) => RefType::FUNCREF,
            Self::Extern(_) => RefType::EXTERNREF,
        }
    }

    /// As generated code has it.
    ///
    /// # Errors
    /// As [`Val::to_raw`].
    pub(crate) fn to_raw(self, store: &mut StoreOpaque) -> Result<u64> {
        match self {
            Self::Func(None) | Self::Extern(None) => Ok(0),
            Self::Func(Some(func)) => func.to_raw(store),
            Self::Extern(Some(value)) if value.store() == store.id() => Ok(value.to_raw()),
            Self::Extern(Some(_)) => bail!("cross-`Store` values are not supported: an externref is of another store"),
        }
    }

    /// # Safety
    /// `raw` is a reference of type `ty` of this store.
    pub(crate) unsafe fn from_raw(raw: u64, ty: RefType, store: &StoreOpaque) -> Self {
        match ty.heap_type() {
            // SAFETY: by the caller's promise.
            HeapType::Func => Self::Func(unsafe { Func::from_raw(store.id(), raw) }),
            HeapType::Extern => Self::Extern(ExternRef::from_raw(store.id(), raw)),
        }
    }
}

impl From<Ref> for Val {
    fn from(reference: Ref) -> Self {
        match reference {
            Ref::Func(func) => Self::FuncRef(func),
            Ref::Extern(value) => Self::ExternRef(value),
        }
    }
}

macro_rules! conversions {
    ($($target:ident: $($ty:ty => |$value:ident| $expr:expr),*;)*) => {$($(
        impl From<$ty> for $target {
            fn from($value: $ty) -> Self {
                $expr
            }
        }
    )*)*};
}

conversions! {
    Val:
        i32 => |value| Self::I32(value),
        i64 => |value| Self::I64(value),
        f32 => |value| Self::F32(value.to_bits()),
        f64 => |value| Self::F64(value.to_bits()),
        V128 => |value| Self::V128(value),
        u128 => |value| Self::V128(value.into()),
        Func => |func| Self::FuncRef(Some(func)),
        Option<Func> => |func| Self::FuncRef(func),
        ExternRef => |value| Self::ExternRef(Some(value)),
        Option<ExternRef> => |value| Self::ExternRef(value);
    Ref:
        Func => |func| Self::Func(Some(func)),
        Option<Func> => |func| Self::Func(func),
        ExternRef => |value| Self::Extern(Some(value)),
        Option<ExternRef> => |value| Self::Extern(value);
}
