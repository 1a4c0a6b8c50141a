//! `wasmtime-run [--compiler cranelift|winch] FILE [ARGS]...`: the least program that runs a command on Wasmtime, for comparison with `wasmo run`.
//!
//! Without `--compiler`, FILE is a module that Wasmtime has compiled (`.cwasm`), which is mapped: the least that a hit in a cache could take, too. With it, FILE is a module that is
//! compiled first, and where the environment has `BENCH_FIRST`, the time of the guest's first instruction is written to standard error in the words of `wasmo run --stats`.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::time::Instant;
use wasmtime::{Config, Engine, Linker, Module, Store, Strategy};
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_sync};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

fn main() -> Result<()> {
    let begun = Instant::now();
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut strategy = None;
    if args.first().is_some_and(|first| first == "--compiler") {
        strategy = Some(match args.get(1).map(String::as_str) {
            Some("cranelift") => Strategy::Cranelift,
            Some("winch") => Strategy::Winch,
            other => bail!("no compiler is named {other:?}"),
        });
        args.drain(..2);
    }
    let file = PathBuf::from(args.first().context("usage: wasmtime-run [--compiler NAME] FILE [ARGS]...")?);
    let (engine, module) = match strategy {
        Some(strategy) => {
            let engine = Engine::new(Config::new().strategy(strategy))?;
            let module = Module::from_file(&engine, &file)?;
            (engine, module)
        }
        None => {
            let engine = Engine::default();
            // SAFETY: the bench has had the file made by this version of Wasmtime.
            let module = unsafe { Module::deserialize_file(&engine, &file)? };
            (engine, module)
        }
    };
    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    add_to_linker_sync(&mut linker, |wasi| wasi)?;
    // Guests that would add code to themselves are run without doing so, but import what they would need.
    linker.define_unknown_imports_as_traps(&module)?;
    let wasi = WasiCtxBuilder::new().inherit_stdio().args(&args).build_p1();
    let mut store = Store::new(&engine, wasi);
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    if std::env::var_os("BENCH_FIRST").is_some() {
        eprintln!("first run at {} ms", begun.elapsed().as_secs_f64() * 1e3);
    }
    match start.call(&mut store, ()) {
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => std::process::exit(exit.0),
            None => Err(error.into()),
        },
        Ok(()) => Ok(()),
    }
}
