//! Strings, characters and symbols.

use super::{MANY, Primitive, elements, integer, size};
use crate::error::Error;
use crate::machine::Machine;
use crate::object::Text;
use crate::printer::Style;
use crate::value::Value;
use std::cmp::Ordering;

type Result = std::result::Result<Value, Error>;

pub(super) const TABLE: &[Primitive] = &[
    Primitive("string?", 1, 1, |_, operands| Ok(Value::boolean(Text::of(operands[0]).is_some()))),
    Primitive("symbol?", 1, 1, |_, operands| Ok(Value::boolean(operands[0].as_symbol().is_some()))),
    Primitive("char?", 1, 1, |_, operands| Ok(Value::boolean(operands[0].as_character().is_some()))),
    Primitive("string-length", 1, 1, |machine, operands| {
        let text = string(machine, "string-length", operands[0])?;
        Ok(Value::size(text.as_str().chars().count()))
    }),
    Primitive("string-ref", 2, 2, |machine, operands| {
        let text = string(machine, "string-ref", operands[0])?;
        let index = size(machine, "string-ref", operands[1])?;
        match character_at(text.as_str(), index) {
            Some(character) => Ok(Value::character(character)),
            None => Err(Error::new(format!("string-ref: index {index} is outside the string"))),
        }
    }),
    Primitive("substring", 2, 3, substring),
    Primitive("string-append", 0, MANY, append),
    Primitive("string=?", 2, 2, |machine, operands| order(machine, "string=?", operands, Ordering::is_eq)),
    Primitive("string<?", 2, 2, |machine, operands| order(machine, "string<?", operands, Ordering::is_lt)),
    Primitive("string>?", 2, 2, |machine, operands| order(machine, "string>?", operands, Ordering::is_gt)),
    Primitive("string->symbol", 1, 1, |machine, operands| {
        let text = string(machine, "string->symbol", operands[0])?;
        let symbol = machine.symbols.intern(text.as_str());
        Ok(Value::symbol(symbol))
    }),
    Primitive("symbol->string", 1, 1, |machine, operands| match operands[0].as_symbol() {
        Some(symbol) => {
            let name = machine.symbols.name(symbol).to_owned();
            Ok(machine.heap.string(&name))
        }
        None => Err(machine.wrong_type("symbol->string", "a symbol", operands[0])),
    }),
    Primitive("number->string", 1, 2, number_to_string),
    Primitive("string->number", 1, 2, |machine, operands| {
        let radix = radix(machine, "string->number", operands.get(1))?;
        let text = string(machine, "string->number", operands[0])?;
        Ok(crate::reader::integer(text.as_str(), radix).flatten().unwrap_or(Value::FALSE))
    }),
    Primitive("string->list", 1, 1, |machine, operands| {
        let text = string(machine, "string->list", operands[0])?;
        Ok(super::list::collect(machine, text.as_str().chars().map(Value::character), Value::NULL))
    }),
    Primitive("list->string", 1, 1, |machine, operands| {
        let items = elements(machine, "list->string", operands[0])?;
        from_characters(machine, "list->string", &items)
    }),
    Primitive("string", 0, MANY, |machine, operands| from_characters(machine, "string", operands)),
    Primitive("char->integer", 1, 1, |machine, operands| {
        let character = character(machine, "char->integer", operands[0])?;
        Ok(Value::integer(i64::from(u32::from(character))).unwrap_or(Value::ZERO))
    }),
    Primitive("integer->char", 1, 1, |machine, operands| {
        let number = integer(machine, "integer->char", operands[0])?;
        match u32::try_from(number).ok().and_then(char::from_u32) {
            Some(character) => Ok(Value::character(character)),
            None => Err(machine.wrong_type("integer->char", "a code point", operands[0])),
        }
    }),
    Primitive("char=?", 2, 2, |machine, operands| {
        let (a, b) = (character(machine, "char=?", operands[0])?, character(machine, "char=?", operands[1])?);
        Ok(Value::boolean(a == b))
    }),
    Primitive("char<?", 2, 2, |machine, operands| {
        let (a, b) = (character(machine, "char<?", operands[0])?, character(machine, "char<?", operands[1])?);
        Ok(Value::boolean(a < b))
    }),
    Primitive("char-numeric?", 1, 1, |machine, operands| {
        Ok(Value::boolean(character(machine, "char-numeric?", operands[0])?.is_numeric()))
    }),
    Primitive("char-alphabetic?", 1, 1, |machine, operands| {
        Ok(Value::boolean(character(machine, "char-alphabetic?", operands[0])?.is_alphabetic()))
    }),
    Primitive("char-whitespace?", 1, 1, |machine, operands| {
        Ok(Value::boolean(character(machine, "char-whitespace?", operands[0])?.is_whitespace()))
    }),
    Primitive("char-upcase", 1, 1, |machine, operands| {
        let character = character(machine, "char-upcase", operands[0])?;
        Ok(Value::character(character.to_uppercase().next().unwrap_or(character)))
    }),
    Primitive("char-downcase", 1, 1, |machine, operands| {
        let character = character(machine, "char-downcase", operands[0])?;
        Ok(Value::character(character.to_lowercase().next().unwrap_or(character)))
    }),
];

fn string(machine: &Machine, name: &str, value: Value) -> std::result::Result<Text, Error> {
    Text::of(value).ok_or_else(|| machine.wrong_type(name, "a string", value))
}

fn character(machine: &Machine, name: &str, value: Value) -> std::result::Result<char, Error> {
    value.as_character().ok_or_else(|| machine.wrong_type(name, "a character", value))
}

/// The character at `index`; one step when the string is ASCII.
fn character_at(text: &str, index: usize) -> Option<char> {
    match text.as_bytes().get(index) {
        Some(byte) if text.is_ascii() => Some(char::from(*byte)),
        _ => text.chars().nth(index),
    }
}

fn new_string(machine: &mut Machine, text: &str) -> Result {
    if machine.heap.has_room(text.len()) { Ok(machine.heap.string(text)) } else { Err(Error::new("out of memory")) }
}

fn substring(machine: &mut Machine, operands: &[Value]) -> Result {
    let text = string(machine, "substring", operands[0])?;
    let start = size(machine, "substring", operands[1])?;
    let length = text.as_str().chars().count();
    let end = operands.get(2).map_or(Ok(length), |&end| size(machine, "substring", end))?;
    if start > end || end > length {
        return Err(Error::new(format!("substring: {start} to {end} is outside a string of length {length}")));
    }
    let part: String = text.as_str().chars().skip(start).take(end - start).collect();
    new_string(machine, &part)
}

fn append(machine: &mut Machine, operands: &[Value]) -> Result {
    let mut text = String::new();
    for &operand in operands {
        let part = string(machine, "string-append", operand)?;
        if !machine.heap.has_room(text.len() + part.as_str().len()) {
            return Err(Error::new("out of memory"));
        }
        text.push_str(part.as_str());
    }
    new_string(machine, &text)
}

fn order(machine: &Machine, name: &str, operands: &[Value], holds: fn(Ordering) -> bool) -> Result {
    let (a, b) = (string(machine, name, operands[0])?, string(machine, name, operands[1])?);
    Ok(Value::boolean(holds(a.as_str().cmp(b.as_str()))))
}

fn from_characters(machine: &mut Machine, name: &str, items: &[Value]) -> Result {
    let mut text = String::with_capacity(items.len());
    for &item in items {
        text.push(character(machine, name, item)?);
    }
    new_string(machine, &text)
}

fn radix(machine: &Machine, name: &str, value: Option<&Value>) -> std::result::Result<u32, Error> {
    let Some(&value) = value else { return Ok(10) };
    match u32::try_from(integer(machine, name, value)?) {
        Ok(radix @ (2 | 8 | 10 | 16)) => Ok(radix),
        _ => Err(machine.wrong_type(name, "a radix of 2, 8, 10 or 16", value)),
    }
}

fn number_to_string(machine: &mut Machine, operands: &[Value]) -> Result {
    let radix = radix(machine, "number->string", operands.get(1))?;
    let number = integer(machine, "number->string", operands[0])?;
    let sign = if number < 0 { "-" } else { "" };
    let size = number.unsigned_abs();
    let text = match radix {
        2 => format!("{sign}{size:b}"),
        8 => format!("{sign}{size:o}"),
        16 => format!("{sign}{size:x}"),
        _ => machine.text_of(operands[0], Style::Display),
    };
    new_string(machine, &text)
}
