//! [`Modules`]: from files to modules that can run: what was compiled before is loaded, the rest is compiled.

use std::path::Path;

use anyhow::{Context, Result};
use wasmo::{Engine, Module};

use super::stats::{Phase, Stats};
use crate::compiler;
use crate::input::{Artifact, Input, Source};
use crate::stop::Stop;

/// Where a run gets its modules from.
pub(super) struct Modules {
    engine: Engine,
    stop: Stop,
}

impl Modules {
    /// Modules for `engine`; `stop` ends their compilation.
    pub(super) fn new(engine: Engine, stop: Stop) -> Self {
        Self { engine, stop }
    }

    /// The module in the file at `path`, in which `input` was found.
    ///
    /// # Errors
    ///
    /// When it can be neither loaded nor compiled.
    pub(super) fn load(&self, path: &Path, input: Input, stats: &mut Stats) -> Result<Module> {
        let module = match input {
            Input::Artifact(artifact) => stats.time(Phase::Load, || self.artifact(path, artifact))?,
            Input::Source(source) => self.source(path, source, stats)?,
        };
        stats.add_module(&module);
        Ok(module)
    }

    fn artifact(&self, path: &Path, artifact: Box<Artifact>) -> Result<Module> {
        // SAFETY: whoever names a compiled module on the command line wants its code run, as with any other program.
        let module = unsafe { Module::deserialize_open_file(&self.engine, artifact.file) };
        module.with_context(|| format!("cannot load `{}`", path.display()))
    }

    fn source(&self, path: &Path, source: Source, stats: &mut Stats) -> Result<Module> {
        let bytes = stats.time(Phase::Read, || source.read(path))?;
        stats.time(Phase::Compile, || compiler::compile(&self.engine, path, bytes, &self.stop))
    }
}
