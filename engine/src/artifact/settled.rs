//! Artefacts of which each function has code, but that modules in tiers have left ([`crate::Engine::precompile_lift_off`]): functions reach one another through entries, and count, but
//! nobody compiles.

use crate::Engine;
use std::sync::Arc;
use wasmo_abi::artifact::{ArtifactError, Part};
use wasmo_abi::tier::{Asking, Onward, Progress};
use wasmo_runtime::artifact::Artifact;
use wasmo_runtime::tier::{Compile, Entries, Tiers};
use wasmo_runtime::{Error, Failure, Module};

/// Loads a module that has code for all its functions.
///
/// # Errors
/// When the file is damaged or has code for some functions only, or the system does not let it be executed.
pub(super) fn load(engine: &Engine, artifact: &Arc<Artifact>) -> Result<Arc<Module>, Error> {
    if artifact.header().part(Part::Learned).is_empty() {
        return artifact.load(engine.types());
    }
    let learned = artifact.learned()?;
    if learned.iter().any(|row| row.progress == Progress::New) {
        // It says what is wrong.
        return artifact.load(engine.types());
    }
    let entries = Entries::new(learned.len(), i32::MAX)?;
    artifact.load_in_tiers(engine.types(), Tiers { entries, compiler: Box::new(Nobody) })
}

/// Who does not compile.
struct Nobody;

impl Compile for Nobody {
    fn compile(&self, _: &Arc<Module>, _: usize) -> Result<usize, Failure> {
        Err(Failure::Error(ArtifactError::Malformed("a function has no code").into()))
    }

    fn tier_up(&self, module: &Arc<Module>, position: usize, _: Asking) -> Option<Onward> {
        module.tiers.as_ref()?.entries.set_budget(position, i32::MAX);
        None
    }

    fn freed(&self, _: usize) {}
}
