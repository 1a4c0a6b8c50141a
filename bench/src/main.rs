//! `make bench`: wasmo and its peers side by side on the same guests, on the same machine, in turn.
//!
//! A guest ([`guest`]) is one wasm file and the native program of the same source. Each engine ([`engine`]) compiles each guest once and then runs it
//! once a round, all engines in turn, so that a change of the machine's speed meets all alike. The guest times its inner part itself. [`report`] makes
//! one table on the terminal, one Markdown file and one chart of the medians. [`calls`], [`instances`], [`artefacts`], [`sizes`] and [`compile`] measure what no guest can time: the
//! calls between host and guest, making and dropping instances, running what was compiled before, and compiling CPython.

mod artefacts;
mod calls;
mod compile;
mod engine;
mod guest;
mod instances;
mod report;
mod sample;
mod sizes;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
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
    /// Leave out the calls between host and guest.
    #[arg(long)]
    no_calls: bool,
    /// Leave out making and dropping instances.
    #[arg(long)]
    no_instances: bool,
    /// Leave out running what was compiled before.
    #[arg(long)]
    no_artefacts: bool,
    /// Leave out how large compiled programs are.
    #[arg(long)]
    no_sizes: bool,
    /// Leave out compiling CPython.
    #[arg(long)]
    no_compile: bool,
    /// Where the Markdown file and the chart go.
    #[arg(long, default_value = "results")]
    out: PathBuf,
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
    let wanted = |name: &str| {
        name == engine::NATIVE
            || args.engines.is_empty()
            || args.engines.iter().any(|part| name.contains(part.as_str()))
    };
    let engines: Vec<_> = engine::all()?.into_iter().filter(|engine| wanted(engine.name())).collect();
    let table = sample::run(&engines, &guests, args.rounds)?;
    let calls = if args.no_calls { Vec::new() } else { calls::measure(args.rounds)? };
    let instances =
        if args.no_instances { Vec::new() } else { instances::measure(args.rounds, &args.out.join("compiled"))? };
    let artefacts =
        if args.no_artefacts { Vec::new() } else { artefacts::measure(args.rounds, &args.out.join("artefacts"))? };
    let sizes = if args.no_sizes { Vec::new() } else { sizes::measure()? };
    let compiles = if args.no_compile { Vec::new() } else { compile::measure(args.rounds.min(3))? };

    let report = report::Report {
        engines: &engines,
        table: &table,
        calls: &calls,
        instances: &instances,
        artefacts: &artefacts,
        sizes: &sizes,
        compiles: &compiles,
    };
    print!("{}", report.text());
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    for (name, content) in [("bench.md", report.markdown()), ("bench.svg", report.svg())] {
        let path = args.out.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
