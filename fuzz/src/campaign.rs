//! Many modules on several threads: what `make fuzz` and the test of 2,000 modules have in common.

use crate::compare::{Mode, Verdict, compare};
use crate::{generate, shrink};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of stack for each thread: wasmi's interpreter, built without optimisation, recurses with every instruction.
const STACK: usize = 256 << 20;

/// What came of a campaign.
#[derive(Debug, Default)]
pub struct Totals {
    /// Modules on which both sides agree.
    pub agreed: u64,
    /// Seeds that stand for no module, or for one that wasmi does not take.
    pub skipped: u64,
    /// One report a module on which they differ: seed, mode, the shrunken module and both sides' last step.
    pub differences: Vec<String>,
}

/// Seeds take their turns: strict traps, as by default, with a profile, in lift-off code, in tiers.
pub fn mode_of(seed: u64) -> Mode {
    match seed % 5 {
        0 => Mode::Strict,
        1 => Mode::Default,
        2 => Mode::Profiled,
        3 => Mode::LiftOff,
        _ => Mode::Tiers,
    }
}

/// Examines the modules of `seeds` on `threads` threads, all in this mode if one is given, else by turns. On a difference, up to `attempts` smaller modules are tried. After each module `tick` is
/// called with its seed; when it answers false, the campaign ends early.
///
/// # Panics
/// When the system refuses a thread.
pub fn run(
    seeds: Range<u64>,
    mode: Option<Mode>,
    threads: usize,
    attempts: usize,
    tick: impl Fn(u64, &Totals) -> bool + Sync,
) -> Totals {
    let next = AtomicU64::new(seeds.start);
    let ended = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let worker = || {
                while !ended.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let verdict = examine(seed, mode.unwrap_or_else(|| mode_of(seed)), attempts);
                    let mut totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match verdict {
                        Ok(true) => totals.agreed += 1,
                        Ok(false) => totals.skipped += 1,
                        Err(report) => totals.differences.push(report),
                    }
                    if !tick(seed, &totals) {
                        ended.store(true, Ordering::Relaxed);
                    }
                }
            };
            let thread = std::thread::Builder::new().stack_size(STACK);
            thread.spawn_scoped(scope, worker).expect("the machine has room for another thread");
        }
    });
    totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether the two sides agree on the module of `seed` (false: nothing to compare), or a report of how they differ.
fn examine(seed: u64, mode: Mode, attempts: usize) -> Result<bool, String> {
    let entropy = generate::entropy(seed);
    let Some(wasm) = generate::module(&entropy, mode) else { return Ok(false) };
    match compare(&wasm, mode) {
        Verdict::Agree(_) => Ok(true),
        Verdict::Skipped(_) => Ok(false),
        Verdict::Differ(_) => {
            let small = shrink::shrink(&entropy, mode, attempts);
            let wasm = generate::module(&small, mode).unwrap_or(wasm);
            let difference = match compare(&wasm, mode) {
                Verdict::Differ(difference) => difference.to_string(),
                _ => "the shrunken module does not differ every time".to_owned(),
            };
            let text = wasmprinter::print_bytes(&wasm).unwrap_or_else(|error| format!("(cannot be printed: {error})"));
            Err(format!("seed {seed}, {mode:?} mode:\n{text}\n{difference}\n"))
        }
    }
}
