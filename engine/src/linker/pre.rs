//! [`InstancePre`]: a module whose imports are found.

use super::definition::Definition;
use crate::store::StoreId;
use crate::{AsContextMut, Instance, Module, Result, StoreContextMut};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use wasmo_runtime::Import;

/// A module whose imports are found and have the right types; see [`crate::Linker::instantiate_pre`]. Cloning is cheap. What is left to do for an instance
/// is to write the imports to it: no names are looked up and no types compared.
pub struct InstancePre<T: 'static> {
    resolved: Arc<Resolved>,
    data: PhantomData<fn(T)>,
}

/// A module and what it imports.
pub(crate) struct Resolved {
    module: Module,
    /// What is imported, in order. Functions of the host's live in `definitions`.
    imports: Box<[Import]>,
    /// The stores that other items are in.
    stores: Vec<StoreId>,
    #[expect(dead_code, reason = "the imports refer to the functions in them")]
    definitions: Vec<Definition>,
}

impl Resolved {
    /// The definitions are the imports of the module, in order, and have the right types.
    pub(super) fn new(module: &Module, definitions: Vec<Definition>) -> Arc<Self> {
        let (imports, stores): (Vec<_>, Vec<_>) = definitions.iter().map(Definition::to_import).unzip();
        let mut stores: Vec<_> = stores.into_iter().flatten().collect();
        stores.dedup();
        Arc::new(Self { module: module.clone(), imports: imports.into(), stores, definitions })
    }

    /// Makes an instance in a store with the type of data that the definitions were made for, and runs its start function.
    pub(super) fn instantiate<T: 'static>(self: &Arc<Self>, mut context: StoreContextMut<'_, T>) -> Result<Instance> {
        let opaque = context.opaque();
        self.stores.iter().for_each(|&store| opaque.assert_owns(store));
        opaque.keep(self);
        Instance::instantiate(context, &self.module, &self.imports)
    }
}

impl<T: 'static> InstancePre<T> {
    pub(super) fn new(module: &Module, definitions: Vec<Definition>) -> Self {
        Self { resolved: Resolved::new(module, definitions), data: PhantomData }
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.resolved.module
    }

    /// Makes an instance and runs its start function.
    ///
    /// # Errors
    /// As [`Instance::new`].
    ///
    /// # Panics
    /// As [`crate::Linker::instantiate`].
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        self.resolved.instantiate(store.as_context_mut())
    }
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        Self { resolved: Arc::clone(&self.resolved), data: PhantomData }
    }
}

impl<T: 'static> fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstancePre").field("module", self.module()).finish_non_exhaustive()
    }
}
