//! [`Signature`]: the calling convention of wasm functions (ARCHITECTURE.md, section 3), used by calls, function bodies and thunks alike.
//!
//! The context comes first, in `swiftself`. Arguments and results travel in registers as long as there are any; each one
//! that finds none is in the slot of the execution context's spill area that has its position. A spilled value is stored just before the
//! call (return) and loaded just after, so the area is never live across anything else.

use std::mem::offset_of;

use inkwell::types::{BasicMetadataTypeEnum, BasicTypeEnum, FunctionType};
use inkwell::values::{CallSiteValue, FunctionValue, LLVMTailCallKind, PointerValue};
use wasmo_abi::types::{FuncType, ValType};
use wasmo_abi::vm::{RawValue, VmContext, VmExecContext};

use super::builder::pointer;
use super::context::{Arch, Ir};
use super::tbaa::Region;
use super::types::Value;
use crate::error::Error;

/// LLVM's number of the calling convention `swifttailcc`.
pub const SWIFT_TAIL_CC: u32 = 20;

/// LLVM's number of the calling convention `swiftcc`.
const SWIFT_CC: u32 = 16;

/// Where a parameter or a result travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In registers: its position among those that do.
    Register(u32),
    /// In this slot of the spill area.
    Spill(usize),
}

/// How many registers there are of each class.
#[derive(Clone, Copy)]
struct Registers {
    integer: usize,
    vector: usize,
}

impl Registers {
    fn for_params(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self { integer: 6, vector: 8 },
            Arch::Aarch64 => Self { integer: 8, vector: 8 },
        }
    }

    fn for_results(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self { integer: 4, vector: 4 },
            Arch::Aarch64 => Self { integer: 8, vector: 8 },
        }
    }

    fn assign(mut self, types: &[ValType]) -> Vec<Place> {
        let mut registers = 0;
        let place = |(position, ty): (usize, &ValType)| {
            let free = match ty {
                ValType::I32 | ValType::I64 | ValType::Ref(_) => &mut self.integer,
                ValType::F32 | ValType::F64 | ValType::V128 => &mut self.vector,
            };
            if *free == 0 {
                return Place::Spill(position);
            }
            *free -= 1;
            registers += 1;
            Place::Register(registers - 1)
        };
        types.iter().enumerate().map(place).collect()
    }
}

/// How functions of one type are called.
#[derive(Clone, Debug)]
pub struct Signature<'ctx> {
    /// LLVM's type of such functions.
    pub ty: FunctionType<'ctx>,
    /// Types and places of the parameters; that in register n is LLVM's parameter n + 1.
    pub params: Vec<(BasicTypeEnum<'ctx>, Place)>,
    /// Types and places of the results.
    pub results: Vec<(BasicTypeEnum<'ctx>, Place)>,
    /// How many results travel in registers.
    register_results: usize,
}

/// What a call calls.
#[derive(Clone, Copy, Debug)]
pub enum Callee<'ctx> {
    /// A function of this LLVM module, or declared in it.
    Direct(FunctionValue<'ctx>),
    /// The code at this address.
    Indirect(PointerValue<'ctx>),
}

impl<'ctx> Signature<'ctx> {
    /// How functions of type `ty` are called.
    pub fn new(ir: &Ir<'ctx>, ty: &FuncType) -> Self {
        let arch = ir.options.arch;
        let placed = |types: &[ValType], registers: Registers| -> Vec<_> {
            types.iter().map(|&ty| ir.types.value(ty)).zip(registers.assign(types)).collect()
        };
        let params = placed(&ty.params, Registers::for_params(arch));
        let results = placed(&ty.results, Registers::for_results(arch));
        let mut llvm_params: Vec<BasicMetadataTypeEnum<'ctx>> = vec![ir.types.ptr.into()];
        llvm_params.extend(in_registers(&params).map(BasicMetadataTypeEnum::from));
        let llvm_results: Vec<_> = in_registers(&results).collect();
        let llvm = match llvm_results.as_slice() {
            [] => ir.types.void.fn_type(&llvm_params, false),
            [BasicTypeEnum::IntType(ty)] => ty.fn_type(&llvm_params, false),
            [BasicTypeEnum::FloatType(ty)] => ty.fn_type(&llvm_params, false),
            [BasicTypeEnum::PointerType(ty)] => ty.fn_type(&llvm_params, false),
            [BasicTypeEnum::VectorType(ty)] => ty.fn_type(&llvm_params, false),
            several => ir.context().struct_type(several, false).fn_type(&llvm_params, false),
        };
        Self { ty: llvm, params, results, register_results: llvm_results.len() }
    }
}

fn in_registers<'a, 'ctx>(
    places: &'a [(BasicTypeEnum<'ctx>, Place)],
) -> impl Iterator<Item = BasicTypeEnum<'ctx>> + use<'a, 'ctx> {
    places.iter().filter(|(_, place)| matches!(place, Place::Register(_))).map(|&(ty, _)| ty)
}

impl<'ctx> Ir<'ctx> {
    /// The execution context, given the context of a function: of an instance or of a host function, it is at the same place.
    pub fn exec(&self, context: PointerValue<'ctx>) -> Result<PointerValue<'ctx>, Error> {
        self.constant_pointer(context, offset_of!(VmContext, exec))
    }

    /// The slot `slot` of the spill area, given the context of a function.
    pub(crate) fn spill_slot(&self, context: PointerValue<'ctx>, slot: usize) -> Result<PointerValue<'ctx>, Error> {
        let exec = self.exec(context)?;
        self.field(exec, offset_of!(VmExecContext, spill) + slot * size_of::<RawValue>())
    }

    fn store_spilled(
        &self,
        context: PointerValue<'ctx>,
        places: &[(BasicTypeEnum<'ctx>, Place)],
        values: &[Value<'ctx>],
    ) -> Result<Vec<Value<'ctx>>, Error> {
        if places.len() != values.len() {
            return Err(Error::internal("a call or return with too few or too many values"));
        }
        let mut registers = Vec::with_capacity(values.len());
        for (&(_, place), &value) in places.iter().zip(values) {
            match place {
                Place::Register(_) => registers.push(value),
                Place::Spill(slot) => {
                    self.store(value, self.spill_slot(context, slot)?, 16, self.tag(Region::Spill))?;
                }
            }
        }
        Ok(registers)
    }

    fn load_spilled(
        &self,
        context: PointerValue<'ctx>,
        places: &[(BasicTypeEnum<'ctx>, Place)],
        register: impl Fn(u32) -> Result<Value<'ctx>, Error>,
    ) -> Result<Vec<Value<'ctx>>, Error> {
        let load = |&(ty, place): &(BasicTypeEnum<'ctx>, Place)| match place {
            Place::Register(position) => register(position),
            Place::Spill(slot) => self.load(ty, self.spill_slot(context, slot)?, 16, self.tag(Region::Spill)),
        };
        places.iter().map(load).collect()
    }

    /// The context that `function`, in the wasm convention, was called with.
    ///
    /// # Errors
    /// An internal one when it has none.
    pub fn context_param(&self, function: FunctionValue<'ctx>) -> Result<PointerValue<'ctx>, Error> {
        pointer(function.get_nth_param(0).ok_or_else(|| Error::internal("a function without a context"))?)
    }

    /// The wasm parameters of `function`; to be used at its entry, before anything can call.
    ///
    /// # Errors
    /// An internal one when the function has another type.
    pub fn load_params(
        &self,
        function: FunctionValue<'ctx>,
        signature: &Signature<'ctx>,
    ) -> Result<Vec<Value<'ctx>>, Error> {
        let context = self.context_param(function)?;
        self.load_spilled(context, &signature.params, |position| {
            function.get_nth_param(position + 1).ok_or_else(|| Error::internal("a function with too few parameters"))
        })
    }

    /// Returns `values` from a function that has `context`.
    ///
    /// # Errors
    /// An internal one when the values are not the signature's results.
    pub fn emit_return(
        &self,
        context: PointerValue<'ctx>,
        signature: &Signature<'ctx>,
        values: &[Value<'ctx>],
    ) -> Result<(), Error> {
        let registers = self.store_spilled(context, &signature.results, values)?;
        match registers.as_slice() {
            [] => self.builder().build_return(None)?,
            [value] => self.builder().build_return(Some(value))?,
            several => self.builder().build_aggregate_return(several)?,
        };
        Ok(())
    }

    /// Calls `callee` with `context`; answers its results.
    ///
    /// # Errors
    /// An internal one when the arguments are not the signature's parameters.
    pub fn emit_call(
        &self,
        callee: Callee<'ctx>,
        context: PointerValue<'ctx>,
        signature: &Signature<'ctx>,
        arguments: &[Value<'ctx>],
    ) -> Result<Vec<Value<'ctx>>, Error> {
        let call = self.wasm_call(callee, context, signature, arguments)?;
        // The same to the callee, as long as all arguments are in registers; see `shim/emitter.cpp`.
        if self.options.quick && self.options.arch == Arch::X86_64 {
            call.set_call_convention(SWIFT_CC);
        }
        call.set_tail_call_kind(LLVMTailCallKind::LLVMTailCallKindNoTail);
        let result = call.try_as_basic_value().basic();
        self.load_spilled(context, &signature.results, |position| {
            let result = result.ok_or_else(|| Error::internal("a call without a result"))?;
            match result {
                Value::StructValue(all) if signature.register_results > 1 => {
                    Ok(self.builder().build_extract_value(all, position, "")?)
                }
                only => Ok(only),
            }
        })
    }

    /// Leaves the function for `callee`, whose results are the function's own.
    ///
    /// # Errors
    /// An internal one when the arguments are not the signature's parameters.
    pub fn emit_tail_call(
        &self,
        callee: Callee<'ctx>,
        context: PointerValue<'ctx>,
        signature: &Signature<'ctx>,
        arguments: &[Value<'ctx>],
    ) -> Result<(), Error> {
        let call = self.wasm_call(callee, context, signature, arguments)?;
        call.set_tail_call_kind(LLVMTailCallKind::LLVMTailCallKindMustTail);
        match call.try_as_basic_value().basic() {
            Some(result) => self.builder().build_return(Some(&result))?,
            None => self.builder().build_return(None)?,
        };
        Ok(())
    }

    fn wasm_call(
        &self,
        callee: Callee<'ctx>,
        context: PointerValue<'ctx>,
        signature: &Signature<'ctx>,
        arguments: &[Value<'ctx>],
    ) -> Result<CallSiteValue<'ctx>, Error> {
        let registers = self.store_spilled(context, &signature.params, arguments)?;
        let mut arguments = vec![context.into()];
        arguments.extend(registers.into_iter().map(inkwell::values::BasicMetadataValueEnum::from));
        let call = match callee {
            Callee::Direct(function) => self.builder().build_direct_call(function, &arguments, "")?,
            Callee::Indirect(code) => self.builder().build_indirect_call(signature.ty, code, &arguments, "")?,
        };
        call.set_call_convention(SWIFT_TAIL_CC);
        self.mark_wasm_call(call);
        Ok(call)
    }
}
