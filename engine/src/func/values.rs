//! Which Rust types correspond to WebAssembly's: [`WasmTy`] for single values, [`WasmParams`] and [`WasmResults`] for lists of them,
//! [`WasmRet`] for what closures return.

use crate::store::StoreOpaque;
use crate::{Error, ExternRef, Func, Result, V128, Val, ValType};
use std::mem::MaybeUninit;
use wasmo_abi::vm::{DIRECT_FLOATS, DIRECT_INTEGERS, DIRECT_RESULTS, RawValue};
use wasmo_runtime::{Arguments, Results};

/// In which registers values of a type travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// In those for integers.
    Integer,
    /// In those for floats.
    Float,
    /// In none as far as the host is concerned, which passes and takes them through memory.
    Memory,
}

/// How many values of a list have which class; also where the next one goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classes {
    pub(super) integers: usize,
    pub(super) floats: usize,
    memory: usize,
}

impl Classes {
    /// Those of a list of types.
    pub(super) const fn of(list: &[Class]) -> Self {
        let mut counts = Self { integers: 0, floats: 0, memory: 0 };
        let mut position = 0;
        while position < list.len() {
            match list[position] {
                Class::Integer => counts.integers += 1,
                Class::Float => counts.floats += 1,
                Class::Memory => counts.memory += 1,
            }
            position += 1;
        }
        counts
    }

    /// Whether all values fit so many registers.
    pub(super) const fn fit(self, integers: usize, floats: usize) -> bool {
        self.memory == 0 && self.integers <= integers && self.floats <= floats
    }

    /// Takes the next register for a value of class `class`: whether it is one for floats, and its position among them.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "positions must become constants")]
    fn next(&mut self, class: Class) -> (bool, usize) {
        let float = class == Class::Float;
        let counter = if float { &mut self.floats } else { &mut self.integers };
        *counter += 1;
        (float, *counter - 1)
    }
}

/// A Rust type that corresponds to a WebAssembly value type: `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, [`V128`], `Option<`[`Func`]`>` and
/// `Option<`[`ExternRef`]`>`.
///
/// # Safety
/// Implemented by wasmo only: `from_raw` is called with values that the guest made for the type `valtype` names.
pub unsafe trait WasmTy: Sized + Send {
    /// How functions in C's convention take and return the value when it is not [`Class::Memory`].
    #[doc(hidden)]
    type Direct: Direct;

    #[doc(hidden)]
    const CLASS: Class = <Self::Direct as Direct>::CLASS;

    #[doc(hidden)]
    fn valtype() -> ValType;

    #[doc(hidden)]
    #[inline]
    fn direct_of(raw: RawValue) -> Self::Direct {
        Direct::from_raw(raw)
    }

    #[doc(hidden)]
    #[inline]
    fn raw_of(direct: Self::Direct) -> RawValue {
        direct.into_raw()
    }

    /// The value as generated code has it.
    #[doc(hidden)]
    fn into_raw(self, store: &mut StoreOpaque) -> Result<RawValue>;

    /// # Safety
    /// `raw` is a value of the type of this store.
    #[doc(hidden)]
    unsafe fn from_raw(raw: RawValue, store: &StoreOpaque) -> Self;
}

/// What functions in C's convention take and return: a number, or nothing for what they do not.
pub trait Direct: Copy {
    const CLASS: Class;
    fn from_raw(raw: RawValue) -> Self;
    fn into_raw(self) -> RawValue;
}

macro_rules! direct {
    ($($ty:ty, $class:ident: |$raw:ident| $from:expr, |$value:ident| $into:expr;)*) => {$(
        impl Direct for $ty {
            const CLASS: Class = Class::$class;

            #[inline]
            fn from_raw($raw: RawValue) -> Self {
                $from
            }

            #[inline]
            fn into_raw(self) -> RawValue {
                let $value = self;
                $into
            }
        }
    )*};
}

direct! {
    u32, Integer: |raw| raw.as_u32(), |value| RawValue::from_u32(value);
    u64, Integer: |raw| raw.as_u64(), |value| RawValue::from_u64(value);
    f32, Float: |raw| f32::from_bits(raw.as_u32()), |value| RawValue::from_u32(value.to_bits());
    f64, Float: |raw| f64::from_bits(raw.as_u64()), |value| RawValue::from_u64(value.to_bits());
    (), Memory: |_raw| (), |_value| RawValue::default();
}

macro_rules! numbers {
    ($($ty:ty, $variant:ident, $direct:ty: |$value:ident| $into:expr, |$raw:ident| $from:expr;)*) => {$(
        // SAFETY: every bit pattern is a value.
        unsafe impl WasmTy for $ty {
            type Direct = $direct;

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
    i32, I32, u32: |value| RawValue::from_u32(value.cast_unsigned()), |raw| raw.as_u32().cast_signed();
    u32, I32, u32: |value| RawValue::from_u32(value), |raw| raw.as_u32();
    i64, I64, u64: |value| RawValue::from_u64(value.cast_unsigned()), |raw| raw.as_u64().cast_signed();
    u64, I64, u64: |value| RawValue::from_u64(value), |raw| raw.as_u64();
    f32, F32, f32: |value| RawValue::from_u32(value.to_bits()), |raw| f32::from_bits(raw.as_u32());
    f64, F64, f64: |value| RawValue::from_u64(value.to_bits()), |raw| f64::from_bits(raw.as_u64());
    V128, V128, (): |value| RawValue::from_u128(value.as_u128()), |raw| V128::from(raw.as_u128());
}

// SAFETY: a `funcref` of a store is null or points to a function of that store, which lives as long as the store.
unsafe impl WasmTy for Option<Func> {
    type Direct = u64;

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
    type Direct = u64;

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

    /// The classes of the values.
    #[doc(hidden)]
    const CLASSES: Classes;

    /// Whether all arguments of these types travel in registers.
    #[doc(hidden)]
    const ARGUMENTS_IN_REGISTERS: bool = Self::CLASSES.fit(DIRECT_INTEGERS, DIRECT_FLOATS);

    #[doc(hidden)]
    fn store_to(self, store: &mut StoreOpaque, values: &mut MaybeUninit<Self::Values>) -> Result<()>;

    /// The arguments, where [`WasmParams::ARGUMENTS_IN_REGISTERS`].
    #[doc(hidden)]
    fn to_registers(self, store: &mut StoreOpaque) -> Result<Arguments>;
}

/// Results of a call: a [`WasmTy`], a tuple of up to 16 of them, or `()`.
///
/// # Safety
/// Implemented by wasmo only, as for [`WasmParams`].
pub unsafe trait WasmResults: WasmParams {
    /// How functions in C's convention return these results when they can.
    #[doc(hidden)]
    type Direct: Copy;

    /// Whether functions in C's convention can return these results as those of the wasm convention do.
    #[doc(hidden)]
    const DIRECT: bool;

    /// Whether all results of these types travel in registers.
    #[doc(hidden)]
    const RESULTS_IN_REGISTERS: bool = Self::CLASSES.fit(DIRECT_RESULTS, DIRECT_RESULTS);

    #[doc(hidden)]
    fn into_direct(self, store: &mut StoreOpaque) -> Result<<Self as WasmResults>::Direct>;

    /// # Safety
    /// `results` are of the types, of this store, and [`WasmResults::RESULTS_IN_REGISTERS`].
    #[doc(hidden)]
    unsafe fn from_registers(store: &StoreOpaque, results: &Results) -> Self;

    /// # Safety
    /// `values` holds values of the types, of this store.
    #[doc(hidden)]
    unsafe fn load_from(store: &StoreOpaque, values: &Self::Values) -> Self;
}

// SAFETY: one value.
unsafe impl<A: WasmTy> WasmParams for A {
    type Values = [RawValue; 1];
    const CLASSES: Classes = Classes::of(&[A::CLASS]);

    fn valtypes() -> impl ExactSizeIterator<Item = ValType> {
        [A::valtype()].into_iter()
    }

    #[inline]
    fn store_to(self, store: &mut StoreOpaque, values: &mut MaybeUninit<Self::Values>) -> Result<()> {
        values.write([self.into_raw(store)?]);
        Ok(())
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the registers must not become memory")]
    fn to_registers(self, store: &mut StoreOpaque) -> Result<Arguments> {
        (self,).to_registers(store)
    }
}

// SAFETY: one value.
unsafe impl<A: WasmTy> WasmResults for A {
    type Direct = A::Direct;
    const DIRECT: bool = Self::RESULTS_IN_REGISTERS;

    #[inline]
    fn into_direct(self, store: &mut StoreOpaque) -> Result<A::Direct> {
        Ok(A::direct_of(self.into_raw(store)?))
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the registers must not become memory")]
    unsafe fn from_registers(store: &StoreOpaque, results: &Results) -> Self {
        // SAFETY: by the caller's promise.
        unsafe { <(A,)>::from_registers(store, results).0 }
    }

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

/// What several results are in C's convention, where they are not returned.
macro_rules! no_result {
    ($results:ident, $store:ident $(, $name:ident)*) => {
        Ok(())
    };
}

macro_rules! one_result {
    ($results:ident, $store:ident, $name:ident) => {
        $results.0.into_direct($store)
    };
}

macro_rules! tuples {
    ($($count:literal, $direct:ty, $into:ident: $($name:ident $position:tt),*;)*) => {$(
        // SAFETY: the array and the list of types have one element for each element of the tuple.
        #[allow(non_snake_case, unused_variables, unused_mut, reason = "one macro for all tuples, the empty one included")]
        unsafe impl<$($name: WasmTy),*> WasmParams for ($($name,)*) {
            type Values = [RawValue; $count];
            const CLASSES: Classes = Classes::of(&[$($name::CLASS),*]);

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

            #[inline(always)]
            #[allow(clippy::inline_always, reason = "the registers must not become memory")]
            fn to_registers(self, store: &mut StoreOpaque) -> Result<Arguments> {
                let ($($name,)*) = self;
                let mut arguments = Arguments::new();
                let mut places = Classes::default();
                $(
                    let (float, position) = places.next(<$name as WasmTy>::CLASS);
                    arguments.set(float, position, $name.into_raw(store)?.as_u64());
                )*
                Ok(arguments)
            }
        }

        #[allow(
            non_snake_case, unused_variables, unused_mut, clippy::unused_unit,
            reason = "one macro for all tuples, the empty one included"
        )]
        // SAFETY: as above.
        unsafe impl<$($name: WasmTy),*> WasmResults for ($($name,)*) {
            type Direct = $direct;
            const DIRECT: bool = $count <= 1 && Self::RESULTS_IN_REGISTERS;

            #[inline]
            fn into_direct(self, store: &mut StoreOpaque) -> Result<$direct> {
                $into!(self, store $(, $name)*)
            }

            #[inline(always)]
            #[allow(clippy::inline_always, reason = "the registers must not become memory")]
            unsafe fn from_registers(store: &StoreOpaque, results: &Results) -> Self {
                let mut places = Classes::default();
                $(
                    let (float, position) = places.next(<$name as WasmTy>::CLASS);
                    let raw = RawValue::from_u64(results.get(float, position));
                    // SAFETY: by the caller's promise.
                    let $name = unsafe { $name::from_raw(raw, store) };
                )*
                ($($name,)*)
            }

            #[inline]
            unsafe fn load_from(store: &StoreOpaque, values: &Self::Values) -> Self {
                // SAFETY: by the caller's promise.
                ($(unsafe { $name::from_raw(values[$position], store) },)*)
            }
        }
    )*};
}

tuples! {
    0, (), no_result: ;
    1, A::Direct, one_result: A 0;
    2, (), no_result: A 0, B 1;
    3, (), no_result: A 0, B 1, C 2;
    4, (), no_result: A 0, B 1, C 2, D 3;
    5, (), no_result: A 0, B 1, C 2, D 3, E 4;
    6, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5;
    7, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
    9, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8;
    10, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9;
    11, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10;
    12, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11;
    13, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12;
    14, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13;
    15, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14;
    16, (), no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15;
}
