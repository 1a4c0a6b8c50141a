//! Tests of the functions as guests see them, through a linker: text modules run by the engine.

mod interrupt;
mod programs;
mod snapshot0;
mod wild;

use wasmo::{Engine, Instance, Linker, Module, Store};
use wasmo_wasi::{WasiCtx, add_snapshot0_to_linker, add_to_linker};

/// Instantiates a text module with all of preview 1 and of snapshot 0.
fn instantiate(wat: &str, ctx: WasiCtx) -> wasmo::Result<(Store<WasiCtx>, Instance)> {
    let engine = Engine::default();
    let module = Module::new(&engine, wat)?;
    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker, |ctx| ctx)?;
    add_snapshot0_to_linker(&mut linker, |ctx| ctx)?;
    let mut store = Store::new(&engine, ctx);
    let instance = linker.instantiate(&mut store, &module)?;
    Ok((store, instance))
}

/// Runs `_start` of a text module.
fn run(wat: &str, ctx: WasiCtx) -> wasmo::Result<()> {
    let (mut store, instance) = instantiate(wat, ctx)?;
    instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
}
