//! Late modules in tiers: their code is made and replaced while they run, and all of it goes with them.

mod common;

use common::{names, trap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wasmo::late_link::{JitErrorCode, JitLimits, RemoveError, add_to_linker};
use wasmo::{
    Caller, CompileError, CompileErrorKind, Config, Engine, Instance, LateModule, Linker, Module, OptLevel, Result,
    Store, Tier, TierEvent, Trap, Tuning,
};

type Events = Arc<Mutex<Vec<TierEvent>>>;

/// An engine whose functions change their tier when `tuning` says, and what it reports.
fn engine(tuning: Tuning) -> (Engine, Events) {
    let events = Events::default();
    let seen = Arc::clone(&events);
    let mut config = Config::new();
    config.tier(Tier::Auto).tuning(tuning).tier_observer(move |event| seen.lock().unwrap().push(*event));
    (Engine::new(&config).unwrap(), events)
}

/// Optimised at the first chance, while the guest waits. Nothing is compiled before it is called.
fn at_once() -> Tuning {
    Tuning {
        budget: 0,
        budget_while_waiting: 0,
        synchronous: true,
        ahead: false,
        small_module: 0,
        soon_asks: 0,
        ..Tuning::default()
    }
}

/// Optimised at the first chance, in the background.
fn soon() -> Tuning {
    Tuning { synchronous: false, ahead: true, ..at_once() }
}

/// Never optimised.
fn never() -> Tuning {
    Tuning { budget: i32::MAX, ..at_once() }
}

fn count(events: &Events, which: impl Fn(&TierEvent) -> bool) -> usize {
    events.lock().unwrap().iter().filter(|event| which(event)).count()
}

const HOST: &str = r#"(module
    (import "host" "visit" (func $visit))
    (export "visit" (func $visit))
    (memory (export "memory") 1)
    (table (export "__indirect_function_table") 4 funcref))"#;

/// Removes the module that is named there, and says what came of it.
#[derive(Default)]
struct Visit {
    late: Option<LateModule>,
    removed: Option<std::result::Result<(), RemoveError>>,
}

fn world(engine: &Engine) -> Result<(Store<Visit>, Instance)> {
    let mut linker = Linker::<Visit>::new(engine);
    linker.func_wrap("host", "visit", |mut caller: Caller<'_, Visit>| {
        if let Some(late) = caller.data().late {
            let removed = late.remove(&mut caller);
            caller.data_mut().removed = Some(removed);
        }
    })?;
    let mut store = Store::new(engine, Visit::default());
    let instance = linker.instantiate(&mut store, &Module::new(engine, HOST)?)?;
    Ok((store, instance))
}

fn call(store: &mut Store<Visit>, late: LateModule, name: &str, argument: i32) -> Result<i32> {
    late.get_typed_func::<i32, i32>(&mut *store, name)?.call(store, argument)
}

/// A sum by a loop that calls; at the end it may trap, or visit the host.
const LOOP: &str = r#"(module
    (import "env" "visit" (func $visit))
    (import "env" "memory" (memory 1))
    (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func $end (param $n i32)
        (if (i32.eq (local.get $n) (i32.const 1000)) (then unreachable))
        (if (i32.eq (local.get $n) (i32.const 1001)) (then (drop (i32.load (i32.const 0x10000)))))
        (if (i32.eq (local.get $n) (i32.const 1002)) (then (call $visit))))
    (func $sum (export "sum") (param $n i32) (result i32) (local $i i32) (local $sum i32)
        (loop $again
            (local.set $sum (call $add (local.get $sum) (local.get $i)))
            (br_if $again (i32.le_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
        (call $end (local.get $n))
        (local.get $sum))
    (func (export "double") (param $n i32) (result i32)
        (call $add (call $sum (local.get $n)) (call $sum (local.get $n)))))"#;

fn sum(n: i32) -> i32 {
    n * (n + 1) / 2
}

#[test]
fn a_loop_goes_on_in_optimised_code() -> Result<()> {
    let (engine, events) = engine(at_once());
    let (mut store, instance) = world(&engine)?;
    let late = instance.add_module(&mut store, LOOP)?;
    assert_eq!(count(&events, |event| matches!(event, TierEvent::LiftOff { .. })), 0, "nothing was called");
    assert_eq!(call(&mut store, late, "sum", 100)?, sum(100));
    assert_eq!(count(&events, |event| matches!(event, TierEvent::Osr { .. })), 1);
    assert_eq!(call(&mut store, late, "double", 100)?, 2 * sum(100));
    assert!(count(&events, |event| matches!(event, TierEvent::Optimized { .. })) > 0);
    assert_eq!(late.remove(&mut store), Ok(()));
    Ok(())
}

#[test]
fn traps_in_code_of_any_tier_name_their_functions() -> Result<()> {
    for (tuning, calls) in [(never(), 1), (at_once(), 1), (at_once(), 3)] {
        let (engine, _) = engine(tuning);
        let (mut store, instance) = world(&engine)?;
        let late = instance.add_module(&mut store, LOOP)?;
        for n in 1..calls {
            assert_eq!(call(&mut store, late, "double", n)?, 2 * sum(n));
        }
        for (n, expected) in [(1000, Trap::UnreachableCodeReached), (1001, Trap::MemoryOutOfBounds)] {
            let error = call(&mut store, late, "double", n).unwrap_err();
            assert_eq!(trap(&error), expected);
            assert_eq!(names(&error), ["end", "sum", "double"]);
        }
        // The frames are gone.
        assert_eq!(late.remove(&mut store), Ok(()));
    }
    Ok(())
}

#[test]
fn code_of_any_tier_stays_while_it_runs() -> Result<()> {
    for (tuning, calls) in [(never(), 1), (at_once(), 1), (at_once(), 3)] {
        let (engine, _) = engine(tuning);
        let (mut store, instance) = world(&engine)?;
        let late = instance.add_module(&mut store, LOOP)?;
        for n in 1..calls {
            assert_eq!(call(&mut store, late, "double", n)?, 2 * sum(n));
        }
        store.data_mut().late = Some(late);
        assert_eq!(call(&mut store, late, "double", 1002)?, 2 * sum(1002));
        assert_eq!(store.data_mut().removed, Some(Err(RemoveError::Running)));
        assert_eq!(late.remove(&mut store), Ok(()));
    }
    Ok(())
}

/// Bytes of memory that the process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Adds and calls modules and removes them while they are being optimised.
fn come_and_go(engine: &Engine, rounds: i32) -> Result<()> {
    let (mut store, instance) = world(engine)?;
    for round in 0..rounds {
        let late = instance.add_module(&mut store, LOOP)?;
        let n = round % 40;
        assert_eq!(call(&mut store, late, "sum", n)?, sum(n));
        if round % 3 == 0 {
            assert_eq!(call(&mut store, late, "double", n)?, 2 * sum(n));
        }
        if round % 50 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(late.remove(&mut store), Ok(()));
    }
    Ok(())
}

#[test]
fn modules_are_removed_while_they_are_optimised() -> Result<()> {
    let (engine, events) = engine(soon());
    come_and_go(&engine, 300)?;
    let before = resident();
    come_and_go(&engine, 1500)?;
    let grown = resident().saturating_sub(before);
    // What is under way in the background keeps a module for the moment.
    assert!(grown < 24 << 20, "memory has grown by {grown} bytes");
    assert!(count(&events, |event| matches!(event, TierEvent::Optimized { .. })) > 0);
    Ok(())
}

#[test]
fn modules_come_and_go_on_many_threads() {
    let (engine, _) = engine(soon());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| come_and_go(&engine, 150).unwrap());
        }
    });
}

#[test]
fn stores_and_engines_may_go_while_their_modules_are_optimised() -> Result<()> {
    for round in 0..60 {
        let (engine, _) = engine(soon());
        let (mut store, instance) = world(&engine)?;
        drop(engine);
        let late = instance.add_module(&mut store, LOOP)?;
        assert_eq!(call(&mut store, late, "double", round)?, 2 * sum(round));
    }
    Ok(())
}

/// A guest that adds a module to itself and calls its function 0 in slot 0 of the table.
const GUEST: &str = r#"(module
    (import "wasmo_jit" "add_module" (func $add (param i32 i32) (result i32)))
    (import "wasmo_jit" "add_module_async" (func $begin (param i32 i32) (result i32)))
    (import "wasmo_jit" "poll" (func $poll (param i32) (result i32)))
    (type $f (func (param i32) (result i32)))
    (memory (export "memory") 1)
    (table $table (export "__indirect_function_table") 4 funcref)
    (func (export "add") (param i32) (result i32) (call $add (i32.const 1024) (local.get 0)))
    (func (export "begin") (param i32) (result i32) (call $begin (i32.const 1024) (local.get 0)))
    (func (export "poll") (param i32) (result i32) (call $poll (local.get 0)))
    (func (export "call") (param i32) (result i32) (call_indirect (type $f) (local.get 0) (i32.const 0))))"#;

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine, limits: JitLimits) -> Result<Self> {
        let mut linker = Linker::new(engine);
        add_to_linker(&mut linker, limits)?;
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, &Module::new(engine, GUEST)?)?;
        Ok(Self { store, instance })
    }

    fn call(&mut self, name: &str, argument: i32) -> Result<i32> {
        self.instance.get_typed_func::<i32, i32>(&mut self.store, name)?.call(&mut self.store, argument)
    }

    fn add(&mut self, how: &str, text: &str) -> Result<i32> {
        let binary = wat::parse_str(text)?;
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        memory.write(&mut self.store, 1024, &binary)?;
        self.call(how, i32::try_from(binary.len())?)
    }
}

/// A function that is in slot 0 from the beginning, with a loop.
const FILLED: &str = r#"(module
    (import "env" "__indirect_function_table" (table $table 0 funcref))
    (func $f (param $n i32) (result i32) (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (local.get $n)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum))
    (elem (table $table) (i32.const 0) func $f))"#;

#[test]
fn a_function_that_may_not_be_compiled_ends_the_guest() -> Result<()> {
    let (engine, _) = engine(never());
    // Enough for stubs.
    let mut guest = Guest::new(&engine, JitLimits { code_bytes: 400, ..JitLimits::default() })?;
    assert_eq!(guest.add("add", FILLED)?, 0);
    for _ in 0..2 {
        let error = guest.call("call", 10).unwrap_err();
        let compile = error.downcast_ref::<CompileError>().expect("it was to be compiled");
        assert_eq!(compile.kind(), CompileErrorKind::Limit);
        assert!(compile.to_string().contains("machine code"), "{compile}");
    }
    // In a start function, the guest is told.
    let text = FILLED.replace("(elem", "(func $start (drop (call $f (i32.const 1)))) (start $start) (elem");
    assert_eq!(guest.add("add", &text)?, JitErrorCode::Limit.to_i32());
    Ok(())
}

#[test]
fn code_that_may_not_be_optimised_stays_as_it_is() -> Result<()> {
    // What stubs and lift-off code take, and no more.
    let (engine, _) = engine(never());
    let suffices = |limit: usize| -> Result<bool> {
        let mut guest = Guest::new(&engine, JitLimits { code_bytes: limit, ..JitLimits::default() })?;
        Ok(guest.add("add", FILLED)? == 0 && guest.call("call", 10).is_ok())
    };
    let mut limit = 100;
    while !suffices(limit)? {
        limit += 8;
    }
    let (engine, events) = self::engine(at_once());
    let mut guest = Guest::new(&engine, JitLimits { code_bytes: limit, ..JitLimits::default() })?;
    assert_eq!(guest.add("add", FILLED)?, 0);
    let main = count(&events, |event| matches!(event, TierEvent::Optimized { .. }));
    for _ in 0..5 {
        assert_eq!(guest.call("call", 10)?, 55);
    }
    assert!(count(&events, |event| matches!(event, TierEvent::Kept { .. })) > 0);
    // The guest's own function is optimised.
    assert_eq!(count(&events, |event| matches!(event, TierEvent::Optimized { .. })), main + 1);
    Ok(())
}

#[test]
fn what_is_compiled_in_the_background_is_compiled_when_it_is_linked() -> Result<()> {
    let (engine, events) = engine(Tuning { budget: 50, synchronous: true, ahead: false, ..Tuning::default() });
    let mut guest = Guest::new(&engine, JitLimits::default())?;
    let handle = guest.add("begin", FILLED)?;
    let start = Instant::now();
    while guest.call("poll", handle)? != 1 {
        assert!(start.elapsed() < Duration::from_secs(60), "the module is never compiled");
        std::thread::sleep(Duration::from_millis(1));
    }
    let waited = |event: &TierEvent| matches!(event, TierEvent::LiftOff { waited: true, .. });
    let made = |event: &TierEvent| matches!(event, TierEvent::LiftOff { waited: false, .. });
    assert_eq!(count(&events, made), 1);
    let before = count(&events, waited);
    assert_eq!(guest.call("call", 10)?, 55);
    // The guest's `call` is new itself.
    assert_eq!(count(&events, waited), before + 1);
    assert_eq!(guest.call("call", 100)?, 5050);
    assert_eq!(count(&events, |event| matches!(event, TierEvent::Osr { .. })), 1);
    Ok(())
}

#[test]
fn nothing_is_compiled_before_it_is_called() -> Result<()> {
    let (engine, events) = engine(never());
    let (mut store, instance) = world(&engine)?;
    let text = LOOP.replace(
        "(func $sum",
        "(func $start (drop (call $add (i32.const 1) (i32.const 2)))) (start $start) (func $sum",
    );
    instance.add_module(&mut store, &text)?;
    // The start function and what it calls, in one piece.
    let pieces = |event: &TierEvent| matches!(event, TierEvent::LiftOff { functions: 2, .. });
    assert_eq!((count(&events, pieces), events.lock().unwrap().len()), (1, 1));
    Ok(())
}

#[test]
fn small_modules_are_compiled_when_they_are_added() -> Result<()> {
    let (engine, events) = engine(Tuning { small_module: Tuning::default().small_module, ..never() });
    let (mut store, instance) = world(&engine)?;
    let made = |functions: usize| {
        let events = std::mem::take(&mut *events.lock().unwrap());
        assert!(events.iter().all(|event| matches!(event, TierEvent::LiftOff { waited: false, .. })), "{events:?}");
        let sizes: Vec<_> = events
            .iter()
            .filter_map(|event| if let TierEvent::LiftOff { functions, .. } = event { Some(*functions) } else { None })
            .collect();
        assert_eq!(sizes, vec![functions; usize::from(functions > 0)]);
    };
    let late = instance.add_module(&mut store, LOOP)?;
    made(4);
    assert_eq!(call(&mut store, late, "double", 100)?, 2 * sum(100));
    made(0);
    // What has a vector is LLVM's, and what is large may never be called.
    let with_vector = LOOP.replace("(func $sum", "(func (drop (v128.const i64x2 0 0))) (func $sum");
    instance.add_module(&mut store, &with_vector)?;
    made(0);
    let large = LOOP.replace("(func $sum", &format!("(func {}) (func $sum", "(nop)".repeat(20_000)));
    instance.add_module(&mut store, &large)?;
    made(0);
    Ok(())
}

#[test]
fn invalid_bodies_are_refused_before_anything_runs() -> Result<()> {
    for level in [None, Some(OptLevel::None)] {
        let mut config = Config::new();
        level.map(|level| config.late_link_opt_level(level));
        let engine = Engine::new(&config)?;
        let (mut store, instance) = world(&engine)?;
        let text = "(module (func $start) (start $start) (func (result i32) (i64.const 1)))";
        let error = instance.add_module(&mut store, text).unwrap_err();
        let kind = error.downcast_ref::<CompileError>().map(CompileError::kind);
        assert_eq!(kind, Some(CompileErrorKind::Invalid));
    }
    Ok(())
}
