//! Programs that want too much: depth, memory, nesting. Each ends in an error or in bounded space.

mod common;

use common::{Sink, result, result_on};
use scheme::Machine;

#[test]
fn deep_recursion_works_and_endless_recursion_is_an_error() {
    let deep = "(define (sum n) (if (= n 0) 0 (+ n (sum (- n 1)))))";
    assert_eq!(result(&format!("{deep} (sum 100000)")), "5000050000");
    assert_eq!(result("(define (f n) (+ 1 (f n))) (f 1)"), "error: recursion too deep in f");
    let through_map = result("(define (f) (map (lambda (x) (f)) '(1)) 1) (f)");
    assert!(through_map.starts_with("error: recursion too deep in "), "{through_map}");
}

#[test]
fn tail_calls_need_no_stack() {
    assert_eq!(
        result("(define (f n) (cond ((= n 0) 'done) (else (and #t (or #f (begin (f (- n 1)))))))) (f 1000000)"),
        "done"
    );
    assert_eq!(result("(define (f n) (if (= n 0) 'done (apply f (list (- n 1))))) (f 600000)"), "done");
    let mutual = "(define (a n) (if (= n 0) 'a (b (- n 1)))) (define (b n) (if (= n 0) 'b (a (- n 1)))) (a 1000001)";
    assert_eq!(result(mutual), "b");
}

#[test]
fn garbage_does_not_add_up() {
    let mut machine = Machine::new(Box::new(Sink::default()));
    let program =
        "(define (build n) (let loop ((i 0) (l '())) (if (= i n) l (loop (+ i 1) (cons (vector i (lambda () i)) l)))))
                   (define keep (build 1000))
                   (let loop ((i 0) (n 0)) (if (= i 200) n (loop (+ i 1) (+ n (length (build 1000))))))
                   (let loop ((i 0)) (if (< i 100) (begin (make-vector 100000 i) (loop (+ i 1)))))
                   (apply + (map (lambda (v) (+ (vector-ref v 0) ((vector-ref v 1)))) keep))";
    assert_eq!(result_on(&mut machine, program), "999000");
    assert!(machine.heap.size() < 32 << 20, "the heap has {} bytes", machine.heap.size());
}

#[test]
fn data_without_end_is_out_of_memory() {
    // A vector of 64 MB a round, all kept: the limit is reached within a few rounds.
    let program = "(let loop ((l '())) (loop (cons (make-vector 8000000 0) l)))";
    assert_eq!(result(program), "error: out of memory");
    assert_eq!(result("(let loop ((s \"abc\")) (loop (string-append s s)))"), "error: out of memory");
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| format!("{}1{}", "(+ 1 ".repeat(depth), ")".repeat(depth));
    assert_eq!(result(&nested(140)), "141");
    assert_eq!(result(&nested(100_000)), "error: line 1: data is nested too deeply");
    assert_eq!(result(&nested(5_000)), "error: expressions are nested too deeply");
    let data = |depth: usize| format!("(length '{}{})", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(result(&data(9_000)), "1");
    assert_eq!(result(&data(20_000)), "error: line 1: data is nested too deeply");
    let deep = "(define (nest n) (let loop ((i 0) (l '())) (if (= i n) l (loop (+ i 1) (list l)))))";
    assert_eq!(result(&format!("{deep} (equal? (nest 300000) (nest 300000))")), "#t");
    let loops = (0..12)
        .fold("1".to_owned(), |inner, i| format!("(+ 1 (let l{i} ((x 1)) (if (= x 0) (+ 1 (l{i} x)) {inner})))"));
    assert_eq!(result(&loops), "13");
}

#[test]
fn long_forms_are_fine_or_errors() {
    let many = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(result(&format!("(+ {})", many(200))), "19900");
    assert_eq!(result(&format!("(+ {})", many(201))), "error: more than 200 operands in one expression");
    assert_eq!(result(&format!("(apply + '({}))", many(100_000))), "4999950000");
    assert_eq!(result("(apply + (iota 3000000))"), "error: apply: the list of arguments is too long");
    let clauses: String = (0..3_000).map(|i| format!("((= x {i}) {i})")).collect();
    assert_eq!(result(&format!("(define (f x) (cond {clauses})) (f 2999)")), "2999");
    let sets: String = (0..40_000).map(|_| "(set! x (car x))").collect();
    assert_eq!(
        result(&format!("(define (f x) (if (< x 1) (begin {sets}) 1)) (f 5)")),
        "error: a procedure is too long"
    );
}
