//! Making and dropping instances does not use up memory: alone in its process, so that nothing else grows meanwhile.

#![cfg(target_os = "linux")]

use wasmo::{Config, Engine, InstancePre, Linker, Module, PoolingConfig, Result, Store};

/// A module with something of each kind, whose data is `data`.
fn pre(engine: &Engine, data: &str) -> Result<InstancePre<()>> {
    let text = format!(
        r#"(module (memory 1 10) (data (i32.const 16) "{data}") (table 2 10 funcref) (elem (i32.const 0) $run)
            (global $g (mut i32) (i32.const 0))
            (func $run (export "run") (drop (memory.grow (i32.const 3))) (i32.store8 (i32.const 0x3ffff) (i32.const 1))
                (drop (table.grow (ref.func $run) (i32.const 3))) (global.set $g (i32.const 1))))"#
    );
    Linker::new(engine).instantiate_pre(&Module::new(engine, text)?)
}

/// Bytes of memory that the process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("it can be read");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it says");
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<usize>().ok());
    kilobytes.expect("it is a number") << 10
}

/// `WASMO_INSTANCES=1000000` in the environment makes so many of each kind.
#[test]
fn memory_does_not_grow_with_the_number_of_instances() -> Result<()> {
    let wanted = std::env::var("WASMO_INSTANCES").ok();
    let count = wanted.map_or(50_000, |number| number.parse().expect("it is a number"));
    let (mut plenty, mut little) = (Config::new(), Config::new());
    let mut pooling = PoolingConfig::new();
    plenty.pooling(pooling);
    // Room for one, so that each module has to make room for the other.
    pooling.total_core_instances(1).total_memories(1).total_tables(1).total_stacks(1);
    little.pooling(pooling);
    for (name, config) in [("no pool", Config::new()), ("a pool", plenty), ("a small pool", little)] {
        let engine = Engine::new(&config)?;
        let modules = [pre(&engine, "little data")?, pre(&engine, &"much data ".repeat(2000))?];
        let round = |number: usize| -> Result<()> {
            let mut store = Store::new(&engine, ());
            let instance = modules[number % 2].instantiate(&mut store)?;
            if number.is_multiple_of(16) || number % 16 == 1 {
                instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
            }
            Ok(())
        };
        (0..2000).try_for_each(round)?;
        let before = resident();
        (0..count).try_for_each(round)?;
        let after = resident();
        println!("{name}: {before} bytes before, {after} after {count}");
        assert!(after < before + (1 << 20), "{name}: {before} bytes before, {after} after {count}");
    }
    Ok(())
}
