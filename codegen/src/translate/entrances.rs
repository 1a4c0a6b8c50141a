//! How optimised code is entered at a loop.
//!
//! What the code that was left knew lies in the spill area ([`super::tier`]). There are two kinds of code that go on with it at the head of a loop:
//!
//! * A variant of the function ([`wasmo_abi::symbol::osr`]) is translated like any function, but its entry leads to that loop; what stands before the loop is reached through an outer
//!   loop, or never. So at the head, and wherever paths that passed it meet paths that did not, all variables have phis ([`super::prescan::Assigned`] sees to that).
//! * Code that is made soon for a call that lasts ([`crate::unit::Soon::AtLoops`]) needs no variants, since it can be entered at each of its loops: its entry looks whether it is to
//!   ([`VmExecContext::resume_at`]). Its variables lie in the frame until LLVM finds out by itself where it needs phis.
//!
//! In both, operands that lie below a frame around such a loop are kept in the function's frame until that control frame ends.

use std::mem::offset_of;

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::types::BasicTypeEnum;
use inkwell::values::{PhiValue, PointerValue};
use wasmo_abi::tier::LoopIndex;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::tunables::MAX_VALUES;
use wasmo_abi::vm::{RawValue, VmExecContext};

use super::function::FunctionTranslator;
use super::tier::{Locals, MAX_HANDED_OVER};
use crate::error::{Error, ErrorKind};
use crate::ir::Value;
use crate::ir::builder::int;
use crate::ir::tbaa::Region;

/// The loops that a function can be entered at, besides its beginning.
#[derive(Debug)]
pub(super) struct Entrances<'ctx> {
    /// The block at the function's beginning.
    pub(super) start: BasicBlock<'ctx>,
    /// For each loop, the block that leads there once the variables are what they are to be.
    loops: Vec<(LoopIndex, BasicBlock<'ctx>)>,
}

/// Operands below a control frame, kept in the function's frame.
#[derive(Debug)]
pub(super) struct Buried<'ctx> {
    /// How many operands lie below them.
    start: usize,
    places: Vec<(PointerValue<'ctx>, BasicTypeEnum<'ctx>)>,
}

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    /// Begins a function that can be entered at its loops. Its first block, in which the builder stands, is left to [`FunctionTranslator::complete_entrances`].
    pub(super) fn begin_entrances(&mut self) -> Result<(), Error> {
        self.entrances = Some(Entrances { start: self.new_block(), loops: Vec::new() });
        self.keep_locals_in_frame()
    }

    /// All operands, read from the function's frame where they were put away.
    pub(super) fn operands_here(&self) -> Result<Vec<Value<'ctx>>, Error> {
        let mut operands = self.stack.clone();
        for buried in self.frames.iter().filter_map(|frame| frame.buried.as_ref()) {
            self.read_buried(buried, &mut operands)?;
        }
        Ok(operands)
    }

    /// Makes the loop `at`, at whose head the builder stands, a place to enter the function at. The head has `phis` for the topmost operands and then for all variables, unless
    /// these lie in the frame.
    pub(super) fn enter_here(
        &mut self,
        at: LoopIndex,
        header: BasicBlock<'ctx>,
        phis: &[PhiValue<'ctx>],
    ) -> Result<(), Error> {
        let (locals, operands) = (self.locals.len(), self.stack.len());
        let merged = if matches!(self.locals, Locals::Values(_)) { locals } else { 0 };
        if locals + operands > MAX_VALUES {
            // No code is left there.
            return Ok(());
        }
        let params = phis.len().checked_sub(merged);
        let below = params.and_then(|params| operands.checked_sub(params));
        let (Some(params), Some(below)) = (params, below) else {
            return Err(Error::internal("a loop's head has too few phis"));
        };
        if self.handed_over + operands > MAX_HANDED_OVER {
            return Err(Error::new(ErrorKind::Limit, "the loops of a function have too many operands"));
        }
        let entrance = self.new_entrance(at)?;
        self.ir.at_end(entrance);
        self.forget_location();
        self.locate();
        let spill = self.ir.spill_slot(self.context, 0)?;
        for (position, phi) in phis.iter().enumerate() {
            let slot = if position < params { locals + below + position } else { position - params };
            let value = self.take_over(spill, slot, phi.as_basic_value().get_type())?;
            phi.add_incoming(&[(&value, entrance)]);
        }
        let mut buried = 0;
        for frame in self.frames.iter().filter_map(|frame| frame.buried.as_ref()) {
            for (position, &(place, ty)) in frame.places.iter().enumerate() {
                let value = self.take_over(spill, locals + frame.start + position, ty)?;
                self.ir.builder().build_store(place, value)?;
                buried += 1;
            }
        }
        if buried != below {
            return Err(Error::internal("operands below a loop were not kept"));
        }
        self.ir.br(header)?;
        self.ir.at_end(header);
        self.forget_location();
        Ok(())
    }

    /// The block that leads to the loop `at` when the function is entered there.
    fn new_entrance(&mut self, at: LoopIndex) -> Result<BasicBlock<'ctx>, Error> {
        match &mut self.entrances {
            None => self.first_block(),
            Some(entrances) => {
                let block = self.ir.new_block(self.function);
                entrances.loops.push((at, block));
                Ok(block)
            }
        }
    }

    fn first_block(&self) -> Result<BasicBlock<'ctx>, Error> {
        self.function.get_first_basic_block().ok_or_else(|| Error::internal("a function without blocks"))
    }

    /// The value that was handed over in this slot of the spill area, which begins at `spill`.
    fn take_over(&self, spill: PointerValue<'ctx>, slot: usize, ty: BasicTypeEnum<'ctx>) -> Result<Value<'ctx>, Error> {
        let slot = self.ir.field(spill, slot * size_of::<RawValue>())?;
        self.ir.load(ty, slot, 16, self.ir.tag(Region::Spill))
    }

    /// Completes the first block of a function that can be entered at its loops: goes to its beginning, or to the loop that it is to be entered at.
    pub(super) fn complete_entrances(&mut self) -> Result<(), Error> {
        let Some(Entrances { start, loops }) = self.entrances.take() else { return Ok(()) };
        self.ir.at_end(self.first_block()?);
        if loops.is_empty() {
            return self.ir.br(start);
        }
        let (enter, lost) = (self.new_block(), self.new_block());
        self.forget_location();
        self.locate();
        let exec = self.ir.exec(self.context)?;
        let resume_at = self.ir.field(exec, offset_of!(VmExecContext, resume_at))?;
        let tag = self.ir.tag(Region::Spill);
        let at = int(self.ir.load(self.ir.types.i32, resume_at, 4, tag)?)?;
        let resumes = self.ir.icmp(IntPredicate::NE, at, self.ir.i32(0))?;
        let branch = self.ir.cond_br(resumes, enter, start)?;
        self.ir.set_unlikely(branch)?;
        self.ir.at_end(enter);
        self.ir.store(Value::IntValue(self.ir.i32(0)), resume_at, 4, tag)?;
        if let Locals::Frame(slots) = &self.locals {
            let spill = self.ir.spill_slot(self.context, 0)?;
            for (index, slot) in slots.iter().enumerate() {
                self.ir.builder().build_store(slot.place, self.take_over(spill, index, slot.ty)?)?;
            }
        }
        let cases: Vec<_> = loops.iter().map(|&(at, block)| (self.ir.i32(at.resume_at()), block)).collect();
        self.ir.builder().build_switch(at, lost, &cases)?;
        // Only loops that code was left at are entered, and these can be.
        self.ir.at_end(lost);
        self.emit_trap(TrapCode::Unreachable)
    }

    /// Puts the operands below a frame around a loop that the function can be entered at into the function's frame, as far as they are not there. `height` is how many
    /// operands lie below the frame.
    pub(super) fn bury(&mut self, height: usize) -> Result<Buried<'ctx>, Error> {
        let outer = self.frames.iter().rev().find_map(|frame| frame.buried.as_ref());
        let start = outer.map_or(0, |outer| outer.start + outer.places.len());
        let mut places = Vec::new();
        for value in self.stack.get(start..height).unwrap_or_default().to_vec() {
            let place =
                self.ir.at_entry(self.function, || Ok(self.ir.builder().build_alloca(value.get_type(), "")?))?;
            self.forget_location();
            self.locate();
            self.ir.builder().build_store(place, value)?;
            places.push((place, value.get_type()));
        }
        Ok(Buried { start, places })
    }

    /// Makes the operands that were put away the operands again.
    pub(super) fn dig_up(&mut self, buried: &Buried<'ctx>) -> Result<(), Error> {
        let mut operands = std::mem::take(&mut self.stack);
        self.read_buried(buried, &mut operands)?;
        self.stack = operands;
        Ok(())
    }

    /// Reads operands that were put away into their places among `operands`.
    fn read_buried(&self, buried: &Buried<'ctx>, operands: &mut [Value<'ctx>]) -> Result<(), Error> {
        for (position, &(place, ty)) in buried.places.iter().enumerate() {
            let operand = operands.get_mut(buried.start + position);
            *operand.ok_or_else(|| Error::internal("operands are missing"))? =
                self.ir.builder().build_load(ty, place, "")?;
        }
        Ok(())
    }
}
