//! Late linking: modules added to instances that live, by the host and by guests.

use crate::common::{instance_with, names, trap};
use wasmo::late_link::{JitErrorCode, JitLimits, add_disabled_to_linker, add_to_linker};
use wasmo::{
    Caller, CompileError, CompileErrorKind, Engine, Extern, ImportError, Instance, Linker, Module, Ref, Result, Store,
    Trap,
};

/// A guest that lends its memory and its table, and calls what is in the table.
const HOST: &str = r#"(module
    (type $unary (func (param i32) (result i32)))
    (memory (export "memory") 1)
    (table $table (export "__indirect_function_table") 2 funcref)
    (global $count (export "count") (mut i32) (i32.const 0))
    (func $double (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (elem (i32.const 1) $double)
    (func (export "apply") (param i32 i32) (result i32)
        (call_indirect (type $unary) (local.get 1) (local.get 0))))"#;

/// A module that puts one function into a new slot of the table, and the slot's index to address 16 of the memory.
fn patch(function: &str) -> String {
    format!(
        r#"(module
            (import "env" "memory" (memory 1))
            (import "env" "__indirect_function_table" (table $table 0 funcref))
            (import "env" "double" (func $double (param i32) (result i32)))
            (import "env" "count" (global $count (mut i32)))
            {function}
            (elem declare func $new)
            (func $patch
                (global.set $count (i32.add (global.get $count) (i32.const 1)))
                (i32.store (i32.const 16) (table.grow $table (ref.func $new) (i32.const 1))))
            (start $patch))"#
    )
}

/// An instance of a module without imports, in a store of its own.
fn instance(text: &str) -> Result<(Store<()>, Instance)> {
    instance_with(&Engine::new(&crate::config())?, (), text, |_| Vec::new())
}

fn apply<T: 'static>(store: &mut Store<T>, instance: Instance, index: i32, argument: i32) -> Result<i32> {
    instance.get_typed_func::<(i32, i32), i32>(&mut *store, "apply")?.call(store, (index, argument))
}

fn patched_index<T: 'static>(store: &mut Store<T>, instance: Instance) -> i32 {
    let memory = instance.get_memory(&mut *store, "memory").unwrap();
    i32::from(memory.data(&*store)[16])
}

#[test]
fn a_late_module_patches_the_table_and_the_memory() -> Result<()> {
    let (mut store, instance) = instance(HOST)?;
    let late = instance.add_module(
        &mut store,
        patch("(func $new (export \"new\") (param i32) (result i32) (i32.add (call $double (local.get 0)) (i32.const 1)))"),
    )?;
    assert_eq!(late.handle(), 0);
    let index = patched_index(&mut store, instance);
    assert_eq!(index, 2);
    assert_eq!(apply(&mut store, instance, index, 20)?, 41);
    let new = late.get_typed_func::<i32, i32>(&mut store, "new")?;
    assert_eq!(new.call(&mut store, 1)?, 3);
    assert_eq!(late.exports(&mut store).len(), 1);
    assert!(late.get_export(&mut store, "other").is_none());
    let count = instance.get_global(&mut store, "count").unwrap();
    assert_eq!(count.get(&mut store).i32(), Some(1));
    Ok(())
}

#[test]
fn late_modules_import_from_one_another() -> Result<()> {
    let (mut store, instance) = instance(HOST)?;
    let first = instance.add_module(
        &mut store,
        r#"(module
            (memory (export "own") 1)
            (global (export "seven") i32 (i32.const 7))
            (table (export "t") 1 funcref)
            (func (export "triple") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))"#,
    )?;
    let second = instance.add_module(
        &mut store,
        r#"(module
            (import "late.0" "triple" (func $triple (param i32) (result i32)))
            (import "late.0" "seven" (global $seven i32))
            (import "late.0" "own" (memory 1))
            (import "late.0" "t" (table 1 funcref))
            (func (export "run") (result i32) (call $triple (global.get $seven))))"#,
    )?;
    assert_eq!((first.handle(), second.handle()), (0, 1));
    assert_eq!(second.get_typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?, 21);
    Ok(())
}

#[test]
fn families_of_late_modules_are_apart() -> Result<()> {
    let engine = Engine::new(&crate::config())?;
    let module = Module::new(&engine, HOST)?;
    let mut store = Store::new(&engine, ());
    let one = Instance::new(&mut store, &module, &[])?;
    let other = Instance::new(&mut store, &module, &[])?;
    let exporting = r#"(module (func (export "f")))"#;
    assert_eq!(one.add_module(&mut store, exporting)?.handle(), 0);
    let importing = r#"(module (import "late.0" "f" (func)))"#;
    let error = other.add_module(&mut store, importing).unwrap_err();
    assert!(error.is::<ImportError>(), "{error:?}");
    assert_eq!(one.add_module(&mut store, importing)?.handle(), 1);
    assert_eq!(other.add_module(&mut store, exporting)?.handle(), 0);
    Ok(())
}

#[test]
fn all_bad_imports_are_listed_and_nothing_else_can_be_imported() -> Result<()> {
    let (mut store, instance) = instance(HOST)?;
    let error = instance
        .add_module(
            &mut store,
            r#"(module
                (import "env" "memory" (memory 1))
                (import "env" "memory" (memory 2))
                (import "env" "double" (func (param i64)))
                (import "env" "missing" (func))
                (import "env" "count" (global i32))
                (import "env" "__indirect_function_table" (table 3 funcref))
                (import "late.0" "f" (func))
                (import "late.00" "f" (func))
                (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
                (import "wasmo_jit" "add_module" (func (param i32 i32) (result i32))))"#,
        )
        .unwrap_err();
    let problems = error.downcast_ref::<ImportError>().expect("imports do not match").problems();
    let names: Vec<_> = problems.iter().map(|problem| (problem.module(), problem.name())).collect();
    assert_eq!(
        names,
        [
            ("env", "memory"),
            ("env", "double"),
            ("env", "missing"),
            ("env", "count"),
            ("env", "__indirect_function_table"),
            ("late.0", "f"),
            ("late.00", "f"),
            ("wasi_snapshot_preview1", "proc_exit"),
            ("wasmo_jit", "add_module")
        ]
    );
    Ok(())
}

#[test]
fn failures_leave_the_instance_as_it_was() -> Result<()> {
    let (mut store, instance) = instance(HOST)?;
    let error = instance.add_module(&mut store, b"\0asm\x01\0\0\0\xff").unwrap_err();
    assert_eq!(error.downcast_ref::<CompileError>().unwrap().kind(), CompileErrorKind::Malformed);
    let error = instance.add_module(&mut store, "(module (func (result i32)))").unwrap_err();
    assert_eq!(error.downcast_ref::<CompileError>().unwrap().kind(), CompileErrorKind::Invalid);
    let error = instance
        .add_module(&mut store, r#"(module (import "env" "memory" (memory 1)) (data (i32.const 65536) "x"))"#)
        .unwrap_err();
    assert_eq!(trap(&error), Trap::MemoryOutOfBounds);
    let error = instance
        .add_module(
            &mut store,
            r#"(module
                (import "env" "memory" (memory 1))
                (func $patch (i32.store8 (i32.const 3) (i32.const 9)) unreachable)
                (start $patch))"#,
        )
        .unwrap_err();
    assert_eq!(trap(&error), Trap::UnreachableCodeReached);
    assert_eq!(names(&error), ["patch"]);
    // What the start function had done remains.
    assert_eq!(instance.get_memory(&mut store, "memory").unwrap().data(&store)[3], 9);
    // A module that failed cannot be imported from.
    assert!(
        instance.add_module(&mut store, r#"(module (import "late.0" "f" (func)))"#).unwrap_err().is::<ImportError>()
    );
    assert!(instance.add_module(&mut store, patch("(func $new)")).is_ok());
    Ok(())
}

#[test]
fn a_host_function_adds_modules_while_the_guest_runs() -> Result<()> {
    let engine = Engine::new(&crate::config())?;
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("host", "compile", |mut caller: Caller<'_, ()>, factor: i32| -> Result<()> {
        let instance = caller.instance().expect("a guest calls");
        let function =
            format!("(func $new (param i32) (result i32) (i32.mul (call $double (local.get 0)) (i32.const {factor})))");
        instance.add_module(&mut caller, patch(&function))?;
        Ok(())
    })?;
    let module = Module::new(
        &engine,
        r#"(module
            (import "host" "compile" (func $compile (param i32)))
            (type $unary (func (param i32) (result i32)))
            (memory (export "memory") 1)
            (table $table (export "__indirect_function_table") 2 funcref)
            (global $count (export "count") (mut i32) (i32.const 0))
            (func $double (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
            (func (export "run") (param $n i32) (result i32) (local $sum i32)
                (loop $again
                    (call $compile (local.get $n))
                    (local.set $sum
                        (i32.add (local.get $sum) (call_indirect (type $unary) (i32.const 5) (i32.load (i32.const 16)))))
                    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (local.get $sum)))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, 5)?, 10 * (1 + 2 + 3 + 4 + 5));
    Ok(())
}

#[test]
fn instances_loaded_from_artefacts_take_late_modules() -> Result<()> {
    let engine = Engine::new(&crate::config())?;
    let artifact = engine.precompile_module(HOST.as_bytes())?;
    // SAFETY: the artefact was just made here.
    let module = unsafe { Module::deserialize(&engine, &artifact)? };
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    instance.add_module(&mut store, patch("(func $new (param i32) (result i32) (call $double (local.get 0)))"))?;
    assert_eq!(apply(&mut store, instance, 2, 21)?, 42);
    Ok(())
}

#[test]
fn late_modules_do_not_count_as_instances() -> Result<()> {
    let (mut store, instance) = {
        let engine = Engine::new(&crate::config())?;
        let module = Module::new(&engine, HOST)?;
        let mut store = Store::new(&engine, wasmo::StoreLimitsBuilder::new().instances(1).memories(2).build());
        store.limiter(|limits| limits);
        let instance = Instance::new(&mut store, &module, &[])?;
        (store, instance)
    };
    for _ in 0..3 {
        instance.add_module(&mut store, "(module (func))")?;
    }
    instance.add_module(&mut store, "(module (memory 0))")?;
    assert!(instance.add_module(&mut store, "(module (memory 0))").is_err());
    Ok(())
}

/// A guest with everything that `wasmo_jit` has, which it re-exports to the host.
const JIT_GUEST: &str = r#"(module
    (import "wasmo_jit" "add_module" (func $add (param i32 i32) (result i32)))
    (import "wasmo_jit" "last_error" (func $last_error (param i32 i32) (result i32)))
    (type $unary (func (param i32) (result i32)))
    (memory (export "memory") 2)
    (table $table (export "__indirect_function_table") 2 funcref)
    (global (export "count") (mut i32) (i32.const 0))
    (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (func (export "add") (param i32 i32) (result i32) (call $add (local.get 0) (local.get 1)))
    (func (export "last_error") (param i32 i32) (result i32) (call $last_error (local.get 0) (local.get 1)))
    (func (export "apply") (param i32 i32) (result i32)
        (call_indirect (type $unary) (local.get 1) (local.get 0))))"#;

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(define: impl FnOnce(&mut Linker<()>) -> Result<()>) -> Result<Self> {
        let engine = Engine::new(&crate::config())?;
        let mut linker = Linker::new(&engine);
        define(&mut linker)?;
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &Module::new(&engine, JIT_GUEST)?)?;
        Ok(Self { store, instance })
    }

    fn with_limits(limits: JitLimits) -> Result<Self> {
        Self::new(|linker| add_to_linker(linker, limits))
    }

    fn call2(&mut self, name: &str, a: i32, b: i32) -> Result<i32> {
        self.instance.get_typed_func::<(i32, i32), i32>(&mut self.store, name)?.call(&mut self.store, (a, b))
    }

    /// Writes a module to the guest's memory and lets the guest add it.
    fn add(&mut self, text: &str) -> Result<i32> {
        let binary = wat::parse_str(text)?;
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        memory.write(&mut self.store, 1024, &binary)?;
        self.call2("add", 1024, i32::try_from(binary.len())?)
    }

    fn last_error(&mut self) -> Result<String> {
        let len = usize::try_from(self.call2("last_error", 512, 500)?)?;
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        let text = &memory.data(&self.store)[512..][..len.min(500)];
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    #[track_caller]
    fn refuses(&mut self, text: &str, code: JitErrorCode, why: &str) {
        assert_eq!(self.add(text).unwrap(), code.to_i32());
        let error = self.last_error().unwrap();
        assert!(error.contains(why), "{why:?} is not in {error:?}");
    }
}

#[test]
fn guests_add_modules_to_themselves() -> Result<()> {
    let mut guest = Guest::with_limits(JitLimits::default())?;
    let function = "(func $new (param i32) (result i32) (i32.add (call $double (local.get 0)) (i32.const 1)))";
    assert_eq!(guest.add(&patch(function))?, 0);
    let index = patched_index(&mut guest.store, guest.instance);
    assert_eq!(guest.call2("apply", index, 4)?, 9);
    assert_eq!(guest.add(&patch(function))?, 1);
    Ok(())
}

#[test]
fn wild_pointers_are_answered_with_a_code() -> Result<()> {
    let mut guest = Guest::with_limits(JitLimits::default())?;
    let end = 2 << 16;
    for (ptr, len) in [(end, 1), (end - 1, 2), (-1, 1), (0, -1), (-1, -1), (i32::MIN, i32::MAX), (0, end + 1)] {
        assert_eq!(guest.call2("add", ptr, len)?, JitErrorCode::BadPointer.to_i32(), "{ptr} {len}");
    }
    assert!(guest.last_error()?.contains("do not lie in the caller's memory"));
    for (ptr, cap) in [(end, 1), (-1, 100), (end - 1, 2)] {
        assert_eq!(guest.call2("last_error", ptr, cap)?, JitErrorCode::BadPointer.to_i32(), "{ptr} {cap}");
    }
    // No bytes are no module, but they lie where they should.
    assert_eq!(guest.call2("add", end, 0)?, JitErrorCode::Invalid.to_i32());
    // The length is asked for without a place for the text.
    assert!(guest.call2("last_error", 0, 0)? > 0);
    Ok(())
}

#[test]
fn a_caller_without_a_memory_is_told_so() -> Result<()> {
    let engine = Engine::new(&crate::config())?;
    let mut linker = Linker::<()>::new(&engine);
    add_to_linker(&mut linker, JitLimits::default())?;
    let module = Module::new(
        &engine,
        r#"(module
            (import "wasmo_jit" "add_module" (func $add (param i32 i32) (result i32)))
            (func (export "run") (result i32) (call $add (i32.const 0) (i32.const 0))))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let run = instance.get_typed_func::<(), i32>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, ())?, JitErrorCode::BadPointer.to_i32());
    Ok(())
}

#[test]
fn guests_learn_what_is_wrong_with_their_modules() -> Result<()> {
    let mut guest = Guest::with_limits(JitLimits::default())?;
    guest.refuses("(module (func (result i32)))", JitErrorCode::Invalid, "invalid module");
    guest.refuses(r#"(module (import "env" "gone" (func)))"#, JitErrorCode::Import, "unknown import: `env::gone`");
    guest.refuses("(module (func $patch unreachable) (start $patch))", JitErrorCode::Trap, "unreachable");
    guest.refuses(
        r#"(module (import "env" "memory" (memory 1)) (data (i32.const -1) "x"))"#,
        JitErrorCode::Trap,
        "out of bounds",
    );
    Ok(())
}

#[test]
fn limits_hold_for_all_late_modules_together() -> Result<()> {
    let mut guest = Guest::with_limits(JitLimits { modules: 2, ..JitLimits::default() })?;
    // What the host adds counts, but is not refused.
    guest.instance.add_module(&mut guest.store, "(module)")?;
    assert_eq!(guest.add("(module)")?, 1);
    guest.refuses("(module)", JitErrorCode::Limit, "too many late modules: 3 (the limit is 2)");
    guest.instance.add_module(&mut guest.store, "(module)")?;

    let mut guest = Guest::with_limits(JitLimits { wasm_bytes: 30, ..JitLimits::default() })?;
    assert_eq!(guest.add("(module (func))")?, 0);
    guest.refuses("(module (func))", JitErrorCode::Limit, "(the limit is 30)");

    let mut guest = Guest::with_limits(JitLimits { code_bytes: 1, ..JitLimits::default() })?;
    guest.refuses("(module (func))", JitErrorCode::Limit, "machine code");
    // What was refused uses nothing.
    assert_eq!(guest.add("(module)")?, 0);

    let limits = JitLimits { compile_time: std::time::Duration::ZERO, ..JitLimits::default() };
    Guest::with_limits(limits)?.refuses("(module (func))", JitErrorCode::Limit, "cancelled");
    Ok(())
}

#[test]
fn what_is_switched_off_says_so() -> Result<()> {
    let mut guest = Guest::new(|linker| add_disabled_to_linker(linker, "late linking is off here"))?;
    guest.refuses("(module)", JitErrorCode::Disabled, "late linking is off here");
    Ok(())
}

#[test]
fn an_interruption_in_a_start_function_ends_the_guest() -> Result<()> {
    let mut guest = Guest::with_limits(JitLimits::default())?;
    guest.store.set_timeout(std::time::Duration::from_millis(50));
    let error = guest.add("(module (func $patch (loop (br 0))) (start $patch))").unwrap_err();
    assert_eq!(trap(&error), Trap::Interrupt);
    Ok(())
}

#[test]
fn errors_of_host_functions_in_a_start_function_end_the_guest() -> Result<()> {
    let engine = Engine::new(&crate::config())?;
    let mut linker = Linker::<()>::new(&engine);
    add_to_linker(&mut linker, JitLimits::default())?;
    linker.func_wrap("host", "fail", || -> Result<()> { wasmo::bail!("the host has had enough") })?;
    let text = format!(
        r#"(module (import "host" "fail" (func $fail)) (export "fail" (func $fail)) {}"#,
        JIT_GUEST.strip_prefix("(module").unwrap()
    );
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text)?)?;
    let mut guest = Guest { store, instance };
    let error = guest.add(r#"(module (import "env" "fail" (func $fail)) (start $fail))"#).unwrap_err();
    assert!(format!("{error:#}").contains("had enough"), "{error:#}");
    Ok(())
}

/// Late code that calls the host acts for the instance that it was added to.
#[test]
fn the_caller_of_a_host_function_is_the_host_instance() -> Result<()> {
    let engine = Engine::new(&crate::config())?;
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("host", "first_byte", |mut caller: Caller<'_, ()>| -> i32 {
        let memory = caller.get_export("memory").and_then(Extern::into_memory).expect("the caller has a memory");
        i32::from(memory.data(&caller)[0])
    })?;
    let module = Module::new(
        &engine,
        r#"(module
            (import "host" "first_byte" (func $first_byte (result i32)))
            (export "first_byte" (func $first_byte))
            (memory (export "memory") 1)
            (data (i32.const 0) "A"))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let late = instance.add_module(
        &mut store,
        r#"(module
            (import "env" "first_byte" (func $first_byte (result i32)))
            (func (export "run") (result i32) (call $first_byte)))"#,
    )?;
    assert_eq!(late.get_typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?, 65);
    Ok(())
}

#[test]
fn late_modules_work_with_fuel_and_epochs() -> Result<()> {
    let mut config = crate::config();
    config.consume_fuel(true);
    let engine = Engine::new(&config)?;
    let mut store = Store::new(&engine, ());
    store.set_fuel(10_000)?;
    let instance = Instance::new(&mut store, &Module::new(&engine, HOST)?, &[])?;
    let late = instance.add_module(&mut store, r#"(module (func (export "spin") (loop (br 0))))"#)?;
    let error = late.get_typed_func::<(), ()>(&mut store, "spin")?.call(&mut store, ()).unwrap_err();
    assert_eq!(trap(&error), Trap::OutOfFuel);
    Ok(())
}

#[test]
fn tables_hold_late_functions_for_the_host() -> Result<()> {
    let (mut store, instance) = instance(HOST)?;
    instance.add_module(&mut store, patch("(func $new (param i32) (result i32) (call $double (local.get 0)))"))?;
    let table = instance.get_table(&mut store, "__indirect_function_table").unwrap();
    let Some(Ref::Func(Some(func))) = table.get(&mut store, 2) else { panic!("a function is in the table") };
    assert_eq!(func.typed::<i32, i32>(&store)?.call(&mut store, 8)?, 16);
    Ok(())
}
