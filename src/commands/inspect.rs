//! `wasmo inspect`: what a module holds, as aligned text.
//!
//! [`artifact`] describes compiled modules, [`source`] those that are not, [`profile`] what was counted in runs of one; [`text`] aligns what they say.

mod artifact;
mod profile;
#[cfg(feature = "compiler")]
mod source;
mod text;

use std::process::ExitCode;

use anyhow::Result;
use wasmo::Profile;

use crate::args::InspectArgs;
use crate::input::Input;
use crate::{input, output};

/// Functions shown without `--all`.
const SHOWN_FUNCTIONS: usize = 20;

/// Prints what is in a module, or in a profile of one.
pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode> {
    #[cfg(feature = "compiler")]
    if let Some(path) = &args.profile {
        output::print(&source::describe_profile(args, path)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = match input::open(&args.file)? {
        Input::Artifact(artifact) => return artifact::show(args, artifact),
        Input::Source(source) => {
            let bytes = source.read(&args.file)?;
            if Profile::detect(&bytes) {
                profile::describe(&args.file, &bytes, args.all, |_| String::new())?
            } else {
                describe_source(args, bytes)?
            }
        }
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
