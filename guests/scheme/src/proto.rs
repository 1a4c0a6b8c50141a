//! Procedures as the machine runs them, and the seam where the JIT takes over.

use crate::machine::Machine;
use crate::op::Op;
use crate::value::Value;
use std::cell::Cell;

/// Machine code for a procedure. In wasm this type is an index into the guest's function table, so a
/// late module puts the index of its new function here.
///
/// `frame` is the callee's frame, laid out as `op` describes with all arguments in place (a list of
/// the remaining ones included) and the words from there to [`Proto::frame`] reserved. The function
/// returns the result, or [`Value::FAILED`] after it has left an error in [`Machine::pending`], or
/// [`Value::TAIL_CALL`] after it has put the callee at `frame[0]`, the arguments from `frame[2]` on
/// and their number into [`Machine::tail_arguments`].
pub type Entry = unsafe extern "C" fn(machine: *mut Machine, frame: *mut Value) -> Value;

/// Where a new closure finds a value that it captures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// In a register of the procedure that makes it.
    Register(u16),
    /// Among the values that procedure captured itself.
    Captured(u16),
}

/// A procedure. Its address is stable: machines never move or drop one before they end.
pub struct Proto {
    /// For messages.
    pub name: String,
    /// How many arguments it takes, the list of remaining ones included.
    pub params: usize,
    /// Whether the last parameter is the list of remaining arguments.
    pub rest: bool,
    /// How many words its frame has.
    pub frame: usize,
    /// What it does.
    pub code: Box<[Op]>,
    /// What a closure of it captures.
    pub captures: Box<[Source]>,
    /// How many more calls the interpreter does by itself, before it looks whether there is `entry` or the
    /// procedure should be compiled. Zero once there is `entry`.
    pub heat: Cell<u32>,
    /// Machine code that runs instead of `code`, once there is any.
    pub entry: Cell<Option<Entry>>,
    /// The number of arguments that `fast` takes, plus one; zero when there is no such function.
    pub key: Cell<u32>,
    /// Where in the table the function is that compiled code calls with frame, closure and arguments.
    pub fast: Cell<u32>,
    /// How many words of the stack the machine code checks for, because procedures that it does in line have their frames there too.
    pub reserve: Cell<usize>,
    /// Whether the JIT shall leave it alone, because it has compiled it before.
    pub is_rejected: Cell<bool>,
}

impl Proto {
    /// How many words of the stack a call with `count` arguments needs.
    pub(crate) fn frame_with(&self, count: usize) -> usize {
        self.frame.max(count + 3)
    }

    /// How many words must be free for such a call before it is begun.
    pub(crate) fn reserved(&self, count: usize) -> usize {
        self.frame_with(count).max(self.reserve.get())
    }

    /// Gives the procedure machine code.
    pub fn set_entry(&self, entry: Entry) {
        self.entry.set(Some(entry));
        self.heat.set(0);
    }
}
