//! What the tests have in common.

#![allow(dead_code, reason = "not every test file uses everything")]

use wasmo::{Engine, Error, Extern, Instance, Module, Result, Store, Trap, WasmBacktrace};

/// An instance of a module without imports, in a store of its own.
pub fn instance(text: &str) -> Result<(Store<()>, Instance)> {
    instance_with(&Engine::default(), (), text, |_| Vec::new())
}

/// An instance of a module in a store of its own, with the imports that `imports` makes there.
pub fn instance_with<T: 'static>(
    engine: &Engine,
    data: T,
    text: &str,
    imports: impl FnOnce(&mut Store<T>) -> Vec<Extern>,
) -> Result<(Store<T>, Instance)> {
    let module = Module::new(engine, text)?;
    let mut store = Store::new(engine, data);
    let imports = imports(&mut store);
    let instance = Instance::new(&mut store, &module, &imports)?;
    Ok((store, instance))
}

/// Calls an export without parameters and results.
pub fn run<T: 'static>(store: &mut Store<T>, instance: Instance, name: &str) -> Result<()> {
    instance.get_typed_func::<(), ()>(&mut *store, name)?.call(store, ())
}

/// The trap that an error is.
pub fn trap(error: &Error) -> Trap {
    *error.downcast_ref::<Trap>().unwrap_or_else(|| panic!("not a trap: {error:?}"))
}

/// The names in the backtrace of an error, innermost first; `?` for functions without names.
pub fn names(error: &Error) -> Vec<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap_or_else(|| panic!("no backtrace: {error:?}"));
    backtrace.frames().iter().map(|frame| frame.demangled_name().unwrap_or("?".into()).into_owned()).collect()
}
