//! Modules in a [`Cache`]: what belongs to the key of an entry, and the ways in and out.
//!
//! The way in compiles to an artefact, seals it, and runs it from the cache: what runs the first time is what runs every time after. The way out
//! checks the seal, and through the header that it covers the checksums of the rest; it neither loads nor asks LLVM.
//!
//! An entry that is no good is removed. One that is good but that the system does not let us use where it lies (a file system that is mounted `noexec`)
//! is copied to memory.

use crate::artifact::Origin;
use crate::cache::{Cache, CacheError, Entry, Key, SourceHash};
use crate::{CompileObserver, Config, Engine, Module, Result};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use wasmo_abi::artifact::{self, REVISION};
use wasmo_runtime::artifact::Artifact;
use wasmo_runtime::{Error, cpu};

/// Distinguishes compilers; see `build.rs`.
const CODE_REVISION: &str = env!("WASMO_CODE_REVISION");

impl Engine {
    /// The key of a module in caches: a hash of its source and of everything else that changes its code. That is the version of wasmo, the compiler's own
    /// sources and its LLVM, the processor, and the engine's [`Config`] as far as it matters.
    pub fn cache_key(&self, source: SourceHash) -> Key {
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
            #[cfg(feature = "compiler")]
                tier: _,
            #[cfg(feature = "compiler")]
                tuning: _,
            #[cfg(feature = "compiler")]
                tier_observer: _,
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
        parts.number((*multi_memory).into());
        Key::new(source, &parts.0)
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
        let entry = cache.lookup(key)?;
        match load(engine, cache, key, entry) {
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
        let kept = keep(cache, key, &mut artifact)?;
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
}

/// Seals an artefact and inserts it.
fn keep(cache: &Cache, key: &Key, artifact: &mut [u8]) -> Result<Result<(), CacheError>> {
    let header = artifact::sealed_bytes(artifact).ok_or(artifact::ArtifactError::NotAnArtifact)?;
    match cache.seal(key, &header) {
        Ok(seal) => artifact::set_seal(artifact, seal)?,
        Err(error) => return Ok(Err(error)),
    }
    Ok(cache.insert(key, artifact))
}

fn load(engine: &Engine, cache: &Cache, key: &Key, entry: Entry) -> Result<Module, Refused> {
    let artifact = Arc::new(Artifact::open(entry.file)?);
    let sealed = artifact::sealed_bytes(artifact.head());
    if !sealed.is_some_and(|header| cache.verify(key, &header, &artifact.header().seal)) {
        return Err(Refused::NoGood(artifact::ArtifactError::Damaged("origin").into()));
    }
    match artifact.load(engine.types()) {
        Ok(module) => Ok(Module::from_runtime(engine.clone(), module, Origin::Artifact(artifact))),
        Err(Error::Os { what, source }) => {
            tracing::debug!("an entry of the cache is copied to memory: {what}: {source}");
            let copy = Arc::new(Artifact::from_bytes(artifact.bytes()?)?);
            let module = copy.load(engine.types())?;
            Ok(Module::from_runtime(engine.clone(), module, Origin::Artifact(copy)))
        }
        Err(error) => Err(error.into()),
    }
}
