//! Vectors.

use super::{MANY, Primitive, elements, size};
use crate::error::Error;
use crate::machine::Machine;
use crate::object::Vector;
use crate::value::Value;

type Result = std::result::Result<Value, Error>;

pub(super) const TABLE: &[Primitive] = &[
    Primitive("vector?", 1, 1, |_, operands| Ok(Value::boolean(Vector::of(operands[0]).is_some()))),
    Primitive("make-vector", 1, 2, make),
    Primitive("vector", 0, MANY, from_slice),
    Primitive("vector-length", 1, 1, |machine, operands| {
        Ok(Value::size(vector(machine, "vector-length", operands[0])?.length()))
    }),
    Primitive("vector-ref", 2, 2, |machine, operands| {
        let vector = vector(machine, "vector-ref", operands[0])?;
        let index = size(machine, "vector-ref", operands[1])?;
        vector.get(index).ok_or_else(|| outside("vector-ref", index, vector))
    }),
    Primitive("vector-set!", 3, 3, |machine, operands| {
        let vector = vector(machine, "vector-set!", operands[0])?;
        let index = size(machine, "vector-set!", operands[1])?;
        if vector.set(index, operands[2]) { Ok(Value::UNSPECIFIED) } else { Err(outside("vector-set!", index, vector)) }
    }),
    Primitive("vector-fill!", 2, 2, |machine, operands| {
        let vector = vector(machine, "vector-fill!", operands[0])?;
        for index in 0..vector.length() {
            vector.set(index, operands[1]);
        }
        Ok(Value::UNSPECIFIED)
    }),
    Primitive("vector->list", 1, 1, |machine, operands| {
        let vector = vector(machine, "vector->list", operands[0])?;
        let items: Vec<Value> = vector.elements().collect();
        Ok(super::list::collect(machine, items.into_iter(), Value::NULL))
    }),
    Primitive("list->vector", 1, 1, |machine, operands| {
        let items = elements(machine, "list->vector", operands[0])?;
        from_slice(machine, &items)
    }),
];

fn vector(machine: &Machine, name: &str, value: Value) -> std::result::Result<Vector, Error> {
    Vector::of(value).ok_or_else(|| machine.wrong_type(name, "a vector", value))
}

#[cold]
fn outside(name: &str, index: usize, vector: Vector) -> Error {
    Error::new(format!("{name}: index {index} is outside a vector of length {}", vector.length()))
}

fn new_vector(machine: &mut Machine, length: usize, fill: Value) -> Result {
    match length.checked_mul(8) {
        Some(bytes) if machine.heap.has_room(bytes) => Ok(machine.heap.vector(length, fill)),
        _ => Err(Error::new(format!("out of memory for a vector of length {length}"))),
    }
}

fn make(machine: &mut Machine, operands: &[Value]) -> Result {
    let length = size(machine, "make-vector", operands[0])?;
    new_vector(machine, length, operands.get(1).copied().unwrap_or(Value::ZERO))
}

fn from_slice(machine: &mut Machine, items: &[Value]) -> Result {
    let value = new_vector(machine, items.len(), Value::ZERO)?;
    let vector = vector(machine, "vector", value)?;
    for (index, &item) in items.iter().enumerate() {
        vector.set(index, item);
    }
    Ok(value)
}
