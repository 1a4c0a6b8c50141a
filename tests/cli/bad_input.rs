//! Bad input: files that cannot be read, modules that are none, imports that are missing, command lines that are wrong.

use crate::guest;
use crate::support::Folder;

#[test]
fn files_that_cannot_be_read() {
    let folder = Folder::new(&[]);
    for command in ["run", "validate", "inspect", "wast"] {
        let absent = folder.wasmo(&[command, "absent.wasm"]);
        absent.ends_with(1).says(&["error: cannot read `absent.wasm`\n", "  because: No such file or directory"]);
        let directory = folder.wasmo(&[command, "."]);
        directory.ends_with(1).says(&["error: cannot read `.`\n", "  because: Is a directory"]);
    }
}

#[test]
fn directories_that_cannot_be_opened() {
    let folder = Folder::new(&[("zero.wat", &guest::exit(0))]);
    folder.wasmo(&["run", "--dir", "absent", "zero.wat"]).gives(1, "").says(&["`absent`", "No such file or directory"]);
    folder.wasmo(&["run", "--dir", "zero.wat::/d", "zero.wat"]).gives(1, "").says(&["`zero.wat`", "Not a directory"]);
}

#[test]
fn malformed_modules_have_an_offset() {
    let folder = Folder::new(&[]);
    folder.write("section.wasm", b"\0asm\x01\0\0\0\xff");
    folder.write("short.wasm", b"\0asm\x01\0\0\0\x01\x7f\x01");
    for file in ["section.wasm", "short.wasm"] {
        folder.wasmo(&["run", file]).gives(1, "").says(&[&format!("error: cannot compile `{file}`\n"), "at offset 0x"]);
        folder
            .wasmo(&["validate", file])
            .gives(1, "")
            .says(&[&format!("error: `{file}` is not valid\n"), "at offset 0x"]);
        folder
            .wasmo(&["inspect", file])
            .gives(1, "")
            .says(&[&format!("error: `{file}` is malformed\n"), "at offset 0x"]);
    }
}

#[test]
fn files_that_are_no_modules() {
    let folder = Folder::new(&[]);
    folder.write("empty.wasm", b"");
    folder.write("elf", b"\x7fELF\x02\x01\x01\0");
    folder.write("cut.wasm", b"\0as");
    for command in ["run", "validate", "inspect"] {
        for file in ["empty.wasm", "elf", "cut.wasm"] {
            folder
                .wasmo(&[command, file])
                .gives(1, "")
                .says(&[&format!("error: `{file}` is not a WebAssembly module: ")]);
        }
    }
    folder.wasmo(&["run", "elf"]).says(&["it begins with 7f 45 4c 46, not with 00 61 73 6d (at offset 0x0)"]);
    folder.wasmo(&["run", "empty.wasm"]).says(&["it is empty"]);
}

#[test]
fn components_are_recognised() {
    let folder = Folder::new(&[]);
    folder.write("c.wasm", b"\0asm\x0d\0\x01\0");
    for command in ["run", "validate", "inspect"] {
        folder.wasmo(&[command, "c.wasm"]).gives(1, "").says(&["`c.wasm` is a component"]);
    }
}

#[test]
fn invalid_modules_have_an_offset() {
    let folder = Folder::new(&[("i.wat", r#"(module (func (export "_start") i32.const 1))"#)]);
    folder.write("i.wasm", &wat::parse_str(r#"(module (func (export "_start") i32.const 1))"#).expect("a module"));
    for file in ["i.wat", "i.wasm"] {
        folder.wasmo(&["run", file]).gives(1, "").says(&[&format!("error: cannot compile `{file}`\n"), "at offset 0x"]);
        folder
            .wasmo(&["validate", file])
            .gives(1, "")
            .says(&[&format!("error: `{file}` is not valid\n"), "at offset 0x"]);
    }
}

#[test]
fn mistakes_in_text_have_a_line() {
    let folder = Folder::new(&[("t.wat", "(module\n  (func i32.frob))")]);
    for command in ["run", "validate", "inspect"] {
        folder.wasmo(&[command, "t.wat"]).gives(1, "").says(&["t.wat:2:9"]);
    }
    folder.write("latin.wat", b"(module (; \xe4 ;))");
    folder.wasmo(&["run", "latin.wat"]).gives(1, "").says(&["`latin.wat` is not a text in UTF-8"]);
}

#[test]
fn missing_and_mistyped_imports_are_all_listed() {
    let folder = Folder::new(&[(
        "needy.wat",
        r#"(module
            (import "env" "first" (func (param i32)))
            (import "env" "second" (memory 1))
            (import "wasi_snapshot_preview1" "proc_exit" (func (param i64) (result i32)))
            (import "wasi_snapshot_preview1" "args_get" (func (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "no_such_call" (func))
            (func (export "_start")))"#,
    )]);
    let answer = folder.wasmo(&["run", "needy.wat"]);
    answer.gives(1, "").says(&[
        "error: cannot instantiate `needy.wat`\n",
        "first",
        "second",
        "proc_exit",
        "no_such_call",
        "i64",
    ]);
    assert!(!answer.stderr.contains("args_get"), "what is there is not to be listed: {}", answer.stderr);
}

#[test]
fn wrong_command_lines() {
    let folder = Folder::new(&[("zero.wat", &guest::exit(0))]);
    for line in [
        &["run"][..],
        &["frobnicate"],
        &["run", "--frobnicate", "zero.wat"],
        &["run", "--timeout", "soon", "zero.wat"],
        &["run", "--timeout", "0s", "zero.wat"],
        &["run", "--max-memory", "much", "zero.wat"],
        &["run", "--fuel", "-1", "zero.wat"],
        &["run", "--env", "=x", "zero.wat"],
        &["run", "--dir", "::x", "zero.wat"],
        &["run", "--preload", "x", "zero.wat"],
        &["wast"],
        &["inspect"],
        &["validate"],
        &["completions", "abacus"],
        &[],
    ] {
        let answer = folder.wasmo(line);
        assert_eq!((answer.output.status.code(), answer.stdout.as_str()), (Some(2), ""), "{line:?}: {}", answer.stderr);
        let explained = ["Usage: wasmo", "error: invalid value"].iter().any(|text| answer.stderr.contains(text));
        assert!(explained, "{line:?}: {}", answer.stderr);
    }
}

#[test]
fn a_start_function_of_another_type_is_an_error() {
    let folder = Folder::new(&[("f.wat", r#"(module (func (export "_start") (param i32)))"#)]);
    folder.wasmo(&["run", "f.wat"]).gives(1, "").says(&["`_start`", "neither parameters nor results"]);
}

#[test]
fn wild_pointers_are_the_guests_mistake() {
    let wild = guest::program(
        r#"(func (export "_start")
            (if (i32.eqz (call $fd_write (i32.const 1) (i32.const 0x7fffffff) (i32.const 0x7fffffff) (i32.const -1)))
                (then unreachable))
            (call $proc_exit (i32.const 9)))"#,
    );
    let folder = Folder::new(&[("wild.wat", &wild)]);
    let answer = folder.wasmo(&["run", "wild.wat"]);
    // Either the call answers with an error code, or it traps; it does not succeed, and it does not crash.
    assert!(
        answer.output.status.code() == Some(9) || answer.stderr.contains("out of bounds memory access"),
        "{:?} {}",
        answer.output.status,
        answer.stderr
    );
}

#[test]
fn a_host_call_that_fails_has_a_backtrace() {
    let folder = Folder::new(&[(
        "n.wat",
        r#"(module $n
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (func (export "_start") (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
    )]);
    folder.wasmo(&["run", "n.wat"]).gives(1, "").says(&[
        "error: `n.wat` failed in a host call\n  because: ",
        "exports no memory",
        "\nwasm backtrace:\n    0: ",
        " - n!_start\n",
    ]);
}
