//! Late modules that are removed: what becomes of everything that referred to them.

use crate::common::trap;
use wasmo::late_link::RemoveError;
use wasmo::{
    Caller, Engine, Extern, Func, Instance, LateModule, Linker, Memory, Module, Ref, Result, Store, Table, Trap, Val,
};

/// What host functions of these tests work on.
#[derive(Default)]
struct Host {
    /// The module that `remove` removes, and what came of it.
    late: Option<LateModule>,
    removed: Option<std::result::Result<(), RemoveError>>,
    /// The last function that the guest passed to `look`; `None` inside for null.
    seen: Option<Option<Func>>,
}

/// Lends memory, table and a variable for functions; its functions call what is there, and have host functions called meanwhile.
const HOST: &str = r#"(module
    (import "host" "remove" (func $remove (result i32)))
    (import "host" "cycle" (func $cycle (param i32)))
    (import "host" "look" (func $look (param funcref)))
    (import "host" "again" (func $again))
    (export "remove" (func $remove))
    (export "again" (func $again))
    (type $get (func (result i32)))
    (memory (export "memory") 1)
    (table $table (export "__indirect_function_table") 8 funcref)
    (global $var (export "var") (mut funcref) (ref.null func))
    (func $nine (export "nine") (result i32) (i32.const 9))
    (func (export "call") (param i32) (result i32) (call_indirect (type $get) (local.get 0)))
    (func (export "is_null") (param i32) (result i32) (ref.is_null (table.get $table (local.get 0))))
    (func (export "var_is_null") (result i32) (ref.is_null (global.get $var)))
    ;; Holds the function in slot 1 in a variable while it is removed, lets the host do other things, and calls it.
    (func (export "hold") (param $cycles i32) (result i32) (local $f funcref)
        (local.set $f (table.get $table (i32.const 1)))
        (if (i32.eqz (call $remove)) (then (call $cycle (local.get $cycles))))
        (table.set $table (i32.const 2) (local.get $f))
        (call $look (local.get $f))
        (call_indirect (type $get) (i32.const 2)))
    (func (export "go_on") (result i32) (call $again) (i32.const 1))
    (func (export "out_of_bounds") (result i32) (i32.load (i32.const 65536))))"#;

/// A module whose function `get` answers `value`; it stands in slot 1 of the table and in the variable.
fn getter(value: i32) -> String {
    format!(
        r#"(module
            (import "env" "__indirect_function_table" (table $table 0 funcref))
            (import "env" "var" (global $var (mut funcref)))
            (func $get (export "get") (result i32) (i32.const {value}))
            (func $patch
                (table.set $table (i32.const 1) (ref.func $get))
                (global.set $var (ref.func $get)))
            (start $patch))"#
    )
}

struct World {
    store: Store<Host>,
    instance: Instance,
}

impl World {
    fn new() -> Result<Self> {
        let engine = Engine::new(&crate::config())?;
        let mut linker = Linker::<Host>::new(&engine);
        linker.func_wrap("host", "remove", |mut caller: Caller<'_, Host>| -> i32 {
            let late = caller.data().late.expect("there is something to remove");
            let removed = late.remove(&mut caller);
            let answer = i32::from(removed.is_err());
            caller.data_mut().removed = Some(removed);
            answer
        })?;
        linker.func_wrap("host", "cycle", |mut caller: Caller<'_, Host>, cycles: i32| -> Result<()> {
            let instance = caller.instance().expect("a guest calls");
            for cycle in 0..cycles {
                instance.add_module(&mut caller, getter(1000 + cycle))?.remove(&mut caller)?;
            }
            Ok(())
        })?;
        linker.func_wrap("host", "look", |mut caller: Caller<'_, Host>, func: Option<Func>| {
            caller.data_mut().seen = Some(func);
        })?;
        linker.func_wrap("host", "again", |mut caller: Caller<'_, Host>| -> Result<()> {
            let instance = caller.instance().expect("a guest calls");
            let remove = instance.get_typed_func::<(), i32>(&mut caller, "remove")?;
            remove.call(&mut caller, ())?;
            Ok(())
        })?;
        let mut store = Store::new(&engine, Host::default());
        let instance = linker.instantiate(&mut store, &Module::new(&engine, HOST)?)?;
        Ok(Self { store, instance })
    }

    fn add(&mut self, text: &str) -> Result<LateModule> {
        let late = self.instance.add_module(&mut self.store, text)?;
        self.store.data_mut().late = Some(late);
        Ok(late)
    }

    fn call(&mut self, name: &str) -> Result<i32> {
        self.instance.get_typed_func::<(), i32>(&mut self.store, name)?.call(&mut self.store, ())
    }

    fn call_with(&mut self, name: &str, argument: i32) -> Result<i32> {
        self.instance.get_typed_func::<i32, i32>(&mut self.store, name)?.call(&mut self.store, argument)
    }

    fn table(&mut self) -> Table {
        self.instance.get_table(&mut self.store, "__indirect_function_table").unwrap()
    }
}

#[test]
fn tables_and_globals_forget_it() -> Result<()> {
    let mut world = World::new()?;
    let late = world.add(&getter(5))?;
    assert_eq!(world.call_with("call", 1)?, 5);
    assert_eq!((world.call_with("is_null", 1)?, world.call("var_is_null")?), (0, 0));
    late.remove(&mut world.store)?;
    assert_eq!((world.call_with("is_null", 1)?, world.call("var_is_null")?), (1, 1));
    assert_eq!(trap(&world.call_with("call", 1).unwrap_err()), Trap::IndirectCallToNull);
    let table = world.table();
    assert!(matches!(table.get(&mut world.store, 1), Some(Ref::Func(None))));
    assert_eq!(late.remove(&mut world.store), Err(RemoveError::Unknown));
    assert!(late.get_export(&mut world.store, "get").is_none());
    // The slot can be used again, the handle is not.
    assert_eq!(world.add(&getter(6))?.handle(), late.handle() + 1);
    assert_eq!(world.call_with("call", 1)?, 6);
    Ok(())
}

#[test]
fn the_hosts_functions_are_null() -> Result<()> {
    let mut world = World::new()?;
    let late = world.add(&getter(5))?;
    let typed = late.get_typed_func::<(), i32>(&mut world.store, "get")?;
    let func = *typed.func();
    assert_eq!(typed.call(&mut world.store, ())?, 5);
    late.remove(&mut world.store)?;
    // Whatever comes to lie where it was.
    for value in 0..20 {
        world.add(&getter(value))?;
    }
    assert_eq!(trap(&typed.call(&mut world.store, ()).unwrap_err()), Trap::IndirectCallToNull);
    assert!(func.call(&mut world.store, &[], &mut []).is_err());
    assert!(func.call(&mut world.store, &[], &mut [Val::I32(0)]).is_err());
    assert!(func.typed::<(), i32>(&world.store).is_err());
    assert!(func.typed::<(), ()>(&world.store).is_err());
    // As a value it is null.
    let table = world.table();
    table.set(&mut world.store, 3, Ref::Func(Some(func)))?;
    assert_eq!(world.call_with("is_null", 3)?, 1);
    // It cannot be imported.
    let module = Module::new(world.store.engine(), r#"(module (import "" "" (func)))"#)?;
    assert!(Instance::new(&mut world.store, &module, &[Extern::Func(func)]).is_err());
    Ok(())
}

#[test]
fn a_reference_in_a_variable_of_a_running_function_is_null() -> Result<()> {
    // A thousand other modules come and go meanwhile, so that contexts are searched for and freed.
    for cycles in [0, 10, 1000] {
        let mut world = World::new()?;
        world.add(&getter(5))?;
        let error = world.call_with("hold", cycles).unwrap_err();
        assert_eq!(trap(&error), Trap::IndirectCallToNull, "{cycles}");
        assert_eq!(world.store.data().removed, Some(Ok(())));
        assert!(matches!(world.store.data().seen, Some(None)), "the host sees null");
        assert_eq!(world.call_with("is_null", 2)?, 1);
    }
    Ok(())
}

#[test]
fn running_code_stays() -> Result<()> {
    let mut world = World::new()?;
    let calls_host = r#"(module
        (import "env" "remove" (func $remove (result i32)))
        (func $deeper (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (call $deeper (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))
                (else (call $remove))))
        (func (export "get") (result i32) (i32.add (call $deeper (i32.const 50)) (i32.const 10))))"#;
    let late = world.add(calls_host)?;
    let get = late.get_typed_func::<(), i32>(&mut world.store, "get")?;
    assert_eq!(get.call(&mut world.store, ())?, 11);
    assert_eq!(world.store.data().removed, Some(Err(RemoveError::Running)));
    // Nothing happened to it.
    assert_eq!(get.call(&mut world.store, ())?, 11);
    late.remove(&mut world.store)?;
    Ok(())
}

#[test]
fn code_that_waits_in_an_outer_activation_stays() -> Result<()> {
    let mut world = World::new()?;
    // Late code calls the host, which calls the guest, which calls the host.
    let late = world.add(
        r#"(module
            (import "env" "again" (func $again))
            (func (export "run") (call $again)))"#,
    )?;
    late.get_typed_func::<(), ()>(&mut world.store, "run")?.call(&mut world.store, ())?;
    assert_eq!(world.store.data().removed, Some(Err(RemoveError::Running)));
    // Called in the same way, but not through late code.
    assert_eq!(world.call("go_on")?, 1);
    assert_eq!(world.store.data().removed, Some(Ok(())));
    Ok(())
}

#[test]
fn code_that_has_left_by_a_tail_call_goes() -> Result<()> {
    let mut world = World::new()?;
    let late = world.add(
        r#"(module
            (import "env" "remove" (func $remove (result i32)))
            (func (export "run") (result i32) (return_call $remove)))"#,
    )?;
    assert_eq!(late.get_typed_func::<(), i32>(&mut world.store, "run")?.call(&mut world.store, ())?, 0);
    assert_eq!(world.store.data().removed, Some(Ok(())));
    Ok(())
}

#[test]
fn a_module_cannot_remove_itself_in_its_start_function() -> Result<()> {
    let mut world = World::new()?;
    let before = world.add("(module)")?;
    world.add(r#"(module (import "env" "remove" (func $remove (result i32))) (func $patch (drop (call $remove))) (start $patch))"#)?;
    assert_eq!(world.store.data().removed, Some(Ok(())));
    assert_eq!(before.remove(&mut world.store), Err(RemoveError::Unknown));
    Ok(())
}

#[test]
fn what_others_import_from_stays() -> Result<()> {
    let mut world = World::new()?;
    let exporting = world.add(
        r#"(module
            (memory (export "memory") 1)
            (global (export "global") (mut i32) (i32.const 7))
            (table (export "table") 1 funcref)
            (func (export "func")))"#,
    )?;
    for import in
        ["\"func\" (func)", "\"memory\" (memory 1)", "\"table\" (table 1 funcref)", "\"global\" (global (mut i32))"]
    {
        let importing = world.add(&format!(r#"(module (import "late.0" {import}))"#))?;
        assert_eq!(exporting.remove(&mut world.store), Err(RemoveError::Imported(1)), "{import}");
        importing.remove(&mut world.store)?;
    }
    // One that fails imports nothing.
    let failing = r#"(module (import "late.0" "func" (func)) (func $f unreachable) (start $f))"#;
    assert!(world.instance.add_module(&mut world.store, failing).is_err());
    // An ordinary instance never goes, so neither does what it imports.
    let module =
        Module::new(world.store.engine(), r#"(module (import "" "" (func $f)) (func (export "f") (call $f)))"#)?;
    let func = exporting.get_export(&mut world.store, "func").unwrap();
    let instance = Instance::new(&mut world.store, &module, &[func])?;
    assert_eq!(exporting.remove(&mut world.store), Err(RemoveError::Imported(1)));
    crate::common::run(&mut world.store, instance, "f")
}

#[test]
fn functions_that_it_passed_on_stay() -> Result<()> {
    let mut world = World::new()?;
    let late = world.add(
        r#"(module
            (import "env" "__indirect_function_table" (table $table 0 funcref))
            (import "env" "nine" (func $nine (result i32)))
            (export "nine" (func $nine))
            (elem declare func $nine)
            (func $patch (table.set $table (i32.const 4) (ref.func $nine)))
            (start $patch))"#,
    )?;
    let nine = late.get_typed_func::<(), i32>(&mut world.store, "nine")?;
    late.remove(&mut world.store)?;
    assert_eq!(world.call_with("call", 4)?, 9);
    assert_eq!(nine.call(&mut world.store, ())?, 9);
    Ok(())
}

#[test]
fn what_it_defined_is_empty_for_the_host() -> Result<()> {
    let mut world = World::new()?;
    let late = world.add(
        r#"(module
            (memory (export "memory") 2)
            (table (export "table") 3 funcref)
            (global (export "global") (mut i64) (i64.const 7)))"#,
    )?;
    let memory: Memory = late.get_memory(&mut world.store, "memory").unwrap();
    let table = late.get_table(&mut world.store, "table").unwrap();
    let global = late.get_global(&mut world.store, "global").unwrap();
    late.remove(&mut world.store)?;
    let other =
        world.add(r#"(module (memory (export "memory") 2) (table 3 funcref) (global (mut i64) (i64.const 9)))"#)?;
    assert_eq!((memory.size(&world.store), memory.data(&world.store).len()), (0, 0));
    assert!(memory.write(&mut world.store, 0, &[1]).is_err());
    assert!(memory.grow(&mut world.store, 1).is_err());
    assert_eq!(table.size(&world.store), 0);
    assert!(table.get(&mut world.store, 0).is_none());
    assert!(table.set(&mut world.store, 0, Ref::Func(None)).is_err());
    assert!(table.grow(&mut world.store, 1, Ref::Func(None)).is_err());
    assert!(!matches!(global.get(&mut world.store), Val::I64(7 | 9)));
    assert_eq!(other.get_memory(&mut world.store, "memory").unwrap().size(&world.store), 2);
    // Faults in other memories are still traps.
    assert_eq!(trap(&world.call("out_of_bounds").unwrap_err()), Trap::MemoryOutOfBounds);
    Ok(())
}

#[test]
fn a_start_function_that_traps_leaves_no_functions() -> Result<()> {
    let mut world = World::new()?;
    let error = world.instance.add_module(
        &mut world.store,
        r#"(module
            (import "env" "__indirect_function_table" (table $table 0 funcref))
            (func $get (result i32) (i32.const 3))
            (elem declare func $get)
            (func $patch (table.set $table (i32.const 5) (ref.func $get)) unreachable)
            (start $patch))"#,
    );
    assert_eq!(trap(&error.unwrap_err()), Trap::UnreachableCodeReached);
    assert_eq!(world.call_with("is_null", 5)?, 1);
    Ok(())
}

#[test]
fn memories_and_tables_count_until_they_are_removed() -> Result<()> {
    let engine = Engine::new(&crate::config())?;
    let mut store = Store::new(&engine, wasmo::StoreLimitsBuilder::new().memories(1).tables(1).build());
    store.limiter(|limits| limits);
    let instance = Instance::new(&mut store, &Module::new(&engine, "(module)")?, &[])?;
    for _ in 0..10 {
        let late = instance.add_module(&mut store, "(module (memory 1) (table 1 funcref))")?;
        assert!(instance.add_module(&mut store, "(module (memory 1))").is_err());
        late.remove(&mut store)?;
    }
    Ok(())
}

#[test]
fn modules_come_and_go_in_any_order() -> Result<()> {
    let mut world = World::new()?;
    let mut alive = Vec::new();
    let mut state = 12345_u32;
    for round in 0..400 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 30 != 0 || alive.is_empty() {
            alive.push((world.add(&getter(round))?, round));
        } else {
            let (late, value) = alive.swap_remove(state as usize / 7 % alive.len());
            let get = late.get_typed_func::<(), i32>(&mut world.store, "get")?;
            assert_eq!(get.call(&mut world.store, ())?, value);
            late.remove(&mut world.store)?;
            assert!(get.call(&mut world.store, ()).is_err());
        }
    }
    for (late, value) in alive {
        assert_eq!(late.get_typed_func::<(), i32>(&mut world.store, "get")?.call(&mut world.store, ())?, value);
    }
    Ok(())
}
