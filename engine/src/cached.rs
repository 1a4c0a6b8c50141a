//! Modules in a [`Cache`]: what belongs to the key of an entry, and the ways in and out.
//!
//! The way in compiles to an artefact, seals it, and runs it from the cache: what runs the first time is what runs every time after. The way out
//! checks the seal, and through the header that it covers the checksums of the rest; it neither loads nor asks LLVM.
//!
//! An entry that is no good is removed. One that is good but that the system does not let us use where it lies (a file system that is mounted `noexec`)
//! is copied to memory.

use crate::artifact::{Origin, load_known};
use crate::cache::{Cache, CacheError, Entry, Key, SourceHash};
use crate::tier::{ReadBinary, Tier};
use crate::{CompileObserver, Config, Engine, Module, Result};
use anyhow::bail;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use wasmo_abi::artifact::{self, REVISION};
use wasmo_abi::index::FuncIndex;
use wasmo_runtime::artifact::Artifact;
use wasmo_runtime::{Error, cpu};

/// Distinguishes compilers; see `build.rs`.
const CODE_REVISION: &str = env!("WASMO_CODE_REVISION");

impl Engine {
    /// The key of a module in caches: a hash of its source and of everything else that changes its code. That is the version of wasmo, the compiler's own
    /// sources and its LLVM, the processor, and the engine's [`Config`] as far as it matters. It does not depend on [`Config::tier`]: it is the key of all of the module's
    /// code, optimised.
    pub fn cache_key(&self, source: SourceHash) -> Key {
        Key::new(source, &self.key_parts().0)
    }

    /// The key under which a module in tiers keeps what has been compiled of it; see [`Engine::cache_key`]. Each [`Tier`] has its own.
    pub fn cache_key_in_tiers(&self, source: SourceHash) -> Key {
        let mut parts = self.key_parts();
        parts.text(match self.config().tier {
            Tier::Auto => "in tiers",
            Tier::LiftOff => "lifted off",
            Tier::Optimized => "",
        });
        Key::new(source, &parts.0)
    }

    fn key_parts(&self) -> Parts {
        // Taken apart, so that nobody forgets a new choice.
        let Config {
            tunables,
            target,
            target_cpu,
            multi_memory,
            threads: _,
            max_wasm_stack: _,
            wasm_backtrace: _,
            pooling: _,
            late_link_opt_level: _,
            late_link_tier: _,
            profiler: _,
            debug_info: _,
            #[cfg(feature = "compiler")]
                tier: _,
            #[cfg(feature = "compiler")]
                tuning: _,
            #[cfg(feature = "compiler")]
                tier_observer: _,
            collect_profile,
        } = self.config();
        let mut parts = Parts::default();
        parts.text(env!("CARGO_PKG_VERSION")).text(CODE_REVISION).number(REVISION.into());
        parts.text(&llvm());
        let (model, features) = cpu::identity();
        parts.text(&format!("{model:?} {features:?}"));
        // A derived description has every field, those that are to come included.
        parts.text(&format!("{tunables:?}"));
        for choice in [target, target_cpu] {
            parts.number(choice.is_some().into()).text(choice.as_deref().unwrap_or_default());
        }
        parts.number((*multi_memory).into()).number((*collect_profile).into());
        parts
    }
}

/// Which LLVM is to compile, as far as its file tells: another one of the same name is another compiler.
fn llvm() -> String {
    let path = wasmo_codegen::LLVM_LIBRARY;
    let Ok(metadata) = std::fs::metadata(path) else { return path.to_owned() };
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{path} {} {modified:?}", metadata.len())
}

/// Bytes that are the same only when all parts are.
#[derive(Default)]
struct Parts(Vec<u8>);

impl Parts {
    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u64).0.extend_from_slice(text.as_bytes());
        self
    }
}

/// Why there is no module in an entry.
enum Refused {
    /// It is not what was put there: the entry has to go.
    NoGood(Error),
    /// The system does not let us use it.
    System(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Os { .. } => Self::System(error),
            error => Self::NoGood(error),
        }
    }
}

impl Module {
    /// The module that `cache` has under `key` ([`Engine::cache_key`]), if it has it. LLVM is not needed.
    pub fn from_cache(engine: &Engine, cache: &Cache, key: &Key) -> Option<Self> {
        look_up(cache, key, |artifact| {
            let module = artifact.load(engine.types())?;
            Ok(Self::from_runtime(engine.clone(), module, Origin::Artifact(Arc::clone(artifact))))
        })
    }

    /// Compiles a module (binary or, with the feature `wat`, text) and puts it into `cache` under `key` ([`Engine::cache_key`] of its source). That
    /// it cannot be kept there, which the second answer tells, does the module no harm.
    ///
    /// # Errors
    /// As [`Module::new_with_observer`].
    pub fn new_into_cache(
        engine: &Engine,
        cache: &Cache,
        key: &Key,
        bytes: &[u8],
        observer: &dyn CompileObserver,
    ) -> Result<(Self, Result<(), CacheError>)> {
        let mut artifact = engine.precompile_module_with_observer(bytes, observer)?;
        let kept = put(cache, key, &mut artifact)?;
        let cached = if kept.is_ok() { Self::from_cache(engine, cache, key) } else { None };
        if let Some(module) = cached {
            return Ok((module, kept));
        }
        // SAFETY: the engine has just made it.
        let loaded = unsafe { Self::deserialize(engine, &artifact) };
        let module = loaded.or_else(|error| {
            // A system may refuse to execute files in memory, but not memory.
            tracing::debug!("what was compiled for the cache cannot be used: {error:#}");
            Self::new_with_observer(engine, bytes, observer)
        });
        Ok((module?, kept))
    }

    /// The module that an earlier run in tiers has left in `cache` under `key` ([`Engine::cache_key_in_tiers`]), if it has. It runs with the code that
    /// was compiled then, and is compiled further where that is missing or worth it; only then LLVM is needed, and the module's binary, which `read` has to get and which
    /// must be the one that it was. What it learns can be kept ([`Module::keep`]).
    ///
    /// The engine's [`Config::tier`] is not [`Tier::Optimized`].
    pub fn from_cache_in_tiers(
        engine: &Engine,
        cache: &Cache,
        key: &Key,
        read: impl Fn() -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Option<Self> {
        let read: ReadBinary = Arc::new(read);
        look_up(cache, key, |artifact| crate::tier::resumed(engine, artifact, (cache, key), &read))
    }

    /// A module in tiers (binary or, with the feature `wat`, text) that keeps what it learns in `cache` under `key` when it is told to ([`Module::keep`]).
    ///
    /// # Errors
    /// As [`Module::new`], and when the engine's [`Config::tier`] is [`Tier::Optimized`].
    pub fn new_in_tiers(engine: &Engine, cache: &Cache, key: &Key, bytes: impl Into<Vec<u8>>) -> Result<Self> {
        if engine.config().tier == Tier::Optimized {
            bail!("the engine compiles all of a module before it runs");
        }
        let bytes = bytes.into();
        let translated = match crate::compile::to_binary(&bytes)? {
            Cow::Owned(binary) => Some(binary),
            Cow::Borrowed(_) => None,
        };
        let binary = translated.unwrap_or(bytes);
        if !engine.config().multi_memory {
            Self::validate_binary(engine, &binary)?;
        }
        crate::tier::in_tiers(engine, binary, Some((cache, key)))
    }

    /// Writes what has been compiled of a module from [`Module::new_in_tiers`] or [`Module::from_cache_in_tiers`] to its cache, for the next run, with how often
    /// functions ran; answers whether there was anything new. What is written replaces what an earlier run, or another process, has written, unless there is more in that.
    ///
    /// For any other module this does nothing.
    ///
    /// # Errors
    /// A [`CacheError`] when it cannot be written; internal errors.
    pub fn keep(&self) -> Result<bool> {
        match self.origin() {
            Origin::Tiers { shared, .. } => shared.keep(self.runtime()),
            _ => Ok(false),
        }
    }

    /// The indices of functions of such a module that ran often enough, in this run and in earlier ones, to be worth optimising, and are not optimised yet; the one that ran most often
    /// comes first.
    pub fn warm_functions(&self) -> Vec<u32> {
        let Origin::Tiers { shared, .. } = self.origin() else { return Vec::new() };
        let info = self.info();
        shared.warm(self.runtime()).into_iter().map(|position| info.func_of_defined(position).0).collect()
    }

    /// Optimises functions of a module from [`Module::from_cache_in_tiers`], on [`Config::compilation_threads`] threads, and writes them to the cache as [`Module::keep`] does: for
    /// programs whose runs are over before that can be done. Only functions that have code are optimised. What is not done when all threads together have had a processor for `limit` is not
    /// tried again. Where others have the processors, it ends after ten times as long at the latest, and what is not done then is left for another time.
    ///
    /// # Errors
    /// As [`Module::keep`].
    pub fn optimize(&self, functions: &[u32], limit: Duration) -> Result<bool> {
        let Origin::Tiers { shared, .. } = self.origin() else { return Ok(false) };
        let defined = functions.iter().filter_map(|&func| self.info().defined_func(FuncIndex(func)));
        shared.optimize_all(self.runtime(), &defined.collect::<Vec<_>>(), limit)
    }
}

/// Seals an artefact and inserts it.
pub(crate) fn put(cache: &Cache, key: &Key, artifact: &mut [u8]) -> Result<Result<(), CacheError>> {
    let header = artifact::sealed_bytes(artifact).ok_or(artifact::ArtifactError::NotAnArtifact)?;
    match cache.seal(key, &header) {
        Ok(seal) => artifact::set_seal(artifact, seal)?,
        Err(error) => return Ok(Err(error)),
    }
    let inserted = cache.insert(key, artifact);
    if inserted.is_ok() {
        cache.record_written(key, &header);
    }
    Ok(inserted)
}

/// Whether the artefact has the seal of this cache for `key`.
pub(crate) fn is_sealed(cache: &Cache, key: &Key, artifact: &Artifact) -> bool {
    let sealed = artifact::sealed_bytes(artifact.head());
    sealed.is_some_and(|header| cache.verify(key, &header, &artifact.header().seal))
}

/// Makes a module of the entry `key`, if there is one and it is good.
fn look_up(cache: &Cache, key: &Key, load: impl Fn(&Arc<Artifact>) -> Result<Module, Error>) -> Option<Module> {
    match open(cache, key, cache.lookup(key)?, load) {
        Ok(module) => Some(module),
        Err(Refused::NoGood(error)) => {
            tracing::debug!("an entry of the cache is refused: {error}");
            cache.remove(key);
            None
        }
        Err(Refused::System(error)) => {
            tracing::debug!("an entry of the cache cannot be used: {error}");
            None
        }
    }
}

fn open(
    cache: &Cache,
    key: &Key,
    entry: Entry,
    load: impl Fn(&Arc<Artifact>) -> Result<Module, Error>,
) -> Result<Module, Refused> {
    let artifact = Arc::new(Artifact::open(entry.file)?);
    if !is_sealed(cache, key, &artifact) {
        return Err(Refused::NoGood(artifact::ArtifactError::Damaged("origin").into()));
    }
    match load_known(cache, &artifact, || load(&artifact)) {
        Err(Error::Os { what, source }) => {
            tracing::debug!("an entry of the cache is copied to memory: {what}: {source}");
            Ok(load(&Arc::new(Artifact::from_bytes(artifact.bytes()?)?))?)
        }
        result => Ok(result?),
    }
}
