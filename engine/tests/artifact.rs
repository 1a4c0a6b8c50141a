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

/// What images in a file of this machine begin at multiples of.
const PAGE: usize = if cfg!(target_arch = "aarch64") { 64 << 10 } else { 4 << 10 };

/// The same with so much data that its memory starts as an image.
fn text_with_image() -> String {
    let data = "(data (i32.const 20000) \"".to_owned() + &"initial content ".repeat(1500) + "\") (data $late";
    TEXT.replace("(data $late", &data)
}

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
    let sum = memory.data(&store).iter().fold(0_u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let count = instance.get_global(&mut store, "count").expect("it is exported").get(&mut store);
    seen.push(format!("{fib} {sums:?} {switched:?} {content:?} {sum:x} {count:?} {}", store.data()));
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

/// Loads `times` damaged copies of `original`, and runs those that are not refused.
fn damage(engine: &Engine, original: &[u8], times: usize, seed: u64) -> Result<()> {
    let other = engine
        .precompile_module(br#"(module (memory 1) (func (export "fib") (param i32) (result i32) (i32.const 1)))"#)?;
    let expected = observe(engine, &load(engine, original)?)?;
    let mut random = Random(seed);
    let (mut refused, mut reasons) = (0, HashSet::new());
    for _ in 0..times {
        let mut bytes = original.to_vec();
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
        match load(engine, &bytes) {
            Ok(module) => assert_eq!(observe(engine, &module)?, expected),
            Err(error) => {
                refused += 1;
                reasons.insert(error.root_cause().to_string().split(' ').take(3).collect::<Vec<_>>().join(" "));
            }
        }
    }
    // Most of the file is needed to run, and the rest is not looked at here.
    assert!(refused > times / 3, "{refused}");
    assert!(refused < times, "damage to tables that nobody reads does no harm");
    assert!(reasons.len() >= 3, "{reasons:?}");
    Ok(())
}

#[test]
fn damaged_artifacts_are_refused_or_behave_as_the_original() -> Result<()> {
    let engine = Engine::default();
    damage(&engine, &artifact(&engine), 20_000, 0x9e37_79b9_7f4a_7c15)
}

#[test]
fn damaged_artifacts_with_images_are_refused_or_behave_as_the_original() -> Result<()> {
    let engine = Engine::default();
    damage(&engine, &engine.precompile_module(text_with_image().as_bytes())?, 5000, 0x1234_5678_9abc_def1)
}

/// The sizes of the parts with images and with data.
fn sizes(module: &Module) -> (usize, usize) {
    let info = module.artifact_info().expect("it was loaded");
    let size = |name: &str| info.parts().find(|&(part, _)| part == name).map_or(0, |(_, size)| size);
    (size(".wasmo.images"), size(".wasmo.data"))
}

#[test]
fn memories_start_as_images_in_the_file() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("image.wasmo");
    let text = text_with_image();
    let mut pooled = Config::new();
    pooled.pooling(wasmo::PoolingConfig::new());
    for engine in [Engine::default(), Engine::new(&pooled)?] {
        std::fs::write(&path, engine.precompile_module(text.as_bytes())?)?;
        let before = std::fs::read(&path)?;
        // SAFETY: the file was just written, and nobody changes it.
        let in_file = unsafe { Module::deserialize_file(&engine, &path)? };
        // Both active segments are in the image, from the page of the first to that of the last; the passive one is data.
        assert_eq!(sizes(&in_file), (45_056_usize.next_multiple_of(PAGE), 15));
        let expected = observe(&engine, &Module::new(&engine, &text)?)?;
        let in_memory = load(&engine, &before)?;
        for _ in 0..3 {
            assert_eq!(observe(&engine, &in_file)?, expected);
            assert_eq!(observe(&engine, &in_memory)?, expected);
        }
        assert_eq!(std::fs::read(&path)?, before, "guests write to copies of theirs");
    }
    Ok(())
}

#[test]
fn segments_in_images_are_dropped_and_others_copied() -> Result<()> {
    let large = "x".repeat(20_000);
    let text = format!(
        r#"(module (memory $a (export "a") 1) (memory $b (export "b") 1) (memory $c (export "c") 2)
            (global $g i32 (i32.const 8))
            (data $first (memory $a) (i32.const 0) "{large}") (data (memory $a) (i32.const 1) "over")
            (data (memory $b) (i32.const 100) "little") (data $last (memory $c) (i32.const 111072) "{large}")
            (func (export "again") (param i32) (memory.init $a $first (i32.const 0) (i32.const 0) (local.get 0)))
            (func (export "again_last") (param i32) (memory.init $c $last (i32.const 0) (i32.const 0) (local.get 0)))
            (func (export "drop") data.drop $first data.drop $last))"#
    );
    let engine = Engine::default();
    let module = load(&engine, &engine.precompile_module(text.as_bytes())?)?;
    assert_eq!(sizes(&module), (2 * 20_000_usize.next_multiple_of(PAGE), 6));
    for _ in 0..2 {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        for name in ["again", "again_last"] {
            let again = instance.get_typed_func::<i32, ()>(&mut store, name)?;
            again.call(&mut store, 0)?;
            assert_eq!(again.call(&mut store, 1).unwrap_err().downcast_ref(), Some(&Trap::MemoryOutOfBounds));
        }
        instance.get_typed_func::<(), ()>(&mut store, "drop")?.call(&mut store, ())?;
        for (name, start, expected) in [
            ("a", 0, &b"xoverx"[..]),
            ("a", 19_999, b"x\0"),
            ("b", 99, b"\0little\0"),
            ("c", 111_071, b"\0x"),
            ("c", 131_071, b"x"),
        ] {
            let memory = instance.get_memory(&mut store, name).expect("exported");
            assert_eq!(&memory.data(&store)[start..start + expected.len()], expected, "{name} {start}");
            // Another instance must not see it.
            memory.write(&mut store, start, b"?")?;
        }
    }
    Ok(())
}

#[test]
fn what_lies_between_scattered_segments_is_not_in_the_file() -> Result<()> {
    let engine = Engine::default();
    let large = "x".repeat(20_000);
    let text = format!(
        r#"(module (memory 1000) (data (i32.const 0) "{large}") (data (i32.const 60000000) "{large}")
            (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))"#
    );
    let bytes = engine.precompile_module(text.as_bytes())?;
    assert!(bytes.len() < 52_000 + 2 * PAGE, "{} bytes", bytes.len());
    let module = load(&engine, &bytes)?;
    assert_eq!(sizes(&module), (0, 40_000));
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let byte = instance.get_typed_func::<i32, i32>(&mut store, "load")?;
    let bytes = [0, 19_999, 20_000, 59_999_999, 60_000_000, 60_019_999, 60_020_000];
    let found = bytes.map(|at| byte.call(&mut store, at).expect("it is within the memory"));
    assert_eq!(found, [120, 120, 0, 0, 120, 120, 0]);
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
