//! Calls (core specification, 4.4.8.8 and following): of functions, through tables, of run-time helpers, and of C's functions.
//!
//! Before a call, operands that are in registers below the arguments go to their slots; after it, its results are in registers. Where arguments and results travel is what
//! [`crate::ir::signature`] says of LLVM's code.

use super::function::{Generator, operand_type};
use super::masm::{Address, Alu, Compare, Fpr, FrameOffset, Gpr, Load, Masm, Shift, Source, Store, Target, Width};
use super::operands::{Operand, Popped, Type};
use super::tier::Cold;
use super::variables::Home;
use crate::error::Error;
use std::mem::offset_of;
use wasmo_abi::builtin::{Builtin, VmBuiltins};
use wasmo_abi::index::{FuncIndex, TableIndex, TypeIndex};
use wasmo_abi::tier::{VmEntry, callee_slot};
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::ValType;
use wasmo_abi::vm::{RawValue, VmContext, VmExecContext, VmFuncImport, VmFuncRef};

/// Where a parameter or a result travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Gpr(Gpr),
    Fpr(Fpr),
    /// In this slot of the spill area.
    Spill(usize),
}

impl Location {
    pub(super) fn of_params<M: Masm>(types: &[ValType]) -> Vec<Self> {
        Self::assign(types, M::INTEGER_ARGUMENTS, M::FLOAT_ARGUMENTS)
    }

    pub(super) fn of_results<M: Masm>(types: &[ValType]) -> Vec<Self> {
        Self::assign(types, M::INTEGER_RESULTS, M::FLOAT_RESULTS)
    }

    fn assign(types: &[ValType], integers: &[Gpr], floats: &[Fpr]) -> Vec<Self> {
        let (mut integers, mut floats) = (integers.iter(), floats.iter());
        let place = |(position, ty): (usize, &ValType)| {
            let register = match ty {
                ValType::I32 | ValType::I64 | ValType::Ref(_) => integers.next().map(|&reg| Self::Gpr(reg)),
                ValType::F32 | ValType::F64 | ValType::V128 => floats.next().map(|&reg| Self::Fpr(reg)),
            };
            register.unwrap_or(Self::Spill(position))
        };
        types.iter().enumerate().map(place).collect()
    }
}

/// An argument of a helper.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    /// A number.
    Number(u32),
    /// The next of the operands, which are in order.
    Operand,
}

/// Finds out which function types have no vectors.
fn has_vectors(types: &[ValType]) -> bool {
    types.iter().any(|&ty| operand_type(ty).is_none())
}

impl<M: Masm> Generator<'_, M> {
    /// The field at `offset` of the context.
    pub(super) fn context_field(&self, offset: usize) -> Result<Address, Error> {
        Address::field(M::CONTEXT, offset)
    }

    /// Loads the pointer that is at `offset` of the context.
    pub(super) fn load_context(&mut self, dst: Gpr, offset: usize) -> Result<(), Error> {
        let field = self.context_field(offset)?;
        self.masm.load(Load::Whole(Width::W64), dst, field);
        Ok(())
    }

    /// Loads the address of the execution context.
    pub(super) fn load_exec(&mut self, dst: Gpr) -> Result<(), Error> {
        self.load_context(dst, offset_of!(VmContext, exec))
    }

    /// A slot of the spill area, given the execution context's address.
    pub(super) fn spill_slot(exec: Gpr, slot: usize) -> Result<Address, Error> {
        Address::field(exec, offset_of!(VmExecContext, spill) + slot * size_of::<RawValue>())
    }

    /// A field of the entry at `position`, given the address of the first.
    pub(super) fn entry_field(entries: Gpr, position: usize, field: usize) -> Result<Address, Error> {
        Address::field(entries, position.saturating_mul(size_of::<VmEntry>()).saturating_add(field))
    }

    /// Puts the topmost operands to where they travel, and changes nothing else but the scratch register. All operands but these may be in registers that are overwritten.
    pub(super) fn place_values(&mut self, locations: &[Location]) -> Result<(), Error> {
        self.spill_values(locations)?;
        self.move_values(locations)
    }

    /// Of the topmost operands, puts those that find no register into the spill area. Changes the register for the context of what is called.
    fn spill_values(&mut self, locations: &[Location]) -> Result<(), Error> {
        let mut exec = false;
        for (position, &location) in locations.iter().enumerate() {
            let Location::Spill(slot) = location else { continue };
            if !exec {
                self.load_exec(M::SCRATCH)?;
                exec = true;
            }
            let value = self.value(locations.len(), position)?;
            let reg = match self.register_of(value.operand.place) {
                Home::Gpr(reg) => reg,
                _ => {
                    self.load_gpr(M::CALLEE_CONTEXT, value);
                    M::CALLEE_CONTEXT
                }
            };
            self.masm.store(Store::Double, Self::spill_slot(M::SCRATCH, slot)?, reg);
        }
        Ok(())
    }

    /// The one at `position` of the topmost `count` operands, without popping it.
    fn value(&self, count: usize, position: usize) -> Result<Popped, Error> {
        let missing = || Error::internal("an argument is missing");
        let height = self.stack.len().checked_sub(count).ok_or_else(missing)? + position;
        let operand: Operand = self.stack.get(height).copied().ok_or_else(missing)?;
        Ok(Popped { operand, slot: self.slot(height)? })
    }

    /// Moves those of the topmost operands that travel in registers there.
    fn move_values(&mut self, locations: &[Location]) -> Result<(), Error> {
        let (mut integers, mut floats, mut loads) = (Vec::new(), Vec::new(), Vec::new());
        for (position, &location) in locations.iter().enumerate() {
            let value = self.value(locations.len(), position)?;
            match (location, self.register_of(value.operand.place)) {
                (Location::Spill(_), _) => {}
                (Location::Gpr(to), Home::Gpr(from)) => integers.push((to, from)),
                (Location::Fpr(to), Home::Fpr(from)) => floats.push((to, from)),
                _ => loads.push((location, value)),
            }
        }
        self.move_registers(integers, floats);
        for (location, value) in loads {
            match location {
                Location::Gpr(reg) => self.load_gpr(reg, value),
                Location::Fpr(reg) => self.load_fpr(reg, value)?,
                Location::Spill(_) => {}
            }
        }
        Ok(())
    }

    /// Moves between registers, each from the second to the first, as if all at once. Changes the scratch registers.
    pub(super) fn move_registers(&mut self, integers: Vec<(Gpr, Gpr)>, floats: Vec<(Fpr, Fpr)>) {
        let (mov, fmov) =
            (|masm: &mut M, to, from| masm.mov(Width::W64, to, from), |masm: &mut M, to, from| masm.fmov(to, from));
        move_all(self.masm, integers, M::SCRATCH, mov);
        move_all(self.masm, floats, M::FLOAT_SCRATCH, fmov);
    }

    /// `call`; answers whether there is code for it.
    pub(super) fn call(&mut self, func: FuncIndex) -> Result<bool, Error> {
        let ty = self.context.info.func_type_index(func);
        if !self.begin_call(ty)? {
            return Ok(false);
        }
        let target = self.direct(func)?;
        self.save_variables();
        self.place_arguments(ty)?;
        self.end_call(ty, target)?;
        Ok(true)
    }

    /// `return_call`; likewise.
    pub(super) fn tail_call(&mut self, func: FuncIndex) -> Result<bool, Error> {
        let ty = self.context.info.func_type_index(func);
        if !self.begin_call(ty)? {
            return Ok(false);
        }
        let target = self.direct(func)?;
        self.place_arguments(ty)?;
        self.end_tail_call(target)?;
        Ok(true)
    }

    /// `call_indirect`; likewise.
    pub(super) fn call_indirect(&mut self, ty: TypeIndex, table: TableIndex) -> Result<bool, Error> {
        let Some(target) = self.begin_indirect(ty, table)? else { return Ok(false) };
        self.save_variables();
        self.place_arguments(ty)?;
        self.end_call(ty, target)?;
        Ok(true)
    }

    /// `return_call_indirect`; likewise.
    pub(super) fn tail_call_indirect(&mut self, ty: TypeIndex, table: TableIndex) -> Result<bool, Error> {
        let Some(target) = self.begin_indirect(ty, table)? else { return Ok(false) };
        self.place_arguments(ty)?;
        self.end_tail_call(target)?;
        Ok(true)
    }

    /// Puts operands that the call would lose into their slots. Answers whether there is code for calls of this type.
    fn begin_call(&mut self, ty: TypeIndex) -> Result<bool, Error> {
        let ty = &self.context.info.types[ty];
        if has_vectors(&ty.params) || has_vectors(&ty.results) {
            return Ok(false);
        }
        let below = self.stack.len().checked_sub(ty.params.len());
        self.spill(below.ok_or_else(|| Error::internal("an argument is missing"))?)?;
        Ok(true)
    }

    fn place_arguments(&mut self, ty: TypeIndex) -> Result<(), Error> {
        let locations = Location::of_params::<M>(&self.context.info.types[ty].params);
        self.move_values(&locations)
    }

    /// Finds a function, and puts those of its arguments into the spill area that go there.
    fn direct(&mut self, func: FuncIndex) -> Result<Callee, Error> {
        let info = self.context.info;
        let locations = Location::of_params::<M>(&info.func_type(func).params);
        self.take_this(M::CALLEE_CODE)?;
        self.spill_values(&locations)?;
        if let Some(position) = info.defined_func(func) {
            self.load_context(M::CALLEE_CODE, offset_of!(VmContext, entries))?;
            return Ok(Callee::Own(Self::entry_field(M::CALLEE_CODE, position, offset_of!(VmEntry, code))?));
        }
        let import = self.context.layout.func_import(func);
        self.load_context(M::CALLEE_CODE, import + offset_of!(VmFuncImport, code))?;
        self.load_context(M::CALLEE_CONTEXT, import + offset_of!(VmFuncImport, context))?;
        Ok(Callee::Other)
    }

    /// Pops the index into a table, finds the function there, checks its type, and puts those of its arguments into the spill area that go there.
    fn begin_indirect(&mut self, ty: TypeIndex, table: TableIndex) -> Result<Option<Callee>, Error> {
        let func_type = &self.context.info.types[ty];
        if has_vectors(&func_type.params) || has_vectors(&func_type.results) {
            return Ok(None);
        }
        let locations = Location::of_params::<M>(&func_type.params);
        let element = self.pop_element(table, TrapCode::UndefinedElement)?;
        let below = self.stack.len().checked_sub(locations.len());
        self.spill(below.ok_or_else(|| Error::internal("an argument is missing"))?)?;
        self.spill_values(&locations)?;
        // The type's numbers differ when there is none, too; which of the two it is is found out only then.
        self.masm.load(Load::Whole(Width::W32), M::SCRATCH, Address::field(element, offset_of!(VmFuncRef, type_id))?);
        let expected = self.context_field(self.context.layout.type_id(ty))?;
        self.masm.load(Load::Whole(Width::W32), M::CALLEE_CONTEXT, expected);
        self.masm.compare(Width::W32, M::SCRATCH, Source::Gpr(M::CALLEE_CONTEXT));
        let mismatch = self.masm.new_label();
        self.masm.jump_if(M::cond(Compare::Ne), mismatch);
        self.cold.push(Cold::Mismatch { label: mismatch, offset: self.offset });
        self.masm.load(
            Load::Whole(Width::W64),
            M::CALLEE_CONTEXT,
            Address::field(element, offset_of!(VmFuncRef, context))?,
        );
        self.masm.load(Load::Whole(Width::W64), element, Address::field(element, offset_of!(VmFuncRef, code))?);
        self.note_callee(element)?;
        if element != M::CALLEE_CODE {
            self.take_this(M::CALLEE_CODE)?;
            self.masm.mov(Width::W64, M::CALLEE_CODE, element);
        }
        Ok(Some(Callee::Other))
    }

    /// Notes what the current operator calls, for the optimiser to guess what it will call. What threads do to each other's notes is of no matter.
    fn note_callee(&mut self, code: Gpr) -> Result<(), Error> {
        let functions = self.context.info.bodies.len();
        self.load_context(M::SCRATCH, offset_of!(VmContext, entries))?;
        let slot = functions + callee_slot(self.offset, functions);
        let place = Self::entry_field(M::SCRATCH, slot, offset_of!(VmEntry, code))?;
        self.masm.store(Store::Double, place, code);
        Ok(())
    }

    fn end_call(&mut self, ty: TypeIndex, callee: Callee) -> Result<(), Error> {
        let ty = &self.context.info.types[ty];
        let target = match callee {
            Callee::Own(code) => Target::Memory(code),
            Callee::Other => {
                self.masm.mov(Width::W64, M::CONTEXT, M::CALLEE_CONTEXT);
                Target::Gpr(M::CALLEE_CODE)
            }
        };
        self.begin_row();
        self.masm.call(target);
        self.masm.reload_context();
        for _ in ty.params.iter() {
            self.pop()?;
        }
        self.free_all();
        let mut locations = Location::of_results::<M>(&ty.results);
        for &location in &locations {
            match location {
                Location::Gpr(reg) => self.free_gprs &= !(1 << reg.0),
                Location::Fpr(reg) => self.free_fprs &= !(1 << reg.0),
                Location::Spill(_) => {}
            }
        }
        for location in &mut locations {
            // A variable's register: it is to have the variable again.
            if let Location::Gpr(reg) = *location
                && !self.holds_operands(reg)
            {
                let other = self.take_gpr()?;
                self.masm.mov(Width::W64, other, reg);
                *location = Location::Gpr(other);
            }
        }
        self.restore_variables();
        for (&result, &location) in ty.results.iter().zip(&locations) {
            let Some(result) = operand_type(result) else { continue };
            match location {
                Location::Gpr(reg) => {
                    if result == Type::I32 {
                        // Nobody says what is in the upper half.
                        self.masm.mov(Width::W32, reg, reg);
                    }
                    self.push_gpr(result, reg);
                }
                Location::Fpr(reg) => self.push_fpr(result, reg),
                Location::Spill(slot) => {
                    self.load_exec(M::SCRATCH)?;
                    let from = Self::spill_slot(M::SCRATCH, slot)?;
                    // The register that is taken may be that of an operand below, but not of a result that is not pushed yet.
                    match result.float() {
                        Some(float) => {
                            let reg = self.take_fpr()?;
                            self.masm.fload(float, reg, from);
                            self.push_fpr(result, reg);
                        }
                        None => {
                            let reg = self.take_gpr()?;
                            self.masm.load(Load::Whole(result.width()), reg, from);
                            self.push_gpr(result, reg);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn end_tail_call(&mut self, callee: Callee) -> Result<(), Error> {
        match callee {
            Callee::Own(code) => self.masm.load(Load::Whole(Width::W64), M::CALLEE_CODE, code),
            Callee::Other => self.masm.mov(Width::W64, M::CONTEXT, M::CALLEE_CONTEXT),
        }
        self.begin_row();
        self.leave_for(M::CALLEE_CODE)?;
        self.leave()?;
        self.free_all();
        Ok(())
    }

    /// Takes the frame away and jumps to the code at an address.
    pub(super) fn leave_for(&mut self, code: Gpr) -> Result<(), Error> {
        let left = self.masm.leave_frame(self.variables.kept);
        self.masm.jump_to(code);
        let again = u32::try_from(self.masm.code().len()).map_err(|_| Self::too_large())?;
        self.left.push((left, again));
        Ok(())
    }

    /// Calls a helper on the host's stack; it may trap. All operands but its arguments must be in their slots, or be constants or variables. Its result is at the place that is answered.
    pub(super) fn call_helper(&mut self, helper: Builtin, arguments: &[Argument]) -> Result<FrameOffset, Error> {
        let operands = arguments.iter().filter(|argument| matches!(argument, Argument::Operand)).count();
        let values = self.helper_values(arguments.len())?;
        let mut next = 0;
        for (position, argument) in (0..).zip(arguments) {
            let place = FrameOffset(values.0 + 16 * position);
            match argument {
                Argument::Number(number) => self.masm.store_frame_imm(place, u64::from(*number)),
                Argument::Operand => {
                    let value = self.value(operands, next)?;
                    next += 1;
                    match self.register_of(value.operand.place) {
                        Home::Gpr(reg) => self.masm.store_frame(place, reg),
                        _ => {
                            self.load_gpr(M::SCRATCH, value);
                            self.masm.store_frame(place, M::SCRATCH);
                        }
                    }
                }
            }
        }
        for _ in 0..operands {
            let popped = self.pop()?;
            self.release_place(popped.operand.place);
        }
        self.call_exit(helper, values)?;
        Ok(values)
    }

    /// Room for `count` arguments of a helper above the operands.
    pub(super) fn helper_values(&mut self, count: usize) -> Result<FrameOffset, Error> {
        let values = FrameOffset(self.slot(self.stack.len())?.0.next_multiple_of(16));
        self.highest = self.highest.max(self.stack.len() + 1 + 2 * count.max(1));
        Ok(values)
    }

    /// Calls a helper whose arguments are at `values`.
    pub(super) fn call_exit(&mut self, helper: Builtin, values: FrameOffset) -> Result<(), Error> {
        let [exec, callback, context, array] = M::C_ARGUMENTS;
        self.save_variables();
        self.load_exec(exec)?;
        self.masm.load(Load::Whole(Width::W64), M::SCRATCH, Address::field(exec, offset_of!(VmExecContext, builtins))?);
        self.masm.load(Load::Whole(Width::W64), callback, Address::field(M::SCRATCH, helper.offset())?);
        self.masm.mov(Width::W64, context, M::CONTEXT);
        self.masm.frame_address(array, values);
        self.begin_row();
        self.masm.call_c(Target::Memory(Address::field(M::SCRATCH, offset_of!(VmBuiltins, exit))?));
        self.restore_variables();
        Ok(())
    }

    /// Calls C's function at `offset` of the helpers' table, whose arguments are in their registers.
    pub(super) fn call_leaf(&mut self, offset: usize) -> Result<(), Error> {
        self.save_variables();
        self.load_exec(M::SCRATCH)?;
        self.masm.load(
            Load::Whole(Width::W64),
            M::SCRATCH,
            Address::field(M::SCRATCH, offset_of!(VmExecContext, builtins))?,
        );
        self.begin_row();
        self.masm.call_c(Target::Memory(Address::field(M::SCRATCH, offset)?));
        self.restore_variables();
        Ok(())
    }

    /// Pops the index into a table; answers the address of the element, after a check that traps with `code`. Changes the register for the context of what is called.
    pub(super) fn pop_element(&mut self, table: TableIndex, code: TrapCode) -> Result<Gpr, Error> {
        use wasmo_abi::layout::Place as At;
        let index = self.pop_gpr()?;
        let info = self.context.info;
        let limits = info.tables[table].limits;
        let (len, base) = (offset_of!(wasmo_abi::vm::VmTable, len), offset_of!(wasmo_abi::vm::VmTable, base));
        let head = match self.context.layout.table(table) {
            At::Inline(offset) => self.context_field(offset)?,
            At::Pointer(offset) => {
                self.load_context(M::CALLEE_CONTEXT, offset)?;
                Address::new(M::CALLEE_CONTEXT, 0)
            }
        };
        let fixed = Some(limits.min).filter(|_| limits.max == Some(limits.min));
        match fixed.and_then(|len| i32::try_from(len).ok()) {
            Some(len) => self.masm.compare(Width::W64, index, Source::Imm(len)),
            None => {
                self.masm.load(Load::Whole(Width::W64), M::SCRATCH, head.and(len)?);
                self.masm.compare(Width::W64, index, Source::Gpr(M::SCRATCH));
            }
        }
        let trap = self.trap_label(code);
        self.masm.jump_if(M::cond(Compare::GeU), trap);
        self.masm.load(Load::Whole(Width::W64), M::SCRATCH, head.and(base)?);
        let size = match info.tables[table].element {
            wasmo_abi::types::RefType::Func => size_of::<VmFuncRef>(),
            wasmo_abi::types::RefType::Extern => size_of::<u64>(),
        };
        #[allow(clippy::cast_possible_truncation, reason = "the logarithm of a small number")]
        self.masm.shift_imm(Shift::Left, Width::W64, index, size.trailing_zeros() as u8);
        self.masm.alu(Alu::Add, Width::W64, index, Source::Gpr(M::SCRATCH));
        Ok(index)
    }
}

/// Where a function's code is found, and whose context it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callee {
    /// The address is in its entry, here; the caller's.
    Own(Address),
    /// The address is in the register for it; the context, too.
    Other,
}

/// Moves between registers as if all at once.
fn move_all<M, R: Copy + PartialEq>(masm: &mut M, mut moves: Vec<(R, R)>, scratch: R, mov: impl Fn(&mut M, R, R)) {
    moves.retain(|&(to, from)| to != from);
    while !moves.is_empty() {
        let ready = moves.iter().position(|&(to, _)| moves.iter().all(|&(_, from)| from != to));
        match ready {
            Some(ready) => {
                let (to, from) = moves.swap_remove(ready);
                mov(masm, to, from);
            }
            // Only circles are left; each is opened by keeping one of its values elsewhere.
            None => {
                let (_, first) = moves[0];
                mov(masm, scratch, first);
                moves.iter_mut().filter(|(_, from)| *from == first).for_each(|(_, from)| *from = scratch);
            }
        }
    }
}
