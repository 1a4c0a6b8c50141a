//! Compiled modules: `wasmo compile`, `wasmo run` and `wasmo inspect` of what it writes, and what becomes of files that are no good.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::guest;
use crate::support::{Answer, Folder, finish};

/// Compiles and runs: the file that is run is not the one that was compiled.
#[track_caller]
fn through_artifact(folder: &Folder, name: &str, options: &[&str], args: &[&str]) -> Answer {
    folder.wasmo(&["compile", "-o", "compiled", name]).gives(0, "").quietly();
    fs::rename(folder.path().join(name), folder.path().join("away")).expect("it is there");
    folder.wasmo(&[&["run"], options, &["compiled"], args].concat())
}

fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("it is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Changes one byte of a file.
fn damage(path: &Path, position: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).expect("it is there");
    let position = position(bytes.len());
    bytes[position] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

#[test]
fn the_file_is_named_after_the_module() {
    let folder = Folder::new(&[("app.v2.wat", &guest::exit(3))]);
    folder.write("lib.wasm", &wat::parse_str(guest::exit(4)).expect("a module"));
    folder.wasmo(&["compile", "app.v2.wat"]).gives(0, "").quietly();
    folder.wasmo(&["compile", "lib.wasm"]).gives(0, "").quietly();
    assert_eq!(names(&folder), ["app.v2.wasmo", "app.v2.wat", "lib.wasm", "lib.wasmo"]);
    folder.wasmo(&["run", "app.v2.wasmo"]).gives(3, "").quietly();
    folder.wasmo(&["run", "lib.wasmo"]).gives(4, "").quietly();
    // Again: what is there is a compiled module, and is replaced.
    folder.wasmo(&["compile", "app.v2.wat"]).gives(0, "").quietly();
}

#[test]
fn programs_do_what_they_do_otherwise() {
    let folder = Folder::new(&[("args.wat", &guest::arguments())]);
    through_artifact(&folder, "args.wat", &[], &["-c", "--", "ä"]).gives(0, "compiled\0-c\0--\0ä\0").quietly();
    let folder = Folder::new(&[("read.wat", &guest::read_file()), ("in.txt", "content\n")]);
    through_artifact(&folder, "read.wat", &["--dir", "."], &[]).gives(0, "content\n").quietly();
    let folder = Folder::new(&[("hungry.wat", &guest::hungry())]);
    through_artifact(&folder, "hungry.wat", &["--max-memory", "8MiB"], &[]).ends_with(134).says(&[
        "unreachable",
        "0: ",
        "allocate",
        "--max-memory is 8 MiB",
    ]);
    let folder = Folder::new(&[(
        "add.wat",
        r#"(module (func (export "add") (param i64 i64) (result i64)
        (i64.add (local.get 0) (local.get 1))))"#,
    )]);
    through_artifact(&folder, "add.wat", &["--invoke", "add"], &["40", "2"]).gives(0, "42\n").quietly();
}

#[test]
fn modules_find_each_other_compiled_or_not() {
    let folder = Folder::new(&[
        ("lib.wat", r#"(module (func (export "f") (result i32) (i32.const 7)))"#),
        ("main.wat", r#"(module (import "lib" "f" (func (result i32))) (export "g" (func 0)))"#),
    ]);
    folder.wasmo(&["compile", "lib.wat"]).gives(0, "");
    folder.wasmo(&["compile", "main.wat"]).gives(0, "");
    for (lib, main) in [("lib.wasmo", "main.wasmo"), ("lib.wasmo", "main.wat"), ("lib.wat", "main.wasmo")] {
        folder.wasmo(&["run", "--preload", &format!("lib={lib}"), "--invoke", "g", main]).gives(0, "7\n").quietly();
    }
}

#[test]
fn fuel_and_strict_traps_are_chosen_when_compiling() {
    let folder = Folder::new(&[("yes.wat", &guest::yes()), ("zero.wat", &guest::exit(0))]);
    folder.wasmo(&["compile", "yes.wat"]).gives(0, "");
    folder
        .wasmo(&["run", "--fuel", "1000", "yes.wasmo"])
        .gives(1, "")
        .says(&["`yes.wasmo` was compiled without --fuel", "wasmo compile"]);
    folder.wasmo(&["run", "--strict-traps", "yes.wasmo"]).gives(1, "").says(&["without --strict-traps"]);
    folder.wasmo(&["compile", "--fuel", "--strict-traps", "yes.wat"]).gives(0, "");
    folder.wasmo(&["run", "--strict-traps", "--fuel", "1000", "yes.wasmo"]).ends_with(134).says(&["fuel"]);
    folder.wasmo(&["compile", "--fuel", "--opt-level", "0", "zero.wat"]).gives(0, "");
    folder.wasmo(&["run", "zero.wasmo"]).gives(0, "").quietly();
    folder.wasmo(&["inspect", "zero.wasmo"]).ends_with(0).shows(&["opt-level 0, fuel\n"]);
}

#[test]
fn inspect_says_what_it_was_made_from_and_for() {
    let folder = Folder::new(&[("yes.wat", &guest::yes())]);
    let binary = wat::parse_str(guest::yes()).expect("a module");
    folder.write("yes.wasm", &binary);
    folder.wasmo(&["compile", "--cpu", "baseline", "yes.wat"]).gives(0, "");
    let arch = std::env::consts::ARCH;
    folder.wasmo(&["inspect", "yes.wasmo"]).ends_with(0).quietly().shows(&[
        "yes.wasmo: compiled module, ",
        &format!("  made by    wasmo {}\n", env!("CARGO_PKG_VERSION")),
        &format!("  from       {} bytes of WebAssembly, BLAKE3 ", binary.len()),
        &format!("  for        {arch}-"),
        "  with       opt-level 2\n",
        "  checksums  code right, names and tables right\n",
        "\nimports (8)\n  wasi_snapshot_preview1  fd_write ",
        "\nexports (2)\n  memory  ",
        "\nfunctions by size of their machine code (3)\n",
        "#8 write\n",
        "bytes  .text\n",
        "bytes  .eh_frame\n",
    ]);
    let hash = |name: &str| {
        let answer = folder.wasmo(&["inspect", name]);
        answer.stdout.split_once("BLAKE3 ").map(|(_, hash)| hash[..64].to_owned()).expect("it has a hash")
    };
    folder.wasmo(&["compile", "-o", "again.wasmo", "yes.wasm"]).gives(0, "");
    assert_eq!(hash("yes.wasmo"), hash("again.wasmo"), "it is the hash of the binary, whatever was compiled");
}

#[test]
fn other_machines_are_compiled_for_and_refused() {
    let folder = Folder::new(&[("zero.wat", &guest::exit(0))]);
    let foreign = if cfg!(target_arch = "x86_64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
    folder.wasmo(&["compile", "--target", foreign, "zero.wat"]).gives(0, "").quietly();
    folder.wasmo(&["inspect", "zero.wasmo"]).ends_with(0).quietly().shows(&[&format!("for        {foreign}, ")]);
    folder.wasmo(&["run", "zero.wasmo"]).gives(1, "").says(&[
        "error: cannot load `zero.wasmo`\n",
        &format!("because: it was compiled for {foreign}; this is {}-linux\n", std::env::consts::ARCH),
    ]);
    folder.wasmo(&["compile", "--target", "z80-unknown-cpm", "zero.wat"]).gives(1, "").says(&["z80"]);
    folder.wasmo(&["compile", "--cpu", "pentium-vii", "zero.wat"]).gives(1, "").says(&["pentium-vii"]);
    folder.wasmo(&["compile", "--opt-level", "9", "zero.wat"]).ends_with(2).says(&["--opt-level"]);
}

/// No machine has the extensions of both vendors' newest processors.
#[test]
#[cfg(target_arch = "x86_64")]
fn other_processors_are_compiled_for_and_refused() {
    let folder = Folder::new(&[("zero.wat", &guest::exit(0))]);
    let missing = ["znver5", "sapphirerapids"].into_iter().any(|cpu| {
        folder.wasmo(&["compile", "--cpu", cpu, "zero.wat"]).gives(0, "").quietly();
        let answer = folder.wasmo(&["run", "zero.wasmo"]);
        if answer.output.status.success() {
            return false;
        }
        answer.gives(1, "").says(&["because: it uses what this processor does not have: ", "(--cpu)"]);
        true
    });
    assert!(missing, "this processor has everything");
    folder.wasmo(&["compile", "--cpu", "baseline", "zero.wat"]).gives(0, "");
    folder.wasmo(&["run", "zero.wasmo"]).gives(0, "").quietly();
}

#[test]
fn damaged_files_are_refused() {
    let folder = Folder::new(&[("zero.wat", &guest::exit(0))]);
    folder.wasmo(&["compile", "zero.wat"]).gives(0, "");
    let path = folder.path().join("zero.wasmo");
    let whole = fs::read(&path).expect("it is there");
    let refused = |why: &str| {
        folder.wasmo(&["run", "zero.wasmo"]).gives(1, "").says(&["error: cannot load `zero.wasmo`\n", why]);
        let shown = folder.wasmo(&["inspect", "zero.wasmo"]);
        shown.ends_with(1).says(&["`zero.wasmo`"]);
        shown
    };

    fs::write(&path, &whole[..whole.len() - 1]).expect("it can be written");
    refused("it is incomplete or damaged").shows(&["compiled module, ", "  for        "]);
    fs::write(&path, &whole[..1000]).expect("it can be written");
    refused("it ends within its header");
    fs::write(&path, [&whole[..], b"x"].concat()).expect("it can be written");
    refused("it is incomplete or damaged");

    // The code begins at a page.
    fs::write(&path, &whole).expect("it can be written");
    damage(&path, |len| len - len % 4096 - 4096);
    refused("the checksum of its code does not fit").shows(&["checksums  code DAMAGED, names and tables right\n"]);

    // What only explains is not needed.
    fs::write(&path, &whole).expect("it can be written");
    damage(&path, |len| len - 1);
    folder.wasmo(&["run", "zero.wasmo"]).gives(0, "").quietly();
    folder.wasmo(&["inspect", "zero.wasmo"]).ends_with(1).shows(&["code right, names and tables DAMAGED\n"]);

    // Another version: its number follows the eight bytes that every header begins with.
    fs::write(&path, &whole).expect("it can be written");
    damage(&path, |_| 512 + 8 + 1);
    refused("it was made by wasmo ");
}

#[test]
fn nothing_but_compiled_modules_is_overwritten() {
    let source = guest::exit(0);
    let folder = Folder::new(&[("a.wat", &source), ("b.wasmo", "notes\n"), ("empty", "")]);
    for (output, file) in [("a.wat", "a.wat"), ("b.wasmo", "a.wat")] {
        folder.wasmo(&["compile", "-o", output, file]).gives(1, "").says(&[output, "is no compiled module", "-o"]);
    }
    folder.wasmo(&["compile", "b.wasmo"]).gives(1, "").says(&["name the file to write with -o"]);
    assert_eq!(fs::read_to_string(folder.path().join("a.wat")).expect("it is there"), source);
    assert_eq!(fs::read_to_string(folder.path().join("b.wasmo")).expect("it is there"), "notes\n");
    folder.wasmo(&["compile", "-o", "empty", "a.wat"]).gives(0, "").quietly();
    folder.wasmo(&["run", "empty"]).gives(0, "").quietly();
    folder.wasmo(&["compile", "-o", "again", "empty"]).gives(1, "").says(&["is a compiled module, not WebAssembly"]);
    folder.wasmo(&["validate", "empty"]).ends_with(1).says(&["is a compiled module, not WebAssembly"]);
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let folder = Folder::new(&[("a.wat", &guest::exit(0)), ("bad.wat", "(module (func (result i32)))")]);
    folder.wasmo(&["compile", "-o", "/dev/full", "a.wat"]).gives(1, "").says(&["cannot write `/dev/full`", "No space"]);
    folder.wasmo(&["compile", "-o", "missing/a.wasmo", "a.wat"]).gives(1, "").says(&["cannot write `missing/a.wasmo`"]);
    folder.wasmo(&["compile", "-o", ".", "a.wat"]).gives(1, "").says(&["it is a directory"]);
    folder.wasmo(&["compile", "-o", "/proc/self/a.wasmo", "a.wat"]).gives(1, "").says(&["cannot write"]);
    folder.wasmo(&["compile", "bad.wat"]).gives(1, "").says(&["cannot compile `bad.wat`", "invalid module"]);
    folder.wasmo(&["compile", "none.wat"]).gives(1, "").says(&["cannot read `none.wat`"]);
    assert_eq!(names(&folder), ["a.wat", "bad.wat"]);

    // A disk with less room than any compiled module takes, where this user may mount one.
    let mut shell = Command::new("unshare");
    let script =
        r#"mount -t tmpfs -o size=8k none full || exit 99; "$1" compile -o full/a.wasmo a.wat; echo $? $(ls -A full)"#;
    shell.args(["-rm", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_wasmo")]).current_dir(folder.path());
    fs::create_dir(folder.path().join("full")).expect("the folder is ours");
    let answer = finish(shell);
    if answer.output.status.success() {
        answer.gives(0, "1\n").says(&["cannot write `full/a.wasmo`", "No space left"]);
    }
}

#[test]
fn links_are_followed_and_pipes_are_no_files() {
    let folder = Folder::new(&[("a.wat", &guest::exit(6))]);
    folder.write("target", b"");
    symlink("target", folder.path().join("link")).expect("it can be made");
    folder.wasmo(&["compile", "-o", "link", "a.wat"]).gives(0, "").quietly();
    assert!(folder.path().join("link").is_symlink());
    folder.wasmo(&["run", "target"]).gives(6, "").quietly();

    let shell = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line, "sh", env!("CARGO_BIN_EXE_wasmo")]).current_dir(folder.path());
        shell.env("WASMO_CACHE_DIR", folder.cache());
        finish(shell)
    };
    shell(r#""$1" run /dev/stdin <target"#).gives(6, "");
    shell(r#"cat target | "$1" run /dev/stdin"#).gives(1, "").says(&["from a file and not from a pipe"]);
    shell(r#"cat a.wat | "$1" run /dev/stdin"#).gives(6, "");
    shell(r#""$1" compile -o /dev/stdout a.wat | cat >piped; "$1" run piped"#).gives(6, "");
}

/// A program that is running has mapped its file, and goes on with it.
#[test]
fn replacing_a_running_program_does_it_no_harm() {
    let folder = Folder::new(&[("app.wat", &guest::yes()), ("other.wat", &guest::exit(1))]);
    folder.wasmo(&["compile", "app.wat"]).gives(0, "");
    let mut command = folder.command(&["run", "app.wasmo"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("wasmo starts");
    let mut lines = std::io::BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line).expect("it writes");
    folder.wasmo(&["compile", "-o", "app.wasmo", "other.wat"]).gives(0, "");
    for _ in 0..100_000 {
        line.clear();
        std::io::BufRead::read_line(&mut lines, &mut line).expect("it writes");
        assert_eq!(line, "y\n");
    }
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
    folder.wasmo(&["run", "app.wasmo"]).gives(1, "");
}

/// The tools that are installed; each finds the functions of the module by their names.
#[test]
fn tools_for_programs_see_the_names_of_functions() {
    let text = r#"(module
        (func $count_down (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 7))
                (else (i32.add (i32.const 1) (call $count_down_further (i32.sub (local.get 0) (i32.const 1)))))))
        (func $count_down_further (export "further") (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 9))
                (else (i32.mul (i32.const 3) (call $count_down (i32.sub (local.get 0) (i32.const 1))))))))"#;
    let folder = Folder::new(&[("count.wat", text)]);
    folder.wasmo(&["compile", "-o", "count.wasmo", "count.wat"]).gives(0, "").quietly();
    let seen = |command: &str, args: &[&str], expected: &[&str]| {
        let mut tool = Command::new(command);
        let Ok(output) = tool.args(args).arg("count.wasmo").current_dir(folder.path()).output() else { return };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for expected in expected {
            assert!(text.contains(expected), "{command}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
        }
    };
    seen("nm", &[], &[" t count_down\n", " t count_down_further\n"]);
    seen("objdump", &["-d"], &["<count_down>:\n", "<count_down_further>:\n"]);
    seen("readelf", &["-rW"], &["There are no relocations in this file."]);
    let commands = ["-q", "-nx", "-batch", "-ex", "info line count_down", "-ex", "disassemble count_down_further"];
    seen("gdb", &commands, &["<count_down>", "assembler code for function count_down_further:"]);
}
