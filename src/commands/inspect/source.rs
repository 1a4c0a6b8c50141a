//! Describes a module that is not compiled. It is only read: its function bodies are not validated.
//!
//! [`contents`] reads a module, [`render`] writes it.

mod contents;
mod render;

use anyhow::{Context, Result};

use self::contents::Contents;
use super::SHOWN_FUNCTIONS;
use crate::args::InspectArgs;
use crate::compiler;

/// What is in the module `bytes`, read from the file that `args` name.
///
/// # Errors
///
/// When it is no module, or a malformed one.
pub(super) fn describe(args: &InspectArgs, bytes: Vec<u8>) -> Result<String> {
    let bytes = compiler::to_binary(&args.file, bytes)?;
    let contents = Contents::read(&bytes).with_context(|| format!("`{}` is malformed", args.file.display()))?;
    let functions = if args.all { usize::MAX } else { SHOWN_FUNCTIONS };
    Ok(render::render(&args.file.display().to_string(), bytes.len(), &contents, functions))
}
