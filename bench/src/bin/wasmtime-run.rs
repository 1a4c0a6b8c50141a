//! `wasmtime-run FILE [ARGS]...`: the least program that runs a command on Wasmtime, for comparison with `wasmo run`. FILE is a module that Wasmtime has
//! compiled (`.cwasm`), which is mapped: the least that a hit in a cache could take, too.

use anyhow::{Context, Result};
use std::path::PathBuf;
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_sync};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let file = PathBuf::from(args.first().context("usage: wasmtime-run FILE [ARGS]...")?);
    let engine = Engine::default();
    // SAFETY: the bench has had the file made by this version of Wasmtime.
    let module = unsafe { Module::deserialize_file(&engine, &file)? };
    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    add_to_linker_sync(&mut linker, |wasi| wasi)?;
    let wasi = WasiCtxBuilder::new().inherit_stdio().args(&args).build_p1();
    let mut store = Store::new(&engine, wasi);
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    match start.call(&mut store, ()) {
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => std::process::exit(exit.0),
            None => Err(error.into()),
        },
        Ok(()) => Ok(()),
    }
}
