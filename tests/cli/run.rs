//! `wasmo run`: programs, functions, and what they see of the host.

use crate::guest;
use crate::support::Folder;

#[test]
fn the_exit_code_is_the_guests() {
    let folder =
        Folder::new(&[("zero.wat", &guest::exit(0)), ("three.wat", &guest::exit(3)), ("big.wat", &guest::exit(258))]);
    folder.wasmo(&["run", "zero.wat"]).gives(0, "").quietly();
    folder.wasmo(&["run", "three.wat"]).gives(3, "").quietly();
    // As a shell would see it.
    folder.wasmo(&["run", "big.wat"]).gives(2, "").quietly();
}

#[test]
fn returning_from_start_is_success() {
    let folder = Folder::new(&[("f.wat", r#"(module (func (export "_start")))"#)]);
    folder.wasmo(&["run", "f.wat"]).gives(0, "").quietly();
}

#[test]
fn the_binary_format_is_run_too() {
    let folder = Folder::new(&[]);
    folder.write("f.wasm", &wat::parse_str(guest::exit(5)).expect("a module"));
    folder.wasmo(&["run", "f.wasm"]).gives(5, "");
}

#[test]
fn what_follows_the_file_is_the_guests() {
    let folder = Folder::new(&[("args.wat", &guest::arguments())]);
    folder
        .wasmo(&["run", "args.wat", "--dir", "-c", "--", "--help", "", "ä b"])
        .gives(0, "args.wat\0--dir\0-c\0--\0--help\0\0ä b\0");
    folder.wasmo(&["run", "./args.wat"]).gives(0, "./args.wat\0");
}

#[test]
fn the_environment_is_what_was_given() {
    let folder = Folder::new(&[("env.wat", &guest::environment())]);
    folder.wasmo(&["run", "env.wat"]).gives(0, "");
    let mut command = folder.command(&["run", "--env", "A=b=c", "--env", "HERE", "--env", "NOT_SET_AT_ALL", "env.wat"]);
    command.env("HERE", "inherited");
    crate::support::finish(command).gives(0, "A=b=c\0HERE=inherited\0");
}

#[test]
fn directories_are_given_by_name() {
    let folder = Folder::new(&[("read.wat", &guest::read_file()), ("in.txt", "content\n")]);
    folder.wasmo(&["run", "--dir", ".", "read.wat"]).gives(0, "content\n");
    folder.wasmo(&["run", "--dir", ".::/data", "read.wat"]).gives(0, "content\n");
    // Without a directory there is no descriptor 3: WASI's error badf.
    folder.wasmo(&["run", "read.wat"]).gives(8, "");
}

#[test]
fn standard_input_is_the_guests() {
    let folder = Folder::new(&[("echo.wat", &guest::echo())]);
    folder.wasmo_with_input(&["run", "echo.wat"], "hello\n").gives(0, "hello\n");
}

const FUNCTIONS: &str = r#"(module
    (global $n (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $n (i32.const 40)))
    (func (export "n") (param i32) (result i32) (i32.add (global.get $n) (local.get 0)))
    (func (export "swap") (param i64 f64) (result f64 i64) local.get 1 local.get 0)
    (func (export "single") (param f32) (result f32) local.get 0)
    (func (export "vector") (param v128) (result v128) local.get 0)
    (func (export "references") (param externref funcref) (result externref funcref) local.get 0 local.get 1)
    (func $self (export "function") (result funcref) ref.func $self)
    (func (export "nothing"))
    (memory (export "memory") 1))"#;

#[test]
fn functions_are_invoked_with_typed_arguments() {
    let folder = Folder::new(&[("f.wat", FUNCTIONS)]);
    let invoke = |args: &[&str]| folder.wasmo(&[&["run", "--invoke"], args].concat());
    invoke(&["n", "f.wat", "2"]).gives(0, "42\n").quietly();
    invoke(&["n", "f.wat", "-41"]).gives(0, "-1\n");
    invoke(&["n", "f.wat", "0xffffffff"]).gives(0, "39\n");
    invoke(&["swap", "f.wat", "-9223372036854775808", "-0.5"]).gives(0, "-0.5\n-9223372036854775808\n");
    invoke(&["single", "f.wat", "nan"]).gives(0, "NaN\n");
    invoke(&["single", "f.wat", "1e10"]).gives(0, "10000000000\n");
    invoke(&["vector", "f.wat", "0x1"]).gives(0, "0x00000000000000000000000000000001\n");
    invoke(&["references", "f.wat", "null", "null"]).gives(0, "null\nnull\n");
    invoke(&["function", "f.wat"]).gives(0, "funcref\n");
    invoke(&["nothing", "f.wat"]).gives(0, "").quietly();
}

#[test]
fn wrong_arguments_are_wrong_usage() {
    let folder = Folder::new(&[("f.wat", FUNCTIONS)]);
    folder
        .wasmo(&["run", "--invoke", "swap", "f.wat", "1"])
        .gives(2, "")
        .says(&["error: `swap` takes 2 arguments (i64, f64), got 1\n"]);
    folder
        .wasmo(&["run", "--invoke", "n", "f.wat", "4294967296"])
        .gives(2, "")
        .says(&["error: `4294967296` is not an argument of type i32 for `n`\n"]);
    folder
        .wasmo(&["run", "--invoke", "references", "f.wat", "1", "null"])
        .gives(2, "")
        .says(&["`1` is not", "externref"]);
}

#[test]
fn a_function_that_is_not_there_is_an_error() {
    let folder = Folder::new(&[("f.wat", FUNCTIONS), ("none.wat", r#"(module (memory (export "m") 1))"#)]);
    folder
        .wasmo(&["run", "--invoke", "absent", "f.wat"])
        .gives(1, "")
        .says(&["`f.wat`", "`absent`", "swap", "nothing"]);
    // A memory is not a function.
    folder.wasmo(&["run", "--invoke", "memory", "f.wat"]).gives(1, "").says(&["no function `memory`"]);
    folder.wasmo(&["run", "f.wat"]).gives(1, "").says(&["no `_start`", "--invoke", "swap"]);
    folder.wasmo(&["run", "none.wat"]).gives(1, "").says(&["no `_start`", "exports no function"]);
}

#[test]
fn a_start_function_is_enough() {
    let hello = guest::program(
        r#"(data (i32.const 64) "hi\n") (func $f (call $print (i32.const 64) (i32.const 3))) (start $f)"#,
    );
    let folder = Folder::new(&[("start.wat", &hello)]);
    folder.wasmo(&["run", "start.wat"]).gives(0, "hi\n").quietly();
}

#[test]
fn modules_can_be_loaded_first() {
    let folder = Folder::new(&[
        (
            "lib.wat",
            r#"(module (global $n (mut i32) (i32.const 1)) (func (export "_initialize") (global.set $n (i32.const 6)))
            (func (export "six") (result i32) global.get $n))"#,
        ),
        (
            "more.wat",
            r#"(module (import "lib" "six" (func $six (result i32)))
            (func (export "seven") (result i32) (i32.add (call $six) (i32.const 1))))"#,
        ),
        (
            "main.wat",
            r#"(module (import "lib" "six" (func $six (result i32))) (import "more" "seven" (func $seven (result i32)))
            (func (export "product") (result i32) (i32.mul (call $six) (call $seven))))"#,
        ),
    ]);
    folder
        .wasmo(&["run", "--preload", "lib=lib.wat", "--preload", "more=more.wat", "--invoke", "product", "main.wat"])
        .gives(0, "42\n")
        .quietly();
    folder
        .wasmo(&["run", "--preload", "lib=absent.wat", "--invoke", "product", "main.wat"])
        .gives(1, "")
        .says(&["cannot read `absent.wat`"]);
}

#[test]
fn a_trap_has_a_backtrace() {
    // What is inlined may have no frame of its own; what calls itself has one a call.
    let folder = Folder::new(&[(
        "t.wat",
        r#"(module $m
            (global $depth (mut i32) (i32.const 0))
            (func $down (param $n i32)
                (if (i32.eqz (local.get $n)) (then unreachable))
                (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
                (call $down (i32.sub (local.get $n) (i32.const 1)))
                (global.set $depth (i32.sub (global.get $depth) (i32.const 1))))
            (func (export "_start") (call $down (i32.const 20))))"#,
    )]);
    let answer = folder.wasmo(&["run", "t.wat"]);
    answer.gives(134, "").says(&[
        "error: `t.wat` trapped: unreachable\nwasm backtrace:\n    0: ",
        " - m!down\n",
        " - m!_start\n",
    ]);
    assert!(answer.stderr.matches("m!down").count() > 3, "{}", answer.stderr);
    assert!(answer.stderr.find("m!down") < answer.stderr.find("m!_start"), "{}", answer.stderr);
}

#[test]
fn statistics_name_the_phases() {
    let folder = Folder::new(&[("f.wat", FUNCTIONS), ("trap.wat", r#"(module (func (export "_start") unreachable))"#)]);
    let names = ["read ", "compile ", "instantiate ", "run ", "functions ", "code ", "peak memory "];
    folder.wasmo(&["run", "--stats", "--invoke", "n", "f.wat", "2"]).gives(0, "42\n").says(&names);
    let statistics = folder.wasmo(&["run", "--stats", "trap.wat"]);
    statistics.gives(134, "").says(&names).says(&["trapped: unreachable"]);
    let value = |name: &str| {
        let line = statistics.stderr.lines().find(|line| line.starts_with(name)).expect("the line is there");
        line.split_whitespace().find_map(|word| word.parse::<f64>().ok()).expect("the line has a number")
    };
    assert_eq!(value("functions"), 1.0);
    assert!(value("code") > 0.0 && value("compile") > 0.0 && value("peak memory") > 0.0, "{}", statistics.stderr);
}

#[test]
fn fuel_is_counted() {
    let folder = Folder::new(&[("loop.wat", r#"(module (func (export "_start") (loop br 0)) (func (export "f")))"#)]);
    folder.wasmo(&["run", "--fuel", "100000", "loop.wat"]).gives(134, "").says(&["all fuel consumed", "--fuel"]);
    folder.wasmo(&["run", "--fuel", "100000", "--invoke", "f", "loop.wat"]).gives(0, "").quietly();
}

/// Without the option, an access whose value does not matter may be left out.
#[test]
fn strict_traps_keep_every_access() {
    let text = r#"(module (memory 1) (func (export "f") (result i32)
        (i32.mul (i32.load (i32.const 65536)) (i32.const 0))))"#;
    let folder = Folder::new(&[("load.wat", text)]);
    let args = ["run", "--strict-traps", "--invoke", "f", "load.wat"];
    folder.wasmo(&args).gives(134, "").says(&["out of bounds memory access"]);
}
