//! Memories, tables, globals, references, and operators on ranges (core specification, 4.4.2 to 4.4.7).

use super::call::Argument;
use super::function::{Generator, operand_type};
use super::masm::{Address, Alu, Compare, Float, Gpr, Load, Masm, Shift, Source, Store, Width};
use super::operands::{Place, Type};
use crate::error::Error;
use std::mem::offset_of;
use wasmo_abi::builtin::{Builtin, VmBuiltins};
use wasmo_abi::index::{FuncIndex, GlobalIndex, MemoryIndex, TableIndex};
use wasmo_abi::layout::Place as At;
use wasmo_abi::module::ConstOp;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::{PAGE_SIZE, RefType};
use wasmo_abi::vm::{NULL_TYPE_ID, VmExecContext, VmFuncRef, VmMemory, VmMemorySlot, VmTable};
use wasmparser::{MemArg, MemArgTarget};

impl<M: Masm> Generator<'_, M> {
    /// The register with the base of `memory`: that of memory 0 is always in one, others are loaded to the scratch register.
    fn memory_base(&mut self, memory: MemoryIndex) -> Result<Gpr, Error> {
        if memory == MemoryIndex(0) {
            return Ok(M::MEMORY);
        }
        self.load_context(M::SCRATCH, self.context.layout.memory(memory) + offset_of!(VmMemorySlot, base))?;
        Ok(M::SCRATCH)
    }

    /// Pops an index; answers the place that `argument` makes of it, and the register that the index is in, which is to be released.
    fn pop_address(&mut self, argument: &MemArg) -> Result<(Address, Option<Gpr>), Error> {
        let MemArgTarget::Memory(memory) = argument.target else {
            return Err(Error::internal("an access to something other than a memory"));
        };
        let mut popped = self.pop()?;
        let mut offset = argument.offset;
        if let Place::Const(index) = popped.operand.place {
            // Without an index: both are below 2³².
            popped.operand.place = Place::Const(index + offset);
            offset = 0;
            if let Ok(offset) = i32::try_from(index + argument.offset) {
                let base = self.memory_base(MemoryIndex(memory))?;
                self.begin_row();
                return Ok((Address::new(base, offset), None));
            }
        }
        let (index, offset) = match i32::try_from(offset) {
            Ok(offset) => (self.read_gpr(popped)?, offset),
            Err(_) => {
                let index = self.ensure_gpr(popped)?;
                self.masm.mov_imm(M::SCRATCH, offset);
                self.masm.alu(Alu::Add, Width::W64, index, Source::Gpr(M::SCRATCH));
                (index, 0)
            }
        };
        let base = self.memory_base(MemoryIndex(memory))?;
        self.begin_row();
        Ok((Address { base, index: Some(index), offset }, Some(index)))
    }

    pub(super) fn load(&mut self, load: Load, ty: Type, argument: &MemArg) -> Result<(), Error> {
        let (address, index) = self.pop_address(argument)?;
        let dst = match index {
            Some(index) if self.is_free_to_change(index) => index,
            _ => self.take_gpr()?,
        };
        self.masm.load(load, dst, address);
        index.into_iter().filter(|&index| index != dst).for_each(|index| self.release(index));
        self.push_gpr(ty, dst);
        Ok(())
    }

    pub(super) fn load_float(&mut self, ty: Float, argument: &MemArg) -> Result<(), Error> {
        let (address, index) = self.pop_address(argument)?;
        let dst = self.take_fpr()?;
        self.masm.fload(ty, dst, address);
        index.into_iter().for_each(|index| self.release(index));
        self.push_fpr(ty, dst);
        Ok(())
    }

    pub(super) fn store(&mut self, store: Store, argument: &MemArg) -> Result<(), Error> {
        let value = self.pop_read_gpr()?;
        let (address, index) = self.pop_address(argument)?;
        self.masm.store(store, address, value);
        self.release(value);
        index.into_iter().for_each(|index| self.release(index));
        Ok(())
    }

    pub(super) fn store_float(&mut self, ty: Float, argument: &MemArg) -> Result<(), Error> {
        let value = self.pop_read_fpr()?;
        let (address, index) = self.pop_address(argument)?;
        self.masm.fstore(ty, address, value);
        self.release_fpr(value);
        index.into_iter().for_each(|index| self.release(index));
        Ok(())
    }

    /// Loads the size of `memory` in bytes.
    fn load_memory_size(&mut self, dst: Gpr, memory: MemoryIndex) -> Result<(), Error> {
        self.load_context(dst, self.context.layout.memory(memory) + offset_of!(VmMemorySlot, memory))?;
        self.masm.load(Load::Whole(Width::W64), dst, Address::field(dst, offset_of!(VmMemory, size))?);
        Ok(())
    }

    /// `memory.size`
    pub(super) fn memory_size(&mut self, memory: MemoryIndex) -> Result<(), Error> {
        let dst = self.take_gpr()?;
        self.load_memory_size(dst, memory)?;
        #[allow(clippy::cast_possible_truncation, reason = "the logarithm of a small number")]
        self.masm.shift_imm(Shift::RightUnsigned, Width::W64, dst, PAGE_SIZE.trailing_zeros() as u8);
        self.push_gpr(Type::I32, dst);
        Ok(())
    }

    /// Calls a helper with `numbers`, then the topmost `operands` operands in order; its result, if it has one, is an i32.
    pub(super) fn helper(
        &mut self,
        helper: Builtin,
        numbers: &[u32],
        operands: usize,
        has_result: bool,
    ) -> Result<(), Error> {
        self.spill(self.stack.len())?;
        let mut arguments: Vec<_> = numbers.iter().map(|&number| Argument::Number(number)).collect();
        arguments.extend(std::iter::repeat_n(Argument::Operand, operands));
        let values = self.call_helper(helper, &arguments)?;
        if has_result {
            let dst = self.take_gpr()?;
            self.masm.load_frame(Width::W32, dst, values);
            self.push_gpr(Type::I32, dst);
        }
        Ok(())
    }

    /// Pops an operand to a register in which no operand is.
    fn pop_to(&mut self, reg: Gpr) -> Result<(), Error> {
        let popped = self.pop()?;
        self.load_gpr(reg, popped);
        Ok(())
    }

    /// Traps unless the bytes, as many as the third register says, from the offset in `start` on lie in `memory`; makes `start` an address.
    fn check_range(&mut self, memory: MemoryIndex, start: Gpr, bytes: Gpr) -> Result<(), Error> {
        self.load_memory_size(M::SCRATCH, memory)?;
        self.masm.mov(Width::W64, M::CALLEE_CONTEXT, start);
        self.masm.alu(Alu::Add, Width::W64, M::CALLEE_CONTEXT, Source::Gpr(bytes));
        self.masm.compare(Width::W64, M::CALLEE_CONTEXT, Source::Gpr(M::SCRATCH));
        let trap = self.trap_label(TrapCode::MemoryOutOfBounds);
        self.masm.jump_if(M::cond(Compare::GtU), trap);
        Ok(())
    }

    fn make_address(&mut self, memory: MemoryIndex, start: Gpr) -> Result<(), Error> {
        let base = self.memory_base(memory)?;
        self.masm.alu(Alu::Add, Width::W64, start, Source::Gpr(base));
        Ok(())
    }

    /// `memory.copy`
    pub(super) fn memory_copy(&mut self, to_memory: MemoryIndex, from_memory: MemoryIndex) -> Result<(), Error> {
        self.spill(self.stack.len())?;
        let [to, from, bytes, _] = M::C_ARGUMENTS;
        self.pop_to(bytes)?;
        self.pop_to(from)?;
        self.pop_to(to)?;
        self.check_range(from_memory, from, bytes)?;
        self.check_range(to_memory, to, bytes)?;
        self.make_address(from_memory, from)?;
        self.make_address(to_memory, to)?;
        self.call_leaf(offset_of!(VmBuiltins, memmove))
    }

    /// `memory.fill`
    pub(super) fn memory_fill(&mut self, memory: MemoryIndex) -> Result<(), Error> {
        self.spill(self.stack.len())?;
        let [to, value, bytes, _] = M::C_ARGUMENTS;
        self.pop_to(bytes)?;
        self.pop_to(value)?;
        self.pop_to(to)?;
        self.check_range(memory, to, bytes)?;
        self.make_address(memory, to)?;
        self.call_leaf(offset_of!(VmBuiltins, memset))
    }

    /// Where a global is.
    fn global_place(&mut self, global: GlobalIndex) -> Result<Address, Error> {
        match self.context.layout.global(global) {
            At::Inline(offset) => self.context_field(offset),
            At::Pointer(offset) => {
                self.load_context(M::SCRATCH, offset)?;
                Ok(Address::new(M::SCRATCH, 0))
            }
        }
    }

    /// What an immutable global holds, if the module's text says so.
    fn constant_global(&self, global: GlobalIndex) -> Option<u64> {
        let info = self.context.info;
        if info.globals[global].mutable {
            return None;
        }
        match **info.global_inits.get(info.defined_global(global)?)? {
            [ConstOp::I32Const(value)] => Some(u64::from(value.cast_unsigned())),
            [ConstOp::I64Const(value)] => Some(value.cast_unsigned()),
            _ => None,
        }
    }

    /// `global.get`; answers whether there is code for it.
    pub(super) fn global_get(&mut self, global: GlobalIndex) -> Result<bool, Error> {
        let Some(ty) = operand_type(self.context.info.globals[global].content) else { return Ok(false) };
        if let Some(bits) = self.constant_global(global) {
            self.push(ty, Place::Const(bits));
        } else if let Some(float) = ty.float() {
            let dst = self.take_fpr()?;
            let place = self.global_place(global)?;
            self.masm.fload(float, dst, place);
            self.push_fpr(ty, dst);
        } else {
            let dst = self.take_gpr()?;
            let place = self.global_place(global)?;
            self.masm.load(Load::Whole(ty.width()), dst, place);
            self.push_gpr(ty, dst);
        }
        Ok(true)
    }

    /// `global.set`; likewise.
    pub(super) fn global_set(&mut self, global: GlobalIndex) -> Result<bool, Error> {
        let Some(ty) = operand_type(self.context.info.globals[global].content) else { return Ok(false) };
        if let Some(float) = ty.float() {
            let value = self.pop_read_fpr()?;
            let place = self.global_place(global)?;
            self.masm.fstore(float, place, value);
            self.release_fpr(value);
        } else {
            let value = self.pop_read_gpr()?;
            let place = self.global_place(global)?;
            self.masm.store(if ty == Type::I32 { Store::Word } else { Store::Double }, place, value);
            self.release(value);
        }
        Ok(true)
    }

    /// `ref.func`
    pub(super) fn ref_func(&mut self, func: FuncIndex) -> Result<(), Error> {
        let func_ref = self.context.info.func(func).and_then(|func| func.func_ref);
        let func_ref = func_ref.ok_or_else(|| Error::internal("ref.func of a function that does not escape"))?;
        let dst = self.take_gpr()?;
        let record = self.context_field(self.context.layout.func_ref(func_ref))?;
        self.masm.address(dst, record);
        self.push_gpr(Type::I64, dst);
        Ok(())
    }

    /// `table.get`
    pub(super) fn table_get(&mut self, table: TableIndex) -> Result<(), Error> {
        let element = self.pop_element(table, TrapCode::TableOutOfBounds)?;
        let offset = match self.context.info.tables[table].element {
            RefType::Func => offset_of!(VmFuncRef, func_ref),
            RefType::Extern => 0,
        };
        self.masm.load(Load::Whole(Width::W64), element, Address::field(element, offset)?);
        self.push_gpr(Type::I64, element);
        Ok(())
    }

    /// `table.set`
    pub(super) fn table_set(&mut self, table: TableIndex) -> Result<(), Error> {
        let value = self.pop_read_gpr()?;
        let element = self.pop_element(table, TrapCode::TableOutOfBounds)?;
        // The runtime is to know that tables of the store are not as they were.
        self.load_exec(M::SCRATCH)?;
        self.masm.mov_imm(M::CALLEE_CONTEXT, 1);
        let note = Address::field(M::SCRATCH, offset_of!(VmExecContext, tables_written))?;
        self.masm.store(Store::Word, note, M::CALLEE_CONTEXT);
        match self.context.info.tables[table].element {
            RefType::Extern => self.masm.store(Store::Double, Address::new(element, 0), value),
            RefType::Func => self.copy_record(element, value)?,
        }
        self.release(value);
        self.release(element);
        Ok(())
    }

    /// Makes the element at an address a copy of the record at another, or null.
    fn copy_record(&mut self, element: Gpr, record: Gpr) -> Result<(), Error> {
        let (null, done) = (self.masm.new_label(), self.masm.new_label());
        let words = || (0..size_of::<VmFuncRef>()).step_by(8);
        self.masm.test(Width::W64, record);
        self.masm.jump_if(M::cond(Compare::Eq), null);
        for offset in words() {
            self.masm.load(Load::Whole(Width::W64), M::SCRATCH, Address::field(record, offset)?);
            self.masm.store(Store::Double, Address::field(element, offset)?, M::SCRATCH);
        }
        self.masm.jump(done);
        self.masm.bind(null);
        for offset in words() {
            let content = if offset == offset_of!(VmFuncRef, type_id) { u64::from(NULL_TYPE_ID) } else { 0 };
            self.masm.mov_imm(M::SCRATCH, content);
            self.masm.store(Store::Double, Address::field(element, offset)?, M::SCRATCH);
        }
        self.masm.bind(done);
        Ok(())
    }

    /// `table.size`
    pub(super) fn table_size(&mut self, table: TableIndex) -> Result<(), Error> {
        let dst = self.take_gpr()?;
        match self.context.layout.table(table) {
            At::Inline(offset) => self.load_context(dst, offset + offset_of!(VmTable, len))?,
            At::Pointer(offset) => {
                self.load_context(dst, offset)?;
                self.masm.load(Load::Whole(Width::W64), dst, Address::field(dst, offset_of!(VmTable, len))?);
            }
        }
        self.push_gpr(Type::I32, dst);
        Ok(())
    }
}
