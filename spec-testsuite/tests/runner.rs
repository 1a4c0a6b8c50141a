//! The runner itself: what is wrong in a script is found, has its place, and does not end the run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use spec_testsuite::{Report, Script};
use wasmo::Engine;

fn run(text: &str) -> Report {
    Script::new("s.wast", text).directive_limit(Duration::from_secs(1)).run(&Engine::default())
}

/// The script's failures are these: line, and a part of the reason.
#[track_caller]
fn check(text: &str, passed: usize, failures: &[(usize, &str)]) {
    let report = run(text);
    let shown = report.failed.iter().map(|failure| format!("{failure}\n")).collect::<String>();
    for (failure, (line, reason)) in report.failed.iter().zip(failures) {
        assert!(failure.line == *line && failure.reason.contains(reason), "expected {line}: {reason}\n{shown}");
    }
    assert_eq!((report.passed, report.failed.len()), (passed, failures.len()), "{shown}");
}

const CONSTANTS: &str = r#"(module
    (func (export "i") (result i32) i32.const 7)
    (func (export "f") (param f32) (result f32) local.get 0)
    (func (export "two") (result i32 i64) i32.const 1 i64.const 2)
    (func (export "v") (result v128) v128.const i32x4 1 2 3 4)
    (func (export "e") (param externref) (result externref) local.get 0)
    (func (export "n") (result funcref) ref.null func)
    (func (export "t") unreachable)
    (global (export "g") i32 (i32.const 5)))
"#;

#[test]
fn results_are_compared() {
    check(
        &(CONSTANTS.to_owned()
            + r#"
            (assert_return (invoke "i") (i32.const 7))
            (assert_return (invoke "i") (i32.const 8))
            (assert_return (invoke "i") (i64.const 7))
            (assert_return (invoke "i"))
            (assert_return (invoke "two") (i32.const 1) (i64.const 2))
            (assert_return (invoke "two") (i32.const 1) (i64.const 3))
            (assert_return (get "g") (i32.const 5))
            (assert_return (get "g") (i32.const 6))
            (assert_return (invoke "i") (either (i32.const 1) (i32.const 7)))
            (assert_return (invoke "i") (either (i32.const 1) (i32.const 2)))"#),
        5,
        &[
            (12, "expected i32 8, got i32 7"),
            (13, "expected i64 7, got i32 7"),
            (14, "expected 0 results, got 1"),
            (16, "result 1: expected i64 3, got i64 2"),
            (18, "expected i32 6, got i32 5"),
            (20, "expected i32 1 or i32 2"),
        ],
    );
}

#[test]
fn nan_patterns_are_those_of_the_specification() {
    check(
        &(CONSTANTS.to_owned()
            + r#"
            (assert_return (invoke "f" (f32.const nan)) (f32.const nan:canonical))
            (assert_return (invoke "f" (f32.const -nan)) (f32.const nan:canonical))
            (assert_return (invoke "f" (f32.const nan:0x400001)) (f32.const nan:arithmetic))
            (assert_return (invoke "f" (f32.const nan:0x400001)) (f32.const nan:canonical))
            (assert_return (invoke "f" (f32.const nan:0x200000)) (f32.const nan:arithmetic))
            (assert_return (invoke "f" (f32.const inf)) (f32.const nan:arithmetic))
            (assert_return (invoke "f" (f32.const -0.0)) (f32.const 0.0))"#),
        4,
        &[
            (14, "nan:canonical"),
            (15, "nan:arithmetic"),
            (16, "nan:arithmetic"),
            (17, "expected f32 0 (0x00000000), got f32 -0"),
        ],
    );
}

#[test]
fn vectors_and_references_are_compared() {
    check(
        &(CONSTANTS.to_owned()
            + r#"
            (assert_return (invoke "v") (v128.const i32x4 1 2 3 4))
            (assert_return (invoke "v") (v128.const i32x4 1 2 3 5))
            (assert_return (invoke "v") (v128.const i64x2 0x200000001 0x400000003))
            (assert_return (invoke "v") (v128.const f32x4 nan:canonical 0 0 0))
            (assert_return (invoke "e" (ref.extern 3)) (ref.extern 3))
            (assert_return (invoke "e" (ref.extern 3)) (ref.extern 4))
            (assert_return (invoke "e" (ref.null extern)) (ref.null extern))
            (assert_return (invoke "e" (ref.null extern)) (ref.extern 0))
            (assert_return (invoke "n") (ref.null func))
            (assert_return (invoke "n") (ref.func))"#),
        6,
        &[
            (12, "expected i32x4 1 2 3 5, got i32x4 1 2 3 4"),
            (14, "nan:canonical"),
            (16, "got ref.extern 3"),
            (18, "got a null externref"),
            (20, "got a null funcref"),
        ],
    );
}

#[test]
fn traps_are_compared() {
    check(
        &(CONSTANTS.to_owned()
            + r#"
            (assert_trap (invoke "t") "unreachable")
            (assert_trap (invoke "t") "integer overflow")
            (assert_trap (invoke "i") "unreachable")
            (assert_return (invoke "t"))
            (invoke "t")
            (assert_trap (module (func $f unreachable) (start $f)) "unreachable")
            (assert_exhaustion (invoke "t") "call stack exhausted")
            (module (func $f (export "f") call $f))
            (assert_exhaustion (invoke "f") "call stack exhausted")"#),
        5,
        &[
            (12, "expected the trap `integer overflow`, got `unreachable`"),
            (13, "expected a trap (unreachable), got 1 results"),
            (14, "expected results, but it failed"),
            (15, "the invocation failed"),
            (17, "expected the trap `call stack exhausted`"),
        ],
    );
}

#[test]
fn modules_must_be_refused_for_a_reason() {
    check(
        r#"(assert_invalid (module (func (result i32))) "type mismatch")
           (assert_invalid (module) "type mismatch")
           (assert_malformed (module quote "(func") "unexpected token")
           (assert_malformed (module quote "(func)") "unexpected token")
           (assert_malformed (module binary "\00asm\01\00\00\00\ff") "malformed section id")
           (assert_unlinkable (module (import "no" "no" (func))) "unknown import")
           (assert_unlinkable (module) "unknown import")
           (assert_unlinkable (module (func $f unreachable) (start $f)) "unknown import")
           (assert_invalid (module (memory i64 1) (func (result i32))) "type mismatch")"#,
        5 - 1,
        &[
            (2, "but it validates"),
            (4, "but it validates"),
            (7, "but it does"),
            (8, "got another error"),
            (9, "got another error"),
        ],
    );
}

#[test]
fn a_failed_module_is_not_replaced_by_the_one_before() {
    check(
        &(CONSTANTS.to_owned()
            + r#"(module (import "no" "no" (func)))
            (assert_return (invoke "i") (i32.const 7))
            (invoke $none "i")
            (register "x" $none)
            (invoke "i")"#),
        1,
        &[
            (10, "cannot be instantiated"),
            (11, "there is no current module"),
            (12, "there is no module $none"),
            (13, "there is no module $none"),
            (14, "there is no current module"),
        ],
    );
}

#[test]
fn names_definitions_and_instances() {
    check(
        r#"(module $a (func (export "f") (result i32) i32.const 1))
           (module $b (func (export "f") (result i32) i32.const 2))
           (assert_return (invoke $a "f") (i32.const 1))
           (assert_return (invoke "f") (i32.const 2))
           (register "b")
           (module (import "b" "f" (func (result i32))) (export "g" (func 0)))
           (assert_return (invoke "g") (i32.const 2))
           (register "b" $a)
           (module (import "b" "f" (func (result i32))) (export "g" (func 0)))
           (assert_return (invoke "g") (i32.const 1))
           (module definition $d (global (export "n") (mut i32) (i32.const 0))
             (func (export "up") (result i32) (global.set 0 (i32.add (global.get 0) (i32.const 1))) (global.get 0)))
           (module instance $x $d)
           (module instance $y $d)
           (assert_return (invoke $x "up") (i32.const 1))
           (assert_return (invoke $x "up") (i32.const 2))
           (assert_return (invoke $y "up") (i32.const 1))
           (module instance $z)
           (module instance $w $none)
           (invoke "absent")"#,
        17,
        &[(19, "there is no such module definition"), (20, "there is no current module")],
    );
}

#[test]
fn what_is_not_supported_fails() {
    check(
        r#"(module (func (export "f")))
           (assert_exception (invoke "f"))
           (assert_suspension (invoke "f") "unhandled")
           (thread $t (invoke "f"))
           (wait $t)
           (component)
           (module (memory i64 1))"#,
        1,
        &[(2, "exceptions"), (3, "stack switching"), (4, "threads"), (5, "threads"), (6, "components"), (7, "refused")],
    );
}

#[test]
fn an_endless_directive_is_interrupted() {
    check(
        r#"(module (func (export "f") (loop br 0)) (func (export "g") (result i32) i32.const 1))
           (invoke "f")
           (assert_return (invoke "g") (i32.const 1))"#,
        2,
        &[(2, "interrupted")],
    );
}

#[test]
fn a_script_that_cannot_be_read_is_one_failure() {
    check("(module)\n(assert_return", 0, &[(2, "cannot be read")]);
    check("(module)\n(frobnicate)", 0, &[(2, "cannot be read")]);
    check("\"", 0, &[(1, "cannot be read")]);
}

#[test]
fn spectest_prints_and_has_its_values() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let text = r#"
        (module
            (import "spectest" "print" (func $p))
            (import "spectest" "print_i32" (func $i (param i32)))
            (import "spectest" "print_i64" (func (param i64)))
            (import "spectest" "print_f32" (func (param f32)))
            (import "spectest" "print_f64" (func (param f64)))
            (import "spectest" "print_i32_f32" (func (param i32 f32)))
            (import "spectest" "print_f64_f64" (func $d (param f64 f64)))
            (import "spectest" "global_i32" (global i32))
            (import "spectest" "global_i64" (global i64))
            (import "spectest" "global_f32" (global f32))
            (import "spectest" "global_f64" (global f64))
            (import "spectest" "table" (table 10 20 funcref))
            (import "spectest" "memory" (memory 1 2))
            (export "i32" (global 0)) (export "i64" (global 1)) (export "f32" (global 2)) (export "f64" (global 3))
            (func (export "f") call $p (call $i (i32.const -1)) (call $d (f64.const 0.5) (f64.const 2))))
        (invoke "f")
        (assert_return (get "i32") (i32.const 666))
        (assert_return (get "i64") (i64.const 666))
        (assert_return (get "f32") (f32.const 666.6))
        (assert_return (get "f64") (f64.const 666.6))"#;
    let script =
        Script::new("s.wast", text).printer(move |line| sink.lock().expect("not poisoned").push(line.to_owned()));
    let report = script.run(&Engine::default());
    assert_eq!((report.passed, report.failed), (6, Vec::new()));
    assert_eq!(*lines.lock().expect("not poisoned"), ["", "-1 : i32", "0.5 : f64 2 : f64"]);
}
