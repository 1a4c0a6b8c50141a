//! Code that was replaced by optimised code is freed, and nobody comes back to it: what is free consists of traps.
#![cfg(feature = "wat")]

use std::fmt::Write as _;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use wasmo::{Caller, Config, Engine, Extern, Func, Instance, Module, Result, Store, Tier, Trap, Tuning, WasmBacktrace};

/// How many functions the program has that call one another.
const FUNCTIONS: u32 = 100;

/// Functions that call one another through entries, tables and the host, in loops and outside of them. The host's function calls `run` again. Where a global says so, some trap.
fn program() -> String {
    let mut text = String::from(
        r#"(module
        (import "" "host" (func $host (param i32) (result i32)))
        (type $t (func (param i32) (result i32)))
        (global $trapping (export "trapping") (mut i32) (i32.const 0))
        (func (export "run") (param $which i32) (param $n i32) (result i32)
            (call_indirect (type $t) (local.get $n) (i32.rem_u (local.get $which) (i32.const 100))))
        (func $recurse (export "recurse") (param $n i32) (param $which i32) (result i32)
            (if (i32.eqz (local.get $n)) (then (return (call $host (local.get $which)))))
            (i32.add (i32.mul (call $recurse (i32.sub (local.get $n) (i32.const 1)) (local.get $which)) (i32.const 3)) (local.get $n)))
        (func (export "churn") (param $rounds i32) (result i32) (local $i i32) (local $s i32)
            (loop $l
                (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 31))
                    (call_indirect (type $t) (i32.const 2) (i32.rem_u (local.get $i) (i32.const 100)))))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $rounds))))
            (local.get $s))
        (table funcref (elem"#,
    );
    for i in 0..FUNCTIONS {
        write!(text, " $f{i}").unwrap();
    }
    text.push_str("))\n");
    for i in 0..FUNCTIONS {
        let (a, b) = ((i * 7 + 3) % FUNCTIONS, (i * 13 + 5) % FUNCTIONS);
        let leaf = match i % 10 {
            0 => format!("(call $host (i32.const {i}))"),
            1 => format!("(if (global.get $trapping) (then unreachable)) (i32.const {i})"),
            _ => format!("(i32.const {i})"),
        };
        write!(
            text,
            "(func $f{i} (type $t) (param $n i32) (result i32) (local $k i32) (local $s i32)
                (if (i32.le_s (local.get $n) (i32.const 0)) (then {leaf} return))
                (local.set $k (i32.const 2))
                (loop $l
                    (local.set $s (i32.add (i32.mul (local.get $s) (i32.const {})) (call $f{a} (i32.sub (local.get $n) (i32.const 1)))))
                    (br_if $l (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
                (i32.xor (local.get $s) (call_indirect (type $t) (i32.sub (local.get $n) (i32.const 2)) (i32.const {b}))))\n",
            2 * i + 3
        )
        .unwrap();
    }
    text.push(')');
    text
}

/// What the host's function needs: how many calls of it are under way, and which it calls back.
#[derive(Default)]
struct Data {
    depth: u32,
    /// What to call in the innermost: `churn` rather than `run`.
    churns: bool,
}

struct Guest {
    store: Store<Data>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine, module: &Module) -> Result<Self> {
        let mut store = Store::new(engine, Data::default());
        let host = Func::wrap(&mut store, |mut caller: Caller<'_, Data>, which: i32| -> Result<i32> {
            if caller.data().depth >= 2 {
                return Ok(which);
            }
            caller.data_mut().depth += 1;
            let name = if caller.data().churns { "churn" } else { "run" };
            let back = caller.get_export(name).and_then(Extern::into_func).expect("it is exported");
            let result = if caller.data().churns {
                back.typed::<i32, i32>(&caller)?.call(&mut caller, 150)
            } else {
                back.typed::<(i32, i32), i32>(&caller)?.call(&mut caller, (which + 1, 2))
            };
            caller.data_mut().depth -= 1;
            result
        });
        let instance = Instance::new(&mut store, module, &[host.into()])?;
        Ok(Self { store, instance })
    }

    fn call(&mut self, name: &str, first: i32, second: i32) -> Result<i32> {
        self.store.data_mut().depth = 0;
        if name == "churn" {
            return self.instance.get_typed_func::<i32, i32>(&mut self.store, name)?.call(&mut self.store, first);
        }
        let func = self.instance.get_typed_func::<(i32, i32), i32>(&mut self.store, name)?;
        func.call(&mut self.store, (first, second))
    }

    fn set_trapping(&mut self, trapping: bool) {
        let global = self.instance.get_export(&mut self.store, "trapping").and_then(Extern::into_global).unwrap();
        global.set(&mut self.store, wasmo::Val::I32(i32::from(trapping))).unwrap();
    }
}

fn engine(tier: Tier, tuning: Tuning) -> Engine {
    Engine::new(Config::new().tier(tier).tuning(tuning)).unwrap()
}

/// Each function alone, optimised while the guest waits.
fn one_by_one(budget: i32) -> Tuning {
    Tuning {
        budget,
        budget_while_waiting: 3,
        synchronous: true,
        ahead: false,
        lift_off_functions: 1,
        inlined_bytes: 0,
        unit_bytes: 0,
        soon_asks: 0,
        ..Tuning::default()
    }
}

#[test]
fn replaced_code_is_freed_while_the_program_runs() {
    let expected = expected("churn", 5000, 0, false);
    let engine = engine(Tier::Auto, one_by_one(40));
    let module = Module::new(&engine, program()).unwrap();
    let before = module.code_size();
    let mut guest = Guest::new(&engine, &module).unwrap();
    assert_eq!(guest.call("churn", 5000, 0).unwrap(), expected);
    let stats = engine.tier_stats();
    assert!(stats.freed_bytes * 2 > stats.lift_off_bytes, "while one call runs, most of the code is freed: {stats:?}");
    drop(guest);
    let stats = engine.tier_stats();
    let made = usize::try_from(stats.lift_off_bytes + stats.optimized_bytes - stats.freed_bytes).unwrap();
    assert_eq!(module.code_size() - before, made, "what was freed is gone: {stats:?}");
    assert!(
        stats.freed_bytes * 10 > stats.lift_off_bytes * 9,
        "all that is replaced is freed with the store: {stats:?}"
    );
}

/// A guest of which everything is compiled before.
fn compiled() -> Guest {
    let engine = engine(Tier::Optimized, Tuning::default());
    let module = Module::new(&engine, program()).unwrap();
    Guest::new(&engine, &module).unwrap()
}

/// What `name` computes.
fn expected(name: &str, first: i32, second: i32, churns: bool) -> i32 {
    let mut guest = compiled();
    guest.store.data_mut().churns = churns;
    guest.call(name, first, second).unwrap()
}

#[test]
fn frames_of_replaced_code_go_on_in_it() {
    // The recursion is replaced in its midst; below it, calls of the host and nested calls replace everything else, and then return through all of it.
    let expected = expected("recurse", 100, 7, true);
    for budget in [0, 10, 50, 150] {
        let engine = engine(Tier::Auto, one_by_one(budget));
        let module = Module::new(&engine, program()).unwrap();
        let mut guest = Guest::new(&engine, &module).unwrap();
        guest.store.data_mut().churns = true;
        for _ in 0..3 {
            assert_eq!(guest.call("recurse", 100, 7).unwrap(), expected, "budget {budget}");
        }
        let freed = engine.tier_stats().freed_bytes;
        assert!(budget > 10 || freed > 0, "budget {budget}: {freed}");
    }
}

#[test]
fn a_store_that_waits_keeps_what_it_may_come_back_to() {
    let engine = engine(Tier::Auto, one_by_one(20));
    let module = Module::new(&engine, program()).unwrap();
    let expected = expected("churn", 3000, 0, false);
    // A guest that waits in the host, while others replace the code that it came from.
    let barrier = || Arc::new(Barrier::new(2));
    let (inside, wait) = (barrier(), barrier());
    std::thread::scope(|scope| {
        let (in_host, go_on) = (Arc::clone(&inside), Arc::clone(&wait));
        let (engine, module) = (&engine, &module);
        let waiting = scope.spawn(move || {
            let mut store = Store::new(engine, Data::default());
            let host = Func::wrap(&mut store, move |_: Caller<'_, Data>, which: i32| -> Result<i32> {
                in_host.wait();
                go_on.wait();
                Ok(which)
            });
            let instance = Instance::new(&mut store, module, &[host.into()]).unwrap();
            let run = instance.get_typed_func::<(i32, i32), i32>(&mut store, "recurse").unwrap();
            run.call(&mut store, (3, 5)).unwrap()
        });
        inside.wait();
        let mut guest = Guest::new(engine, module).unwrap();
        assert_eq!(guest.call("churn", 3000, 0).unwrap(), expected);
        guest.store.data_mut().churns = true;
        guest.call("recurse", 200, 7).unwrap();
        drop(guest);
        assert_eq!(engine.tier_stats().freed_bytes, 0, "the one that waits might come back to any of it");
        wait.wait();
        let sum = (1..=3).fold(5, |sum, n| sum * 3 + n);
        assert_eq!(waiting.join().unwrap(), sum);
    });
    let stats = engine.tier_stats();
    assert!(stats.freed_bytes * 10 > stats.lift_off_bytes * 9, "then nobody may: {stats:?}");
}

/// Eight threads run one module while its code is replaced and freed under them, with traps between.
#[test]
fn threads_free_code_that_none_of_them_runs() {
    let mut all = compiled();
    let which = (0..40).map(|number| number * 17 % 100);
    let runs: Vec<_> = which.map(|which| (which, all.call("run", which, 5).unwrap())).collect();
    let mut freed = 0;
    for round in 0..8 {
        let tuning = Tuning {
            budget: [0, 5, 30, 200][round % 4],
            budget_while_waiting: 5,
            lasting_asks: [0, 2][round % 2],
            sample_period: [Duration::ZERO, Duration::from_micros(50)][round / 2 % 2],
            soon_asks: [0, 1, 30][round % 3],
            synchronous: round % 3 == 0,
            unit_bytes: [0, 300, 16 << 10][round % 3],
            ..Tuning::default()
        };
        let engine = engine(Tier::Auto, tuning);
        let module = Module::new(&engine, program()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (engine, module, runs) = (&engine, &module, &runs);
                scope.spawn(move || {
                    // Stores that come and go, and one that stays.
                    let mut guests = [Guest::new(engine, module).unwrap(), Guest::new(engine, module).unwrap()];
                    for (number, &(which, expected)) in runs.iter().enumerate() {
                        if (number + thread) % 5 == 0 {
                            guests[1] = Guest::new(engine, module).unwrap();
                        }
                        let guest = &mut guests[(number + thread) % 2];
                        assert_eq!(guest.call("run", which, 5).unwrap(), expected, "run {which} in round {round}");
                        guest.set_trapping(true);
                        let error = guest.call("run", which, 6).unwrap_err();
                        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
                        let trace = error.downcast_ref::<WasmBacktrace>().expect("there is a backtrace");
                        // The host's function and four others come first.
                        let functions: Vec<_> = trace.frames().iter().map(|frame| frame.func_index()).collect();
                        assert_eq!(functions.first().map(|func| (func - 4) % 10), Some(1), "{functions:?}");
                        assert_eq!(functions.last(), Some(&1), "{functions:?}");
                        guest.set_trapping(false);
                    }
                });
            }
        });
        freed += engine.tier_stats().freed_bytes;
    }
    assert!(freed > 0);
}
