//! From data to text, for `display` and `write`. Works through its own list of what is left to print,
//! so no nesting can exhaust the host's stack.

use crate::object::{Closure, Pair, Text, Vector};
use crate::symbols::Symbols;
use crate::value::{Value, tag};
use std::fmt::Write;

/// How strings and characters look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As themselves.
    Display,
    /// As they are written in programs.
    Write,
}

/// The longest text that is made for one datum, in bytes. A circular list ends here.
const MAX_LENGTH: usize = 16 << 20;

/// What is left to print.
enum Rest {
    Value(Value),
    /// The rest of a list whose first elements were printed.
    Tail(Value),
    /// The elements of a vector from an index on.
    Elements(Vector, usize),
    Close,
}

/// The text of `value`; it ends in an ellipsis when it would be longer than 16 MiB.
pub fn print(value: Value, style: Style, symbols: &Symbols) -> String {
    let mut text = String::new();
    let mut work = vec![Rest::Value(value)];
    while let Some(rest) = work.pop() {
        if text.len() > MAX_LENGTH {
            text.push_str("...");
            break;
        }
        match rest {
            Rest::Close => text.push(')'),
            Rest::Tail(tail) => {
                if let Some(pair) = Pair::of(tail) {
                    text.push(' ');
                    work.push(Rest::Tail(pair.cdr()));
                    work.push(Rest::Value(pair.car()));
                } else {
                    work.push(Rest::Close);
                    if tail != Value::NULL {
                        text.push_str(" . ");
                        work.push(Rest::Value(tail));
                    }
                }
            }
            Rest::Elements(vector, index) => {
                if let Some(element) = vector.get(index) {
                    if index > 0 {
                        text.push(' ');
                    }
                    work.push(Rest::Elements(vector, index + 1));
                    work.push(Rest::Value(element));
                } else {
                    text.push(')');
                }
            }
            Rest::Value(value) => {
                if let Some(pair) = Pair::of(value) {
                    text.push('(');
                    work.push(Rest::Tail(pair.cdr()));
                    work.push(Rest::Value(pair.car()));
                } else if let Some(vector) = Vector::of(value) {
                    text.push_str("#(");
                    work.push(Rest::Elements(vector, 0));
                } else {
                    atom(&mut text, value, style, symbols);
                }
            }
        }
    }
    text
}

fn atom(text: &mut String, value: Value, style: Style, symbols: &Symbols) {
    if let Some(number) = value.as_integer() {
        write!(text, "{number}").expect("writing to a string cannot fail");
    } else if let Some(symbol) = value.as_symbol() {
        text.push_str(symbols.name(symbol));
    } else if let Some(string) = Text::of(value) {
        match style {
            Style::Display => text.push_str(string.as_str()),
            Style::Write => quoted(text, string.as_str()),
        }
    } else if let Some(character) = value.as_character() {
        match (style, character) {
            (Style::Display, _) => text.push(character),
            (Style::Write, ' ') => text.push_str("#\\space"),
            (Style::Write, '\n') => text.push_str("#\\newline"),
            (Style::Write, '\t') => text.push_str("#\\tab"),
            (Style::Write, _) => text.extend(['#', '\\', character]),
        }
    } else if let Some(closure) = Closure::of(value) {
        // SAFETY: procedures live as long as the machine that made the closure.
        let name = unsafe { &(*closure.proto()).name };
        write!(text, "#<procedure {name}>").expect("writing to a string cannot fail");
    } else if let Some(index) = value.as_primitive() {
        write!(text, "#<procedure {}>", crate::primitives::name(index)).expect("writing to a string cannot fail");
    } else {
        text.push_str(match value {
            Value::TRUE => "#t",
            Value::FALSE => "#f",
            Value::NULL => "()",
            Value::UNSPECIFIED => "#<unspecified>",
            _ if value.tag() == tag::OBJECT => "#<box>",
            _ => "#<undefined>",
        });
    }
}

fn quoted(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            _ => text.push(character),
        }
    }
    text.push('"');
}
