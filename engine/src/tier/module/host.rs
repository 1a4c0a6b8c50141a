//! [`Host`]: the instance that a late module was added to, as its optimised code knows it.
//!
//! A late module has one instance, which is gone before its host instance is. So where code of it calls the host instance, the addresses of that instance's records, entries and
//! context may be constants in the code. Nothing here refers to the store: a thread that optimises functions of the module may do so when the store is gone.

use super::Shared;
use crate::Module;
use crate::artifact::Origin;
use std::collections::BTreeMap;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::module::Body;
use wasmo_codegen::{Neighbour, Source};

/// See the [module](self).
pub(crate) struct Host {
    module: Module,
    /// The address of the instance's context.
    context: usize,
    imports: BTreeMap<FuncIndex, FuncIndex>,
}

impl Host {
    /// The instance of `module` whose context is at `context`. `imports` are the functions that the late module imports and that this module defines, by their indices there.
    pub(crate) fn new(module: Module, context: usize, imports: BTreeMap<FuncIndex, FuncIndex>) -> Self {
        Self { module, context, imports }
    }

    /// The function whose code, as others call it, is at `address`, and its position among the defined ones.
    pub(super) fn function_at(&self, address: usize) -> Option<(FuncIndex, usize)> {
        let position = self.module.runtime().defined_at(address)?;
        Some((self.module.info().func_of_defined(position), position))
    }

    /// Whether the late module imports functions that the host instance's module defines.
    pub(super) fn is_imported_from(&self) -> bool {
        !self.imports.is_empty()
    }

    /// The position of the function that an imported one is.
    pub(super) fn imported(&self, func: FuncIndex) -> Option<usize> {
        self.module.info().defined_func(*self.imports.get(&func)?)
    }

    /// The size of a function's body in bytes.
    pub(super) fn body_size(&self, position: usize) -> usize {
        self.module.info().bodies.get(position).map_or(usize::MAX, Body::size)
    }

    /// The module with the bodies of its functions, unless they are in an artefact. Where code counts for a profile, what is not called is not counted, so that there are none to
    /// be inlined.
    fn source(&self) -> Option<&Source> {
        match self.module.origin() {
            Origin::Tiers { shared, .. } => shared.source.get().ok().filter(|source| source.counters().is_none()),
            Origin::Binary => self.module.source(),
            Origin::Artifact(_) => None,
        }
    }

    /// What the compiler is told, and which functions it may inline.
    pub(super) fn neighbour(&self, inlined: Vec<usize>) -> Neighbour<'_> {
        let module = self.module.runtime();
        Neighbour {
            info: &module.info,
            source: if inlined.is_empty() { None } else { self.source() },
            code: &module.code,
            entries: module.tiers.as_ref().map_or(0, |tiers| tiers.entries.base() as usize),
            context: self.context,
            imports: &self.imports,
            inlined,
        }
    }
}

impl Shared {
    /// The late module is linked to this instance. There is one only: that of the first call stays.
    pub(crate) fn set_host(&self, host: Host) {
        let _ = self.host.set(host);
    }
}
