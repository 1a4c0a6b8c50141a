//! Programs from seeds: recursive procedures, loops, closures that keep state, procedures that take procedures, lists and vectors that
//! become garbage, now and then a wrong type.
//!
//! Every program ends: each procedure, loop body and closure takes a step of a budget, whose end is an error like any other. Expressions
//! are generated for a type, so that most programs get far; one in four hundred is of any type, so that some do not.

use std::fmt::Write;

/// A small generator of numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What an expression shall give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Type {
    Integer,
    Boolean,
    List,
    Vector,
    /// A procedure of one integer that returns one.
    Procedure,
}

const TYPES: [Type; 5] = [Type::Integer, Type::Boolean, Type::List, Type::Vector, Type::Procedure];

struct Generator {
    random: Random,
    /// Variables in scope.
    scope: Vec<(String, Type)>,
    names: usize,
    /// How many procedures `(p0 n a f l)` … there are.
    procedures: usize,
    /// Whether the variable `n` is in scope, so that calls of procedures end the recursion.
    in_procedure: bool,
}

/// The program of this seed.
pub fn program(seed: u64) -> String {
    let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut generator = Generator { random, scope: Vec::new(), names: 0, procedures: 0, in_procedure: false };
    generator.program()
}

impl Generator {
    fn program(&mut self) -> String {
        let mut text = String::from(
            "(define steps 0)\n\
             (define (tick) (set! steps (+ steps 1)) (if (> steps 4000) (error \"out of steps at\" g0 g1)))\n\
             (define g0 1)\n(define g1 '(3 4))\n",
        );
        self.scope.push(("g0".into(), Type::Integer));
        self.scope.push(("g1".into(), Type::List));
        self.procedures = 1 + self.random.below(4);
        for index in 0..self.procedures {
            let mark = self.scope.len();
            for (name, ty) in [("n", Type::Integer), ("a", Type::Integer), ("f", Type::Procedure), ("l", Type::List)] {
                self.scope.push((name.into(), ty));
            }
            self.in_procedure = true;
            let end = self.expression(Type::Integer, 1);
            let depth = 3 + self.random.below(3);
            let body = self.expression(Type::Integer, depth);
            self.in_procedure = false;
            self.scope.truncate(mark);
            let _ = writeln!(text, "(define (p{index} n a f l) (tick) (if (< n 1) {end} {body}))");
        }
        for _ in 0..2 + self.random.below(3) {
            let ty = TYPES[self.random.below(3)];
            let shown = self.expression(ty, 4);
            let _ = writeln!(text, "(display {shown}) (newline)");
        }
        for index in 0..self.procedures {
            let (a, f, l) = (self.integer(), self.expression(Type::Procedure, 2), self.expression(Type::List, 1));
            let depth = 4 + self.random.below(5);
            let _ = writeln!(text, "(write (p{index} {depth} {a} {f} {l})) (newline)");
        }
        text.push_str("(list g0 g1 steps)\n");
        text
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    fn integer(&mut self) -> String {
        match self.random.below(50) {
            0 => "4611686018427387903".into(),
            1 => "-4611686018427387904".into(),
            2 => (self.random.next() >> 2).to_string(),
            3..6 => (self.random.next() >> 32).to_string(),
            6..10 => format!("-{}", self.random.below(1000)),
            _ => self.random.below(10).to_string(),
        }
    }

    fn variable(&mut self, ty: Type) -> Option<String> {
        let found: Vec<&String> = self.scope.iter().filter(|entry| entry.1 == ty).map(|entry| &entry.0).collect();
        if found.is_empty() { None } else { Some(found[self.random.below(found.len())].clone()) }
    }

    fn expression(&mut self, ty: Type, depth: usize) -> String {
        let ty = if self.random.below(400) == 0 { TYPES[self.random.below(TYPES.len())] } else { ty };
        if depth == 0 || self.random.chance(12) {
            return self.atom(ty);
        }
        if self.random.chance(35) {
            return self.any(ty, depth - 1);
        }
        match ty {
            Type::Integer => self.integer_expression(depth - 1),
            Type::Boolean => self.boolean_expression(depth - 1),
            Type::List => self.list_expression(depth - 1),
            Type::Vector => {
                let size = self.random.below(40);
                let fill = self.expression(Type::Integer, depth - 1);
                format!("(make-vector {size} {fill})")
            }
            Type::Procedure => self.procedure_expression(depth - 1),
        }
    }

    fn atom(&mut self, ty: Type) -> String {
        if self.random.chance(70)
            && let Some(name) = self.variable(ty)
        {
            return name;
        }
        match ty {
            Type::Integer => self.integer(),
            Type::Boolean => ["#t", "#f"][self.random.below(2)].into(),
            Type::List => ["'()", "'(1 2 3)", "'(5)", "(list 4 g0)"][self.random.below(4)].into(),
            Type::Vector => "(vector 1 2 3)".into(),
            Type::Procedure => ["(lambda (x) (+ x 1))", "abs", "(lambda (x) (* x x))"][self.random.below(3)].into(),
        }
    }

    /// Forms whose value is that of a part.
    fn any(&mut self, ty: Type, depth: usize) -> String {
        match self.random.below(9) {
            0 => {
                let test = self.expression(Type::Boolean, depth);
                format!("(if {test} {} {})", self.expression(ty, depth), self.expression(ty, depth))
            }
            1 => {
                let (one, two) = (self.expression(Type::Boolean, depth), self.expression(Type::Boolean, depth));
                let parts = [self.expression(ty, depth), self.expression(ty, depth), self.expression(ty, depth)];
                format!("(cond ({one} {}) ({two} {}) (else {}))", parts[0], parts[1], parts[2])
            }
            2 | 3 => self.binding(ty, depth),
            4 => {
                let effect = self.effect(depth);
                format!("(begin {effect} {})", self.expression(ty, depth))
            }
            5 => self.repeat(ty, depth),
            6 => self.mutual(ty, depth),
            7 => {
                let key = self.expression(Type::Integer, depth);
                let parts = [self.expression(ty, depth), self.expression(ty, depth)];
                format!("(case {key} ((0 1 2) {}) (else {}))", parts[0], parts[1])
            }
            _ => {
                let test = self.expression(Type::Boolean, depth);
                format!("(or (and {test} {}) {})", self.expression(ty, depth), self.expression(ty, depth))
            }
        }
    }

    fn binding(&mut self, ty: Type, depth: usize) -> String {
        let (name, bound) = (self.name(), TYPES[self.random.below(TYPES.len())]);
        let value = self.expression(bound, depth);
        self.scope.push((name.clone(), bound));
        let other = self.name();
        let captured = self.expression(Type::Procedure, depth);
        self.scope.push((other.clone(), Type::Procedure));
        let effect = if self.random.chance(40) { self.effect(depth) } else { String::new() };
        let body = self.expression(ty, depth);
        self.scope.truncate(self.scope.len() - 2);
        let form = ["let*", "letrec*", "let*"][self.random.below(3)];
        format!("({form} (({name} {value}) ({other} {captured})) {effect} {body})")
    }

    /// A loop, as a named `let` whose calls are all in tail position, one whose calls are not, or a `do`.
    fn repeat(&mut self, ty: Type, depth: usize) -> String {
        let (label, counter, state) = (self.name(), self.name(), self.name());
        let rounds = self.random.below(12);
        let start = self.expression(ty, depth);
        self.scope.push((counter.clone(), Type::Integer));
        self.scope.push((state.clone(), ty));
        let next = self.expression(ty, depth);
        let effect = self.effect(depth.min(1));
        self.scope.truncate(self.scope.len() - 2);
        match self.random.below(3) {
            0 => format!(
                "(do (({counter} 0 (+ {counter} 1)) ({state} {start} {next})) ((>= {counter} {rounds}) {state}) (tick) {effect})"
            ),
            1 => format!(
                "(let {label} (({counter} {rounds}) ({state} {start})) (tick) \
                 (if (zero? {counter}) {state} (begin {effect} ({label} (- {counter} 1) {next}))))"
            ),
            _ => format!(
                "(let {label} (({counter} {rounds}) ({state} {start})) (tick) \
                 (if (<= {counter} 0) {state} (let ((r ({label} (- {counter} 1) {next}))) {effect} r)))"
            ),
        }
    }

    /// Two local procedures that call each other in tail position, and perhaps a third that does not.
    fn mutual(&mut self, ty: Type, depth: usize) -> String {
        let (one, two, count, state) = (self.name(), self.name(), self.name(), self.name());
        let start = self.expression(ty, depth);
        let rounds = self.random.below(15);
        self.scope.push((count.clone(), Type::Integer));
        self.scope.push((state.clone(), ty));
        let (next, end) = (self.expression(ty, depth), self.expression(ty, depth));
        self.scope.truncate(self.scope.len() - 2);
        format!(
            "(letrec (({one} (lambda ({count} {state}) (tick) (if (< {count} 1) {end} ({two} (- {count} 1) {next})))) \
             ({two} (lambda ({count} {state}) (if (= {count} 0) {state} ({one} (- {count} 1) {state}))))) \
             ({one} {rounds} {start}))"
        )
    }

    fn effect(&mut self, depth: usize) -> String {
        match self.random.below(6) {
            0 => match self.variable(Type::Integer) {
                Some(name) if name != "n" => format!("(set! {name} {})", self.expression(Type::Integer, depth)),
                _ => "(tick)".into(),
            },
            1 => match self.variable(Type::List) {
                Some(name) => format!("(set! {name} {})", self.expression(Type::List, depth)),
                None => "(tick)".into(),
            },
            2 => {
                let vector = self.expression(Type::Vector, depth);
                let index = self.random.below(3);
                format!("(let ((w {vector})) (if (> (vector-length w) 3) (vector-set! w {index} g0)))")
            }
            3 => "(set! g1 (cons g0 '()))".into(),
            4 => match self.variable(Type::Procedure) {
                Some(name) if name.starts_with('v') => {
                    format!("(set! {name} {})", self.expression(Type::Procedure, depth))
                }
                _ => "(tick)".into(),
            },
            _ => format!("(make-vector {} g1)", self.random.below(60)),
        }
    }

    fn integer_expression(&mut self, depth: usize) -> String {
        match self.random.below(16) {
            0..=3 => {
                let operator = ["+", "-", "*", "+"][self.random.below(4)];
                let left = self.expression(Type::Integer, depth);
                format!("({operator} {left} {})", self.expression(Type::Integer, depth))
            }
            4 => {
                let operator = ["quotient", "remainder", "modulo"][self.random.below(3)];
                let left = self.expression(Type::Integer, depth);
                let right = if self.random.chance(60) {
                    (1 + self.random.below(9)).to_string()
                } else {
                    self.expression(Type::Integer, depth)
                };
                format!("({operator} {left} {right})")
            }
            // Numbers stay small, so that most arithmetic succeeds.
            5 => format!("(modulo {} 1000)", self.expression(Type::Integer, depth)),
            6 => format!("(car (cons {} 1))", self.expression(Type::Integer, depth)),
            7 => format!("(length {})", self.expression(Type::List, depth)),
            8 => {
                let vector = self.expression(Type::Vector, depth);
                let index = self.expression(Type::Integer, depth.min(1));
                format!(
                    "(let ((w {vector})) (if (= 0 (vector-length w)) 0 (vector-ref w (modulo {index} (vector-length w)))))"
                )
            }
            9 | 10 => {
                let procedure = self.expression(Type::Procedure, depth);
                format!("({procedure} {})", self.expression(Type::Integer, depth))
            }
            11 if self.in_procedure => self.recursion(depth),
            12 if self.in_procedure => self.recursion(depth),
            13 => format!("(apply + {})", self.expression(Type::List, depth)),
            14 => {
                let list = self.expression(Type::List, depth);
                let start = self.expression(Type::Integer, depth);
                format!("(fold-left (lambda (x y) (tick) (modulo (+ (* 3 x) y) 10007)) {start} {list})")
            }
            _ => {
                let list = self.expression(Type::List, depth);
                format!("(let ((w {list})) (if (pair? w) (car w) 7))")
            }
        }
    }

    fn recursion(&mut self, depth: usize) -> String {
        let callee = self.random.below(self.procedures);
        let (a, f, l) = (
            self.expression(Type::Integer, depth),
            self.expression(Type::Procedure, depth),
            self.expression(Type::List, depth),
        );
        format!("(p{callee} (- n {}) {a} {f} {l})", 1 + self.random.below(2))
    }

    fn boolean_expression(&mut self, depth: usize) -> String {
        match self.random.below(7) {
            0..=2 => {
                let operator = ["<", ">", "<=", ">=", "="][self.random.below(5)];
                let left = self.expression(Type::Integer, depth);
                format!("({operator} {left} {})", self.expression(Type::Integer, depth))
            }
            3 => format!("(null? {})", self.expression(Type::List, depth)),
            4 => format!("(not {})", self.expression(Type::Boolean, depth)),
            5 => {
                let left = self.expression(Type::List, depth);
                format!("(eq? {left} {})", self.expression(Type::List, depth))
            }
            _ => format!("(even? {})", self.expression(Type::Integer, depth)),
        }
    }

    fn list_expression(&mut self, depth: usize) -> String {
        match self.random.below(7) {
            0 | 1 => {
                let first = self.expression(Type::Integer, depth);
                format!("(cons {first} {})", self.expression(Type::List, depth))
            }
            2 => {
                let procedure = self.expression(Type::Procedure, depth);
                format!("(map {procedure} {})", self.expression(Type::List, depth))
            }
            3 => format!("(let ((w {})) (if (pair? w) (cdr w) w))", self.expression(Type::List, depth)),
            4 => format!("(reverse {})", self.expression(Type::List, depth)),
            5 => {
                let name = self.name();
                self.scope.push((name.clone(), Type::Integer));
                let test = self.expression(Type::Boolean, depth);
                self.scope.pop();
                format!("(filter (lambda ({name}) {test}) {})", self.expression(Type::List, depth))
            }
            _ => format!("(iota {} {})", self.random.below(6), self.random.below(10)),
        }
    }

    fn procedure_expression(&mut self, depth: usize) -> String {
        let name = self.name();
        match self.random.below(4) {
            0 | 1 => {
                self.scope.push((name.clone(), Type::Integer));
                let body = self.expression(Type::Integer, depth);
                self.scope.pop();
                format!("(lambda ({name}) (tick) {body})")
            }
            2 => {
                // A closure with state of its own.
                let state = self.name();
                let start = self.expression(Type::Integer, depth);
                self.scope.push((state.clone(), Type::Integer));
                self.scope.push((name.clone(), Type::Integer));
                let next = self.expression(Type::Integer, depth);
                self.scope.truncate(self.scope.len() - 2);
                format!(
                    "(let (({state} {start})) (lambda ({name}) (tick) (set! {state} (modulo {next} 5003)) {state}))"
                )
            }
            _ => {
                let inner = self.expression(Type::Procedure, depth);
                format!("(let ((h {inner})) (lambda ({name} . more) (h (modulo {name} 99))))")
            }
        }
    }
}
