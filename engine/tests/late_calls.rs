//! Calls of late modules to their host instance, which optimised code makes directly, or without a call: that everything is as with an ordinary call, whatever becomes of the
//! table, of other instances and of the modules.

mod common;

use common::{names, trap};
use std::time::Duration;
use wasmo::late_link::RemoveError;
use wasmo::{
    Caller, Config, Engine, Func, Instance, LateModule, Linker, Module, Ref, Result, Store, Table, Tier, Trap, Tuning,
    WasmBacktrace,
};

/// The host's module. Its functions are small, but for `large`; slots 0 to 9 of its table have them.
const HOST: &str = r#"(module $host
    (import "host" "look" (func $look))
    (import "host" "remove" (func $remove (result i32)))
    (type $f (func (param i32) (result i32)))
    (memory (export "memory") 1)
    (table $table (export "__indirect_function_table") 16 funcref)
    (global $count (export "count") (mut i32) (i32.const 0))
    (global $step (mut i32) (i32.const 1))
    (export "look" (func $look))
    (func $next (export "next") (type $f)
        (global.set $count (i32.add (global.get $count) (global.get $step)))
        (i32.add (local.get 0) (global.get $count)))
    (func $load (export "load") (type $f) (i32.load (local.get 0)))
    (func $store (export "store") (type $f)
        (i32.store (i32.const 64) (local.get 0))
        (i32.load (i32.const 60)))
    (func $divide (export "divide") (type $f) (i32.div_s (i32.const 1000) (local.get 0)))
    ;; Puts what is in slot 9 to slot 0.
    (func $change (export "change") (type $f)
        (table.set $table (i32.const 0) (table.get $table (i32.const 9)))
        (local.get 0))
    (func $seen (export "seen") (type $f) (call $look) (local.get 0))
    (func $gone (export "gone") (type $f) (i32.add (local.get 0) (call $remove)))
    ;; Ends in a tail call.
    (func $twice (export "twice") (type $f)
        (return_call $add (local.get 0) (local.get 0)))
    (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func $sum (export "sum") (type $f) (local $sum i32)
        (block $end
            (loop $again
                (br_if $end (i32.eqz (local.get 0)))
                (local.set $sum (i32.add (local.get $sum) (local.get 0)))
                (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                (br $again)))
        (local.get $sum))
    (func $other (type $f) (i32.const -1))
    (func $narrow (param i32))
    (func $deep (export "deep") (type $f)
        (if (result i32) (local.get 0)
            (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
            (else (i32.const 0))))
    (elem (table $table) (i32.const 0) func $next $load $store $divide $change $seen $gone $twice $sum $other $deep $narrow)
    (elem $others func $other $other $other)
    (func (export "set_step") (param i32) (global.set $step (local.get 0)))
    (func (export "init") (param i32) (table.init $table $others (local.get 0) (i32.const 0) (i32.const 1)))
    (func (export "copy") (param i32 i32) (table.copy $table $table (local.get 0) (local.get 1) (i32.const 1)))
    (func (export "grow") (param i32) (drop (table.grow $table (ref.func $other) (local.get 0)))))"#;

const NEXT: u64 = 0;
const LOAD: u64 = 1;
const DIVIDE: u64 = 3;
const GONE: u64 = 6;
const OTHER: u64 = 9;
const NARROW: u64 = 11;

/// A late module with functions that call what is in slot N of the table: `f` once, `run` so many times, adding up, and `last` at its end, without a frame of its own.
fn caller(slot: u64) -> String {
    format!(
        r#"(module $late
            (import "env" "__indirect_function_table" (table $table 0 funcref))
            (type $f (func (param i32) (result i32)))
            (func $f (export "f") (type $f)
                (call_indirect $table (type $f) (local.get 0) (i32.const {slot})))
            (func $run (export "run") (type $f) (local $sum i32)
                (loop $again
                    (local.set $sum (i32.add (local.get $sum)
                        (call_indirect $table (type $f) (local.get 0) (i32.const {slot}))))
                    (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                (local.get $sum))
            (func $last (export "last") (type $f)
                (return_call_indirect $table (type $f) (local.get 0) (i32.const {slot}))))"#
    )
}

/// As [`caller`], of a function that it imports.
fn importer(name: &str) -> String {
    let call = format!("(import \"env\" \"{name}\" (func $callee (param i32) (result i32)))");
    let text = caller(0).replace("(import \"env\" \"__indirect_function_table\" (table $table 0 funcref))", &call);
    text.replace("call_indirect $table (type $f) (local.get 0) (i32.const 0)", "call $callee (local.get 0)")
}

/// What host functions work on.
#[derive(Default)]
struct Data {
    late: Option<LateModule>,
    removed: Option<std::result::Result<(), RemoveError>>,
    /// What `look` has seen: functions, and whether the place in each is known.
    seen: Vec<(String, bool)>,
}

struct World {
    store: Store<Data>,
    module: Module,
    linker: Linker<Data>,
    instance: Instance,
}

/// Everything is optimised as soon as it is known what it calls.
fn at_once() -> Tuning {
    Tuning { budget: 2, budget_while_waiting: 0, synchronous: true, ahead: false, ..Tuning::default() }
}

/// The configurations, and whether functions of the host's module are inlined: no optimisation; all functions of either module in tiers, with inlining and without; the host's
/// module compiled before.
fn configs() -> [(Config, bool); 4] {
    let never = Tuning { budget: i32::MAX, ..at_once() };
    let apart = Tuning { inlined_bytes: 0, inlined_host_bytes: 0, ..at_once() };
    let each = [
        (Tier::Auto, never, false),
        (Tier::Auto, at_once(), true),
        (Tier::Auto, apart, false),
        (Tier::Optimized, at_once(), true),
    ];
    each.map(|(tier, tuning, inlines)| {
        let mut config = Config::new();
        config.tier(tier).tuning(tuning);
        (config, inlines)
    })
}

impl World {
    fn new(config: &Config) -> Result<Self> {
        let engine = Engine::new(config)?;
        let module = Module::new(&engine, HOST)?;
        Self::of(&engine, module)
    }

    fn of(engine: &Engine, module: Module) -> Result<Self> {
        let mut linker = Linker::<Data>::new(engine);
        linker.func_wrap("host", "look", |mut caller: Caller<'_, Data>| {
            let trace = WasmBacktrace::force_capture(&caller);
            let frames = trace.frames().iter();
            let seen =
                frames.map(|frame| (frame.func_name().unwrap_or("?").to_owned(), frame.module_offset().is_some()));
            caller.data_mut().seen = seen.collect();
        })?;
        linker.func_wrap("host", "remove", |mut caller: Caller<'_, Data>| -> i32 {
            let Some(late) = caller.data().late else { return 0 };
            let removed = late.remove(&mut caller);
            let answer = i32::from(removed.is_ok());
            caller.data_mut().removed = Some(removed);
            answer
        })?;
        let mut store = Store::new(engine, Data::default());
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self { store, module, linker, instance })
    }

    fn add(&mut self, text: &str) -> Result<LateModule> {
        let late = self.instance.add_module(&mut self.store, text)?;
        self.store.data_mut().late = Some(late);
        Ok(late)
    }

    /// A late module that has called what is there so often that it is optimised, if anything is.
    fn warm(&mut self, text: &str, argument: i32) -> Result<LateModule> {
        let late = self.add(text)?;
        for name in ["f", "run", "last"] {
            for _ in 0..5 {
                self.call(late, name, argument)?;
            }
        }
        Ok(late)
    }

    fn call(&mut self, late: LateModule, name: &str, argument: i32) -> Result<i32> {
        late.get_typed_func::<i32, i32>(&mut self.store, name)?.call(&mut self.store, argument)
    }

    /// Calls a function of the host's module with numbers.
    fn host(&mut self, name: &str, arguments: &[i32]) -> Result<()> {
        let func = self.instance.get_func(&mut self.store, name).expect("it is exported");
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.into()).collect();
        func.call(&mut self.store, &arguments, &mut [])
    }

    fn table(&mut self) -> Table {
        self.instance.get_table(&mut self.store, "__indirect_function_table").expect("it is exported")
    }

    fn element(&mut self, slot: u64) -> Ref {
        let table = self.table();
        table.get(&mut self.store, slot).expect("there is such an element")
    }

    fn set(&mut self, slot: u64, value: Ref) {
        let table = self.table();
        table.set(&mut self.store, slot, value).expect("there is such an element");
    }

    fn count(&mut self) -> i32 {
        let count = self.instance.get_global(&mut self.store, "count").expect("it is exported");
        count.get(&mut self.store).i32().expect("it is a number")
    }

    fn set_count(&mut self, to: i32) -> Result<()> {
        let count = self.instance.get_global(&mut self.store, "count").expect("it is exported");
        count.set(&mut self.store, to.into())
    }
}

/// Does this in a new world of each configuration.
fn everywhere(test: impl Fn(&mut World) -> Result<()>) -> Result<()> {
    for (config, _) in configs() {
        test(&mut World::new(&config)?)?;
    }
    Ok(())
}

/// Functions of the host's module with an argument and what comes of it, however they are called.
const PLAIN: [(u64, &str, i32, i32); 5] =
    [(1, "load", 60, 0), (3, "divide", 10, 100), (7, "twice", 21, 42), (8, "sum", 4, 10), (10, "deep", 30, 30)];

#[test]
fn calls_compute_what_they_should() -> Result<()> {
    everywhere(|world| {
        for (slot, name, argument, expected) in PLAIN {
            for text in [caller(slot), importer(name)] {
                let late = world.warm(&text, argument)?;
                for way in ["f", "last"] {
                    assert_eq!(world.call(late, way, argument)?, expected, "{name} by {way}");
                }
                late.remove(&mut world.store)?;
            }
        }
        let sums: [i32; 3] = [(1..=10).map(|n| n * 2).sum(), (1..=10).map(|n| n * (n + 1) / 2).sum(), (1..=10).sum()];
        for ((slot, name), expected) in [(7, "twice"), (8, "sum"), (10, "deep")].into_iter().zip(sums) {
            for text in [caller(slot), importer(name)] {
                let late = world.warm(&text, 10)?;
                assert_eq!(world.call(late, "run", 10)?, expected, "{name}");
            }
        }
        Ok(())
    })
}

#[test]
fn what_small_functions_of_the_host_do_is_done_in_line() -> Result<()> {
    for (config, inlines) in configs() {
        for text in [caller(5), importer("seen")] {
            let mut world = World::new(&config)?;
            let late = world.warm(&text, 5)?;
            assert_eq!(world.call(late, "f", 5)?, 5);
            let seen = world.store.data().seen.clone();
            let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["seen", "f"]);
            // In a function into which another was inlined, the place of the call is not known.
            assert!(seen[0].1);
            assert_eq!(!seen[1].1, inlines, "{seen:?}");
            // What is called at the very end has a frame of its own.
            assert_eq!(world.call(late, "last", 5)?, 5);
            assert_eq!(world.store.data().seen, [("seen".to_owned(), true)]);
        }
    }
    Ok(())
}

#[test]
fn both_sides_see_what_the_other_writes() -> Result<()> {
    // The late module's memory, global and table are the host's.
    let text = r#"(module
        (import "env" "memory" (memory 0))
        (import "env" "count" (global $count (mut i32)))
        (import "env" "__indirect_function_table" (table $table 0 funcref))
        (type $f (func (param i32) (result i32)))
        (func $run (export "run") (type $f) (local $sum i32) (local $n i32)
            (local.set $n (i32.const 50))
            (loop $again
                (i32.store (i32.const 60) (local.get $n))
                (i32.store (i32.const 64) (i32.const 0))
                ;; `store` writes to 64 and answers what is in 60.
                (local.set $sum (i32.add (local.get $sum)
                    (call_indirect $table (type $f) (local.get $n) (i32.const 2))))
                (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 64))))
                (global.set $count (i32.const 1000))
                ;; `next` adds one to the global.
                (local.set $sum (i32.add (local.get $sum)
                    (call_indirect $table (type $f) (i32.const 0) (i32.const 0))))
                (local.set $sum (i32.add (local.get $sum) (global.get $count)))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $sum))
        ;; `change` puts another function to slot 0, which is then called.
        (func (export "change") (type $f) (local $sum i32)
            (local.set $sum (call_indirect $table (type $f) (i32.const 0) (i32.const 0)))
            (drop (call_indirect $table (type $f) (i32.const 0) (i32.const 4)))
            (i32.add (local.get $sum) (call_indirect $table (type $f) (i32.const 0) (i32.const 0)))))"#;
    let expected = (1..=50).map(|n| n + n + 1001 + 1001).sum::<i32>();
    everywhere(|world| {
        let late = world.add(text)?;
        for _ in 0..5 {
            assert_eq!(world.call(late, "run", 0)?, expected);
        }
        let next = world.element(NEXT);
        for round in 0..5 {
            world.set_count(10)?;
            assert_eq!(world.call(late, "change", 0)?, 11 - 1, "{round}");
            world.set(NEXT, next);
        }
        Ok(())
    })
}

#[test]
fn an_element_that_changes_is_honoured_at_once() -> Result<()> {
    everywhere(|world| {
        let late = world.warm(&caller(NEXT), 1)?;
        let (next, other) = (world.element(NEXT), world.element(OTHER));
        let check = |world: &mut World, is_next: bool| -> Result<()> {
            for name in ["f", "run", "last"] {
                world.set_count(100)?;
                assert_eq!(world.call(late, name, 1)?, if is_next { 102 } else { -1 }, "{name}");
                assert_eq!(world.count(), if is_next { 101 } else { 100 });
            }
            Ok(())
        };
        check(world, true)?;
        world.set(NEXT, other);
        check(world, false)?;
        world.set(NEXT, next);
        check(world, true)?;
        world.host("init", &[0])?;
        check(world, false)?;
        world.set(NEXT, next);
        world.set(15, other);
        check(world, true)?;
        world.host("copy", &[0, 15])?;
        check(world, false)?;
        world.set(NEXT, next);
        // The elements move.
        world.host("grow", &[5000])?;
        check(world, true)?;
        // In the midst of a call.
        let change = world.instance.get_func(&mut world.store, "change").expect("it is exported");
        change.call(&mut world.store, &[0.into()], &mut [0.into()])?;
        check(world, false)?;
        let of_host = Func::wrap(&mut world.store, |n: i32| n + 7);
        world.set(NEXT, Ref::Func(Some(of_host)));
        assert_eq!(world.call(late, "f", 1)?, 8);
        Ok(())
    })
}

#[test]
fn calls_of_what_is_not_there_trap() -> Result<()> {
    everywhere(|world| {
        let late = world.warm(&caller(NEXT), 1)?;
        let narrow = world.element(NARROW);
        for (element, expected) in [(Ref::Func(None), Trap::IndirectCallToNull), (narrow, Trap::BadSignature)] {
            world.set(NEXT, element);
            for name in ["f", "run", "last"] {
                assert_eq!(trap(&world.call(late, name, 1).unwrap_err()), expected, "{name}");
            }
        }
        Ok(())
    })
}

#[test]
fn other_instances_of_the_same_module_are_others() -> Result<()> {
    for (config, _) in configs() {
        let mut world = World::new(&config)?;
        // In the same store.
        let twin = world.linker.instantiate(&mut world.store, &world.module)?;
        let next = twin.get_func(&mut world.store, "next").expect("it is exported");
        // In another store.
        let engine = world.store.engine().clone();
        let mut far = World::of(&engine, world.module.clone())?;
        far.host("set_step", &[1000])?;
        let late = world.warm(&caller(NEXT), 1)?;
        let far_late = far.warm(&caller(NEXT), 1)?;
        world.set_count(0)?;
        far.set_count(0)?;
        let original = world.element(NEXT);
        for name in ["f", "run", "last"] {
            let before = (world.count(), far.count());
            assert_eq!(world.call(late, name, 1)?, before.0 + 2);
            assert_eq!(far.call(far_late, name, 1)?, before.1 + 1001);
            assert_eq!((world.count(), far.count()), (before.0 + 1, before.1 + 1000));
            world.set(NEXT, Ref::Func(Some(next)));
            world.call(late, name, 1)?;
            assert_eq!(world.count(), before.0 + 1, "the twin counts");
            world.set(NEXT, original);
        }
        let count = twin.get_global(&mut world.store, "count").expect("it is exported");
        assert_eq!(count.get(&mut world.store).i32(), Some(3));
        drop(far);
        assert_eq!(world.call(late, "f", 1)?, 5);
    }
    Ok(())
}

#[test]
fn traps_name_the_functions_of_both_modules() -> Result<()> {
    everywhere(|world| {
        for (slot, name, argument, bad, expected) in
            [(DIVIDE, "divide", 1, 0, Trap::IntegerDivisionByZero), (LOAD, "load", 4, 0x10000, Trap::MemoryOutOfBounds)]
        {
            let place = |error: &wasmo::Error| {
                let trace = error.downcast_ref::<WasmBacktrace>().expect("there is one");
                let frame = &trace.frames()[0];
                (frame.module_name().map(str::to_owned), frame.func_index(), frame.func_offset())
            };
            // As the host's function says itself.
            let func = world.instance.get_typed_func::<i32, i32>(&mut world.store, name)?;
            let alone = place(&func.call(&mut world.store, bad).unwrap_err());
            for text in [caller(slot), importer(name)] {
                let late = world.warm(&text, argument)?;
                for (way, frames) in [("f", vec![name, "f"]), ("run", vec![name, "run"]), ("last", vec![name])] {
                    let error = world.call(late, way, bad).unwrap_err();
                    assert_eq!(trap(&error), expected);
                    assert_eq!(names(&error), frames);
                    assert_eq!(place(&error), alone, "{way}");
                }
                assert_eq!(late.remove(&mut world.store), Ok(()));
            }
        }
        Ok(())
    })
}

#[test]
fn a_module_stays_while_its_code_runs() -> Result<()> {
    everywhere(|world| {
        for text in [caller(GONE), importer("gone")] {
            let late = world.add(&text)?;
            world.store.data_mut().late = None;
            for name in ["f", "run", "last"] {
                for _ in 0..5 {
                    assert_eq!(world.call(late, name, 1)?, 1);
                }
            }
            world.store.data_mut().late = Some(late);
            for name in ["f", "run"] {
                assert_eq!(world.call(late, name, 1)?, 1);
                assert_eq!(world.store.data_mut().removed.take(), Some(Err(RemoveError::Running)));
            }
            // Its last frame is gone when the host's function is called by a tail call.
            assert_eq!(world.call(late, "last", 1)?, 2);
            assert_eq!(world.store.data_mut().removed.take(), Some(Ok(())));
            assert_eq!(late.remove(&mut world.store), Err(RemoveError::Unknown));
        }
        Ok(())
    })
}

#[test]
fn fuel_is_counted_the_same() -> Result<()> {
    let mut used = Vec::new();
    for (mut config, _) in configs() {
        config.consume_fuel(true);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, HOST)?;
        let mut linker = Linker::<Data>::new(&engine);
        linker.func_wrap("host", "look", || {})?;
        linker.func_wrap("host", "remove", || 0)?;
        let mut store = Store::new(&engine, Data::default());
        store.set_fuel(1_000_000)?;
        let instance = linker.instantiate(&mut store, &module)?;
        let mut fuel = Vec::new();
        for slot in [0, 3, 7, 8, 10] {
            let late = instance.add_module(&mut store, caller(slot))?;
            for name in ["f", "run", "last"] {
                let func = late.get_typed_func::<i32, i32>(&mut store, name)?;
                for _ in 0..5 {
                    store.set_fuel(1_000_000)?;
                    func.call(&mut store, 9)?;
                    fuel.push(1_000_000 - store.get_fuel()?);
                }
            }
        }
        used.push(fuel);
    }
    assert!(used.iter().all(|fuel| *fuel == used[0]), "{used:?}");
    Ok(())
}

#[test]
fn what_counts_for_a_profile_is_called() -> Result<()> {
    let mut config = Config::new();
    config.collect_profile(true).tuning(at_once());
    let mut world = World::new(&config)?;
    let next = world.instance.get_func(&mut world.store, "next").expect("it is exported");
    for (round, text) in [caller(NEXT), importer("next")].into_iter().enumerate() {
        let late = world.add(&text)?;
        for _ in 0..10 {
            world.call(late, "f", 1)?;
            world.call(late, "run", 9)?;
        }
        let profile = world.module.profile().expect("there is one");
        let calls: Vec<_> = profile.functions().iter().map(|function| function.entries).collect();
        assert_eq!(calls, [100 * (round as u64 + 1)]);
    }
    next.call(&mut world.store, &[1.into()], &mut [0.into()])?;
    assert_eq!(world.module.profile().expect("there is one").functions()[0].entries, 201);
    Ok(())
}

#[test]
fn a_loop_of_the_host_in_line_can_be_interrupted() -> Result<()> {
    let (mut config, _) = configs()[1].clone();
    config.epoch_interruption(true);
    let mut world = World::new(&config)?;
    world.store.set_epoch_deadline(1_000_000);
    let late = world.warm(&caller(8), 10)?;
    world.store.set_epoch_deadline(1);
    let engine = world.store.engine().clone();
    let ticks = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        engine.increment_epoch();
    });
    // Some four thousand million rounds.
    let error = world.call(late, "run", -1).unwrap_err();
    assert_eq!(trap(&error), Trap::Interrupt);
    ticks.join().expect("it does not panic");
    Ok(())
}

/// Adds modules that call the host, and removes them while they are being optimised.
fn come_and_go(engine: &Engine, module: &Module, rounds: i32) -> Result<()> {
    let mut world = World::of(engine, module.clone())?;
    for round in 0..rounds {
        let (slot, name, argument, expected) = PLAIN[round.unsigned_abs() as usize % PLAIN.len()];
        let late = world.add(&if round % 2 == 0 { caller(slot) } else { importer(name) })?;
        for _ in 0..1 + round % 3 {
            for way in ["f", "last"] {
                assert_eq!(world.call(late, way, argument)?, expected);
            }
        }
        if round % 50 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(late.remove(&mut world.store), Ok(()));
    }
    Ok(())
}

#[test]
fn modules_come_and_go_while_they_are_optimised() -> Result<()> {
    let mut config = Config::new();
    config.tier(Tier::Auto).tuning(Tuning { synchronous: false, ahead: true, ..at_once() });
    let engine = Engine::new(&config)?;
    let module = Module::new(&engine, HOST)?;
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| come_and_go(&engine, &module, 120).expect("nothing fails"));
        }
    });
    // Stores, modules and the engine may go meanwhile.
    for round in 0..20 {
        let engine = Engine::new(&config)?;
        let mut world = World::new(&config)?;
        drop(engine);
        let late = world.add(&caller(8))?;
        assert_eq!(world.call(late, "f", round)?, round * (round + 1) / 2);
    }
    Ok(())
}
