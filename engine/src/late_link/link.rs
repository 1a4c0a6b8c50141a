//! Adding a module to an instance: compile, resolve, instantiate, run the start function.

use super::compile::compile;
use super::limits::JitLimits;
use super::registry::{Registry, Usage};
use super::resolve::resolve;
use crate::instance::instantiate_failed;
use crate::{Error, Extern, Instance, Module, StoreContextMut};
use anyhow::anyhow;
use wasmo_runtime::InstanceId;

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

/// Whether there is room for `wanted` within the limits, if there are any.
fn check(late: &Registry, wanted: Usage, limits: Option<&JitLimits>) -> Result<(), Failure> {
    let reached = limits.and_then(|limits| late.usage().plus(wanted).beyond(limits));
    reached.map_or(Ok(()), |text| Err(Stage::Limit.failed(anyhow!(text))))
}

/// Adds the module in `binary` to the instance `host`; answers its handle. Requests of guests come with limits.
pub(super) fn add<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    host: InstanceId,
    binary: &[u8],
    limits: Option<&JitLimits>,
) -> Result<u32, Failure> {
    let store = context.opaque();
    check(&store.late, Usage { modules: 1, wasm_bytes: binary.len(), code_bytes: 0 }, limits)?;
    let time = limits.map(|limits| limits.compile_time);
    let module = compile(store.engine(), binary, time).map_err(|error| Stage::Compile.failed(error))?;
    let usage = Usage { modules: 1, wasm_bytes: binary.len(), code_bytes: module.code_size() };
    check(&store.late, usage, limits)?;
    let imports = resolve(store, host, &module).map_err(|error| Stage::Resolve.failed(error))?;
    let handle = store.late.reserve(host, usage);
    let handle = handle.ok_or_else(|| Stage::Limit.failed(anyhow!("all handles of late modules were used")))?;
    let linked = instantiate(context, host, &module, &imports);
    let late = &mut context.opaque().late;
    match linked {
        Ok(instance) => late.publish(host, handle, instance),
        Err(_) => late.forget(host, handle),
    }
    linked.map(|_| handle)
}

/// Makes the module's instance and runs its start function. Unlike other instances it does not count towards the limits of the store's
/// [`crate::ResourceLimiter`], but its memories and tables do.
fn instantiate<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    host: InstanceId,
    module: &Module,
    imports: &[Extern],
) -> Result<InstanceId, Failure> {
    let info = module.info();
    let tables = info.tables.len() - info.imported_tables;
    let memories = info.memories.len() - info.imported_memories;
    context.0.check_counts(0, tables, memories).map_err(|error| Stage::Limit.failed(error))?;
    let imports: Vec<_> = imports.iter().map(|item| item.to_runtime().into()).collect();
    let result = context.enter(|store| store.runtime_mut().instantiate(module.runtime(), &imports));
    let store = context.opaque();
    store.counts.tables += tables;
    store.counts.memories += memories;
    let id = result.map_err(|error| Stage::Instantiate.failed(instantiate_failed(context.0, error)))?;
    let store = context.opaque();
    store.add_instance(id, module.clone());
    store.late.adopt(host, id);
    let instance = Instance::new_handle(store.id(), id);
    instance.run_start(context).map_err(|error| Stage::Start.failed(error))?;
    Ok(id)
}
