//! What the tests share: running a program and looking at its result and output.

#![allow(dead_code, reason = "each test file uses its own part of this one")]

use scheme::{Error, Machine, Style};
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

/// A place that the machine prints to and the test reads from.
#[derive(Clone, Default)]
pub struct Sink(Rc<RefCell<Vec<u8>>>);

impl Sink {
    /// What has been printed.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("programs print UTF-8")
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The last value of `program` as `write` shows it, or the error's message.
pub fn result_on(machine: &mut Machine, program: &str) -> String {
    match machine.run_program(program) {
        Ok(value) => machine.text_of(value, Style::Write),
        Err(Error::Message(message)) => format!("error: {message}"),
        Err(Error::Exit(code)) => format!("exit {code}"),
    }
}

/// The same on a new machine.
pub fn result(program: &str) -> String {
    result_on(&mut Machine::new(Box::new(Sink::default())), program)
}
