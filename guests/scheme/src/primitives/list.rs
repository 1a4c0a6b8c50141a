//! Pairs, lists and equality.

use super::{MANY, Primitive, elements, size};
use crate::error::Error;
use crate::machine::Machine;
use crate::object::{Pair, Text, Vector};
use crate::value::Value;

type Result = std::result::Result<Value, Error>;

pub(super) const TABLE: &[Primitive] = &[
    Primitive("cons", 2, 2, |machine, operands| Ok(machine.heap.cons(operands[0], operands[1]))),
    Primitive("car", 1, 1, |machine, operands| path(machine, "car", operands[0], "a")),
    Primitive("cdr", 1, 1, |machine, operands| path(machine, "cdr", operands[0], "d")),
    Primitive("caar", 1, 1, |machine, operands| path(machine, "caar", operands[0], "aa")),
    Primitive("cadr", 1, 1, |machine, operands| path(machine, "cadr", operands[0], "ad")),
    Primitive("cdar", 1, 1, |machine, operands| path(machine, "cdar", operands[0], "da")),
    Primitive("cddr", 1, 1, |machine, operands| path(machine, "cddr", operands[0], "dd")),
    Primitive("caddr", 1, 1, |machine, operands| path(machine, "caddr", operands[0], "add")),
    Primitive("cdddr", 1, 1, |machine, operands| path(machine, "cdddr", operands[0], "ddd")),
    Primitive("cadddr", 1, 1, |machine, operands| path(machine, "cadddr", operands[0], "addd")),
    Primitive("set-car!", 2, 2, |machine, operands| {
        pair(machine, "set-car!", operands[0])?.set_car(operands[1]);
        Ok(Value::UNSPECIFIED)
    }),
    Primitive("set-cdr!", 2, 2, |machine, operands| {
        pair(machine, "set-cdr!", operands[0])?.set_cdr(operands[1]);
        Ok(Value::UNSPECIFIED)
    }),
    Primitive("list", 0, MANY, |machine, operands| Ok(collect(machine, operands.iter().copied(), Value::NULL))),
    Primitive("cons*", 1, MANY, |machine, operands| match operands {
        [first @ .., last] => Ok(collect(machine, first.iter().copied(), *last)),
        [] => Ok(Value::NULL),
    }),
    Primitive("length", 1, 1, |machine, operands| Ok(Value::size(elements(machine, "length", operands[0])?.len()))),
    Primitive("append", 0, MANY, append),
    Primitive("reverse", 1, 1, |machine, operands| {
        let items = elements(machine, "reverse", operands[0])?;
        Ok(collect(machine, items.into_iter().rev(), Value::NULL))
    }),
    Primitive("list-tail", 2, 2, |machine, operands| tail(machine, "list-tail", operands)),
    Primitive("list-ref", 2, 2, |machine, operands| {
        let tail = tail(machine, "list-ref", operands)?;
        pair(machine, "list-ref", tail).map(Pair::car)
    }),
    Primitive("memq", 2, 2, |machine, operands| member(machine, "memq", operands, |a, b| a == b)),
    Primitive("memv", 2, 2, |machine, operands| member(machine, "memv", operands, |a, b| a == b)),
    Primitive("member", 2, 2, |machine, operands| member(machine, "member", operands, equal)),
    Primitive("assq", 2, 2, |machine, operands| associated(machine, "assq", operands, |a, b| a == b)),
    Primitive("assv", 2, 2, |machine, operands| associated(machine, "assv", operands, |a, b| a == b)),
    Primitive("assoc", 2, 2, |machine, operands| associated(machine, "assoc", operands, equal)),
    Primitive("eq?", 2, 2, |_, operands| Ok(Value::boolean(operands[0] == operands[1]))),
    Primitive("eqv?", 2, 2, |_, operands| Ok(Value::boolean(operands[0] == operands[1]))),
    Primitive("equal?", 2, 2, |_, operands| Ok(Value::boolean(equal(operands[0], operands[1])))),
    Primitive("not", 1, 1, |_, operands| Ok(Value::boolean(!operands[0].is_true()))),
    Primitive("null?", 1, 1, |_, operands| Ok(Value::boolean(operands[0] == Value::NULL))),
    Primitive("pair?", 1, 1, |_, operands| Ok(Value::boolean(Pair::of(operands[0]).is_some()))),
    Primitive("list?", 1, 1, |machine, operands| Ok(Value::boolean(elements(machine, "list?", operands[0]).is_ok()))),
    Primitive("boolean?", 1, 1, |_, operands| Ok(Value::boolean(matches!(operands[0], Value::TRUE | Value::FALSE)))),
];

fn pair(machine: &Machine, name: &str, value: Value) -> std::result::Result<Pair, Error> {
    Pair::of(value).ok_or_else(|| machine.wrong_type(name, "a pair", value))
}

/// Follows `steps` from the last to the first: `a` for car, `d` for cdr.
fn path(machine: &Machine, name: &str, value: Value, steps: &str) -> Result {
    steps.chars().rev().try_fold(value, |value, step| match Pair::of(value) {
        Some(pair) => Ok(if step == 'a' { pair.car() } else { pair.cdr() }),
        None => Err(machine.wrong_type(name, "a pair", value)),
    })
}

/// The list of `items` that ends in `tail`.
pub(super) fn collect(machine: &mut Machine, items: impl DoubleEndedIterator<Item = Value>, tail: Value) -> Value {
    items.rev().fold(tail, |list, item| machine.heap.cons(item, list))
}

fn append(machine: &mut Machine, operands: &[Value]) -> Result {
    let Some((&last, first)) = operands.split_last() else { return Ok(Value::NULL) };
    let mut list = last;
    for &operand in first.iter().rev() {
        let items = elements(machine, "append", operand)?;
        list = collect(machine, items.into_iter(), list);
    }
    Ok(list)
}

fn tail(machine: &Machine, name: &str, operands: &[Value]) -> Result {
    let mut rest = operands[0];
    for _ in 0..size(machine, name, operands[1])? {
        rest = pair(machine, name, rest)?.cdr();
    }
    Ok(rest)
}

fn member(machine: &Machine, name: &str, operands: &[Value], same: fn(Value, Value) -> bool) -> Result {
    let mut rest = operands[1];
    while let Some(pair) = Pair::of(rest) {
        if same(operands[0], pair.car()) {
            return Ok(rest);
        }
        rest = pair.cdr();
    }
    if rest == Value::NULL { Ok(Value::FALSE) } else { Err(machine.wrong_type(name, "a list", operands[1])) }
}

fn associated(machine: &Machine, name: &str, operands: &[Value], same: fn(Value, Value) -> bool) -> Result {
    let mut rest = operands[1];
    while let Some(pair) = Pair::of(rest) {
        let entry = self::pair(machine, name, pair.car())?;
        if same(operands[0], entry.car()) {
            return Ok(pair.car());
        }
        rest = pair.cdr();
    }
    if rest == Value::NULL { Ok(Value::FALSE) } else { Err(machine.wrong_type(name, "a list", operands[1])) }
}

/// `equal?`, without recursion. Does not end for circular data, like everywhere.
fn equal(a: Value, b: Value) -> bool {
    let mut work = vec![(a, b)];
    while let Some((mut a, mut b)) = work.pop() {
        while let (Some(left), Some(right)) = (Pair::of(a), Pair::of(b)) {
            if a == b {
                break;
            }
            work.push((left.car(), right.car()));
            (a, b) = (left.cdr(), right.cdr());
        }
        if a == b {
            continue;
        }
        if let (Some(left), Some(right)) = (Text::of(a), Text::of(b)) {
            if left.as_str() != right.as_str() {
                return false;
            }
        } else if let (Some(left), Some(right)) = (Vector::of(a), Vector::of(b)) {
            if left.length() != right.length() {
                return false;
            }
            work.extend(left.elements().zip(right.elements()));
        } else {
            return false;
        }
    }
    true
}
