//! [`Stats`]: what `--stats` prints.

use std::fmt;
use std::time::{Duration, Instant};

use wasmo::Module;

use crate::units::format_size;

/// The parts of a run that are timed.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "compiler"), expect(dead_code, reason = "nothing is compiled"))]
pub(crate) enum Phase {
    /// Reading files, and translating text.
    Read,
    /// Taking up what was compiled before.
    Load,
    /// Making machine code, and keeping it.
    Compile,
    /// Making instances, with their start functions.
    Instantiate,
    /// Running what was called.
    Run,
    /// Keeping what was compiled meanwhile.
    Keep,
}

/// Whether the cache had a module that is not compiled to a file.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "compiler"), expect(dead_code, reason = "only what is compiled is kept"))]
pub(crate) enum Cached {
    /// It had it.
    Hit,
    /// It has it now, unless it cannot be written.
    Miss,
}

/// Times and sizes of a run.
pub(crate) struct Stats {
    wanted: bool,
    begun: Instant,
    /// When the guest first ran, since the beginning.
    first_run: Option<Duration>,
    #[cfg(feature = "compiler")]
    tiers: wasmo::TierStats,
    phases: [Duration; 6],
    cached: [usize; 2],
    /// Functions that a process in the background optimises from now on.
    later: usize,
    functions: usize,
    code_bytes: usize,
}

impl Stats {
    /// Statistics that somebody wants to see, or that nobody does.
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            begun: Instant::now(),
            first_run: None,
            #[cfg(feature = "compiler")]
            tiers: wasmo::TierStats::default(),
            phases: Default::default(),
            cached: Default::default(),
            later: 0,
            functions: 0,
            code_bytes: 0,
        }
    }

    /// Does `work`, and adds its time to the phase.
    pub(crate) fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        if let Phase::Run = phase {
            self.first_run.get_or_insert(start - self.begun);
        }
        let result = work();
        self.phases[phase as usize] += start.elapsed();
        result
    }

    /// Counts a look into the cache.
    #[cfg_attr(not(feature = "compiler"), expect(dead_code, reason = "only what is compiled is kept"))]
    pub(crate) fn add_look(&mut self, cached: Cached) {
        self.cached[cached as usize] += 1;
    }

    /// Takes up how many functions are optimised when the run is over.
    pub(crate) fn set_later(&mut self, functions: usize) {
        self.later = functions;
    }

    /// Takes up what became of functions while they ran.
    #[cfg(feature = "compiler")]
    pub(crate) fn set_tiers(&mut self, tiers: wasmo::TierStats) {
        self.tiers = tiers;
    }

    /// Counts a module in.
    pub(crate) fn add_module(&mut self, module: &Module) {
        // Of a module that was compiled before, the tables that this takes are otherwise not read.
        if !self.wanted {
            return;
        }
        self.functions += module.functions().len();
        self.code_bytes += module.code_size();
    }
}

/// A line each.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, time) in ["read", "load", "compile", "instantiate", "run", "keep"].into_iter().zip(self.phases) {
            writeln!(f, "{name:<12}{:>12.3} ms", time.as_secs_f64() * 1000.0)?;
        }
        if let Some(first) = self.first_run {
            writeln!(f, "{:<12}{:>12.3} ms", "first run at", first.as_secs_f64() * 1000.0)?;
        }
        #[cfg(feature = "compiler")]
        write_tiers(f, &self.tiers)?;
        let cache = match self.cached {
            [0, 0] => "not used".to_owned(),
            [1, 0] => "hit".to_owned(),
            [0, 1] => "miss".to_owned(),
            [hits, misses] => format!("{hits} of {} hit", hits + misses),
        };
        writeln!(f, "{:<12}{cache:>12}", "cache")?;
        if self.later > 0 {
            writeln!(f, "{:<12}{:>12} functions, by a process in the background", "optimizing", self.later)?;
        }
        writeln!(f, "{:<12}{:>12}", "functions", self.functions)?;
        writeln!(f, "{:<12}{:>12} bytes", "code", self.code_bytes)?;
        match peak_memory() {
            Some(bytes) => writeln!(f, "{:<12}{:>12}", "peak memory", format_size(bytes)),
            None => writeln!(f, "{:<12}{:>12}", "peak memory", "unknown"),
        }
    }
}

/// The most memory that this process had in use, in bytes.
fn peak_memory() -> Option<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is large enough for, and aligned as, what the call writes.
    let answer = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if answer != 0 {
        return None;
    }
    // SAFETY: all zeroes are a valid `rusage`, and the call has filled it in.
    let usage = unsafe { usage.assume_init() };
    // Linux counts in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    u64::try_from(usage.ru_maxrss).ok()?.checked_mul(unit)
}

/// What became of functions while they ran, unless all were compiled before.
#[cfg(feature = "compiler")]
fn write_tiers(f: &mut fmt::Formatter<'_>, tiers: &wasmo::TierStats) -> fmt::Result {
    if *tiers == wasmo::TierStats::default() {
        return Ok(());
    }
    let kept = tiers.kept_lift_off + tiers.kept_soon + tiers.kept_optimized;
    if kept > 0 {
        let (soon, optimized, bytes) = (tiers.kept_soon, tiers.kept_optimized, tiers.kept_bytes);
        writeln!(
            f,
            "{:<12}{kept:>12} functions, {optimized} of them optimized, {soon} soon, {bytes} bytes",
            "from cache"
        )?;
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let mut line = |name: &str, functions: u64, bytes: u64, time: Duration| {
        writeln!(f, "{name:<12}{functions:>12} functions, {bytes} bytes, {:.3} ms", milliseconds(time))
    };
    let lift_off = tiers.lift_off_waited + tiers.lift_off_ahead;
    line("lift-off", tiers.lift_off_functions, tiers.lift_off_bytes, lift_off)?;
    line("soon", tiers.soon_functions, tiers.soon_bytes, tiers.soon_time)?;
    line("optimized", tiers.optimized_functions, tiers.optimized_bytes, tiers.optimized_time)?;
    writeln!(f, "{:<12}{:>12.3} ms for lift-off code", "waited", milliseconds(tiers.lift_off_waited))?;
    for thread in &tiers.threads {
        writeln!(f, "{:<12}{:>12.3} ms by {}", "compiled", milliseconds(thread.time), thread.name)?;
    }
    writeln!(
        f,
        "{:<12}{:>12} on-stack replacements, {} functions not optimizable, {} bytes of replaced code freed",
        "tiers", tiers.osr_entries, tiers.kept, tiers.freed_bytes
    )
}
