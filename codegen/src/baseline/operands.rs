//! The operand stack, and which registers hold operands.
//!
//! An operand is wherever it came to be: in a register, which holds nothing else; in the flags, for the next operator; nowhere, if it is a constant or what a variable holds; or in its slot of the frame,
//! of which there is one for each height of the stack. What is popped keeps its register until [`Generator::release`] or a push gives it up. Where paths meet, all operands are
//! in their slots, but for constants that lie below what the paths can change.
//!
//! Registers without operands may have copies of variables that lie in the frame ([`super::copies`]), from one join of paths or call to the next.

use super::function::Generator;
use super::masm::{Cond, Float, Fpr, FrameOffset, Gpr, Masm, Source, Width};
use super::variables::Home;
use crate::error::Error;

/// The type of an operand. References are as i64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    I32,
    I64,
    F32,
    F64,
}

impl Type {
    /// How wide it is as an integer.
    pub(super) fn width(self) -> Width {
        match self {
            Self::I32 | Self::F32 => Width::W32,
            Self::I64 | Self::F64 => Width::W64,
        }
    }

    /// Which floating-point type it is, if it is one.
    pub(super) fn float(self) -> Option<Float> {
        match self {
            Self::I32 | Self::I64 => None,
            Self::F32 => Some(Float::F32),
            Self::F64 => Some(Float::F64),
        }
    }
}

impl From<Width> for Type {
    fn from(width: Width) -> Self {
        match width {
            Width::W32 => Self::I32,
            Width::W64 => Self::I64,
        }
    }
}

impl From<Float> for Type {
    fn from(float: Float) -> Self {
        match float {
            Float::F32 => Self::F32,
            Float::F64 => Self::F64,
        }
    }
}

/// Where an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Gpr(Gpr),
    Fpr(Fpr),
    /// It has these bits.
    Const(u64),
    /// It is what a variable holds, which is not assigned as long as such an operand is on the stack.
    Local(u32),
    /// In the frame.
    Slot,
    /// It is 1 if the condition holds, else 0. Only the topmost operand is there.
    Flags(Cond),
}

/// An operand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub(super) ty: Type,
    pub(super) place: Place,
}

/// An operand that was popped, and where its slot is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Popped {
    pub(super) operand: Operand,
    pub(super) slot: FrameOffset,
}

/// Up to which heights there are no operands of some kinds, so that nobody looks for them again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Below {
    gprs: usize,
    fprs: usize,
    locals: usize,
}

/// Among more operands than this, those that are what variables hold are not looked for one variable at a time.
const MANY: usize = 64;

fn missing() -> Error {
    Error::internal("an operand is missing")
}

fn no_register() -> Error {
    Error::internal("no register is free")
}

impl<M: Masm> Generator<'_, M> {
    /// The slot of the operand at `height`.
    pub(super) fn slot(&self, height: usize) -> Result<FrameOffset, Error> {
        let offset = height.checked_mul(8).and_then(|offset| u32::try_from(offset).ok());
        offset.and_then(|offset| self.slots.0.checked_add(offset)).map(FrameOffset).ok_or_else(Self::too_large)
    }

    pub(super) fn push(&mut self, ty: Type, place: Place) {
        self.stack.push(Operand { ty, place });
        self.highest = self.highest.max(self.stack.len());
    }

    pub(super) fn push_gpr(&mut self, ty: impl Into<Type>, reg: Gpr) {
        self.push(ty.into(), Place::Gpr(reg));
    }

    pub(super) fn push_fpr(&mut self, ty: impl Into<Type>, reg: Fpr) {
        self.push(ty.into(), Place::Fpr(reg));
    }

    /// Pops an operand as it is.
    pub(super) fn pop(&mut self) -> Result<Popped, Error> {
        let operand = self.stack.pop().ok_or_else(missing)?;
        let height = self.stack.len();
        let Below { gprs, fprs, locals } = &mut self.below;
        [gprs, fprs, locals].into_iter().for_each(|below| *below = height.min(*below));
        Ok(Popped { operand, slot: self.slot(self.stack.len())? })
    }

    /// The type of the topmost operand.
    pub(super) fn top(&self) -> Result<Operand, Error> {
        self.stack.last().copied().ok_or_else(missing)
    }

    /// Pops an integer to a register.
    pub(super) fn pop_gpr(&mut self) -> Result<Gpr, Error> {
        let popped = self.pop()?;
        self.ensure_gpr(popped)
    }

    /// Has a popped integer in a register.
    pub(super) fn ensure_gpr(&mut self, popped: Popped) -> Result<Gpr, Error> {
        match popped.operand.place {
            Place::Gpr(reg) => {
                self.copies.forget(reg);
                Ok(reg)
            }
            place => {
                let copy = self.take_copy(place);
                let reg = self.take_gpr()?;
                match copy {
                    Some(copy) => {
                        self.masm.mov(Width::W64, reg, copy);
                        self.release(copy);
                    }
                    None => self.load_gpr(reg, popped),
                }
                Ok(reg)
            }
        }
    }

    /// Takes the register that has a copy of an operand's variable, to be read; `None` if there is none.
    fn take_copy(&mut self, place: Place) -> Option<Gpr> {
        let Place::Local(index) = place else { return None };
        let reg = self.copies.holder::<M>(index, self.free_gprs)?;
        self.free_gprs &= !(1 << reg.0);
        Some(reg)
    }

    /// Loads a popped integer, or a number's bits, that is not in the register to it.
    pub(super) fn load_gpr(&mut self, reg: Gpr, Popped { operand, slot }: Popped) {
        let width = operand.ty.width();
        match operand.place {
            Place::Gpr(from) => self.masm.mov(Width::W64, reg, from),
            Place::Fpr(from) => self.masm.fpr_to_gpr(Float::of(width), reg, from),
            Place::Const(bits) => self.masm.mov_imm(reg, bits),
            Place::Local(index) => match self.variables.home(index) {
                Home::Gpr(from) => self.masm.mov(Width::W64, reg, from),
                Home::Fpr(from) => self.masm.fpr_to_gpr(Float::of(width), reg, from),
                Home::Frame => self.masm.load_frame(width, reg, self.local_place(index)),
            },
            Place::Slot => self.masm.load_frame(width, reg, slot),
            Place::Flags(cond) => self.masm.set(cond, reg),
        }
    }

    /// Pops an integer to a register that is not to be changed: it may be a variable's.
    pub(super) fn pop_read_gpr(&mut self) -> Result<Gpr, Error> {
        let popped = self.pop()?;
        self.read_gpr(popped)
    }

    /// Has a popped integer in such a register.
    pub(super) fn read_gpr(&mut self, popped: Popped) -> Result<Gpr, Error> {
        let place = popped.operand.place;
        if let Home::Gpr(reg) = self.register_of(place) {
            return Ok(reg);
        }
        if let Some(copy) = self.take_copy(place) {
            return Ok(copy);
        }
        let reg = self.ensure_gpr(popped)?;
        if let Place::Local(index) = place {
            self.copies.note(reg, index);
        }
        Ok(reg)
    }

    /// The register in which an operand is, if it is in one: its own, or its variable's.
    pub(super) fn register_of(&self, place: Place) -> Home {
        match place {
            Place::Gpr(reg) => Home::Gpr(reg),
            Place::Fpr(reg) => Home::Fpr(reg),
            Place::Local(index) => self.variables.home(index),
            Place::Const(_) | Place::Slot | Place::Flags(_) => Home::Frame,
        }
    }

    /// Pops an integer as the second operand of an operation.
    pub(super) fn pop_source(&mut self) -> Result<Source, Error> {
        let popped = self.pop()?;
        match popped.operand.place {
            Place::Const(bits) => {
                #[allow(clippy::cast_possible_truncation, reason = "an i32 is meant, as signed")]
                let imm = match popped.operand.ty.width() {
                    Width::W32 => Some((bits as u32).cast_signed()),
                    Width::W64 => i32::try_from(bits.cast_signed()).ok(),
                };
                match imm {
                    Some(imm) => Ok(Source::Imm(imm)),
                    None => Ok(Source::Gpr(self.ensure_gpr(popped)?)),
                }
            }
            Place::Local(index) => Ok(match (self.variables.home(index), self.take_copy(popped.operand.place)) {
                (Home::Gpr(reg), _) | (_, Some(reg)) => Source::Gpr(reg),
                _ => Source::Frame(self.local_place(index)),
            }),
            Place::Slot => Ok(Source::Frame(popped.slot)),
            _ => Ok(Source::Gpr(self.ensure_gpr(popped)?)),
        }
    }

    /// Pops a floating-point number to a register.
    pub(super) fn pop_fpr(&mut self) -> Result<Fpr, Error> {
        let popped = self.pop()?;
        if let Place::Fpr(reg) = popped.operand.place {
            return Ok(reg);
        }
        let reg = self.take_fpr()?;
        self.load_fpr(reg, popped)?;
        Ok(reg)
    }

    /// Pops a floating-point number to a register that is not to be changed.
    pub(super) fn pop_read_fpr(&mut self) -> Result<Fpr, Error> {
        match self.register_of(self.top()?.place) {
            Home::Fpr(reg) => self.pop().map(|_| reg),
            _ => self.pop_fpr(),
        }
    }

    /// Loads a popped floating-point number to a register.
    pub(super) fn load_fpr(&mut self, reg: Fpr, Popped { operand, slot }: Popped) -> Result<(), Error> {
        let ty = operand.ty.float().ok_or_else(|| Error::internal("an integer where a float is wanted"))?;
        match operand.place {
            Place::Fpr(from) => self.masm.fmov(reg, from),
            Place::Const(bits) => self.masm.fmov_imm(ty, reg, bits),
            Place::Local(index) => match self.variables.home(index) {
                Home::Fpr(from) => self.masm.fmov(reg, from),
                _ => self.masm.fload_frame(ty, reg, self.local_place(index)),
            },
            Place::Slot => self.masm.fload_frame(ty, reg, slot),
            Place::Gpr(_) | Place::Flags(_) => return Err(Error::internal("a float in an integer's register")),
        }
        Ok(())
    }

    /// Takes a register, if need be from the operand that has been on the stack for longest.
    pub(super) fn take_gpr(&mut self) -> Result<Gpr, Error> {
        if let Some(reg) = self.copies.least_useful::<M>(self.free_gprs) {
            self.free_gprs &= !(1 << reg.0);
            return Ok(reg);
        }
        for height in self.below.gprs.max(self.settled())..self.stack.len() {
            self.below.gprs = height + 1;
            if let Some(Operand { place: Place::Gpr(reg), .. }) = self.stack.get(height).copied() {
                self.masm.store_frame(self.slot(height)?, reg);
                self.set_place(height, Place::Slot);
                self.copies.forget(reg);
                return Ok(reg);
            }
        }
        Err(no_register())
    }

    /// As [`Generator::take_gpr`].
    pub(super) fn take_fpr(&mut self) -> Result<Fpr, Error> {
        if let Some(&reg) = M::FPRS.iter().find(|reg| self.free_fprs & 1 << reg.0 != 0) {
            self.free_fprs &= !(1 << reg.0);
            return Ok(reg);
        }
        for height in self.below.fprs.max(self.settled())..self.stack.len() {
            self.below.fprs = height + 1;
            if let Some(Operand { place: Place::Fpr(reg), .. }) = self.stack.get(height).copied() {
                self.masm.fstore_frame(self.slot(height)?, reg);
                self.set_place(height, Place::Slot);
                return Ok(reg);
            }
        }
        Err(no_register())
    }

    /// Takes this register; an operand that is in it moves elsewhere. Nothing that was popped may be in it.
    pub(super) fn take_this(&mut self, reg: Gpr) -> Result<(), Error> {
        self.copies.forget(reg);
        if self.free_gprs & 1 << reg.0 != 0 {
            self.free_gprs &= !(1 << reg.0);
            return Ok(());
        }
        let owner = self.stack.iter().rposition(|operand| operand.place == Place::Gpr(reg)).ok_or_else(no_register)?;
        let other = M::GPRS.iter().copied().find(|other| self.free_gprs & 1 << other.0 != 0);
        let place = match other {
            Some(other) => {
                self.free_gprs &= !(1 << other.0);
                self.copies.forget(other);
                self.masm.mov(Width::W64, other, reg);
                Place::Gpr(other)
            }
            None => {
                self.masm.store_frame(self.slot(owner)?, reg);
                Place::Slot
            }
        };
        self.set_place(owner, place);
        Ok(())
    }

    fn set_place(&mut self, height: usize, place: Place) {
        if let Some(operand) = self.stack.get_mut(height) {
            operand.place = place;
        }
    }

    /// Whether a register is one for operands, and not a variable's.
    pub(super) fn holds_operands(&self, reg: Gpr) -> bool {
        self.operand_gprs & 1 << reg.0 != 0
    }

    /// Whether an operand's register may be changed by who has popped it to be read: it is no variable's, and has no copy of one that may be wanted again.
    pub(super) fn is_free_to_change(&self, reg: Gpr) -> bool {
        self.holds_operands(reg) && !self.copies.has(reg)
    }

    /// Gives a register up, unless it is a variable's.
    pub(super) fn release(&mut self, reg: Gpr) {
        self.free_gprs |= self.operand_gprs & 1 << reg.0;
    }

    /// Likewise.
    pub(super) fn release_fpr(&mut self, reg: Fpr) {
        self.free_fprs |= self.operand_fprs & 1 << reg.0;
    }

    /// Gives up the register of a second operand, if it has one.
    pub(super) fn release_source(&mut self, source: Source) {
        if let Source::Gpr(reg) = source {
            self.release(reg);
        }
    }

    /// Gives up the register of a popped operand, if it has one.
    pub(super) fn release_place(&mut self, place: Place) {
        match place {
            Place::Gpr(reg) => self.release(reg),
            Place::Fpr(reg) => self.release_fpr(reg),
            _ => {}
        }
    }

    /// Drops operands until `height` are left.
    pub(super) fn drop_to(&mut self, height: usize) -> Result<(), Error> {
        while self.stack.len() > height {
            let popped = self.pop()?;
            self.release_place(popped.operand.place);
        }
        Ok(())
    }

    /// Makes the flags' operand, if there is one, a number in a register.
    pub(super) fn settle_flags(&mut self) -> Result<(), Error> {
        if let Some(&Operand { place: Place::Flags(cond), .. }) = self.stack.last() {
            let reg = self.take_gpr()?;
            self.masm.set(cond, reg);
            self.set_place(self.stack.len() - 1, Place::Gpr(reg));
        }
        Ok(())
    }

    /// Puts operands below the height `end` that are in registers into their slots.
    pub(super) fn spill(&mut self, end: usize) -> Result<(), Error> {
        let start = self.below.gprs.min(self.below.fprs).max(self.settled());
        for height in start..end {
            let Some(operand) = self.stack.get(height).copied() else { break };
            match operand.place {
                Place::Gpr(reg) => self.masm.store_frame(self.slot(height)?, reg),
                Place::Fpr(reg) => self.masm.fstore_frame(self.slot(height)?, reg),
                _ => continue,
            }
            self.release_place(operand.place);
            self.set_place(height, Place::Slot);
        }
        (self.below.gprs, self.below.fprs) = (self.below.gprs.max(end), self.below.fprs.max(end));
        Ok(())
    }

    /// Puts all operands but constants into their slots, since paths part or meet here.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        self.spill(self.stack.len())?;
        self.settle_locals()
    }

    /// Copies what variables hold and is on the stack into its slots.
    fn settle_locals(&mut self) -> Result<(), Error> {
        for height in self.below.locals.max(self.settled())..self.stack.len() {
            if let Some(Operand { place: Place::Local(index), .. }) = self.stack.get(height).copied() {
                self.copy_local(index, self.slot(height)?);
                self.set_place(height, Place::Slot);
            }
        }
        self.below.locals = self.stack.len();
        Ok(())
    }

    pub(super) fn copy_frame(&mut self, from: FrameOffset, to: FrameOffset) {
        self.masm.load_frame(Width::W64, M::SCRATCH, from);
        self.masm.store_frame(to, M::SCRATCH);
    }

    /// Copies the topmost `count` operands to the slots from `height` on, which is not above their own. Changes nothing but the frame and the scratch register.
    pub(super) fn copy_to_slots(&mut self, count: usize, height: usize) -> Result<(), Error> {
        let start = self.stack.len().checked_sub(count).ok_or_else(missing)?;
        for position in 0..count {
            let Some(operand) = self.stack.get(start + position).copied() else { break };
            let to = self.slot(height + position)?;
            match operand.place {
                Place::Gpr(reg) => self.masm.store_frame(to, reg),
                Place::Fpr(reg) => self.masm.fstore_frame(to, reg),
                Place::Const(bits) => self.masm.store_frame_imm(to, bits),
                Place::Local(index) => self.copy_local(index, to),
                Place::Slot if height == start => {}
                Place::Slot => self.copy_frame(self.slot(start + position)?, to),
                Place::Flags(_) => return Err(Error::internal("a condition is carried by a branch")),
            }
        }
        Ok(())
    }

    /// Makes room for the assignment of variable `index`: operands that are what it holds get registers.
    pub(super) fn detach_local(&mut self, index: u32) -> Result<(), Error> {
        let start = self.below.locals.max(self.settled());
        if self.stack.len() - start.min(self.stack.len()) > MANY {
            return self.settle_locals();
        }
        for height in start..self.stack.len() {
            let Some(operand) = self.stack.get(height).copied() else { break };
            if operand.place != Place::Local(index) {
                continue;
            }
            let popped = Popped { operand, slot: self.slot(height)? };
            let place = if operand.ty.float().is_some() {
                let reg = self.take_fpr()?;
                self.load_fpr(reg, popped)?;
                self.below.fprs = height.min(self.below.fprs);
                Place::Fpr(reg)
            } else {
                let reg = self.take_gpr()?;
                self.load_gpr(reg, popped);
                self.below.gprs = height.min(self.below.gprs);
                Place::Gpr(reg)
            };
            self.set_place(height, place);
        }
        Ok(())
    }

    /// Below this height, all operands are in their slots or constants.
    fn settled(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.height)
    }

    /// All registers are free: no operand is in one.
    pub(super) fn free_all(&mut self) {
        debug_assert!(
            self.stack.iter().all(|operand| !matches!(operand.place, Place::Gpr(_) | Place::Fpr(_) | Place::Flags(_))),
            "an operand is in a register that something else gets"
        );
        (self.free_gprs, self.free_fprs) = (self.operand_gprs, self.operand_fprs);
        self.copies.forget_all();
    }
}
