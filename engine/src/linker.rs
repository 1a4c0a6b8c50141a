//! [`Linker`]: finds imports by name. [`pre`] has what is found once for many instantiations.

mod pre;

pub use pre::InstancePre;

use crate::func::HostFunc;
use crate::imports::{self, ImportError};
use crate::store::StoreOpaque;
use crate::{
    AsContext, AsContextMut, Caller, Engine, Extern, ExternType, Func, FuncType, ImportType, Instance, IntoFunc,
    Module, Result, Val,
};
use anyhow::{Context, anyhow, bail};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Names, and what they stand for when a module imports them. Host functions in it belong to no store, so one linker serves any number of
/// stores with the same type of data.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, Linker, Module, Store};
///
/// let engine = Engine::default();
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("math", "square", |x: i32| x * x)?;
///
/// let module = Module::new(&engine, r#"(module
///     (import "math" "square" (func $square (param i32) (result i32)))
///     (func (export "run") (param i32) (result i32)
///         (i32.add (call $square (local.get 0)) (i32.const 1))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = linker.instantiate(&mut store, &module)?;
/// let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
/// assert_eq!(run.call(&mut store, 6)?, 37);
/// # Ok(())
/// # }
/// ```
pub struct Linker<T: 'static> {
    engine: Engine,
    modules: HashMap<String, HashMap<String, Definition>>,
    shadowing: bool,
    data: PhantomData<fn(T)>,
}

/// What a name stands for.
#[derive(Clone)]
enum Definition {
    /// An item of a store, and its type when it was defined.
    Extern(Extern, ExternType),
    /// A host function, in no store yet.
    Host(Arc<HostFunc>),
}

impl Definition {
    /// The type now, when the store is known; else when it was defined. What has grown since only fits more imports.
    fn ty(&self, store: Option<&StoreOpaque>) -> ExternType {
        match (self, store) {
            (Self::Host(host), _) => ExternType::Func(host.ty().clone()),
            (Self::Extern(item, _), Some(store)) => {
                store.assert_owns(item.store());
                item.current_type(store)
            }
            (Self::Extern(_, ty), None) => ty.clone(),
        }
    }

    fn to_extern(&self, store: &mut StoreOpaque) -> Extern {
        match self {
            Self::Extern(item, _) => {
                store.assert_owns(item.store());
                *item
            }
            Self::Host(host) => Func::from_host(store, host).into(),
        }
    }
}

impl<T: 'static> Linker<T> {
    /// A linker without names, for modules and stores of this engine.
    pub fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), modules: HashMap::new(), shadowing: false, data: PhantomData }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a name may be defined again, which replaces what it stood for; an error by default.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.shadowing = allow;
        self
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition) -> Result<&mut Self> {
        let items = match self.modules.get_mut(module) {
            Some(items) => items,
            None => self.modules.entry(module.to_owned()).or_default(),
        };
        if !self.shadowing && items.contains_key(name) {
            bail!("import of `{module}::{name}` defined twice");
        }
        items.insert(name.to_owned(), definition);
        Ok(self)
    }

    fn find(&self, module: &str, name: &str) -> Option<&Definition> {
        self.modules.get(module)?.get(name)
    }

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

    /// Defines a name as a host function of the closure's type; see [`Func::wrap`].
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

    /// Defines a name as a host function of a type that is known at run time only; see [`Func::new`].
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

    /// Instantiates a module, calls its `_initialize` if it exports one without parameters and results (a WASI reactor), and defines its
    /// exports under the first name `name`.
    ///
    /// # Errors
    /// As [`Linker::instantiate`] and [`Linker::instance`]; when `_initialize` fails.
    ///
    /// # Panics
    /// As [`Linker::instantiate`].
    pub fn module(&mut self, mut store: impl AsContextMut<Data = T>, name: &str, module: &Module) -> Result<&mut Self> {
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

    /// What a name stands for, made an item of the store when it is a host function.
    ///
    /// # Panics
    /// When it is of another store.
    pub fn get(&self, mut store: impl AsContextMut<Data = T>, module: &str, name: &str) -> Option<Extern> {
        Some(self.find(module, name)?.to_extern(store.as_context_mut().opaque()))
    }

    /// What an import's names stand for, whatever its type; see [`Linker::get`].
    ///
    /// # Panics
    /// When it is of another store.
    pub fn get_by_import(&self, store: impl AsContextMut<Data = T>, import: &ImportType<'_>) -> Option<Extern> {
        self.get(store, import.module(), import.name())
    }

    /// The function to call to run what was defined as `module`: the item with an empty second name, or else `_start`, or else one that does
    /// nothing.
    ///
    /// # Errors
    /// When the item with the empty name is no function.
    ///
    /// # Panics
    /// When the item is of another store.
    pub fn get_default(&self, mut store: impl AsContextMut<Data = T>, module: &str) -> Result<Func> {
        if let Some(item) = self.get(&mut store, module, "") {
            return item.into_func().ok_or_else(|| anyhow!("default export in `{module}` is not a function"));
        }
        let start = self.get(&mut store, module, "_start").and_then(Extern::into_func);
        Ok(start.unwrap_or_else(|| Func::wrap(store, || {})))
    }

    /// All names with what they stand for, in no particular order.
    pub fn iter<'a>(
        &'a self,
        mut store: impl AsContextMut<Data = T> + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a str, Extern)> + 'a {
        self.modules.iter().flat_map(|(module, items)| items.iter().map(move |item| (module, item))).map(
            move |(module, (name, definition))| {
                (module.as_str(), name.as_str(), definition.to_extern(store.as_context_mut().opaque()))
            },
        )
    }

    /// Finds the imports of `module`.
    ///
    /// # Errors
    /// An [`ImportError`] that lists all imports that are missing or of the wrong type.
    fn resolve(&self, module: &Module, store: Option<&StoreOpaque>) -> Result<Vec<Definition>> {
        let mut problems = Vec::new();
        let mut definitions = Vec::with_capacity(module.info().imports.len());
        for import in module.imports() {
            let definition = self.find(import.module(), import.name());
            problems.extend(imports::check(&import, definition.map(|definition| definition.ty(store))));
            definitions.extend(definition.cloned());
        }
        if problems.is_empty() { Ok(definitions) } else { Err(ImportError::new(problems).into()) }
    }

    /// Makes an instance of `module` with the imports that its names stand for, and runs its start function.
    ///
    /// # Errors
    /// An [`ImportError`] that lists all imports that are missing or of the wrong type; as [`Instance::new`].
    ///
    /// # Panics
    /// When an import is of another store, or the module is of another engine; when a host function has panicked, with that panic.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>, module: &Module) -> Result<Instance> {
        let context = store.as_context_mut();
        let definitions = self.resolve(module, Some(&context.0.opaque))?;
        pre::instantiate(context, module, &definitions)
    }

    /// Finds the imports of `module` now, for many instantiations to come.
    ///
    /// # Errors
    /// An [`ImportError`] that lists all imports that are missing or of the wrong type.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>> {
        Ok(InstancePre::new(module, self.resolve(module, None)?))
    }
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            modules: self.modules.clone(),
            shadowing: self.shadowing,
            data: PhantomData,
        }
    }
}

impl<T: 'static> fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.modules.iter().flat_map(|(module, items)| items.keys().map(move |name| (module, name)));
        f.write_str("Linker ")?;
        f.debug_set().entries(names).finish()
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
