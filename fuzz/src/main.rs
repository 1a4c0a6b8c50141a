//! `make fuzz`: differential testing of any number of modules.

use anyhow::{Result, bail};
use clap::Parser;
use std::path::{Path, PathBuf};
use wasmo_fuzz::campaign;
use wasmo_fuzz::compare::{Mode, Verdict, compare};

/// Runs random modules on wasmo and wasmi and compares all that can be observed.
#[derive(Parser)]
struct Args {
    /// How many modules; 0 goes on until one differs or Ctrl-C.
    #[arg(long, default_value_t = 0)]
    modules: u64,
    /// The first seed; each further module takes the next.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads; each runs modules of its own.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Compiles all modules in this way, instead of by turns.
    #[arg(long)]
    mode: Option<Mode>,
    /// How many smaller modules to try when one differs.
    #[arg(long, default_value_t = 400)]
    shrink: usize,
    /// Compares this module, .wasm or .wat, in all modes instead.
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Compares the module in `path` in all modes.
fn compare_file(path: &Path) -> Result<()> {
    let wasm = wat::parse_file(path)?;
    let mut differ = false;
    for mode in [Mode::Default, Mode::Strict, Mode::Tiers, Mode::Profiled, Mode::LiftOff] {
        match compare(&wasm, mode) {
            Verdict::Agree(steps) => println!("{mode:?} mode: {steps} steps agree"),
            Verdict::Skipped(reason) => println!("{mode:?} mode: skipped: {reason}"),
            Verdict::Differ(difference) => {
                differ = true;
                println!("{mode:?} mode:\n{difference}");
            }
        }
    }
    if differ { bail!("wasmo and wasmi differ") } else { Ok(()) }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(path) = &args.file {
        return compare_file(path);
    }
    let endless = args.modules == 0;
    let end = if endless { u64::MAX } else { args.seed.saturating_add(args.modules) };
    let totals = campaign::run(args.seed..end, args.mode, args.threads, args.shrink, |seed, totals| {
        if seed % 500 == 499 {
            eprintln!("seed {seed}: {} agree, {} skipped", totals.agreed, totals.skipped);
        }
        !endless || totals.differences.is_empty()
    });
    for report in &totals.differences {
        eprintln!("{report}");
    }
    println!("{} modules agree, {} were skipped, {} differ", totals.agreed, totals.skipped, totals.differences.len());
    if !totals.differences.is_empty() {
        bail!("wasmo and wasmi differ; run a seed alone with --modules 1 --seed SEED");
    }
    Ok(())
}
