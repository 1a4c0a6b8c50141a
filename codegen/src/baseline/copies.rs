//! [`Copies`]: which registers have what variables of the frame hold, from one join of paths or call to the next.
//!
//! What is in the frame is always right, so nothing is lost when a copy is forgotten. Whoever writes to a register, or assigns a variable, says so.

use super::masm::{Gpr, Masm};

/// Which variables of the frame registers have copies of. Whoever writes to a register forgets its copy.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// For each register by its number.
    of: [Option<u32>; 32],
    /// The position among a processor's registers at which the next copy to be given up is looked for.
    next: usize,
}

impl Copies {
    fn entry(&mut self, reg: Gpr) -> &mut Option<u32> {
        &mut self.of[usize::from(reg.0 & 31)]
    }

    /// The register has a copy of the variable `index`.
    pub(super) fn note(&mut self, reg: Gpr, index: u32) {
        *self.entry(reg) = Some(index);
    }

    /// The register is written to.
    pub(super) fn forget(&mut self, reg: Gpr) {
        *self.entry(reg) = None;
    }

    /// The variable is assigned.
    pub(super) fn forget_variable(&mut self, index: u32) {
        self.of.iter_mut().filter(|of| **of == Some(index)).for_each(|of| *of = None);
    }

    /// Paths meet, or something is called.
    pub(super) fn forget_all(&mut self) {
        self.of = [None; 32];
    }

    /// Whether a register has a copy.
    pub(super) fn has(&self, reg: Gpr) -> bool {
        self.of[usize::from(reg.0 & 31)].is_some()
    }

    /// The register in `free` with a copy of the variable `index`.
    pub(super) fn holder<M: Masm>(&self, index: u32, free: u32) -> Option<Gpr> {
        let has_it = |reg: &Gpr| free & 1 << reg.0 != 0 && self.of[usize::from(reg.0 & 31)] == Some(index);
        M::GPRS.iter().copied().find(has_it)
    }

    /// One of the registers in `free` without a copy; or else one whose copy is forgotten.
    pub(super) fn least_useful<M: Masm>(&mut self, free: u32) -> Option<Gpr> {
        let is_free = |reg: &Gpr| free & 1 << reg.0 != 0;
        if let Some(&reg) = M::GPRS.iter().find(|&reg| is_free(reg) && !self.has(*reg)) {
            return Some(reg);
        }
        let (before, from) = M::GPRS.split_at(self.next.min(M::GPRS.len()));
        let (position, &reg) = (self.next..).zip(from).chain((0..).zip(before)).find(|(_, reg)| is_free(reg))?;
        self.next = position + 1;
        self.forget(reg);
        Some(reg)
    }
}
