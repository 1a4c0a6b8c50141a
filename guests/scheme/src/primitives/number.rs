//! Integers.

use super::{MANY, Primitive, integer};
use crate::error::Error;
use crate::machine::Machine;
use crate::run::overflow;
use crate::value::Value;

type Result = std::result::Result<Value, Error>;

pub(super) const TABLE: &[Primitive] = &[
    Primitive("+", 0, MANY, |machine, operands| fold(machine, "+", operands, 0, i64::checked_add)),
    Primitive("-", 1, MANY, subtract),
    Primitive("*", 0, MANY, |machine, operands| fold(machine, "*", operands, 1, i64::checked_mul)),
    Primitive("quotient", 2, 2, |machine, operands| quotient(machine, operands[0], operands[1])),
    Primitive("remainder", 2, 2, |machine, operands| remainder(machine, operands[0], operands[1])),
    Primitive("modulo", 2, 2, |machine, operands| modulo(machine, operands[0], operands[1])),
    Primitive("=", 1, MANY, |machine, operands| compare(machine, "=", operands, |a, b| a == b)),
    Primitive("<", 1, MANY, |machine, operands| compare(machine, "<", operands, |a, b| a < b)),
    Primitive(">", 1, MANY, |machine, operands| compare(machine, ">", operands, |a, b| a > b)),
    Primitive("<=", 1, MANY, |machine, operands| compare(machine, "<=", operands, |a, b| a <= b)),
    Primitive(">=", 1, MANY, |machine, operands| compare(machine, ">=", operands, |a, b| a >= b)),
    Primitive("zero?", 1, 1, |machine, operands| test(machine, "zero?", operands, |number| number == 0)),
    Primitive("positive?", 1, 1, |machine, operands| test(machine, "positive?", operands, |number| number > 0)),
    Primitive("negative?", 1, 1, |machine, operands| test(machine, "negative?", operands, |number| number < 0)),
    Primitive("even?", 1, 1, |machine, operands| test(machine, "even?", operands, |number| number % 2 == 0)),
    Primitive("odd?", 1, 1, |machine, operands| test(machine, "odd?", operands, |number| number % 2 != 0)),
    Primitive("number?", 1, 1, |_, operands| Ok(Value::boolean(operands[0].is_integer()))),
    Primitive("integer?", 1, 1, |_, operands| Ok(Value::boolean(operands[0].is_integer()))),
    Primitive("abs", 1, 1, |machine, operands| {
        let number = integer(machine, "abs", operands[0])?;
        result("abs", number.checked_abs())
    }),
    Primitive("min", 1, MANY, |machine, operands| extreme(machine, "min", operands, i64::min)),
    Primitive("max", 1, MANY, |machine, operands| extreme(machine, "max", operands, i64::max)),
    Primitive("gcd", 0, MANY, gcd),
    Primitive("expt", 2, 2, power),
];

fn result(name: &str, number: Option<i64>) -> Result {
    number.and_then(Value::integer).ok_or_else(|| overflow(name))
}

fn fold(machine: &Machine, name: &str, operands: &[Value], start: i64, step: fn(i64, i64) -> Option<i64>) -> Result {
    let mut total = start;
    for &operand in operands {
        let number = integer(machine, name, operand)?;
        // Every partial result must fit, as it must in a chain of instructions.
        total =
            step(total, number).and_then(Value::integer).and_then(Value::as_integer).ok_or_else(|| overflow(name))?;
    }
    result(name, Some(total))
}

fn subtract(machine: &mut Machine, operands: &[Value]) -> Result {
    let first = integer(machine, "-", operands[0])?;
    if operands.len() == 1 {
        return result("-", first.checked_neg());
    }
    fold(machine, "-", &operands[1..], first, i64::checked_sub)
}

/// The divisor and dividend of a division, whose result then always exists: words hold 63 bits, so
/// no quotient overflows 64.
fn division(machine: &Machine, name: &str, a: Value, b: Value) -> std::result::Result<(i64, i64), Error> {
    let (a, b) = (integer(machine, name, a)?, integer(machine, name, b)?);
    if b == 0 { Err(Error::new(format!("{name}: division by zero"))) } else { Ok((a, b)) }
}

/// `quotient`, towards zero.
pub(crate) fn quotient(machine: &Machine, a: Value, b: Value) -> Result {
    let (a, b) = division(machine, "quotient", a, b)?;
    result("quotient", Some(a / b))
}

/// `remainder`, with the sign of the dividend.
pub(crate) fn remainder(machine: &Machine, a: Value, b: Value) -> Result {
    let (a, b) = division(machine, "remainder", a, b)?;
    result("remainder", Some(a % b))
}

/// `modulo`, with the sign of the divisor.
pub(crate) fn modulo(machine: &Machine, a: Value, b: Value) -> Result {
    let (a, b) = division(machine, "modulo", a, b)?;
    let remainder = a % b;
    let adjust = remainder != 0 && (remainder < 0) != (b < 0);
    result("modulo", Some(if adjust { remainder + b } else { remainder }))
}

fn compare(machine: &Machine, name: &str, operands: &[Value], holds: fn(i64, i64) -> bool) -> Result {
    let mut previous = integer(machine, name, operands[0])?;
    let mut all = true;
    for &operand in &operands[1..] {
        let number = integer(machine, name, operand)?;
        all &= holds(previous, number);
        previous = number;
    }
    Ok(Value::boolean(all))
}

fn test(machine: &Machine, name: &str, operands: &[Value], holds: fn(i64) -> bool) -> Result {
    Ok(Value::boolean(holds(integer(machine, name, operands[0])?)))
}

fn extreme(machine: &Machine, name: &str, operands: &[Value], choose: fn(i64, i64) -> i64) -> Result {
    let mut best = integer(machine, name, operands[0])?;
    for &operand in &operands[1..] {
        best = choose(best, integer(machine, name, operand)?);
    }
    result(name, Some(best))
}

fn gcd(machine: &mut Machine, operands: &[Value]) -> Result {
    let mut divisor = 0;
    for &operand in operands {
        let mut number = integer(machine, "gcd", operand)?;
        while number != 0 {
            (divisor, number) = (number, divisor % number);
        }
    }
    result("gcd", divisor.checked_abs())
}

fn power(machine: &mut Machine, operands: &[Value]) -> Result {
    let base = integer(machine, "expt", operands[0])?;
    let exponent = integer(machine, "expt", operands[1])?;
    let Ok(exponent) = u64::try_from(exponent) else {
        return Err(Error::new("expt: the exponent must not be negative"));
    };
    let number = match (base, u32::try_from(exponent)) {
        (0 | 1, _) if exponent > 0 => Some(base),
        (-1, _) => Some(if exponent % 2 == 0 { 1 } else { -1 }),
        (_, Ok(exponent)) => base.checked_pow(exponent),
        (_, Err(_)) => None,
    };
    result("expt", number)
}
