//! `make bench`: wasmo and its peers side by side on the same guests, on the same machine, in turn.
//!
//! A guest ([`guest`]) is one wasm file and the native program of the same source. Each engine ([`engine`]) compiles each guest once and then runs it
//! once a round, all engines in turn, so that a change of the machine's speed meets all alike. The guest times its inner part itself. [`report`] makes
//! one table on the terminal, one Markdown file and one chart of the medians. [`calls`], [`instances`], [`artefacts`], [`sizes`], [`compile`] and [`late`] measure what no guest can time: the
//! calls between host and guest, making and dropping instances, running what was compiled before, compiling CPython, and adding modules to a running program.
//! [`tiers`] and [`work`] run engines as commands ([`contender`]), from the start of the process: how soon a program runs, and how soon it is fast, which is the second chart.

mod artefacts;
mod calls;
mod compile;
mod contender;
mod engine;
mod guest;
mod instances;
mod late;
mod report;
mod sample;
mod sizes;
mod tiers;
mod work;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// wasmo and its peers side by side.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Rounds: how often each engine runs each guest.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only guests whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Only engines whose name contains one of these (comma-separated); native is always there.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Only these sections (comma-separated); all of them if not given.
    #[arg(long, value_delimiter = ',')]
    sections: Vec<Section>,
    /// All sections but these (comma-separated).
    #[arg(long, value_delimiter = ',')]
    without: Vec<Section>,
    /// Where the Markdown file and the chart go.
    #[arg(long, default_value = "results")]
    out: PathBuf,
}

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// The guests' inner parts, beside native code
    Guests,
    /// Calls between host and guest
    Calls,
    /// Making and dropping instances
    Instances,
    /// Running what was compiled before
    Artefacts,
    /// How large compiled programs are
    Sizes,
    /// Compiling CPython
    Compile,
    /// A loop, and CPython's start, with nothing compiled before
    Tiers,
    /// Programs with their compilation
    Totals,
    /// Programs that are run again, with what was kept
    Again,
    /// Adding modules to a running program
    Late,
    /// The chart of work done over time
    Work,
}

#[derive(Subcommand)]
enum Command {
    /// Compiles FILE on one engine in this process and prints seconds of CPU, seconds, and peak memory (used by the bench itself).
    Compile { engine: String, file: PathBuf },
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Command::Compile { engine, file }) = &args.command {
        return compile::here(engine, file);
    }
    let guests = guest::all(args.only.as_deref())?;
    if guests.is_empty() {
        bail!("no guest is named so; see guests/built");
    }
    let report = measure(&args, &guests)?;
    print!("{}", report.text());
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    for (name, content) in report.charts().into_iter().chain([("bench.md", report.markdown())]) {
        let path = args.out.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Measures what was asked for, one section after the other.
fn measure(args: &Args, guests: &[guest::Guest]) -> Result<report::Report> {
    let wants =
        |section| (args.sections.is_empty() || args.sections.contains(&section)) && !args.without.contains(&section);
    let mut report = report::Report::default();
    // What runs for seconds is run three times at most, so that a section takes minutes.
    let (rounds, few) = (args.rounds, args.rounds.min(3));
    if wants(Section::Guests) {
        let wanted = |name: &str| {
            name == engine::NATIVE
                || args.engines.is_empty()
                || args.engines.iter().any(|part| name.contains(part.as_str()))
        };
        report.engines = engine::all()?.into_iter().filter(|engine| wanted(engine.name())).collect();
        report.table = sample::run(&report.engines, guests, rounds)?;
    }
    if wants(Section::Calls) {
        report.calls = calls::measure(rounds)?;
    }
    if wants(Section::Instances) {
        report.instances = instances::measure(rounds, &args.out.join("compiled"))?;
    }
    if wants(Section::Artefacts) {
        report.artefacts = artefacts::measure(rounds, &args.out.join("artefacts"))?;
    }
    if wants(Section::Sizes) {
        report.sizes = sizes::measure()?;
    }
    if wants(Section::Compile) {
        report.compiles = compile::measure(few)?;
    }
    if wants(Section::Tiers) {
        report.starts = tiers::start(few, &args.out.join("tiers"))?;
    }
    if wants(Section::Totals) {
        report.totals = tiers::totals(few, guests)?;
    }
    if wants(Section::Again) {
        report.again = tiers::again(few, guests, &args.out.join("again"))?;
    }
    if wants(Section::Late) {
        report.late = late::measure(rounds, &args.out.join("late"))?;
    }
    if wants(Section::Work) {
        report.works = work::measure(few)?;
    }
    Ok(report)
}
