//! [`Stats`]: what `--stats` prints.

use std::fmt;
use std::time::{Duration, Instant};

use wasmo::Module;

use crate::units::format_size;

/// The parts of a run that are timed.
#[derive(Clone, Copy)]
pub(crate) enum Phase {
    /// Reading files, and translating text.
    Read,
    /// Taking up what was compiled before.
    Load,
    /// Making machine code.
    Compile,
    /// Making instances, with their start functions.
    Instantiate,
    /// Running what was called.
    Run,
}

/// Times and sizes of a run.
#[derive(Default)]
pub(crate) struct Stats {
    phases: [Duration; 5],
    functions: usize,
    code_bytes: usize,
}

impl Stats {
    /// Does `work`, and adds its time to the phase.
    pub(crate) fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.phases[phase as usize] += start.elapsed();
        result
    }

    /// Counts a module in.
    pub(crate) fn add_module(&mut self, module: &Module) {
        self.functions += module.functions().len();
        self.code_bytes += module.code_size();
    }
}

/// A line each.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, time) in ["read", "load", "compile", "instantiate", "run"].into_iter().zip(self.phases) {
            writeln!(f, "{name:<12}{:>12.3} ms", time.as_secs_f64() * 1000.0)?;
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
