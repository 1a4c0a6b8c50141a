//! Which Rust types correspond to WebAssembly's: [`WasmTy`] for single values, [`WasmParams`] and [`WasmResults`] for lists of them,
//! [`WasmRet`] for what closures return.

use crate::store::StoreOpaque;
use crate::{Error, ExternRef, Func, Result, V128, Val, ValType};
use std::mem::MaybeUninit;
use wasmo_abi::vm::RawValue;

/// A Rust type that corresponds to a WebAssembly value type: `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, [`V128`], `Option<`[`Func`]`>` and
/// `Option<`[`ExternRef`]`>`.
///
/// # Safety
/// Implemented by wasmo only: `from_raw` is called with values that the guest made for the type `valtype` names.
pub unsafe trait WasmTy: Sized + Send {
    #[doc(hidden)]
    fn valtype() -> ValType;

    /// The value as generated code has it.
    #[doc(hidden)]
    fn into_raw(self, store: &mut StoreOpaque) -> Result<RawValue>;

    /// # Safety
    /// `raw` is a value of the type of this store.
    #[doc(hidden)]
    unsafe fn from_raw(raw: RawValue, store: &StoreOpaque) -> Self;
}

macro_rules! numbers {
    ($($ty:ty, $variant:ident: |$value:ident| $into:expr, |$raw:ident| $from:expr;)*) => {$(
        // SAFETY: every bit pattern is a value.
        unsafe impl WasmTy for $ty {
            #[inline]
            fn valtype() -> ValType {
                ValType::$variant
            }

            #[inline]
            fn into_raw(self, _store: &mut StoreOpaque) -> Result<RawValue> {
                let $value = self;
                Ok($into)
            }

            #[inline]
            unsafe fn from_raw($raw: RawValue, _store: &StoreOpaque) -> Self {
                $from
            }
        }
    )*};
}

numbers! {
    i32, I32: |value| RawValue::from_u32(value.cast_unsigned()), |raw| raw.as_u32().cast_signed();
    u32, I32: |value| RawValue::from_u32(value), |raw| raw.as_u32();
    i64, I64: |value| RawValue::from_u64(value.cast_unsigned()), |raw| raw.as_u64().cast_signed();
    u64, I64: |value| RawValue::from_u64(value), |raw| raw.as_u64();
    f32, F32: |value| RawValue::from_u32(value.to_bits()), |raw| f32::from_bits(raw.as_u32());
    f64, F64: |value| RawValue::from_u64(value.to_bits()), |raw| f64::from_bits(raw.as_u64());
    V128, V128: |value| RawValue::from_u128(value.as_u128()), |raw| V128::from(raw.as_u128());
}

// SAFETY: a `funcref` of a store is null or points to a function of that store, which lives as long as the store.
unsafe impl WasmTy for Option<Func> {
    fn valtype() -> ValType {
        ValType::FUNCREF
    }

    fn into_raw(self, store: &mut StoreOpaque) -> Result<RawValue> {
        Val::FuncRef(self).to_raw(store)
    }

    unsafe fn from_raw(raw: RawValue, store: &StoreOpaque) -> Self {
        // SAFETY: by the caller's promise.
        unsafe { Func::from_raw(store.id(), raw.as_u64()) }
    }
}

// SAFETY: an `externref` is a number, and looked up with a check.
unsafe impl WasmTy for Option<ExternRef> {
    fn valtype() -> ValType {
        ValType::EXTERNREF
    }

    fn into_raw(self, store: &mut StoreOpaque) -> Result<RawValue> {
        Val::ExternRef(self).to_raw(store)
    }

    unsafe fn from_raw(raw: RawValue, store: &StoreOpaque) -> Self {
        ExternRef::from_raw(store.id(), raw.as_u64())
    }
}

/// Arguments of a call: a [`WasmTy`], a tuple of up to 16 of them, or `()`.
///
/// # Safety
/// Implemented by wasmo only: `Values` has room for as many values as `valtypes` names, and `store_to` fills them all.
pub unsafe trait WasmParams: Send {
    /// An array with room for the values.
    #[doc(hidden)]
    type Values: Copy;

    #[doc(hidden)]
    fn valtypes() -> impl ExactSizeIterator<Item = ValType>;

    #[doc(hidden)]
    fn store_to(self, store: &mut StoreOpaque, values: &mut MaybeUninit<Self::Values>) -> Result<()>;
}

/// Results of a call: a [`WasmTy`], a tuple of up to 16 of them, or `()`.
///
/// # Safety
/// Implemented by wasmo only, as for [`WasmParams`].
pub unsafe trait WasmResults: WasmParams {
    /// # Safety
    /// `values` holds values of the types, of this store.
    #[doc(hidden)]
    unsafe fn load_from(store: &StoreOpaque, values: &Self::Values) -> Self;
}

// SAFETY: one value.
unsafe impl<A: WasmTy> WasmParams for A {
    type Values = [RawValue; 1];

    fn valtypes() -> impl ExactSizeIterator<Item = ValType> {
        [A::valtype()].into_iter()
    }

    #[inline]
    fn store_to(self, store: &mut StoreOpaque, values: &mut MaybeUninit<Self::Values>) -> Result<()> {
        values.write([self.into_raw(store)?]);
        Ok(())
    }
}

// SAFETY: one value.
unsafe impl<A: WasmTy> WasmResults for A {
    #[inline]
    unsafe fn load_from(store: &StoreOpaque, values: &Self::Values) -> Self {
        // SAFETY: by the caller's promise.
        unsafe { A::from_raw(values[0], store) }
    }
}

/// The types of closures' results: what a call may return, or a [`Result`] of it.
pub trait WasmRet {
    /// What remains when the error is taken care of.
    #[doc(hidden)]
    type Success: WasmResults;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Success>;
}

impl<R: WasmResults> WasmRet for R {
    type Success = R;

    #[inline]
    fn into_result(self) -> Result<R> {
        Ok(self)
    }
}

impl<R: WasmResults> WasmRet for Result<R, Error> {
    type Success = R;

    #[inline]
    fn into_result(self) -> Result<R> {
        self
    }
}

macro_rules! tuples {
    ($($count:literal: $($name:ident $position:tt),*;)*) => {$(
        // SAFETY: the array and the list of types have one element for each element of the tuple.
        #[allow(non_snake_case, unused_variables, reason = "one macro for all tuples, the empty one included")]
        unsafe impl<$($name: WasmTy),*> WasmParams for ($($name,)*) {
            type Values = [RawValue; $count];

            fn valtypes() -> impl ExactSizeIterator<Item = ValType> {
                let types: [ValType; $count] = [$($name::valtype()),*];
                types.into_iter()
            }

            #[inline]
            fn store_to(self, store: &mut StoreOpaque, values: &mut MaybeUninit<Self::Values>) -> Result<()> {
                let ($($name,)*) = self;
                values.write([$($name.into_raw(store)?),*]);
                Ok(())
            }
        }

        // SAFETY: as above.
        #[allow(unused_variables, clippy::unused_unit, reason = "one macro for all tuples, the empty one included")]
        unsafe impl<$($name: WasmTy),*> WasmResults for ($($name,)*) {
            #[inline]
            unsafe fn load_from(store: &StoreOpaque, values: &Self::Values) -> Self {
                // SAFETY: by the caller's promise.
                ($(unsafe { $name::from_raw(values[$position], store) },)*)
            }
        }
    )*};
}

tuples! {
    0: ;
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
    9: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8;
    10: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9;
    11: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10;
    12: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11;
    13: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12;
    14: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13;
    15: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14;
    16: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15;
}
