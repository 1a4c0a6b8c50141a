//! The seam for a JIT: machine code in place of a procedure's instructions.

mod common;

use common::{Sink, result_on};
use scheme::proto::Entry;
use scheme::{Error, Machine, Value};

/// `(lambda (n) (* 2 n))`, as compiled code.
unsafe extern "C" fn double(_: *mut Machine, frame: *mut Value) -> Value {
    // SAFETY: the machine passes a frame with one argument at word 2.
    let argument = unsafe { frame.add(2).read() };
    argument.as_integer().and_then(|number| Value::integer(number * 2)).unwrap_or(Value::FALSE)
}

/// `(lambda (f n) (f n))`, as compiled code that ends in a tail call.
unsafe extern "C" fn pass_on(machine: *mut Machine, frame: *mut Value) -> Value {
    // SAFETY: the machine passes itself and a frame with two arguments.
    unsafe {
        frame.write(frame.add(2).read());
        frame.add(2).write(frame.add(3).read());
        (*machine).tail_arguments = 1;
    }
    Value::TAIL_CALL
}

/// `(lambda () (error "compiled"))`, as compiled code.
unsafe extern "C" fn fail(machine: *mut Machine, _: *mut Value) -> Value {
    // SAFETY: the machine passes itself.
    unsafe { (*machine).pending = Some(Error::new("compiled")) };
    Value::FAILED
}

fn replace(machine: &mut Machine, name: &str, entry: Entry) {
    let procedure = machine.global(name).expect("the program defines it");
    let proto = machine.proto_of(procedure).expect("it is a closure");
    proto.set_entry(entry);
}

#[test]
fn compiled_code_replaces_a_procedure() {
    let mut machine = Machine::new(Box::new(Sink::default()));
    let program = "(define (f n) 'interpreted) (define (g f n) 'interpreted) (define (h) 'interpreted)";
    machine.run_program(program).expect("these are definitions");
    replace(&mut machine, "f", double);
    replace(&mut machine, "g", pass_on);
    replace(&mut machine, "h", fail);
    // Calls, tail calls, calls of a value, and calls through `apply` and `map`.
    assert_eq!(
        result_on(&mut machine, "(list (f 21) ((lambda (n) (f n)) 4) (map f '(1 2)) (apply f '(5)))"),
        "(42 8 (2 4) 10)"
    );
    // A tail call out of compiled code: to compiled code, to instructions, to a primitive.
    assert_eq!(result_on(&mut machine, "(list (g f 7) (g (lambda (n) (+ n 1)) 7) (g list 7))"), "(14 8 (7))");
    // A chain of such tail calls needs no stack.
    let chain = "(define (loop n) (if (= n 0) 'done (g loop (- n 1)))) (loop 1000000)";
    assert_eq!(result_on(&mut machine, chain), "done");
    assert_eq!(result_on(&mut machine, "(+ 1 (h))"), "error: compiled");
    assert_eq!(result_on(&mut machine, "(f)"), "error: f: expected 1 argument, got 0");
}
