//! [`InstancePre`]: a module whose imports are found.

use super::definition::Definition;
use crate::{AsContextMut, Instance, Module, Result, StoreContextMut};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// A module whose imports are found and have the right types; see [`crate::Linker::instantiate_pre`]. Cloning is cheap.
pub struct InstancePre<T: 'static> {
    module: Module,
    definitions: Arc<[Definition]>,
    data: PhantomData<fn(T)>,
}

impl<T: 'static> InstancePre<T> {
    pub(super) fn new(module: &Module, definitions: Vec<Definition>) -> Self {
        Self { module: module.clone(), definitions: definitions.into(), data: PhantomData }
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Makes an instance and runs its start function.
    ///
    /// # Errors
    /// As [`Instance::new`].
    ///
    /// # Panics
    /// As [`crate::Linker::instantiate`].
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        instantiate(store.as_context_mut(), &self.module, &self.definitions)
    }
}

/// The definitions are the imports of the module, in order, and have the right types.
pub(super) fn instantiate<T: 'static>(
    mut context: StoreContextMut<'_, T>,
    module: &Module,
    definitions: &[Definition],
) -> Result<Instance> {
    let opaque = context.opaque();
    let imports: Vec<_> = definitions.iter().map(|definition| definition.to_extern(opaque).to_runtime()).collect();
    Instance::instantiate(context, module, &imports)
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        Self { module: self.module.clone(), definitions: Arc::clone(&self.definitions), data: PhantomData }
    }
}

impl<T: 'static> fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstancePre").field("module", &self.module).finish_non_exhaustive()
    }
}
