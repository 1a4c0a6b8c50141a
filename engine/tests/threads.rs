//! Many stores at work at the same time: traps, time limits and host calls do not disturb each other.

mod common;

use common::{compiled, trap};
use std::time::Duration;
use wasmo::{Caller, Engine, Extern, Linker, Module, Result, Store, Trap};

const TEXT: &str = r#"(module
    (import "host" "back" (func $back (param i32) (result i32)))
    (memory 1)
    (table 1 funcref)
    (func $deep (export "deep") (param i32) (result i32)
        (i32.add (call $deep (local.get 0)) (call $deep (local.get 0))))
    (func (export "load") (param i32) (result i32) (i32.load (i32.mul (local.get 0) (i32.const 65536))))
    (func (export "null") (param i32) (result i32) (call_indirect (result i32) (i32.const 0)))
    (func (export "spin") (param i32) (result i32) (loop br 0) unreachable)
    (func (export "twice") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
    (func (export "nested") (param i32) (result i32) (i32.add (call $back (local.get 0)) (i32.const 1))))"#;

fn work(engine: &Engine, linker: &Linker<()>, module: &Module, rounds: i32) -> Result<()> {
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, module)?;
    for round in 1..=rounds {
        for (name, expected) in [
            ("deep", Err(Trap::StackOverflow)),
            ("load", Err(Trap::MemoryOutOfBounds)),
            ("null", Err(Trap::IndirectCallToNull)),
            ("twice", Ok(2 * round)),
            ("nested", Ok(2 * round + 1)),
            ("spin", Err(Trap::Interrupt)),
        ] {
            store.set_timeout((name == "spin").then_some(Duration::from_micros(300)));
            let func = instance.get_typed_func::<i32, i32>(&mut store, name)?;
            let result = func.call(&mut store, round).map_err(|error| trap(&error));
            assert_eq!(result, expected, "{name} in round {round}");
        }
    }
    Ok(())
}

#[test]
fn stores_do_not_disturb_each_other() -> Result<()> {
    let engine = Engine::new(wasmo::Config::new().max_wasm_stack(128 << 10))?;
    let module = compiled(&engine, TEXT)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "back", |mut caller: Caller<'_, ()>, n: i32| -> Result<i32> {
        let twice = caller.get_export("twice").and_then(Extern::into_func).expect("exported");
        twice.typed::<i32, i32>(&caller)?.call(&mut caller, n)
    })?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| work(&engine, &linker, &module, 50))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("the thread ends well"))
    })
}

#[test]
fn modules_come_and_go() -> Result<()> {
    let engine = Engine::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let engine = &engine;
                scope.spawn(move || -> Result<()> {
                    for round in 0..20 {
                        let number = thread * 1000 + round;
                        let text = format!(
                            r#"(module (func (export "number") (result i32) i32.const {number})
                                (func (export "fail") (result i32) unreachable))"#
                        );
                        let module = compiled(engine, text)?;
                        let mut store = Store::new(engine, ());
                        let instance = wasmo::Instance::new(&mut store, &module, &[])?;
                        drop(module);
                        let func = instance.get_typed_func::<(), i32>(&mut store, "number")?;
                        assert_eq!(func.call(&mut store, ())?, number);
                        let func = instance.get_typed_func::<(), i32>(&mut store, "fail")?;
                        let error = func.call(&mut store, ()).unwrap_err();
                        // The error outlives store and module.
                        drop(store);
                        assert_eq!(trap(&error), Trap::UnreachableCodeReached);
                        assert_eq!(common::names(&error), ["fail"]);
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("the thread ends well"))
    })
}
