//! `wasmo inspect`, `wasmo validate`, `wasmo completions`, `wasmo --version`.

use crate::guest;
use crate::support::Folder;

#[test]
fn inspect_shows_what_is_there() {
    let folder = Folder::new(&[("yes.wat", &guest::yes())]);
    folder.wasmo(&["inspect", "yes.wat"]).ends_with(0).quietly().shows(&[
        "yes.wat: ",
        "3 functions (",
        "\nimports (8)\n  wasi_snapshot_preview1  fd_write           func  (i32, i32, i32, i32) -> i32\n",
        "\nexports (2)\n  memory  memory 0  1 page (64 KiB)\n  _start  func 10   ()\n",
        "\nfunctions by size (3)\n",
        "bytes  #8 write (i32, i32, i32) -> i32\n",
        "\ncustom sections (1)\n  name  ",
    ]);
}

#[test]
fn inspect_shows_all_functions_on_request() {
    let folder = Folder::new(&[("many.wat", &format!("(module {})", "(func)".repeat(30)))]);
    folder.wasmo(&["inspect", "many.wat"]).ends_with(0).shows(&["#19", "and 10 smaller ones"]);
    let all = folder.wasmo(&["inspect", "--all", "many.wat"]);
    all.ends_with(0).shows(&["#29"]);
    assert!(!all.stdout.contains("smaller"), "{}", all.stdout);
}

#[test]
fn inspect_needs_no_valid_bodies() {
    let folder = Folder::new(&[("i.wat", "(module (func (result i32)))")]);
    folder.wasmo(&["inspect", "i.wat"]).ends_with(0).shows(&["1 function "]);
}

#[test]
fn validate_looks_at_every_file() {
    let folder =
        Folder::new(&[("good.wat", "(module)"), ("bad.wat", "(module (func (result i32)))"), ("also.wat", "(module)")]);
    folder.wasmo(&["validate", "good.wat", "also.wat"]).gives(0, "good.wat: valid\nalso.wat: valid\n").quietly();
    folder
        .wasmo(&["validate", "good.wat", "bad.wat", "also.wat"])
        .gives(1, "good.wat: valid\nalso.wat: valid\n")
        .says(&["error: `bad.wat` is not valid\n  because: "]);
}

#[test]
fn completions_are_there_for_shells() {
    let folder = Folder::new(&[]);
    for shell in ["bash", "zsh", "fish"] {
        folder.wasmo(&["completions", shell]).ends_with(0).quietly().shows(&["wasmo", "max-memory"]);
    }
}

#[test]
fn the_version_names_revision_and_llvm() {
    let folder = Folder::new(&[]);
    let answer = folder.wasmo(&["--version"]);
    answer.ends_with(0).quietly().shows(&[&format!("wasmo {} (revision ", env!("CARGO_PKG_VERSION")), ", LLVM 22."]);
}

#[test]
fn help_names_every_command() {
    let folder = Folder::new(&[]);
    folder.wasmo(&["--help"]).ends_with(0).quietly().shows(&["run", "wast", "inspect", "validate", "completions"]);
    folder.wasmo(&["run", "--help"]).ends_with(0).quietly().shows(&["wasmo run [OPTIONS] FILE [ARGS]...", "134"]);
}
