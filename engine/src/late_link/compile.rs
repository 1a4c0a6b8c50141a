//! The one place where late modules are compiled: in tiers, or all of a module before it is linked.

use super::limits::JitLimits;
use crate::store::StoreOpaque;
use crate::{Engine, Module, Result};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use wasmo_runtime::InstanceId;

#[cfg(feature = "compiler")]
use super::ration::Ration;
#[cfg(feature = "compiler")]
use crate::artifact::Origin;
#[cfg(feature = "compiler")]
use crate::compile::check_memories;
#[cfg(feature = "compiler")]
use crate::tier::Tier;

#[cfg(feature = "compiler")]
pub(crate) use super::workers::{Request, Workers};

/// What the host gave, as binary.
pub(super) fn binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    #[cfg(feature = "compiler")]
    {
        crate::compile::to_binary(bytes)
    }
    #[cfg(not(feature = "compiler"))]
    {
        Ok(Cow::Borrowed(bytes))
    }
}

/// Whether modules can be compiled at all.
pub(super) const AVAILABLE: bool = cfg!(feature = "compiler");

/// How late modules are compiled.
#[cfg(feature = "compiler")]
#[derive(Debug)]
pub(super) enum Manner {
    /// In this tier at first, with this ration.
    InTiers(Tier, Ration),
    /// As a whole; optimised, or not.
    Whole { optimize: bool },
}

#[cfg(feature = "compiler")]
impl Manner {
    /// How the next one is to be compiled, for somebody with these limits, in a store whose late modules in tiers have `code` bytes of machine code.
    pub(super) fn new(engine: &Engine, limits: Option<&JitLimits>, code: &Arc<AtomicUsize>) -> Self {
        let config = engine.config();
        match config.late_link_opt_level {
            Some(level) => Self::Whole { optimize: level == crate::OptLevel::Speed },
            None => {
                let optimizes = config.tunables.opt_level == wasmo_abi::tunables::OptLevel::Speed;
                let tier = if optimizes { config.late_link_tier } else { Tier::LiftOff };
                Self::InTiers(tier, Ration::new(code, limits))
            }
        }
    }
}

/// Makes a module of which functions are compiled when they are called, if that is how late modules are compiled: on the calling thread, since it takes little.
#[cfg(feature = "compiler")]
pub(super) fn at_once(
    engine: &Engine,
    binary: &[u8],
    limits: Option<&JitLimits>,
    code: &Arc<AtomicUsize>,
) -> Option<Result<Module>> {
    match Manner::new(engine, limits, code) {
        Manner::InTiers(tier, ration) => Some(in_tiers(engine, binary, tier, ration)),
        Manner::Whole { .. } => None,
    }
}

/// Without a compiler there is none.
#[cfg(not(feature = "compiler"))]
pub(super) fn at_once(_: &Engine, _: &[u8], _: Option<&JitLimits>, _: &Arc<AtomicUsize>) -> Option<Result<Module>> {
    None
}

/// Tells a module in tiers which instance it was added to, so that its code calls that instance's functions directly. Whatever it imports from `env` was found there.
#[cfg(feature = "compiler")]
pub(super) fn introduce(store: &StoreOpaque, host: InstanceId, module: &Module) {
    use wasmo_abi::module::{EntityRef, Import};
    let (Origin::Tiers { shared, .. }, Some(theirs)) = (module.origin(), store.instance_module(host)) else { return };
    let defined = |import: &Import| match (import.entity, theirs.export_entity(&import.name)?) {
        (EntityRef::Func(own), EntityRef::Func(func)) if *import.module == *super::resolve::HOST => {
            theirs.info().defined_func(func).map(|_| (own, func))
        }
        _ => None,
    };
    let imports = module.info().imports.iter().filter_map(defined).collect();
    let context = store.runtime().instance(host).context() as usize;
    module.runtime().set_neighbour(theirs.runtime());
    shared.set_host(crate::tier::Host::new(theirs.clone(), context, imports));
}

/// Without a compiler there is no such module.
#[cfg(not(feature = "compiler"))]
pub(super) fn introduce(_: &StoreOpaque, _: InstanceId, _: &Module) {}

/// The bytes of a module's machine code that no ration counts.
pub(super) fn uncounted_code(module: &Module) -> usize {
    #[cfg(feature = "compiler")]
    if matches!(module.origin(), Origin::Tiers { .. }) {
        return 0;
    }
    module.code_size()
}

#[cfg(feature = "compiler")]
fn in_tiers(engine: &Engine, binary: &[u8], tier: Tier, ration: Ration) -> Result<Module> {
    check_memories(engine, binary)?;
    crate::tier::late(engine, tier, binary, ration)
}

/// Compiles all of a module on the calling thread, which has the stack for it ([`wasmo_codegen::Compiler::STACK_SIZE`]). Its code has no thunks: the engine has them.
#[cfg(feature = "compiler")]
pub(super) fn compile(
    engine: &Engine,
    binary: &[u8],
    manner: Manner,
    observer: &dyn wasmo_codegen::Observer,
) -> Result<Module> {
    use crate::CompileError;
    use crate::error::internal;
    use wasmo_abi::code::{CodeUnit, ModuleCode};
    use wasmo_codegen::image::LinkedImage;

    let _span = tracing::debug_span!("compile late", bytes = binary.len()).entered();
    let optimize = match manner {
        Manner::Whole { optimize } => optimize,
        Manner::InTiers(tier, ration) => {
            let module = in_tiers(engine, binary, tier, ration)?;
            if let Origin::Tiers { shared, .. } = module.origin() {
                shared.lift_off_all(module.runtime(), observer)?;
            }
            return Ok(module);
        }
    };
    check_memories(engine, binary)?;
    let compiled = engine.compiler()?.compile_alone(binary, optimize, observer);
    let (info, image) = compiled.map_err(CompileError::from)?;
    let align = usize::try_from(LinkedImage::ALIGN).map_err(|_| internal("code is aligned beyond addresses"))?;
    let piece = engine.code_memory().place(&image.contents(), align)?;
    let base = piece.address() + image.text_offset();
    let unwind = image.unwind().map_err(CompileError::from)?;
    let size = image.text_size();
    let unit = CodeUnit { start: base, size, functions: image.functions, wasm_offsets: image.wasm_offsets, unwind };
    let units = if size > 0 { vec![unit] } else { Vec::new() };
    let thunks = vec![None; info.types.len()];
    let code = ModuleCode { entries: image.entries, base, thunks, units, owner: Arc::new(piece) };
    if code.entries.len() != info.bodies.len() {
        return Err(internal("the linked code does not fit the module"));
    }
    let runtime = wasmo_runtime::Module::new(info, code, binary.to_vec().into(), engine.types());
    Ok(Module::from_runtime(engine.clone(), runtime, Origin::Binary))
}

/// Stands for a request where none can be made.
#[cfg(not(feature = "compiler"))]
#[derive(Debug)]
pub(crate) enum Request {}

#[cfg(not(feature = "compiler"))]
impl Request {
    pub(super) fn start(
        _: &Engine,
        _: &[u8],
        _: Option<&JitLimits>,
        _: &Arc<AtomicUsize>,
        _: super::Urgency,
    ) -> Result<Arc<Self>> {
        anyhow::bail!("this build of wasmo has no compiler")
    }

    pub(super) fn wait(&self, _: impl Fn() -> bool) -> Result<Module> {
        match *self {}
    }

    pub(super) fn take(&self) -> Option<Result<Module>> {
        match *self {}
    }

    pub(super) fn cancel(&self) {
        match *self {}
    }
}
