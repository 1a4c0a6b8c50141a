//! Describes a module that is not compiled. It is only read: its function bodies are not validated.
//!
//! [`contents`] reads a module, [`render`] writes it.

mod contents;
mod render;

use std::path::Path;

use anyhow::{Context, Result, bail};
use wasmo::Profile;

use self::contents::Contents;
use super::{SHOWN_FUNCTIONS, profile};
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

/// What the profile at `path` says of the module that `args` name.
///
/// # Errors
///
/// When one of the two cannot be read, or the profile is another module's.
pub(super) fn describe_profile(args: &InspectArgs, path: &Path) -> Result<String> {
    let binary = compiler::read_module(&args.file)?;
    let contents = Contents::read(&binary).with_context(|| format!("`{}` is malformed", args.file.display()))?;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let cannot = || format!("cannot use `{}`", path.display());
    if !Profile::from_bytes(&bytes).with_context(cannot)?.is_of(&binary) {
        bail!("`{}` is no profile of `{}`", path.display(), args.file.display());
    }
    let name = |func| usize::try_from(func).map_or_else(|_| String::new(), |func| contents.function_name(func));
    profile::describe(path, &bytes, args.all, name)
}
