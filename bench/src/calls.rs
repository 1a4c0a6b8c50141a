//! What a call between host and guest costs, on wasmo and on Wasmtime, in turn.

use crate::engine::{Compiler, WasmoEngine, WasmtimeEngine};
use crate::sample::Samples;
use anyhow::Result;
use std::hint::black_box;
use std::time::Instant;

const CALLS: u32 = 2_000_000;

const MODULE: &str = r#"(module
    (import "host" "add" (func $add (param i32 i32) (result i32)))
    (func (export "nothing") (param i32) (result i32) (local.get 0))
    (func (export "loop") (param $n i32) (result i32) (local $sum i32)
        (loop $again
            (local.set $sum (call $add (local.get $sum) (local.get $n)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

/// Nanoseconds a call.
pub struct Calls {
    /// The engine.
    pub engine: &'static str,
    /// Host → wasm: a typed function that returns its argument.
    pub into_wasm: Samples,
    /// Wasm → host: a closure that adds two integers.
    pub into_host: Samples,
}

fn nanoseconds_a_call(calls: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    calls()?;
    Ok(started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS))
}

/// Both engines' calls have the same shape, and the same names in their APIs.
macro_rules! prepare {
    ($api:ident, $engine:expr) => {{
        let engine = $engine;
        let module = $api::Module::new(engine, MODULE)?;
        let mut linker = $api::Linker::new(engine);
        linker.func_wrap("host", "add", |a: i32, b: i32| a.wrapping_add(b))?;
        let mut store = $api::Store::new(engine, ());
        let instance = linker.instantiate(&mut store, &module)?;
        let nothing = instance.get_typed_func::<i32, i32>(&mut store, "nothing")?;
        let many = instance.get_typed_func::<i32, i32>(&mut store, "loop")?;
        move |calls: &mut Calls| -> Result<()> {
            calls.into_wasm.push(nanoseconds_a_call(|| {
                for argument in 0..CALLS.cast_signed() {
                    black_box(nothing.call(&mut store, argument)?);
                }
                Ok(())
            })?);
            calls.into_host.push(nanoseconds_a_call(|| {
                black_box(many.call(&mut store, CALLS.cast_signed())?);
                Ok(())
            })?);
            Ok(())
        }
    }};
}

/// Measures `rounds` rounds.
pub fn measure(rounds: usize) -> Result<Vec<Calls>> {
    let ours = WasmoEngine::new()?;
    let theirs = WasmtimeEngine::new(Compiler::Cranelift)?;
    let mut wasmo = prepare!(wasmo, ours.engine());
    let mut wasmtime = prepare!(wasmtime, theirs.engine());
    let mut calls = ["wasmo", "cranelift"].map(|engine| Calls {
        engine,
        into_wasm: Samples::default(),
        into_host: Samples::default(),
    });
    for _ in 0..rounds {
        wasmo(&mut calls[0])?;
        wasmtime(&mut calls[1])?;
    }
    Ok(calls.into())
}
