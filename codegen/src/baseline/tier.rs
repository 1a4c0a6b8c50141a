//! What makes it lift-off code: it counts, and is left at a loop for optimised code; and all else that is written behind a function since it is seldom executed.
//!
//! How the state is handed over is what `translate::tier` says: the variables in the spill area, one in each slot, and behind them the operands.

use super::call::Argument;
use super::function::Generator;
use super::masm::{Address, Compare, Gpr, Label, Load, Masm, Source, Store, Width};
use super::operands::{Operand, Place, Popped};
use crate::error::Error;
use std::mem::offset_of;
use wasmo_abi::builtin::Builtin;
use wasmo_abi::tier::{LoopIndex, VmEntry};
use wasmo_abi::trap::TrapCode;
use wasmo_abi::tunables::MAX_VALUES;
use wasmo_abi::vm::{NULL_TYPE_ID, VmContext};

/// Code that is seldom executed, with the offset of the operator that it belongs to.
pub(super) enum Cold {
    /// The budget was used up when the function was entered.
    Entry { label: Label, back: Label, offset: u32 },
    /// Or at the head of a loop, with these operands.
    Round { label: Label, back: Label, offset: u32, at: LoopIndex, operands: Vec<Operand> },
    /// An element is of another type than its caller wants, or null; its type's number is in the scratch register.
    Mismatch { label: Label, offset: u32 },
}

impl<M: Masm> Generator<'_, M> {
    /// Takes one from the function's budget, given the address of the entries in the scratch register; jumps when none was left.
    fn take_from_budget(&mut self, exhausted: Label) -> Result<(), Error> {
        let budget = Self::entry_field(M::SCRATCH, self.position, offset_of!(VmEntry, budget))?;
        self.masm.decrement(budget);
        self.masm.jump_if(M::cond(Compare::LtS), exhausted);
        Ok(())
    }

    /// Counts an entry to the function.
    pub(super) fn count_entry(&mut self) -> Result<(), Error> {
        let (label, back) = (self.masm.new_label(), self.masm.new_label());
        // So that who is asked from a loop knows whether it is the same call each time.
        self.load_context(M::SCRATCH, offset_of!(VmContext, entries))?;
        self.masm.clear(Self::entry_field(M::SCRATCH, self.position, offset_of!(VmEntry, same_call))?);
        self.take_from_budget(label)?;
        self.masm.bind(back);
        self.cold.push(Cold::Entry { label, back, offset: self.offset });
        Ok(())
    }

    /// Counts a round of the loop that has just begun.
    pub(super) fn count_round(&mut self) -> Result<(), Error> {
        let at = LoopIndex(self.begun_loops);
        self.begun_loops += 1;
        // More does not fit the spill area, or would need too much code; such a function is left when it is called again.
        if self.locals.len() + self.stack.len() > MAX_VALUES || self.carry(self.stack.len()).is_err() {
            return Ok(());
        }
        let (label, back) = (self.masm.new_label(), self.masm.new_label());
        self.load_context(M::SCRATCH, offset_of!(VmContext, entries))?;
        self.take_from_budget(label)?;
        self.masm.bind(back);
        self.cold.push(Cold::Round { label, back, offset: self.offset, at, operands: self.stack.clone() });
        Ok(())
    }

    /// Writes what was noted.
    pub(super) fn write_cold(&mut self) -> Result<(), Error> {
        let mut exit = None;
        for cold in std::mem::take(&mut self.cold) {
            match cold {
                Cold::Entry { label, back, offset } => {
                    self.begin_cold(label, offset);
                    self.ask_to_tier_up(LoopIndex::ENTRY)?;
                    self.masm.jump(back);
                }
                Cold::Round { label, back, offset, at, operands } => {
                    self.begin_cold(label, offset);
                    self.stack = operands;
                    let answer = self.ask_to_tier_up(at.0)?;
                    self.masm.load(Load::Whole(Width::W64), M::CALLEE_CODE, answer);
                    self.masm.test(Width::W64, M::CALLEE_CODE);
                    self.masm.jump_if(M::cond(Compare::Eq), back);
                    self.hand_over_operands()?;
                    let exit = *exit.get_or_insert_with(|| self.masm.new_label());
                    self.masm.jump(exit);
                }
                Cold::Mismatch { label, offset } => {
                    self.begin_cold(label, offset);
                    self.masm.compare(Width::W32, M::SCRATCH, Source::Imm(NULL_TYPE_ID.cast_signed()));
                    let null = self.trap_label(TrapCode::UninitializedElement);
                    self.masm.jump_if(M::cond(Compare::Eq), null);
                    self.masm.trap(TrapCode::IndirectCallTypeMismatch);
                }
            }
        }
        if let Some(exit) = exit {
            self.masm.bind(exit);
            self.hand_over_locals()?;
            self.leave_for(M::CALLEE_CODE)?;
        }
        Ok(())
    }

    fn begin_cold(&mut self, label: Label, offset: u32) {
        self.masm.bind(label);
        self.offset = offset;
        self.stack.clear();
        self.copies.forget_all();
    }

    /// Tells the helper; answers where its answer is.
    fn ask_to_tier_up(&mut self, at: u32) -> Result<Address, Error> {
        let position = u32::try_from(self.position).map_err(|_| Error::internal("too many functions"))?;
        let arguments = [Argument::Number(position), Argument::Number(at)];
        let values = self.call_helper(Builtin::TierUp, &arguments)?;
        // The answer is read relative to the array's address.
        self.masm.frame_address(M::SCRATCH, values);
        Ok(Address::new(M::SCRATCH, 0))
    }

    /// Puts the operands behind the variables.
    fn hand_over_operands(&mut self) -> Result<(), Error> {
        if self.stack.is_empty() {
            return Ok(());
        }
        self.load_exec(M::SCRATCH)?;
        for (height, operand) in std::mem::take(&mut self.stack).into_iter().enumerate() {
            let value = Popped { operand, slot: self.slot(height)? };
            self.hand_over(M::SCRATCH, self.locals.len() + height, value)?;
        }
        Ok(())
    }

    /// Puts the variables into the spill area.
    fn hand_over_locals(&mut self) -> Result<(), Error> {
        if self.locals.is_empty() {
            return Ok(());
        }
        self.load_exec(M::SCRATCH)?;
        for (index, ty) in (0..).zip(self.locals.clone()) {
            let value = Popped { operand: Operand { ty, place: Place::Local(index) }, slot: self.local_place(index) };
            self.hand_over(M::SCRATCH, index as usize, value)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, exec: Gpr, slot: usize, value: Popped) -> Result<(), Error> {
        self.load_gpr(M::CALLEE_CONTEXT, value);
        self.masm.store(Store::Double, Self::spill_slot(exec, slot)?, M::CALLEE_CONTEXT);
        Ok(())
    }
}
