//! Procedures that are written in Rust: one table of names, numbers of arguments and functions.
//!
//! A primitive gets its operands as a slice and returns one value. It may allocate freely, because
//! allocation never collects, but it cannot call procedures: those that take a procedure are in the
//! prelude, and `apply` is part of the machine.

mod control;
mod list;
mod number;
mod text;
mod vector;

use crate::error::Error;
use crate::machine::Machine;
use crate::value::Value;

pub(crate) use number::{modulo, quotient, remainder};

/// What a primitive does.
type Function = fn(&mut Machine, &[Value]) -> Result<Value, Error>;

/// A row of the table: the name, the least and the most arguments, what it does.
struct Primitive(&'static str, u8, u8, Function);

/// As many arguments as a call can have.
const MANY: u8 = u8::MAX;

/// The index of `apply`, which the machine does itself.
pub(crate) const APPLY: u16 = 0;

const TABLES: [&[Primitive]; 6] = [
    &[Primitive("apply", 2, MANY, control::apply)],
    control::TABLE,
    list::TABLE,
    number::TABLE,
    text::TABLE,
    vector::TABLE,
];

fn row(index: u16) -> Option<&'static Primitive> {
    let mut index = usize::from(index);
    for table in TABLES {
        match table.get(index) {
            Some(row) => return Some(row),
            None => index -= table.len(),
        }
    }
    None
}

/// How many primitives there are.
pub(crate) fn count() -> u16 {
    TABLES.iter().map(|table| u16::try_from(table.len()).expect("the tables are short")).sum()
}

/// The name of the primitive with this index.
pub(crate) fn name(index: u16) -> &'static str {
    row(index).map_or("?", |row| row.0)
}

/// The index of the primitive with this name.
pub(crate) fn find(name: &str) -> Option<u16> {
    let mut rows = TABLES.iter().flat_map(|table| table.iter());
    rows.position(|row| row.0 == name).and_then(|index| u16::try_from(index).ok())
}

/// Calls the primitive with this index.
///
/// # Errors
///
/// A wrong number of arguments, and whatever the primitive finds wrong with them.
#[inline]
pub(crate) fn apply(machine: &mut Machine, index: u16, operands: &[Value]) -> Result<Value, Error> {
    let Some(&Primitive(name, least, most, function)) = row(index) else {
        return Err(Error::new("internal error: no such primitive"));
    };
    if operands.len() < usize::from(least) || (most != MANY && operands.len() > usize::from(most)) {
        let (expected, last) = match (least, most) {
            (_, MANY) => (format!("at least {least}"), least),
            _ if least == most => (least.to_string(), least),
            _ => (format!("{least} to {most}"), most),
        };
        let noun = if last == 1 { "argument" } else { "arguments" };
        return Err(Error::new(format!("{name}: expected {expected} {noun}, got {}", operands.len())));
    }
    function(machine, operands)
}

/// The integer that `value` is.
fn integer(machine: &Machine, name: &str, value: Value) -> Result<i64, Error> {
    value.as_integer().ok_or_else(|| machine.wrong_type(name, "an integer", value))
}

/// The index or length that `value` is.
fn size(machine: &Machine, name: &str, value: Value) -> Result<usize, Error> {
    let number = integer(machine, name, value)?;
    usize::try_from(number).map_err(|_| machine.wrong_type(name, "an index", value))
}

/// The elements of the proper list `value`. A circular list is an error, found by a second walker of
/// half the speed.
fn elements(machine: &Machine, name: &str, value: Value) -> Result<Vec<Value>, Error> {
    use crate::object::Pair;
    let mut items = Vec::new();
    let (mut rest, mut slow) = (value, value);
    while let Some(pair) = Pair::of(rest) {
        items.push(pair.car());
        rest = pair.cdr();
        if items.len() % 2 == 0 {
            slow = Pair::of(slow).map_or(Value::NULL, Pair::cdr);
            if slow == rest && Pair::of(rest).is_some() {
                return Err(Error::new(format!("{name}: expected a list, got a circular one")));
            }
        }
    }
    if rest == Value::NULL { Ok(items) } else { Err(machine.wrong_type(name, "a list", value)) }
}
