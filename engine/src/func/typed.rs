//! [`TypedFunc`]: calls whose types Rust knows.

use super::Func;
use super::values::{WasmParams, WasmResults};
use crate::store::StoreOpaque;
use crate::{AsContextMut, FuncType, Result, StoreContextMut};
use anyhow::bail;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use wasmo_abi::vm::{EnterThunk, RawValue};

/// A function of a store whose types Rust knows. Calls allocate nothing and check nothing but the store.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, Instance, Module, Store};
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"
///     (module (func (export "divmod") (param i32 i32) (result i32 i32)
///         (i32.div_u (local.get 0) (local.get 1))
///         (i32.rem_u (local.get 0) (local.get 1))))
/// "#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let divmod = instance.get_typed_func::<(u32, u32), (u32, u32)>(&mut store, "divmod")?;
/// assert_eq!(divmod.call(&mut store, (17, 5))?, (3, 2));
/// # Ok(())
/// # }
/// ```
pub struct TypedFunc<Params, Results> {
    func: Func,
    /// `None` for functions of the host's.
    enter: Option<EnterThunk>,
    types: PhantomData<fn(Params) -> Results>,
}

/// Room for arguments or results, whichever there is more of.
#[repr(C)]
union Values<P: Copy, R: Copy> {
    params: MaybeUninit<P>,
    results: MaybeUninit<R>,
}

impl<Params: WasmParams, Results: WasmResults> TypedFunc<Params, Results> {
    /// Whether calls need no memory for arguments and results.
    const IN_REGISTERS: bool = Params::ARGUMENTS_IN_REGISTERS && Results::RESULTS_IN_REGISTERS;

    pub(super) fn new(func: Func, store: &StoreOpaque) -> Result<Self> {
        let found = func.type_in(store);
        let same = found.params().eq(Params::valtypes()) && found.results().eq(Results::valtypes());
        if !same {
            let expected = FuncType::from_lists(Params::valtypes(), Results::valtypes());
            bail!("type mismatch: the function's type is {found}, not {expected}");
        }
        Ok(Self { func, enter: store.enter_thunk(func.handle())?, types: PhantomData })
    }

    /// The function without the types.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Calls the function.
    ///
    /// # Errors
    /// When the guest traps ([`crate::Trap`]), or a host function fails (its error), with a [`crate::WasmBacktrace`] as context; when
    /// an argument is a reference of another store.
    ///
    /// # Panics
    /// When the function is of another store; when a host function has panicked, with that panic.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: Params) -> Result<Results> {
        let context = store.as_context_mut();
        let opaque = &mut context.0.opaque;
        opaque.assert_owns(self.func.store());
        if !Self::IN_REGISTERS {
            return self.call_through_memory(context, params);
        }
        if self.enter.is_none() {
            return self.call_host(context, params);
        }
        let arguments = params.to_registers(opaque)?;
        let inner = std::ptr::from_mut(context.0);
        // SAFETY: `inner` is a mutable borrow of the store, which owns the function; `new` has compared the types, which fit the registers, and found
        // that the function is not the host's. The call has left all results.
        unsafe {
            StoreOpaque::call_direct(
                &raw mut (*inner).opaque,
                inner.cast(),
                self.func.handle(),
                arguments,
                #[inline(always)]
                |results| Results::from_registers(&(*inner).opaque, results),
            )
        }
    }

    /// As [`TypedFunc::call`], for a function of the host's; apart, so that the usual call is short.
    #[inline(never)]
    fn call_host<T: 'static>(&self, context: StoreContextMut<'_, T>, params: Params) -> Result<Results> {
        self.call_through_memory(context, params)
    }

    /// As [`TypedFunc::call`], whatever the types and whosever the function.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "results that are copied by halves and read as a whole are slow")]
    fn call_through_memory<T: 'static>(&self, context: StoreContextMut<'_, T>, params: Params) -> Result<Results> {
        let mut values = Values::<Params::Values, Results::Values> { params: MaybeUninit::uninit() };
        // SAFETY: all fields of the union are `MaybeUninit`.
        params.store_to(&mut context.0.opaque, unsafe { &mut values.params })?;
        let inner = std::ptr::from_mut(context.0);
        let pointer = (&raw mut values).cast::<RawValue>();
        // SAFETY: `inner` is a mutable borrow of the store, which owns the function; `new` has compared the types and found the thunk, and
        // the values have room for arguments and results.
        unsafe {
            StoreOpaque::call(&raw mut (*inner).opaque, inner.cast(), self.func.handle(), self.enter, pointer)?;
        }
        // SAFETY: the call has left all results, which are of the types that `new` has compared.
        Ok(unsafe { Results::load_from(&(*inner).opaque, values.results.assume_init_ref()) })
    }
}

impl<Params, Results> Clone for TypedFunc<Params, Results> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Params, Results> Copy for TypedFunc<Params, Results> {}

impl<Params, Results> fmt::Debug for TypedFunc<Params, Results> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedFunc").field(&self.func).finish()
    }
}
