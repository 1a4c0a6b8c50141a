//! The `wasmo` command.
//!
//! [`args`] describes the command line, and each command has its room under [`commands`]. What they share: [`input`] tells files apart,
//! [`compiler`] makes modules of WebAssembly, [`progress`] shows a long compilation, [`replace`] writes files, [`stop`] ends a run from outside, [`output`] writes to standard output and
//! reports errors. Without the feature `compiler`, the command runs compiled modules only.
//!
//! Exit codes: the guest's own; 134 after a trap, as after an abort; 130 after Ctrl-C; 2 after a wrong command line; 1 after any other error.

mod args;
mod commands;
#[cfg_attr(not(feature = "compiler"), path = "no_compiler.rs")]
mod compiler;
mod input;
mod output;
#[cfg(feature = "compiler")]
mod progress;
#[cfg(feature = "compiler")]
mod replace;
mod stop;
mod units;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    stop::end_on_closed_pipes();
    let result = match Args::parse().command {
        Command::Run(args) => commands::run::run(&args),
        #[cfg(feature = "compiler")]
        Command::Compile(args) => commands::compile::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        #[cfg(feature = "compiler")]
        Command::Validate(args) => commands::validate::run(&args),
        #[cfg(feature = "compiler")]
        Command::Wast(args) => commands::wast::run(&args),
        #[cfg(not(feature = "compiler"))]
        Command::NeedsCompiler(_) => compiler::missing(),
        Command::Cache(args) => commands::cache::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
    };
    result.unwrap_or_else(|error| output::failure(&error))
}
