//! [`Modules`]: the ways in which a script's modules become code.
//!
//! A script only has binaries. [`Compiled`] compiles them as users do; [`Artifacts`] compiles them ahead, and loads the artefact; [`Resumed`] compiles them while they run, and goes on with that; [`Profiled`] makes them with a profile. For scripts to run on a machine that cannot
//! compile, another compiles all that they may ask for ([`Script::binaries`](crate::Script::binaries)) to a [`Bundle`], which loads them there.

#[cfg(feature = "compiler")]
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
#[cfg(feature = "compiler")]
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(feature = "compiler")]
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "compiler")]
use anyhow::Context;
use anyhow::{Error, Result, anyhow};
#[cfg(feature = "compiler")]
use wasmo::cache::SourceHash;
#[cfg(feature = "compiler")]
use wasmo::{Cache, CacheConfig, CompileError, CompileErrorKind, Config};
use wasmo::{Engine, Module};

/// Why there is no module.
#[derive(Debug)]
pub struct Refusal {
    /// Whether the module breaks a rule of WebAssembly, rather than that something is not supported or has failed.
    pub breaks_a_rule: bool,
    /// What was said.
    pub error: Error,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        #[cfg(feature = "compiler")]
        let breaks_a_rule = error.downcast_ref::<CompileError>().is_some_and(|error| {
            matches!(error.kind(), CompileErrorKind::Malformed | CompileErrorKind::Invalid | CompileErrorKind::Limit)
        });
        #[cfg(not(feature = "compiler"))]
        let breaks_a_rule = false;
        Self { breaks_a_rule, error }
    }
}

/// A way from binaries to modules.
pub trait Modules {
    /// The module with this binary, for `engine`.
    ///
    /// # Errors
    /// When it is refused, or cannot be had.
    fn load(&self, engine: &Engine, binary: &[u8]) -> Result<Module, Refusal>;

    /// Whether the binary is a valid module.
    ///
    /// # Errors
    /// When it is refused, or nothing is known of it.
    fn validate(&self, engine: &Engine, binary: &[u8]) -> Result<(), Refusal>;
}

/// Compiles.
#[cfg(feature = "compiler")]
#[derive(Clone, Copy, Debug)]
pub struct Compiled;

#[cfg(feature = "compiler")]
impl Modules for Compiled {
    fn load(&self, engine: &Engine, binary: &[u8]) -> Result<Module, Refusal> {
        Ok(Module::from_binary(engine, binary)?)
    }

    fn validate(&self, engine: &Engine, binary: &[u8]) -> Result<(), Refusal> {
        Ok(Module::validate(engine, binary)?)
    }
}

/// Compiles to an artefact, and loads it.
#[cfg(feature = "compiler")]
#[derive(Clone, Copy, Debug)]
pub struct Artifacts;

#[cfg(feature = "compiler")]
impl Modules for Artifacts {
    fn load(&self, engine: &Engine, binary: &[u8]) -> Result<Module, Refusal> {
        let artifact = engine.precompile_module(binary)?;
        // SAFETY: the engine has just made it.
        Ok(unsafe { Module::deserialize(engine, artifact) }
            .map_err(|error| error.context("the artefact is refused"))?)
    }

    fn validate(&self, engine: &Engine, binary: &[u8]) -> Result<(), Refusal> {
        Compiled.validate(engine, binary)
    }
}

/// Modules in tiers. A module that was loaded before goes on with what has been compiled of it since, from a cache.
#[cfg(feature = "compiler")]
#[derive(Debug)]
pub struct Resumed {
    cache: Cache,
    known: Mutex<HashMap<Vec<u8>, Module>>,
}

#[cfg(feature = "compiler")]
impl Resumed {
    /// With the cache in `directory`, which belongs to these modules alone.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn new(directory: impl Into<PathBuf>) -> Result<Self> {
        let cache = Cache::open(CacheConfig::new().directory(directory))?;
        Ok(Self { cache, known: Mutex::default() })
    }
}

#[cfg(feature = "compiler")]
impl Modules for Resumed {
    fn load(&self, engine: &Engine, binary: &[u8]) -> Result<Module, Refusal> {
        let key = engine.cache_key_in_tiers(SourceHash::of(binary));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = known.get(binary).map_or(Ok(false), Module::keep)?;
        let again = binary.to_vec();
        let module = match Module::from_cache_in_tiers(engine, &self.cache, &key, move || Ok(again.clone())) {
            Some(module) => module,
            None if kept => return Err(anyhow!("what was kept is refused").into()),
            None => Module::new_in_tiers(engine, &self.cache, &key, binary)?,
        };
        known.insert(binary.to_vec(), module.clone());
        Ok(module)
    }

    fn validate(&self, engine: &Engine, binary: &[u8]) -> Result<(), Refusal> {
        Compiled.validate(engine, binary)
    }
}

/// For scripts that are run twice: on [`Profiled::counting`], where the code of modules counts; then on another engine, where modules are made with what was counted.
#[cfg(feature = "compiler")]
#[derive(Debug)]
pub struct Profiled {
    counting: Engine,
    known: Mutex<HashMap<Vec<u8>, Module>>,
    guided: AtomicUsize,
}

#[cfg(feature = "compiler")]
impl Profiled {
    /// For an engine with this configuration.
    ///
    /// # Errors
    /// When the configuration is not right.
    pub fn new(config: &Config) -> Result<Self> {
        let counting = Engine::new(config.clone().collect_profile(true))?;
        Ok(Self { counting, known: Mutex::default(), guided: AtomicUsize::new(0) })
    }

    /// The engine for the first run.
    pub fn counting(&self) -> &Engine {
        &self.counting
    }

    /// How many modules were made with a profile that says something.
    pub fn guided(&self) -> usize {
        self.guided.load(Ordering::Relaxed)
    }
}

#[cfg(feature = "compiler")]
impl Modules for Profiled {
    fn load(&self, engine: &Engine, binary: &[u8]) -> Result<Module, Refusal> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if Engine::same(engine, &self.counting) {
            let module = Module::from_binary(engine, binary)?;
            known.insert(binary.to_vec(), module.clone());
            return Ok(module);
        }
        let Some(profile) = known.get(binary).and_then(Module::profile) else {
            return Ok(Module::from_binary(engine, binary)?);
        };
        let module = Module::new_with_profile(engine, binary, &profile)?;
        self.guided.fetch_add(usize::from(!profile.functions().is_empty()), Ordering::Relaxed);
        Ok(module)
    }

    fn validate(&self, engine: &Engine, binary: &[u8]) -> Result<(), Refusal> {
        Compiled.validate(engine, binary)
    }
}

/// What modules are compiled to that are to run elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// What the engine's configuration says, but for tiers.
    Final,
    /// What functions have at first in tiers.
    LiftOff,
}

/// Modules that were compiled ahead, in a directory.
#[derive(Debug)]
pub struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    /// The modules in `directory`, which exists and belongs to this bundle alone.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Adds the module with this binary, compiled by `engine` to such `code`, or why that refuses it. `engine` has to be configured as the one that will load it is, but for the
    /// target. A module that is there already is left as it is. Several threads may add modules at the same time.
    ///
    /// # Errors
    /// When the files cannot be written.
    #[cfg(feature = "compiler")]
    pub fn record(&self, engine: &Engine, code: Code, binary: &[u8]) -> Result<()> {
        if self.artifact(binary).exists() || self.refusal(binary).exists() {
            return Ok(());
        }
        let compiled = match code {
            Code::Final => engine.precompile_module(binary),
            Code::LiftOff => engine.precompile_lift_off(binary),
        };
        let (path, content) = match compiled {
            Ok(artifact) => (self.artifact(binary), artifact),
            Err(error) => {
                let Refusal { breaks_a_rule, error } = Refusal::from(error);
                let kind = if breaks_a_rule { RULE } else { OTHER };
                (self.refusal(binary), format!("{kind}\n{error:#}").into_bytes())
            }
        };
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }

    fn artifact(&self, binary: &[u8]) -> PathBuf {
        self.directory.join(name(binary)).with_extension("wasmo")
    }

    fn refusal(&self, binary: &[u8]) -> PathBuf {
        self.directory.join(name(binary)).with_extension("refused")
    }

    fn refused(&self, binary: &[u8]) -> Result<(), Refusal> {
        let Ok(text) = fs::read_to_string(self.refusal(binary)) else { return Ok(()) };
        let (kind, message) = text.split_once('\n').unwrap_or_default();
        Err(Refusal { breaks_a_rule: kind == RULE, error: anyhow!("{message}") })
    }
}

impl Modules for Bundle {
    fn load(&self, engine: &Engine, binary: &[u8]) -> Result<Module, Refusal> {
        self.refused(binary)?;
        // SAFETY: the directory is the recorder's.
        Ok(unsafe { Module::deserialize_file(engine, self.artifact(binary)) }?)
    }

    fn validate(&self, _: &Engine, binary: &[u8]) -> Result<(), Refusal> {
        self.refused(binary)?;
        if self.artifact(binary).exists() { Ok(()) } else { Err(anyhow!("the module was not recorded").into()) }
    }
}

/// The first lines of files of refusals.
const RULE: &str = "rule";
#[cfg(feature = "compiler")]
const OTHER: &str = "other";

fn name(binary: &[u8]) -> String {
    blake3::hash(binary).to_hex().to_string()
}
