//! Programs that are compiled while they run, and what the next run has of that.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::guest;
use crate::support::{Answer, Folder, finish, finish_on_terminal, wait};

/// Prints `a` when it has no arguments and `b` when it has some, from functions of their own, which nobody calls directly. `$warm` runs some hundred times.
fn two_ways() -> String {
    guest::program(
        r#"(data (i32.const 64) "a\nb\n")
        (type $way (func))
        (table funcref (elem $a $b))
        (func $a (call $print (i32.const 64) (i32.const 2)))
        (func $b (call $print (i32.const 66) (i32.const 2)))
        (func $warm (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
        (func (export "_start") (local $n i32)
            (local.set $n (i32.const 500))
            (loop $again (br_if $again (local.tee $n (call $warm (local.get $n)))))
            (drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
            (call_indirect (type $way) (i32.gt_u (i32.load (i32.const 16)) (i32.const 1))))"#,
    )
}

/// The number with which the line of the statistics begins that is called `name`.
#[track_caller]
fn number(answer: &Answer, name: &str) -> u64 {
    let line = answer.stderr.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    word.unwrap_or_else(|| panic!("no {name}: {}", answer.stderr))
}

/// How many functions came from the cache, and how many were compiled.
#[track_caller]
fn functions(answer: &Answer) -> (u64, u64) {
    let kept = if answer.stderr.contains("from cache") { number(answer, "from cache") } else { 0 };
    (kept, number(answer, "lift-off"))
}

#[test]
fn a_run_goes_on_with_what_was_compiled_before() {
    let folder = Folder::new(&[("ways.wat", &two_ways())]);
    let run = |args: &[&str]| folder.wasmo(&[&["run", "--stats", "ways.wat"], args].concat());
    let first = run(&[]);
    first.gives(0, "a\n").says(&["miss\n"]);
    let (kept, compiled) = functions(&first);
    assert!(kept == 0 && compiled >= 3, "{}", first.stderr);
    let second = run(&[]);
    second.gives(0, "a\n").says(&["hit\n"]);
    let (kept, compiled) = functions(&second);
    assert!(kept >= 3 && compiled == 0, "{}", second.stderr);
    // Another way through the program: what is missing is compiled, and there the next time.
    let other = run(&["x"]);
    other.gives(0, "b\n").says(&["hit\n"]);
    let (again, compiled) = functions(&other);
    assert!(again == kept && compiled == 1, "{}", other.stderr);
    let last = run(&["x"]);
    last.gives(0, "b\n").says(&["hit\n"]);
    assert_eq!(functions(&last), (kept + 1, 0), "{}", last.stderr);
    run(&[]).gives(0, "a\n");
    folder.wasmo(&["run", "ways.wat"]).gives(0, "a\n").quietly();
}

#[test]
fn exit_codes_and_traps_keep_what_was_compiled() {
    let trap = guest::program(r#"(func (export "_start") unreachable)"#);
    let folder = Folder::new(&[("seven.wat", &guest::exit(7)), ("trap.wat", &trap)]);
    for (file, code) in [("seven.wat", 7), ("trap.wat", 134)] {
        folder.wasmo(&["run", "--stats", file]).gives(code, "").says(&["miss\n"]);
        let second = folder.wasmo(&["run", "--stats", file]);
        second.gives(code, "").says(&["hit\n"]);
        assert_eq!(functions(&second), (1, 0), "{}", second.stderr);
    }
}

/// Nothing is done when a process is killed, so what it has learned must have been kept before.
#[test]
fn a_program_that_is_killed_has_kept_what_was_compiled() {
    let text = guest::program(
        r#"(func $work (param i32) (result i32) (i32.xor (local.get 0) (i32.const 1)))
        (func (export "_start") (local $n i32)
            (loop $again
                (local.set $n (call $work (local.get $n)))
                (br $again)))"#,
    );
    let folder = Folder::new(&[("loop.wat", &text)]);
    let mut first = folder.command(&["run", "loop.wat"]).stdout(Stdio::null()).spawn().expect("wasmo starts");
    let modules = folder.cache().join("modules");
    let (start, is_kept) =
        (Instant::now(), || std::fs::read_dir(&modules).is_ok_and(|mut files| files.next().is_some()));
    while !is_kept() && start.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(is_kept(), "it was kept while the program ran");
    first.kill().expect("it is running");
    first.wait().expect("it has ended");
    let second = folder.wasmo(&["run", "--stats", "--timeout", "300ms", "loop.wat"]);
    second.says(&["hit\n", "from cache"]);
    assert_eq!(functions(&second), (2, 0), "{}", second.stderr);
}

#[test]
fn each_tier_finds_what_it_may_use() {
    let folder = Folder::new(&[("ways.wat", &two_ways())]);
    let run = |tier: &str| folder.wasmo(&["run", "--stats", "--tier", tier, "ways.wat"]);
    run("lift-off").gives(0, "a\n").says(&["miss\n"]);
    run("auto").gives(0, "a\n").says(&["miss\n"]);
    run("optimized").gives(0, "a\n").says(&["miss\n"]);
    // All of it, optimised, is better than a part.
    let whole = run("auto");
    whole.gives(0, "a\n").says(&["hit\n"]);
    assert!(!whole.stderr.contains("from cache"), "{}", whole.stderr);
    let lift_off = run("lift-off");
    lift_off.gives(0, "a\n").says(&["hit\n", "from cache", " 0 of them optimized"]);
    assert_eq!(functions(&lift_off).1, 0, "{}", lift_off.stderr);
    folder.wasmo(&["cache", "list"]).shows(&["3 compiled modules, "]);
}

#[test]
fn what_is_kept_is_no_program_of_its_own() {
    let folder = Folder::new(&[("ways.wat", &two_ways())]);
    folder.wasmo(&["run", "ways.wat"]).gives(0, "a\n");
    let entries = std::fs::read_dir(folder.cache().join("modules")).expect("the cache can be read");
    let entry = entries.map(|entry| entry.expect("the cache can be read").path()).next().expect("it was kept");
    let entry = entry.to_str().expect("UTF-8");
    folder.wasmo(&["run", entry]).gives(1, "").says(&["only a part of the module's code"]);
    folder.wasmo(&["inspect", entry]).ends_with(0).shows(&["a part of its code"]);
}

#[test]
fn warm_functions_are_optimised_when_that_is_asked_for() {
    let folder = Folder::new(&[("ways.wat", &two_ways())]);
    let optimize = || folder.wasmo(&["cache", "optimize", "ways.wat"]);
    optimize().gives(1, "").says(&["there is no cache"]);
    folder.wasmo(&["run", "ways.wat"]).gives(0, "a\n").quietly();
    folder.wasmo(&["cache", "optimize", "--fuel", "ways.wat"]).gives(1, "").says(&["has not been run with"]);
    optimize().ends_with(0).shows(&["`ways.wat`: 2 functions optimised in "]);
    let run = folder.wasmo(&["run", "--stats", "ways.wat"]);
    run.gives(0, "a\n").says(&["hit\n", " 2 of them optimized"]);
    optimize().ends_with(0).shows(&["`ways.wat`: 0 functions optimised in 0.0 s, 2 before"]);
}

/// What `--stats` says when a process in the background has been started.
const LATER: &str = " functions, by a process in the background";

/// Runs it until what is warm in it has been optimised, which `run` itself does not do.
#[track_caller]
fn is_optimised_in_the_background(run: impl Fn() -> Answer) {
    let start = Instant::now();
    run().gives(0, "a\n").says(&["miss", LATER]);
    loop {
        let answer = run();
        answer.gives(0, "a\n");
        if answer.stderr.contains(" 2 of them optimized") {
            assert!(!answer.stderr.contains(LATER), "nothing is left to be optimised: {}", answer.stderr);
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "nothing is optimised: {}", answer.stderr);
        thread::sleep(Duration::from_millis(50));
    }
}

/// It has nothing of its parent's: neither the pipes, whose end the parent's parent waits for, nor the terminal, nor the directory that the cache is named from.
#[test]
fn warm_functions_are_optimised_in_the_background() {
    let folder = Folder::new(&[("ways.wat", &two_ways())]);
    let command = |background: &str| {
        let mut command = folder.command(&["run", "--stats", "ways.wat"]);
        command.env("WASMO_BACKGROUND", background).env("WASMO_CACHE_DIR", "cache");
        command
    };
    is_optimised_in_the_background(|| finish(command("1")));

    let folder = Folder::new(&[("ways.wat", &two_ways())]);
    let on_terminal = || finish_on_terminal(folder.command(&["run", "--stats", "ways.wat"]));
    is_optimised_in_the_background(on_terminal);
}

#[test]
fn nothing_is_left_in_the_background_where_it_is_not_wanted() {
    let folder = Folder::new(&[("ways.wat", &two_ways())]);
    let piped = folder.wasmo(&["run", "--stats", "ways.wat"]);
    piped.gives(0, "a\n").says(&["miss"]);
    assert!(!piped.stderr.contains(LATER), "{}", piped.stderr);
    let mut command = folder.command(&["run", "--stats", "ways.wat"]);
    command.env("WASMO_BACKGROUND", "0");
    let told_not_to = finish_on_terminal(command);
    told_not_to.gives(0, "a\n").says(&["hit"]);
    assert!(!told_not_to.stderr.contains(LATER), "{}", told_not_to.stderr);
}

/// A loop of so many rounds, in which optimised code finds nothing to do.
fn rounds(number: u64) -> String {
    format!(
        r#"(module (memory (export "memory") 1)
            (func (export "_start") (local $n i64)
                (local.set $n (i64.const {number}))
                (loop $again
                    (local.set $n (i64.sub (local.get $n) (i64.const 1)))
                    (br_if $again (i64.ne (local.get $n) (i64.const 0))))))"#
    )
}

#[test]
fn times_of_compilation_are_told_by_thread() {
    // Without optimised code it would take most of a minute.
    let folder = Folder::new(&[("hot.wat", &rounds(100_000_000_000))]);
    let run = |threads: &str| folder.wasmo(&["run", "--no-cache", "--stats", "--compile-threads", threads, "hot.wat"]);
    let one = run("1");
    one.gives(0, "").says(&["ms by guests\n", "ms by wasmo-tier-1\n"]);
    assert!(!one.stderr.contains("wasmo-tier-2"), "{}", one.stderr);
    for wrong in ["0", "257", "many"] {
        run(wrong).gives(2, "").says(&[&format!("invalid value '{wrong}' for '--compile-threads <N>'")]);
    }
    folder.wasmo(&["compile", "--compile-threads", "2", "hot.wat"]).gives(0, "").quietly();
}

/// Without LLVM a program runs, as slowly as that is; but who has a damaged one is told.
#[test]
fn damage_to_llvm_is_told() {
    let folder = Folder::new(&[("hot.wat", &rounds(100_000_000)), ("libLLVM.so.22.1", "a library")]);
    let run = |args: &[&str]| {
        let mut command = folder.command(args);
        command.env("LD_LIBRARY_PATH", folder.path()).stdin(Stdio::null());
        finish(command)
    };
    run(&["run", "hot.wat"])
        .gives(0, "")
        .says(&["warning: nothing could be optimised: ", "libLLVM.so.22.1: file too short"]);
    run(&["run", "--tier", "optimized", "hot.wat"]).gives(1, "").says(&["libLLVM.so.22.1: file too short"]);
    run(&["run", "--tier", "lift-off", "hot.wat"]).gives(0, "").quietly();
}

#[test]
fn a_profiler_finds_the_names_of_what_was_compiled() {
    let folder = Folder::new(&[("two.wat", &two_ways())]);
    let mut command = folder.command(&["run", "--perf-map", "-g", "two.wat"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    let map = format!("/tmp/perf-{}.map", child.id());
    let output = wait(child);
    let lines = std::fs::read_to_string(&map).expect("the file was written");
    std::fs::remove_file(&map).expect("the file is ours");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\n");
    for name in ["!warm [lift-off]", "!a [lift-off]"] {
        assert!(lines.lines().any(|line| line.ends_with(name)), "{name} is missing: {lines}");
    }
}
