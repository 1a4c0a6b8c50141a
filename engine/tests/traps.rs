//! Failures of guests: traps, errors and panics of host functions, stack overflow, backtraces.

mod common;

use common::{compiled, instance, instance_with, names, run, trap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmo::{Caller, Config, Engine, Extern, Func, Instance, OptLevel, Result, Store, Trap, WasmBacktrace, bail};

#[test]
fn every_trap_is_told_apart() -> Result<()> {
    let (mut store, instance) = instance(
        r#"(module
            (memory 1)
            (table $t 2 funcref)
            (type $void (func))
            (elem (i32.const 0) $i32)
            (func $i32 (result i32) i32.const 0)
            (func (export "unreachable") unreachable)
            (func (export "div") (param i32) (drop (i32.div_s (i32.const 1) (local.get 0))))
            (func (export "div_zero") (drop (i32.div_s (i32.const 1) (i32.const 0))))
            (func (export "overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
            (func (export "nan") (drop (i32.trunc_f32_s (f32.const nan))))
            (func (export "load") (drop (i32.load (i32.const 65533))))
            (func (export "store") (i32.store (i32.const -1) (i32.const 0)))
            (func (export "table") (drop (table.get $t (i32.const 2))))
            (func (export "undefined") (call_indirect (type $void) (i32.const 2)))
            (func (export "null") (call_indirect (type $void) (i32.const 1)))
            (func (export "type") (call_indirect (type $void) (i32.const 0)))
            (func $deep (export "deep") call $deep call $deep))"#,
    )?;
    for (name, expected) in [
        ("unreachable", Trap::UnreachableCodeReached),
        ("div_zero", Trap::IntegerDivisionByZero),
        ("overflow", Trap::IntegerOverflow),
        ("nan", Trap::BadConversionToInteger),
        ("load", Trap::MemoryOutOfBounds),
        ("store", Trap::MemoryOutOfBounds),
        ("table", Trap::TableOutOfBounds),
        ("undefined", Trap::UndefinedElement),
        ("null", Trap::IndirectCallToNull),
        ("type", Trap::BadSignature),
        ("deep", Trap::StackOverflow),
    ] {
        let error = run(&mut store, instance, name).expect_err(name);
        assert_eq!(trap(&error), expected, "{name}");
    }
    let div = instance.get_typed_func::<i32, ()>(&mut store, "div")?;
    div.call(&mut store, 1)
}

/// Optimised code has the load in one instruction with what computes with it, or several in a vector.
#[test]
fn loads_that_are_part_of_another_instruction_are_named() -> Result<()> {
    let (mut store, instance) = instance(
        r#"(module
            (memory 1)
            (global $g (mut f64) (f64.const 0))
            (func $load (param i32) (result i32) (i32.load (local.get 0)))
            (func $number (param i32) (result f64) (f64.load (local.get 0)))
            (func (export "add") (param i32) (result i32)
                (i32.add (local.get 0) (call $load (local.get 0))))
            (func (export "compare") (param i32) (result i32)
                (select (i32.const 5) (local.get 0) (i32.lt_u (local.get 0) (call $load (local.get 0)))))
            (func (export "root") (param i32) (result i32)
                (global.set $g (f64.sqrt (f64.mul (global.get $g) (call $number (local.get 0)))))
                (local.get 0))
            (func (export "sum") (param i32) (result i32) (local $sum i32)
                (loop $again
                    (local.set $sum (i32.add (local.get $sum) (call $load (local.get 0))))
                    (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                (local.get $sum)))"#,
    )?;
    for (name, inner) in [("add", "load"), ("compare", "load"), ("root", "number"), ("sum", "load")] {
        let error = instance.get_typed_func::<i32, i32>(&mut store, name)?.call(&mut store, 0x10000).expect_err(name);
        assert_eq!(trap(&error), Trap::MemoryOutOfBounds);
        assert_eq!(names(&error), [inner, name]);
    }
    Ok(())
}

/// The three functions' only instruction begins at these offsets.
const THREE_DEEP_OFFSETS: [usize; 3] = [34, 38, 43];
const THREE_DEEP: &str = r#"(module $module
    (func $_ZN4core3foo3bar17h0123456789abcdefE unreachable)
    (func $middle call $_ZN4core3foo3bar17h0123456789abcdefE)
    (func (export "run") call $middle))"#;

#[test]
fn backtraces_have_names_and_offsets() -> Result<()> {
    let engine = Engine::new(Config::new().opt_level(OptLevel::None))?;
    let (mut store, instance) = instance_with(&engine, (), THREE_DEEP, |_| Vec::new())?;
    let error = run(&mut store, instance, "run").unwrap_err();
    assert_eq!(names(&error), ["core::foo::bar", "middle", "run"]);
    let backtrace = error.downcast_ref::<WasmBacktrace>().expect("a backtrace");
    for (position, frame) in backtrace.frames().iter().enumerate() {
        assert_eq!(frame.module_name(), Some("module"));
        assert_eq!(frame.func_index() as usize, position);
        let offset = frame.module_offset().expect("an offset");
        assert_eq!(frame.func_start().expect("a start") + frame.func_offset().expect("an offset"), offset);
        assert_eq!(offset, THREE_DEEP_OFFSETS[position], "{frame:?}");
        // The innermost is at its `unreachable`, the others at their `call`. An artefact does not have the module's binary.
        if let Some(binary) = instance.module(&store).binary() {
            assert_eq!(binary[offset], if position == 0 { 0x00 } else { 0x10 }, "{frame:?}");
        }
    }
    let text = backtrace.to_string();
    assert!(text.starts_with("error while executing at wasm backtrace:\n"), "{text}");
    assert!(format!("{error:?}").contains("wasm trap: unreachable"), "{error:?}");
    Ok(())
}

#[test]
fn inlined_functions_are_in_backtraces() -> Result<()> {
    let (mut store, instance) = instance(THREE_DEEP)?;
    let error = run(&mut store, instance, "run").unwrap_err();
    // Of calls that were replaced by what they call, at least the innermost and the outermost function are known.
    let names = names(&error);
    assert_eq!(names.first().map(String::as_str), Some("core::foo::bar"), "{names:?}");
    assert_eq!(names.last().map(String::as_str), Some("run"), "{names:?}");
    let backtrace = error.downcast_ref::<WasmBacktrace>().expect("a backtrace");
    assert_eq!(backtrace.frames()[0].module_offset(), Some(THREE_DEEP_OFFSETS[0]));
    Ok(())
}

#[test]
fn backtraces_go_through_host_functions() -> Result<()> {
    let text = r#"(module
        (import "" "" (func $host))
        (func $inner (export "inner") unreachable)
        (func $outer (export "outer") call $host))"#;
    let (mut store, instance) = instance_with(&Engine::default(), (), text, |store| {
        let host = Func::wrap(store, |mut caller: Caller<'_, ()>| -> Result<()> {
            let here = WasmBacktrace::capture(&caller);
            assert_eq!(here.frames().len(), 1);
            assert_eq!(here.frames()[0].func_name(), Some("outer"));
            let inner = caller.get_export("inner").and_then(Extern::into_func).expect("exported");
            inner.typed::<(), ()>(&caller)?.call(&mut caller, ())
        });
        vec![host.into()]
    })?;
    let error = run(&mut store, instance, "outer").unwrap_err();
    assert_eq!(trap(&error), Trap::UnreachableCodeReached);
    assert_eq!(names(&error), ["inner", "outer"]);
    assert!(WasmBacktrace::capture(&store).frames().is_empty());
    Ok(())
}

#[test]
fn backtraces_can_be_switched_off() -> Result<()> {
    let engine = Engine::new(Config::new().wasm_backtrace(false))?;
    let text = r#"(module (func (export "run") unreachable))"#;
    let (mut store, instance) = instance_with(&engine, (), text, |_| Vec::new())?;
    let error = run(&mut store, instance, "run").unwrap_err();
    assert!(error.downcast_ref::<WasmBacktrace>().is_none());
    assert_eq!(error.to_string(), "wasm trap: unreachable");
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("exit with {0}")]
struct Exit(i32);

#[test]
fn errors_of_host_functions_come_out_as_they_are() -> Result<()> {
    let text = r#"(module
        (import "" "" (func $exit (param i32)))
        (func $run (export "run") (call $exit (i32.const 3)) unreachable))"#;
    let (mut store, instance) = instance_with(&Engine::default(), (), text, |store| {
        vec![Func::wrap(store, |code: i32| -> Result<()> { Err(Exit(code).into()) }).into()]
    })?;
    for _ in 0..3 {
        let error = run(&mut store, instance, "run").unwrap_err();
        assert_eq!(error.downcast_ref::<Exit>().expect("our error").0, 3);
        assert_eq!(names(&error), ["run"]);
        assert_eq!(error.root_cause().to_string(), "exit with 3");
    }
    Ok(())
}

#[test]
fn host_functions_may_trap() -> Result<()> {
    let text = r#"(module (import "" "" (func $trap)) (func (export "run") call $trap))"#;
    let (mut store, instance) = instance_with(&Engine::default(), (), text, |store| {
        vec![Func::wrap(store, || -> Result<()> { Err(Trap::MemoryOutOfBounds.into()) }).into()]
    })?;
    assert_eq!(trap(&run(&mut store, instance, "run").unwrap_err()), Trap::MemoryOutOfBounds);
    Ok(())
}

#[test]
fn panics_go_through_guests() -> Result<()> {
    let text = r#"(module
        (import "" "panic" (func $panic))
        (import "" "nest" (func $nest))
        (func (export "run") call $panic)
        (func (export "nested") call $nest))"#;
    let (mut store, instance) = instance_with(&Engine::default(), 0, text, |store| {
        let panic = Func::wrap(&mut *store, || -> () { panic!("on purpose") });
        let nest = Func::wrap(store, |mut caller: Caller<'_, i32>| -> Result<()> {
            let run = caller.get_export("run").and_then(Extern::into_func).expect("exported");
            let run = run.typed::<(), ()>(&caller)?;
            let payload = catch_unwind(AssertUnwindSafe(|| run.call(&mut caller, ()))).expect_err("it panics");
            *caller.data_mut() += 1;
            std::panic::resume_unwind(payload);
        });
        vec![panic.into(), nest.into()]
    })?;
    for name in ["run", "nested", "run"] {
        let payload = catch_unwind(AssertUnwindSafe(|| run(&mut store, instance, name))).expect_err(name);
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
    }
    assert_eq!(*store.data(), 1);
    Ok(())
}

/// host → wasm → host → wasm …, the guest's frames far larger than the host's.
const ALTERNATING: &str = r#"(module
    (import "" "" (func $host (param i32)))
    (func $waste (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (call $waste (i32.sub (local.get 0) (i32.const 1))) (call $sink (local.get 0))))
            (else (call $host (i32.const 1)) (i32.const 0))))
    (func $sink (param i32) (result i32) local.get 0)
    (func (export "run") (param i32) (drop (call $waste (local.get 0)))))"#;

#[test]
fn stack_overflow_at_any_depth_is_recovered_from() -> Result<()> {
    let engine = Engine::new(Config::new().max_wasm_stack(256 << 10))?;
    let (mut store, instance) = instance_with(&engine, (0_u32, 0_u32), ALTERNATING, |store| {
        let host = Func::wrap(store, |mut caller: Caller<'_, (u32, u32)>, _: i32| -> Result<()> {
            caller.data_mut().0 += 1;
            let depth = caller.data().0;
            let run = caller.get_export("run").and_then(Extern::into_func).expect("exported");
            let result = run.typed::<i32, ()>(&caller)?.call(&mut caller, 500);
            caller.data_mut().0 -= 1;
            if depth == 2 {
                // Here the overflow is caught, and the guest goes on.
                assert_eq!(trap(&result.unwrap_err()), Trap::StackOverflow);
                caller.data_mut().1 += 1;
                return Ok(());
            }
            result
        });
        vec![host.into()]
    })?;
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run")?;
    for round in 1..=5 {
        run.call(&mut store, 500)?;
        assert_eq!(*store.data(), (0, round));
    }
    Ok(())
}

#[test]
fn endless_recursion_through_the_host_is_a_trap() -> Result<()> {
    let text = r#"(module (import "" "" (func $host)) (func (export "run") call $host))"#;
    let (mut store, instance) = instance_with(&Engine::default(), (), text, |store| {
        let host = Func::wrap(store, |mut caller: Caller<'_, ()>| -> Result<()> {
            let run = caller.get_export("run").and_then(Extern::into_func).expect("exported");
            run.typed::<(), ()>(&caller)?.call(&mut caller, ())
        });
        vec![host.into()]
    })?;
    for _ in 0..2 {
        assert_eq!(trap(&run(&mut store, instance, "run").unwrap_err()), Trap::StackOverflow);
    }
    Ok(())
}

#[test]
fn a_long_backtrace_is_cut() -> Result<()> {
    let (mut store, instance) = instance(
        r#"(module (func $f (export "run") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1))))"#,
    )?;
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
    let error = run.call(&mut store, 1).unwrap_err();
    assert_eq!(trap(&error), Trap::StackOverflow);
    let text = format!("{error:?}");
    assert!(text.lines().count() < 200, "{} lines", text.lines().count());
    assert!(text.contains(" more"), "{text}");
    Ok(())
}

#[test]
fn a_failing_start_function_fails_instantiation() -> Result<()> {
    let engine = Engine::default();
    let module = compiled(&engine, "(module (func $start unreachable) (start $start))")?;
    let error = Instance::new(Store::new(&engine, ()), &module, &[]).unwrap_err();
    assert_eq!(trap(&error), Trap::UnreachableCodeReached);
    let module = compiled(&engine, r#"(module (memory 1) (data (i32.const 65536) "x"))"#)?;
    let error = Instance::new(Store::new(&engine, ()), &module, &[]).unwrap_err();
    assert_eq!(trap(&error), Trap::MemoryOutOfBounds);
    Ok(())
}

#[test]
fn a_guest_goes_on_after_its_failures() -> Result<()> {
    let text = r#"(module
        (import "" "" (func $host))
        (global $count (export "count") (mut i32) (i32.const 0))
        (func (export "run") (global.set $count (i32.add (global.get $count) (i32.const 1))) call $host))"#;
    let (mut store, instance) = instance_with(&Engine::default(), (), text, |store| {
        vec![Func::wrap(store, || -> Result<()> { bail!("no") }).into()]
    })?;
    for _ in 0..1000 {
        assert!(run(&mut store, instance, "run").is_err());
    }
    let count = instance.get_global(&mut store, "count").expect("exported");
    assert_eq!(count.get(&mut store).unwrap_i32(), 1000);
    Ok(())
}
