//! What calls cost, both ways: `cargo run --release -p wasmo --example call_costs`.
//!
//! Times are per call, the best of many rounds so short that a busy machine leaves some of them alone; the cost of an empty loop of the
//! guest's is taken off those of the guest's calls.

use std::hint::black_box;
use std::time::{Duration, Instant};
use wasmo::{Caller, Engine, Func, FuncType, Instance, Module, Result, Store, Val, ValType};

const TEXT: &str = r#"(module
    (import "host" "nothing" (func $nothing))
    (import "host" "add" (func $add (param i32 i32) (result i32)))
    (import "host" "caller" (func $caller (param i32) (result i32)))
    (import "host" "dynamic" (func $dynamic (param i32 i32) (result i32)))
    (func (export "nothing"))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "many") (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64 i64)
        local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5)
    (global $g (mut i32) (i32.const 0))
    (func (export "loop_empty") (param i32)
        (loop (global.set $g (local.get 0)) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "loop_nothing") (param i32)
        (loop (call $nothing) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "loop_add") (param i32)
        (loop (global.set $g (call $add (global.get $g) (local.get 0)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "loop_caller") (param i32)
        (loop (global.set $g (call $caller (local.get 0)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "loop_dynamic") (param i32)
        (loop (global.set $g (call $dynamic (global.get $g) (local.get 0)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

const CALLS: u32 = 100_000;

fn best(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = Duration::MAX;
    for _ in 0..300 {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed());
    }
    Ok(best.as_secs_f64() * 1e9 / f64::from(CALLS))
}

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, TEXT)?;
    let mut store = Store::new(&engine, 0_i32);
    let nothing = Func::wrap(&mut store, || {});
    let add = Func::wrap(&mut store, |a: i32, b: i32| a.wrapping_add(b));
    let caller = Func::wrap(&mut store, |mut caller: Caller<'_, i32>, n: i32| {
        *caller.data_mut() ^= n;
        *caller.data()
    });
    let ty = FuncType::new(&engine, [ValType::I32, ValType::I32], [ValType::I32]);
    let dynamic = Func::new(&mut store, ty, |_, params, results| {
        results[0] = Val::I32(params[0].unwrap_i32().wrapping_add(params[1].unwrap_i32()));
        Ok(())
    });
    let imports = [nothing.into(), add.into(), caller.into(), dynamic.into()];
    let instance = Instance::new(&mut store, &module, &imports)?;

    println!("host to wasm, ns a call:");
    let func = instance.get_typed_func::<(), ()>(&mut store, "nothing")?;
    let time = best(|| (0..CALLS).try_for_each(|_| func.call(&mut store, ())))?;
    println!("  () -> ()                      {time:6.2}");
    let func = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
    let time =
        best(|| (0..CALLS).try_for_each(|_| func.call(&mut store, black_box((1, 2))).map(|sum| _ = black_box(sum))))?;
    println!("  (i32, i32) -> i32             {time:6.2}");
    type Six = (i64, i64, i64, i64, i64, i64);
    let func = instance.get_typed_func::<(i64, i64, i64, i64, i64, i64, i64, i64), Six>(&mut store, "many")?;
    let time = best(|| {
        (0..CALLS)
            .try_for_each(|_| func.call(&mut store, black_box((1, 2, 3, 4, 5, 6, 7, 8))).map(|six| _ = black_box(six)))
    })?;
    println!("  8 x i64 -> 6 x i64            {time:6.2}");
    let func = instance.get_func(&mut store, "add").expect("exported");
    let time = best(|| {
        let mut results = [Val::I32(0)];
        (0..CALLS).try_for_each(|_| func.call(&mut store, &[Val::I32(1), Val::I32(2)], &mut results))
    })?;
    println!("  (i32, i32) -> i32, dynamic    {time:6.2}");
    let direct = add.typed::<(i32, i32), i32>(&store)?;
    let time =
        best(|| (0..CALLS).try_for_each(|_| direct.call(&mut store, black_box((1, 2))).map(|sum| _ = black_box(sum))))?;
    println!("  host to host                  {time:6.2}");

    println!("wasm to host, ns a call:");
    let mut guest = |name: &str| -> Result<f64> {
        let func = instance.get_typed_func::<u32, ()>(&mut store, name)?;
        best(|| func.call(&mut store, CALLS))
    };
    let empty = guest("loop_empty")?;
    for (what, name) in [
        ("() -> ()", "loop_nothing"),
        ("(i32, i32) -> i32", "loop_add"),
        ("i32 -> i32, with caller", "loop_caller"),
        ("(i32, i32) -> i32, dynamic", "loop_dynamic"),
    ] {
        println!("  {what:<30}{:6.2}", guest(name)? - empty);
    }
    Ok(())
}
