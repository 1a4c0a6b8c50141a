//! LLVM is not in the process before something is hot, or takes it. A process of its own, since once it is there it stays.
#![cfg(feature = "compiler")]

use wasmo::cache::SourceHash;
use wasmo::{Cache, CacheConfig, Config, Engine, Func, Instance, Module, Result, Store, Tier, Tuning};

const GUEST: &str = r#"(module
    (import "" "" (func $host (param i32 i64 f64) (result i64)))
    (memory 1)
    (func $sum (param i32) (result i64) (local i64)
        (loop
            (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (local.get 0))))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1))
    (func (export "run") (param i32) (result i64)
        (call $host (local.get 0) (call $sum (local.get 0)) (f64.const 0.5))))"#;

/// As long as LLVM has done nothing for this engine, it is not in the process.
fn is_here() -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
    maps.contains("libLLVM")
}

fn call(engine: &Engine, module: &Module, rounds: i32) -> Result<i64> {
    let mut store = Store::new(engine, ());
    let host = Func::wrap(&mut store, |n: i32, sum: i64, half: f64| if half == 0.5 { sum + i64::from(n) } else { 0 });
    let instance = Instance::new(&mut store, module, &[host.into()])?;
    instance.get_typed_func::<i32, i64>(&mut store, "run")?.call(&mut store, rounds)
}

#[test]
fn llvm_comes_when_it_is_needed() -> Result<()> {
    let engine = Engine::new(Config::new().tier(Tier::Auto))?;
    assert_eq!(call(&engine, &Module::new(&engine, GUEST)?, 10)?, 65);
    assert!(!engine.has_used_llvm() && !is_here(), "for a program that ran once");

    // What it has compiled is kept without LLVM, and the next run goes on with it.
    let directory = tempfile::tempdir()?;
    let cache = Cache::open(CacheConfig::new().directory(directory.path()))?;
    let key = engine.cache_key_in_tiers(SourceHash::of(GUEST.as_bytes()));
    let module = Module::new_in_tiers(&engine, &cache, &key, GUEST)?;
    assert_eq!(call(&engine, &module, 20)?, 230);
    assert!(module.keep()?);
    let next = Engine::new(Config::new().tier(Tier::Auto))?;
    let module = Module::from_cache_in_tiers(&next, &cache, &key, || Ok(wat::parse_str(GUEST)?)).expect("it was kept");
    assert_eq!(call(&next, &module, 30)?, 495);
    assert_eq!(next.tier_stats().lift_off_functions, 0);
    assert!(!next.has_used_llvm() && !is_here(), "for a program that is kept, and one that goes on");

    // The baseline compiler has no code for vectors.
    let text = r#"(module (func (export "run") (param i32) (result i64)
        (i64x2.extract_lane 1 (i64x2.splat (i64.extend_i32_s (local.get 0))))))"#;
    let module = Module::new(&engine, text)?;
    assert!(!is_here(), "for a function that is not called yet");
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<i32, i64>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, -7)?, -7);
    assert!(engine.has_used_llvm() && is_here(), "for a function with vectors");
    assert!(!next.has_used_llvm(), "another engine is another matter");

    // Hot functions of a run that goes on, and what it has made of them is kept and used.
    let tuning =
        Tuning { synchronous: true, budget: 10, without_compiler: std::time::Duration::ZERO, ..Tuning::default() };
    let hot = Engine::new(Config::new().tier(Tier::Auto).tuning(tuning))?;
    let module = Module::from_cache_in_tiers(&hot, &cache, &key, || Ok(wat::parse_str(GUEST)?)).expect("it was kept");
    assert_eq!(call(&hot, &module, 5000)?, 12_507_500);
    assert!(hot.has_used_llvm(), "for a function that is hot");
    assert!(module.keep()?);
    let module = Module::from_cache_in_tiers(&next, &cache, &key, || Ok(wat::parse_str(GUEST)?)).expect("it was kept");
    assert_eq!(call(&next, &module, 40)?, 860);
    Ok(())
}
