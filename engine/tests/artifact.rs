//! Artefacts: what was compiled before behaves as what is compiled now, and what is no good is refused.

use std::collections::HashSet;
use wasmo::{
    Caller, Config, Engine, Extern, Instance, Linker, Module, Precompiled, Result, Store, Trap, WasmBacktrace,
};

/// A module with a bit of everything that an artefact holds.
const TEXT: &str = r#"(module $sample
    (type $binary (func (param i32 i32) (result i32)))
    (import "host" "add" (func $host_add (type $binary)))
    (memory (export "memory") 1 3)
    (table (export "table") 4 funcref)
    (global $count (export "count") (mut i64) (i64.const 5))
    (data (i32.const 16) "active content")
    (data $late "passive content")
    (elem (i32.const 1) $add $host_add)
    (elem $unused func $fib)
    (func $add (type $binary) (i32.add (local.get 0) (local.get 1)))
    (func $fib (export "fib") (param i32) (result i32)
        (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
            (then (local.get 0))
            (else (i32.add
                (call $fib (i32.sub (local.get 0) (i32.const 1)))
                (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
    (func (export "through_table") (param i32 i32 i32) (result i32)
        (global.set $count (i64.add (global.get $count) (i64.const 1)))
        (call_indirect (type $binary) (local.get 1) (local.get 2) (local.get 0)))
    (func (export "late") (memory.init $late (i32.const 64) (i32.const 0) (i32.const 15)))
    (func (export "switch") (param i32) (result f64)
        (block (block (block (block (block (br_table 0 1 2 3 4 (local.get 0)))
            (return (f64.const 1.5)))
            (return (f64.const 2.25)))
            (return (f64.const 3.125)))
            (return (f64.const 4.0625)))
        (f64.const 5))
    (func $inner (param i32) (i32.store (i32.const 0x30000) (local.get 0)))
    (func (export "trap") (param i32) (call $inner (local.get 0))))"#;

/// Everything that can be seen of the module in [`TEXT`].
fn observe(engine: &Engine, module: &Module) -> Result<Vec<String>> {
    let mut seen: Vec<String> =
        module.imports().map(|import| format!("{} {} {}", import.module(), import.name(), import.ty())).collect();
    seen.extend(module.exports().map(|export| format!("{} {}", export.name(), export.ty())));
    let mut store = Store::new(engine, 0_i32);
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "add", |mut caller: Caller<'_, i32>, a: i32, b: i32| {
        *caller.data_mut() += 1;
        a.wrapping_add(b).wrapping_mul(10)
    })?;
    let instance = linker.instantiate(&mut store, module)?;
    let fib = instance.get_typed_func::<i32, i32>(&mut store, "fib")?.call(&mut store, 15)?;
    let through = instance.get_typed_func::<(i32, i32, i32), i32>(&mut store, "through_table")?;
    let sums = (through.call(&mut store, (1, 3, 4))?, through.call(&mut store, (2, 3, 4))?);
    let null = through.call(&mut store, (3, 3, 4)).expect_err("the element is null");
    let switch = instance.get_typed_func::<i32, f64>(&mut store, "switch")?;
    let switched = (0..6).map(|n| switch.call(&mut store, n)).collect::<Result<Vec<_>>>()?;
    instance.get_typed_func::<(), ()>(&mut store, "late")?.call(&mut store, ())?;
    let trap =
        instance.get_typed_func::<i32, ()>(&mut store, "trap")?.call(&mut store, 1).expect_err("it is out of bounds");
    let memory = instance.get_memory(&mut store, "memory").expect("it is exported");
    let content = String::from_utf8_lossy(&memory.data(&store)[..100]).into_owned();
    let count = instance.get_global(&mut store, "count").expect("it is exported").get(&mut store);
    seen.push(format!("{fib} {sums:?} {switched:?} {content:?} {count:?} {}", store.data()));
    seen.push(format!("{:?} {:?}", null.downcast_ref::<Trap>(), trap.downcast_ref::<Trap>()));
    Ok(seen)
}

fn frames(engine: &Engine, module: &Module) -> Result<Vec<(Option<String>, u32)>> {
    let mut store = Store::new(engine, ());
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "add", |a: i32, _: i32| a)?;
    let instance = linker.instantiate(&mut store, module)?;
    let error = instance.get_typed_func::<i32, ()>(&mut store, "trap")?.call(&mut store, 1).expect_err("it traps");
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    Ok(frames.iter().map(|frame| (frame.func_name().map(str::to_owned), frame.func_index())).collect())
}

fn artifact(engine: &Engine) -> Vec<u8> {
    engine.precompile_module(TEXT.as_bytes()).expect("the module is valid")
}

/// Loads what may be anything.
fn load(engine: &Engine, bytes: &[u8]) -> Result<Module> {
    // SAFETY: the bytes are damaged by accident at most: nobody has computed a checksum for them.
    unsafe { Module::deserialize(engine, bytes) }
}

#[test]
fn a_loaded_module_does_what_a_compiled_one_does() -> Result<()> {
    let engine = Engine::default();
    let compiled = Module::new(&engine, TEXT)?;
    let expected = observe(&engine, &compiled)?;
    let bytes = artifact(&engine);
    assert_eq!(Engine::detect_precompiled(&bytes), Some(Precompiled::Module));
    let loaded = load(&engine, &bytes)?;
    assert_eq!(observe(&engine, &loaded)?, expected);
    assert_eq!(loaded.name(), Some("sample"));
    assert_eq!(frames(&engine, &loaded)?, frames(&engine, &compiled)?);
    assert_eq!(loaded.serialize()?, bytes);
    assert_eq!(compiled.serialize()?, bytes);
    assert!(loaded.binary().is_none() && compiled.artifact_info().is_none());
    Ok(())
}

#[test]
fn files_are_written_and_loaded() -> Result<()> {
    let engine = Engine::default();
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("sample.wasmo");
    let module = Module::new(&engine, TEXT)?;
    module.dump(&path)?;
    assert_eq!(Engine::detect_precompiled_file(&path)?, Some(Precompiled::Module));
    // SAFETY: the file was just written, and is only replaced as a whole below.
    let (first, second) = unsafe { (Module::deserialize_file(&engine, &path)?, Module::load(&engine, &path)?) };
    module.dump(&path)?;
    std::fs::remove_file(&path)?;
    let expected = observe(&engine, &module)?;
    assert_eq!(observe(&engine, &first)?, expected);
    assert_eq!(observe(&engine, &second)?, expected);
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 0, "no temporary file is left");
    let nowhere = module.dump(dir.path().join("missing/sample.wasmo")).expect_err("there is no such directory");
    assert!(format!("{nowhere:#}").contains("missing"), "{nowhere:#}");
    // SAFETY: there is nothing to load.
    let error = unsafe { Module::deserialize_file(&engine, &path) }.expect_err("the file is gone");
    assert!(format!("{error:#}").contains("sample.wasmo"), "{error:#}");
    Ok(())
}

#[test]
fn code_outlives_the_module_while_an_instance_has_it() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let instance = {
        let bytes = engine.precompile_module(br#"(module (func (export "seven") (result i32) (i32.const 7)))"#)?;
        Instance::new(&mut store, &load(&engine, &bytes)?, &[])?
    };
    assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "seven")?.call(&mut store, ())?, 7);
    Ok(())
}

#[test]
fn loaded_and_compiled_modules_call_each_other() -> Result<()> {
    let engine = Engine::default();
    let bytes = engine.precompile_module(
        br#"(module (import "" "f" (func $f (param i64) (result i64)))
            (func (export "g") (param i64) (result i64) (i64.mul (call $f (local.get 0)) (i64.const 3))))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let source = r#"(module (func (export "f") (param i64) (result i64) (i64.add (local.get 0) (i64.const 4))))"#;
    let inner = Instance::new(&mut store, &Module::new(&engine, source)?, &[])?;
    let f = inner.get_func(&mut store, "f").expect("it is exported");
    let outer = Instance::new(&mut store, &load(&engine, &bytes)?, &[Extern::Func(f)])?;
    assert_eq!(outer.get_typed_func::<i64, i64>(&mut store, "g")?.call(&mut store, 10)?, 42);
    Ok(())
}

#[test]
fn what_was_compiled_with_other_choices_is_refused() -> Result<()> {
    let bytes = artifact(&Engine::default());
    let mut config = Config::new();
    config.consume_fuel(true).strict_traps(true);
    let fueled = Engine::new(&config)?;
    let error = format!("{:#}", load(&fueled, &bytes).expect_err("it does not count fuel"));
    assert!(error.contains("consume_fuel") && error.contains("strict_traps"), "{error}");
    let error = format!("{:#}", load(&Engine::default(), &artifact(&fueled)).expect_err("it counts fuel"));
    assert!(error.contains("consume_fuel"), "{error}");
    assert!(load(&fueled, &artifact(&fueled)).is_ok());
    Ok(())
}

#[test]
fn what_is_no_artifact_is_refused() {
    let engine = Engine::default();
    let module = wat::parse_str(TEXT).expect("the text is well-formed");
    let elf = std::fs::read(std::env::current_exe().expect("we run")).expect("it can be read");
    for bytes in [&[][..], b"\0asm", &module, &elf, &[0; 5000]] {
        let error = format!("{:#}", load(&engine, bytes).expect_err("it is something else"));
        assert!(error.contains("not an artefact"), "{error}");
        assert_eq!(Engine::detect_precompiled(bytes), None);
    }
}

/// A generator of pseudo-random numbers: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is less than a usize")
    }
}

#[test]
fn damaged_artifacts_are_refused_or_behave_as_the_original() -> Result<()> {
    let engine = Engine::default();
    let original = artifact(&engine);
    let other = engine
        .precompile_module(br#"(module (memory 1) (func (export "fib") (param i32) (result i32) (i32.const 1)))"#)?;
    let expected = observe(&engine, &load(&engine, &original)?)?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut refused, mut reasons) = (0, HashSet::new());
    const TIMES: usize = 20_000;
    for _ in 0..TIMES {
        let mut bytes = original.clone();
        let at = random.below(bytes.len());
        let len = 1 + random.below(64).min(bytes.len() - at - 1);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => bytes.extend((0..len).map(|n| n.to_le_bytes()[0])),
            3 => bytes[at..at + len].iter_mut().for_each(|byte| *byte = random.next().to_le_bytes()[0]),
            4 => {
                let from = random.below(bytes.len() - len);
                bytes.copy_within(from..from + len, at);
            }
            _ => {
                // A stretch of another artefact.
                let from = random.below(other.len() - len);
                bytes[at..at + len].copy_from_slice(&other[from..from + len]);
            }
        }
        match load(&engine, &bytes) {
            Ok(module) => assert_eq!(observe(&engine, &module)?, expected),
            Err(error) => {
                refused += 1;
                reasons.insert(error.root_cause().to_string().split(' ').take(3).collect::<Vec<_>>().join(" "));
            }
        }
    }
    // Most of the file is needed to run, and the rest is not looked at here.
    assert!(refused > TIMES / 3, "{refused}");
    assert!(refused < TIMES, "damage to tables that nobody reads does no harm");
    assert!(reasons.len() >= 3, "{reasons:?}");
    Ok(())
}

#[test]
fn a_backtrace_does_without_tables_that_are_damaged() -> Result<()> {
    let engine = Engine::default();
    let original = artifact(&engine);
    let whole = frames(&engine, &load(&engine, &original)?)?;
    assert_eq!(whole.len(), 2);
    assert_eq!(whole[0].0.as_deref(), Some("inner"));
    // The last bytes are section headers, which nobody reads; but they belong to the half with the tables.
    let mut damaged = original;
    *damaged.last_mut().expect("it is not empty") ^= 1;
    let module = load(&engine, &damaged)?;
    assert!(frames(&engine, &module)?.len() < whole.len());
    assert!(observe(&engine, &module).is_ok());
    Ok(())
}

#[test]
fn sections_of_other_artifacts_are_noticed() -> Result<()> {
    let engine = Engine::default();
    let (a, b) =
        (artifact(&engine), engine.precompile_module(TEXT.replace("i32.const 15", "i32.const 14").as_bytes())?);
    assert_eq!(a.len(), b.len(), "the two differ in a constant");
    assert_ne!(a, b);
    // The first half of one with the second half of the other, at every page.
    for at in (4096..a.len()).step_by(4096) {
        let mixed = [&a[..at], &b[at..]].concat();
        if mixed != a && mixed != b {
            assert!(load(&engine, &mixed).is_err(), "cut at {at}");
        }
    }
    Ok(())
}

#[test]
fn modules_for_other_machines_are_made_and_refused() -> Result<()> {
    let foreign = if cfg!(target_arch = "x86_64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
    let mut config = Config::new();
    config.target(foreign);
    let engine = Engine::new(&config)?;
    let bytes = artifact(&engine);
    let error = format!("{:#}", load(&Engine::default(), &bytes).expect_err("it is for another machine"));
    assert!(error.contains(foreign), "{error}");
    let error = format!("{:#}", Module::new(&engine, TEXT).expect_err("its code cannot run here"));
    assert!(error.contains(foreign), "{error}");
    Ok(())
}
