//! Programs and their results, values and errors alike, normally and with a collection at every safe
//! point.

mod common;

use common::{Sink, result, result_on};
use scheme::Machine;

/// Checks every program of a table on a machine of its own, twice.
fn check(table: &[(&str, &str)]) {
    for (program, expected) in table {
        assert_eq!(result(program), *expected, "{program}");
        let mut machine = Machine::new(Box::new(Sink::default()));
        machine.heap.collect_always();
        assert_eq!(result_on(&mut machine, program), *expected, "{program}, collecting always");
    }
}

#[test]
fn data_read_and_written() {
    check(&[
        ("'()", "()"),
        ("'(1 (2 . 3) #(4 \"f\\n\\\"\") #\\a #\\space)", "(1 (2 . 3) #(4 \"f\\n\\\"\") #\\a #\\space)"),
        ("''a", "(quote a)"),
        ("#t ; comment\n#| another |# #f", "#f"),
        ("\"naïve\"", "\"naïve\""),
        ("-12", "-12"),
        ("'-", "-"),
        ("4611686018427387903", "4611686018427387903"),
        ("-4611686018427387904", "-4611686018427387904"),
        ("4611686018427387904", "error: line 1: the integer 4611686018427387904 needs more than 63 bits"),
        ("1.5", "error: line 1: 1.5: only integers are supported"),
        ("(+ 1\n 2", "error: line 2: the parenthesis of line 1 is never closed"),
        (")", "error: line 1: a closing parenthesis has no opening one"),
        ("'(1 . )", "error: line 1: nothing follows a dot"),
        ("'( . 1)", "error: line 1: a dot is out of place"),
        ("'(1 . 2 3)", "error: line 1: more than one datum follows a dot"),
        ("\"abc", "error: line 1: a string has no end"),
        ("'", "error: line 1: nothing follows the last quote mark"),
        ("#\\nonsense", "error: line 1: unknown character #\\nonsense"),
        ("#| abc", "error: line 1: a #| comment has no end"),
    ]);
}

#[test]
fn integers() {
    check(&[
        ("(list (+) (+ 1) (+ 1 2) (+ 1 2 3 4) (- 5) (- 5 1 1) (* 2 3 4))", "(0 1 3 10 -5 3 24)"),
        ("(list (quotient -7 2) (remainder -7 2) (modulo -7 2) (modulo 7 -2))", "(-3 -1 1 -1)"),
        ("(list (= 1 1 1) (< 1 2 3) (< 1 3 2) (> 2 1) (<= 1 1) (>= 1 2))", "(#t #t #f #t #t #f)"),
        ("(list (abs -3) (min 3 1 2) (max 3 1 2) (gcd 12 18) (expt 2 10) (expt -1 9999999999))", "(3 1 3 6 1024 -1)"),
        ("(list (zero? 0) (positive? -1) (negative? -1) (even? 4) (odd? 4))", "(#t #f #t #t #f)"),
        ("(+ 4611686018427387903 1)", "error: +: the result needs more than 63 bits"),
        ("(- -4611686018427387904 1)", "error: +: the result needs more than 63 bits"),
        ("(let ((n 3037000500)) (* n n))", "error: *: the result needs more than 63 bits"),
        ("(apply * '(3037000500 3037000500))", "error: *: the result needs more than 63 bits"),
        ("(quotient -4611686018427387904 -1)", "error: quotient: the result needs more than 63 bits"),
        ("(expt 3 99999999999)", "error: expt: the result needs more than 63 bits"),
        ("(quotient 1 0)", "error: quotient: division by zero"),
        ("(+ 'a 1)", "error: +: expected an integer, got a"),
        ("(if (< 1 \"2\") 1 2)", "error: comparison: expected an integer, got \"2\""),
        ("(number->string 255 16)", "\"ff\""),
        ("(list (string->number \"-12\") (string->number \"x\"))", "(-12 #f)"),
    ]);
}

#[test]
fn comparisons_in_every_shape() {
    // Registers and constants on either side, as values and as conditions, both ways round.
    for (operator, holds) in [
        ("<", [true, false, false]),
        (">", [false, false, true]),
        ("<=", [true, true, false]),
        (">=", [false, true, true]),
        ("=", [false, true, false]),
    ] {
        for (left, right, truth) in [(1, 2, holds[0]), (2, 2, holds[1]), (3, 2, holds[2])] {
            let expected = if truth { "(#t yes yes yes no no)" } else { "(#f no no no yes yes)" };
            let program = format!(
                "(let ((a {left}) (b {right}))
                   (list ({operator} a b)
                         (if ({operator} a b) 'yes 'no)
                         (if ({operator} a {right}) 'yes 'no)
                         (if ({operator} {left} b) 'yes 'no)
                         (if (not ({operator} a b)) 'yes 'no)
                         (if (not ({operator} a {right})) 'yes 'no)))"
            );
            assert_eq!(result(&program), expected, "{program}");
        }
    }
}

#[test]
fn conditions() {
    check(&[
        ("(list (if #f 1 2) (if '() 1 2) (if 0 1 2))", "(2 1 1)"),
        ("(if #f 1)", "#<unspecified>"),
        ("(list (and) (and 1) (and 1 2) (and #f 2) (or) (or #f) (or #f 3) (or 1 (car '())))", "(#t 1 2 #f #f #f 3 1)"),
        ("(if (and 1 (or #f (not #f))) 'yes 'no)", "yes"),
        ("(if (or (and 1 #f) (not #t)) 'yes 'no)", "no"),
        ("(if (not (or #f (and 1 2))) 'yes 'no)", "no"),
        ("(cond (#f 1) ((assq 'b '((a 1) (b 2))) => cadr) (else 3))", "2"),
        ("(cond (#f 1) (7))", "7"),
        ("(cond (#f 1))", "#<unspecified>"),
        ("(cond (else 1) (#t 2))", "error: else must be the last clause: (cond (else 1) (#t 2))"),
        ("(map (lambda (n) (case n ((1 2) 'low) ((3) 'three) (else 'high))) '(1 2 3 4))", "(low low three high)"),
        ("(case 'x ((1) 1))", "#<unspecified>"),
        ("(list (when #t 1 2) (unless #f 3))", "(2 3)"),
        ("(let ((x 5)) (let ((y (or (null? x) (pair? x) x))) (list x y)))", "(5 5)"),
        ("(if)", "error: this special form is malformed: (if)"),
    ]);
}

#[test]
fn variables_and_procedures() {
    check(&[
        ("((lambda (x . rest) (list x rest)) 1 2 3)", "(1 (2 3))"),
        ("((lambda all all))", "()"),
        ("(let ((x 1)) (let ((x 2) (y x)) (list x y)))", "(2 1)"),
        ("(let* ((x 1) (y (+ x 1))) (* x y))", "2"),
        ("(let () 5)", "5"),
        ("(letrec ((f (lambda (n) (if (= n 0) 'done (f (- n 1)))))) (f 100))", "done"),
        (
            "(define (counter) (let ((n 0)) (lambda () (set! n (+ n 1)) n))) (define a (counter)) (define b (counter)) (a) (a) (b) (list (a) (b))",
            "(3 2)",
        ),
        ("(define (f a b) (set! a (+ a b)) (list a b)) (f 1 2)", "(3 2)"),
        ("(define (f) (define x 1) (set! x (+ x 1)) (define y (* x 10)) (list x y)) (f)", "(2 20)"),
        (
            "(define (f x) (define (even? n) (or (= n 0) (odd? (- n 1)))) (define (odd? n) (and (> n 0) (even? (- n 1)))) (list (even? x) (odd? x))) (f 7)",
            "(#f #t)",
        ),
        ("(define (f) (define (g) (set! g 5) g) (g)) (f)", "5"),
        ("(define (f) (define (g) (h)) (define k 3) (define (h) k) (g)) (f)", "3"),
        ("(define (f) (define (g) k) (define h (g)) (define k 3) h) (f)", "error: undefined variable: k"),
        ("(letrec ((a (lambda () b)) (b 2)) (a))", "2"),
        ("(let ((x 1)) (define y 2) (+ x y))", "3"),
        ("(let ((if list)) (if 1 2 3))", "(1 2 3)"),
        ("(define (+ a b) (list a b)) (+ 1 2)", "(1 2)"),
        ("(define old car) (set! car cdr) (list (car '(1 2)) (old '(1 2)))", "((2) 1)"),
        ("(f 1)", "error: undefined variable: f"),
        ("(set! nowhere 1)", "error: undefined variable: nowhere"),
        ("((lambda (x) x))", "error: lambda: expected 1 argument, got 0"),
        ("(define (f x . y) x) (f)", "error: f: expected at least 1 argument, got 0"),
        ("(car '(1) '(2))", "error: car: expected 1 argument, got 2"),
        ("(1 2)", "error: not a procedure: 1"),
        ("(lambda (x x) x)", "error: two parameters have the same name: (lambda (x x) x)"),
        ("(let ((x)) x)", "error: a binding must be a symbol and a value: (let ((x)) x)"),
        ("(lambda (x))", "error: a body must not be empty: (lambda (x))"),
        (
            "(let ((x 1)) (if x (define y 2)))",
            "error: a definition must be at the top level or at the start of a body: (define y 2)",
        ),
        ("(+ 1 . 2)", "error: an expression must be a proper list: (+ 1 . 2)"),
        ("()", "error: an empty list is no expression; quote it: ()"),
    ]);
}

#[test]
fn loops() {
    check(&[
        ("(let loop ((i 0) (sum 0)) (if (= i 10) sum (loop (+ i 1) (+ sum i))))", "45"),
        ("(let loop ((a 1) (b 2) (n 3)) (if (= n 0) (list a b) (loop b a (- n 1))))", "(2 1)"),
        ("(let loop ((a 1) (b 2)) (if (> a 5) (list a b) (loop (+ a b) a)))", "(7 4)"),
        ("(do ((i 0 (+ i 1)) (l '() (cons i l))) ((= i 3) l))", "(2 1 0)"),
        ("(do ((i 0 (+ i 1))) ((= i 3)))", "#<unspecified>"),
        ("(let loop ((i 3)) (if (= i 0) '() (cons i (loop (- i 1)))))", "(3 2 1)"),
        ("(let loop ((i 0)) (if (< i 3) (loop (+ i 1)) loop))", "#<procedure loop>"),
        (
            "(map (lambda (f) (f)) (let loop ((i 0) (l '())) (if (= i 3) l (loop (+ i 1) (cons (lambda () i) l)))))",
            "(2 1 0)",
        ),
        (
            "(map (lambda (f) (f)) (let loop ((i 0) (l '())) (if (= i 3) l (loop (+ i 1) (cons (lambda () (set! i (+ i 10)) i) l)))))",
            "(12 11 10)",
        ),
        (
            "(let outer ((i 0) (n 0)) (if (= i 3) n (let inner ((j 0) (n n)) (if (= j 4) (outer (+ i 1) n) (inner (+ j 1) (+ n 1))))))",
            "12",
        ),
        (
            "(let outer ((i 0)) (if (= i 2) 'end (let ((x (let inner ((j 0)) (if (= j 2) j (inner (+ j 1)))))) (outer (+ i 1)))))",
            "end",
        ),
        ("(define (f n) (+ 1 (let loop ((i n)) (if (= i 0) (car '(41)) (loop (- i 1)))))) (f 5)", "42"),
        ("(let loop ((i 0)) (if (= i 2) i (loop)))", "error: loop: expected 1 argument, got 0"),
        ("(let loop ((i 0)) (cond ((= i 5) 'five) ((even? i) (loop (+ i 1))) (else (loop (+ i 1)))))", "five"),
        ("(let ((v (make-vector 3 0))) (do ((i 0 (+ i 1))) ((= i 3) v) (vector-set! v i (list i))))", "#((0) (1) (2))"),
    ]);
}

#[test]
fn lists_and_vectors() {
    check(&[
        ("(list (length '(1 2 3)) (append '(1) '(2 3) '() '(4 . 5)) (reverse '(1 2 3)))", "(3 (1 2 3 4 . 5) (3 2 1))"),
        ("(list (cadr '(1 2 3)) (cddr '(1 2 3)) (list-tail '(1 2 3) 1) (list-ref '(1 2 3) 2))", "(2 (3) (2 3) 3)"),
        ("(list (memq 'c '(a b c d)) (member '(1) '((0) (1) (2))) (memv 9 '(1 2)))", "((c d) ((1) (2)) #f)"),
        ("(list (assq 'b '((a 1) (b 2))) (assoc \"b\" '((\"a\" 1) (\"b\" 2))))", "((b 2) (\"b\" 2))"),
        (
            "(list (eq? 'a 'a) (eqv? 5 5) (eq? \"a\" \"a\") (equal? \"a\" \"a\") (equal? '(1 #(2)) '(1 #(2))) (equal? '(1) '(1 2)))",
            "(#t #t #f #t #t #f)",
        ),
        ("(define l (list 1 2)) (set-car! l 5) (set-cdr! (cdr l) '(6)) l", "(5 2 6)"),
        (
            "(list (map + '(1 2) '(10 20)) (map car '((a) (b))) (filter odd? '(1 2 3)) (fold-left - 10 '(1 2)) (fold-right cons '() '(1 2)))",
            "((11 22) (a b) (1 3) 7 (1 2))",
        ),
        (
            "(list (sort '(3 1 2) <) (sort '() <) (sort '((1 a) (0 b) (1 c) (0 d)) (lambda (x y) (< (car x) (car y)))))",
            "((1 2 3) () ((0 b) (0 d) (1 a) (1 c)))",
        ),
        ("(list (apply + '(1 2)) (apply + 1 2 '(3 4)) (apply apply (list + '(5 6))) (apply list '()))", "(3 10 11 ())"),
        (
            "(let ((v (vector 1 2 3))) (vector-set! v 0 'x) (list v (vector-ref v 2) (vector-length v) (vector->list v) (list->vector '(a))))",
            "(#(x 2 3) 3 3 (x 2 3) #(a))",
        ),
        ("(vector-map (lambda (n) (* n n)) (vector 1 2 3))", "#(1 4 9)"),
        ("(car '())", "error: car: expected a pair, got ()"),
        ("(caddr '(1 2))", "error: caddr: expected a pair, got ()"),
        ("(length '(1 . 2))", "error: length: expected a list, got (1 . 2)"),
        (
            "(define l (list 1 2 3)) (set-cdr! (cddr l) l) (length l)",
            "error: length: expected a list, got a circular one",
        ),
        ("(vector-ref (vector 1 2) 2)", "error: vector-ref: index 2 is outside a vector of length 2"),
        ("(vector-ref (vector 1 2) -1)", "error: vector-ref: index -1 is outside a vector of length 2"),
        ("(vector-set! '(1) 0 1)", "error: vector-set!: expected a vector, got (1)"),
        ("(make-vector 99999999999)", "error: out of memory for a vector of length 99999999999"),
        ("(map 5 '(1))", "error: not a procedure: 5"),
        ("(apply +)", "error: apply: expected at least 2 arguments, got 1"),
        ("(apply + 1)", "error: apply: expected a list, got 1"),
        ("(apply + '(1 . 2))", "error: apply: expected a list, got 2"),
    ]);
}

#[test]
fn strings_characters_and_symbols() {
    check(&[
        ("(list (string-length \"naïve\") (string-ref \"naïve\" 2) (substring \"naïve\" 1 3))", "(5 #\\ï \"aï\")"),
        ("(string-append \"a\" \"\" \"bc\")", "\"abc\""),
        ("(list (string=? \"a\" \"a\") (string<? \"a\" \"b\"))", "(#t #t)"),
        ("(list (string->symbol \"x y\") (symbol->string 'abc))", "(x y \"abc\")"),
        ("(list->string (reverse (string->list \"abc\")))", "\"cba\""),
        ("(list (char->integer #\\A) (integer->char 955) (char-upcase #\\ä))", "(65 #\\λ #\\Ä)"),
        ("(string-ref \"abc\" 3)", "error: string-ref: index 3 is outside the string"),
        ("(substring \"abc\" 2 1)", "error: substring: 2 to 1 is outside a string of length 3"),
        ("(integer->char 55296)", "error: integer->char: expected a code point, got 55296"),
    ]);
}

#[test]
fn quasi_quotation() {
    check(&[
        ("`(1 ,(+ 1 1) ,@(list 3 4) . 5)", "(1 2 3 4 . 5)"),
        ("`(a . ,(+ 1 2))", "(a . 3)"),
        ("`x", "x"),
        ("`,(+ 1 2)", "3"),
        ("`(1 `(2 ,(3 ,(+ 1 3))))", "(1 (quasiquote (2 (unquote (3 4)))))"),
        ("(let ((l '(b c))) `(a ,@l ,@l))", "(a b c b c)"),
    ]);
}

#[test]
fn errors_and_exit() {
    check(&[
        ("(error \"bad thing:\" 5 \"x\" 'y)", "error: bad thing: 5 \"x\" y"),
        ("(exit 7)", "exit 7"),
        ("(exit)", "exit 0"),
        ("(exit 256)", "error: exit: expected a code from 0 to 255, got 256"),
        ("(define x 1) (car x) (set! x 2)", "error: car: expected a pair, got 1"),
    ]);
}

#[test]
fn output_comes_before_the_error_that_follows_it() {
    let sink = Sink::default();
    let mut machine = Machine::new(Box::new(sink.clone()));
    let outcome =
        result_on(&mut machine, "(display \"a\") (write \"b\") (newline) (display '(1 . 2)) (car 1) (display 3)");
    assert_eq!(outcome, "error: car: expected a pair, got 1");
    assert_eq!(sink.text(), "a\"b\"\n(1 . 2)");
}

#[test]
fn a_machine_goes_on_after_an_error() {
    let mut machine = Machine::new(Box::new(Sink::default()));
    assert_eq!(result_on(&mut machine, "(define x 5) (car x)"), "error: car: expected a pair, got 5");
    assert_eq!(result_on(&mut machine, "(+ x 1)"), "6");
}
