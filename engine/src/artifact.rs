//! Artefacts: modules that were compiled before.
//!
//! An artefact is one file with a module's machine code and everything else that running it takes; the module's binary is not in it. It belongs to the version of wasmo,
//! the kind of machine and the choices ([`Config`](crate::Config)) that it was made with; where one of these differs, it is refused with an error that says which.
//!
//! Loading maps the file and uses it where it lies. It must not be changed while a module from it exists, only replaced by another file of the same name;
//! whoever writes artefacts writes them under another name and renames them, as `wasmo compile` does.
//!
//! ```
//! # fn main() -> wasmo::Result<()> {
//! use wasmo::{Engine, Module};
//!
//! let engine = Engine::default();
//! let artifact = engine.precompile_module(br#"(module (func (export "f") (result i32) i32.const 7))"#)?;
//! // SAFETY: the engine has just made it.
//! let module = unsafe { Module::deserialize(&engine, &artifact)? };
//! assert!(module.get_export("f").is_some());
//! # Ok(())
//! # }
//! ```

mod contents;
mod info;
mod known;
mod settled;

pub use contents::{ArtifactContents, ArtifactFunction, ArtifactHalf};
pub use info::ArtifactInfo;
pub(crate) use known::load_known;

use crate::cache::Cache;
use crate::{Engine, Module, Result};
use anyhow::{Context, bail};
use info::choices;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use wasmo_abi::artifact::{HEADER_OFFSET, HEADER_SIZE, MAGIC};
use wasmo_abi::tunables::Tunables;
use wasmo_runtime::artifact::Artifact;

/// What a file that was compiled before holds; see [`Engine::detect_precompiled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precompiled {
    /// A module.
    Module,
}

impl Engine {
    /// Whether `bytes` are the beginning of an artefact, of whatever version: 4 KiB are enough to tell.
    pub fn detect_precompiled(bytes: &[u8]) -> Option<Precompiled> {
        let header = bytes.get(HEADER_OFFSET..)?;
        header.starts_with(&MAGIC).then_some(Precompiled::Module)
    }

    /// Whether the file at `path` is an artefact, of whatever version.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn detect_precompiled_file(path: impl AsRef<Path>) -> Result<Option<Precompiled>> {
        use std::io::Read;
        let path = path.as_ref();
        let read = || {
            let mut head = Vec::with_capacity(HEADER_OFFSET + HEADER_SIZE);
            File::open(path)?.take((HEADER_OFFSET + HEADER_SIZE) as u64).read_to_end(&mut head)?;
            Ok::<_, std::io::Error>(head)
        };
        let head = read().with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::detect_precompiled(&head))
    }

    /// Whether a module with code for these choices can be used with this engine's.
    fn check_tunables(&self, found: &Tunables) -> Result<()> {
        let wanted = self.config().tunables;
        // How hard the compiler tried makes no difference to those who call the code.
        let found = Tunables { opt_level: wanted.opt_level, ..*found };
        if found == wanted {
            return Ok(());
        }
        let list = |tunables: &Tunables| {
            let choices = choices(&Tunables { opt_level: wasmo_abi::tunables::OptLevel::Speed, ..*tunables });
            if choices.is_empty() { "none of the choices that change code".to_owned() } else { choices.join(", ") }
        };
        bail!("it was compiled with {}; the engine has {}", list(&found), list(&wanted))
    }
}

impl Module {
    /// The module in an artefact: what [`Module::serialize`] or [`Engine::precompile_module`] gave. The bytes are copied; where they are in a file,
    /// [`Module::deserialize_file`] is the better way.
    ///
    /// # Errors
    /// When the bytes are no artefact, are damaged, have code for some functions only, or are for another version, machine or configuration.
    ///
    /// # Safety
    /// An artefact is machine code, and what is in it will run with all rights of this process. The bytes must come from those functions of wasmo, by a way that nobody
    /// can have changed them on. Damage by accident is found; intent is not.
    pub unsafe fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let artifact = Artifact::from_bytes(bytes.as_ref()).context("cannot load the artefact")?;
        Self::from_artifact(engine, artifact, None).context("cannot load the artefact")
    }

    /// The module in the artefact in a file.
    ///
    /// # Errors
    /// As for [`Module::deserialize`], and when the file cannot be read.
    ///
    /// # Safety
    /// As for [`Module::deserialize`]; and nobody may change the file's content while the module, a clone of it, or a store with an instance of it exists.
    pub unsafe fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let load = || {
            let artifact = Artifact::open(File::open(path)?)?;
            Self::from_artifact(engine, artifact, None)
        };
        load().with_context(|| format!("cannot load {}", path.display()))
    }

    /// As [`Module::deserialize_file`], for a file that is open. Errors do not name it.
    ///
    /// # Errors
    /// As for [`Module::deserialize_file`].
    ///
    /// # Safety
    /// As for [`Module::deserialize_file`].
    pub unsafe fn deserialize_open_file(engine: &Engine, file: File) -> Result<Self> {
        Self::from_artifact(engine, Artifact::open(file)?, None)
    }

    /// As [`Module::deserialize_open_file`], without computing the checksum of a large artefact where `cache`, if it exists, knows that it is right: because a process of the same user has
    /// computed it since the system was started, and the file has not changed.
    ///
    /// # Errors
    /// As for [`Module::deserialize_file`].
    ///
    /// # Safety
    /// As for [`Module::deserialize_file`].
    pub unsafe fn deserialize_known_file(engine: &Engine, file: File, cache: &Cache) -> Result<Self> {
        Self::from_artifact(engine, Artifact::open(file)?, Some(cache))
    }

    /// Another name for [`Module::deserialize_file`].
    ///
    /// # Errors
    /// As for [`Module::deserialize_file`].
    ///
    /// # Safety
    /// As for [`Module::deserialize_file`].
    pub unsafe fn load(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        // SAFETY: as the caller promises.
        unsafe { Self::deserialize_file(engine, path) }
    }

    fn from_artifact(engine: &Engine, artifact: Artifact, cache: Option<&Cache>) -> Result<Self> {
        engine.check_tunables(&artifact.header().tunables)?;
        let artifact = Arc::new(artifact);
        let load = || settled::load(engine, &artifact);
        let runtime = match cache {
            Some(cache) => load_known(cache, &artifact, load)?,
            None => load()?,
        };
        Ok(Self::from_runtime(engine.clone(), runtime, Origin::Artifact(artifact)))
    }

    /// The module as an artefact. One that was not loaded from an artefact is compiled once more: to get an artefact and nothing else, use
    /// [`Engine::precompile_module`].
    ///
    /// # Errors
    /// When there is no compiler, or it fails.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        match self.origin() {
            Origin::Artifact(artifact) => Ok(artifact.bytes()?.to_vec()),
            Origin::Binary => {
                #[cfg(feature = "compiler")]
                return self.engine().precompile_module(self.binary().unwrap_or_default());
                #[cfg(not(feature = "compiler"))]
                bail!("the module was not loaded from an artefact, and there is no compiler to make one")
            }
            #[cfg(feature = "compiler")]
            Origin::Tiers { shared, .. } => self.engine().precompile_module(shared.binary()?),
        }
    }

    /// Writes [`Module::serialize`] to a file, which is replaced as a whole: whoever reads it meanwhile, or has loaded it, has the old one.
    ///
    /// # Errors
    /// As for [`Module::serialize`], and when the file cannot be written; then it is as it was.
    pub fn dump(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        replace(path, &self.serialize()?).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What the artefact that the module was loaded from says of itself.
    pub fn artifact_info(&self) -> Option<ArtifactInfo> {
        match self.origin() {
            Origin::Artifact(artifact) => Some(ArtifactInfo::new(artifact.header().clone())),
            Origin::Binary => None,
            #[cfg(feature = "compiler")]
            Origin::Tiers { artifact, .. } => {
                artifact.as_ref().map(|artifact| ArtifactInfo::new(artifact.header().clone()))
            }
        }
    }
}

/// Where a module comes from.
#[derive(Clone)]
pub(crate) enum Origin {
    /// The compiler; the runtime's module has the binary.
    #[cfg_attr(not(feature = "compiler"), expect(dead_code, reason = "only the compiler makes such modules"))]
    Binary,
    /// This artefact.
    Artifact(Arc<Artifact>),
    /// The compiler, while the module runs; the runtime's module has the binary, unless it goes on with an artefact.
    #[cfg(feature = "compiler")]
    Tiers { shared: Arc<crate::tier::Shared>, artifact: Option<Arc<Artifact>> },
}

/// Writes a file under another name and gives it its own.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().context("it is not the name of a file")?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed either does not make the failure another one.
        let _ = std::fs::remove_file(&temporary);
    }
    Ok(written?)
}
