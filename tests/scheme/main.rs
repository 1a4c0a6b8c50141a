//! The Scheme interpreter's JIT: procedures that are linked into the running guest compute what the interpreter computes.
//!
//! Every program runs twice on each of two instances, which only differ in that the second links what has become hot in between. Both runs
//! must print the same and end in the same, and so must both instances.

mod command;
mod generate;
mod host;

use command::Command;
use host::Host;
use std::fmt::Write;
use std::sync::OnceLock;
use wasmo::{Config, Engine, OptLevel, Tuning};

/// More calls than a program makes.
const NEVER: u32 = u32::MAX;

/// A host that compiles quickly, for many programs.
fn quick() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new(Config::new().opt_level(OptLevel::None)).expect("the library is in the tree"))
}

/// A host that optimises.
fn optimising() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        Host::new(Config::new().late_link_opt_level(OptLevel::Speed)).expect("the library is in the tree")
    })
}

/// A host whose late modules change their tiers at once.
fn hot() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    let tuning = Tuning { budget: 0, budget_while_waiting: 0, synchronous: true, ahead: false, ..Tuning::default() };
    HOST.get_or_init(|| Host::new(Config::new().tuning(tuning)).expect("the library is in the tree"))
}

/// What a program does in two runs, interpreted, and how many bytes its module has; fails when it does anything else compiled.
#[track_caller]
fn check(host: &Host, program: &str, calls: u32, collect_always: bool) -> (String, usize) {
    let (mut interpreted, mut compiled) = (host.guest(NEVER).unwrap(), host.guest(calls).unwrap());
    if collect_always {
        compiled.call::<(), ()>("collect_always", ()).unwrap();
    }
    let first = interpreted.parse(program).unwrap();
    let second = compiled.parse(program).unwrap();
    let expected = interpreted.eval(first).unwrap();
    assert_eq!(compiled.eval(second).unwrap(), expected, "before compilation\n{program}");
    let size = compiled.link().unwrap_or_else(|error| panic!("{error:?}\n{program}")).unwrap_or(0);
    let expected = interpreted.eval(first).unwrap();
    assert_eq!(compiled.eval(second).unwrap(), expected, "after compilation\n{program}");
    (expected, size)
}

fn generated(host: &Host, seeds: std::ops::Range<u64>) {
    let (mut linked, mut failed) = (0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let program = generate::program(seed);
        let (outcome, size) = check(host, &program, 1, seed % 3 == 0);
        linked += u64::from(size > 0);
        failed += u64::from(outcome.contains("\nerror "));
    }
    // The generator is worth something only while most of its programs get somewhere, and some end in errors.
    assert!(linked > count * 8 / 10, "{linked} of {count} programs had anything to compile");
    assert!(failed > count / 10 && failed < count * 7 / 10, "{failed} of {count} programs ended in errors");
}

#[test]
fn generated_programs_0() {
    generated(quick(), 0..260);
}

#[test]
fn generated_programs_1() {
    generated(quick(), 260..520);
}

#[test]
fn generated_programs_optimised() {
    generated(optimising(), 520..580);
}

#[test]
fn generated_programs_in_tiers() {
    generated(hot(), 1000..1024);
}

/// Every operation that compiled code does in line, on every kind of value that it may have to tell apart.
#[test]
fn operations_on_all_kinds_of_values() {
    const OPERATIONS: &[(&str, &str)] = &[
        ("(+ x y)", "1 2"),
        ("(- x y)", "1 2"),
        ("(* x y)", "1 2"),
        ("(+ x 5)", "1 2"),
        ("(- x 32767)", "1 2"),
        ("(- x -3)", "1 2"),
        ("(quotient x y)", "1 2"),
        ("(remainder x y)", "1 2"),
        ("(modulo x y)", "1 2"),
        ("(list (< x y) (<= x y) (> x y) (>= x y))", "1 2"),
        ("(if (< x y) 1 2)", "1 2"),
        ("(if (>= x y) 1 2)", "1 2"),
        ("(if (< x 3) 1 2)", "1 2"),
        ("(if (>= x 3) 1 2)", "1 2"),
        ("(list (= x y) (eq? x y) (not x) (null? x) (pair? y))", "1 2"),
        ("(if (= x y) 1 2)", "1 2"),
        ("(if (= x 0) 1 2)", "1 2"),
        ("(list (if (eq? x y) 1 2) (if x 1 2) (if (not y) 1 2) (if (null? x) 1 2) (if (pair? x) 1 2))", "1 2"),
        ("(car x)", "'(1) 2"),
        ("(cdr x)", "'(1) 2"),
        ("(cons x y)", "1 2"),
        ("(vector-ref x y)", "(vector 1) 0"),
        ("(vector-set! x y 'new)", "(vector 1) 0"),
        ("(x y)", "car '(1)"),
        ("(+ 1 (x y))", "car '(1)"),
        ("(x)", "void 2"),
        ("(cadr x)", "'(1 2) 2"),
        ("(string-append x x)", "\"\" 1"),
        ("(let ((z 1)) (set! z (cons z x)) (set! g z) (list z y))", "1 2"),
        ("(let ((f (lambda (z) (set! x (cons z x)) x))) (f y) (f 1))", "1 2"),
        ("(list unknown x)", "1 2"),
        ("(if (pair? x) (unknown x) y)", "1 2"),
        ("(if (pair? x) (begin (set! unknown y) x) y)", "1 2"),
    ];
    const VALUES: &[&str] = &[
        "0",
        "1",
        "-1",
        "3",
        "-7",
        "4611686018427387903",
        "-4611686018427387904",
        "2147483648",
        "4294967297",
        "#f",
        "'()",
        "'(1 2)",
        "'sym",
        "#\\a",
        "\"text\"",
        "(vector 7 8)",
        "car",
        "(lambda (v) (list v 'called))",
        "f0",
    ];
    let mut program = String::from("(define g 0)\n");
    for (index, (body, valid)) in OPERATIONS.iter().enumerate() {
        let _ = writeln!(program, "(define (f{index} x y) {body})");
        if !body.contains("unknown x)") {
            let _ = writeln!(program, "(f{index} {valid}) (f{index} {valid})");
        }
    }
    let (mut interpreted, mut compiled) = (quick().guest(NEVER).unwrap(), quick().guest(1).unwrap());
    for guest in [&mut interpreted, &mut compiled] {
        let handle = guest.parse(&program).unwrap();
        let outcome = guest.eval(handle).unwrap();
        assert!(!outcome.contains("\nerror "), "{outcome}");
    }
    // Those that fail whenever they are called become hot by failing.
    for (index, _) in OPERATIONS.iter().enumerate().filter(|(_, (body, _))| body.contains("unknown x)")) {
        let handle = compiled.parse(&format!("(f{index} 1 2)")).unwrap();
        (0..3).for_each(|_| drop(compiled.eval(handle).unwrap()));
    }
    compiled.link().unwrap().expect("all of them are hot");
    for (index, (body, _)) in OPERATIONS.iter().enumerate() {
        for x in VALUES {
            for y in VALUES {
                let call = format!("(f{index} {x} {y})");
                let (one, two) = (interpreted.parse(&call).unwrap(), compiled.parse(&call).unwrap());
                assert_eq!(compiled.eval(two).unwrap(), interpreted.eval(one).unwrap(), "{body} {x} {y}");
            }
        }
    }
}

/// A program, and the end of what it must print or result in.
#[track_caller]
fn ends(program: &str, expected: &str) {
    for host in [quick(), optimising()] {
        let (outcome, size) = check(host, program, 10, false);
        assert!(outcome.ends_with(expected), "{outcome:?} instead of {expected:?}");
        assert!(size > 0, "nothing was compiled");
    }
}

#[test]
fn deep_recursion() {
    let sum = "(define (sum n) (if (= n 0) 0 (+ n (sum (- n 1))))) (sum 20)";
    ends(&format!("{sum} (sum 100000)"), "result 5000050000");
    ends("(define (f n) (+ 1 (f n))) (f 1)", "error recursion too deep in f");
    // The same where each level goes through the interpreter.
    ends(
        "(define (f n . rest) (if (= n 0) 0 (+ 1 (apply g (list (- n 1)))))) (define (g n) (f n 1)) (f 20) (f 50000)",
        "result 50000",
    );
}

#[test]
fn tail_calls() {
    ends("(define (f n) (if (= n 0) 'done (f (- n 1)))) (f 3000000)", "result done");
    ends(
        "(define (a n) (if (= n 0) 'a (b (- n 1)))) (define (b n) (if (= n 0) 'b (c 1 (- n 1))))
         (define (c m n) (if (= n 0) 'c (a (- n m)))) (a 1000000)",
        "result b",
    );
    ends("(define (f n) (if (= n 0) 'done (apply f (list (- n 1))))) (f 300000)", "result done");
    ends(
        "(define (f g n) (if (= n 0) 'done (g f n))) (define (h f n . rest) (f h (- n 1))) (f h 300000)",
        "result done",
    );
}

#[test]
fn garbage() {
    ends(
        "(define (build n) (let loop ((i 0) (l '())) (if (= i n) l (loop (+ i 1) (cons (vector i (lambda () i)) l)))))
         (define keep (build 100))
         (define (fold f z l) (if (null? l) z (fold f (f z (car l)) (cdr l))))
         (define (work) (fold (lambda (z v) (+ z (vector-ref v 0))) 0 (build 2000)))
         (let loop ((i 0) (n 0)) (if (= i 300) (list n (length keep) ((vector-ref (car keep) 1))) (loop (+ i 1) (+ n (work)))))",
        "result (599700000 100 99)",
    );
    // What only a frame that waits holds.
    ends(
        "(define (tree n) (if (= n 0) '() (let ((left (tree (- n 1)))) (cons left (tree (- n 1))))))
         (define (count t) (if (null? t) 1 (+ (count (car t)) (count (cdr t)))))
         (tree 10)
         (let loop ((i 0)) (let ((n (count (tree 15)))) (if (= i 10) n (loop (+ i 1)))))",
        "result 32768",
    );
}

/// The same where everything that nothing keeps alive is found at once.
#[test]
fn what_compiled_code_holds_stays_alive() {
    let program = "(define (tree n) (if (= n 0) '() (let ((left (tree (- n 1)))) (cons left (tree (- n 1))))))
                   (define (count t) (if (null? t) 1 (+ (count (car t)) (count (cdr t)))))
                   (define (both f a) (let ((one (list a (f 4)))) (let loop ((i 0) (two (f 4))) (if (= i 3) (list one two) (loop (+ i 1) (list i two))))))
                   (define (again n) (if (> n 0) (begin (both tree n) (again (- n 1)))))
                   (again 5) (list (count (tree 6)) (both tree 'a))";
    let (outcome, size) = check(quick(), program, 3, true);
    assert!(outcome.contains("result (64 ((a ((((()) ()) (()) ())"), "{outcome}");
    assert!(size > 0);
}

#[test]
fn what_was_known_when_compiling_may_change() {
    ends(
        "(define (g n) (+ n 1)) (define (f n) (+ (g n) (g 1)))
         (define (many n) (if (= n 0) (f 5) (begin (f n) (many (- n 1)))))
         (define first (many 50)) (define old g) (set! g (lambda (n) (* 10 n)))
         (define second (many 50)) (set! g car)
         (define (third) (f '(7))) (set! g old) (list first second (many 50))",
        "result (8 60 8)",
    );
}

#[test]
fn exit_and_errors_leave_compiled_frames() {
    ends("(define (f n) (if (= n 0) (exit 3) (+ 1 (f (- n 1))))) (f 20)", "error exit with code 3");
    ends("(define (f n) (if (= n 0) (car n) (+ 1 (f (- n 1))))) (f 20)", "error car: expected a pair, got 0");
    ends("(define (f n) (if (= n 0) (error \"at\" n) (+ 1 (f (- n 1))))) (f 20)", "error at 0");
}

/// Programs that become compiled while they run, at a different moment each.
#[test]
fn linking_in_the_middle_of_a_program() {
    let engine = Engine::new(Config::new().opt_level(OptLevel::None)).unwrap();
    let command = Command::new(engine).unwrap();
    for (seed, calls) in (1000..1060).zip([1, 2, 5, 20, 100].into_iter().cycle()) {
        let program = generate::program(seed);
        let expected = command.run(&program, &["--no-jit"]).unwrap();
        let calls = calls.to_string();
        assert_eq!(
            command.run(&program, &["--jit-calls", &calls]).unwrap(),
            expected,
            "--jit-calls {calls}\n{program}"
        );
    }
    // The stack grows, and the native one ends, in the middle of compiled procedures, a few words further on in each round.
    for calls in 1..8 {
        let program = "(define (sum n) (if (= n 0) 0 (+ n (sum (- n 1))))) (display (sum 100000))";
        let outcome = command.run(program, &["--jit-calls", &calls.to_string()]).unwrap();
        assert_eq!(outcome, ("5000050000".into(), String::new(), 0), "--jit-calls {calls}");
    }
    let demo = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/guests/scheme/demo.scm")).unwrap();
    assert_eq!(command.run(&demo, &[]).unwrap(), command.run(&demo, &["--no-jit"]).unwrap());
    let (output, errors, code) = command.run("", &["--demo"]).unwrap();
    assert!(output.contains("compiled     fib(30) = 832040"), "{output}");
    assert_eq!((errors.as_str(), code), ("", 0));
}
