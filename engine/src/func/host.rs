//! [`HostFunc`]: a closure as a function that guests can call, not yet in any store.
//!
//! Each closure type has its own callback, an `extern "C"` function that the runtime calls on the host's stack with a [`VmHostFunc`] (whose
//! `data` is the closure) and an array of values. It takes the store from the runtime, where [`StoreOpaque::lend`] has left it, and never lets a panic
//! through: there are guest frames and assembly below.

use super::values::{Classes, WasmParams, WasmResults, WasmRet, WasmTy};
use crate::store::{StoreInner, StoreOpaque};
use crate::{Caller, FuncType, Result, Val};
use anyhow::bail;
use std::any::Any;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmo_abi::vm::{DIRECT_FLOATS, DIRECT_INTEGERS, RawValue, VmHostCallback, VmHostFunc};
use wasmo_runtime::{Failure, HostImport};

/// A callback that takes its arguments and returns its result in registers: see [`VmHostFunc::direct`].
#[derive(Clone, Copy, Debug)]
struct DirectCode {
    code: *const u8,
    /// How many of the parameters are integers or references.
    integers: usize,
}

/// A closure as a function that guests can call.
pub struct HostFunc {
    ty: FuncType,
    callback: VmHostCallback<VmHostFunc>,
    /// What the callback works on: points into `closure`.
    data: *mut u8,
    direct: Option<DirectCode>,
    #[expect(dead_code, reason = "it is reached through `data`")]
    closure: Box<dyn Any + Send + Sync>,
}

// SAFETY: `data` points into `closure`, which may be sent and shared; the callback only takes shared references from it.
unsafe impl Send for HostFunc {}
// SAFETY: as above.
unsafe impl Sync for HostFunc {}

impl HostFunc {
    fn new<F: Send + Sync + 'static>(
        ty: FuncType,
        callback: VmHostCallback<VmHostFunc>,
        direct: Option<DirectCode>,
        closure: F,
    ) -> Self {
        let mut closure = Box::new(closure);
        let data = (&raw mut *closure).cast();
        Self { ty, callback, data, direct, closure }
    }

    /// A function of a type that is known at run time only.
    pub(crate) fn dynamic<T: 'static, F>(ty: FuncType, func: F) -> Self
    where
        F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    {
        Self::new(ty.clone(), dynamic_callback::<T, F>, None, Dynamic { ty, func })
    }

    pub(crate) fn ty(&self) -> &FuncType {
        &self.ty
    }

    /// The function for instances that import it, good as long as this is.
    pub(crate) fn to_import(&self) -> HostImport {
        let import = HostImport::new(self.callback, self.data);
        match self.direct {
            Some(DirectCode { code, integers }) => import.with_direct(code, integers),
            None => import,
        }
    }
}

/// A closure that guests can call as a function: see [`crate::Func::wrap`]. `Params` and `Results` tell closures of different shape apart and are
/// inferred.
pub trait IntoFunc<T: 'static, Params, Results>: Send + Sync + 'static {
    #[doc(hidden)]
    fn into_func(self) -> HostFunc;
}

/// Runs `body` with the store. Its error or panic becomes the failure for which the guest is to end.
///
/// # Safety
/// `context` is what the runtime has called a callback with, of a store with data of type `T`.
#[inline]
unsafe fn with_store<T: 'static, R>(
    context: *mut VmHostFunc,
    body: impl FnOnce(&mut StoreInner<T>) -> Result<R>,
) -> std::result::Result<R, Failure> {
    // SAFETY: by the caller's promise; the runtime fills the record. The runtime's store is alive while it calls. `StoreOpaque::lend` has left the
    // pointer to our store there, with the right to change all of it, and whoever lent it does not use it until the runtime returns.
    let inner = unsafe { &mut *wasmo_runtime::Store::data_of_exec((*context).exec).cast::<StoreInner<T>>() };
    match catch_unwind(AssertUnwindSafe(|| body(inner))) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(failed(error)),
        Err(payload) => Err(Failure::Panic(payload)),
    }
}

#[cold]
fn failed(error: crate::Error) -> Failure {
    Failure::Host(Box::new(error))
}

/// Runs `body`, which stores its results to the values that the callback was called with; answers what the callback does.
///
/// # Safety
/// As for [`with_store`].
#[inline]
unsafe fn call_host<T: 'static>(context: *mut VmHostFunc, body: impl FnOnce(&mut StoreInner<T>) -> Result<()>) -> u32 {
    // SAFETY: by the caller's promise.
    match unsafe { with_store(context, body) } {
        Ok(()) => 0,
        // SAFETY: by the caller's promise.
        Err(failure) => unsafe { fail(context, failure) },
    }
}

/// Runs `body`, and answers its results as a direct callback returns them.
///
/// # Safety
/// As for [`with_store`]; the caller is a direct callback that holds nothing that must be dropped.
#[inline]
unsafe fn call_host_directly<T: 'static, D>(
    context: *mut VmHostFunc,
    body: impl FnOnce(&mut StoreInner<T>) -> Result<D>,
) -> D {
    // SAFETY: by the caller's promise.
    match unsafe { with_store(context, body) } {
        Ok(results) => results,
        // SAFETY: by the caller's promise; nothing here is left to be dropped.
        Err(failure) => unsafe { wasmo_runtime::Store::leave((*context).exec, failure) },
    }
}

/// # Safety
/// `context` is what the runtime has called a callback with.
#[cold]
unsafe fn fail(context: *mut VmHostFunc, failure: Failure) -> u32 {
    // SAFETY: by the caller's promise, the runtime's store is alive.
    unsafe { (*wasmo_runtime::Store::of_exec((*context).exec)).fail(failure) };
    1
}

/// The direct callback at `code`, if a function with such parameters and results can have one.
const fn direct_code<R: WasmResults>(params: Classes, code: *const u8) -> Option<DirectCode> {
    // One register for integers is for the context.
    if R::DIRECT && params.fit(DIRECT_INTEGERS - 1, DIRECT_FLOATS) {
        Some(DirectCode { code, integers: params.integers })
    } else {
        None
    }
}

/// Stores the results of a closure.
///
/// # Safety
/// `values` has room for them.
#[inline]
unsafe fn store_results<R: WasmRet>(store: &mut StoreOpaque, result: R, values: *mut RawValue) -> Result<()> {
    let success = result.into_result()?;
    let values = values.cast::<MaybeUninit<<R::Success as WasmParams>::Values>>();
    // SAFETY: by the caller's promise.
    success.store_to(store, unsafe { &mut *values })
}

macro_rules! closures {
    ($($($name:ident $position:tt),*;)*) => {$(
        impl<T: 'static, Function, $($name,)* R> IntoFunc<T, ($($name,)*), R> for Function
        where
            Function: Fn($($name),*) -> R + Send + Sync + 'static,
            $($name: WasmTy,)*
            R: WasmRet,
        {
            fn into_func(self) -> HostFunc {
                #[allow(unused_variables, reason = "one macro for all closures, those without parameters included")]
                extern "C" fn callback<T: 'static, Function, $($name,)* R>(
                    context: *mut VmHostFunc,
                    values: *mut RawValue,
                ) -> u32
                where
                    Function: Fn($($name),*) -> R,
                    $($name: WasmTy,)*
                    R: WasmRet,
                {
                    // SAFETY: the runtime calls with a context whose data is the closure, in a store of the `T` that the function was made for, and with
                    // values of the function's type, which is the closure's.
                    unsafe {
                        call_host::<T>(context, |store| {
                            let function = &*(*context).data.cast::<Function>();
                            let result = function($($name::from_raw(*values.add($position), &store.opaque)),*);
                            store_results(&mut store.opaque, result, values)
                        })
                    }
                }
                #[allow(non_snake_case, unused_variables, reason = "a type parameter's name serves for its value")]
                extern "C" fn direct<T: 'static, Function, $($name,)* R>(
                    $($name: $name::Direct,)*
                    context: *mut VmHostFunc,
                ) -> <R::Success as WasmResults>::Direct
                where
                    Function: Fn($($name),*) -> R,
                    $($name: WasmTy,)*
                    R: WasmRet,
                {
                    // SAFETY: as above; nothing in this function is to be dropped.
                    unsafe {
                        call_host_directly::<T, _>(context, |store| {
                            let function = &*(*context).data.cast::<Function>();
                            $(let $name = $name::from_raw($name::raw_of($name), &store.opaque);)*
                            let result = function($($name),*);
                            result.into_result()?.into_direct(&mut store.opaque)
                        })
                    }
                }
                let ty = FuncType::from_lists([$($name::valtype()),*], R::Success::valtypes());
                let code = direct::<T, Function, $($name,)* R> as *const u8;
                let direct = direct_code::<R::Success>(const { Classes::of(&[$($name::CLASS),*]) }, code);
                HostFunc::new(ty, callback::<T, Function, $($name,)* R>, direct, self)
            }
        }

        impl<T: 'static, Function, $($name,)* R> IntoFunc<T, (Caller<'_, T>, $($name,)*), R> for Function
        where
            Function: Fn(Caller<'_, T>, $($name),*) -> R + Send + Sync + 'static,
            $($name: WasmTy,)*
            R: WasmRet,
        {
            fn into_func(self) -> HostFunc {
                extern "C" fn callback<T: 'static, Function, $($name,)* R>(
                    context: *mut VmHostFunc,
                    values: *mut RawValue,
                ) -> u32
                where
                    Function: Fn(Caller<'_, T>, $($name),*) -> R,
                    $($name: WasmTy,)*
                    R: WasmRet,
                {
                    // SAFETY: as for closures without a caller.
                    unsafe {
                        call_host::<T>(context, |store| {
                            let function = &*(*context).data.cast::<Function>();
                            $(
                                #[allow(non_snake_case, reason = "a type parameter's name serves for its value")]
                                let $name = $name::from_raw(*values.add($position), &store.opaque);
                            )*
                            let result = function(Caller::new(store, (*context).caller), $($name),*);
                            store_results(&mut store.opaque, result, values)
                        })
                    }
                }
                #[allow(non_snake_case, unused_variables, reason = "a type parameter's name serves for its value")]
                extern "C" fn direct<T: 'static, Function, $($name,)* R>(
                    $($name: $name::Direct,)*
                    context: *mut VmHostFunc,
                ) -> <R::Success as WasmResults>::Direct
                where
                    Function: Fn(Caller<'_, T>, $($name),*) -> R,
                    $($name: WasmTy,)*
                    R: WasmRet,
                {
                    // SAFETY: as above; nothing in this function is to be dropped.
                    unsafe {
                        call_host_directly::<T, _>(context, |store| {
                            let function = &*(*context).data.cast::<Function>();
                            $(let $name = $name::from_raw($name::raw_of($name), &store.opaque);)*
                            let result = function(Caller::new(store, (*context).caller), $($name),*);
                            result.into_result()?.into_direct(&mut store.opaque)
                        })
                    }
                }
                let ty = FuncType::from_lists([$($name::valtype()),*], R::Success::valtypes());
                let code = direct::<T, Function, $($name,)* R> as *const u8;
                let direct = direct_code::<R::Success>(const { Classes::of(&[$($name::CLASS),*]) }, code);
                HostFunc::new(ty, callback::<T, Function, $($name,)* R>, direct, self)
            }
        }
    )*};
}

closures! {
    ;
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15;
}

/// A closure with the type that it has as a function.
struct Dynamic<F> {
    ty: FuncType,
    func: F,
}

extern "C" fn dynamic_callback<T: 'static, F>(context: *mut VmHostFunc, values: *mut RawValue) -> u32
where
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()>,
{
    // SAFETY: the runtime calls with a context whose data is the `Dynamic`, in a store of the `T` that the function was made for, and with
    // values of the function's type.
    unsafe {
        call_host::<T>(context, |store| {
            let dynamic = &*(*context).data.cast::<Dynamic<F>>();
            // Taken out while in use: the closure may call other functions.
            let mut storage = std::mem::take(&mut store.opaque.val_storage);
            let called = call_dynamic(dynamic, store, context, values, &mut storage);
            storage.clear();
            store.opaque.val_storage = storage;
            called
        })
    }
}

/// # Safety
/// As for a callback; `context.data` is `dynamic`.
unsafe fn call_dynamic<T: 'static, F>(
    dynamic: &Dynamic<F>,
    store: &mut StoreInner<T>,
    context: *mut VmHostFunc,
    values: *mut RawValue,
    storage: &mut Vec<Val>,
) -> Result<()>
where
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()>,
{
    for (position, ty) in dynamic.ty.params().enumerate() {
        // SAFETY: by the caller's promise, there is a value of type `ty`.
        storage.push(unsafe { Val::from_raw(*values.add(position), ty, &store.opaque) });
    }
    storage.extend(dynamic.ty.results().filter_map(|ty| Val::default_for_ty(&ty)));
    let (params, results) = storage.split_at_mut(dynamic.ty.params().len());
    // SAFETY: by the caller's promise.
    let caller = Caller::new(store, unsafe { (*context).caller });
    (dynamic.func)(caller, params, results)?;
    for (position, (result, expected)) in results.iter().zip(dynamic.ty.results()).enumerate() {
        let found = result.val_type();
        if found != expected {
            bail!(
                "function attempted to return an incompatible value: result {position} should be {expected}, but is {found}"
            );
        }
        let raw = result.to_raw(&mut store.opaque)?;
        // SAFETY: by the caller's promise, there is room for as many values as the type has results.
        unsafe { *values.add(position) = raw };
    }
    Ok(())
}
