//! Which variables have registers of their own, and where the others are.
//!
//! A variable that is used often, loops counting for more, has a register for the whole of a function, so that it is in the same place on all paths. There are two kinds of such registers. Those that functions keep
//! for their callers cost as much as saving and restoring them once; those that calls change, saving and restoring around each call, and nothing in a function without calls. Each variable has a place in the frame,
//! too: that of a variable with a register is used around calls only.

use super::call::Location;
use super::function::Generator;
use super::masm::{Float, Fpr, FrameOffset, Gpr, Kept, Load, Masm, Width};
use super::operands::{Place, Popped, Type};
use crate::error::Error;
use std::mem::offset_of;
use wasmo_abi::index::MemoryIndex;
use wasmo_abi::vm::VmMemorySlot;
use wasmparser::{FunctionBody, Operator};

/// Where a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// At its place in the frame.
    Frame,
    Gpr(Gpr),
    Fpr(Fpr),
}

/// What saving and restoring the caller's register costs, as so many uses of a variable.
const KEEPING: u32 = 2;
/// How much more something counts for each loop around it.
const ROUNDS: u32 = 8;
/// Loops that count.
const DEPTH: usize = 4;

/// How often variables are used and something is called, by a guess.
struct Uses {
    locals: Vec<u32>,
    calls: u32,
    /// Whether anything is called at all.
    leaf: bool,
}

/// The variables of a function.
pub(super) struct Variables {
    /// For each, where it is.
    homes: Vec<Home>,
    /// The registers among these that calls change, with the variables.
    lent: Vec<(u32, Home)>,
    /// The registers that the function has to keep for its caller.
    pub(super) kept: Kept,
}

/// The operators that call, if only a helper, in the ordinary course of things.
fn calls(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::MemoryGrow { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryInit { .. }
            | Operator::DataDrop { .. }
            | Operator::TableGrow { .. }
            | Operator::TableInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableFill { .. }
            | Operator::ElemDrop { .. }
    )
}

impl Uses {
    /// Reads a body, valid or not.
    fn count(locals: usize, body: &FunctionBody<'_>) -> Result<Self, Error> {
        let mut uses = Self { locals: vec![0; locals], calls: 0, leaf: true };
        // What each open frame's operators count for.
        let (mut weights, mut weight) = (Vec::new(), 1_u32);
        let mut loops = 0;
        // What the operator before counts for, if it called.
        let mut called = 0;
        let mut operators = body.get_operators_reader().map_err(|error| Error::malformed(&error))?;
        while !operators.eof() {
            let operator = operators.read().map_err(|error| Error::malformed(&error))?;
            let mut calls_now = 0;
            match operator {
                Operator::LocalGet { local_index }
                | Operator::LocalSet { local_index }
                | Operator::LocalTee { local_index } => {
                    if let Some(uses) = uses.locals.get_mut(local_index as usize) {
                        *uses = uses.saturating_add(weight);
                    }
                }
                Operator::Block { .. } | Operator::If { .. } => weights.push((weight, loops)),
                Operator::Loop { .. } => {
                    weights.push((weight, loops));
                    loops += 1;
                    if loops <= DEPTH {
                        weight *= ROUNDS;
                    }
                }
                Operator::End => (weight, loops) = weights.pop().unwrap_or((1, 0)),
                // It called what does not return.
                Operator::Unreachable => uses.calls -= called,
                ref operator if calls(operator) => {
                    uses.leaf = false;
                    let before = uses.calls;
                    uses.calls = before.saturating_add(weight);
                    calls_now = uses.calls - before;
                }
                _ => {}
            }
            called = calls_now;
        }
        Ok(uses)
    }
}

impl Variables {
    /// Reads a body, valid or not, and finds registers for its variables, which have these types.
    pub(super) fn find<M: Masm>(types: &[Type], body: &FunctionBody<'_>) -> Result<Self, Error> {
        let uses = Uses::count(types.len(), body)?;
        let mut variables = Self { homes: vec![Home::Frame; types.len()], lent: Vec::new(), kept: Kept::default() };
        let mut wanted: Vec<_> =
            (0..).zip(types.iter().zip(uses.locals)).filter(|&(_, (_, uses))| uses > KEEPING).collect();
        wanted.sort_by_key(|&(_, (_, uses))| std::cmp::Reverse(uses));
        let lending = uses.calls.saturating_mul(2);
        let leaf: &[Gpr] = if uses.leaf { M::LEAF } else { &[] };
        let mut gprs = in_order(M::KEPT, M::LENT.iter().chain(leaf), lending);
        let mut fprs = in_order(M::KEPT_FLOATS, M::LENT_FLOATS.iter(), lending);
        for (index, (ty, uses)) in wanted {
            let is_worth = |cost: u32| uses > cost;
            let (home, kept) = if ty.float().is_some() {
                let Some((reg, kept)) = take(&mut fprs, is_worth) else { continue };
                variables.kept.fprs |= u32::from(kept) << reg.0;
                (Home::Fpr(reg), kept)
            } else {
                let Some((reg, kept)) = take(&mut gprs, is_worth) else { continue };
                variables.kept.gprs |= u32::from(kept) << reg.0;
                (Home::Gpr(reg), kept)
            };
            if !kept {
                variables.lent.push((index, home));
            }
            if let Some(at) = variables.homes.get_mut(index as usize) {
                *at = home;
            }
        }
        Ok(variables)
    }

    /// Which registers have variables, as bits: the general-purpose and the floating-point ones.
    pub(super) fn registers(&self) -> (u32, u32) {
        self.homes.iter().fold((0, 0), |(gprs, fprs), home| match home {
            Home::Frame => (gprs, fprs),
            Home::Gpr(reg) => (gprs | 1 << reg.0, fprs),
            Home::Fpr(reg) => (gprs, fprs | 1 << reg.0),
        })
    }

    /// Where a variable is.
    pub(super) fn home(&self, index: u32) -> Home {
        self.homes.get(index as usize).copied().unwrap_or(Home::Frame)
    }
}

/// Registers with what each costs and whether it is kept for the caller, the cheapest last; of the same cost, the first last.
fn in_order<'a, R: Copy + 'a>(kept: &[R], lent: impl Iterator<Item = &'a R>, lending: u32) -> Vec<(R, u32, bool)> {
    let kept = kept.iter().map(|&reg| (reg, KEEPING, true));
    let mut all: Vec<_> = kept.chain(lent.map(|&reg| (reg, lending, false))).collect();
    all.sort_by_key(|&(_, cost, _)| cost);
    all.reverse();
    all
}

/// Takes the cheapest register if it is worth its cost.
fn take<R: Copy>(registers: &mut Vec<(R, u32, bool)>, is_worth: impl FnOnce(u32) -> bool) -> Option<(R, bool)> {
    let (reg, _, kept) = registers.pop_if(|&mut (_, cost, _)| is_worth(cost))?;
    Some((reg, kept))
}

impl<M: Masm> Generator<'_, M> {
    /// The place in the frame of variable `index`.
    pub(super) fn local_place(&self, index: u32) -> FrameOffset {
        FrameOffset(M::BELOW + 8 * (self.variables.kept.count() + index))
    }

    /// Puts the parameters into their places, and zeros into those of the other variables.
    pub(super) fn define_locals(&mut self) -> Result<(), Error> {
        if !self.context.info.memories.is_empty() {
            let base = self.context.layout.memory(MemoryIndex(0)) + offset_of!(VmMemorySlot, base);
            let base = self.context_field(base)?;
            self.masm.load(Load::Whole(Width::W64), M::MEMORY, base);
        }
        let locations = Location::of_params::<M>(&self.ty.params);
        let (mut integers, mut floats, mut spilled) = (Vec::new(), Vec::new(), Vec::new());
        for (index, &location) in (0..).zip(&locations) {
            let place = self.local_place(index);
            match (location, self.variables.home(index)) {
                (Location::Gpr(from), Home::Gpr(to)) => integers.push((to, from)),
                (Location::Fpr(from), Home::Fpr(to)) => floats.push((to, from)),
                (Location::Gpr(from), _) => self.masm.store_frame(place, from),
                (Location::Fpr(from), _) => self.masm.fstore_frame(place, from),
                (Location::Spill(slot), _) => spilled.push((index, slot)),
            }
        }
        self.move_registers(integers, floats);
        for index in (0..).take(locations.len()) {
            // Nobody says what is in the upper half of an argument.
            if let (Home::Gpr(reg), Some(Type::I32)) = (self.variables.home(index), self.locals.get(index as usize)) {
                self.masm.mov(Width::W32, reg, reg);
            }
        }
        if !spilled.is_empty() {
            self.load_exec(M::SCRATCH)?;
        }
        for (index, slot) in spilled {
            let from = Self::spill_slot(M::SCRATCH, slot)?;
            let width = self.locals.get(index as usize).map_or(Width::W64, |ty| ty.width());
            match self.variables.home(index) {
                Home::Gpr(reg) => self.masm.load(Load::Whole(width), reg, from),
                Home::Fpr(reg) => self.masm.fload(Float::of(width), reg, from),
                Home::Frame => {
                    self.masm.load(Load::Whole(width), M::CALLEE_CONTEXT, from);
                    self.masm.store_frame(self.local_place(index), M::CALLEE_CONTEXT);
                }
            }
        }
        self.clear_locals(u32::try_from(locations.len()).map_err(|_| Self::too_large())?)
    }

    /// Makes all variables from `first` on zeros.
    fn clear_locals(&mut self, first: u32) -> Result<(), Error> {
        let end = u32::try_from(self.locals.len()).map_err(|_| Self::too_large())?;
        // Those in the frame before those in registers, which the first way may change.
        let mut start = first;
        for index in (first..end).filter(|&index| self.variables.home(index) != Home::Frame).chain([end]) {
            self.masm.clear_frame(self.local_place(start), index - start);
            start = index + 1;
        }
        for index in first..end {
            match self.variables.home(index) {
                Home::Gpr(reg) => self.masm.mov_imm(reg, 0),
                Home::Fpr(reg) => self.masm.fmov_imm(Float::F64, reg, 0),
                Home::Frame => {}
            }
        }
        Ok(())
    }

    /// Copies a variable to another place of the frame. Changes the scratch register.
    pub(super) fn copy_local(&mut self, index: u32, to: FrameOffset) {
        match self.variables.home(index) {
            Home::Gpr(reg) => self.masm.store_frame(to, reg),
            Home::Fpr(reg) => self.masm.fstore_frame(to, reg),
            Home::Frame => self.copy_frame(self.local_place(index), to),
        }
    }

    /// `local.set` (not `keep`) and `local.tee`.
    pub(super) fn set_local(&mut self, index: u32, keep: bool) -> Result<(), Error> {
        let popped = self.pop()?;
        self.detach_local(index)?;
        let Popped { operand, slot } = popped;
        if operand.place != Place::Local(index) {
            self.copies.forget_variable(index);
        }
        let mut place = operand.place;
        match self.variables.home(index) {
            _ if place == Place::Local(index) => {}
            Home::Gpr(home) => self.load_gpr(home, popped),
            Home::Fpr(home) => self.load_fpr(home, popped)?,
            Home::Frame => {
                let to = self.local_place(index);
                match place {
                    Place::Gpr(reg) => {
                        self.masm.store_frame(to, reg);
                        self.copies.note(reg, index);
                    }
                    Place::Fpr(reg) => self.masm.fstore_frame(to, reg),
                    Place::Const(bits) => self.masm.store_frame_imm(to, bits),
                    Place::Local(from) => self.copy_local(from, to),
                    Place::Slot => self.copy_frame(slot, to),
                    Place::Flags(_) => return Err(Error::internal("a condition is assigned")),
                }
            }
        }
        if !keep {
            self.release_place(place);
            return Ok(());
        }
        if place == Place::Slot && self.variables.home(index) != Home::Frame {
            place = Place::Local(index);
        }
        self.push(operand.ty, place);
        Ok(())
    }

    /// Puts variables in registers that a call changes into the frame, before the call's arguments are moved.
    pub(super) fn save_variables(&mut self) {
        for position in 0..self.variables.lent.len() {
            let (index, home) = self.variables.lent[position];
            let place = self.local_place(index);
            match home {
                Home::Gpr(reg) => self.masm.store_frame(place, reg),
                Home::Fpr(reg) => self.masm.fstore_frame(place, reg),
                Home::Frame => {}
            }
        }
    }

    /// Loads them again, after the call, which has changed the registers with copies, too.
    pub(super) fn restore_variables(&mut self) {
        self.copies.forget_all();
        for position in 0..self.variables.lent.len() {
            let (index, home) = self.variables.lent[position];
            let place = self.local_place(index);
            match home {
                Home::Gpr(reg) => self.masm.load_frame(Width::W64, reg, place),
                Home::Fpr(reg) => self.masm.fload_frame(Float::F64, reg, place),
                Home::Frame => {}
            }
        }
    }
}
