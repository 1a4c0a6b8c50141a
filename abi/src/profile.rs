//! [`Profile`]: what code that counts has seen of a module's runs, and the file that it is kept in.
//!
//! A profile belongs to one module, which it names by the checksum of its bytes, and to no machine and no compiler: functions are named by their indices, operators by
//! their offsets in the module. **It is advice.** Whoever takes it must ask for nothing that would be wrong if a profile were: a file may be damaged so that its checksum
//! fits, or be made by somebody who means harm. So nothing in it is a right index, a right offset or a likely number until the module says so.
//!
//! [`format`](mod@format) reads and writes the file.

pub mod format;

use crate::artifact::Checksum;
use crate::index::FuncIndex;

pub use format::ProfileError;

/// Of this part of all calls at one place, in percent, a target must have its share to be called directly there.
pub const DOMINANT_PERCENT: u64 = 80;

/// What was counted in runs of one module. Only what has happened is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The checksum of the module's bytes.
    pub wasm: Checksum,
    /// By ascending index.
    pub functions: Vec<FunctionProfile>,
}

/// What was counted in one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionProfile {
    /// Its index.
    pub index: u32,
    /// How often it was called.
    pub entries: u64,
    /// By ascending offset.
    pub sites: Vec<Site>,
}

/// What was counted at one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The operator's offset in the module's bytes.
    pub offset: u32,
    /// What was counted.
    pub counts: Counts,
}

/// What is counted, by the kind of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counts {
    /// `if` and `br_if`.
    Branch {
        /// How often the condition held.
        taken: u64,
        /// How often it was looked at.
        total: u64,
    },
    /// `loop`: how often its head was passed, from before it or from its end.
    Loop {
        /// That.
        rounds: u64,
    },
    /// `br_table`: how often each of its targets was taken, in order, the default last.
    Table {
        /// That.
        taken: Vec<u64>,
    },
    /// `call_indirect` and `return_call_indirect`.
    Call {
        /// How often it was executed.
        total: u64,
        /// How often `target` was what it called, at least.
        hits: u64,
        /// The function, by its index, that was called more often than all others together, if there is one; some function otherwise. Only functions that the calling
        /// instance defines itself are counted.
        target: Option<u32>,
    },
}

impl Profile {
    /// What was counted in `func`, if it was called.
    pub fn function(&self, func: FuncIndex) -> Option<&FunctionProfile> {
        let position = self.functions.binary_search_by_key(&func.0, |function| function.index).ok()?;
        self.functions.get(position)
    }
}

impl FunctionProfile {
    /// What was counted at the operator at `offset`, if it was executed.
    pub fn site(&self, offset: u32) -> Option<&Counts> {
        let position = self.sites.binary_search_by_key(&offset, |site| site.offset).ok()?;
        self.sites.get(position).map(|site| &site.counts)
    }

    /// How much happened in the function: calls of it, and rounds of its loops.
    pub fn weight(&self) -> u64 {
        let rounds = self.sites.iter().map(|site| match site.counts {
            Counts::Loop { rounds } => rounds,
            _ => 0,
        });
        rounds.fold(self.entries, u64::saturating_add)
    }
}

impl Counts {
    /// The function that a call goes to nearly always, and how often it did and did not.
    pub fn dominant_target(&self) -> Option<(FuncIndex, u64, u64)> {
        let Self::Call { total, hits, target: Some(target) } = *self else { return None };
        let dominant = u128::from(hits) * 100 >= u128::from(total) * u128::from(DOMINANT_PERCENT);
        (hits > 0 && dominant).then(|| (FuncIndex(target), hits, total.saturating_sub(hits)))
    }

    /// How often the operator was executed.
    pub fn total(&self) -> u64 {
        match self {
            Self::Branch { total, .. } | Self::Call { total, .. } => *total,
            Self::Loop { rounds } => *rounds,
            Self::Table { taken } => taken.iter().fold(0, |sum, &taken| sum.saturating_add(taken)),
        }
    }
}

#[cfg(test)]
mod tests;
