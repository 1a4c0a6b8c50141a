//! [`Modules`]: from files to modules that can run: what was compiled before, to a file or to the cache, is loaded, the rest is compiled.

#[cfg_attr(not(feature = "compiler"), path = "modules/no_source.rs")]
mod source;

use std::path::Path;

use anyhow::{Context, Result};
use wasmo::{Engine, Module};

use self::source::Sources;
use super::stats::{Phase, Stats};
use crate::args::RunArgs;
use crate::input::{Artifact, Input};
use crate::stop::Stop;

/// Where a run gets its modules from.
pub(super) struct Modules {
    engine: Engine,
    sources: Sources,
}

impl Modules {
    /// Modules for `engine`; `stop` ends their compilation.
    pub(super) fn new(engine: Engine, args: &RunArgs, stop: &Stop) -> Self {
        Self { engine, sources: Sources::new(args, stop) }
    }

    /// The module in the file at `path`, in which `input` was found.
    ///
    /// # Errors
    ///
    /// When it can be neither loaded nor compiled.
    pub(super) fn load(&self, path: &Path, input: Input, stats: &mut Stats) -> Result<Module> {
        let module = match input {
            Input::Artifact(artifact) => stats.time(Phase::Load, || self.artifact(path, *artifact))?,
            Input::Source(source) => self.sources.module(&self.engine, path, source, stats)?,
        };
        stats.add_module(&module);
        Ok(module)
    }

    /// Keeps what the run has compiled for the next one, and, where that is wanted, has more of it optimised afterwards; answers how many functions. What cannot be kept is warned of.
    pub(super) fn keep(&self, args: &RunArgs) -> usize {
        self.sources.keep(args)
    }

    fn artifact(&self, path: &Path, artifact: Artifact) -> Result<Module> {
        // SAFETY: whoever names a compiled module on the command line wants its code run, as with any other program.
        let module = unsafe {
            match self.sources.cache() {
                Some(cache) => Module::deserialize_known_file(&self.engine, artifact.file, cache),
                None => Module::deserialize_open_file(&self.engine, artifact.file),
            }
        };
        module.with_context(|| format!("cannot load `{}`", path.display()))
    }
}
