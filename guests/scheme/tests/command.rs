//! The command line: where programs come from, where results and errors go, exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn interp(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_interp"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command was built for this test");
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().expect("it was piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it was started")
}

#[track_caller]
fn check(arguments: &[&str], input: &str, code: i32, stdout: &str, stderr: &str) {
    let output = interp(arguments, input);
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout);
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn programs_from_everywhere() {
    check(&["-e", "(+ 1 2)"], "", 0, "3\n", "");
    check(&["-e", "(display 1)"], "", 0, "1", "");
    check(&[], "(display (* 6 7))", 0, "42", "");
    check(&["-"], "(display 'x)", 0, "x", "");
    let missing = interp(&["/nonexistent.scm"], "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).starts_with("error: cannot read /nonexistent.scm: "));
}

#[test]
fn failures() {
    check(&["-e", "(display 1) (car 2)"], "", 1, "1", "error: car: expected a pair, got 2\n");
    check(&["-e", "(exit 3)"], "", 3, "", "");
    assert_eq!(interp(&["-x"], "").status.code(), Some(2));
    assert_eq!(interp(&["-e"], "").status.code(), Some(2));
}

#[test]
fn the_demonstration() {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/demo.scm");
    let expected = "\
fib(30)       = 832040
even? 1000000 = #t
sorted        = (3 4 15 23 31 35 65 79 89 92)
sum of squares of the odd ones = 21336
queens(8)     = 92
";
    check(&[demo], "", 0, expected, "");
}
