//! Profiles: `wasmo run --profile` writes them however the guest ends, `wasmo compile --profile` takes them, `wasmo inspect` shows them.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::guest;
use crate::support::{Folder, wait};

/// Calls `$work` through a table a thousand times, prints `a`, and ends as `end` says.
fn program(end: &str) -> String {
    guest::program(&format!(
        r#"(data (i32.const 64) "a\n")
        (type $f (func (param i32) (result i32)))
        (table funcref (elem $work))
        (func $work (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
        (func (export "_start") (local $n i32)
            (local.set $n (i32.const 1000))
            (loop $again (br_if $again (local.tee $n (call_indirect (type $f) (local.get $n) (i32.const 0)))))
            (call $print (i32.const 64) (i32.const 2))
            {end})"#
    ))
}

#[test]
fn a_program_is_compiled_for_what_it_does() {
    let folder = Folder::new(&[("p.wat", &program(""))]);
    folder.wasmo(&["run", "--profile", "p.prof", "p.wat"]).gives(0, "a\n").quietly();
    assert!(!folder.cache().exists(), "code that counts is not kept");
    let shown = folder.wasmo(&["inspect", "p.prof"]);
    shown.ends_with(0).shows(&["p.prof: a profile of 4 functions", "1000 calls", "1000 times", "100 % #"]);
    let named = folder.wasmo(&["inspect", "--profile", "p.prof", "p.wat"]);
    named.ends_with(0).shows(&["100 % #10 work", "1000 rounds  #11 _start", "branch, taken  99 %"]);
    folder.wasmo(&["compile", "--profile", "p.prof", "-o", "p.wasmo", "p.wat"]).gives(0, "").quietly();
    folder.wasmo(&["run", "p.wasmo"]).gives(0, "a\n").quietly();
    // A profile is replaced by the next, and a compiled module counts nothing.
    folder.wasmo(&["run", "--profile", "p.prof", "p.wat"]).gives(0, "a\n").quietly();
    folder.wasmo(&["run", "--profile", "p.prof", "p.wasmo"]).gives(1, "").says(&["is a compiled module"]);
}

#[test]
fn profiles_are_written_however_the_guest_ends() {
    let ends = [("(call $proc_exit (i32.const 7))", 7), ("unreachable", 134), ("(call $proc_exit (i32.const 0))", 0)];
    for (end, code) in ends {
        let folder = Folder::new(&[("p.wat", &program(end))]);
        folder.wasmo(&["run", "--profile", "p.prof", "p.wat"]).gives(code, "a\n");
        folder.wasmo(&["inspect", "p.prof"]).ends_with(0).shows(&["1000 times"]);
    }
    let folder = Folder::new(&[("p.wat", &program("(loop (br 0))"))]);
    folder.wasmo(&["run", "--timeout", "500ms", "--profile", "p.prof", "p.wat"]).gives(134, "a\n");
    folder.wasmo(&["inspect", "p.prof"]).ends_with(0).shows(&["1000 times"]);
}

#[test]
fn ctrl_c_writes_a_profile_too() {
    let folder = Folder::new(&[("p.wat", &program("(loop (br 0))"))]);
    let mut command = folder.command(&["run", "--profile", "p.prof", "p.wat"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    let mut line = [0; 2];
    let out = child.stdout.as_mut().expect("it is a pipe");
    std::io::Read::read_exact(out, &mut line).expect("it prints a line");
    thread::sleep(Duration::from_millis(50));
    let id = i32::try_from(child.id()).expect("a process's number");
    // SAFETY: the process is ours, and nobody has waited for it.
    assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
    assert_eq!(wait(child).status.code(), Some(130));
    folder.wasmo(&["inspect", "p.prof"]).ends_with(0).shows(&["1000 times"]);
}

#[test]
fn profiles_that_do_not_fit_are_refused() {
    let folder = Folder::new(&[("p.wat", &program("")), ("other.wat", &program("nop"))]);
    folder.wasmo(&["run", "--profile", "p.prof", "p.wat"]).gives(0, "a\n");
    let compile =
        |profile: &str, module: &str| folder.wasmo(&["compile", "--profile", profile, "-o", "out.wasmo", module]);
    compile("p.prof", "other.wat").gives(1, "").says(&["`p.prof` is no profile of `other.wat`"]);
    folder.wasmo(&["inspect", "--profile", "p.prof", "other.wat"]).gives(1, "").says(&["is no profile of `other.wat`"]);
    compile("p.wat", "p.wat").gives(1, "").says(&["cannot use `p.wat`", "it is no profile"]);
    compile("missing", "p.wat").gives(1, "").says(&["cannot read `missing`"]);
    let mut bytes = fs::read(folder.path().join("p.prof")).expect("it is there");
    bytes[60] ^= 1;
    folder.write("damaged", &bytes);
    compile("damaged", "p.wat").gives(1, "").says(&["cannot use `damaged`", "its checksum is not right"]);
    folder.wasmo(&["inspect", "damaged"]).gives(1, "").says(&["its checksum is not right"]);
    bytes[8] = 9;
    folder.write("newer", &bytes);
    compile("newer", "p.wat").gives(1, "").says(&["a profile of version 9"]);
    assert!(!folder.path().join("out.wasmo").exists());
    // Who has swapped two names must not lose a module.
    folder.wasmo(&["run", "--profile", "other.wat", "p.wat"]).gives(1, "").says(&["is there, and is no profile"]);
    folder.wasmo(&["run", "--tier", "auto", "--profile", "p.prof", "p.wat"]).ends_with(2);
}
