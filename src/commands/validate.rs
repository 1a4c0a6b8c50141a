//! `wasmo validate`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use wasmo::{Engine, Module};

use crate::args::ValidateArgs;
use crate::{compiler, output};

/// Says of each file whether it is valid, and fails if one is not.
pub(crate) fn run(args: &ValidateArgs) -> Result<ExitCode> {
    let engine = Engine::default();
    let mut all_valid = true;
    for file in &args.files {
        let result = compiler::read_module(file).and_then(|bytes| {
            Module::validate(&engine, &bytes).with_context(|| format!("`{}` is not valid", file.display()))
        });
        match result {
            Ok(()) => output::print(&format!("{}: valid\n", file.display()))?,
            Err(error) => {
                all_valid = false;
                output::note(&output::describe(&error));
            }
        }
    }
    Ok(if all_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
