//! Guests that do not end by themselves: time limits, Ctrl-C, closed pipes, memory and stack without end.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::guest;
use crate::support::{Folder, wait};

const ENDLESS: &str = r#"(module (func $spin (export "_start") (loop br 0)))"#;

#[test]
fn a_loop_without_end_meets_its_time_limit() {
    let folder = Folder::new(&[("loop.wat", ENDLESS)]);
    let start = Instant::now();
    folder
        .wasmo(&["run", "--timeout", "300ms", "loop.wat"])
        .gives(134, "")
        .says(&["error: `loop.wat` trapped: interrupted, because its 300ms (--timeout) are over\n", "spin"]);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_start_function_has_the_time_limit_too() {
    let folder = Folder::new(&[("loop.wat", "(module (func $spin (loop br 0)) (start $spin))")]);
    folder.wasmo(&["run", "--timeout", "100ms", "loop.wat"]).gives(134, "").says(&["trapped: interrupted"]);
}

#[test]
fn a_guest_that_waits_for_input_meets_its_time_limit() {
    let folder = Folder::new(&[("echo.wat", &guest::echo())]);
    let mut command = folder.command(&["run", "--timeout", "100ms", "echo.wat"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    // The input stays open, and nothing comes.
    let input = child.stdin.take();
    let output = wait(child);
    drop(input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(134), "{errors}");
    assert!(errors.contains("--timeout"), "{errors}");
}

#[test]
fn a_guest_that_ends_in_time_is_left_alone() {
    let folder = Folder::new(&[("three.wat", &guest::exit(3))]);
    folder.wasmo(&["run", "--timeout", "1h", "three.wat"]).gives(3, "").quietly();
}

#[test]
fn a_recursion_without_end_uses_up_its_stack() {
    let folder = Folder::new(&[(
        "deep.wat",
        r#"(module (func $deep (export "_start") call $deep)
            (func $deeper (export "f") (param i64) (result i64) (i64.add (call $deeper (local.get 0)) (i64.const 1))))"#,
    )]);
    let answer = folder.wasmo(&["run", "deep.wat"]);
    answer.gives(134, "").says(&["trapped: call stack exhausted", "deep", "more\n"]);
    assert!(answer.stderr.lines().count() < 40, "the backtrace is not to flood the terminal: {}", answer.stderr);
    folder.wasmo(&["run", "--invoke", "f", "deep.wat", "1"]).gives(134, "").says(&["trapped: call stack exhausted"]);
}

#[test]
fn an_allocation_without_end_meets_the_memory_limit() {
    let folder = Folder::new(&[("hungry.wat", &guest::hungry())]);
    folder.wasmo(&["run", "--max-memory", "64MiB", "hungry.wat"]).gives(134, "").says(&[
        "trapped: unreachable",
        "--max-memory is 64 MiB",
        "allocate",
    ]);
    // Without a limit of ours, there is that of 32-bit memories.
    folder.wasmo(&["run", "hungry.wat"]).gives(134, "").says(&["trapped: unreachable"]);
}

#[test]
fn a_memory_that_starts_too_large_is_an_error() {
    let folder = Folder::new(&[("large.wat", r#"(module (memory 32) (func (export "_start")))"#)]);
    folder
        .wasmo(&["run", "--max-memory", "1MiB", "large.wat"])
        .gives(1, "")
        .says(&["error: cannot instantiate `large.wat`", "--max-memory is 1 MiB"]);
    folder.wasmo(&["run", "--max-memory", "2MiB", "large.wat"]).gives(0, "");
}

/// Reads one line of what a process prints, and closes the pipe.
fn read_a_line(child: &mut Child) -> String {
    let mut pipe = child.stdout.take().expect("standard output is a pipe");
    let mut line = Vec::new();
    let mut byte = [0];
    while pipe.read_exact(&mut byte).is_ok() && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("a line of text")
}

#[test]
fn a_closed_pipe_ends_the_guest_quietly() {
    let folder = Folder::new(&[("yes.wat", &guest::yes())]);
    let mut command = folder.command(&["run", "yes.wat"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    assert_eq!(read_a_line(&mut child), "y");
    let output = wait(child);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(!output.status.success());
}

#[test]
fn a_closed_pipe_ends_our_own_printing_quietly() {
    let functions = "(func)".repeat(100_000);
    let folder = Folder::new(&[("many.wat", &format!("(module {functions})"))]);
    let mut command = folder.command(&["inspect", "--all", "many.wat"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    assert!(read_a_line(&mut child).starts_with("many.wat: "));
    assert_eq!(String::from_utf8_lossy(&wait(child).stderr), "");
}

#[test]
fn a_full_disk_is_an_error() {
    let folder = Folder::new(&[("f.wat", "(module)")]);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has this device");
    let mut command = folder.command(&["validate", "f.wat"]);
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    let output = wait(child);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.starts_with("error: cannot write to standard output\n"), "{errors}");
}

/// As a terminal does it when Ctrl-C is pressed.
fn press_ctrl_c(child: &Child) {
    let status =
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("there is a command `kill`");
    assert!(status.success());
}

#[test]
fn ctrl_c_ends_the_guest() {
    let spin = guest::program(
        r#"(data (i32.const 64) "on\n") (func (export "_start") (call $print (i32.const 64) (i32.const 3)) (loop br 0))"#,
    );
    let folder = Folder::new(&[("spin.wat", &spin)]);
    let mut command = folder.command(&["run", "spin.wat"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    assert_eq!(read_a_line(&mut child), "on");
    press_ctrl_c(&child);
    let output = wait(child);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(130), ""));
}

#[test]
fn ctrl_c_ends_a_guest_that_waits() {
    let folder = Folder::new(&[("echo.wat", &guest::echo())]);
    let mut command = folder.command(&["run", "echo.wat"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    let input = child.stdin.take();
    // Nothing shows that the guest waits. If Ctrl-C comes too early for that, the answer is the same; only if it came before wasmo
    // listens, the signal would be the end.
    thread::sleep(Duration::from_millis(700));
    press_ctrl_c(&child);
    let output = wait(child);
    drop(input);
    assert_eq!(output.status.code(), Some(130), "{:?}", output.status);
}

#[test]
fn ctrl_c_ends_a_compilation() {
    // Many seconds of work on any machine.
    let step = "(local.set 0 (i32.rotl (i32.mul (local.get 0) (i32.load (local.get 1))) (local.get 1))) (i32.store (local.get 0) (local.get 1))";
    let function = format!("(func (param i32 i32) {})", step.repeat(60));
    let folder = Folder::new(&[(
        "big.wat",
        &format!("(module (memory 1) (func (export \"_start\")) {})", function.repeat(4000)),
    )]);
    let mut command = folder.command(&["run", "--tier", "optimized", "--stats", "big.wat"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    thread::sleep(Duration::from_millis(1500));
    let start = Instant::now();
    press_ctrl_c(&child);
    let output = wait(child);
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
}
