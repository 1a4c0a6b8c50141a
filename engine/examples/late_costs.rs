//! What late linking costs: time to add and to remove modules of several sizes, compiled function by function as they are called or as a whole before they are linked;
//! memory of many that are alive, and whether memory stays the same when they come and go.
//!
//! `cargo run --release -p wasmo --example late_costs [ROUNDS [ALIVE [CYCLES]]]`, where 0 leaves a part out.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::time::{Duration, Instant};
use wasmo::{Caller, Config, Engine, Instance, Linker, Module, OptLevel, Result, Store};

const HOST: &str = r#"(module
    (memory (export "memory") 1)
    (table (export "__indirect_function_table") 16 funcref))"#;

/// A module with `functions` functions of about 400 bytes each, whose start function puts them into the table. `seed` makes its bytes different from those of
/// all others.
fn module(functions: usize, seed: usize) -> Result<Vec<u8>> {
    let mut text = String::from(
        r#"(module
        (import "env" "memory" (memory 1))
        (import "env" "__indirect_function_table" (table $table 0 funcref))
        (type $f (func (param i32 i32) (result i32)))
        (export "run" (func $f0))"#,
    );
    for number in 0..functions {
        text +=
            &format!("(func $f{number} (type $f) (local i32 i32 i32) (local.set 2 (i32.const {}))", seed * 31 + number);
        for step in 0..9 {
            text += &format!(
                "(block (br_if 0 (i32.lt_s (local.get 0) (i32.const {step})))
                    (local.set 3 (i32.load offset={} (local.get 1)))
                    (i32.store offset={} (local.get 1) (i32.add (local.get 3) (local.get 2)))
                    (local.set 4 (call_indirect $table (type $f) (local.get 3) (local.get 4) (i32.const {step})))
                    (local.set 2 (i32.xor (local.get 2) (i32.mul (local.get 4) (i32.const {})))))",
                step * 8,
                step * 8 + 4,
                77 + step
            );
        }
        text += "(local.get 2))";
    }
    let names: String = (0..functions).map(|number| format!(" $f{number}")).collect();
    text += &format!(
        "(elem $new func {names})
        (func $patch (local i32)
            (local.set 0 (table.grow $table (ref.null func) (i32.const {functions})))
            (table.init $table $new (local.get 0) (i32.const 0) (i32.const {functions}))
            (i32.store (i32.const 8) (local.get 0)))
        (start $patch))"
    );
    Ok(wat::parse_str(&text)?)
}

/// Bytes of memory that the process has, as the system counts them.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Adds and removes modules of several sizes.
fn sizes(engine: &Engine, rounds: usize) -> Result<()> {
    println!("functions   bytes   add (us): median, best   first call: median, best   second   remove: median, best");
    for functions in [1, 2, 10, 100] {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, &Module::new(engine, HOST)?, &[])?;
        let modules = (0..rounds).map(|seed| module(functions, seed)).collect::<Result<Vec<_>>>()?;
        let (mut added, mut called, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        let mut again = Vec::new();
        for bytes in &modules {
            let start = Instant::now();
            let late = instance.add_module(&mut store, bytes)?;
            added.push(start.elapsed());
            let run = late.get_typed_func::<(i32, i32), i32>(&mut store, "run")?;
            let start = Instant::now();
            run.call(&mut store, (-1, 0))?;
            called.push(start.elapsed());
            let start = Instant::now();
            run.call(&mut store, (-1, 0))?;
            again.push(start.elapsed());
            let start = Instant::now();
            late.remove(&mut store)?;
            removed.push(start.elapsed());
        }
        let medians = [&mut added, &mut called, &mut again, &mut removed].map(|times| median(times));
        println!(
            "{functions:>9} {:>7} {:>15.1} {:>8.1} {:>18.1} {:>8.1} {:>8.2} {:>16.1} {:>6.1}",
            modules[0].len(),
            medians[0],
            added[0].as_secs_f64() * 1e6,
            medians[1],
            called[0].as_secs_f64() * 1e6,
            medians[2],
            medians[3],
            removed[0].as_secs_f64() * 1e6
        );
    }
    Ok(())
}

/// A module of about 200 bytes with one function.
fn small(seed: usize) -> Result<Vec<u8>> {
    Ok(wat::parse_str(format!(
        r#"(module
            (import "env" "memory" (memory 1))
            (import "env" "__indirect_function_table" (table $table 0 funcref))
            (func $f (export "run") (param i32) (result i32)
                (i32.add (i32.mul (local.get 0) (i32.const {seed})) (i32.load (i32.const 64))))
            (func $patch (table.set $table (i32.const 3) (ref.func $f)) (i32.store (i32.const 8) (i32.const {seed})))
            (start $patch))"#
    ))?)
}

/// Memory of many modules that are alive at the same time.
fn alive(engine: &Engine, count: usize) -> Result<()> {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &Module::new(engine, HOST)?, &[])?;
    let warm = instance.add_module(&mut store, small(0)?)?;
    warm.remove(&mut store)?;
    let before = resident();
    let mut modules = Vec::new();
    let start = Instant::now();
    for seed in 0..count {
        modules.push(instance.add_module(&mut store, small(seed)?)?);
    }
    let added = start.elapsed();
    let each = (resident() - before) as f64 / count as f64;
    let start = Instant::now();
    for late in modules {
        late.remove(&mut store)?;
    }
    println!(
        "{count} modules of {} bytes alive: {each:.0} bytes of memory each; {:.1} us to add, {:.1} us to remove one",
        small(1)?.len(),
        added.as_secs_f64() * 1e6 / count as f64,
        start.elapsed().as_secs_f64() * 1e6 / count as f64
    );
    Ok(())
}

/// A guest that adds, calls and removes modules by itself, and never returns meanwhile; it calls the host after each `step` cycles.
const GUEST: &str = r#"(module
    (import "wasmo_jit" "add_module" (func $add (param i32 i32) (result i32)))
    (import "wasmo_jit" "remove_module" (func $remove (param i32) (result i32)))
    (import "host" "tick" (func $tick))
    (type $f (func (param i32) (result i32)))
    (memory (export "memory") 1)
    (table $table (export "__indirect_function_table") 16 funcref)
    (func (export "run") (param $len i32) (param $steps i32) (param $step i32)
        (local $left i32) (local $handle i32)
        (loop $outer
            (local.set $left (local.get $step))
            (loop $inner
                (local.set $handle (call $add (i32.const 1024) (local.get $len)))
                (if (i32.lt_s (local.get $handle) (i32.const 0)) (then unreachable))
                (drop (call_indirect (type $f) (local.get $left) (i32.const 3)))
                (if (call $remove (local.get $handle)) (then unreachable))
                (br_if $inner (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (call $tick)
            (br_if $outer (local.tee $steps (i32.sub (local.get $steps) (i32.const 1)))))))"#;

/// Adds, calls and removes `cycles` modules, driven by a guest that does not return; then by the host.
fn cycles(engine: &Engine, cycles: usize) -> Result<()> {
    const STEPS: usize = 10;
    let step = cycles / STEPS;
    let mut linker = Linker::<Instant>::new(engine);
    wasmo::late_link::add_to_linker(&mut linker, wasmo::JitLimits::default())?;
    linker.func_wrap("host", "tick", move |mut caller: Caller<'_, Instant>| {
        let each = caller.data().elapsed().as_secs_f64() * 1e6 / step as f64;
        println!("  {step} cycles of a guest: {each:.1} us each, {} KiB resident", resident() >> 10);
        *caller.data_mut() = Instant::now();
    })?;
    let mut store = Store::new(engine, Instant::now());
    let instance = linker.instantiate(&mut store, &Module::new(engine, GUEST)?)?;
    let memory = instance.get_memory(&mut store, "memory").expect("it is exported");
    let bytes = small(7)?;
    memory.write(&mut store, 1024, &bytes)?;
    let run = instance.get_typed_func::<(i32, i32, i32), ()>(&mut store, "run")?;
    run.call(&mut store, (i32::try_from(bytes.len())?, i32::try_from(STEPS)?, i32::try_from(step)?))?;

    for _ in 0..STEPS {
        let start = Instant::now();
        for _ in 0..step {
            let late = instance.add_module(&mut store, &bytes)?;
            late.get_typed_func::<i32, i32>(&mut store, "run")?.call(&mut store, 1)?;
            late.remove(&mut store)?;
        }
        let each = start.elapsed().as_secs_f64() * 1e6 / step as f64;
        println!("  {step} cycles of the host: {each:.1} us each, {} KiB resident", resident() >> 10);
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (rounds, count, turns) = (number(200)?, number(10_000)?, number(10_000)?);
    let engine = Engine::default();
    if rounds > 0 {
        println!("in tiers");
        sizes(&engine, rounds)?;
        println!("compiled as a whole, quickly");
        sizes(&Engine::new(Config::new().late_link_opt_level(OptLevel::None))?, rounds)?;
        println!("compiled as a whole, optimised");
        sizes(&Engine::new(Config::new().late_link_opt_level(OptLevel::Speed))?, rounds.div_ceil(10))?;
    }
    if count > 0 {
        alive(&engine, count)?;
    }
    if turns > 0 {
        cycles(&engine, turns)?;
    }
    Ok(())
}
