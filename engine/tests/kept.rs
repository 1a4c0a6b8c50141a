//! Modules in tiers that go on with what earlier runs have compiled: nothing is compiled twice, everything computes and traps as before, and what is damaged or foreign is
//! refused.
#![cfg(feature = "wat")]

mod common;

use common::{damaged, write_private};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wasmo::cache::{Key, SourceHash};
use wasmo::{
    Cache, CacheConfig, Config, Engine, Instance, Module, Result, Store, Tier, TierEvent, Trap, Tuning, WasmBacktrace,
};

/// Functions with constants of several sizes, jump tables, calls of one another, memory, and a trap.
const PROGRAM: &str = r#"(module
    (memory 1)
    (data (i32.const 100) "\2a")
    (table funcref (elem $square $pick $bytes))
    (type $unary (func (param i32) (result i32)))
    (func $square (export "square") (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
    (func $pick (export "pick") (param i32) (result i32)
        (block (block (block (block (block (br_table 0 1 2 3 4 (local.get 0)))
            (return (i32.const 1001))) (return (i32.const 30))) (return (i32.const 77))) (return (i32.const 5)))
        (i32.const 123456))
    (func $bytes (export "bytes") (param i32) (result i32)
        (i8x16.extract_lane_u 3 (i8x16.add (v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16) (i8x16.splat (local.get 0)))))
    (func $float (export "float") (param i32) (result i32)
        (i32.trunc_sat_f64_s (f64.mul (f64.convert_i32_s (local.get 0)) (f64.const 3.14159))))
    (func (export "sum") (param $n i32) (result i32) (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (call $square (local.get $n))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum))
    (func (export "indirect") (param i32) (result i32) (call_indirect (type $unary) (i32.const 4) (local.get 0)))
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "divide") (param i32) (result i32) (call $by_zero (local.get 0)))
    (func $by_zero (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 0))))"#;

/// What the functions answer.
const ANSWERS: &[(&str, i32, i32)] = &[
    ("square", 12, 144),
    ("pick", 2, 77),
    ("bytes", 40, 44),
    ("float", 1000, 3141),
    ("sum", 100, 338_350),
    ("indirect", 0, 16),
    ("indirect", 1, 123_456),
    ("load", 100, 42),
];

/// One run of a program.
struct Run {
    module: Module,
    engine: Engine,
    events: Arc<Mutex<Vec<TierEvent>>>,
    /// As long as somebody has it, the one thread that compiles goes no further than the next code that it makes soon.
    gate: Arc<Mutex<()>>,
    /// How often the binary was read.
    reads: Arc<AtomicUsize>,
}

fn open(path: &Path) -> Cache {
    Cache::open(CacheConfig::new().directory(path)).expect("the cache is in order")
}

fn tuning() -> Tuning {
    Tuning { ahead: false, without_compiler: Duration::ZERO, lift_off_functions: 1, soon_asks: 0, ..Tuning::default() }
}

/// Optimised at the first chance, while the guest waits.
fn at_once() -> Tuning {
    Tuning { budget: 0, budget_while_waiting: 0, synchronous: true, ..tuning() }
}

fn key(engine: &Engine, source: &[u8]) -> Key {
    engine.cache_key_in_tiers(SourceHash::of(source))
}

impl Run {
    /// As a process of its own would.
    fn start(cache: &Path, text: &str, tuning: Tuning) -> Result<Self> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let reads = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Mutex::new(()));
        let (seen, counted, passed) = (Arc::clone(&events), Arc::clone(&reads), Arc::clone(&gate));
        let mut config = Config::new();
        config.tier(Tier::Auto).tuning(tuning).compilation_threads(1).tier_observer(move |event| {
            seen.lock().unwrap().push(*event);
            if let TierEvent::Soon { .. } = event {
                drop(passed.lock().unwrap());
            }
        });
        let (engine, cache, binary) = (Engine::new(&config)?, open(cache), wat::parse_str(text)?);
        let key = key(&engine, &binary);
        let again = binary.clone();
        let read = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(again.clone())
        };
        let module = match Module::from_cache_in_tiers(&engine, &cache, &key, read) {
            Some(module) => module,
            None => Module::new_in_tiers(&engine, &cache, &key, binary)?,
        };
        Ok(Self { module, engine, events, gate, reads })
    }

    fn call(&self, name: &str, argument: i32) -> Result<i32> {
        let mut store = Store::new(&self.engine, ());
        let instance = Instance::new(&mut store, &self.module, &[])?;
        instance.get_typed_func::<i32, i32>(&mut store, name)?.call(&mut store, argument)
    }

    #[track_caller]
    fn check(&self, names: &[&str]) {
        for &(name, argument, answer) in ANSWERS.iter().filter(|(name, ..)| names.contains(name)) {
            assert_eq!(self.call(name, argument).unwrap(), answer, "{name}");
        }
    }

    fn count(&self, which: impl Fn(&TierEvent) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| which(event)).count()
    }

    fn compiled(&self) -> usize {
        self.count(|event| !matches!(event, TierEvent::Resumed { .. }))
    }

    /// Functions that came from the cache: in lift-off code, and optimised.
    fn resumed(&self) -> Option<(usize, usize)> {
        self.events.lock().unwrap().iter().find_map(|event| match *event {
            TierEvent::Resumed { lift_off, optimized, .. } => Some((lift_off, optimized)),
            _ => None,
        })
    }
}

fn entry(cache: &Path) -> std::path::PathBuf {
    let entries: Vec<_> = fs::read_dir(cache.join("modules")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

#[test]
fn what_one_run_compiled_the_next_one_has() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let first = Run::start(&cache, PROGRAM, tuning())?;
    assert!(!first.module.keep()?, "nothing has been compiled");
    assert_eq!(first.resumed(), None);
    first.check(&["square", "float"]);
    assert!(first.module.keep()?);
    assert!(!first.module.keep()?, "there is nothing new");
    // More of the same run.
    first.check(&["pick"]);
    assert!(first.module.keep()?);

    let second = Run::start(&cache, PROGRAM, tuning())?;
    assert_eq!(second.resumed(), Some((3, 0)));
    second.check(&["square", "float", "pick"]);
    assert_eq!((second.compiled(), second.reads.load(Ordering::Relaxed)), (0, 0), "{:?}", second.events);
    assert!(!second.module.keep()?);
    // A function that the first run did not come to.
    second.check(&["bytes"]);
    assert_eq!((second.compiled(), second.reads.load(Ordering::Relaxed)), (1, 1), "{:?}", second.events);
    assert!(second.module.keep()?);

    let third = Run::start(&cache, PROGRAM, tuning())?;
    assert_eq!(third.resumed(), Some((4, 0)));
    third.check(&["square", "float", "pick", "bytes"]);
    assert_eq!(third.compiled(), 0, "{:?}", third.events);
    Ok(())
}

/// Waits until `is_so`, for ten seconds at most.
fn wait_until(is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    is_so()
}

/// A program that is killed has lost little.
#[test]
fn what_was_compiled_is_kept_once_all_is_quiet() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let again = Duration::from_millis(1500);
    let quiet = Tuning { quiet: Duration::from_millis(50), kept_again: again, ..tuning() };
    let modules = || fs::read_dir(cache.join("modules")).map_or(0, Iterator::count);
    let resumed = || Run::start(&cache, PROGRAM, tuning()).ok().and_then(|run| run.resumed());
    let first = Run::start(&cache, PROGRAM, quiet)?;
    assert!(!wait_until_soon(|| modules() > 0), "nothing has been compiled");
    first.check(&["square", "float"]);
    assert!(wait_until(|| resumed() == Some((2, 0))), "{:?}", resumed());
    let kept = Instant::now();
    assert!(!first.module.keep()?, "there is nothing new");
    // More comes, but not often.
    first.check(&["pick"]);
    assert!(wait_until(|| resumed() == Some((3, 0))), "{:?}", resumed());
    assert!(kept.elapsed() > again - Duration::from_millis(500), "{:?}", kept.elapsed());
    // Nor is it kept as long as somebody asks for code.
    let busy = Run::start(&cache, PROGRAM, Tuning { quiet: Duration::from_secs(3600), ..tuning() })?;
    busy.check(&["bytes"]);
    assert!(!wait_until_soon(|| resumed() != Some((3, 0))));
    assert!(busy.module.keep()?);
    Ok(())
}

/// Whether `is_so` within some time that is too short for what is not quiet.
fn wait_until_soon(is_so: impl Fn() -> bool) -> bool {
    std::thread::sleep(Duration::from_millis(300));
    is_so()
}

/// Each round adds code and constants to what is there, which stays right.
#[test]
fn what_is_kept_grows() -> Result<()> {
    for tuning in [tuning(), at_once()] {
        let folder = tempfile::tempdir()?;
        let cache = folder.path().join("cache");
        let names = ["pick", "bytes", "float", "load", "sum", "indirect"];
        for round in 0..names.len() {
            let run = Run::start(&cache, PROGRAM, tuning.clone())?;
            run.check(&names[..=round]);
            assert!(run.module.keep()?, "round {round}");
        }
        let last = Run::start(&cache, PROGRAM, tuning.clone())?;
        last.check(&names);
        assert_eq!((last.compiled(), last.reads.load(Ordering::Relaxed)), (0, 0), "{:?}", last.events);
        let optimized = last.resumed().expect("it was kept").1;
        assert_eq!(optimized > 0, tuning == at_once(), "{optimized}");
    }
    Ok(())
}

#[test]
fn optimised_functions_are_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let first = Run::start(&cache, PROGRAM, at_once())?;
    first.check(&["sum"]);
    assert!(first.count(|event| matches!(event, TierEvent::Osr { .. })) > 0);
    assert!(first.module.keep()?);
    let second = Run::start(&cache, PROGRAM, at_once())?;
    assert_eq!(second.resumed(), Some((0, 2)), "sum and square");
    second.check(&["sum", "square"]);
    assert_eq!(second.compiled(), 0, "{:?}", second.events);
    Ok(())
}

/// A budget lasts for several runs; and who optimises between runs finds what is warm.
#[test]
fn warm_functions_are_optimised_between_runs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let first = Run::start(&cache, PROGRAM, tuning())?;
    assert_eq!(first.call("sum", 1000)?, 333_833_500);
    first.check(&["pick"]);
    assert!(first.module.keep()?);
    assert_eq!(first.module.warm_functions().len(), 2, "sum and square");
    // Less than a budget each, more than one together.
    let second = Run::start(&cache, PROGRAM, Tuning { synchronous: true, ..tuning() })?;
    assert_eq!(second.call("sum", 1900)?, second.call("sum", 1900)?);
    assert_eq!(second.count(|event| matches!(event, TierEvent::Optimized { .. })), 1, "{:?}", second.events);
    drop(second);

    let between = Run::start(&cache, PROGRAM, tuning())?;
    let warm = between.module.warm_functions();
    assert!(between.module.optimize(&warm, Duration::from_secs(60))?);
    assert!(between.module.warm_functions().is_empty());
    let third = Run::start(&cache, PROGRAM, tuning())?;
    assert_eq!(third.resumed(), Some((1, 2)));
    third.check(&["sum", "square", "pick"]);
    assert_eq!(third.compiled(), 0, "{:?}", third.events);
    // What there was no time for is not tried again.
    let hurried = Run::start(&cache, PROGRAM, tuning())?;
    hurried.module.optimize(&[1], Duration::ZERO)?;
    assert!(hurried.module.warm_functions().is_empty());
    // Functions that do not exist, or have no code, are nobody's concern.
    hurried.module.optimize(&[3, 8, 500], Duration::from_secs(1))?;
    Ok(())
}

#[test]
fn a_young_run_does_without_the_compiler() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let young = Tuning { without_compiler: Duration::from_secs(3600), synchronous: true, ..tuning() };
    let first = Run::start(&cache, PROGRAM, young.clone())?;
    assert_eq!(first.call("sum", 100)?, 338_350);
    assert!(first.module.keep()?);
    let second = Run::start(&cache, PROGRAM, young)?;
    assert_eq!(second.call("sum", 20_000)?, (1..=20_000_i32).fold(0, |sum: i32, n| sum.wrapping_add(n * n)));
    assert_eq!((second.compiled(), second.reads.load(Ordering::Relaxed)), (0, 0), "{:?}", second.events);
    assert_eq!(second.module.warm_functions().len(), 2);
    // A function without code does not take LLVM; but once it is there, it may as well be used.
    second.check(&["pick"]);
    assert!(!second.module.engine().has_used_llvm());
    second.module.engine().precompile_module(PROGRAM.as_bytes())?;
    assert_eq!(second.call("sum", 20_000)?, second.call("sum", 20_000)?);
    assert!(second.count(|event| matches!(event, TierEvent::Optimized { .. })) > 0, "{:?}", second.events);
    Ok(())
}

/// What a run has wanted and did not get in time, the next makes at the first call, however young it is; what has not run for long counts anew.
#[test]
fn what_was_wanted_comes_first_in_the_next_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let hurried = Tuning { budget: 0, sample_period: Duration::ZERO, soon_asks: 10, ..tuning() };
    let first = Run::start(&cache, PROGRAM, hurried.clone())?;
    let soon = |run: &Run| run.count(|event| matches!(event, TierEvent::Soon { .. }));
    let closed = first.gate.lock().unwrap();
    let is_soon = || first.call("square", 3).is_ok_and(|nine| nine == 9) && soon(&first) == 1;
    assert!(wait_until(is_soon), "{:?}", first.events);
    let wanted = || first.count(|event| matches!(event, TierEvent::Hot { .. })) == 2;
    assert!(wait_until(|| first.call("square", 3).is_ok_and(|nine| nine == 9) && wanted()), "{:?}", first.events);
    assert!(first.module.keep()?);
    drop(closed);

    // What there is no time for between runs is not tried again.
    let between = Run::start(&cache, PROGRAM, hurried.clone())?;
    assert_eq!(between.module.warm_functions(), [0]);
    between.module.optimize(&[0], Duration::ZERO)?;
    assert!(between.module.warm_functions().is_empty());

    let young = Tuning { without_compiler: Duration::from_secs(3600), synchronous: true, ..hurried };
    let second = Run::start(&cache, PROGRAM, young)?;
    second.check(&["square"]);
    assert_eq!(second.count(|event| matches!(event, TierEvent::Optimized { .. })), 1, "{:?}", second.events);
    assert_eq!(soon(&second), 0);
    Ok(())
}

#[test]
fn traps_and_backtraces_are_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (number, tuning) in [tuning(), at_once()].into_iter().enumerate() {
        let cache = folder.path().join(number.to_string());
        let mut seen = Vec::new();
        for run in 0..3 {
            let run_ = Run::start(&cache, PROGRAM, tuning.clone())?;
            let error = run_.call("divide", 1).expect_err("it divides by zero");
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::IntegerDivisionByZero));
            let backtrace = error.downcast_ref::<WasmBacktrace>().expect("it has one");
            let mut frames: Vec<_> = backtrace.frames().iter().map(|f| (f.func_index(), f.module_offset())).collect();
            assert_eq!(frames.len(), 2, "{frames:?}");
            if number == 1 {
                // Where optimised code has the callee inlined, nothing tells where the call was.
                frames[1].1 = None;
            }
            seen.push(frames);
            assert_eq!(run_.module.keep()?, run == 0);
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
    Ok(())
}

#[test]
fn another_binary_is_not_compiled() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let first = Run::start(&cache, PROGRAM, tuning())?;
    first.check(&["square"]);
    assert!(first.module.keep()?);
    let (engine, opened) = (Engine::new(Config::new().tier(Tier::Auto).tuning(tuning()))?, open(&cache));
    let key = key(&engine, &wat::parse_str(PROGRAM)?);
    type Read = fn() -> Result<Vec<u8>>;
    let readers: [(Read, &str); 2] = [
        (|| Ok(wat::parse_str(PROGRAM.replace("1001", "1002"))?), "has changed since it was loaded"),
        (|| wasmo::bail!("it is gone"), "it is gone"),
    ];
    for (read, reason) in readers {
        let module = Module::from_cache_in_tiers(&engine, &opened, &key, read).expect("it was kept");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        assert_eq!(instance.get_typed_func::<i32, i32>(&mut store, "square")?.call(&mut store, 3)?, 9);
        let error = instance.get_typed_func::<i32, i32>(&mut store, "pick")?.call(&mut store, 0).expect_err(reason);
        assert!(format!("{error:#}").contains(reason), "{error:#}");
    }
    Ok(())
}

#[test]
fn more_is_not_replaced_by_less() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    // Two runs at a time, neither of which knows of the other.
    let [short, long] = [(); 2].map(|()| Run::start(&cache, PROGRAM, tuning()).expect("it starts"));
    short.check(&["square"]);
    long.check(&["square", "pick", "float"]);
    assert!(long.module.keep()?);
    assert!(!short.module.keep()?);
    assert_eq!(Run::start(&cache, PROGRAM, tuning())?.resumed(), Some((3, 0)));
    // Other code, though not less: the last one is there, and nothing of the other.
    let [one, other] = [(); 2].map(|()| Run::start(&cache, PROGRAM, tuning()).expect("it starts"));
    one.check(&["bytes"]);
    other.check(&["load"]);
    assert!(one.module.keep()?);
    assert!(other.module.keep()?);
    let last = Run::start(&cache, PROGRAM, tuning())?;
    last.check(&["load"]);
    assert_eq!(last.compiled(), 0);
    last.check(&["bytes"]);
    assert_eq!(last.compiled(), 1);
    Ok(())
}

#[test]
fn a_part_is_not_taken_for_the_whole() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let run = Run::start(&cache, PROGRAM, tuning())?;
    run.check(&["square"]);
    assert!(run.module.keep()?);
    // SAFETY: the file was made by the engine.
    let error = unsafe { Module::deserialize_file(&run.engine, entry(&cache)) }.expect_err("it is only a part");
    assert!(format!("{error:#}").contains("only a part"), "{error:#}");
    // The same module as a whole is made when it is asked for.
    let resumed = Run::start(&cache, PROGRAM, tuning())?;
    // SAFETY: the engine has just made it.
    let whole = unsafe { Module::deserialize(&run.engine, resumed.module.serialize()?) }?;
    let mut store = Store::new(&run.engine, ());
    let instance = Instance::new(&mut store, &whole, &[])?;
    assert_eq!(instance.get_typed_func::<i32, i32>(&mut store, "pick")?.call(&mut store, 2)?, 77);
    Ok(())
}

#[test]
fn tiers_have_keys_of_their_own() -> Result<()> {
    let source = SourceHash::of(b"x");
    let keys = [Tier::Auto, Tier::LiftOff].map(|tier| {
        let engine = Engine::new(Config::new().tier(tier)).expect("the machine is supported");
        [engine.cache_key(source), engine.cache_key_in_tiers(source)]
    });
    assert_eq!(keys[0][0], keys[1][0], "the whole is the same");
    assert_ne!(keys[0][0], keys[0][1]);
    assert_ne!(keys[0][1], keys[1][1]);
    Ok(())
}

#[test]
fn damaged_parts_are_refused_or_behave_as_the_original() -> Result<()> {
    const TIMES: usize = 1_500;
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    // Both tiers are in it, and it was made in two runs.
    let first = Run::start(&cache, PROGRAM, at_once())?;
    first.check(&["sum"]);
    assert!(first.module.keep()?);
    let second = Run::start(&cache, PROGRAM, tuning())?;
    second.check(&["pick", "bytes", "load"]);
    assert!(second.module.keep()?);
    let path = entry(&cache);
    let whole = fs::read(&path)?;
    let engine = Engine::new(Config::new().tier(Tier::Auto).tuning(tuning()))?;
    let (cache, binary) = (open(&cache), wat::parse_str(PROGRAM)?);
    let key = key(&engine, &binary);
    let (mut refused, mut kept) = (0, 0);
    for (bytes, random) in damaged(&whole).take(TIMES) {
        // Another file each time, as the cache writes them.
        let new = folder.path().join("new");
        write_private(&new, &bytes)?;
        fs::rename(new, &path)?;
        let again = binary.clone();
        let Some(module) = Module::from_cache_in_tiers(&engine, &cache, &key, move || Ok(again.clone())) else {
            assert!(!path.exists(), "it is still there");
            refused += 1;
            continue;
        };
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        for &(name, argument, answer) in ANSWERS.iter().filter(|(name, ..)| ["sum", "pick", "load"].contains(name)) {
            let func = instance.get_typed_func::<i32, i32>(&mut store, name)?;
            assert_eq!(func.call(&mut store, argument)?, answer, "{name}");
        }
        // What is damaged is not taken over into another file.
        if random & 7 == 0 {
            instance.get_typed_func::<i32, i32>(&mut store, "float")?.call(&mut store, 1)?;
            kept += usize::from(module.keep()?);
        }
    }
    assert!(refused > TIMES / 3 && refused < TIMES, "{refused}");
    assert_eq!(kept, 0, "damaged files were extended");
    Ok(())
}
