//! Calls both ways in modules in tiers, through thunks that are made without LLVM: all types, and as many values as there can be; failures on the way.
#![cfg(feature = "compiler")]

mod common;

use common::{instance_with, names, run, trap};
use std::fmt::Write;
use wasmo::{Caller, Config, Engine, Extern, Func, FuncType, Result, Tier, Trap, V128, Val, ValType, bail};

fn engines() -> Result<[Engine; 2]> {
    Ok([Engine::new(Config::new().tier(Tier::Auto))?, Engine::new(Config::new().tier(Tier::LiftOff))?])
}

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 29
    }

    fn types(&mut self, count: usize, kinds: u64) -> Vec<ValType> {
        let all = [ValType::I32, ValType::F64, ValType::I64, ValType::F32, ValType::EXTERNREF, ValType::V128];
        let kind = |number: u64| usize::try_from(number % kinds).unwrap_or(0);
        (0..count).map(|_| all[kind(self.next() >> 33)]).collect()
    }

    fn value(&mut self, ty: &ValType) -> Val {
        let bits = self.next();
        #[allow(clippy::cast_possible_truncation, reason = "any bits will do")]
        match ty {
            ValType::I32 => Val::I32(bits as i32),
            ValType::I64 => Val::I64(bits.cast_signed()),
            ValType::F32 => Val::F32(bits as u32),
            ValType::F64 => Val::F64(bits),
            ValType::V128 => Val::V128(V128::from(u128::from(bits) << 64 | u128::from(self.next()))),
            _ => Val::ExternRef(None),
        }
    }
}

/// The same in a form that can be compared.
fn texts(values: &[Val]) -> Vec<String> {
    values.iter().map(|value| format!("{value:?}")).collect()
}

/// A module with a function of this type that calls the host's.
fn passing_on(params: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().fold(String::new(), |text, ty| text + " " + &ty.to_string());
    let mut text = format!("(module (type $t (func (param{}) (result{}))) ", list(params), list(results));
    text.push_str(r#"(import "" "" (func $host (type $t))) (func $run (export "run") (type $t)"#);
    for index in 0..params.len() {
        write!(text, " local.get {index}").expect("a text grows");
    }
    text + " call $host))"
}

/// Calls a function of this type that calls one of the host's, and looks at what each gets.
fn passes(engine: &Engine, numbers: &mut Numbers, params: &[ValType], results: &[ValType]) -> Result<()> {
    let (sent, answered): (Vec<_>, Vec<_>) =
        (params.iter().map(|ty| numbers.value(ty)).collect(), results.iter().map(|ty| numbers.value(ty)).collect());
    let (expected, answers) = (texts(&sent), answered.clone());
    let ty = FuncType::new(engine, params.iter().cloned(), results.iter().cloned());
    let (mut store, instance) = instance_with(engine, (), &passing_on(params, results), |store| {
        let host = Func::new(store, ty, move |_, got, results| {
            if texts(got) != expected {
                bail!("{:?} instead of {expected:?}", texts(got));
            }
            results.clone_from_slice(&answers);
            Ok(())
        });
        vec![host.into()]
    })?;
    let run = instance.get_func(&mut store, "run").expect("it is exported");
    // The first time, the function is compiled.
    for _ in 0..2 {
        let mut got: Vec<Val> = results.iter().map(|_| Val::I32(0)).collect();
        run.call(&mut store, &sent, &mut got)?;
        assert_eq!(texts(&got), texts(&answered), "{params:?} to {results:?}");
    }
    Ok(())
}

#[test]
fn values_of_all_types_go_both_ways() -> Result<()> {
    let mut numbers = Numbers(7);
    for engine in engines()? {
        for round in 0..60 {
            let (params, results) = (numbers.next() % 24, numbers.next() % 24);
            // The last of the types, for which LLVM makes thunks, is seldom among them.
            let kinds = if round % 8 == 0 { 6 } else { 5 };
            let count = |number| usize::try_from(number).expect("it is small");
            let (params, results) = (numbers.types(count(params), kinds), numbers.types(count(results), kinds));
            passes(&engine, &mut numbers, &params, &results)?;
        }
    }
    Ok(())
}

#[test]
fn as_many_values_as_there_can_be() -> Result<()> {
    let mut numbers = Numbers(11);
    for engine in engines()? {
        for (params, results) in [(1000, 0), (0, 1000), (1000, 1000), (300, 2), (2, 255)] {
            let (params, results) = (numbers.types(params, 4), numbers.types(results, 4));
            passes(&engine, &mut numbers, &params, &results)?;
        }
    }
    Ok(())
}

#[test]
fn functions_that_no_module_knows_are_called_by_the_guest() -> Result<()> {
    let text = r#"(module
        (type $t (func (param f32 i64 i32 i32 i32 i32 i32 i64) (result i64 f32)))
        (table (export "table") 1 funcref)
        (func (export "run") (type $t)
            local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6 local.get 7
            (call_indirect (type $t) (i32.const 0))))"#;
    for engine in engines()? {
        let (mut store, instance) = instance_with(&engine, (), text, |_| Vec::new())?;
        let host = Func::wrap(&mut store, |f: f32, a: i64, b: i32, c: i32, d: i32, e: i32, g: i32, h: i64| {
            (a + h + i64::from(b + c + d + e + g), f * 2.0)
        });
        let table = instance.get_table(&mut store, "table").expect("it is exported");
        table.set(&mut store, 0, host.into())?;
        type Args = (f32, i64, i32, i32, i32, i32, i32, i64);
        let run = instance.get_typed_func::<Args, (i64, f32)>(&mut store, "run")?;
        assert_eq!(run.call(&mut store, (1.5, 1 << 40, 1, 2, 3, 4, 5, -1))?, ((1 << 40) + 14, 3.0));
    }
    Ok(())
}

/// A function with more arguments than travel in registers, called through thunks both ways; the host calls the guest again, in which something traps.
#[test]
fn backtraces_go_through_thunks() -> Result<()> {
    let text = r#"(module
        (type $many (func (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)))
        (import "" "" (func $host (type $many)))
        (func $trap (type $many) unreachable)
        (func $inner (export "inner") (type $many)
            local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6 local.get 7 local.get 8 local.get 9
            call $trap)
        (func $passes_on (type $many)
            local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6 local.get 7 local.get 8 local.get 9
            call $host)
        (func $outer (export "outer")
            i64.const 0 i64.const 1 i64.const 2 i64.const 3 i64.const 4 i64.const 5 i64.const 6 i64.const 7 i64.const 8 i64.const 9
            call $passes_on))"#;
    for engine in engines()? {
        for fails in [false, true] {
            let ty = FuncType::new(&engine, vec![ValType::I64; 10], []);
            let (mut store, instance) = instance_with(&engine, (), text, |store| {
                let host = Func::new(store, ty, move |mut caller: Caller<'_, ()>, params, _| {
                    if fails {
                        bail!("the host has failed");
                    }
                    let inner = caller.get_export("inner").and_then(Extern::into_func).expect("exported");
                    inner.call(&mut caller, params, &mut [])
                });
                vec![host.into()]
            })?;
            for _ in 0..2 {
                let error = run(&mut store, instance, "outer").unwrap_err();
                if fails {
                    assert_eq!(error.root_cause().to_string(), "the host has failed");
                    assert_eq!(names(&error), ["passes_on", "outer"]);
                } else {
                    assert_eq!(trap(&error), Trap::UnreachableCodeReached);
                    assert_eq!(names(&error), ["trap", "inner", "passes_on", "outer"]);
                }
            }
        }
    }
    Ok(())
}

/// Frames of thunks with a thousand arguments are larger than a page: the stack ends in such a frame at times, and that must be found out as in any other.
#[test]
fn the_stack_may_end_in_a_thunk() -> Result<()> {
    let params = "i64 ".repeat(1000);
    let constants = "i64.const 1 ".repeat(1000);
    let text = format!(
        r#"(module
            (type $many (func (param {params})))
            (import "" "" (func $host (type $many)))
            (global $pad (mut i64) (i64.const 0))
            (func $deep (export "deep") (param i32)
                {constants} call $host
                (call $deep (i32.add (local.get 0) (i32.const 1)))
                (global.set $pad (i64.add (global.get $pad) (i64.const 1)))))"#
    );
    for engine in engines()? {
        let ty = FuncType::new(&engine, vec![ValType::I64; 1000], []);
        let (mut store, instance) =
            instance_with(&engine, (), &text, |store| vec![Func::new(store, ty, |_, _, _| Ok(())).into()])?;
        let deep = instance.get_typed_func::<i32, ()>(&mut store, "deep")?;
        for _ in 0..4 {
            let error = deep.call(&mut store, 0).unwrap_err();
            assert_eq!(trap(&error), Trap::StackOverflow);
            let names = names(&error);
            assert!(names.len() > 10 && names.iter().all(|name| name == "deep"), "{} frames", names.len());
        }
    }
    Ok(())
}
