//! [`Modules`]: the ways in which a script's modules become code.
//!
//! A script only has binaries. [`Compiled`] compiles them as users do; [`Artifacts`] compiles them ahead, and loads the artefact. To run scripts on a machine that cannot
//! compile, [`Recorder`] compiles ahead for that machine whatever it sees while the scripts run here, and [`Bundle`] loads there what was recorded.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
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

/// Compiles for here, and for another machine to a directory.
#[cfg(feature = "compiler")]
#[derive(Debug)]
pub struct Recorder {
    directory: PathBuf,
    foreign: Engine,
}

#[cfg(feature = "compiler")]
impl Recorder {
    /// Records in `directory`, which exists; `foreign` compiles for the other machine.
    pub fn new(directory: impl Into<PathBuf>, foreign: Engine) -> Self {
        Self { directory: directory.into(), foreign }
    }
}

#[cfg(feature = "compiler")]
impl Modules for Recorder {
    fn load(&self, engine: &Engine, binary: &[u8]) -> Result<Module, Refusal> {
        match self.foreign.precompile_module(binary) {
            Ok(artifact) => write(&artifact_path(&self.directory, binary), &artifact)?,
            Err(error) => {
                let refusal = Refusal::from(error);
                let text = format!("{}\n{:#}", if refusal.breaks_a_rule { RULE } else { OTHER }, refusal.error);
                write(&refusal_path(&self.directory, binary), text.as_bytes())?;
            }
        }
        Compiled.load(engine, binary)
    }

    fn validate(&self, engine: &Engine, binary: &[u8]) -> Result<(), Refusal> {
        Compiled.validate(engine, binary)
    }
}

/// Loads what a [`Recorder`] has left in a directory.
#[derive(Debug)]
pub struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    /// What was recorded in `directory`, which nobody but the recorder writes to.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    fn refusal(&self, binary: &[u8]) -> Option<Refusal> {
        let text = fs::read_to_string(refusal_path(&self.directory, binary)).ok()?;
        let (kind, message) = text.split_once('\n')?;
        Some(Refusal { breaks_a_rule: kind == RULE, error: anyhow!("{message}") })
    }
}

impl Modules for Bundle {
    fn load(&self, engine: &Engine, binary: &[u8]) -> Result<Module, Refusal> {
        if let Some(refusal) = self.refusal(binary) {
            return Err(refusal);
        }
        // SAFETY: the directory is the recorder's.
        Ok(unsafe { Module::deserialize_file(engine, artifact_path(&self.directory, binary)) }?)
    }

    fn validate(&self, _: &Engine, binary: &[u8]) -> Result<(), Refusal> {
        match self.refusal(binary) {
            Some(refusal) => Err(refusal),
            None if artifact_path(&self.directory, binary).exists() => Ok(()),
            None => Err(anyhow!("the module was not recorded").into()),
        }
    }
}

const RULE: &str = "rule";
const OTHER: &str = "other";

fn name(binary: &[u8]) -> String {
    blake3::hash(binary).to_hex().to_string()
}

fn artifact_path(directory: &Path, binary: &[u8]) -> PathBuf {
    directory.join(name(binary)).with_extension("wasmo")
}

fn refusal_path(directory: &Path, binary: &[u8]) -> PathBuf {
    directory.join(name(binary)).with_extension("refused")
}

#[cfg(feature = "compiler")]
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    // Tests on several threads may see the same module; the one that is last writes what the others have.
    let temporary = path.with_extension(format!("{:?}.tmp", std::thread::current().id()));
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
