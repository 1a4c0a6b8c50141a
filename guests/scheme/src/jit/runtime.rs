//! What compiled code calls. In WebAssembly a function's address is its place in the table, so generated code calls these through
//! the table by constant indices.
//!
//! Native stack: compiled procedures that call each other use the engine's stack, whose size a guest does not know. So
//! [`Machine::native_room`] is how many words of the machine's stack they may take together, and whoever comes to its end is
//! interpreted, which needs no native stack. While compiled code runs, `native_end` is where its room ends, and
//! the limit that it compares with, [`Heap::stack_limit`], is not beyond it.
//!
//! Every function here takes the machine from a raw pointer that was derived from the borrow of whoever entered the
//! compiled code, which does not use it meanwhile.
//!
//! [`Heap::stack_limit`]: crate::heap::Heap::stack_limit

use super::encode::Type;
use crate::error::Error;
use crate::machine::Machine;
use crate::object::Pair;
use crate::primitives;
use crate::proto::Proto;
use crate::value::Value;

/// Words of the machine's stack that compiled procedures may use, each of which costs a few times as much of the engine's.
pub(crate) const NATIVE_ROOM: usize = 16 << 10;
/// Words that a change from compiled code to the interpreter takes from the room.
const NESTING: usize = 64;

/// A function that compiled code calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Helper {
    Enter,
    Prepare,
    Call,
    Finish,
    Primitive,
    Collect,
    Undefined,
    Closure,
    Box,
    Cons,
    Binary,
}

impl Helper {
    /// Its parameters; all return a value.
    pub fn params(self) -> &'static [Type] {
        use Type::{I32, I64};
        match self {
            Helper::Call => &[I32, I32, I32, I32],
            Helper::Enter | Helper::Prepare | Helper::Primitive => &[I32, I32, I32],
            Helper::Finish => &[I32, I32, I64],
            Helper::Collect | Helper::Undefined | Helper::Closure => &[I32, I32],
            Helper::Box => &[I32, I64],
            Helper::Cons => &[I32, I64, I64],
            Helper::Binary => &[I32, I32, I64, I64],
        }
    }

    /// Its place in the table.
    pub fn index(self) -> u32 {
        super::batch::address(match self {
            Helper::Enter => enter as *const (),
            Helper::Prepare => prepare as *const (),
            Helper::Call => call as *const (),
            Helper::Finish => finish as *const (),
            Helper::Primitive => primitive as *const (),
            Helper::Collect => collect as *const (),
            Helper::Undefined => undefined as *const (),
            Helper::Closure => closure as *const (),
            Helper::Box => boxed as *const (),
            Helper::Cons => cons as *const (),
            Helper::Binary => binary as *const (),
        })
    }
}

macro_rules! slow {
    ($($name:ident,)*) => {
        /// An operation on two values in its general form.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u32)]
        pub(super) enum Slow { $($name,)* }

        impl Slow {
            fn from_number(number: u32) -> Option<Slow> {
                [$(Slow::$name,)*].into_iter().find(|slow| *slow as u32 == number)
            }
        }
    };
}

slow! {
    Add,
    Subtract,
    Multiply,
    Quotient,
    Remainder,
    Modulo,
    Compare,
    Equal,
    Car,
    Cdr,
    VectorRef,
    VectorSet,
}

/// The value, or [`Value::FAILED`] with the error left in the machine.
fn result(machine: &mut Machine, result: Result<Value, Error>) -> Value {
    result.unwrap_or_else(|error| {
        machine.pending = Some(error);
        Value::FAILED
    })
}

/// The slow path of entering the compiled procedure whose frame, stored to memory, is at `frame`: collects and makes room on the stack, then
/// enters it again; or interprets it when there is no native stack left.
unsafe extern "C" fn enter(machine: *mut Machine, proto: *const Proto, frame: *mut Value) -> Value {
    // SAFETY: as for the functions called; a procedure that comes here has an entry.
    unsafe {
        match (prepare(machine, proto, frame), (*proto).entry.get()) {
            (Value::UNDEFINED, Some(entry)) => entry(machine, frame),
            (result, _) => result,
        }
    }
}

/// Collects and makes room on the stack for the procedure whose frame is at `frame`, and returns [`Value::UNDEFINED`]; or
/// interprets it when there is no native stack left, and returns its result.
unsafe extern "C" fn prepare(machine: *mut Machine, proto: *const Proto, frame: *mut Value) -> Value {
    // SAFETY: see the module.
    let (machine, proto) = unsafe { (&mut *machine, &*proto) };
    // SAFETY: compiled code has stored the frame, and everything below it is valid.
    let entered = unsafe { machine.prepare(frame, proto.params, proto) };
    if let Err(error) = entered {
        return result(machine, Err(error));
    }
    if frame.wrapping_add(proto.reserved(proto.params)) > machine.native_end {
        // SAFETY: as above.
        return unsafe { interpret(machine, frame, proto.params) };
    }
    Value::UNDEFINED
}

/// The symbol that says that a callee does not come from a global.
pub(super) const NO_GLOBAL: u32 = u32::MAX;

/// Calls whatever is at `frame`, stored to memory with `count` arguments. It was the value of `global`, which may be undefined.
unsafe extern "C" fn call(machine: *mut Machine, frame: *mut Value, count: u32, global: u32) -> Value {
    // SAFETY: see the module; compiled code has stored the frame, and everything below it is valid.
    unsafe {
        if global != NO_GLOBAL && frame.read() == Value::UNDEFINED {
            return undefined(machine, global);
        }
        interpret(&mut *machine, frame, count as usize)
    }
}

/// # Safety
///
/// Callee and arguments must be in place at `frame`, and all words below must be valid values.
unsafe fn interpret(machine: &mut Machine, frame: *mut Value, count: usize) -> Value {
    let end = machine.native_end;
    let left = (end.addr().saturating_sub(frame.addr()) / size_of::<Value>()).saturating_sub(NESTING);
    let room = std::mem::replace(&mut machine.native_room, left);
    machine.set_native_end(std::ptr::without_provenance_mut(usize::MAX));
    // SAFETY: the caller's promise; a zero link ends the run when the procedure returns.
    let value = unsafe {
        frame.add(1).write(Value::ZERO);
        machine.run(frame, count)
    };
    machine.native_room = room;
    machine.set_native_end(end);
    result(machine, value)
}

/// What to do about a call that returned a special value: passes errors on, and does tail calls that were left to the caller.
unsafe extern "C" fn finish(machine: *mut Machine, frame: *mut Value, value: Value) -> Value {
    if value != Value::TAIL_CALL {
        return value;
    }
    // SAFETY: see the module; the callee has left its tail call at its frame.
    unsafe {
        let machine = &mut *machine;
        let count = machine.tail_arguments;
        interpret(machine, frame, count)
    }
}

/// Calls a primitive: `call` is its index and, in the low byte, the number of operands.
unsafe extern "C" fn primitive(machine: *mut Machine, call: u32, operands: *const Value) -> Value {
    // SAFETY: see the module; compiled code has stored that many operands, and primitives never write to the stack.
    let (machine, operands) = unsafe { (&mut *machine, std::slice::from_raw_parts(operands, (call & 0xff) as usize)) };
    let value = match u16::try_from(call >> 8) {
        Ok(index) => primitives::apply(machine, index, operands),
        Err(_) => Err(Error::new("internal error: no such primitive")),
    };
    result(machine, value)
}

/// Collects garbage in a loop. Words below `top` are valid.
unsafe extern "C" fn collect(machine: *mut Machine, top: *const Value) -> Value {
    // SAFETY: see the module; compiled code has stored what it needs below `top`.
    unsafe {
        let machine = &mut *machine;
        let done = machine.collect(top).map(|()| Value::ZERO);
        result(machine, done)
    }
}

unsafe extern "C" fn undefined(machine: *mut Machine, symbol: u32) -> Value {
    // SAFETY: see the module.
    let machine = unsafe { &mut *machine };
    let error = machine.undefined(symbol);
    result(machine, Err(error))
}

/// A closure of procedure `k`; the caller fills in what it captures at once.
unsafe extern "C" fn closure(machine: *mut Machine, k: u32) -> Value {
    // SAFETY: see the module.
    let machine = unsafe { &mut *machine };
    let proto = &*machine.protos[k as usize];
    machine.heap.closure(proto, proto.captures.len()).value()
}

unsafe extern "C" fn boxed(machine: *mut Machine, value: Value) -> Value {
    // SAFETY: see the module.
    unsafe { (*machine).heap.boxed(value) }
}

unsafe extern "C" fn cons(machine: *mut Machine, car: Value, cdr: Value) -> Value {
    // SAFETY: see the module.
    unsafe { (*machine).heap.cons(car, cdr) }
}

/// An operation that compiled code does not do in line for these operands; its result, or the interpreter's error.
unsafe extern "C" fn binary(machine: *mut Machine, operation: u32, a: Value, b: Value) -> Value {
    // SAFETY: see the module.
    let machine = unsafe { &mut *machine };
    let value = match Slow::from_number(operation) {
        Some(slow) => general(machine, slow, a, b),
        None => Err(Error::new("internal error: no such operation")),
    };
    result(machine, value)
}

fn general(machine: &Machine, slow: Slow, a: Value, b: Value) -> Result<Value, Error> {
    let arithmetic = |name: &str, operation: fn(i64, i64) -> Option<i64>| {
        if !a.both_integers(b) {
            return Err(machine.not_integers(name, a, b));
        }
        match operation(a.raw(), b.raw()) {
            Some(raw) => Ok(Value(raw.cast_unsigned())),
            None => Err(crate::run::overflow(name)),
        }
    };
    match slow {
        Slow::Add => arithmetic("+", i64::checked_add),
        Slow::Subtract => arithmetic("-", i64::checked_sub),
        Slow::Multiply => arithmetic("*", |a, b| (a >> 1).checked_mul(b)),
        Slow::Quotient => primitives::quotient(machine, a, b),
        Slow::Remainder => primitives::remainder(machine, a, b),
        Slow::Modulo => primitives::modulo(machine, a, b),
        Slow::Compare => Err(machine.not_integers("comparison", a, b)),
        Slow::Equal => Err(machine.not_integers("=", a, b)),
        Slow::Car => match Pair::of(a) {
            Some(pair) => Ok(pair.car()),
            None => Err(machine.wrong_type("car", "a pair", a)),
        },
        Slow::Cdr => match Pair::of(a) {
            Some(pair) => Ok(pair.cdr()),
            None => Err(machine.wrong_type("cdr", "a pair", a)),
        },
        Slow::VectorRef => Err(machine.bad_element("vector-ref", a, b)),
        Slow::VectorSet => Err(machine.bad_element("vector-set!", a, b)),
    }
}
