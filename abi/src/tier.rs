//! What code that is made and replaced while it runs shares with the runtime.
//!
//! A module in tiers has an array of [`VmEntry`]s, one for each function that it defines, to which the contexts of its instances point
//! ([`crate::vm::VmContext::entries`]). Its functions call one another through it; what is not in the module calls a stub for each function that jumps to
//! where its entry says. So publishing new code of a function is one store.

use crate::table::Row;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize};

/// One defined function of a module in tiers, as all its instances see it.
#[repr(C)]
#[derive(Debug)]
pub struct VmEntry {
    /// The address of its newest code, in the wasm convention; at first that of a stub that has it compiled.
    pub code: AtomicUsize,
    /// What is left until the function is hot: lift-off code takes one away on entry and at the head of a loop, and calls
    /// [`crate::builtin::Builtin::TierUp`] when it finds less than 0. Threads may lose each other's counts.
    pub budget: AtomicI32,
    /// Whether code that asks from a loop is still in the call in which it asked last: 0 when code that can be left at loops has been entered since, by whomever.
    pub same_call: AtomicU32,
}

const _: () = assert!(std::mem::size_of::<VmEntry>() == 16);

impl VmEntry {
    /// The entry of a function whose code is at this address, with this budget, that was never entered.
    pub fn new(code: usize, budget: i32) -> Self {
        Self { code: AtomicUsize::new(code), budget: AtomicI32::new(budget), same_call: AtomicU32::new(0) }
    }
}

/// The most places that the calls through tables of a module share to note what they call.
const MAX_CALLEE_SLOTS: usize = 8192;

/// How many [`VmEntry`]s follow those of a module's `functions`, in the `code` of which lift-off code notes what a call through a table calls: so much is known of it
/// when it is optimised.
pub fn callee_slots(functions: usize) -> usize {
    if functions == 0 { 0 } else { (2 * functions.min(MAX_CALLEE_SLOTS)).next_power_of_two().min(MAX_CALLEE_SLOTS) }
}

/// The one of these in which the call at this offset in the module notes it. Others may do so in the same, so that what it holds is but likely, or was.
pub fn callee_slot(offset: u32, functions: usize) -> usize {
    let mixed = offset.wrapping_mul(0x9e37_79b1) >> 16;
    mixed as usize & callee_slots(functions).saturating_sub(1)
}

/// The one of them, behind those, in the `budget` of which code that was made soon finds less than 0 when it is to say where it is: it calls [`crate::builtin::Builtin::TierUp`], once.
pub fn sample_entry(functions: usize) -> usize {
    functions + callee_slots(functions)
}

/// How many entries there are for so many functions, with those behind.
pub fn all_entries(functions: usize) -> usize {
    sample_entry(functions) + 1
}

/// Which compiler made code, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// To run as soon as possible: no optimisation; the code counts how often it runs.
    LiftOff,
    /// To run as fast as possible.
    Optimized,
}

/// A loop of a function, as a place where lift-off code can be left for optimised code.
///
/// Loops are counted in the order in which they begin in the body, unreachable ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoopIndex(pub u32);

impl LoopIndex {
    /// What the helper is told instead of a loop when a function is entered.
    pub const ENTRY: u32 = u32::MAX;

    /// What code that can be entered at this loop and at others is told by [`crate::vm::VmExecContext::resume_at`].
    pub fn resume_at(self) -> u32 {
        self.0.wrapping_add(1)
    }
}

/// Where code asks for better code, as [`crate::builtin::Builtin::TierUp`] is told. Of lift-off code that is the loop's number, or [`LoopIndex::ENTRY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Whether it is optimised code that was made soon ([`Asking::SOON`]), and not lift-off code.
    pub soon: bool,
    /// The loop at whose head it is, to be left there; [`None`] when it was entered, or cannot be left.
    pub at: Option<LoopIndex>,
}

impl Asking {
    /// What the numbers of loops that optimised code asks with have besides: no function has so many loops.
    const SOON: u32 = 1 << 31;
    /// Where such code cannot be left.
    const SOON_HERE: u32 = LoopIndex::ENTRY - 1;

    /// What the helper is told.
    pub fn encode(self) -> u32 {
        match self {
            Self { soon: false, at } => at.map_or(LoopIndex::ENTRY, |at| at.0),
            Self { soon: true, at: None } => Self::SOON_HERE,
            Self { soon: true, at: Some(at) } => at.0 | Self::SOON,
        }
    }

    /// What the helper was told.
    pub fn decode(told: u32) -> Self {
        match told {
            LoopIndex::ENTRY => Self { soon: false, at: None },
            Self::SOON_HERE => Self { soon: true, at: None },
            at => Self { soon: at & Self::SOON != 0, at: Some(LoopIndex(at & !Self::SOON)) },
        }
    }
}

/// Where code that has asked at the head of a loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Onward {
    /// The address of better code.
    pub code: usize,
    /// The loop at which that code is to be entered; [`None`] when it begins there.
    pub at: Option<LoopIndex>,
}

impl Onward {
    /// What such code finds in [`crate::vm::VmExecContext::resume_at`].
    pub fn resume_at(self) -> u32 {
        self.at.map_or(0, LoopIndex::resume_at)
    }
}

/// What there is of a function of a module in tiers when a run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// No code.
    #[default]
    New,
    /// Lift-off code.
    LiftOff,
    /// Lift-off code, and nothing better can be made.
    Settled,
    /// Optimised code that was made soon.
    Soon,
    /// Optimised code.
    Optimized,
}

/// What a run hands on to the next about one function: a row of [`crate::artifact::Part::Learned`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// How far it has come.
    pub progress: Progress,
    /// For lift-off code: what is left of its budget ([`VmEntry::budget`]) after all runs. For code that was made soon: how often it was found to run ([`sample_entry`]), likewise.
    pub count: u32,
}

impl Row for Learned {
    const SIZE: usize = 8;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        let progress = match words(0) {
            1 => Progress::LiftOff,
            2 => Progress::Settled,
            3 => Progress::Optimized,
            4 => Progress::Soon,
            _ => Progress::New,
        };
        Self { progress, count: words(1) }
    }

    fn write(self, word: impl FnMut(u32)) {
        let progress = match self.progress {
            Progress::New => 0,
            Progress::LiftOff => 1,
            Progress::Settled => 2,
            Progress::Optimized => 3,
            Progress::Soon => 4,
        };
        [progress, self.count].into_iter().for_each(word);
    }
}

/// In a table of entries, what stands for a function without code.
pub const NO_CODE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_helper_is_told_says_who_asks() {
        for soon in [false, true] {
            for at in [None, Some(LoopIndex(0)), Some(LoopIndex(1_000_000))] {
                let asking = Asking { soon, at };
                assert_eq!(Asking::decode(asking.encode()), asking);
            }
        }
        assert_eq!(Asking { soon: false, at: None }.encode(), LoopIndex::ENTRY);
        assert_eq!(Asking { soon: false, at: Some(LoopIndex(7)) }.encode(), 7);
    }

    #[test]
    fn every_call_has_a_place_among_the_callees() {
        for functions in [1, 2, 3, 100, 5000, usize::MAX] {
            let slots = callee_slots(functions);
            assert!(slots <= MAX_CALLEE_SLOTS && slots >= functions.min(MAX_CALLEE_SLOTS), "{functions}: {slots}");
            let used: std::collections::BTreeSet<_> = (0..100_000).map(|at| callee_slot(at * 7, functions)).collect();
            assert!(used.iter().all(|&slot| slot < slots));
            assert!(sample_entry(functions.min(1 << 20)) >= functions.min(1 << 20) + slots.min(1 << 20));
            assert_eq!(used.len(), slots, "all places are used");
        }
        assert_eq!((callee_slots(0), callee_slot(7, 0)), (0, 0));
    }
}
