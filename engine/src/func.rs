//! [`Func`]: a function of a store, of the guest's or of the host's.
//!
//! [`values`] says which Rust types correspond to WebAssembly's, [`typed`] has calls whose types are known when Rust is compiled, [`host`]
//! makes functions from closures. Calls with types known at run time only are here.

mod host;
mod typed;
mod values;

pub use host::{HostFunc, IntoFunc};
pub use typed::TypedFunc;
pub use values::{WasmParams, WasmResults, WasmRet, WasmTy};

use crate::store::{StoreId, StoreOpaque};
use crate::{AsContext, AsContextMut, Caller, FuncType, Result, StoreContextMut, Val};
use anyhow::{Context, bail};
use std::sync::Arc;
use wasmo_abi::vm::RawValue;
use wasmo_runtime::FuncHandle;

/// A function of a store. A handle: copying it copies no function, and it lives as long as the store.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, Func, Store, Val};
///
/// let mut store = Store::new(&Engine::default(), ());
/// let add = Func::wrap(&mut store, |a: i32, b: i32| a + b);
/// let mut results = [Val::I32(0)];
/// add.call(&mut store, &[Val::I32(2), Val::I32(3)], &mut results)?;
/// assert_eq!(results[0].unwrap_i32(), 5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Func {
    store: StoreId,
    handle: FuncHandle,
}

/// How many values a call keeps on the stack; longer lists are allocated.
const ON_STACK: usize = 16;

impl Func {
    /// A host function of a type that is known at run time only. The closure gets the arguments, and room for the results that is filled
    /// with zeros and nulls.
    ///
    /// A guest's call of it fails, besides with the closure's error, when a result is not of the right type. A panic of the closure goes on in the
    /// function that has called the guest.
    pub fn new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::from_host(store.as_context_mut().opaque(), &Arc::new(HostFunc::dynamic(ty, func)))
    }

    /// A host function of the type of a closure: its parameters are [`WasmTy`]s, optionally after a [`Caller`]; it returns a [`WasmTy`], a tuple
    /// of them, nothing, or a [`Result`] of these.
    ///
    /// The closure's error becomes the error of the call that the guest is in. A panic goes on in the function that has called the guest.
    pub fn wrap<T: 'static, Params, Results>(
        mut store: impl AsContextMut<Data = T>,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Self {
        Self::from_host(store.as_context_mut().opaque(), &Arc::new(func.into_func()))
    }

    pub(crate) fn from_host(store: &mut StoreOpaque, host: &Arc<HostFunc>) -> Self {
        Self { store: store.id(), handle: store.host_func(host) }
    }

    pub(crate) fn new_handle(store: StoreId, handle: FuncHandle) -> Self {
        Self { store, handle }
    }

    pub(crate) fn handle(self) -> FuncHandle {
        self.handle
    }

    pub(crate) fn store(self) -> StoreId {
        self.store
    }

    /// # Safety
    /// `raw` is a `funcref` of store `store`.
    pub(crate) unsafe fn from_raw(store: StoreId, raw: u64) -> Option<Self> {
        // SAFETY: by the caller's promise.
        unsafe { FuncHandle::from_raw(raw) }.map(|handle| Self { store, handle })
    }

    /// The `funcref` as generated code has it.
    ///
    /// # Errors
    /// When the function is of another store, or no code can be made through which guests call it.
    pub(crate) fn to_raw(self, store: &mut StoreOpaque) -> Result<u64> {
        if self.store != store.id() {
            bail!("cross-`Store` values are not supported: a function is of another store");
        }
        store.func_to_raw(self.handle)
    }

    pub(crate) fn type_in(self, store: &StoreOpaque) -> FuncType {
        store.assert_owns(self.store);
        store.type_of(self.handle)
    }

    /// The type.
    ///
    /// # Panics
    /// When the function is of another store.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        self.type_in(&store.as_context().0.opaque)
    }

    /// Whether the function takes these parameters and returns these results.
    ///
    /// # Panics
    /// When the function is of another store.
    pub fn matches_ty(&self, store: impl AsContext, ty: &FuncType) -> bool {
        self.ty(store) == *ty
    }

    /// The function with types that Rust knows; calls are fast and need no checks.
    ///
    /// # Errors
    /// When the types are not the function's.
    ///
    /// # Panics
    /// When the function is of another store.
    pub fn typed<Params: WasmParams, Results: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<Params, Results>> {
        TypedFunc::new(*self, &store.as_context().0.opaque)
    }

    /// Calls the function. `results` must have as many elements as the function has results; what they hold does not matter.
    ///
    /// # Errors
    /// When number or types of the arguments are wrong; when the guest traps ([`crate::Trap`]), or a host function fails (its error). The error
    /// has a [`crate::WasmBacktrace`] as context.
    ///
    /// # Panics
    /// When the function is of another store; when a host function has panicked, with that panic.
    pub fn call(&self, mut store: impl AsContextMut, params: &[Val], results: &mut [Val]) -> Result<()> {
        self.call_in(store.as_context_mut(), params, results)
    }

    fn call_in<T: 'static>(
        self,
        mut context: StoreContextMut<'_, T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let store = context.opaque();
        store.assert_owns(self.store);
        let ty = store.borrow_type(self.handle);
        let called = self.call_as(&mut context, &ty, params, results);
        context.opaque().return_type(self.handle, ty);
        called
    }

    /// Calls the function, whose type is `ty`.
    fn call_as<T: 'static>(
        self,
        context: &mut StoreContextMut<'_, T>,
        ty: &FuncType,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let store = context.opaque();
        if params.len() != ty.params().len() {
            bail!("expected {} arguments, got {}", ty.params().len(), params.len());
        }
        if results.len() != ty.results().len() {
            bail!("expected {} results, got {}", ty.results().len(), results.len());
        }
        let mut on_stack = [RawValue::default(); ON_STACK];
        let mut on_heap = Vec::new();
        let len = params.len().max(results.len());
        let values = if len <= ON_STACK {
            &mut on_stack[..]
        } else {
            on_heap.resize(len, RawValue::default());
            &mut on_heap[..]
        };
        for (position, ((value, param), expected)) in values.iter_mut().zip(params).zip(ty.params()).enumerate() {
            let found = param.val_type();
            if found != expected {
                bail!("argument type mismatch: argument {position} should be {expected}, but is {found}");
            }
            *value = param.to_raw(store).with_context(|| format!("argument {position}"))?;
        }
        let enter = store.enter_thunk(self.handle)?;
        let inner = std::ptr::from_mut(&mut *context.0);
        // SAFETY: `inner` is a mutable borrow of the store; the handle is of this store and the thunk is the one for it; there is room for arguments and
        // results, and the arguments' types have been compared.
        unsafe {
            StoreOpaque::call(&raw mut (*inner).opaque, inner.cast(), self.handle, enter, values.as_mut_ptr())?;
        }
        for ((result, ty), value) in results.iter_mut().zip(ty.results()).zip(&*values) {
            // SAFETY: the call has left results of the function's types.
            *result = unsafe { Val::from_raw(*value, ty, &context.0.opaque) };
        }
        Ok(())
    }
}
