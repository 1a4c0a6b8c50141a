//! What profilers and debuggers are told of code: `/tmp/perf-PID.map`, and GDB's list of objects in memory.
#![cfg(all(feature = "wat", feature = "compiler"))]

use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::HashMap;
use std::time::Duration;
use wasmo::{Config, Engine, Instance, Module, ProfilingStrategy, Result, Store, Tier, Tuning};

/// GDB's list, as its manual describes it.
#[repr(C)]
struct Descriptor {
    version: u32,
    action: u32,
    relevant: *const Entry,
    first: *const Entry,
}

#[repr(C)]
struct Entry {
    next: *const Entry,
    previous: *const Entry,
    object: *const u8,
    object_size: usize,
}

unsafe extern "C" {
    static mut __jit_debug_descriptor: Descriptor;
}

/// Tests take turns, since the list is the process's.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// The symbols in GDB's list: names, and their addresses and sizes.
fn registered() -> HashMap<String, (u64, u64)> {
    let mut symbols = HashMap::new();
    let mut previous = std::ptr::null();
    // SAFETY: only tests that hold `TURN` change the list.
    let mut entry = unsafe {
        let descriptor = &raw const __jit_debug_descriptor;
        assert_eq!(((*descriptor).version, (*descriptor).action), (1, 0));
        assert!((*descriptor).relevant.is_null());
        (*descriptor).first
    };
    while !entry.is_null() {
        // SAFETY: what is in the list is alive.
        let (bytes, next) = unsafe {
            assert_eq!((*entry).previous, previous);
            (std::slice::from_raw_parts((*entry).object, (*entry).object_size), (*entry).next)
        };
        let object = object::File::parse(bytes).unwrap();
        let text = object.section_by_name(".text").unwrap();
        for symbol in object.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text) {
            assert_eq!(symbol.section_index(), Some(text.index()));
            assert!(symbol.address() + symbol.size() <= text.size());
            symbols.insert(symbol.name().unwrap().to_owned(), (text.address() + symbol.address(), symbol.size()));
        }
        (previous, entry) = (entry, next);
    }
    symbols
}

/// What the file for `perf` has: names, and their addresses and sizes.
fn mapped() -> HashMap<String, (u64, u64)> {
    let text = std::fs::read_to_string(format!("/tmp/perf-{}.map", std::process::id())).unwrap();
    let line = |line: &str| {
        let [address, size, name] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        (name.to_owned(), (number(address), number(size)))
    };
    text.lines().map(line).collect()
}

fn config() -> Config {
    let mut config = Config::new();
    config.profiler(ProfilingStrategy::PerfMap).debug_info(true);
    config
}

/// A loop that is called once; a function with a mangled name; a name with a line break; a late module's host.
const PROGRAM: &str = r#"(module $program
    (memory (export "memory") 1)
    (table (export "__indirect_function_table") 1 funcref)
    (func $_ZN4core3fmt5write17h0123456789abcdefE (export "square") (param i64) (result i64)
        (i64.mul (local.get 0) (local.get 0)))
    (func $"two\nlines" (result i64) (i64.const 2))
    (func $spin (export "spin") (param $n i32) (result i64) (local $sum i64)
        (loop $again
            (local.set $sum (i64.add (local.get $sum) (call 0 (i64.extend_i32_u (local.get $n)))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i64.add (local.get $sum) (call $"two\nlines"))))"#;

#[test]
fn whole_modules_are_listed_while_they_exist() -> Result<()> {
    let _turn = TURN.lock().unwrap();
    let module = Module::new(&Engine::new(&config())?, PROGRAM)?;
    let listed = registered();
    for name in ["program!core::fmt::write", "program!two?lines", "program!spin"] {
        let &(address, size) = listed.get(name).unwrap_or_else(|| panic!("{name} is not in {listed:?}"));
        assert!(address > 0 && size > 0, "{name}");
        assert_eq!(mapped()[name], (address, size));
    }
    drop(module);
    assert!(!registered().keys().any(|name| name.starts_with("program!")));
    Ok(())
}

#[test]
fn new_code_of_each_tier_is_listed() -> Result<()> {
    let _turn = TURN.lock().unwrap();
    let tuning = Tuning {
        budget: 100,
        budget_while_waiting: 100,
        lasting_asks: 0,
        sample_period: Duration::ZERO,
        soon_asks: 500,
        synchronous: true,
        ahead: false,
        ..Tuning::default()
    };
    let engine = Engine::new(config().tier(Tier::Auto).tuning(tuning))?;
    let module = Module::new(&engine, PROGRAM)?;
    assert!(!registered().contains_key("program!spin [lift-off]"));
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let spin = instance.get_typed_func::<i32, i64>(&mut store, "spin")?;
    for _ in 0..200 {
        assert_eq!(spin.call(&mut store, 1000)?, 333_833_500 + 2);
    }
    let listed = registered();
    for name in [
        "program!spin [lift-off]",
        "program!spin [soon]",
        "program!spin [optimized from loop 0]",
        "program!spin [optimized]",
        "program!core::fmt::write [lift-off]",
    ] {
        let &place = listed.get(name).unwrap_or_else(|| panic!("{name} is not in {listed:?}"));
        assert_eq!(mapped()[name], place);
    }
    drop((store, module));
    assert!(!registered().keys().any(|name| name.starts_with("program!")));
    Ok(())
}

#[test]
fn late_modules_are_listed_until_they_are_removed() -> Result<()> {
    let _turn = TURN.lock().unwrap();
    let engine = Engine::new(&config())?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, PROGRAM)?, &[])?;
    let text = r#"(module $added (func $answer (export "answer") (result i32) (i32.const 42)))"#;
    let late = instance.add_module(&mut store, text)?;
    assert_eq!(late.get_typed_func::<(), i32>(&mut store, "answer")?.call(&mut store, ())?, 42);
    let name = registered().into_keys().find(|name| name.starts_with("added!answer")).expect("it is listed");
    assert!(mapped().contains_key(&name));
    late.remove(&mut store)?;
    assert!(!registered().keys().any(|name| name.starts_with("added!")));
    assert!(registered().keys().any(|name| name.starts_with("program!")));
    Ok(())
}

#[test]
fn nothing_is_listed_unless_it_is_wanted() -> Result<()> {
    let _turn = TURN.lock().unwrap();
    let _module = Module::new(&Engine::default(), "(module $quiet (func $silent (export \"f\")))")?;
    assert!(!registered().keys().any(|name| name.starts_with("quiet!")));
    Ok(())
}
