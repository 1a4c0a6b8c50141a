//! Making a [`Module`] from bytes or text, and watching it being made.

use crate::artifact::Origin;
use crate::tier::Tier;
use crate::{CompileError, Engine, Module, Profile, Result};
use anyhow::{Context, anyhow, bail};
use std::borrow::Cow;
use std::path::Path;
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::table::Bytes;
use wasmo_codegen::CompiledModule;

/// Watches a compilation, and may stop it; see [`Module::new_with_observer`]. Called from the threads that compile.
pub trait CompileObserver: Sync {
    /// `done` bytes of wasm code of `total` are compiled.
    fn progress(&self, done: u64, total: u64) {
        let _ = (done, total);
    }

    /// Whether to stop. The compilation ends soon with [`crate::CompileErrorKind::Cancelled`].
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody watches.
struct Unobserved;

impl CompileObserver for Unobserved {}

/// Makes an observer of ours one of the compiler's.
struct Adapter<'a>(&'a dyn CompileObserver);

impl wasmo_codegen::Observer for Adapter<'_> {
    fn progress(&self, done: u64, total: u64) {
        self.0.progress(done, total);
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// The module's binary: `bytes` themselves or, when they are text and the feature `wat` is there, what the text stands for.
pub(crate) fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    #[cfg(feature = "wat")]
    {
        wat::parse_bytes(bytes).map_err(|error| {
            anyhow::Error::new(CompileError {
                kind: crate::CompileErrorKind::Malformed,
                offset: None,
                message: error.to_string(),
            })
        })
    }
    #[cfg(not(feature = "wat"))]
    {
        Ok(Cow::Borrowed(bytes))
    }
}

/// Refuses a module with several memories where the configuration does.
pub(crate) fn check_memories(engine: &Engine, binary: &[u8]) -> Result<()> {
    if !engine.config().multi_memory {
        wasmo_codegen::validate_single_memory(binary).map_err(CompileError::from)?;
    }
    Ok(())
}

impl Module {
    /// Compiles a module from its binary form or, with the feature `wat`, its text.
    ///
    /// # Errors
    /// A [`CompileError`] when the bytes are no module, the module is not valid, or it uses what wasmo does not have.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        Self::new_with_observer(engine, bytes, &Unobserved)
    }

    /// As [`Module::new`], and tells `observer` how far it is.
    ///
    /// # Errors
    /// As [`Module::new`]; of the kind [`crate::CompileErrorKind::Cancelled`] when the observer asked to stop.
    pub fn new_with_observer(engine: &Engine, bytes: impl AsRef<[u8]>, observer: &dyn CompileObserver) -> Result<Self> {
        let binary = to_binary(bytes.as_ref())?;
        Self::compile(engine, &binary, observer)
    }

    /// As [`Module::new`], for what `profile` says that the module does: see [`crate::profile`]. All functions are compiled and optimised before anything runs, whatever the
    /// configuration says of tiers.
    ///
    /// # Errors
    /// As [`Module::new`], and when the profile is one of another module.
    pub fn new_with_profile(engine: &Engine, bytes: impl AsRef<[u8]>, profile: &Profile) -> Result<Self> {
        Self::compile_whole(engine, &to_binary(bytes.as_ref())?, Some(profile), &Unobserved)
    }

    /// What the module has counted so far, in all its instances, if it was made by an engine with [`crate::Config::collect_profile`]. Where instances run on several threads at the
    /// same time, some counts are lost.
    pub fn profile(&self) -> Option<Profile> {
        match self.origin() {
            Origin::Tiers { shared, .. } => shared.profile(self.runtime()),
            Origin::Binary | Origin::Artifact(_) => None,
        }
    }

    /// Compiles a module from its binary form only.
    ///
    /// # Errors
    /// As [`Module::new`].
    pub fn from_binary(engine: &Engine, binary: &[u8]) -> Result<Self> {
        Self::compile(engine, binary, &Unobserved)
    }

    /// Compiles the module in a file, binary or (with the feature `wat`) text.
    ///
    /// # Errors
    /// When the file cannot be read, and as [`Module::new`].
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::new(engine, bytes).with_context(|| format!("cannot compile {}", path.display()))
    }

    /// Whether the bytes (binary, or text with the feature `wat`) are a valid module.
    ///
    /// # Errors
    /// A [`CompileError`] that says why they are not.
    pub fn validate(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<()> {
        Self::validate_binary(engine, &to_binary(bytes.as_ref())?)
    }

    pub(crate) fn validate_binary(engine: &Engine, binary: &[u8]) -> Result<()> {
        wasmo_codegen::validate(binary).map_err(CompileError::from)?;
        check_memories(engine, binary)
    }

    pub(crate) fn compile(engine: &Engine, binary: &[u8], observer: &dyn CompileObserver) -> Result<Self> {
        let config = engine.config();
        let in_tiers =
            config.tier != Tier::Optimized && config.tunables.opt_level == wasmo_abi::tunables::OptLevel::Speed;
        if in_tiers || config.collect_profile {
            if !config.multi_memory {
                Self::validate_binary(engine, binary)?;
            }
            return crate::tier::in_tiers(engine, binary.to_vec(), None);
        }
        Self::compile_whole(engine, binary, None, observer)
    }

    /// Compiles all functions, whatever the configuration says of tiers.
    fn compile_whole(
        engine: &Engine,
        binary: &[u8],
        profile: Option<&Profile>,
        observer: &dyn CompileObserver,
    ) -> Result<Self> {
        let (info, compiled) = compile_objects(engine, binary, profile, observer)?;
        let compiler = engine.compiler()?;
        let code = compiler.link(&info, compiled).map_err(CompileError::from)?;
        if code.entries.len() != info.bodies.len() || code.thunks.len() != info.types.len() {
            return Err(anyhow!("internal error: the linked code does not fit the module"));
        }
        let runtime = wasmo_runtime::Module::new(info, code, binary.to_vec().into(), engine.types());
        Ok(Self::from_runtime(engine.clone(), runtime, Origin::Binary))
    }
}

impl Engine {
    /// Compiles a module (binary or, with the feature `wat`, text) to an artefact, for [`Module::deserialize`] now or later, here or on another machine
    /// ([`crate::Config::target`], [`crate::Config::target_cpu`]).
    ///
    /// # Errors
    /// As [`Module::new`].
    pub fn precompile_module(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.precompile_module_with_observer(bytes, &Unobserved)
    }

    /// As [`Engine::precompile_module`], and tells `observer` how far it is.
    ///
    /// # Errors
    /// As [`Module::new_with_observer`].
    pub fn precompile_module_with_observer(&self, bytes: &[u8], observer: &dyn CompileObserver) -> Result<Vec<u8>> {
        self.precompile(bytes, None, observer)
    }

    /// As [`Engine::precompile_module_with_observer`], for what `profile` says that the module does: see [`crate::profile`].
    ///
    /// # Errors
    /// As [`Module::new_with_observer`], and when the profile is one of another module.
    pub fn precompile_module_with_profile(
        &self,
        bytes: &[u8],
        profile: &Profile,
        observer: &dyn CompileObserver,
    ) -> Result<Vec<u8>> {
        self.precompile(bytes, Some(profile), observer)
    }

    /// As [`Engine::precompile_module`], with the code that functions have at first where the configuration is [`Tier::LiftOff`]. It is for tests, which try that code on machines
    /// without compiler.
    ///
    /// # Errors
    /// As [`Module::new`].
    #[doc(hidden)]
    pub fn precompile_lift_off(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let binary = to_binary(bytes)?;
        check_memories(self, &binary)?;
        let compiler = self.compiler()?;
        let source = wasmo_codegen::Source::new(Bytes::from(binary.into_owned())).map_err(CompileError::from)?;
        source.validate(compiler.threads()).map_err(CompileError::from)?;
        Ok(compiler.lift_off_artifact(&source).map_err(CompileError::from)?)
    }

    fn precompile(&self, bytes: &[u8], profile: Option<&Profile>, observer: &dyn CompileObserver) -> Result<Vec<u8>> {
        let binary = to_binary(bytes)?;
        let (info, compiled) = compile_objects(self, &binary, profile, observer)?;
        Ok(self.compiler()?.artifact(&info, &binary, &compiled).map_err(CompileError::from)?)
    }
}

/// What JIT and ahead-of-time compilation have in common.
fn compile_objects(
    engine: &Engine,
    binary: &[u8],
    profile: Option<&Profile>,
    observer: &dyn CompileObserver,
) -> Result<(ModuleInfo, CompiledModule)> {
    let _span = tracing::debug_span!("compile", bytes = binary.len()).entered();
    if !engine.config().multi_memory {
        Module::validate_binary(engine, binary)?;
    }
    let info = wasmo_codegen::parse(binary).map_err(CompileError::from)?;
    if profile.is_some_and(|profile| !profile.is_of(binary)) {
        bail!("the profile is one of another module, or of another version of this one");
    }
    let profile = profile.map(|profile| &profile.inner);
    let compiled = engine.compiler()?.compile_with_profile(&info, binary, profile, &Adapter(observer));
    let compiled = compiled.map_err(CompileError::from)?;
    Ok((info, compiled))
}
