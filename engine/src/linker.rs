//! [`Linker`]: finds imports by name. [`define`] has the ways to give names a meaning ([`Definition`]), [`pre`] what is found once for many instantiations.

mod define;
mod definition;
mod pre;

pub use define::UnknownImportError;
pub use pre::InstancePre;
pub(crate) use pre::Resolved;

use definition::Definition;

use crate::imports::{self, ImportError};
use crate::store::StoreOpaque;
use crate::{AsContextMut, Engine, Extern, Func, ImportType, Instance, Module, Result};
use anyhow::{anyhow, bail};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

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
        Resolved::new(module, definitions).instantiate(context)
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
