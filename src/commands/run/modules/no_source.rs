//! What `source.rs` offers, in a build without a compiler: an error that says what to do.

use std::path::Path;

use anyhow::Result;
use wasmo::{Cache, Engine, Module};

use crate::args::RunArgs;
use crate::commands::run::stats::Stats;
use crate::compiler;
use crate::input::Source;
use crate::stop::Stop;

/// There are no modules of what is not compiled.
pub(super) struct Sources;

impl Sources {
    pub(super) fn new(_: &RunArgs, _: &Stop) -> Self {
        Self
    }

    /// Refuses what is in the file at `path`.
    ///
    /// # Errors
    ///
    /// Always.
    pub(super) fn module(&self, _: &Engine, path: &Path, source: Source, _: &mut Stats) -> Result<Module> {
        compiler::refuse(path, &source.read(path)?)
    }

    /// Nobody fills it.
    pub(super) fn cache(&self) -> Option<&Cache> {
        None
    }

    /// There is nothing to keep.
    pub(super) fn keep(&self, _: &RunArgs) -> usize {
        0
    }
}
