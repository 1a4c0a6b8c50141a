//! Modules in tiers: code that is made and replaced while it runs computes what it should, and traps where it should.
#![cfg(feature = "wat")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wasmo::{
    Caller, Config, Engine, Func, Instance, Module, Result, Store, Tier, TierEvent, Trap, Tuning, V128, Val,
    WasmBacktrace,
};

/// An engine whose functions change their tier when `tuning` says, and what it reported.
fn engine(tier: Tier, tuning: Tuning) -> (Engine, Arc<Mutex<Vec<TierEvent>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let mut config = Config::new();
    config.tier(tier).tuning(tuning).tier_observer(move |event| seen.lock().unwrap().push(*event));
    (Engine::new(&config).unwrap(), events)
}

/// Optimised at the first chance, while the guest waits.
fn at_once() -> Tuning {
    Tuning {
        budget: 0,
        budget_while_waiting: 0,
        lasting_asks: 0,
        sample_period: Duration::ZERO,
        synchronous: true,
        ahead: false,
        ..Tuning::default()
    }
}

fn count(events: &Mutex<Vec<TierEvent>>, which: impl Fn(&TierEvent) -> bool) -> usize {
    events.lock().unwrap().iter().filter(|event| which(event)).count()
}

/// Calls `name` with an i32, and answers its i64.
fn call(engine: &Engine, text: &str, name: &str, argument: i32) -> Result<i64> {
    let module = Module::new(engine, text)?;
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    instance.get_typed_func::<i32, i64>(&mut store, name)?.call(&mut store, argument)
}

/// Variables of all types, operands below the loops, loops in loops and in branches: what one tier hands over to the other.
const STATE: &str = r#"(module
    (memory 1)
    (func $id (param i64) (result i64) (local.get 0))
    (func (export "state") (param $n i32) (result i64)
        (local $i i32) (local $j i32) (local $l i64) (local $f f32) (local $d f64) (local $v v128) (local $r funcref)
        (i64.const 1000000)
        (f64.const 0.5)
        (block $b (result i32)
            (i32.const 7)
            (loop $outer (param i32) (result i32)
                (local.set $l (i64.add (local.get $l) (i64.extend_i32_u (local.get $i))))
                (local.set $f (f32.add (local.get $f) (f32.const 1.5)))
                (local.set $j (i32.const 0))
                (f64.mul (f64.convert_i32_s (local.get $i)) (f64.const 2))
                (loop $inner
                    (local.set $v (i64x2.add (local.get $v) (i64x2.splat (i64.extend_i32_s (local.get $j)))))
                    (local.set $d (f64.add (local.get $d) (f64.const 0.25)))
                    (i32.store (i32.shl (local.get $j) (i32.const 2)) (i32.add (local.get $i) (local.get $j)))
                    (if (i32.and (local.get $j) (i32.const 1))
                        (then (local.set $l (call $id (i64.add (local.get $l) (i64.const 3)))))
                        (else (if (ref.is_null (local.get $r)) (then (local.set $l (i64.add (local.get $l) (i64.const 1)))))))
                    (br_if $inner (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 10))))
                (local.set $d (f64.add (local.get $d)))
                (i32.add (i32.const 1))
                (br_if $outer (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))))
        (f64.convert_i32_s)
        (f64.add)
        (i64.trunc_sat_f64_s)
        (i64.add)
        (i64.add (local.get $l))
        (i64.add (i64.trunc_sat_f64_s (local.get $d)))
        (i64.add (i64.trunc_sat_f32_s (local.get $f)))
        (i64.add (i64x2.extract_lane 0 (local.get $v)))
        (i64.add (i64x2.extract_lane 1 (local.get $v)))
        (i64.add (i64.extend_i32_u (i32.load (i32.const 36))))))"#;

#[test]
fn state_is_handed_over_at_every_loop() {
    let expected = call(&Engine::default(), STATE, "state", 1000).unwrap();
    // The budget ends at another loop and in another round each time.
    for budget in [0, 1, 2, 3, 5, 8, 11, 12, 13, 25, 100, 999] {
        let (engine, events) = engine(Tier::Auto, Tuning { budget, soon_asks: u32::MAX, ..at_once() });
        assert_eq!(call(&engine, STATE, "state", 1000).unwrap(), expected, "budget {budget}");
        assert_eq!(count(&events, |event| matches!(event, TierEvent::Osr { .. })), 1, "budget {budget}");
    }
    // Code that was made soon is left for better code in the same way.
    for soon_asks in [1, 2, 3, 9, 28, 40, 303, 2000] {
        let (engine, events) = engine(Tier::Auto, Tuning { soon_asks, ..at_once() });
        assert_eq!(call(&engine, STATE, "state", 1000).unwrap(), expected, "asked {soon_asks} times");
        assert_eq!(count(&events, |event| matches!(event, TierEvent::Osr { .. })), 2, "asked {soon_asks} times");
        assert!(count(&events, |event| matches!(event, TierEvent::Soon { .. })) > 0);
        assert!(count(&events, |event| matches!(event, TierEvent::Optimized { .. })) > 0);
    }
    let (engine, events) = engine(Tier::LiftOff, at_once());
    assert_eq!(call(&engine, STATE, "state", 1000).unwrap(), expected);
    assert_eq!(count(&events, |event| !matches!(event, TierEvent::LiftOff { .. })), 0, "nothing is ever hot");
}

/// Loops that follow one another and lie in one another, and variables that are read only before, in or behind some of them: what is handed over at each loop differs.
const MANY_LOOPS: &str = r#"(module
    (memory 1)
    (func (export "run") (param $n i32) (result i64)
        (local $i i32) (local $j i32) (local $a i64) (local $b i64) (local $c f64) (local $used_up i64) (local $late i64)
        (local.set $used_up (i64.const 5))
        (local.set $late (i64.const 11))
        (loop $first
            (local.set $a (i64.add (local.get $a) (i64.mul (local.get $used_up) (i64.extend_i32_u (local.get $i)))))
            (br_if $first (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
        (local.set $i (i32.const 0))
        (local.get $a)
        (loop $second
            (local.set $j (i32.const 0))
            (local.set $b (i64.add (local.get $b) (i64.const 3)))
            (f64.convert_i32_s (local.get $i))
            (if (i32.and (local.get $i) (i32.const 1))
                (then
                    (loop $odd
                        (local.set $c (f64.add (local.get $c) (f64.const 0.5)))
                        (br_if $odd (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 5)))))
                (else
                    (local.get $j)
                    (loop $even (param i32)
                        (local.set $j (i32.add (i32.const 1)))
                        (i32.store (i32.shl (local.get $j) (i32.const 2)) (local.get $i))
                        (local.get $j)
                        (br_if $even (i32.lt_u (local.get $j) (i32.const 4)))
                        (drop))
                    ;; From here on it holds something else.
                    (local.set $a (i64.extend_i32_u (local.get $j)))))
            (local.set $c (f64.add (local.get $c)))
            (br_if $second (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
        (i64.add (local.get $b))
        (local.set $i (i32.const 0))
        (block $done
            (loop $third
                (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (local.set $late (i64.xor (i64.mul (local.get $late) (i64.const 31)) (i64.extend_i32_u (local.get $i))))
                (br $third)))
        (i64.add (local.get $late))
        (i64.add (i64.trunc_sat_f64_s (local.get $c)))
        (i64.add (i64.extend_i32_u (i32.load (i32.const 16))))
        (i64.add (local.get $a))))"#;

#[test]
fn code_that_is_made_soon_is_entered_and_left_at_any_loop() {
    let expected = call(&Engine::default(), MANY_LOOPS, "run", 100).unwrap();
    let (engine, _) = engine(Tier::LiftOff, at_once());
    assert_eq!(call(&engine, MANY_LOOPS, "run", 100).unwrap(), expected);
    let mut entered = BTreeSet::new();
    for budget in (0..900).step_by(37) {
        for soon_asks in [1, 2, 7, 102] {
            let tuning = Tuning { budget, soon_asks, ..at_once() };
            let (engine, events) = self::engine(Tier::Auto, tuning);
            let found = call(&engine, MANY_LOOPS, "run", 100).unwrap();
            assert_eq!(found, expected, "budget {budget}, then asked {soon_asks} times");
            let events = events.lock().unwrap();
            let at = |event: &TierEvent| if let TierEvent::Osr { at, .. } = event { Some(*at) } else { None };
            entered.extend(events.iter().filter_map(at).enumerate());
        }
    }
    // Both times, at each loop.
    assert_eq!(entered, (0..2).flat_map(|time| (0..5).map(move |at| (time, at))).collect());
}

#[test]
fn a_loop_that_does_not_end_goes_on_in_optimised_code() {
    let text = r#"(module (func (export "run") (param $n i32) (result i64) (local $s i64)
        (loop $l
            (local.set $s (i64.add (i64.mul (local.get $s) (i64.const 31)) (i64.extend_i32_u (local.get $n))))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $s)))"#;
    let expected = call(&Engine::default(), text, "run", 300_000_000).unwrap();
    let (engine, events) = engine(Tier::Auto, Tuning::default());
    assert_eq!(call(&engine, text, "run", 300_000_000).unwrap(), expected);
    // For code that was made soon, and from there for code as good as can be.
    assert_eq!(count(&events, |event| matches!(event, TierEvent::Osr { at: 0, .. })), 2);
    // Code for the call that lasts comes before code for calls that may never come.
    let optimized = |event: &TierEvent| if let TierEvent::Optimized { at, .. } = event { Some(*at) } else { None };
    assert_eq!(events.lock().unwrap().iter().find_map(optimized), Some(Some(0)));
}

#[test]
fn first_calls_keep_all_arguments() {
    // Six integers, eight floats and vectors in registers, the rest in the spill area, of functions that have no code before.
    let params: String = (0..9).map(|_| "i64 f64 v128 ").collect();
    let sum: String = (0..9)
        .map(|group| {
            let (i, f, v) = (group * 3, group * 3 + 1, group * 3 + 2);
            format!(
                "(i64.add (local.get {i})) (i64.add (i64.trunc_sat_f64_s (local.get {f})))
                 (i64.add (i64x2.extract_lane 0 (local.get {v}))) (i64.add (i64x2.extract_lane 1 (local.get {v})))"
            )
        })
        .collect();
    let forward: String = (0..27).map(|index| format!("(local.get {index})")).collect();
    let text = format!(
        "(module (type $t (func (param {params}) (result i64)))
            (func $last (type $t) (i64.const 0) {sum})
            (func $tail (type $t) (return_call $last {forward}))
            (table funcref (elem $tail))
            (func (export \"run\") (type $t) (call_indirect (type $t) {forward} (i32.const 0))))"
    );
    let (engine, _) = engine(Tier::Auto, Tuning { lift_off_functions: 1, ..at_once() });
    let module = Module::new(&engine, &text).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_func(&mut store, "run").unwrap();
    let mut arguments = Vec::new();
    let mut expected = 0;
    for group in 0..9_i64 {
        let (i, f, lanes) = (group + 1, group * 100 + 1, (group * 7 + 3, group * 1000));
        arguments.push(Val::I64(i));
        #[allow(clippy::cast_precision_loss, reason = "the numbers are small")]
        arguments.push(Val::F64((f as f64).to_bits()));
        arguments.push(Val::V128(V128::from((lanes.0 as u128) | ((lanes.1 as u128) << 64))));
        expected += i + f + lanes.0 + lanes.1;
    }
    let mut results = [Val::I64(0)];
    for _ in 0..3 {
        run.call(&mut store, &arguments, &mut results).unwrap();
        assert_eq!(results[0].unwrap_i64(), expected);
    }
}

#[test]
fn traps_in_code_of_any_tier_say_where_they_are() {
    let text = r#"(module (memory 1)
        (func $inner (param i32) (result i32) (i32.load8_u (i32.mul (local.get 0) (i32.const 65536))))
        (func (export "run") (param $n i32) (result i64) (local $sum i32)
            (loop $l
                (local.set $sum (i32.add (local.get $sum) (call $inner (i32.sub (local.get $n) (i32.const 3)))))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (i64.extend_i32_u (local.get $sum))))"#;
    let trace = |engine: &Engine| {
        let error = call(engine, text, "run", 3).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
        let trace = error.downcast_ref::<WasmBacktrace>().expect("there is a backtrace");
        trace.frames().iter().map(|frame| (frame.func_index(), frame.module_offset())).collect::<Vec<_>>()
    };
    let (engine, _) = engine(Tier::LiftOff, Tuning::default());
    let expected = trace(&engine);
    assert_eq!(expected.iter().map(|&(func, _)| func).collect::<Vec<_>>(), [0, 1]);
    assert!(expected.iter().all(|(_, offset)| offset.is_some()));
    // Where the callee is inlined, the place of the call is not known.
    let functions = |frames: &[(u32, Option<usize>)]| frames.iter().map(|&(func, _)| func).collect::<Vec<_>>();
    for tuning in [at_once(), Tuning { unit_bytes: 0, ..at_once() }] {
        let (engine, events) = self::engine(Tier::Auto, tuning);
        let found = trace(&engine);
        assert_eq!(found[0], expected[0]);
        assert_eq!(functions(&found), functions(&expected), "no frame is there twice");
        assert_eq!(count(&events, |event| matches!(event, TierEvent::Osr { .. })), 1);
    }
}

/// A function that is small and not hot is compiled with a hot one that calls it, for that one alone.
#[test]
fn units_have_copies_of_small_functions() {
    let text = r#"(module
        (func $down (param i32) (result i64)
            (if (i32.lt_s (local.get 0) (i32.const 0)) (then (unreachable)))
            (if (result i64) (local.get 0)
                (then (i64.add (i64.const 2) (call $down (i32.sub (local.get 0) (i32.const 1)))))
                (else (i64.const 0))))
        (func (export "run") (param $n i32) (result i64) (local $i i32)
            (drop (call $down (i32.const 1)))
            (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
            (call $down (local.get $n))))"#;
    let tuning = Tuning { budget: 100, soon_asks: 0, synchronous: true, ahead: false, ..Tuning::default() };
    let (engine, events) = engine(Tier::Auto, tuning);
    assert_eq!(call(&engine, text, "run", 50).unwrap(), 100);
    let error = call(&engine, text, "run", -1).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
    let trace = error.downcast_ref::<WasmBacktrace>().expect("there is a backtrace");
    assert_eq!(trace.frames().iter().map(wasmo::FrameInfo::func_index).collect::<Vec<_>>(), [0, 1]);
    // The copy is not the function's code: that counts on.
    let hot: Vec<_> = events
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| match *event {
            TierEvent::Optimized { func, functions, .. } => Some((func, functions)),
            _ => None,
        })
        .collect();
    assert_eq!(hot, [(1, 1), (1, 1)]);
}

#[test]
fn a_recursion_without_end_overflows_in_any_tier() {
    let text = r#"(module (func $f (export "run") (param i32) (result i64)
        (i64.add (i64.const 1) (call $f (i32.add (local.get 0) (i32.const 1))))))"#;
    for (tier, tuning) in [(Tier::LiftOff, Tuning::default()), (Tier::Auto, Tuning::default()), (Tier::Auto, at_once())]
    {
        let (engine, _) = engine(tier, tuning);
        let error = call(&engine, text, "run", 0).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
    }
}

#[test]
fn invalid_bodies_are_refused_before_anything_runs() {
    let (engine, _) = engine(Tier::Auto, Tuning::default());
    let invalid = r#"(module (func (export "ok")) (func (result i32) (i64.const 0)))"#;
    let error = Module::new(&engine, invalid).unwrap_err();
    assert!(format!("{error:#}").contains("type mismatch"), "{error:#}");
}

#[test]
fn the_host_is_called_and_calls_back_through_functions_that_are_new() {
    let text = r#"(module
        (import "" "host" (func $host (param i32) (result i32)))
        (func $back (export "back") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
        (func (export "run") (param i32) (result i64) (i64.extend_i32_s (call $host (local.get 0)))))"#;
    for tuning in [Tuning::default(), at_once()] {
        let (engine, _) = engine(Tier::Auto, tuning);
        let module = Module::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        let host = Func::wrap(&mut store, |mut caller: Caller<'_, ()>, value: i32| -> Result<i32> {
            let back = caller.get_export("back").and_then(|back| back.into_func()).expect("it is exported");
            Ok(back.typed::<i32, i32>(&caller)?.call(&mut caller, value)? + 1)
        });
        let instance = Instance::new(&mut store, &module, &[host.into()]).unwrap();
        let run = instance.get_typed_func::<i32, i64>(&mut store, "run").unwrap();
        for value in 0..5 {
            assert_eq!(run.call(&mut store, value).unwrap(), i64::from(value) * 2 + 1);
        }
    }
}

#[test]
fn a_loop_is_interrupted_in_any_tier() {
    let text = r#"(module (func (export "run") (param i32) (result i64) (loop (br 0)) (i64.const 0)))"#;
    for (tier, tuning) in [(Tier::LiftOff, Tuning::default()), (Tier::Auto, at_once())] {
        let (engine, _) = engine(tier, tuning);
        let module = Module::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<i32, i64>(&mut store, "run").unwrap();
        store.set_timeout(Some(Duration::from_millis(50)));
        let error = run.call(&mut store, 0).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    }
}

/// Fuel is counted alike whichever code runs.
#[test]
fn fuel_does_not_depend_on_the_tier() {
    let used = |tier: Tier, tuning: Tuning| {
        let mut config = Config::new();
        config.tier(tier).tuning(tuning).consume_fuel(true);
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, STATE).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(1 << 40).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        instance.get_typed_func::<i32, i64>(&mut store, "state").unwrap().call(&mut store, 50).unwrap();
        (1 << 40) - store.get_fuel().unwrap()
    };
    let expected = used(Tier::Optimized, Tuning::default());
    assert_eq!(used(Tier::LiftOff, Tuning::default()), expected);
    for budget in [0, 7, 20] {
        assert_eq!(used(Tier::Auto, Tuning { budget, ..at_once() }), expected, "budget {budget}");
    }
}

/// Eight threads run one module while it is compiled for all of them, and drop it while compilers are at work.
#[test]
fn threads_share_code_that_is_being_made() {
    let text = r#"(module
        (func $even (export "even") (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1)) (else (call $odd (i32.sub (local.get 0) (i32.const 1))))))
        (func $odd (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0)) (else (call $even (i32.sub (local.get 0) (i32.const 1))))))
        (func $fib (param i32) (result i32)
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
                (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func (export "run") (param $n i32) (result i64) (local $s i64)
            (loop $l
                (local.set $s (i64.add (local.get $s) (i64.extend_i32_u
                    (i32.add (call $even (local.get $n)) (call $fib (i32.and (local.get $n) (i32.const 15)))))))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $s)))"#;
    let expected = call(&Engine::default(), text, "run", 2000).unwrap();
    for round in 0..10 {
        let (engine, _) =
            engine(Tier::Auto, Tuning { budget: 20 << round, budget_while_waiting: 5, ..Tuning::default() });
        let module = Module::new(&engine, text).unwrap();
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut store = Store::new(&engine, ());
                    let instance = Instance::new(&mut store, &module, &[]).unwrap();
                    let run = instance.get_typed_func::<i32, i64>(&mut store, "run").unwrap();
                    assert_eq!(run.call(&mut store, 2000).unwrap(), expected);
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(done.into_inner(), 8);
    }
}

#[test]
fn what_takes_too_long_to_optimise_stays_as_it_is() {
    let expected = call(&Engine::default(), STATE, "state", 1000).unwrap();
    for tuning in [
        Tuning { optimized_bytes: 20, soon_asks: 0, ..at_once() },
        Tuning { optimizing_time: Duration::ZERO, ..at_once() },
    ] {
        let small = tuning.optimized_bytes == 20;
        let (engine, events) = engine(Tier::Auto, tuning);
        assert_eq!(call(&engine, STATE, "state", 1000).unwrap(), expected);
        let kept = count(&events, |event| matches!(event, TierEvent::Kept { .. }));
        let optimized = count(&events, |event| matches!(event, TierEvent::Optimized { .. }));
        assert_eq!(count(&events, |event| matches!(event, TierEvent::Osr { .. })), 0);
        // The small function that the large one calls is optimised, unless there is no time for anything.
        assert_eq!(optimized, usize::from(small), "{small}");
        assert!(kept >= 1, "{small}: {kept}");
        assert_eq!(engine.tier_stats().kept, kept as u64);
    }
}

/// Lift-off code makes frames of any size, touches the pages of large ones in order, and clears its variables.
#[test]
fn frames_of_many_pages_overflow_as_a_trap() -> Result<()> {
    for locals in [0_usize, 13, 600, 5_000, 20_000] {
        let types = "i64 ".repeat(locals);
        let last = locals.saturating_sub(1) + 1;
        let read = if locals == 0 { "(i64.const 0)".to_owned() } else { format!("(local.get {last})") };
        let text = format!(
            r#"(module
                (func $deep (export "deep") (param i32) (result i32) (local {types})
                    (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
                (func (export "clear") (param i32) (result i64) (local {types}) {read}))"#
        );
        let engine = Engine::new(Config::new().tier(Tier::LiftOff))?;
        let module = Module::new(&engine, &text)?;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        let deep = instance.get_typed_func::<i32, i32>(&mut store, "deep")?;
        let clear = instance.get_typed_func::<i32, i64>(&mut store, "clear")?;
        for _ in 0..2 {
            let error = deep.call(&mut store, 1).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow), "{locals}");
            let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
            assert!(frames.len() > 3 && frames.iter().all(|frame| frame.func_name() == Some("deep")), "{locals}");
            // The stack is full of what was there.
            assert_eq!(clear.call(&mut store, -1)?, 0, "{locals}");
        }
    }
    Ok(())
}

/// Operands that are what a variable holds stay what they are when it is assigned, wherever they are by then, and over calls.
#[test]
fn operands_outlive_the_variables_that_they_came_from() -> Result<()> {
    const TEXT: &str = r#"(module
        (func $other (param i32 i64 f64) (result i32) (i32.add (local.get 0) (i32.const 1)))
        (func $call (drop (call $other (i32.const 1) (i64.const 2) (f64.const 3))))
        (func (export "integer") (param i32) (result i64)
            (i64.extend_i32_s (local.get 0))
            (call $call)
            (local.get 0)
            (call $call)
            (local.set 0 (i32.const 5))
            (call $call)
            (i64.extend_i32_s)
            (i64.add))
        (func (export "float") (param $n i32) (result i64) (local $x f64)
            (local.set $x (f64.convert_i32_s (local.get $n)))
            (local.get $x)
            (call $call)
            (local.get $x)
            (block
                (local.set $x (f64.const 5))
                (br_if 0 (i32.eqz (local.get $n)))
                (local.set $x (f64.const 6)))
            (local.set $x (f64.const 7))
            (call $call)
            (i64.trunc_f64_s (f64.add)))
        ;; More such operands than are looked for one by one.
        (func (export "many") (param $n i32) (result i64)
            MANY
            (call $call)
            (local.set $n (i32.const 5))
            (call $call)
            SUM
            (i64.extend_i32_s)))"#;
    let text = TEXT.replace("MANY", &"(local.get $n)".repeat(100)).replace("SUM", &"(i32.add)".repeat(99));
    for tier in [Tier::LiftOff, Tier::Auto, Tier::Optimized] {
        let (engine, _) = engine(tier, Tuning::default());
        assert_eq!(call(&engine, &text, "integer", 21)?, 42, "{tier:?}");
        assert_eq!(call(&engine, &text, "float", 21)?, 42, "{tier:?}");
        assert_eq!(call(&engine, &text, "many", 3)?, 300, "{tier:?}");
    }
    Ok(())
}
