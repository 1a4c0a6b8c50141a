//! A process that ends while code is being compiled in the background ends as it wants to.
#![cfg(feature = "wat")]

mod common;

use std::time::Duration;
use wasmo::{Config, Engine, Instance, Module, Store, Tier, Tuning};

/// Tells the process that it is the one that exits, and after how many milliseconds.
const EXITS: &str = "WASMO_TEST_EXITS_AFTER";

/// Functions that are hot at once, and take LLVM some time.
fn module() -> String {
    let functions: String = (0..150)
        .map(|n| {
            let step = format!("(local.set $s (i32.add (i32.rotl (local.get $s) (i32.const {})) (i32.load offset={n} (i32.and (local.get $s) (i32.const 1020)))))", n % 31 + 1);
            format!(
                r#"(func $f{n} (param $n i32) (result i32) (local $s i32)
                    (loop $l {} (i32.store (i32.and (local.get $n) (i32.const 1020)) (local.get $s))
                        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                    (local.get $s))"#,
                step.repeat(40)
            )
        })
        .collect();
    let calls: String = (0..150).map(|n| format!("(drop (call $f{n} (local.get 0)))")).collect();
    format!(r#"(module (memory 1) {functions} (func (export "all") (param i32) {calls}))"#)
}

#[test]
fn a_process_may_exit_while_code_is_compiled() {
    if let Ok(after) = std::env::var(EXITS) {
        let mut config = Config::new();
        config.tier(Tier::Auto).tuning(Tuning { budget: 1, budget_while_waiting: 1, ..Tuning::default() });
        let engine = Engine::new(&config).expect("it is configured");
        let module = Module::new(&engine, module()).expect("it is valid");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("nothing is imported");
        let all = instance.get_typed_func::<i32, ()>(&mut store, "all").expect("it is exported");
        all.call(&mut store, 10).expect("nothing traps");
        std::thread::sleep(Duration::from_millis(after.parse().expect("a number")));
        std::process::exit(7);
    }
    for after in 0..24 {
        let mut process = common::this_program();
        process.args(["--exact", "a_process_may_exit_while_code_is_compiled", "--nocapture"]);
        let output = process.env(EXITS, (after * 3).to_string()).output().expect("it can be started again");
        assert_eq!(output.status.code(), Some(7), "after {after}: {output:?}");
    }
}
