//! Late linking: adding modules to an instance that lives, while its code may be running.
//!
//! A program in WebAssembly cannot add to its own code, but it can write a module that imports its memory and its table, whose start function puts
//! new functions into the table and their indices into memory. [`Instance::add_module`] links such a module; [`add_to_linker`] lets guests do so by
//! themselves.
//!
//! * A late module belongs to the instance that it was added to, its *host instance*, and is named by a handle, a number that is not used twice.
//! * A module that is not wanted any more can be removed: see [`LateModule::remove`].
//! * [`resolve`] finds imports: `env` is the host instance, `late.N` the late module with handle N of the same host instance. Nothing else can be
//!   imported, so a late module reaches what its host instance exports and no more.
//! * [`registry`] has what a store knows of its late modules, [`compile`] is the one place where they are compiled, on threads of the engine's ([`workers`]); [`link`]
//!   makes them part of the store and takes them away.
//! * [`guest`] has the functions of the import module `wasmo_jit`, [`code`] the numbers that they answer, [`limits`] what they may use.

mod code;
mod compile;
mod guest;
mod limits;
mod link;
#[cfg(feature = "compiler")]
mod ration;
mod registry;
mod resolve;
#[cfg(feature = "compiler")]
mod workers;

pub use code::JitErrorCode;
#[cfg(feature = "compiler")]
pub(crate) use compile::Workers;
pub use guest::{add_disabled_to_linker, add_to_linker};
pub use limits::JitLimits;
#[cfg(feature = "compiler")]
pub(crate) use ration::Ration;
pub(crate) use registry::Registry;
pub use wasmo_runtime::RemoveError;

use crate::externs::Export;
use crate::store::{StoreId, StoreOpaque};
use crate::{
    AsContext, AsContextMut, Extern, Func, Global, Instance, Memory, Result, Table, TypedFunc, WasmParams, WasmResults,
};
use anyhow::anyhow;
use link::Polled;
use wasmo_runtime::InstanceId;

/// When a module is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// Somebody waits for it.
    Now,
    /// When there is nothing else to do.
    Background,
}

/// A module that was added to an instance: see [`Instance::add_module`]. A handle like all others: it may be copied, and outlive what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LateModule {
    store: StoreId,
    host: InstanceId,
    handle: u32,
}

impl Instance {
    /// Compiles a module and links it into this instance, whose code may be running: `store` may be the [`crate::Caller`] of a host function.
    ///
    /// Imports from `env` are exports of this instance, imports from `late.N` those of the late module whose [handle](LateModule::handle) is N. The module's start
    /// function runs before this returns; what it puts into a table can be called at once.
    ///
    /// ```
    /// # fn main() -> wasmo::Result<()> {
    /// use wasmo::{Engine, Instance, Module, Store};
    ///
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module
    ///     (type $unary (func (param i32) (result i32)))
    ///     (memory (export "memory") 1)
    ///     (table (export "__indirect_function_table") 1 funcref)
    ///     (func (export "apply") (param i32 i32) (result i32)
    ///         (call_indirect (type $unary) (local.get 1) (local.get 0))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    ///
    /// // The start function makes room in the table and writes down where the new function is.
    /// instance.add_module(&mut store, r#"(module
    ///     (import "env" "memory" (memory 1))
    ///     (import "env" "__indirect_function_table" (table $table 0 funcref))
    ///     (func $square (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
    ///     (elem declare func $square)
    ///     (func $patch
    ///         (i32.store (i32.const 16) (table.grow $table (ref.func $square) (i32.const 1))))
    ///     (start $patch))"#)?;
    ///
    /// let memory = instance.get_memory(&mut store, "memory").expect("it is exported");
    /// let index = i32::from(memory.data(&store)[16]);
    /// let apply = instance.get_typed_func::<(i32, i32), i32>(&mut store, "apply")?;
    /// assert_eq!(apply.call(&mut store, (index, 12))?, 144);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A [`crate::CompileError`] when the bytes are not a valid module, an [`crate::ImportError`] that lists all imports that are missing or of the wrong type, a
    /// [`crate::Trap`] when a segment does not fit or the start function traps, the error of a host function that the start function has called. The
    /// instance is then as it was, except for what segments and the start function had already done.
    ///
    /// # Panics
    /// When the instance is of another store; when a host function has panicked, with that panic.
    pub fn add_module(&self, mut store: impl AsContextMut, bytes: impl AsRef<[u8]>) -> Result<LateModule> {
        let mut context = store.as_context_mut();
        context.opaque().assert_owns(self.store_id());
        let bytes = compile::binary(bytes.as_ref())?;
        let handle = link::add(&mut context, self.id(), &bytes, None).map_err(|failure| failure.error)?;
        Ok(LateModule { store: self.store_id(), host: self.id(), handle })
    }

    /// Begins to add a module: it is compiled in the background while the guest goes on, and linked by the first [`LateModule::poll`] that finds it compiled. Many may be
    /// under way. Otherwise as [`Instance::add_module`].
    ///
    /// # Errors
    /// When the module cannot be compiled in the background; what is wrong with it is the answer of [`LateModule::poll`].
    ///
    /// # Panics
    /// When the instance is of another store.
    pub fn add_module_async(&self, mut store: impl AsContextMut, bytes: impl AsRef<[u8]>) -> Result<LateModule> {
        let mut context = store.as_context_mut();
        let opaque = context.opaque();
        opaque.assert_owns(self.store_id());
        let bytes = compile::binary(bytes.as_ref())?;
        let handle = link::add_async(opaque, self.id(), &bytes, None).map_err(|failure| failure.error)?;
        Ok(LateModule { store: self.store_id(), host: self.id(), handle })
    }
}

impl LateModule {
    /// The number by which other late modules of the instance import from this one, as `late.N`. It is below 2³¹ and belongs to no other late module of the
    /// instance, not even after this one is gone.
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// Links a module of [`Instance::add_module_async`] if it is compiled; answers whether it is linked now. Its start function runs before this returns.
    ///
    /// # Errors
    /// As [`Instance::add_module`]. A module that has failed once fails again, with the same text. Also when the module was removed.
    ///
    /// # Panics
    /// When it is of another store; when a host function has panicked, with that panic.
    pub fn poll(&self, mut store: impl AsContextMut) -> Result<bool> {
        let mut context = store.as_context_mut();
        context.opaque().assert_owns(self.store);
        match link::poll(&mut context, self.host, self.handle) {
            Polled::NotYet => Ok(false),
            Polled::Linked => Ok(true),
            Polled::Failed(failure) => Err(failure.error),
            Polled::HadFailed(_, text) => Err(anyhow!(text)),
            Polled::Unknown => Err(RemoveError::Unknown.into()),
        }
    }

    /// Removes the module: frees its code and its instance, with the memories, tables and globals that it defines; one that is still being compiled is given up.
    ///
    /// References to its functions are null from then on: in tables and globals, in variables of functions that are running (a call through one traps as through
    /// null), and for the host, where calls of a [`Func`] of it trap likewise. What the host still holds of its memories, tables and globals is empty.
    ///
    /// # Errors
    /// A [`RemoveError`] when the module stays: while its code is running or waits for a call to return, and while another instance imports from it.
    ///
    /// # Panics
    /// When it is of another store.
    pub fn remove(&self, mut store: impl AsContextMut) -> Result<(), RemoveError> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        store.assert_owns(self.store);
        link::remove(store, self.host, self.handle)
    }

    fn instance_in(self, store: &StoreOpaque) -> Option<Instance> {
        store.assert_owns(self.store);
        store.late.linked(self.host, self.handle).map(|id| Instance::new_handle(self.store, id))
    }

    fn instance(self, store: impl AsContext) -> Option<Instance> {
        self.instance_in(&store.as_context().0.opaque)
    }

    /// What the module exports as `name`.
    ///
    /// # Panics
    /// When it is of another store; likewise below.
    pub fn get_export(&self, store: impl AsContextMut, name: &str) -> Option<Extern> {
        self.instance(store.as_context())?.get_export(store, name)
    }

    /// All exports, in the module's order.
    pub fn exports<'a>(&self, mut store: impl AsContextMut + 'a) -> Vec<(String, Extern)> {
        let Some(instance) = self.instance(store.as_context()) else { return Vec::new() };
        let exports = instance.exports(store.as_context_mut());
        exports.map(|export: Export<'_>| (export.name().to_owned(), export.into_extern())).collect()
    }

    /// The function that is exported as `name`, if there is one.
    pub fn get_func(&self, store: impl AsContextMut, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// The function that is exported as `name`, with types that Rust knows.
    ///
    /// # Errors
    /// When there is none, or it is of another type.
    pub fn get_typed_func<Params: WasmParams, Results: WasmResults>(
        &self,
        store: impl AsContextMut,
        name: &str,
    ) -> Result<TypedFunc<Params, Results>> {
        let instance = self.instance(store.as_context());
        let instance = instance.ok_or_else(|| anyhow!("late module {} is not linked", self.handle))?;
        instance.get_typed_func(store, name)
    }

    /// The table that is exported as `name`, if there is one.
    pub fn get_table(&self, store: impl AsContextMut, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// The memory that is exported as `name`, if there is one.
    pub fn get_memory(&self, store: impl AsContextMut, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// The global that is exported as `name`, if there is one.
    pub fn get_global(&self, store: impl AsContextMut, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }
}
