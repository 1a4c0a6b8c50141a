//! The command without a compiler: it says what it does not do, and what to do instead. That it runs compiled modules is for `make slim` to see, which has a
//! compiler beside it.

use crate::support::Folder;

#[test]
fn modules_that_are_not_compiled_are_refused() {
    let folder = Folder::new(&[("text.wat", "(module)"), ("other.txt", "hello")]);
    folder.write("binary.wasm", b"\0asm\x01\0\0\0");
    for (name, what) in [("text.wat", "in the text format"), ("binary.wasm", "in the binary format")] {
        for command in ["run", "inspect"] {
            folder.wasmo(&[command, name]).gives(1, "").says(&[what, "no compiler", &format!("wasmo compile {name}")]);
        }
    }
    folder.wasmo(&["run", "other.txt"]).gives(1, "").says(&["`other.txt` is not a compiled module"]);
    assert!(!folder.cache().exists());
}

#[test]
fn commands_that_need_a_compiler_say_so() {
    let folder = Folder::new(&[("text.wat", "(module)")]);
    for command in ["compile", "validate", "wast"] {
        folder.wasmo(&[command, "text.wat", "--help"]).gives(1, "").says(&["this wasmo has no compiler"]);
    }
    folder.wasmo(&["--version"]).ends_with(0).shows(&["no compiler"]);
    let help = folder.wasmo(&["--help"]);
    help.ends_with(0).shows(&["run", "inspect", "cache"]);
    assert!(!help.stdout.contains("compile "), "{}", help.stdout);
}
