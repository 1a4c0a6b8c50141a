//! `wasmo inspect`: what a module holds, as aligned text. The module is read, not compiled, and its function bodies are not validated.
//!
//! [`contents`] reads a module, [`render`] writes it.

mod contents;
mod render;

use std::process::ExitCode;

use anyhow::{Context, Result};

use self::contents::Contents;
use crate::args::InspectArgs;
use crate::{input, output};

/// Functions shown without `--all`.
const SHOWN_FUNCTIONS: usize = 20;

/// Prints what is in a module.
pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let bytes = input::read_module(&args.file)?;
    let contents = Contents::read(&bytes).with_context(|| format!("`{}` is malformed", args.file.display()))?;
    let functions = if args.all { usize::MAX } else { SHOWN_FUNCTIONS };
    let name = args.file.display().to_string();
    output::print(&render::render(&name, bytes.len(), &contents, functions))?;
    Ok(ExitCode::SUCCESS)
}
