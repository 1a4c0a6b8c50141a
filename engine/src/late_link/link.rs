//! Adding modules to instances, and taking them away: compile, resolve, instantiate, run the start function; cancel, remove.

use super::Urgency;
use super::code::JitErrorCode;
use super::compile::{self, Request};
use super::limits::JitLimits;
use super::registry::{Linked, Registry, State, Usage};
use super::resolve::resolve;
use crate::instance::instantiate_failed;
use crate::store::StoreOpaque;
use crate::{CompileError, CompileErrorKind, Error, Extern, Instance, Module, StoreContextMut, Trap};
use anyhow::anyhow;
use wasmo_runtime::{InstanceId, RemoveError};

/// How far adding a module had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A limit does not allow it.
    Limit,
    Compile,
    Resolve,
    Instantiate,
    /// Its start function was running.
    Start,
}

/// Why a module could not be added.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) error: Error,
}

impl Stage {
    fn failed(self, error: impl Into<Error>) -> Failure {
        Failure { stage: self, error: error.into() }
    }
}

impl Failure {
    /// What a guest is told; `None` when it must end.
    pub(super) fn code(&self) -> Option<JitErrorCode> {
        let error = &self.error;
        Some(match self.stage {
            Stage::Limit => JitErrorCode::Limit,
            Stage::Compile => match error.downcast_ref::<CompileError>().map(CompileError::kind) {
                Some(CompileErrorKind::Malformed | CompileErrorKind::Invalid | CompileErrorKind::Unsupported) => {
                    JitErrorCode::Invalid
                }
                Some(CompileErrorKind::Limit | CompileErrorKind::Cancelled) => JitErrorCode::Limit,
                Some(CompileErrorKind::Internal) | None => JitErrorCode::Internal,
            },
            Stage::Resolve => JitErrorCode::Import,
            // What the start function called was to be compiled.
            Stage::Start if error.downcast_ref().map(CompileError::kind) == Some(CompileErrorKind::Limit) => {
                JitErrorCode::Limit
            }
            Stage::Instantiate | Stage::Start => match (error.downcast_ref::<Trap>(), error.downcast_ref()) {
                (Some(Trap::Interrupt | Trap::OutOfFuel), _) => return None,
                (Some(_), _) => JitErrorCode::Trap,
                (None, Some(wasmo_runtime::Error::Internal(_))) => JitErrorCode::Internal,
                (None, Some(_)) if self.stage == Stage::Instantiate => JitErrorCode::Limit,
                _ => return None,
            },
        })
    }
}

/// Whether there is room for `wanted` within the limits, if there are any.
fn check(late: &Registry, wanted: Usage, limits: Option<&JitLimits>) -> Result<(), Failure> {
    let reached = limits.and_then(|limits| late.usage().plus(wanted).beyond(limits));
    reached.map_or(Ok(()), |text| Err(Stage::Limit.failed(anyhow!(text))))
}

/// Asks for the module in `binary` to be compiled, and takes a handle for it.
fn request(
    store: &mut StoreOpaque,
    host: InstanceId,
    binary: &[u8],
    limits: Option<&JitLimits>,
    urgency: Urgency,
) -> Result<u32, Failure> {
    let usage = check_binary(&store.late, binary, limits)?;
    let request = Request::start(store.engine(), binary, limits, store.late.code(), urgency);
    let request = request.map_err(|error| Stage::Compile.failed(error))?;
    reserve(store, host, State::Pending(request, limits.cloned()), usage)
}

/// Whether there is room for one more module; what it uses before it is compiled.
fn check_binary(late: &Registry, binary: &[u8], limits: Option<&JitLimits>) -> Result<Usage, Failure> {
    let usage = Usage { modules: 1, wasm_bytes: binary.len(), code_bytes: 0 };
    check(late, usage, limits).map(|()| usage)
}

fn reserve(store: &mut StoreOpaque, host: InstanceId, state: State, usage: Usage) -> Result<u32, Failure> {
    let handle = store.late.reserve(host, state, usage);
    handle.ok_or_else(|| Stage::Limit.failed(anyhow!("all handles of late modules were used")))
}

/// Adds the module in `binary` to the instance `host`; answers its handle. Requests of guests come with limits.
pub(super) fn add<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    host: InstanceId,
    binary: &[u8],
    limits: Option<&JitLimits>,
) -> Result<u32, Failure> {
    let store = context.opaque();
    let usage = check_binary(&store.late, binary, limits)?;
    let (handle, compiled) = match compile::at_once(store.engine(), binary, limits, store.late.code()) {
        Some(compiled) => {
            let module = compiled.map_err(|error| Stage::Compile.failed(error))?;
            (reserve(store, host, State::Linking, usage)?, Ok(module))
        }
        None => {
            let handle = request(store, host, binary, limits, Urgency::Now)?;
            let compiled = match store.late.state(host, handle) {
                Some(State::Pending(request, _)) => request.wait(|| store.runtime().interrupted()),
                _ => Err(crate::error::internal("a request is missing")),
            };
            (handle, compiled.map_err(|error| Stage::Compile.failed(error)))
        }
    };
    let added = compiled.and_then(|module| link(context, host, handle, &module, limits));
    if added.is_err() {
        context.opaque().late.withdraw(host, handle);
    }
    added.map(|()| handle)
}

/// Begins to add a module: it is compiled in the background, and linked by the [`poll`] that finds it compiled.
pub(super) fn add_async(
    store: &mut StoreOpaque,
    host: InstanceId,
    binary: &[u8],
    limits: Option<&JitLimits>,
) -> Result<u32, Failure> {
    request(store, host, binary, limits, Urgency::Background)
}

/// What there is to say of a module that was asked for.
#[derive(Debug)]
pub(super) enum Polled {
    NotYet,
    Linked,
    /// It has failed just now.
    Failed(Failure),
    /// It had failed before.
    HadFailed(JitErrorCode, String),
    /// There is none with this handle.
    Unknown,
}

/// Links a module if it is compiled.
pub(super) fn poll<T: 'static>(context: &mut StoreContextMut<'_, T>, host: InstanceId, handle: u32) -> Polled {
    let store = context.opaque();
    let (compiled, limits) = match store.late.state(host, handle) {
        None => return Polled::Unknown,
        Some(State::Linking) => return Polled::NotYet,
        Some(State::Linked(_)) => return Polled::Linked,
        Some(State::Failed(code, text)) => return Polled::HadFailed(*code, text.clone()),
        Some(State::Pending(request, limits)) => match request.take() {
            None => return Polled::NotYet,
            Some(compiled) => (compiled, limits.clone()),
        },
    };
    let linked = compiled
        .map_err(|error| Stage::Compile.failed(error))
        .and_then(|module| link(context, host, handle, &module, limits.as_ref()));
    match linked {
        Ok(()) => Polled::Linked,
        Err(failure) => {
            let code = failure.code().unwrap_or(JitErrorCode::Trap);
            let state = State::Failed(code, format!("{:#}", failure.error));
            let late = &mut context.opaque().late;
            late.set_state(host, handle, state);
            late.set_usage(host, handle, Usage { modules: 1, ..Usage::default() });
            Polled::Failed(failure)
        }
    }
}

/// Links a compiled module.
fn link<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    host: InstanceId,
    handle: u32,
    module: &Module,
    limits: Option<&JitLimits>,
) -> Result<(), Failure> {
    let store = context.opaque();
    store.late.set_state(host, handle, State::Linking);
    let code_bytes = compile::uncounted_code(module);
    check(&store.late, Usage { code_bytes, ..Usage::default() }, limits)?;
    let wasm_bytes = module.binary().map_or(0, <[u8]>::len);
    store.late.set_usage(host, handle, Usage { modules: 1, wasm_bytes, code_bytes });
    let imports = resolve(store, host, module).map_err(|error| Stage::Resolve.failed(error))?;
    let linked = instantiate(context, module, &imports)?;
    compile::introduce(context.opaque(), host, module);
    let instance = Instance::new_handle(context.opaque().id(), linked.instance);
    if let Err(error) = instance.run_start(context) {
        // The guest cannot name the module, so it would stay for ever. None of its frames is left, and nobody could import from it.
        let _gone = take_away(context.opaque(), &linked);
        return Err(Stage::Start.failed(error));
    }
    context.opaque().late.set_state(host, handle, State::Linked(linked));
    Ok(())
}

/// Makes the module's instance. Unlike other instances it does not count towards the limits of the store's [`crate::ResourceLimiter`], but its memories and
/// tables do.
fn instantiate<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    module: &Module,
    imports: &[Extern],
) -> Result<Linked, Failure> {
    let (tables, memories) = own_counts(module);
    context.0.check_counts(0, tables, memories).map_err(|error| Stage::Limit.failed(error))?;
    let imports: Vec<_> = imports.iter().map(|item| item.to_runtime().into()).collect();
    let result = context.enter(|store| store.runtime_mut().instantiate_late(module.runtime(), &imports));
    let (instance, late) = result.map_err(|error| Stage::Instantiate.failed(instantiate_failed(context.0, error)))?;
    let store = context.opaque();
    store.counts.tables += tables;
    store.counts.memories += memories;
    store.late.set_module(instance, Some(module.clone()));
    Ok(Linked { instance, late, module: module.clone() })
}

/// How many tables and memories a module defines.
fn own_counts(module: &Module) -> (usize, usize) {
    let info = module.info();
    (info.tables.len() - info.imported_tables, info.memories.len() - info.imported_memories)
}

/// Removes a late module's instance.
fn take_away(store: &mut StoreOpaque, linked: &Linked) -> Result<(), RemoveError> {
    store.runtime_mut().remove_late(linked.late)?;
    let (tables, memories) = own_counts(&linked.module);
    store.counts.tables -= tables;
    store.counts.memories -= memories;
    store.late.set_module(linked.instance, None);
    Ok(())
}

/// Removes a late module, or gives up compiling it.
pub(super) fn remove(store: &mut StoreOpaque, host: InstanceId, handle: u32) -> Result<(), RemoveError> {
    match store.late.state(host, handle).cloned() {
        None => return Err(RemoveError::Unknown),
        Some(State::Linking) => return Err(RemoveError::Running),
        Some(State::Failed(..)) => {}
        Some(State::Pending(request, _)) => request.cancel(),
        Some(State::Linked(linked)) => take_away(store, &linked)?,
    }
    store.late.forget(host, handle);
    Ok(())
}
