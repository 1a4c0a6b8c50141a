//! `wasmo inspect`: what a module holds, as aligned text.
//!
//! [`source`] describes modules that are not compiled.

#[cfg(feature = "compiler")]
mod source;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::args::InspectArgs;
use crate::input::Input;
use crate::{input, output};

/// Prints what is in a module.
pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let text = match input::open(&args.file)? {
        Input::Artifact => bail!("`{}` is a compiled module", args.file.display()),
        Input::Source(bytes) => describe_source(args, bytes)?,
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "compiler")]
use self::source::describe as describe_source;

/// What reads WebAssembly is left out with the compiler.
#[cfg(not(feature = "compiler"))]
fn describe_source(args: &InspectArgs, bytes: Vec<u8>) -> Result<String> {
    crate::compiler::refuse(&args.file, &bytes)
}
