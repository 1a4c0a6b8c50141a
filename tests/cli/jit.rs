//! Guests that add modules to themselves.

use crate::support::Folder;

/// The module `(module (import "env" "memory" (memory 1)) (func $patch (i32.store8 (i32.const 8) (i32.const 42))) (start $patch))`, as data.
const LATE: &str = r"\00asm\01\00\00\00\01\04\01\60\00\00\02\0f\01\03env\06memory\02\00\01\03\02\01\00\08\01\00\0a\0b\01\09\00\41\08\41\2a\3a\00\00\0b";

/// Adds it and ends with the byte that its start function has written, or with minus the answer when that is negative.
fn guest() -> String {
    format!(
        r#"(module
            (import "wasmo_jit" "add_module" (func $add (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 1024) "{LATE}")
            (func (export "_start") (local $handle i32)
                (local.set $handle (call $add (i32.const 1024) (i32.const 51)))
                (if (i32.lt_s (local.get $handle) (i32.const 0))
                    (then (call $exit (i32.sub (i32.const 0) (local.get $handle)))))
                (call $exit (i32.load8_u (i32.const 8)))))"#
    )
}

#[test]
fn the_guest_may_by_default() {
    let folder = Folder::new(&[("guest.wat", &guest())]);
    folder.wasmo(&["run", "guest.wat"]).gives(42, "").quietly();
}

#[test]
fn limits_and_the_switch_are_answered_with_codes() {
    let folder = Folder::new(&[("guest.wat", &guest())]);
    folder.wasmo(&["run", "--jit-max-modules", "1", "guest.wat"]).gives(42, "");
    folder.wasmo(&["run", "--jit-max-modules", "0", "guest.wat"]).gives(6, "");
    folder.wasmo(&["run", "--jit-max-bytes", "50", "guest.wat"]).gives(6, "");
    folder.wasmo(&["run", "--jit-max-bytes", "1KiB", "guest.wat"]).gives(42, "");
    folder.wasmo(&["run", "--no-jit", "guest.wat"]).gives(1, "");
    folder.wasmo(&["run", "--no-jit", "--jit-max-modules", "1", "guest.wat"]).ends_with(2);
}

/// A guest in C that generates a function, `guests/late/multiply.c`.
#[test]
fn a_guest_in_c_adds_a_function_to_itself() {
    let folder = Folder::new(&[]);
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/built/late-multiply.wasm");
    folder.wasmo(&["run", guest, "3", "-4", "4"]).gives(0, "-4\n-1\n2\n5\n").quietly();
    folder.wasmo(&["run", guest, "-1000000", "2147483647", "2"]).gives(0, "2147483647\n2146483647\n").quietly();
    folder.wasmo(&["run", "--no-jit", guest, "3", "-4", "4"]).ends_with(1);
}

/// A guest that can do without says so, and does.
#[test]
fn the_scheme_interpreter_without_late_linking() {
    let folder = Folder::new(&[]);
    let interp = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/built/interp.wasm");
    let program = "(define (f n) (if (= n 0) 'done (f (- n 1)))) (f 5000)";
    folder.wasmo(&["run", interp, "-e", program]).gives(0, "done\n").quietly();
    folder.wasmo(&["run", "--no-jit", interp, "-e", program]).gives(0, "done\n");
}
