//! What an instance costs from the making of its store to its end, and what loading a compiled program costs, on wasmo and on Wasmtime, in turn: with
//! pools and without.
//!
//! Each figure is that of a batch of many; the round's is the least of several batches, since whatever else the machine does only adds to it. Imports are found and checked beforehand
//! (`Linker::instantiate_pre`) on both engines, and no system is made for the guest: CPython's store holds none.

use crate::sample::Samples;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A memory, a table, segments, a global; `run` writes to memory and table.
const SMALL: &str = r#"(module
    (memory (export "memory") 1) (data (i32.const 16) "some data of the module's")
    (table (export "table") 4 funcref) (elem (i32.const 0) $one $two)
    (global $g (mut i32) (i32.const 7))
    (func $one (result i32) i32.const 1) (func $two (result i32) i32.const 2)
    (func (export "run") (global.set $g (i32.const 1)) (i32.store (i32.const 5000) (i32.load (i32.const 16)))
        (table.set (i32.const 2) (ref.func $two))))"#;

/// Microseconds each.
pub struct Instances {
    /// The engine, and whether it has a pool.
    pub engine: &'static str,
    /// A small module.
    pub small: Samples,
    /// The same, with one call that writes to its memory and table.
    pub called: Samples,
    /// CPython, with the functions of WASI for its imports.
    pub python: Samples,
    /// Loading CPython, compiled before, from its file. Once an engine.
    pub load: Samples,
}

const BATCHES: u32 = 7;

/// Microseconds for one of `count`, at best.
fn microseconds(count: u32, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = Duration::MAX;
    for _ in 0..BATCHES {
        let started = Instant::now();
        for _ in 0..count {
            work()?;
        }
        best = best.min(started.elapsed());
    }
    Ok(best.as_secs_f64() * 1e6 / f64::from(count))
}

/// Both engines' APIs have the same names.
macro_rules! prepare {
    ($api:ident, $config:expr, $link:expr, $python:expr) => {{
        let engine = $api::Engine::new(&$config)?;
        let small = $api::Linker::new(&engine).instantiate_pre(&$api::Module::new(&engine, SMALL)?)?;
        let python: Option<&Path> = $python;
        let load = {
            let engine = engine.clone();
            // SAFETY: the file was written by this program, and nobody changes it.
            move |path: &Path| unsafe { $api::Module::deserialize_file(&engine, path) }
        };
        let mut linker = $api::Linker::new(&engine);
        $link(&mut linker)?;
        let program = python.map(|path| linker.instantiate_pre(&load(path)?)).transpose()?;
        let python = python.map(Path::to_owned);
        move |figures: &mut Instances| -> Result<()> {
            figures.small.push(microseconds(2000, || {
                small.instantiate(&mut $api::Store::new(&engine, ()))?;
                Ok(())
            })?);
            figures.called.push(microseconds(500, || {
                let mut store = $api::Store::new(&engine, ());
                let instance = small.instantiate(&mut store)?;
                Ok(instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?)
            })?);
            if let (Some(program), Some(path)) = (&program, &python) {
                figures.python.push(microseconds(50, || {
                    program.instantiate(&mut $api::Store::new(&engine, None))?;
                    Ok(())
                })?);
                figures.load.push(microseconds(50, || Ok(drop(load(path)?)))?);
            }
            Ok(())
        }
    }};
}

/// Compiles CPython on both engines, quickly, to files in `folder`; nothing when the program was not fetched.
fn compile_python(folder: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/real/python.wasm");
    let Ok(wasm) = std::fs::read(&python) else {
        eprintln!("{} is missing (scripts/fetch-real), so its instances are left out", python.display());
        return Ok(None);
    };
    eprint!("\r\x1b[Kcompiling CPython for its instances");
    std::fs::create_dir_all(folder)?;
    let (ours, theirs) = (folder.join("python.wasmo"), folder.join("python.cwasm"));
    let mut config = wasmo::Config::new();
    let engine = wasmo::Engine::new(config.opt_level(wasmo::OptLevel::None))?;
    std::fs::write(&ours, engine.precompile_module(&wasm)?)?;
    let mut config = wasmtime::Config::new();
    let engine = wasmtime::Engine::new(config.cranelift_opt_level(wasmtime::OptLevel::None))?;
    std::fs::write(&theirs, engine.precompile_module(&wasm)?)?;
    eprint!("\r\x1b[K");
    Ok(Some((ours, theirs)))
}

/// Measures `rounds` rounds; compiled programs go to `folder`.
pub fn measure(rounds: usize, folder: &Path) -> Result<Vec<Instances>> {
    let compiled = compile_python(folder)?;
    let (ours, theirs) = match &compiled {
        Some((ours, theirs)) => (Some(ours.as_path()), Some(theirs.as_path())),
        None => (None, None),
    };
    let link_ours = |linker: &mut wasmo::Linker<Option<wasmo_wasi::WasiCtx>>| {
        wasmo_wasi::add_to_linker(linker, |wasi| wasi.as_mut().expect("nothing is called"))
    };
    let link_theirs = |linker: &mut wasmtime::Linker<Option<wasmtime_wasi::p1::WasiP1Ctx>>| {
        wasmtime_wasi::p1::add_to_linker_sync(linker, |wasi| wasi.as_mut().expect("nothing is called"))
    };
    let mut wasmo_pooled = wasmo::Config::new();
    wasmo_pooled.pooling(wasmo::PoolingConfig::new());
    // CPython's memory and table are larger than what Wasmtime's pool has room for unless it is told.
    let mut pool = wasmtime::PoolingAllocationConfig::new();
    pool.max_memory_size(4 << 30).table_elements(20_000).linear_memory_keep_resident(64 << 10).total_memories(100);
    let mut wasmtime_pooled = wasmtime::Config::new();
    wasmtime_pooled.allocation_strategy(wasmtime::InstanceAllocationStrategy::Pooling(pool));
    wasmtime_pooled.cranelift_opt_level(wasmtime::OptLevel::None);
    let mut wasmtime_plain = wasmtime::Config::new();
    wasmtime_plain.cranelift_opt_level(wasmtime::OptLevel::None);

    let ours_plain = prepare!(wasmo, wasmo::Config::new(), link_ours, ours);
    let theirs_plain = prepare!(wasmtime, wasmtime_plain, link_theirs, theirs);
    let ours_pooled = prepare!(wasmo, wasmo_pooled, link_ours, ours);
    let theirs_pooled = prepare!(wasmtime, wasmtime_pooled, link_theirs, theirs);
    let mut figures = ["wasmo", "Wasmtime", "wasmo, pooled", "Wasmtime, pooled"].map(|engine| Instances {
        engine,
        small: Samples::default(),
        called: Samples::default(),
        python: Samples::default(),
        load: Samples::default(),
    });
    for round in 0..rounds {
        eprint!("\r\x1b[Kinstances, round {}/{rounds}", round + 1);
        ours_plain(&mut figures[0])?;
        theirs_plain(&mut figures[1])?;
        ours_pooled(&mut figures[2])?;
        theirs_pooled(&mut figures[3])?;
    }
    eprint!("\r\x1b[K");
    Ok(figures.into())
}
