//! What it costs to make and drop an instance, its store included: `cargo run --release -p wasmo --example instantiate_costs [python.wasmo]`, where the
//! argument is CPython as `wasmo compile` compiled it.
//!
//! Times are per instance, the best of many rounds so short that a busy machine leaves some of them alone. "called" has one call of an export that writes to memory and
//! a table between the two (of small modules only).

use std::time::{Duration, Instant};
use wasmo::{Config, Engine, ExternType, Func, InstancePre, Linker, Module, PoolingConfig, Result, Store, Val};

const SMALL: &str = r#"(module
    (memory (export "memory") 1) (data (i32.const 16) "some data of the module's")
    (table (export "table") 4 funcref) (elem (i32.const 0) $one $two)
    (global $g (mut i32) (i32.const 7))
    (func $one (result i32) i32.const 1) (func $two (result i32) i32.const 2)
    (func (export "run") (global.set $g (i32.const 1)) (i32.store (i32.const 5000) (i32.load (i32.const 16)))
        (table.set (i32.const 2) (ref.func $two))))"#;

/// The best time of a round, over `rounds` rounds of `count`.
fn best(rounds: u32, count: u32, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = Duration::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..count {
            work()?;
        }
        best = best.min(start.elapsed());
    }
    Ok(best.as_secs_f64() * 1e6 / f64::from(count))
}

/// The module with functions of the host's for its imports, which do nothing.
fn pre(engine: &Engine, module: &Module) -> Result<InstancePre<()>> {
    let mut linker = Linker::new(engine);
    for import in module.imports() {
        if let ExternType::Func(ty) = import.ty() {
            let nothing = |_: wasmo::Caller<'_, ()>, _: &[Val], _: &mut [Val]| Ok(());
            linker.func_new(import.module(), import.name(), ty, nothing)?;
        }
    }
    linker.instantiate_pre(module)
}

fn instantiate(engine: &Engine, pre: &InstancePre<()>) -> Result<()> {
    let mut store = Store::new(engine, ());
    pre.instantiate(&mut store)?;
    Ok(())
}

fn main() -> Result<()> {
    let python = std::env::args_os().nth(1);
    let mut pooled = Config::new();
    pooled.pooling(PoolingConfig::new());
    println!("instantiate and drop, µs:");
    for (name, config) in [("not pooled", Config::new()), ("pooled", pooled)] {
        let engine = Engine::new(&config)?;
        let store = best(50, 1000, || {
            drop(Store::new(&engine, ()));
            Ok(())
        })?;
        println!("  {name:<12} store only      {store:8.3}");
        let small = pre(&engine, &Module::new(&engine, SMALL)?)?;
        println!("  {name:<12} small           {:8.3}", best(50, 1000, || instantiate(&engine, &small))?);
        let called = best(50, 1000, || {
            let mut store = Store::new(&engine, ());
            let instance = small.instantiate(&mut store)?;
            let run: Func = instance.get_func(&mut store, "run").expect("exported");
            run.typed::<(), ()>(&store)?.call(&mut store, ())
        })?;
        println!("  {name:<12} small, called   {called:8.3}");
        if let Some(python) = &python {
            // SAFETY: whoever names the file wants it loaded.
            let python = pre(&engine, &unsafe { Module::deserialize_file(&engine, python) }?)?;
            println!("  {name:<12} CPython         {:8.3}", best(20, 20, || instantiate(&engine, &python))?);
        }
    }
    Ok(())
}
