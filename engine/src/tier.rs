//! Modules in tiers: they start at once and end at full speed.
//!
//! With [`Tier::Auto`], a function is compiled when it is first called, quickly and without optimisation (*lift-off*); its code counts how often it runs. A function
//! that turns out to be hot is optimised on a thread in the background, together with the functions that it calls, and replaces the lift-off code for all
//! who call it from then on, in all stores. A loop that is hot in a function that does not return goes on in optimised code as well (*on-stack replacement*).
//!
//! * `tuning`: the numbers;
//! * `clock`: processor time;
//! * `make`: how such modules are made;
//! * `module`: what is known of each function of one module, and what is done when the runtime asks for code;
//! * `learner`: what is kept for the next run of the program, in the cache;
//! * `sampler`: the thread that finds out which code runs;
//! * `source`: the module's binary, which a run that finds all its code in the cache does not need;
//! * `stack`: stacks to compile on, for threads that run guests;
//! * `thunks`: where thunks are put;
//! * `workers`: the threads in the background, which all modules of an engine share.

mod clock;
mod learner;
mod make;
mod module;
mod sampler;
mod source;
mod stack;
mod stats;
mod thunks;
mod tuning;
mod workers;

pub(crate) use make::{in_tiers, late, resumed};
pub(crate) use module::{Host, Shared};
pub(crate) use sampler::Sampler;
pub(crate) use source::ReadBinary;
pub(crate) use stats::Stats;
pub use stats::{ThreadTime, TierEvent, TierStats};
pub(crate) use thunks::{Owned as OwnedThunks, of_type as thunks_of_type};
pub use tuning::Tuning;
pub(crate) use workers::{Busy, Workers};

/// Which code modules get; see [`crate::Config::tier`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// Functions are compiled as they are called, quickly at first, and optimised when they turn out to be hot. Making a module takes little longer than validating it, and LLVM comes into the
    /// process when the first function is to be optimised, or has something that nobody else compiles.
    Auto,
    /// Functions are compiled as they are called, quickly, and stay as they are.
    LiftOff,
    /// All functions are compiled and optimised before anything runs.
    #[default]
    Optimized,
}
