//! The ways to give names a meaning.

use super::Linker;
use super::definition::Definition;
use crate::func::HostFunc;
use crate::{AsContext, AsContextMut, Caller, Extern, ExternType, FuncType, Instance, IntoFunc, Module, Result, Val};
use anyhow::{Context, anyhow, bail};
use std::sync::Arc;

/// What tools of old export from commands besides functions; nobody can use it, since each call has an instance of its own.
const LEFT_OUT: [&str; 5] = ["memory", "__indirect_function_table", "__data_end", "__heap_base", "__dso_handle"];

impl<T: 'static> Linker<T> {
    /// Defines a name as an item of a store; modules can then be instantiated in that store only.
    ///
    /// # Errors
    /// When the name is defined already, unless [`Linker::allow_shadowing`].
    ///
    /// # Panics
    /// When the item is of another store.
    pub fn define(
        &mut self,
        store: impl AsContext<Data = T>,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self> {
        let item = item.into();
        let opaque = &store.as_context().0.opaque;
        opaque.assert_owns(item.store());
        let ty = item.current_type(opaque);
        self.insert(module, name, Definition::Extern(item, ty))
    }

    /// As [`Linker::define`], with an empty first name.
    ///
    /// # Errors
    /// As [`Linker::define`].
    ///
    /// # Panics
    /// As [`Linker::define`].
    pub fn define_name(
        &mut self,
        store: impl AsContext<Data = T>,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self> {
        self.define(store, "", name, item)
    }

    /// Defines a name as a host function of the closure's type; see [`crate::Func::wrap`].
    ///
    /// # Errors
    /// When the name is defined already, unless [`Linker::allow_shadowing`].
    pub fn func_wrap<Params, Args>(
        &mut self,
        module: &str,
        name: &str,
        func: impl IntoFunc<T, Params, Args>,
    ) -> Result<&mut Self> {
        self.insert(module, name, Definition::Host(Arc::new(func.into_func())))
    }

    /// Defines a name as a host function of a type that is known at run time only; see [`crate::Func::new`].
    ///
    /// # Errors
    /// When the name is defined already, unless [`Linker::allow_shadowing`].
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        self.insert(module, name, Definition::Host(Arc::new(HostFunc::dynamic(ty, func))))
    }

    /// Defines all exports of an instance, under the first name `module`.
    ///
    /// # Errors
    /// When one of the names is defined already, unless [`Linker::allow_shadowing`].
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn instance(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Self> {
        let mut context = store.as_context_mut();
        let exports: Vec<_> =
            instance.exports(&mut context).map(|export| (export.name().to_owned(), export.into_extern())).collect();
        for (name, item) in exports {
            self.define(&context, module, &name, item)?;
        }
        Ok(self)
    }

    /// Defines the exports of a module under the first name `name`.
    ///
    /// A WASI command (it exports a function `_start`) is a program that is run from its beginning each time: every call of one of its functions makes
    /// an instance, which serves this call only and stays in the store. So it has nothing to export but functions; `memory`,
    /// `__indirect_function_table` and some globals that old tools export always are left out.
    ///
    /// Any other module is instantiated now, once, and its `_initialize` is called if it exports one without parameters and results (a WASI reactor).
    ///
    /// # Errors
    /// As [`Linker::instantiate`] and [`Linker::instance`]; when `_initialize` fails; when a module exports both `_start` and `_initialize`; when a command
    /// exports what is no function.
    ///
    /// # Panics
    /// As [`Linker::instantiate`].
    pub fn module(&mut self, store: impl AsContextMut<Data = T>, name: &str, module: &Module) -> Result<&mut Self> {
        let exports_func = |name: &str| matches!(module.get_export(name), Some(ExternType::Func(_)));
        match (exports_func("_start"), exports_func("_initialize")) {
            (true, true) => bail!("the module exports both `_start`, as a command, and `_initialize`, as a reactor"),
            (true, false) => self.command(name, module),
            (false, _) => self.reactor(store, name, module),
        }
    }

    fn command(&mut self, name: &str, module: &Module) -> Result<&mut Self> {
        let pre = self.instantiate_pre(module)?;
        for export in module.exports() {
            let item = export.name().to_owned();
            let ty = match export.ty() {
                ExternType::Func(ty) => ty,
                _ if LEFT_OUT.contains(&export.name()) => continue,
                ty => bail!(
                    "the module is a command (it exports `_start`), which can export functions only; `{item}` is a {ty}"
                ),
            };
            let pre = pre.clone();
            self.func_new(name, &item.clone(), ty, move |mut caller, params, results| {
                let instance = pre.instantiate(&mut caller)?;
                let func = instance
                    .get_func(&mut caller, &item)
                    .ok_or_else(|| anyhow!("the command's function `{item}` is gone from its instance"))?;
                func.call(&mut caller, params, results)
            })?;
        }
        Ok(self)
    }

    fn reactor(&mut self, mut store: impl AsContextMut<Data = T>, name: &str, module: &Module) -> Result<&mut Self> {
        let instance = self.instantiate(&mut store, module)?;
        if let Some(initialize) = instance.get_func(&mut store, "_initialize") {
            let initialize = initialize.typed::<(), ()>(&store).context("loading the function initializer")?;
            initialize.call(&mut store, ()).context("calling the function initializer")?;
        }
        self.instance(store, name, instance)
    }

    /// Lets a second name stand for what the first does now.
    ///
    /// # Errors
    /// When there is no such first name, or the second is defined already, unless [`Linker::allow_shadowing`].
    pub fn alias(&mut self, module: &str, name: &str, as_module: &str, as_name: &str) -> Result<&mut Self> {
        let definition =
            self.find(module, name).cloned().ok_or_else(|| anyhow!("no item named `{module}::{name}` defined"))?;
        self.insert(as_module, as_name, definition)
    }

    /// As [`Linker::alias`], for all names with the first name `module`.
    ///
    /// # Errors
    /// As [`Linker::alias`].
    pub fn alias_module(&mut self, module: &str, as_module: &str) -> Result<()> {
        let items = self.modules.get(module).cloned().ok_or_else(|| anyhow!("no module named `{module}` defined"))?;
        for (name, definition) in items {
            self.insert(as_module, &name, definition)?;
        }
        Ok(())
    }

    /// Defines every function that `module` imports and that is not defined as one that fails when it is called.
    ///
    /// # Errors
    /// Never so far.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<()> {
        for import in module.imports() {
            let ExternType::Func(ty) = import.ty() else { continue };
            if self.find(import.module(), import.name()).is_some() {
                continue;
            }
            let error = UnknownImportError { module: import.module().to_owned(), name: import.name().to_owned() };
            self.func_new(import.module(), import.name(), ty, move |_, _, _| Err(error.clone().into()))?;
        }
        Ok(())
    }
}

/// A guest has called a function that [`Linker::define_unknown_imports_as_traps`] has defined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown import: `{module}::{name}` has not been defined")]
pub struct UnknownImportError {
    module: String,
    name: String,
}

impl UnknownImportError {
    /// The first name: the module to import from.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The second name: the item.
    pub fn name(&self) -> &str {
        &self.name
    }
}
