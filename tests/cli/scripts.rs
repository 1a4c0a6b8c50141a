//! `wasmo wast`.

use crate::support::Folder;

#[test]
fn scripts_are_counted() {
    let folder = Folder::new(&[
        (
            "good.wast",
            "(module (func (export \"f\") (result i32) i32.const 1))\n(assert_return (invoke \"f\") (i32.const 1))",
        ),
        (
            "bad.wast",
            "(module (func (export \"f\") (result i32) i32.const 1))\n  (assert_return (invoke \"f\") (i32.const 2))\n(invoke \"g\")",
        ),
        ("broken.wast", "(module"),
    ]);
    folder.wasmo(&["wast", "good.wast"]).gives(0, "2 passed, 0 failed\n").quietly();
    folder.wasmo(&["wast", "bad.wast", "good.wast"]).gives(
        1,
        "bad.wast:2:4: expected i32 2, got i32 1\n\
         bad.wast:3:2: the module exports no function `g`\n\
         3 passed, 2 failed\n",
    );
    folder.wasmo(&["wast", "broken.wast"]).ends_with(1).shows(&["broken.wast:1:", "0 passed, 1 failed\n"]);
    folder
        .wasmo(&["wast", "absent.wast", "good.wast"])
        .gives(1, "2 passed, 0 failed\n")
        .says(&["cannot read `absent.wast`"]);
}

#[test]
fn what_scripts_print_goes_to_standard_error() {
    let folder = Folder::new(&[(
        "print.wast",
        r#"(module (import "spectest" "print_i32" (func $p (param i32))) (func (export "f") (call $p (i32.const 7)))) (invoke "f")"#,
    )]);
    folder.wasmo(&["wast", "print.wast"]).gives(0, "2 passed, 0 failed\n").says(&["7 : i32\n"]);
}

#[test]
fn scripts_of_older_versions_can_be_run() {
    let folder = Folder::new(&[("two.wast", r#"(assert_invalid (module (memory 1) (memory 1)) "multiple memories")"#)]);
    folder.wasmo(&["wast", "--no-multi-memory", "two.wast"]).gives(0, "1 passed, 0 failed\n").quietly();
    folder.wasmo(&["wast", "two.wast"]).ends_with(1).shows(&["two.wast:1:2: expected a module that is refused"]);
}
