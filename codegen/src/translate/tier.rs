//! Code of a module in tiers: where its variables are, and how it asks for better code and is left at a loop.
//!
//! At the head of a loop, all that the code of a function knows is what its variables and its operands hold. Code that is to be left there puts them in the
//! spill area, the variables first, each in a slot of its own, and leaves by a tail call; so no frame of it remains. What it goes on in ([`super::entrances`]) loads them.

use std::mem::offset_of;

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::types::BasicTypeEnum;
use inkwell::values::{IntValue, PhiValue, PointerValue};
use wasmo_abi::builtin::Builtin;
use wasmo_abi::tier::{Asking, LoopIndex, Tier, VmEntry, sample_entry};
use wasmo_abi::tunables::MAX_VALUES;
use wasmo_abi::type_list::TypeList;
use wasmo_abi::types::FuncType;
use wasmo_abi::vm::{RawValue, VmContext};

use super::function::FunctionTranslator;
use crate::error::Error;
use crate::ir::Value;
use crate::ir::builder::{int, pointer};
use crate::ir::signature::{Callee, Signature};
use crate::ir::tbaa::Region;
use crate::unit::Soon;

/// The most operands that code is written for to hand them over, at all loops of a function.
pub(super) const MAX_HANDED_OVER: usize = 1 << 16;

/// The variables of a function.
#[derive(Debug)]
pub(super) enum Locals<'ctx> {
    /// What each holds.
    Values(Vec<Value<'ctx>>),
    /// Where they lie in the function's frame, in code that is made quickly or that is entered at loops: it needs no phis here.
    Frame(Vec<Slot<'ctx>>),
}

/// A variable in the function's frame.
#[derive(Debug)]
pub(super) struct Slot<'ctx> {
    pub(super) place: PointerValue<'ctx>,
    pub(super) ty: BasicTypeEnum<'ctx>,
    /// What it holds, as long as the builder is in this block.
    held: Option<(BasicBlock<'ctx>, Value<'ctx>)>,
}

impl Locals<'_> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Frame(slots) => slots.len(),
        }
    }
}

/// Where code is left for better code that goes on at a loop.
#[derive(Clone, Debug)]
pub(super) struct Exit<'ctx> {
    block: BasicBlock<'ctx>,
    /// The code to go on in.
    code: PhiValue<'ctx>,
}

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    /// The address of what `func`, a defined function, is compiled to at the moment.
    pub(super) fn newest_code(&mut self, position: usize) -> Result<PointerValue<'ctx>, Error> {
        let code = self.entry_field(position, offset_of!(VmEntry, code))?;
        pointer(self.ir.load(self.ir.types.ptr, code, 8, self.ir.tag(Region::Entries))?)
    }

    fn entry_field(&mut self, position: usize, offset: usize) -> Result<PointerValue<'ctx>, Error> {
        let entries = self.context_field(offset_of!(VmContext, entries))?;
        self.ir.field(entries, position * size_of::<VmEntry>() + offset)
    }

    /// Puts the variables, of which it is known what they hold, into the function's frame. The builder stands in the first block, and then where the function begins.
    pub(super) fn keep_locals_in_frame(&mut self) -> Result<(), Error> {
        let Locals::Values(values) = &self.locals else { return Ok(()) };
        let place = |value: &Value<'ctx>| self.ir.builder().build_alloca(value.get_type(), "");
        let places: Vec<_> = values.iter().map(place).collect::<Result<_, _>>()?;
        if let Some(entrances) = &self.entrances {
            self.ir.at_end(entrances.start);
        }
        let here = self.ir.block()?;
        let mut slots = Vec::with_capacity(values.len());
        for (&value, place) in values.iter().zip(places) {
            self.ir.builder().build_store(place, value)?;
            slots.push(Slot { place, ty: value.get_type(), held: Some((here, value)) });
        }
        self.locals = Locals::Frame(slots);
        Ok(())
    }

    /// What variable `index` holds.
    pub(super) fn local(&mut self, index: u32) -> Result<Value<'ctx>, Error> {
        let index = index as usize;
        match &mut self.locals {
            Locals::Values(values) => values.get(index).copied().ok_or_else(missing_local),
            Locals::Frame(slots) => {
                let slot = slots.get_mut(index).ok_or_else(missing_local)?;
                let here = self.ir.block()?;
                if let Some((block, value)) = slot.held
                    && block == here
                {
                    return Ok(value);
                }
                let value = self.ir.builder().build_load(slot.ty, slot.place, "")?;
                slot.held = Some((here, value));
                Ok(value)
            }
        }
    }

    /// Makes variable `index` hold `value`.
    pub(super) fn set_local(&mut self, index: u32, value: Value<'ctx>) -> Result<(), Error> {
        let index = index as usize;
        match &mut self.locals {
            Locals::Values(values) => *values.get_mut(index).ok_or_else(missing_local)? = value,
            Locals::Frame(slots) => {
                let slot = slots.get_mut(index).ok_or_else(missing_local)?;
                self.ir.builder().build_store(slot.place, value)?;
                slot.held = Some((self.ir.block()?, value));
            }
        }
        Ok(())
    }

    /// Whether code asks for better code, which may follow.
    fn asks(&self) -> bool {
        self.ir.options.tier == Some(Tier::LiftOff) || self.ir.options.soon.is_some()
    }

    fn position(&self) -> Result<usize, Error> {
        self.unit.info.defined_func(self.func).ok_or_else(|| Error::internal("an imported function has a body"))
    }

    /// Asks for better code if it is time to: begins a block in which the helper was told, and answers where its answer is and where to go on.
    fn ask(&mut self, at: Option<LoopIndex>) -> Result<(PointerValue<'ctx>, BasicBlock<'ctx>), Error> {
        let soon = self.ir.options.soon.is_some();
        let left = if soon { self.sample()? } else { self.take_from_budget()? };
        let is_time = self.ir.icmp(IntPredicate::SLT, left, self.ir.i32(0))?;
        let go_on = self.begin_unlikely(is_time)?;
        let position = u32::try_from(self.position()?).map_err(|_| Error::internal("too many functions"))?;
        let arguments = [self.ir.i32(position).into(), self.ir.i32(Asking { soon, at }.encode()).into()];
        let answer = self.call_helper(Builtin::TierUp, &arguments)?;
        Ok((answer, go_on))
    }

    /// Takes one from the function's budget; answers what is left of it.
    fn take_from_budget(&mut self) -> Result<IntValue<'ctx>, Error> {
        let budget = self.entry_field(self.position()?, offset_of!(VmEntry, budget))?;
        let tag = self.ir.tag(Region::Entries);
        let before = int(self.ir.load(self.ir.types.i32, budget, 4, tag)?)?;
        let after = self.ir.builder().build_int_sub(before, self.ir.i32(1), "")?;
        self.ir.store(Value::IntValue(after), budget, 4, tag)?;
        Ok(after)
    }

    /// Reads what is less than 0 when code that was made soon is to say where it is. Nothing but this costs such code anything: counting would, as long as a round of a loop takes.
    fn sample(&mut self) -> Result<IntValue<'ctx>, Error> {
        let budget = self.entry_field(sample_entry(self.unit.info.bodies.len()), offset_of!(VmEntry, budget))?;
        int(self.ir.load_volatile(self.ir.types.i32, budget, 4, self.ir.tag(Region::Entries))?)
    }

    /// Asks for better code at the function's beginning. No variant that begins at a loop does.
    pub(super) fn ask_at_entry(&mut self) -> Result<(), Error> {
        if !self.asks() {
            return Ok(());
        }
        self.locate();
        if self.ir.options.soon.is_none() || self.entrances.is_some() {
            // So that who is asked from a loop knows whether it is the same call each time.
            let same_call = self.entry_field(self.position()?, offset_of!(VmEntry, same_call))?;
            self.ir.store(Value::IntValue(self.ir.i32(0)), same_call, 4, self.ir.tag(Region::Entries))?;
        }
        self.ask_and_stay()
    }

    /// Asks for better code where it cannot be had at once.
    fn ask_and_stay(&mut self) -> Result<(), Error> {
        let (_, go_on) = self.ask(None)?;
        self.ir.br(go_on)?;
        self.ir.at_end(go_on);
        Ok(())
    }

    /// Asks for better code at the loop at whose head the builder stands, and leaves it when the helper says so, if it can be left.
    pub(super) fn ask_at_loop(&mut self, at: LoopIndex) -> Result<(), Error> {
        if !self.asks() {
            return Ok(());
        }
        self.locate();
        // More does not fit the spill area, or would need too much code; such a function is left when it is called again.
        let handed_over = self.handed_over + self.stack.len();
        let fits = self.locals.len() + self.stack.len() <= MAX_VALUES && handed_over <= MAX_HANDED_OVER;
        if self.ir.options.soon == Some(Soon::Whole) || !fits {
            return self.ask_and_stay();
        }
        self.handed_over = handed_over;
        let (answer, go_on) = self.ask(Some(at))?;
        let code = pointer(self.helper_result(answer, self.ir.types.ptr)?)?;
        let is_null = self.ir.builder().build_is_null(code, "")?;
        let leave = self.new_block();
        self.ir.cond_br(is_null, go_on, leave)?;
        self.ir.at_end(leave);
        if !self.stack.is_empty() {
            let operands = self.operands_here()?;
            let spill = self.ir.spill_slot(self.context, self.locals.len())?;
            for (position, operand) in operands.into_iter().enumerate() {
                let slot = self.ir.field(spill, position * size_of::<RawValue>())?;
                self.ir.store(operand, slot, 16, self.ir.tag(Region::Spill))?;
            }
        }
        if self.entrances.is_some() {
            self.hand_over_locals(Some(at))?;
        }
        let exit = match self.exit.take() {
            Some(exit) => exit,
            None => {
                let block = self.new_block();
                self.ir.at_end(block);
                let code = self.ir.phi(self.ir.types.ptr.into())?;
                self.ir.at_end(leave);
                Exit { block, code }
            }
        };
        exit.code.add_incoming(&[(&code, leave)]);
        self.ir.br(exit.block)?;
        self.exit = Some(exit);
        self.ir.at_end(go_on);
        Ok(())
    }

    /// Hands over the variables, which lie in the frame: those that may yet be read at a loop, or all.
    fn hand_over_locals(&self, at: Option<LoopIndex>) -> Result<(), Error> {
        let Locals::Frame(slots) = &self.locals else {
            return Err(Error::internal("code that is left does not have its variables in the frame"));
        };
        let is_live = |&(index, _): &(u32, _)| at.is_none_or(|at| self.liveness.is_live(at, index));
        let live: Vec<_> = (0..).zip(slots).filter(is_live).collect();
        if live.is_empty() {
            return Ok(());
        }
        let spill = self.ir.spill_slot(self.context, 0)?;
        for (index, slot) in live {
            let value = self.ir.builder().build_load(slot.ty, slot.place, "")?;
            let place = self.ir.field(spill, index as usize * size_of::<RawValue>())?;
            self.ir.store(value, place, 16, self.ir.tag(Region::Spill))?;
        }
        Ok(())
    }

    /// Completes the block in which code is left for code that goes on at a loop. Operands have been handed over by whoever came here, and so have variables where it is known which may yet be read.
    pub(super) fn complete_exit(&mut self) -> Result<(), Error> {
        let Some(exit) = self.exit.take() else { return Ok(()) };
        self.ir.at_end(exit.block);
        if self.entrances.is_none() {
            self.hand_over_locals(None)?;
        }
        let signature = osr_signature(self.ir, self.unit.info.func_type(self.func));
        let code = pointer(exit.code.as_basic_value())?;
        self.ir.emit_tail_call(Callee::Indirect(code), self.context, &signature, &[])
    }
}

/// How the variants of a function of type `ty` are called that begin at a loop.
pub(super) fn osr_signature<'ctx>(ir: &crate::ir::Ir<'ctx>, ty: &FuncType) -> Signature<'ctx> {
    Signature::new(ir, &FuncType { params: TypeList::default(), results: ty.results.clone() })
}

fn missing_local() -> Error {
    Error::internal("a local variable is missing")
}
