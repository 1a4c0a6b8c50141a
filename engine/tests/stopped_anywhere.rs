//! Guests that are stopped at any instruction whatever, those of stubs and helpers included, tell where they were.

mod common;

use common::{instance_with, run, trap};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use wasmo::{Config, Engine, Func, FuncType, Result, Trap, Val, ValType, WasmBacktrace};

/// Loops without end that spend most of their time in what lies between functions, each in a function that an export calls.
const GUEST: &str = r#"(module
    (import "" "direct" (func $direct (param i32) (result i32)))
    (import "" "memory" (func $memory (param i64 i64 i64 i64 i64 i64 i64) (result i64)))
    (import "" "dynamic" (func $dynamic (param i32) (result i32)))
    (memory 16)
    (table 10 funcref)
    (elem (i32.const 0) func $direct $memory $dynamic)
    (type $int (func (param i32) (result i32)))
    (global $g (mut i32) (i32.const 0))
    (func $inner_direct (loop (global.set $g (call $direct (global.get $g))) (br 0)))
    (func $inner_memory
        (loop
            (drop (call $memory (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7)))
            (br 0)))
    (func $inner_dynamic (loop (global.set $g (call $dynamic (global.get $g))) (br 0)))
    (func $inner_indirect
        (loop (global.set $g (call_indirect (type $int) (global.get $g) (i32.const 0))) (br 0)))
    (func $inner_grow (loop (drop (memory.grow (i32.const 0))) (br 0)))
    (func $inner_fill (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 100000)) (br 0)))
    (func $inner_fill_short (loop (memory.fill (i32.const 0) (global.get $g) (i32.const 60)) (br 0)))
    (func $inner_copy (loop (memory.copy (i32.const 0) (i32.const 1) (i32.const 100000)) (br 0)))
    (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func $inner_calls (loop (global.set $g (call $leaf (call $leaf (global.get $g)))) (br 0)))
    (func $inner_table (loop (drop (table.grow (ref.null func) (i32.const 0))) (br 0)))
    (func $run_direct (export "direct") (call $inner_direct))
    (func $run_memory (export "memory") (call $inner_memory))
    (func $run_dynamic (export "dynamic") (call $inner_dynamic))
    (func $run_indirect (export "indirect") (call $inner_indirect))
    (func $run_grow (export "grow") (call $inner_grow))
    (func $run_fill (export "fill") (call $inner_fill))
    (func $run_fill_short (export "fill_short") (call $inner_fill_short))
    (func $run_copy (export "copy") (call $inner_copy))
    (func $run_calls (export "calls") (call $inner_calls))
    (func $run_table (export "table") (call $inner_table)))"#;

const NAMES: [&str; 10] =
    ["direct", "memory", "dynamic", "indirect", "grow", "fill", "fill_short", "copy", "calls", "table"];

/// How long the first functions of a guest may take to be compiled, in nanoseconds.
const COMPILED: u32 = 50_000_000;

/// Stops each guest `rounds` times, and answers how often which had no backtrace from the innermost function to the export.
fn stop(config: &Config, rounds: u32) -> Result<Vec<(&'static str, usize)>> {
    let engine = Engine::new(config)?;
    let ty = FuncType::new(&engine, [ValType::I32], [ValType::I32]);
    let (mut store, instance) = instance_with(&engine, (), GUEST, |store| {
        let direct = Func::wrap(&mut *store, |n: i32| n ^ 1);
        let memory =
            Func::wrap(&mut *store, |a: i64, b: i64, c: i64, d: i64, e: i64, f: i64, g: i64| a + b + c + d + e + f + g);
        let dynamic = Func::new(&mut *store, ty, |_, params, results| {
            results[0] = Val::I32(params[0].unwrap_i32() ^ 1);
            Ok(())
        });
        vec![direct.into(), memory.into(), dynamic.into()]
    })?;
    let handle = store.interrupt_handle();
    let (go, started) = channel::<u32>();
    let other = std::thread::spawn(move || {
        for pause in started {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_nanos(u64::from(pause)) {
                std::hint::spin_loop();
            }
            while !handle.interrupt() {
                std::hint::spin_loop();
            }
        }
    });
    let mut without = Vec::new();
    for name in NAMES {
        let mut missing = 0;
        // The first stop comes late and does not count: by then, everything is compiled.
        go.send(COMPILED)?;
        run(&mut store, instance, name).unwrap_err();
        for round in 0..rounds {
            go.send(20_000 + round * 7919 % 10_007)?;
            let error = run(&mut store, instance, name).unwrap_err();
            assert_eq!(trap(&error), Trap::Interrupt);
            let backtrace = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
            let names = backtrace.iter().filter_map(wasmo::FrameInfo::func_name);
            let names: Vec<_> = names.skip_while(|&name| name == "leaf").collect();
            missing += usize::from(names != [format!("inner_{name}"), format!("run_{name}")]);
        }
        without.push((name, missing));
    }
    drop(go);
    other.join().expect("the thread ends well");
    Ok(without)
}

/// All but a few stops of each guest have a backtrace: one that comes before the guest has begun finds nothing.
fn check(config: &Config) -> Result<()> {
    for (name, missing) in stop(config, 100)? {
        assert!(missing <= 2, "{missing} of 100 stops of `{name}` have no backtrace");
    }
    Ok(())
}

#[test]
fn every_stop_has_a_backtrace() -> Result<()> {
    check(&Config::new())
}

/// There are no tiers in what was compiled for another machine.
#[cfg(feature = "compiler")]
#[test]
fn every_stop_of_lift_off_code_has_a_backtrace() -> Result<()> {
    check(Config::new().tier(wasmo::Tier::LiftOff))
}
