//! Instructions with short names.
//!
//! All are placed where [`Ir::builder`] stands. Values come and go as [`Value`], of whose type the wasm validator has made sure;
//! a mismatch is a defect of ours and an internal error.

use inkwell::basic_block::BasicBlock;
use inkwell::types::{BasicType, BasicTypeEnum};
use inkwell::values::{
    AsValueRef, BasicValue, FloatValue, FunctionValue, InstructionOpcode, InstructionValue, IntValue, PhiValue,
    PointerValue,
};
use inkwell::{FloatPredicate, IntPredicate};
use llvm_sys::core::{LLVMBuildFreeze, LLVMBuildGEPWithNoWrapFlags};

use super::context::Ir;
use super::tbaa::{Region, Tag};
use super::types::Value;
use crate::error::Error;

/// `value` as an integer.
///
/// # Errors
/// An internal one when it is none.
pub fn int(value: Value<'_>) -> Result<IntValue<'_>, Error> {
    match value {
        Value::IntValue(value) => Ok(value),
        other => Err(mismatch("an integer", other)),
    }
}

/// `value` as a scalar float.
///
/// # Errors
/// An internal one when it is none.
pub fn float(value: Value<'_>) -> Result<FloatValue<'_>, Error> {
    match value {
        Value::FloatValue(value) => Ok(value),
        other => Err(mismatch("a float", other)),
    }
}

/// `value` as an address.
///
/// # Errors
/// An internal one when it is none.
pub fn pointer(value: Value<'_>) -> Result<PointerValue<'_>, Error> {
    match value {
        Value::PointerValue(value) => Ok(value),
        other => Err(mismatch("an address", other)),
    }
}

fn mismatch(expected: &str, found: Value<'_>) -> Error {
    Error::internal(format!("expected {expected}, found a value of type {}", found.get_type()))
}

impl<'ctx> Ir<'ctx> {
    /// Goes on at the end of `block`.
    pub fn at_end(&self, block: BasicBlock<'ctx>) {
        self.builder().position_at_end(block);
    }

    /// The block that instructions are placed in.
    ///
    /// # Errors
    /// An internal one when the builder stands nowhere.
    pub fn block(&self) -> Result<BasicBlock<'ctx>, Error> {
        self.builder().get_insert_block().ok_or_else(|| Error::internal("the builder stands in no block"))
    }

    /// A new block at the end of `function`.
    pub fn new_block(&self, function: FunctionValue<'ctx>) -> BasicBlock<'ctx> {
        self.context().append_basic_block(function, "")
    }

    /// The constant `value` of type i32.
    pub fn i32(&self, value: u32) -> IntValue<'ctx> {
        self.types.i32.const_int(u64::from(value), false)
    }

    /// The constant `value` of type i64.
    pub fn i64(&self, value: u64) -> IntValue<'ctx> {
        self.types.i64.const_int(value, false)
    }

    /// An arithmetic or logical instruction with two operands.
    pub fn binary(&self, opcode: InstructionOpcode, a: Value<'ctx>, b: Value<'ctx>) -> Result<Value<'ctx>, Error> {
        Ok(self.builder().build_binop(opcode, a, b, "")?)
    }

    /// A conversion.
    pub fn cast(
        &self,
        opcode: InstructionOpcode,
        value: impl BasicValue<'ctx>,
        ty: impl BasicType<'ctx>,
    ) -> Result<Value<'ctx>, Error> {
        Ok(self.builder().build_cast(opcode, value, ty, "")?)
    }

    /// `value`, an integer of at most 64 bits, extended with zeros to 64.
    pub fn zext64(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>, Error> {
        Ok(self.builder().build_int_z_extend(value, self.types.i64, "")?)
    }

    /// The condition, an i1, that `value` is the zero extension of, if it is one.
    pub fn widened_condition(&self, value: IntValue<'ctx>) -> Option<IntValue<'ctx>> {
        let extension =
            self.instruction(value).filter(|extension| extension.get_opcode() == InstructionOpcode::ZExt)?;
        match extension.get_operand(0)?.value()? {
            Value::IntValue(condition) if condition.get_type() == self.types.i1 => Some(condition),
            _ => None,
        }
    }

    /// A comparison of integers.
    pub fn icmp(&self, predicate: IntPredicate, a: IntValue<'ctx>, b: IntValue<'ctx>) -> Result<IntValue<'ctx>, Error> {
        Ok(self.builder().build_int_compare(predicate, a, b, "")?)
    }

    /// A comparison of floats.
    pub fn fcmp(
        &self,
        predicate: FloatPredicate,
        a: FloatValue<'ctx>,
        b: FloatValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Error> {
        Ok(self.builder().build_float_compare(predicate, a, b, "")?)
    }

    /// `yes` when `condition` holds, else `no`.
    pub fn select(
        &self,
        condition: IntValue<'ctx>,
        yes: impl BasicValue<'ctx>,
        no: impl BasicValue<'ctx>,
    ) -> Result<Value<'ctx>, Error> {
        Ok(self.builder().build_select(condition, yes.as_basic_value_enum(), no.as_basic_value_enum(), "")?)
    }

    /// A phi without incoming values at the place where the builder stands, which must be before all other instructions of its block.
    pub fn phi(&self, ty: BasicTypeEnum<'ctx>) -> Result<PhiValue<'ctx>, Error> {
        Ok(self.builder().build_phi(ty, "")?)
    }

    /// The address `offset` bytes past `base`, both in one mapping of the address space: neither the sum as unsigned nor as signed wraps.
    pub fn gep(&self, base: PointerValue<'ctx>, offset: IntValue<'ctx>) -> Result<PointerValue<'ctx>, Error> {
        let mut indices = [offset.as_value_ref()];
        self.block()?;
        // SAFETY: the builder stands in a block, the operands are a pointer and an integer of this context, and the type is one of it
        // too; with one index into an array of bytes no further demand is made on them.
        let address = unsafe {
            PointerValue::new(LLVMBuildGEPWithNoWrapFlags(
                self.builder().as_mut_ptr(),
                inkwell::types::AsTypeRef::as_type_ref(&self.types.i8),
                base.as_value_ref(),
                indices.as_mut_ptr(),
                1,
                c"".as_ptr(),
                llvm_sys::LLVMGEPFlagNUW | llvm_sys::LLVMGEPFlagNUSW,
            ))
        };
        Ok(address)
    }

    /// The address of the field at `offset` of the record at `base`.
    pub fn field(&self, base: PointerValue<'ctx>, offset: usize) -> Result<PointerValue<'ctx>, Error> {
        if offset == 0 { Ok(base) } else { self.gep(base, self.i64(offset as u64)) }
    }

    /// An address that is known when the code is made.
    pub fn address(&self, address: usize) -> Result<PointerValue<'ctx>, Error> {
        let address = u64::try_from(address).map_err(|_| Error::internal("an address has more than 64 bits"))?;
        Ok(self.i64(address).const_to_pointer(self.types.ptr))
    }

    /// A load of a value that is aligned to `align` bytes.
    pub fn load(
        &self,
        ty: impl BasicType<'ctx>,
        address: PointerValue<'ctx>,
        align: u32,
        tag: Tag<'ctx>,
    ) -> Result<Value<'ctx>, Error> {
        Ok(self.load_instruction(ty, address, align, tag)?.0)
    }

    /// [`Self::load`], with the instruction that the value is of.
    fn load_instruction(
        &self,
        ty: impl BasicType<'ctx>,
        address: PointerValue<'ctx>,
        align: u32,
        tag: Tag<'ctx>,
    ) -> Result<(Value<'ctx>, InstructionValue<'ctx>), Error> {
        let value = self.builder().build_load(ty, address, "")?;
        let load = self.instruction(value).ok_or_else(|| Error::internal("a load is not an instruction"))?;
        set_alignment(load, align)?;
        self.set_tag(load, tag)?;
        Ok((value, load))
    }

    /// A load of a value that other threads may change at any time.
    pub fn load_volatile(
        &self,
        ty: impl BasicType<'ctx>,
        address: PointerValue<'ctx>,
        align: u32,
        tag: Tag<'ctx>,
    ) -> Result<Value<'ctx>, Error> {
        let (value, load) = self.load_instruction(ty, address, align, tag)?;
        set_volatile(load)?;
        Ok(value)
    }

    /// A load of a value that does not change while the code can run.
    pub fn load_constant(
        &self,
        ty: impl BasicType<'ctx>,
        address: PointerValue<'ctx>,
        align: u32,
        tag: Tag<'ctx>,
    ) -> Result<Value<'ctx>, Error> {
        let (value, load) = self.load_instruction(ty, address, align, tag)?;
        self.set_invariant(load)?;
        Ok(value)
    }

    /// The address that is in the field at `offset` of the record at `base`, and does not change while the code can run.
    pub fn constant_pointer(&self, base: PointerValue<'ctx>, offset: usize) -> Result<PointerValue<'ctx>, Error> {
        let field = self.field(base, offset)?;
        pointer(self.load_constant(self.types.ptr, field, 8, self.tag(Region::Context))?)
    }

    /// A store of a value to an address aligned to `align` bytes.
    pub fn store(
        &self,
        value: impl BasicValue<'ctx>,
        address: PointerValue<'ctx>,
        align: u32,
        tag: Tag<'ctx>,
    ) -> Result<InstructionValue<'ctx>, Error> {
        let store = self.builder().build_store(address, value)?;
        set_alignment(store, align)?;
        self.set_tag(store, tag)?;
        Ok(store)
    }

    /// `value` with nothing taken for granted of how it was computed: should a promise to LLVM not hold, it is some number nonetheless.
    pub fn freeze(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>, Error> {
        self.block()?;
        // SAFETY: the builder stands in a block and the operand is a live value of the same context.
        let frozen =
            unsafe { IntValue::new(LLVMBuildFreeze(self.builder().as_mut_ptr(), value.as_value_ref(), c"".as_ptr())) };
        Ok(frozen)
    }

    /// `bytes` bytes of the frame of `function`, aligned to 16.
    pub fn frame_slot(&self, function: FunctionValue<'ctx>, bytes: u32) -> Result<PointerValue<'ctx>, Error> {
        self.at_entry(function, || {
            let slot = self.builder().build_alloca(self.types.i8.array_type(bytes), "")?;
            if let Some(alloca) = self.instruction(slot) {
                set_alignment(alloca, 16)?;
            }
            Ok(slot)
        })
    }

    /// Has `build` build instructions that stand before all others of `function`, and goes on where the builder was.
    ///
    /// # Errors
    /// Those of `build`, and an internal one when the builder stands nowhere.
    pub fn at_entry<T>(
        &self,
        function: FunctionValue<'ctx>,
        build: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let here = self.block()?;
        let entry = function.get_first_basic_block().ok_or_else(|| Error::internal("a function without blocks"))?;
        match entry.get_first_instruction() {
            Some(first) => self.builder().position_before(&first),
            None => self.at_end(entry),
        }
        let built = build();
        self.at_end(here);
        built
    }

    /// A jump.
    pub fn br(&self, to: BasicBlock<'ctx>) -> Result<(), Error> {
        self.builder().build_unconditional_branch(to)?;
        Ok(())
    }

    /// A jump to `yes` when `condition` holds, else to `no`.
    pub fn cond_br(
        &self,
        condition: IntValue<'ctx>,
        yes: BasicBlock<'ctx>,
        no: BasicBlock<'ctx>,
    ) -> Result<InstructionValue<'ctx>, Error> {
        Ok(self.builder().build_conditional_branch(condition, yes, no)?)
    }
}

/// Has LLVM keep `load` as it is, whether its value is used and known or not.
pub fn set_volatile(load: InstructionValue<'_>) -> Result<(), Error> {
    load.set_volatile(true).map_err(|error| Error::internal(format!("cannot keep a load: {error}")))
}

fn set_alignment(instruction: InstructionValue<'_>, align: u32) -> Result<(), Error> {
    instruction.set_alignment(align).map_err(|error| Error::internal(format!("cannot set an alignment: {error}")))
}
