//! The one place where late modules are compiled.

use crate::{Engine, Module, Result};
use std::borrow::Cow;

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

/// Compiles a module on the calling thread, which has the stack for it ([`wasmo_codegen::Compiler::STACK_SIZE`]). Its code has no thunks: the engine has them.
#[cfg(feature = "compiler")]
pub(super) fn compile(engine: &Engine, binary: &[u8], observer: &dyn wasmo_codegen::Observer) -> Result<Module> {
    use crate::CompileError;
    use crate::artifact::Origin;
    use crate::error::internal;
    use std::sync::Arc;
    use wasmo_abi::code::{CodeUnit, ModuleCode};
    use wasmo_codegen::image::LinkedImage;

    let _span = tracing::debug_span!("compile late", bytes = binary.len()).entered();
    if !engine.config().multi_memory {
        wasmo_codegen::validate_single_memory(binary).map_err(CompileError::from)?;
    }
    let optimize = engine.config().late_link_opt_level == crate::OptLevel::Speed;
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
        _: Option<std::time::Duration>,
        _: super::Urgency,
    ) -> Result<std::sync::Arc<Self>> {
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
