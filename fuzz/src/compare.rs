//! Judges one module: runs it on both sides and says whether they agree.

use crate::observation::{Observation, Outcome, Step, Trap};
use crate::{oracle, subject};
use std::fmt;

/// How wasmo compiles the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// As by default: an access whose value is not needed may be left out, and what was written before a fault may differ.
    Default,
    /// With `Config::strict_traps`: everything must agree.
    Strict,
    /// As by default, in tiers, where every function is left for optimised code as soon as can be.
    Tiers,
    /// As by default, with a profile of the same calls.
    Profiled,
    /// In lift-off code, with nothing left out or moved; without vectors, for which that is made in another way.
    LiftOff,
}

impl Mode {
    /// Whether accesses around one that is out of bounds are in their order.
    fn is_in_order(self) -> bool {
        matches!(self, Self::Strict | Self::LiftOff)
    }

    /// Whether modules may have vectors.
    pub fn has_vectors(self) -> bool {
        self != Self::LiftOff
    }
}

/// What came of one module.
#[derive(Debug)]
pub enum Verdict {
    /// Both sides agree, over this many steps.
    Agree(usize),
    /// The oracle does not take the module, so nothing can be said.
    Skipped(String),
    /// They differ.
    Differ(Difference),
}

/// Where the two sides differ.
#[derive(Debug)]
pub enum Difference {
    /// wasmo refuses a module that wasmi takes.
    Refused(String),
    /// This step differs.
    Step {
        /// On wasmi.
        expected: Box<Step>,
        /// On wasmo.
        found: Box<Step>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "wasmo refuses the module: {reason}"),
            Self::Step { expected, found } => write!(f, "wasmi: {expected}\nwasmo: {found}"),
        }
    }
}

/// Runs `wasm` on both sides and compares.
pub fn compare(wasm: &[u8], mode: Mode) -> Verdict {
    let expected = match oracle::run(wasm) {
        Ok(observation) => observation,
        Err(error) => return Verdict::Skipped(error.to_string()),
    };
    match subject::run(wasm, mode) {
        Ok(found) => judge(&expected, &found, mode),
        Err(error) => Verdict::Differ(Difference::Refused(format!("{error:#}"))),
    }
}

fn judge(expected: &Observation, found: &Observation, mode: Mode) -> Verdict {
    for (steps, (expected, found)) in expected.0.iter().zip(&found.0).enumerate() {
        let stopped =
            |step: &Step, traps: &[Trap]| matches!(step.outcome, Outcome::Trapped(trap) if traps.contains(&trap));
        // How deep a stack is, is nobody's promise, and what was done before it ran out differs with it.
        if stopped(expected, &[Trap::StackOverflow]) || stopped(found, &[Trap::StackOverflow]) {
            return Verdict::Agree(steps);
        }
        // Around an access out of bounds only the strict mode promises an order.
        if !mode.is_in_order() && stopped(expected, &[Trap::MemoryOutOfBounds]) {
            return Verdict::Agree(steps);
        }
        if expected != found {
            return Verdict::Differ(Difference::Step {
                expected: Box::new(expected.clone()),
                found: Box::new(found.clone()),
            });
        }
    }
    Verdict::Agree(expected.0.len())
}
