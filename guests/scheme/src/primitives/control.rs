//! Output, errors, and what concerns the whole program.

use super::{MANY, Primitive, integer};
use crate::error::Error;
use crate::machine::Machine;
use crate::object::Text;
use crate::printer::Style;
use crate::value::Value;

type Result = std::result::Result<Value, Error>;

pub(super) const TABLE: &[Primitive] = &[
    Primitive("display", 1, 1, |machine, operands| print(machine, operands[0], Style::Display)),
    Primitive("write", 1, 1, |machine, operands| print(machine, operands[0], Style::Write)),
    Primitive("newline", 0, 0, |machine, _| machine.print("\n").map(|()| Value::UNSPECIFIED)),
    Primitive("error", 1, MANY, error),
    Primitive("exit", 0, 1, exit),
    Primitive("procedure?", 1, 1, |_, operands| Ok(Value::boolean(operands[0].is_procedure()))),
    Primitive("void", 0, MANY, |_, _| Ok(Value::UNSPECIFIED)),
];

/// `apply` as the table needs it; the machine spreads its arguments before it would come here.
pub(super) fn apply(_: &mut Machine, _: &[Value]) -> Result {
    Err(Error::new("internal error: apply is done by the machine"))
}

fn print(machine: &mut Machine, value: Value, style: Style) -> Result {
    let text = machine.text_of(value, style);
    machine.print(&text)?;
    Ok(Value::UNSPECIFIED)
}

fn error(machine: &mut Machine, operands: &[Value]) -> Result {
    let mut text = String::new();
    for (index, &operand) in operands.iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        let style = if Text::of(operand).is_some() && index == 0 { Style::Display } else { Style::Write };
        text.push_str(&machine.text_of(operand, style));
    }
    Err(Error::Message(text))
}

fn exit(machine: &mut Machine, operands: &[Value]) -> Result {
    let code = match operands {
        [] | [Value::TRUE] => 0,
        [Value::FALSE] => 1,
        [code, ..] => integer(machine, "exit", *code)?,
    };
    match u8::try_from(code) {
        Ok(code) => Err(Error::Exit(code)),
        Err(_) => Err(Error::new(format!("exit: expected a code from 0 to 255, got {code}"))),
    }
}
