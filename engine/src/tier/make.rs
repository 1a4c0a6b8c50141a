//! Making modules in tiers: of a binary, late ones, and such as go on with what earlier runs have compiled.

use super::learner::Learner;
use super::module::{InTiers, Shared, State};
use super::source::{LazySource, ReadBinary};
use super::{Tier, TierEvent, thunks};
use crate::artifact::Origin;
use crate::cache::{Cache, Key};
use crate::late_link::Ration;
use crate::{CompileError, Engine, Module, Result};
use std::sync::Arc;
use std::time::Instant;
use wasmo_abi::code::ModuleCode;
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::table::{Bytes, Table};
use wasmo_abi::tier::Progress;
use wasmo_codegen::{Counters, Source};
use wasmo_runtime::artifact::Artifact;
use wasmo_runtime::tier::{Entries, Tiers};

/// Makes a module of which nothing is compiled but the thunks. What it learns can be kept in `place`, unless it counts for a profile: then its code is none that others would want.
///
/// # Errors
/// When the module is malformed or invalid, there is no memory for its entries, or LLVM is missing.
pub(crate) fn in_tiers(engine: &Engine, binary: Vec<u8>, place: Option<(&Cache, &Key)>) -> Result<Module> {
    let counts = engine.config().collect_profile;
    let compiler = engine.compiler()?;
    compiler.check_host().map_err(CompileError::from)?;
    let bytes = Bytes::from(binary);
    let source = if counts { Source::counting(bytes) } else { Source::new(bytes) }.map_err(CompileError::from)?;
    source.validate(compiler.threads()).map_err(CompileError::from)?;
    let (code, thunks) = thunks::of_module(engine, &source)?;
    let (info, bytes) = (source.info().clone(), source.bytes().clone());
    let count = info.bodies.len();
    let learner = place.filter(|_| !counts).map(|(cache, key)| Learner::new(cache, key, thunks, count));
    let tier = if counts { Tier::LiftOff } else { engine.config().tier };
    let counters = source.counters().map_or(0, Counters::words);
    let entries = Entries::with_counters(count, budget(engine, tier), counters)?;
    let shared = Shared::new(engine, tier, source.into(), State::new(count), learner, None);
    Ok(module(engine, info, code, bytes, entries, shared))
}

/// Makes a late module of which nothing is compiled unless it is small, and no thunks are, since the engine has them. All its code, and its stubs, count towards `ration`.
///
/// # Errors
/// When the module is malformed or invalid, there is no memory for its entries, or it is not to have so many.
pub(crate) fn late(engine: &Engine, tier: Tier, binary: &[u8], ration: Ration) -> Result<Module> {
    let started = Instant::now();
    let compiler = engine.compiler()?;
    compiler.check_host().map_err(CompileError::from)?;
    let source = Source::new(Bytes::from(binary.to_vec())).map_err(CompileError::from)?;
    source.validate(compiler.threads()).map_err(CompileError::from)?;
    let (info, bytes) = (source.info().clone(), source.bytes().clone());
    let count = info.bodies.len();
    let entries = Entries::among_others(count, budget(engine, tier), engine.code_memory())?;
    ration.take(entries.code_size())?;
    ration.spend(wasmo_abi::tier::Tier::LiftOff, started.elapsed());
    ration.check_time(wasmo_abi::tier::Tier::LiftOff)?;
    let shared = Shared::new(engine, tier, source.into(), State::new(count), None, Some(ration));
    let tiers = Tiers { entries, compiler: Box::new(InTiers(Arc::clone(&shared))) };
    let thunks = vec![None; info.types.len()];
    let code = ModuleCode { entries: Table::default(), base: 0, thunks, units: Vec::new(), owner: Arc::new(()) };
    let runtime = wasmo_runtime::Module::in_tiers(info, code, bytes, engine.types(), tiers);
    shared.lift_off_small(&runtime);
    Ok(Module::from_runtime(engine.clone(), runtime, Origin::Tiers { shared, artifact: None }))
}

/// Makes a module that goes on with what is in `artifact`, an entry `place` of a cache. `read` gets its binary.
///
/// # Errors
/// When the artefact cannot be used.
pub(crate) fn resumed(
    engine: &Engine,
    artifact: &Arc<Artifact>,
    place: (&Cache, &Key),
    read: &ReadBinary,
) -> std::result::Result<Module, wasmo_runtime::Error> {
    let learned = artifact.learned()?;
    let tier = engine.config().tier;
    let entries = Entries::new(learned.len(), budget(engine, tier))?;
    let (mut lift_off, mut soon, mut optimized) = (0, 0, 0);
    for (position, row) in learned.iter().enumerate() {
        let (budget, count) = match row.progress {
            Progress::New => continue,
            Progress::LiftOff => (i32::try_from(row.count).unwrap_or(i32::MAX), &mut lift_off),
            Progress::Settled => (i32::MAX, &mut lift_off),
            Progress::Soon => (i32::MAX, &mut soon),
            Progress::Optimized => (i32::MAX, &mut optimized),
        };
        *count += 1;
        entries.set_budget(position, budget);
    }
    let source = LazySource::later(Arc::clone(read), artifact.header().wasm);
    let state = State::resumed(&learned);
    let learner = Learner::resumed(place.0, place.1, artifact, &learned);
    let shared = Shared::new(engine, tier, source, state, Some(learner), None);
    let tiers = Tiers { entries, compiler: Box::new(InTiers(Arc::clone(&shared))) };
    let runtime = artifact.load_in_tiers(engine.types(), tiers)?;
    if soon > 0 {
        shared.sample(&runtime);
    }
    shared.report(&TierEvent::Resumed { lift_off, soon, optimized, code: runtime.code_size() });
    let origin = Origin::Tiers { shared, artifact: Some(Arc::clone(artifact)) };
    Ok(Module::from_runtime(engine.clone(), runtime, origin))
}

/// The module of `info`, with `bytes` as its binary, that `shared` compiles while it runs.
fn module(
    engine: &Engine,
    info: ModuleInfo,
    code: ModuleCode,
    bytes: Bytes,
    entries: Entries,
    shared: Arc<Shared>,
) -> Module {
    let tiers = Tiers { entries, compiler: Box::new(InTiers(Arc::clone(&shared))) };
    let runtime = wasmo_runtime::Module::in_tiers(info, code, bytes, engine.types(), tiers);
    Module::from_runtime(engine.clone(), runtime, Origin::Tiers { shared, artifact: None })
}

/// The budget of a function at first.
fn budget(engine: &Engine, tier: Tier) -> i32 {
    if tier == Tier::Auto { engine.config().tuning.budget } else { i32::MAX }
}
