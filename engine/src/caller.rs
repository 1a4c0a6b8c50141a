//! [`Caller`]: what a host function knows of the guest that calls it.

use crate::store::StoreInner;
use crate::{AsContextMut, Engine, Extern, Instance, StoreContextMut};
use std::fmt;
use wasmo_abi::vm::VmContext;

/// The store that a host function is called in, and the instance that calls it.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Caller, Engine, Extern, Instance, Linker, Module, Store};
///
/// let engine = Engine::default();
/// let mut linker = Linker::<Vec<String>>::new(&engine);
/// linker.func_wrap("host", "log", |mut caller: Caller<'_, Vec<String>>, at: u32, len: u32| {
///     let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
///         wasmo::bail!("the guest exports no memory");
///     };
///     let mut text = vec![0; len as usize];
///     memory.read(&caller, at as usize, &mut text)?;
///     caller.data_mut().push(String::from_utf8(text)?);
///     Ok(())
/// })?;
/// let module = Module::new(&engine, r#"(module
///     (import "host" "log" (func $log (param i32 i32)))
///     (memory (export "memory") 1) (data (i32.const 8) "hello")
///     (func (export "run") (call $log (i32.const 8) (i32.const 5))))"#)?;
/// let mut store = Store::new(&engine, Vec::new());
/// let instance = linker.instantiate(&mut store, &module)?;
/// instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
/// assert_eq!(store.data()[..], ["hello"]);
/// # Ok(())
/// # }
/// ```
pub struct Caller<'a, T: 'static> {
    pub(crate) store: StoreContextMut<'a, T>,
    caller: *mut VmContext,
}

impl<'a, T: 'static> Caller<'a, T> {
    /// `caller` is null or the context of an instance of the store.
    #[inline]
    pub(crate) fn new(store: &'a mut StoreInner<T>, caller: *mut VmContext) -> Self {
        Self { store: StoreContextMut(store), caller }
    }

    /// The instance that imports the function and calls it; `None` when the host calls, or when the function has reached the guest as a value.
    pub fn instance(&self) -> Option<Instance> {
        if self.caller.is_null() {
            return None;
        }
        // SAFETY: it is the context of an instance of this store, and instances live as long as the store.
        let id = unsafe { wasmo_runtime::Store::instance_of(self.caller) };
        Some(Instance::new_handle(self.store.0.opaque.id(), id))
    }

    /// What the calling instance exports as `name`; `None` when it exports nothing of that name, and when there is no such instance
    /// ([`Caller::instance`]).
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        self.instance()?.get_export(self.as_context_mut(), name)
    }

    /// Whether the guest will be stopped as soon as the host function returns ([`crate::InterruptHandle`], [`crate::Store::set_timeout`]), so that one that waits for
    /// something may as well give up. A wait in a system call is cut short when the stop comes.
    pub fn interrupted(&self) -> bool {
        self.store.0.opaque.runtime().interrupted()
    }

    /// The store's data.
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The store's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// The store's engine.
    pub fn engine(&self) -> &Engine {
        self.store.engine()
    }
}

impl<T: 'static> fmt::Debug for Caller<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("instance", &self.instance()).finish_non_exhaustive()
    }
}
