//! [`Types`]: the LLVM types that WebAssembly's values have.
//!
//! | wasm | LLVM |
//! |---|---|
//! | i32, i64 | `i32`, `i64` |
//! | f32, f64 | `float`, `double` |
//! | v128 | `<2 x i64>`, always: operators cast to the lanes that they work on and back |
//! | funcref | `ptr` to a [`wasmo_abi::vm::VmFuncRef`], or null |
//! | externref | `i64` |

use inkwell::AddressSpace;
use inkwell::context::ContextRef;
use inkwell::types::{BasicTypeEnum, FloatType, IntType, PointerType, VectorType, VoidType};
use inkwell::values::BasicValueEnum;
use wasmo_abi::types::{RefType, ValType};

/// A value of any first-class type.
pub type Value<'ctx> = BasicValueEnum<'ctx>;

/// The types that generated code uses all the time.
#[derive(Clone, Copy, Debug)]
pub struct Types<'ctx> {
    /// A truth value.
    pub i1: IntType<'ctx>,
    /// A byte, and what addresses are counted in.
    pub i8: IntType<'ctx>,
    /// 16 bits.
    pub i16: IntType<'ctx>,
    /// 32 bits.
    pub i32: IntType<'ctx>,
    /// 64 bits, and as wide as an address.
    pub i64: IntType<'ctx>,
    /// `float`
    pub f32: FloatType<'ctx>,
    /// `double`
    pub f64: FloatType<'ctx>,
    /// The one type of `v128` values outside of the operators on them: `<2 x i64>`.
    pub v128: VectorType<'ctx>,
    /// An address.
    pub ptr: PointerType<'ctx>,
    /// No value.
    pub void: VoidType<'ctx>,
}

impl<'ctx> Types<'ctx> {
    pub(super) fn new(context: ContextRef<'ctx>) -> Self {
        Self {
            i1: context.bool_type(),
            i8: context.i8_type(),
            i16: context.i16_type(),
            i32: context.i32_type(),
            i64: context.i64_type(),
            f32: context.f32_type(),
            f64: context.f64_type(),
            v128: context.i64_type().vec_type(2),
            ptr: context.ptr_type(AddressSpace::default()),
            void: context.void_type(),
        }
    }

    /// The type of values of wasm type `ty`.
    pub fn value(&self, ty: ValType) -> BasicTypeEnum<'ctx> {
        match ty {
            ValType::I32 => self.i32.into(),
            ValType::I64 | ValType::Ref(RefType::Extern) => self.i64.into(),
            ValType::F32 => self.f32.into(),
            ValType::F64 => self.f64.into(),
            ValType::V128 => self.v128.into(),
            ValType::Ref(RefType::Func) => self.ptr.into(),
        }
    }

    /// What a local variable of type `ty` begins with: zero or null.
    pub fn zero(&self, ty: ValType) -> Value<'ctx> {
        self.value(ty).const_zero()
    }
}
