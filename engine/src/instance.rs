//! [`Instance`]: a module brought to life in a store.

use crate::error::{internal, runtime_error, trap_error};
use crate::externs::Export;
use crate::imports::{self, ImportError};
use crate::store::{StoreId, StoreInner, StoreOpaque};
use crate::{
    AsContextMut, Extern, Func, Global, Memory, Module, Result, StoreContextMut, Table, TypedFunc, WasmParams,
    WasmResults,
};
use anyhow::{Context, Error, anyhow, bail};
use wasmo_abi::vm::RawValue;
use wasmo_runtime::{InstanceId, InstantiateError};

/// A module brought to life in a store. A handle: it lives as long as the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    store: StoreId,
    id: InstanceId,
}

impl Instance {
    /// Makes an instance of `module` whose imports are `imports`, in the module's order, and runs its start function. [`crate::Linker`] finds
    /// imports by name.
    ///
    /// # Errors
    /// An [`ImportError`] that lists all imports of the wrong type. A [`crate::Trap`] when an active segment does not fit, or the start function traps; the
    /// error of a host function that the start function has called. When the store's limits do not allow it.
    ///
    /// # Panics
    /// When an import is of another store, or the module is of another engine; when a host function has panicked, with that panic.
    pub fn new(mut store: impl AsContextMut, module: &Module, imports: &[Extern]) -> Result<Self> {
        let mut context = store.as_context_mut();
        let expected = module.info().imports.len();
        if imports.len() != expected {
            bail!("expected {expected} imports, found {}", imports.len());
        }
        let opaque = context.opaque();
        let mut problems = Vec::new();
        for (import, item) in module.imports().zip(imports) {
            opaque.assert_owns(item.store());
            problems.extend(imports::check(&import, Some(item.current_type(opaque))));
        }
        if !problems.is_empty() {
            return Err(ImportError::new(problems).into());
        }
        let imports: Vec<_> = imports.iter().map(|item| item.to_runtime().into()).collect();
        Self::instantiate(context, module, &imports)
    }

    /// Makes an instance; the types of the imports are right.
    pub(crate) fn instantiate<T: 'static>(
        mut context: StoreContextMut<'_, T>,
        module: &Module,
        imports: &[wasmo_runtime::Import],
    ) -> Result<Self> {
        assert!(
            crate::Engine::same(module.engine(), context.engine()),
            "cross-`Engine` instantiation is not supported: the module is of another engine than the store"
        );
        let info = module.info();
        let tables = info.tables.len() - info.imported_tables;
        let memories = info.memories.len() - info.imported_memories;
        context.0.check_counts(1, tables, memories)?;
        let result = context.enter(|store| store.runtime_mut().instantiate(module.runtime(), imports));
        // What a failed instantiation has made stays in the store, so it counts.
        let opaque = context.opaque();
        opaque.counts.instances += 1;
        opaque.counts.tables += tables;
        opaque.counts.memories += memories;
        let id = result.map_err(|error| instantiate_failed(context.0, error))?;
        let opaque = context.opaque();
        opaque.add_instance(id, module.clone());
        let instance = Self { store: opaque.id(), id };
        instance.run_start(&mut context)?;
        Ok(instance)
    }

    /// Runs the start function, if there is one.
    pub(crate) fn run_start<T: 'static>(self, context: &mut StoreContextMut<'_, T>) -> Result<()> {
        let opaque = context.opaque();
        let id = self.id;
        if let Some(start) = self.module_in(opaque).info().start {
            let handle =
                opaque.runtime_mut().func(id, start).ok_or_else(|| internal("the start function is out of range"))?;
            let enter = opaque.enter_thunk(handle)?;
            let inner = std::ptr::from_mut(context.0);
            let mut values = [RawValue::default(); 1];
            // SAFETY: `inner` is a mutable borrow of the store; a start function has neither parameters nor results, and the thunk is the one for it.
            unsafe { StoreOpaque::call(&raw mut (*inner).opaque, inner.cast(), handle, enter, values.as_mut_ptr())? };
        }
        Ok(())
    }

    pub(crate) fn new_handle(store: StoreId, id: InstanceId) -> Self {
        Self { store, id }
    }

    pub(crate) fn id(self) -> InstanceId {
        self.id
    }

    pub(crate) fn store_id(self) -> StoreId {
        self.store
    }

    fn module_in(self, store: &StoreOpaque) -> &Module {
        store.assert_owns(self.store);
        store.instance_module(self.id).expect("an instance's module is recorded when it is made")
    }

    /// The module.
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn module<'a, T: 'static>(&self, store: impl Into<crate::StoreContext<'a, T>>) -> &'a Module {
        self.module_in(&store.into().0.opaque)
    }

    /// What is exported as `name`.
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn get_export(&self, store: impl AsContextMut, name: &str) -> Option<Extern> {
        self.export_in(&store.as_context().0.opaque, name)
    }

    pub(crate) fn export_in(self, store: &StoreOpaque, name: &str) -> Option<Extern> {
        let entity = self.module_in(store).export_entity(name)?;
        let item = store.runtime().instance(self.id).entity(entity)?;
        Some(Extern::from_runtime(self.store, item))
    }

    /// All exports, in the module's order.
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn exports<'a, T: 'static>(
        &'a self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> impl ExactSizeIterator<Item = Export<'a>> + 'a {
        let opaque = &store.into().0.opaque;
        let exports = &self.module_in(opaque).info().exports;
        let instance = opaque.runtime().instance(self.id);
        exports.iter().map(move |export| {
            let item = instance.entity(export.entity).expect("an exported item exists");
            Export::new(&export.name, Extern::from_runtime(self.store, item))
        })
    }

    /// The function that is exported as `name`, if there is one.
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn get_func(&self, store: impl AsContextMut, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// The function that is exported as `name`, with types that Rust knows.
    ///
    /// # Errors
    /// When there is none, or it is of another type.
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn get_typed_func<Params: WasmParams, Results: WasmResults>(
        &self,
        mut store: impl AsContextMut,
        name: &str,
    ) -> Result<TypedFunc<Params, Results>> {
        let func = self
            .get_export(store.as_context_mut(), name)
            .and_then(Extern::into_func)
            .ok_or_else(|| anyhow!("failed to find function export `{name}`"))?;
        func.typed(store.as_context()).with_context(|| format!("failed to convert function `{name}` to given type"))
    }

    /// The table that is exported as `name`, if there is one.
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn get_table(&self, store: impl AsContextMut, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// The memory that is exported as `name`, if there is one.
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn get_memory(&self, store: impl AsContextMut, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// The global that is exported as `name`, if there is one.
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn get_global(&self, store: impl AsContextMut, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }
}

pub(crate) fn instantiate_failed<T: 'static>(store: &mut StoreInner<T>, error: InstantiateError) -> Error {
    match error {
        InstantiateError::Trap(code) => trap_error(code),
        InstantiateError::Error(error) => {
            store.take_refusal().unwrap_or_else(|| runtime_error(error)).context("cannot instantiate the module")
        }
    }
}
