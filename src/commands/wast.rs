//! `wasmo wast`.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use spec_testsuite::{Report, Script};
use wasmo::{Config, Engine};

use crate::args::WastArgs;
use crate::output;

/// Runs each script, prints the lines that fail, and the sum.
pub(crate) fn run(args: &WastArgs) -> Result<ExitCode> {
    let mut config = Config::new();
    config.wasm_multi_memory(!args.no_multi_memory);
    let engine = Engine::new(&config).context("cannot start the engine")?;
    let mut total = Report::default();
    let mut all_read = true;
    for file in &args.files {
        let text = fs::read(file).with_context(|| format!("cannot read `{}`", file.display()));
        let text = text.and_then(|bytes| {
            String::from_utf8(bytes).with_context(|| format!("`{}` is not a text in UTF-8", file.display()))
        });
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                all_read = false;
                output::note(&output::describe(&error));
                continue;
            }
        };
        let report =
            Script::new(&file.to_string_lossy(), &text).printer(|line| output::note(&format!("{line}\n"))).run(&engine);
        for failure in &report.failed {
            output::print(&format!("{failure}\n"))?;
        }
        total.merge(report);
    }
    output::print(&format!("{total}\n"))?;
    Ok(if total.is_success() && all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
