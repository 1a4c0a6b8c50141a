//! What modules in tiers did, in numbers and event by event.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happened to a function of a module in tiers; see [`crate::Config::tier_observer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TierEvent {
    /// A module goes on with what earlier runs have compiled.
    Resumed {
        /// How many functions have lift-off code.
        lift_off: usize,
        /// How many have optimised code that was made soon.
        soon: usize,
        /// How many are optimised as well as they can be.
        optimized: usize,
        /// Bytes of machine code.
        code: usize,
    },
    /// Lift-off code for some functions is there.
    LiftOff {
        /// The index of the function that was called, or the first of those compiled ahead.
        func: u32,
        /// How many functions were compiled.
        functions: usize,
        /// Bytes of machine code.
        code: usize,
        /// How long it took.
        took: Duration,
        /// Whether a guest waited for it.
        waited: bool,
    },
    /// A function has become hot.
    Hot {
        /// Its index.
        func: u32,
        /// The loop that made it so, counted from the beginning of the function; [`None`] for entries.
        at: Option<u32>,
    },
    /// Optimised code is there that was made soon rather than as good as it can be.
    Soon {
        /// The function's index.
        func: u32,
        /// Bytes of machine code.
        code: usize,
        /// How long it took.
        took: Duration,
    },
    /// Optimised code is there.
    Optimized {
        /// The function's index.
        func: u32,
        /// How many functions were compiled with it.
        functions: usize,
        /// The loop at which it can be entered, too.
        at: Option<u32>,
        /// Bytes of machine code.
        code: usize,
        /// How long it took.
        took: Duration,
    },
    /// A function stays in lift-off code, since it cannot be optimised.
    Kept {
        /// Its index.
        func: u32,
    },
    /// A running function went on in optimised code at the head of a loop.
    Osr {
        /// The function's index.
        func: u32,
        /// The loop.
        at: u32,
    },
    /// Code that was replaced by newer code was freed, since nobody could come back to it.
    Freed {
        /// Bytes of machine code.
        code: usize,
    },
}

impl fmt::Display for TierEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |took: Duration| took.as_secs_f64() * 1000.0;
        match *self {
            Self::Resumed { lift_off, soon, optimized, code } => {
                write!(
                    f,
                    "resumed with {lift_off} functions lifted off, {soon} made soon, {optimized} optimized ({code} bytes)"
                )
            }
            Self::LiftOff { func, functions, code, took, waited } => {
                let how = if waited { "lift-off" } else { "ahead" };
                write!(f, "{how} {func} ({functions} functions, {code} bytes, {:.3} ms)", milliseconds(took))
            }
            Self::Hot { func, at: None } => write!(f, "hot {func}"),
            Self::Hot { func, at: Some(at) } => write!(f, "hot {func} in loop {at}"),
            Self::Optimized { func, functions, at, code, took } => {
                write!(f, "optimized {func}")?;
                if let Some(at) = at {
                    write!(f, " from loop {at}")?;
                }
                write!(f, " ({functions} functions, {code} bytes, {:.3} ms)", milliseconds(took))
            }
            Self::Soon { func, code, took } => {
                write!(f, "soon {func} ({code} bytes, {:.3} ms)", milliseconds(took))
            }
            Self::Kept { func } => write!(f, "kept {func}"),
            Self::Freed { code } => write!(f, "freed {code} bytes"),
            Self::Osr { func, at } => write!(f, "on-stack replacement {func} at loop {at}"),
        }
    }
}

/// What the modules in tiers of one engine did so far; see [`crate::Engine::tier_stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierStats {
    /// Functions whose lift-off code earlier runs have made.
    pub kept_lift_off: u64,
    /// Functions whose code earlier runs have made that was optimised soon.
    pub kept_soon: u64,
    /// Functions whose optimised code earlier runs have made.
    pub kept_optimized: u64,
    /// Bytes of code that earlier runs have made.
    pub kept_bytes: u64,
    /// Functions compiled to lift-off code.
    pub lift_off_functions: u64,
    /// Bytes of lift-off code.
    pub lift_off_bytes: u64,
    /// Time that guests waited for lift-off code.
    pub lift_off_waited: Duration,
    /// Time that threads in the background spent on lift-off code.
    pub lift_off_ahead: Duration,
    /// Functions optimised soon rather than as well as they can be.
    pub soon_functions: u64,
    /// Bytes of such code.
    pub soon_bytes: u64,
    /// Time spent on it.
    pub soon_time: Duration,
    /// Functions optimised.
    pub optimized_functions: u64,
    /// Bytes of optimised code.
    pub optimized_bytes: u64,
    /// Time spent on optimised code.
    pub optimized_time: Duration,
    /// How often a running function went on in optimised code.
    pub osr_entries: u64,
    /// Functions that could not be optimised.
    pub kept: u64,
    /// Bytes of code that was replaced by newer code and freed.
    pub freed_bytes: u64,
    /// How long each thread of the engine spent making code, and all others together did.
    pub threads: Vec<ThreadTime>,
}

/// How long a thread spent making code; see [`TierStats::threads`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadTime {
    /// The thread's name, or [`ThreadTime::GUESTS`].
    pub name: String,
    /// How long.
    pub time: Duration,
}

impl ThreadTime {
    /// The name of all threads together that are not the engine's.
    pub const GUESTS: &str = "guests";
}

/// What the names of the engine's threads begin with.
const THREADS: &str = "wasmo-";

/// Counters behind [`TierStats`].
#[derive(Debug, Default)]
pub(crate) struct Stats(Mutex<TierStats>);

impl Stats {
    fn sums(&self) -> MutexGuard<'_, TierStats> {
        // Each event is added up as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event up, of which this thread tells.
    pub(crate) fn count(&self, event: &TierEvent) {
        let mut sums = self.sums();
        match *event {
            TierEvent::Resumed { lift_off, soon, optimized, code } => {
                sums.kept_lift_off += lift_off as u64;
                sums.kept_soon += soon as u64;
                sums.kept_optimized += optimized as u64;
                sums.kept_bytes += code as u64;
            }
            TierEvent::LiftOff { functions, code, took, waited, .. } => {
                sums.lift_off_functions += functions as u64;
                sums.lift_off_bytes += code as u64;
                *if waited { &mut sums.lift_off_waited } else { &mut sums.lift_off_ahead } += took;
                sums.add_time(took);
            }
            TierEvent::Soon { code, took, .. } => {
                sums.soon_functions += 1;
                sums.soon_bytes += code as u64;
                sums.soon_time += took;
                sums.add_time(took);
            }
            TierEvent::Optimized { functions, code, took, .. } => {
                sums.optimized_functions += functions as u64;
                sums.optimized_bytes += code as u64;
                sums.optimized_time += took;
                sums.add_time(took);
            }
            TierEvent::Osr { .. } => sums.osr_entries += 1,
            TierEvent::Kept { .. } => sums.kept += 1,
            TierEvent::Freed { code } => sums.freed_bytes += code as u64,
            TierEvent::Hot { .. } => {}
        }
    }

    /// The sums so far.
    pub(crate) fn get(&self) -> TierStats {
        self.sums().clone()
    }
}

impl TierStats {
    /// This thread has spent so much time more.
    fn add_time(&mut self, time: Duration) {
        let thread = std::thread::current();
        let name = thread.name().filter(|name| name.starts_with(THREADS)).unwrap_or(ThreadTime::GUESTS);
        match self.threads.iter_mut().find(|thread| thread.name == name) {
            Some(thread) => thread.time += time,
            None => self.threads.push(ThreadTime { name: name.to_owned(), time }),
        }
    }
}
