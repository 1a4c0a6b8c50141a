//! [`Modules`]: the ways in which a script's modules become code.
//!
//! A script only has binaries. [`Compiled`] compiles them as users do; [`Artifacts`] compiles them ahead, and loads the artefact. For scripts to run on a machine that cannot
//! compile, another compiles all that they may ask for ([`Script::binaries`](crate::Script::binaries)) to a [`Bundle`], which loads them there.

use std::fs;
use std::path::PathBuf;

#[cfg(feature = "compiler")]
use anyhow::Context;
use anyhow::{Error, Result, anyhow};
#[cfg(feature = "compiler")]
use wasmo::{CompileError, CompileErrorKind};
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

    /// Adds the module with this binary, compiled by `engine`, or why that refuses it. `engine` has to be configured as the one that will load it is, but for the
    /// target. A module that is there already is left as it is. Several threads may add modules at the same time.
    ///
    /// # Errors
    /// When the files cannot be written.
    #[cfg(feature = "compiler")]
    pub fn record(&self, engine: &Engine, binary: &[u8]) -> Result<()> {
        if self.artifact(binary).exists() || self.refusal(binary).exists() {
            return Ok(());
        }
        let (path, content) = match engine.precompile_module(binary) {
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
