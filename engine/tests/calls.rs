//! Calls both ways, with every type and with more values than there are registers.

mod common;

use common::{compiled, instance, instance_with, run};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wasmo::{
    Caller, Engine, Extern, ExternRef, Func, FuncType, Instance, Module, Result, Store, V128, Val, ValType, bail,
};

#[test]
fn a_function_is_called() -> Result<()> {
    let (mut store, instance) = instance(
        r#"(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#,
    )?;
    let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
    assert_eq!(add.call(&mut store, (40, 2))?, 42);
    assert_eq!(add.call(&mut store, (i32::MAX, 1))?, i32::MIN);
    Ok(())
}

#[test]
fn every_type_goes_both_ways() -> Result<()> {
    let (mut store, instance) = instance(
        r#"(module
            (func (export "turn") (param i32 i64 f32 f64 v128 externref) (result externref v128 f64 f32 i64 i32)
                local.get 5 local.get 4 local.get 3 local.get 2 local.get 1 local.get 0))"#,
    )?;
    type Args = (u32, i64, f32, f64, V128, Option<ExternRef>);
    type Results = (Option<ExternRef>, V128, f64, f32, i64, u32);
    let turn = instance.get_typed_func::<Args, Results>(&mut store, "turn")?;
    let vector = V128::from(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    let host = ExternRef::new(&mut store, 5_u8)?;
    let results = turn.call(&mut store, (u32::MAX, i64::MIN, 1.5, -0.25, vector, Some(host)))?;
    assert_eq!(results, (Some(host), vector, -0.25, 1.5, i64::MIN, u32::MAX));

    let nan = f64::from_bits(0x7ff4_0000_0000_0001);
    let results = turn.call(&mut store, (0, 0, 0.0, nan, vector, None))?;
    assert_eq!(results.2.to_bits(), nan.to_bits(), "the bits of a NaN are kept");
    assert!(results.0.is_none());
    Ok(())
}

const MANY: &str = r#"(module
    (type $many (func
        (param i32 i64 i32 i64 i32 i64 i32 i64 i32 f64 f64 f64 f64 f64 f64 f64)
        (result f64 f64 f64 f64 f64 f64 f64 i32 i64 i32 i64 i32 i64 i32 i64 i32)))
    (import "host" "turn" (func $turn (type $many)))
    (func (export "run") (type $many)
        local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6 local.get 7
        local.get 8 local.get 9 local.get 10 local.get 11 local.get 12 local.get 13 local.get 14 local.get 15
        call $turn))"#;

#[test]
fn more_values_than_registers() -> Result<()> {
    type Args = (i32, i64, i32, i64, i32, i64, i32, i64, i32, f64, f64, f64, f64, f64, f64, f64);
    type Results = (f64, f64, f64, f64, f64, f64, f64, i32, i64, i32, i64, i32, i64, i32, i64, i32);
    #[allow(clippy::too_many_arguments, clippy::many_single_char_names, reason = "the test is about many arguments")]
    fn turn(
        (a, b, c, d, e, f, g, h): (i32, i64, i32, i64, i32, i64, i32, i64),
        (i, j, k, l, m, n, o, p): (i32, f64, f64, f64, f64, f64, f64, f64),
    ) -> Results {
        (p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a)
    }
    let (mut store, instance) = instance_with(&Engine::default(), (), MANY, |store| {
        #[rustfmt::skip]
        let func = Func::wrap(
            store,
            |a: i32, b: i64, c: i32, d: i64, e: i32, f: i64, g: i32, h: i64, i: i32, j: f64, k: f64, l: f64, m: f64, n: f64, o: f64, p: f64| {
                turn((a, b, c, d, e, f, g, h), (i, j, k, l, m, n, o, p))
            },
        );
        vec![func.into()]
    })?;
    let run = instance.get_typed_func::<Args, Results>(&mut store, "run")?;
    let results = run.call(&mut store, (1, 2, 3, 4, 5, 6, 7, 8, 9, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0))?;
    let (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) = results;
    assert_eq!((a, b, c, d, e, f, g), (16.0, 15.0, 14.0, 13.0, 12.0, 11.0, 10.0));
    assert_eq!((h, i, j, k, l, m, n, o, p), (9, 8, 7, 6, 5, 4, 3, 2, 1));
    Ok(())
}

#[test]
fn any_number_of_values_by_dynamic_types() -> Result<()> {
    const COUNT: usize = 100;
    let engine = Engine::default();
    let types = "i64 ".repeat(COUNT);
    let gets: String = (0..COUNT).map(|local| format!("local.get {local} ")).collect();
    let text = format!(
        r#"(module (type $t (func (param {types}) (result {types})))
            (import "" "" (func $host (type $t)))
            (func (export "run") (type $t) {gets} call $host))"#
    );
    let ty = FuncType::new(&engine, vec![ValType::I64; COUNT], vec![ValType::I64; COUNT]);
    let (mut store, instance) = instance_with(&engine, (), &text, |store| {
        let func = Func::new(store, ty, |_, params, results| {
            for (result, param) in results.iter_mut().zip(params.iter().rev()) {
                *result = Val::I64(param.unwrap_i64() + 1);
            }
            Ok(())
        });
        vec![func.into()]
    })?;
    let run = instance.get_func(&mut store, "run").expect("exported");
    let params: Vec<_> = (0_i64..100).map(Val::I64).collect();
    let mut results = vec![Val::I32(0); COUNT];
    run.call(&mut store, &params, &mut results)?;
    let results: Vec<_> = results.iter().map(Val::unwrap_i64).collect();
    let expected: Vec<_> = (1..=100).rev().collect();
    assert_eq!(results, expected);
    Ok(())
}

#[test]
fn dynamic_calls_check_their_arguments() -> Result<()> {
    let (mut store, instance) = instance(r#"(module (func (export "f") (param i32) (result i32) local.get 0))"#)?;
    let f = instance.get_func(&mut store, "f").expect("exported");
    let mut one = [Val::I64(0)];
    f.call(&mut store, &[Val::I32(3)], &mut one)?;
    assert_eq!(one[0].i32(), Some(3));
    for (params, results) in [
        (vec![], 1),
        (vec![Val::I32(0), Val::I32(0)], 1),
        (vec![Val::I64(0)], 1),
        (vec![Val::null_func_ref()], 1),
        (vec![Val::I32(0)], 0),
        (vec![Val::I32(0)], 2),
    ] {
        let mut results = vec![Val::I32(0); results];
        assert!(f.call(&mut store, &params, &mut results).is_err(), "{params:?} {results:?}");
    }
    Ok(())
}

#[test]
fn typed_functions_check_the_type_once() -> Result<()> {
    let (mut store, instance) = instance(r#"(module (func (export "f") (param i32) (result i64) i64.const 1))"#)?;
    assert!(instance.get_typed_func::<i32, i64>(&mut store, "f").is_ok());
    assert!(instance.get_typed_func::<u32, u64>(&mut store, "f").is_ok());
    assert!(instance.get_typed_func::<i64, i64>(&mut store, "f").is_err());
    assert!(instance.get_typed_func::<i32, i32>(&mut store, "f").is_err());
    assert!(instance.get_typed_func::<(), i64>(&mut store, "f").is_err());
    assert!(instance.get_typed_func::<(i32, i32), i64>(&mut store, "f").is_err());
    assert!(instance.get_typed_func::<i32, ()>(&mut store, "f").is_err());
    let error = instance.get_typed_func::<i64, i64>(&mut store, "f").unwrap_err();
    assert!(format!("{error:#}").contains("(i32) -> (i64), not (i64) -> (i64)"), "{error:#}");
    assert!(instance.get_typed_func::<i32, i64>(&mut store, "g").is_err());
    Ok(())
}

#[test]
fn host_functions_see_their_caller() -> Result<()> {
    let text = r#"(module
        (import "" "" (func $host (param i32)))
        (memory (export "memory") 1)
        (func (export "run") (call $host (i32.const 100))))"#;
    let (mut store, instance) = instance_with(&Engine::default(), 0_u32, text, |store| {
        let host = Func::wrap(store, |mut caller: Caller<'_, u32>, at: u32| {
            let memory = caller.get_export("memory").and_then(Extern::into_memory).expect("exported");
            let (bytes, data) = memory.data_and_store_mut(&mut caller);
            bytes[at as usize] = 7;
            *data += 1;
            assert!(caller.get_export("nothing").is_none());
        });
        vec![host.into()]
    })?;
    run(&mut store, instance, "run")?;
    run(&mut store, instance, "run")?;
    assert_eq!(*store.data(), 2);
    let memory = instance.get_memory(&mut store, "memory").expect("exported");
    assert_eq!(memory.data(&store)[100], 7);
    Ok(())
}

#[test]
fn one_function_has_several_callers() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, Vec::new());
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, Vec<i32>>| {
        let id = caller.get_export("id").and_then(Extern::into_global).expect("exported");
        let id = id.get(&mut caller).unwrap_i32();
        caller.data_mut().push(id);
    });
    let mut instances = Vec::new();
    for id in 1..=3 {
        let text = format!(
            r#"(module (import "" "" (func $host)) (global (export "id") i32 (i32.const {id}))
                (func (export "run") call $host))"#
        );
        let module = compiled(&engine, text)?;
        instances.push(Instance::new(&mut store, &module, &[host.into()])?);
    }
    for instance in [2, 0, 1] {
        run(&mut store, instances[instance], "run")?;
    }
    assert_eq!(store.data()[..], [3, 1, 2]);
    Ok(())
}

#[test]
fn calls_nest() -> Result<()> {
    let text = r#"(module
        (import "" "" (func $host (param i32) (result i32)))
        (func (export "down") (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (i32.const 1) (call $host (i32.sub (local.get 0) (i32.const 1)))))
                (else (i32.const 1000)))))"#;
    let (mut store, instance) = instance_with(&Engine::default(), (), text, |store| {
        let host = Func::wrap(store, |mut caller: Caller<'_, ()>, n: i32| -> Result<i32> {
            let down = caller.get_export("down").and_then(Extern::into_func).expect("exported");
            down.typed::<i32, i32>(&caller)?.call(&mut caller, n)
        });
        vec![host.into()]
    })?;
    let down = instance.get_typed_func::<i32, i32>(&mut store, "down")?;
    assert_eq!(down.call(&mut store, 100)?, 1100);
    Ok(())
}

#[test]
fn host_functions_are_called_without_a_guest() -> Result<()> {
    let mut store = Store::new(&Engine::default(), 5_i32);
    let add = Func::wrap(&mut store, |mut caller: Caller<'_, i32>, n: i32| {
        assert!(caller.get_export("memory").is_none());
        *caller.data_mut() += n;
        *caller.data()
    });
    let typed = add.typed::<i32, i32>(&store)?;
    assert_eq!(typed.call(&mut store, 3)?, 8);
    let mut results = [Val::I32(0)];
    add.call(&mut store, &[Val::I32(1)], &mut results)?;
    assert_eq!(results[0].unwrap_i32(), 9);

    let failing = Func::wrap(&mut store, || -> Result<()> { bail!("on purpose") });
    let error = failing.typed::<(), ()>(&store)?.call(&mut store, ()).unwrap_err();
    assert_eq!(error.to_string(), "on purpose");
    Ok(())
}

#[test]
fn closures_are_dropped_with_their_owners() -> Result<()> {
    struct Guard(Arc<AtomicU32>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = Arc::new(AtomicU32::new(0));
    let engine = Engine::default();
    let mut store = Store::new(&engine, Guard(Arc::clone(&drops)));
    let guard = Guard(Arc::clone(&drops));
    let func = Func::wrap(&mut store, move || guard.0.load(Ordering::Relaxed));
    assert_eq!(func.typed::<(), u32>(&store)?.call(&mut store, ())?, 0);
    ExternRef::new(&mut store, Guard(Arc::clone(&drops)))?;
    drop(store);
    assert_eq!(drops.load(Ordering::Relaxed), 3);

    let store = Store::new(&engine, Guard(Arc::clone(&drops)));
    let data = store.into_data();
    assert_eq!(drops.load(Ordering::Relaxed), 3);
    drop(data);
    assert_eq!(drops.load(Ordering::Relaxed), 4);
    Ok(())
}

#[test]
fn wrong_results_of_dynamic_functions_are_errors() -> Result<()> {
    let engine = Engine::default();
    let ty = FuncType::new(&engine, [], [ValType::I32]);
    let mut store = Store::new(&engine, ());
    let wrong = Func::new(&mut store, ty, |_, _, results| {
        results[0] = Val::I64(1);
        Ok(())
    });
    let error = wrong.call(&mut store, &[], &mut [Val::I32(0)]).unwrap_err();
    assert!(error.to_string().contains("incompatible value"), "{error}");
    Ok(())
}

#[test]
#[should_panic(expected = "wrong store")]
fn a_function_of_another_store_is_refused() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let func = Func::wrap(&mut store, || 1_i32).typed::<(), i32>(&store).expect("the right type");
    let _ = func.call(Store::new(&engine, ()), ());
}

#[test]
fn references_of_another_store_are_refused() -> Result<()> {
    let engine = Engine::default();
    let module = compiled(&engine, r#"(module (func (export "f") (param funcref externref)))"#)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let f = instance.get_typed_func::<(Option<Func>, Option<ExternRef>), ()>(&mut store, "f")?;
    let mut other = Store::new(&engine, ());
    let func = Func::wrap(&mut other, || ());
    let host = ExternRef::new(&mut other, ())?;
    assert!(f.call(&mut store, (Some(func), None)).is_err());
    assert!(f.call(&mut store, (None, Some(host))).is_err());
    assert!(host.data(&store).is_err());
    f.call(&mut store, (None, None))
}

#[test]
fn stores_move_between_threads() -> Result<()> {
    let (store, instance) = instance(
        r#"(module (global $g (mut i32) (i32.const 0))
            (func (export "next") (result i32)
                (global.set $g (i32.add (global.get $g) (i32.const 1))) (global.get $g)))"#,
    )?;
    let mut store = store;
    for expected in 1..4 {
        store = std::thread::spawn(move || -> Result<Store<()>> {
            let next = instance.get_typed_func::<(), i32>(&mut store, "next")?;
            assert_eq!(next.call(&mut store, ())?, expected);
            Ok(store)
        })
        .join()
        .expect("the thread ends well")?;
    }
    Ok(())
}

#[test]
fn handles_and_modules_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Engine>();
    shared::<Module>();
    shared::<Func>();
    shared::<Instance>();
    shared::<wasmo::Memory>();
    shared::<wasmo::Linker<()>>();
    shared::<wasmo::InstancePre<()>>();
    shared::<wasmo::TypedFunc<i32, i32>>();
    shared::<wasmo::InterruptHandle>();
    shared::<wasmo::Error>();
    sent::<Store<()>>();
}
