//! `wasmo inspect`: what a module holds, as aligned text.
//!
//! [`artifact`] describes compiled modules, [`source`] those that are not; [`text`] aligns what they say.

mod artifact;
#[cfg(feature = "compiler")]
mod source;
mod text;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::InspectArgs;
use crate::input::Input;
use crate::{input, output};

/// Functions shown without `--all`.
const SHOWN_FUNCTIONS: usize = 20;

/// Prints what is in a module.
pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let text = match input::open(&args.file)? {
        Input::Artifact(artifact) => return artifact::show(args, artifact),
        Input::Source(source) => describe_source(args, source.read(&args.file)?)?,
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
