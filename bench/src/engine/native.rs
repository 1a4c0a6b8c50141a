//! The native program of the same source, at the same optimisation level.

use super::{Engine, NATIVE, Prepared, Run};
use crate::guest::{Guest, Output};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The native program, for the compiler's default target or for this machine's CPU.
pub struct Native {
    name: &'static str,
    settings: &'static str,
    program: fn(&Guest) -> &PathBuf,
}

impl Native {
    /// For the compiler's default target: what ratios are given to.
    pub fn default_target() -> Self {
        Self {
            name: NATIVE,
            settings: "clang-22 -O3, rustc -C opt-level=3, default target",
            program: |guest| &guest.native,
        }
    }

    /// For this machine's CPU.
    pub fn this_cpu() -> Self {
        Self {
            name: "native-cpu",
            settings: "the same with -march=native, -C target-cpu=native",
            program: |guest| &guest.native_cpu,
        }
    }
}

impl Engine for Native {
    fn name(&self) -> &str {
        self.name
    }

    fn settings(&self) -> String {
        self.settings.to_owned()
    }

    fn prepare(&self, guest: &Guest) -> Result<(Box<dyn Prepared>, Duration)> {
        let program = (self.program)(guest);
        if !program.exists() {
            bail!("{} is missing: run guests/build.sh --native", program.display());
        }
        Ok((Box::new(Program(Invocation { program: program.clone(), args: Vec::new() })), Duration::ZERO))
    }
}

struct Program(Invocation);

impl Prepared for Program {
    fn run(&self) -> Result<Run> {
        Ok(Run { instantiate: Duration::ZERO, output: self.0.output()? })
    }
}

/// A command that prints what a guest prints.
pub struct Invocation {
    /// What to start.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Invocation {
    /// Starts it and reads what it printed.
    pub fn output(&self) -> Result<Output> {
        let output = Command::new(&self.program)
            .args(&self.args)
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        if !output.status.success() {
            bail!("{}: {}\n{}", self.program.display(), output.status, String::from_utf8_lossy(&output.stderr));
        }
        Output::parse(&String::from_utf8_lossy(&output.stdout))
    }
}
