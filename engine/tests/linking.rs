//! Linkers, imports and exports, functions as values that cross instances.

mod common;

use common::{compiled, run, trap};
use wasmo::{
    Caller, Engine, Extern, ExternType, Func, FuncType, Global, GlobalType, ImportError, Instance, Linker, Memory,
    MemoryType, Mutability, Ref, RefType, Result, Store, Table, TableType, Trap, UnknownImportError, Val, ValType,
};

#[test]
fn all_bad_imports_are_listed() -> Result<()> {
    let engine = Engine::default();
    let module = compiled(
        &engine,
        r#"(module
            (import "env" "good" (func (param i32)))
            (import "env" "missing" (func (param i32)))
            (import "env" "func" (func (param i64)))
            (import "env" "memory" (memory 2 3))
            (import "env" "table" (table 1 externref))
            (import "env" "global" (global (mut i32)))
            (import "env" "kind" (global i32))
            (import "other" "good" (memory 0)))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("env", "good", |_: i32| {})?;
    linker.func_wrap("env", "func", |_: i32| {})?;
    linker.func_wrap("env", "kind", || 0_i32)?;
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(3)))?;
    linker.define(&store, "env", "memory", memory)?;
    let table = Table::new(&mut store, TableType::new(RefType::FUNCREF, 1, None), Ref::Func(None))?;
    linker.define(&store, "env", "table", table)?;
    let global = Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Const), Val::I32(0))?;
    linker.define(&store, "env", "global", global)?;

    for error in [linker.instantiate(&mut store, &module).unwrap_err(), linker.instantiate_pre(&module).unwrap_err()] {
        let text = error.to_string();
        assert_eq!(
            text,
            "7 imports do not match:
  unknown import: `env::missing` has not been defined (expected func (i32) -> ())
  incompatible import type for `env::func`: expected func (i64) -> (), found func (i32) -> ()
  incompatible import type for `env::memory`: expected memory of 2 to 3 pages, found memory of 1 to 3 pages
  incompatible import type for `env::table`: expected table of 1 or more externref, found table of 1 or more funcref
  incompatible import type for `env::global`: expected global mut i32, found global i32
  incompatible import type for `env::kind`: expected global i32, found func () -> (i32)
  unknown import: `other::good` has not been defined (expected memory of 0 or more pages)"
        );
        let error = error.downcast_ref::<ImportError>().expect("imports do not match");
        assert_eq!(error.problems().len(), 7);
        assert_eq!((error.problems()[0].module(), error.problems()[0].name()), ("env", "missing"));
        assert!(matches!(error.problems()[0].expected(), ExternType::Func(_)));
        assert!(error.problems()[0].found().is_none());
    }

    // What has grown fits.
    memory.grow(&mut store, 1)?;
    let error = linker.instantiate(&mut store, &module).unwrap_err();
    assert_eq!(error.downcast_ref::<ImportError>().expect("imports do not match").problems().len(), 6);

    let error = Instance::new(&mut store, &module, &[]).unwrap_err();
    assert_eq!(error.to_string(), "expected 8 imports, found 0");
    let items: Vec<Extern> = vec![memory.into(); 8];
    let error = Instance::new(&mut store, &module, &items).unwrap_err();
    // The second memory is one that fits by now.
    assert_eq!(error.downcast_ref::<ImportError>().expect("imports do not match").problems().len(), 6);
    Ok(())
}

#[test]
fn names_are_defined_once_unless_shadowing() -> Result<()> {
    let engine = Engine::default();
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("a", "f", || 1_i32)?.func_wrap("a", "g", || 2_i32)?;
    assert!(linker.func_wrap("a", "f", || 3_i32).is_err());
    linker.alias("a", "g", "b", "f")?;
    assert!(linker.alias("a", "g", "a", "f").is_err());
    assert!(linker.alias("a", "h", "a", "i").is_err());
    linker.alias_module("a", "c")?;
    assert!(linker.alias_module("nothing", "d").is_err());
    linker.allow_shadowing(true).func_wrap("a", "f", || 3_i32)?;

    let mut store = Store::new(&engine, ());
    let mut value = |module: &str, name: &str| -> Result<i32> {
        let func = linker.get(&mut store, module, name).and_then(Extern::into_func).expect("defined");
        func.typed::<(), i32>(&store)?.call(&mut store, ())
    };
    assert_eq!((value("a", "f")?, value("b", "f")?, value("c", "f")?, value("c", "g")?), (3, 2, 1, 2));
    assert!(linker.get(&mut store, "a", "h").is_none());
    let mut names: Vec<_> = linker.iter(&mut store).map(|(module, name, _)| format!("{module}.{name}")).collect();
    names.sort();
    assert_eq!(names, ["a.f", "a.g", "b.f", "c.f", "c.g"]);
    Ok(())
}

#[test]
fn one_linker_serves_many_stores() -> Result<()> {
    let engine = Engine::default();
    let mut linker = Linker::<u32>::new(&engine);
    linker.func_wrap("", "add", |mut caller: Caller<'_, u32>, n: u32| *caller.data_mut() += n)?;
    let module = compiled(
        &engine,
        r#"(module (import "" "add" (func $add (param i32))) (func (export "run") (call $add (i32.const 5))))"#,
    )?;
    let pre = linker.instantiate_pre(&module)?;
    let threads: Vec<_> = (0..4)
        .map(|data| {
            let (engine, pre) = (engine.clone(), pre.clone());
            std::thread::spawn(move || -> Result<u32> {
                let mut store = Store::new(&engine, data);
                for _ in 0..10 {
                    let instance = pre.instantiate(&mut store)?;
                    run(&mut store, instance, "run")?;
                }
                Ok(store.into_data())
            })
        })
        .collect();
    for (data, thread) in (0..4).zip(threads) {
        assert_eq!(thread.join().expect("the thread ends well")?, data + 50);
    }
    Ok(())
}

#[test]
fn instances_share_what_they_import() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let owner = compiled(
        &engine,
        r#"(module
            (memory (export "memory") 1 4)
            (global (export "global") (mut i64) (i64.const 1))
            (table (export "table") 4 funcref)
            (func (export "grow") (result i32) (memory.grow (i32.const 1)))
            (func (export "read") (param i32) (result i32) (i32.load (local.get 0))))"#,
    )?;
    linker.module(&mut store, "owner", &owner)?;
    let user = compiled(
        &engine,
        r#"(module
            (import "owner" "memory" (memory 1))
            (import "owner" "global" (global $g (mut i64)))
            (import "owner" "table" (table 1 funcref))
            (import "owner" "read" (func $read (param i32) (result i32)))
            (type $unary (func (param i32) (result i32)))
            (elem (i32.const 1) $double $read)
            (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
            (func (export "write") (param i32 i32)
                (i32.store (local.get 0) (local.get 1)) (global.set $g (i64.const 9)))
            (func (export "through") (param i32 i32) (result i32)
                (call_indirect (type $unary) (local.get 1) (local.get 0)))
            (func (export "size") (result i32) memory.size))"#,
    )?;
    let user = linker.instantiate(&mut store, &user)?;
    let write = user.get_typed_func::<(i32, i32), ()>(&mut store, "write")?;
    write.call(&mut store, (1000, 21))?;
    let read = linker.get(&mut store, "owner", "read").and_then(Extern::into_func).expect("defined");
    let read = read.typed::<i32, i32>(&store)?;
    assert_eq!(read.call(&mut store, 1000)?, 21);
    let global = linker.get(&mut store, "owner", "global").and_then(Extern::into_global).expect("defined");
    assert_eq!(global.get(&mut store).unwrap_i64(), 9);

    let through = user.get_typed_func::<(i32, i32), i32>(&mut store, "through")?;
    assert_eq!(through.call(&mut store, (1, 8))?, 16, "the user's own function");
    assert_eq!(through.call(&mut store, (2, 1000))?, 21, "the owner's function");

    let grow = linker.get(&mut store, "owner", "grow").and_then(Extern::into_func).expect("defined");
    assert_eq!(grow.typed::<(), i32>(&store)?.call(&mut store, ())?, 1);
    assert_eq!(user.get_typed_func::<(), i32>(&mut store, "size")?.call(&mut store, ())?, 2);
    write.call(&mut store, (65_536 + 4, 3))?;
    assert_eq!(read.call(&mut store, 65_536 + 4)?, 3);
    assert_eq!(trap(&write.call(&mut store, (2 * 65_536, 3)).unwrap_err()), Trap::MemoryOutOfBounds);
    Ok(())
}

#[test]
#[cfg_attr(not(feature = "compiler"), ignore = "code to enter and leave functions of new types has to be compiled")]
fn host_functions_as_values() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 100);
    // Two types: of one the module has code to leave through, of the other it has not.
    let known = Func::wrap(&mut store, |caller: Caller<'_, i32>, n: i32| n + *caller.data());
    let unknown = Func::wrap(&mut store, |n: i32, f: f64| f64::from(n) * f);
    let module = compiled(
        &engine,
        r#"(module
            (type $known (func (param i32) (result i32)))
            (type $unknown (func (param i32 f64) (result f64)))
            (import "" "known" (func $import (type $known)))
            (global (export "global") (mut funcref) (ref.null func))
            (table (export "table") 4 funcref)
            (elem (i32.const 3) $import)
            (func (export "known") (param i32) (result i32)
                (call_indirect (type $known) (i32.const 7) (local.get 0)))
            (func (export "unknown") (param i32) (result f64)
                (call_indirect (type $unknown) (i32.const 7) (f64.const 0.5) (local.get 0)))
            (func (export "same") (param funcref) (result funcref) (local.get 0))
            (func (export "move") (table.set (i32.const 2) (global.get 0))))"#,
    )?;
    let instance = Instance::new(&mut store, &module, &[known.into()])?;
    let table = instance.get_table(&mut store, "table").expect("exported");
    let call_known = instance.get_typed_func::<i32, i32>(&mut store, "known")?;
    let call_unknown = instance.get_typed_func::<i32, f64>(&mut store, "unknown")?;
    table.set(&mut store, 0, known.into())?;
    table.set(&mut store, 1, unknown.into())?;
    assert_eq!(call_known.call(&mut store, 0)?, 107);
    assert_eq!(call_unknown.call(&mut store, 1)?, 3.5);
    assert_eq!(trap(&call_known.call(&mut store, 1).unwrap_err()), Trap::BadSignature);
    assert_eq!(trap(&call_known.call(&mut store, 2).unwrap_err()), Trap::IndirectCallToNull);
    assert_eq!(call_known.call(&mut store, 3)?, 107, "as the module imports it");

    let global = instance.get_global(&mut store, "global").expect("exported");
    global.set(&mut store, Val::FuncRef(Some(unknown)))?;
    run(&mut store, instance, "move")?;
    assert_eq!(call_unknown.call(&mut store, 2)?, 3.5);

    // What comes back from the guest can be called.
    let same = instance.get_typed_func::<Option<Func>, Option<Func>>(&mut store, "same")?;
    for func in [known, instance.get_func(&mut store, "known").expect("exported")] {
        let back = same.call(&mut store, Some(func))?.expect("not null");
        assert_eq!(back, func);
        assert_eq!(back.ty(&store), FuncType::new(&engine, [ValType::I32], [ValType::I32]));
    }
    assert!(same.call(&mut store, None)?.is_none());
    let imported = *table.get(&mut store, 3).expect("in bounds").unwrap_func().expect("not null");
    assert_eq!(imported.typed::<i32, i32>(&store)?.call(&mut store, 1)?, 101);
    Ok(())
}

#[test]
fn an_imported_function_is_exported_again() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "f", |n: i32| n * 3)?;
    let passes =
        compiled(&engine, r#"(module (import "host" "f" (func $f (param i32) (result i32))) (export "f" (func $f)))"#)?;
    linker.module(&mut store, "first", &passes)?;
    let passes = compiled(
        &engine,
        r#"(module (import "first" "f" (func $f (param i32) (result i32))) (export "f" (func $f)))"#,
    )?;
    linker.module(&mut store, "second", &passes)?;
    let user = compiled(
        &engine,
        r#"(module (import "second" "f" (func $f (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0)))))"#,
    )?;
    let user = linker.instantiate(&mut store, &user)?;
    let run = user.get_typed_func::<i32, i32>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, 5)?, 16);
    let second = linker.get(&mut store, "second", "f").and_then(Extern::into_func).expect("defined");
    assert_eq!(second.typed::<i32, i32>(&store)?.call(&mut store, 5)?, 15);
    Ok(())
}

#[test]
fn unknown_imports_may_trap_when_called() -> Result<()> {
    let engine = Engine::default();
    let module = compiled(
        &engine,
        r#"(module (import "a" "f" (func $f (param i64) (result v128))) (func (export "run") (drop (call $f (i64.const 0)))))"#,
    )?;
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&module)?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let error = run(&mut store, instance, "run").unwrap_err();
    let unknown = error.downcast_ref::<UnknownImportError>().expect("the import is unknown");
    assert_eq!((unknown.module(), unknown.name()), ("a", "f"));
    Ok(())
}

#[test]
fn reactors_are_initialized() -> Result<()> {
    let engine = Engine::default();
    let module = compiled(
        &engine,
        r#"(module (global $g (mut i32) (i32.const 0)) (export "g" (global $g))
            (func (export "_initialize") (global.set $g (i32.const 8))))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.module(&mut store, "reactor", &module)?;
    linker.get_default(&mut store, "reactor")?.typed::<(), ()>(&store)?.call(&mut store, ())?;
    let global = linker.get(&mut store, "reactor", "g").and_then(Extern::into_global).expect("defined");
    assert_eq!(global.get(&mut store).unwrap_i32(), 8);
    Ok(())
}

#[test]
fn exports_are_found_and_listed() -> Result<()> {
    let engine = Engine::default();
    let module = compiled(
        &engine,
        r#"(module $m
            (import "i" "f" (func (param i32)))
            (func (export "f")) (memory (export "m") 1) (table (export "t") 1 funcref)
            (global (export "g") i32 (i32.const 1))
            (@custom "note" "content"))"#,
    )?;
    assert_eq!(module.name(), Some("m"));
    assert_eq!(
        module.imports().map(|i| format!("{} {} {}", i.module(), i.name(), i.ty())).collect::<Vec<_>>(),
        ["i f func (i32) -> ()"]
    );
    assert_eq!(module.exports().map(|export| export.name().to_owned()).collect::<Vec<_>>(), ["f", "m", "t", "g"]);
    assert!(matches!(module.get_export("g"), Some(ExternType::Global(_))));
    assert!(module.get_export("x").is_none());
    // Artefacts have none.
    #[cfg(feature = "compiler")]
    assert_eq!(module.custom_sections("note").collect::<Vec<_>>(), [b"content"]);
    assert!(module.code_size() > 0);
    assert_eq!(module.functions().map(|f| (f.index(), f.name())).collect::<Vec<_>>(), [(1, Some("f"))]);
    assert!(module.functions().all(|function| function.code_size() > 0 && function.body_size() > 0));

    let mut store = Store::new(&engine, ());
    let host = Func::wrap(&mut store, |_: i32| {});
    let instance = Instance::new(&mut store, &module, &[host.into()])?;
    let names: Vec<_> = instance.exports(&mut store).map(|export| export.name().to_owned()).collect();
    assert_eq!(names, ["f", "m", "t", "g"]);
    assert!(instance.get_func(&mut store, "m").is_none());
    assert!(instance.get_memory(&mut store, "m").is_some());
    assert!(instance.get_table(&mut store, "t").is_some());
    assert!(instance.get_global(&mut store, "g").is_some());
    assert!(instance.get_export(&mut store, "x").is_none());
    Ok(())
}

#[test]
fn a_command_begins_anew_with_each_call() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "report", |mut caller: Caller<'_, i32>, value: i32| *caller.data_mut() = value)?;
    let command = compiled(
        &engine,
        r#"(module
            (import "host" "report" (func $report (param i32)))
            (memory (export "memory") 1)
            (global $calls (mut i32) (i32.const 0))
            (func $count (result i32)
                (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                (global.get $calls))
            (func (export "_start") (call $report (i32.add (call $count) (i32.const 100))))
            (func (export "twice") (param i32) (result i32 i64)
                (drop (call $count)) (i32.add (local.get 0) (call $count)) (i64.const 7)))"#,
    )?;
    linker.module(&mut store, "command", &command)?;
    assert!(linker.get(&mut store, "command", "memory").is_none());
    let start = linker.get_default(&mut store, "command")?.typed::<(), ()>(&store)?;
    for _ in 0..3 {
        *store.data_mut() = 0;
        start.call(&mut store, ())?;
        assert_eq!(*store.data(), 101, "the count begins anew");
    }
    let user = compiled(
        &engine,
        r#"(module
            (import "command" "twice" (func $twice (param i32) (result i32 i64)))
            (func (export "run") (param i32) (result i32) (call $twice (local.get 0)) drop))"#,
    )?;
    let user = linker.instantiate(&mut store, &user)?;
    let run = user.get_typed_func::<i32, i32>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, 10)?, 12);
    assert_eq!(run.call(&mut store, 10)?, 12);
    Ok(())
}

#[test]
fn what_is_neither_a_command_nor_a_reactor_is_refused() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut refused = |text: &str| {
        let module = compiled(&engine, text).expect("a valid module");
        Linker::new(&engine).module(&mut store, "m", &module).expect_err("it is refused").to_string()
    };
    let both = refused(r#"(module (func (export "_start")) (func (export "_initialize")))"#);
    assert!(both.contains("`_start`") && both.contains("`_initialize`"), "{both}");
    let table = refused(r#"(module (func (export "_start")) (table (export "t") 1 funcref))"#);
    assert!(table.contains("`t`") && table.contains("command"), "{table}");
    let missing = refused(r#"(module (import "a" "b" (func)) (func (export "_start")))"#);
    assert!(missing.contains('a'), "{missing}");
    Ok(())
}
