//! Entering procedures: what a call does when it is not simply a jump to instructions.
//!
//! Primitives, compiled code, `apply`, wrong numbers of arguments, rest parameters, a stack that must
//! grow, and a collection that was asked for all come here from the main loop in `run`, which says how
//! frames look. Entering is a safe point of the collector.

use crate::error::Error;
use crate::machine::Machine;
use crate::object::{Closure, Pair};
use crate::op::Op;
use crate::primitives;
use crate::printer::Style;
use crate::proto::Source;
use crate::value::Value;
use std::ptr;

/// What entering a procedure led to.
pub(crate) enum Entered {
    /// Its code starts here.
    Code(*const Op),
    /// It was a primitive or compiled code, and this is its result.
    Result(Value),
}

impl Machine {
    /// Prepares to run the procedure at `frame[0]` with `count` arguments: the general case of a call.
    /// This is a safe point.
    ///
    /// # Safety
    ///
    /// Callee, link and arguments must be in place at `frame`, in a filled part of the stack, and all
    /// words below them must be valid values.
    #[inline(never)]
    pub(crate) unsafe fn enter(&mut self, frame: *mut Value, mut count: usize) -> Result<Entered, Error> {
        loop {
            // SAFETY: the words are in place.
            let callee = unsafe { frame.read() };
            if let Some(index) = callee.as_primitive() {
                if index == primitives::APPLY {
                    // SAFETY: the words are in place.
                    count = unsafe { self.spread(frame, count) }?;
                    continue;
                }
                // SAFETY: the arguments are in place; primitives never write to the stack.
                let operands = unsafe { std::slice::from_raw_parts(frame.add(2), count) };
                return primitives::apply(self, index, operands).map(Entered::Result);
            }
            let Some(closure) = Closure::of(callee) else {
                return Err(Error::new(format!("not a procedure: {}", self.text_of(callee, Style::Write))));
            };
            // SAFETY: procedures live as long as the machine.
            let proto = unsafe { &*closure.proto() };
            let required = proto.params - usize::from(proto.rest);
            if count < required || (count > required && !proto.rest) {
                let least = if proto.rest { "at least " } else { "" };
                let name = &proto.name;
                let noun = if required == 1 { "argument" } else { "arguments" };
                return Err(Error::new(format!("{name}: expected {least}{required} {noun}, got {count}")));
            }
            // SAFETY: the words are in place.
            unsafe { self.prepare(frame, count, proto) }?;
            if proto.rest {
                let mut list = Value::NULL;
                for index in (required..count).rev() {
                    // SAFETY: the arguments are in place.
                    list = self.heap.cons(unsafe { frame.add(2 + index).read() }, list);
                }
                // SAFETY: the frame has a word for every parameter.
                unsafe { frame.add(2 + required).write(list) };
            }
            match proto.heat.get() {
                0 if proto.entry.get().is_none() => self.procedure_is_hot(callee, proto),
                0 => {}
                heat => proto.heat.set(heat - 1),
            }
            let interpreted = Ok(Entered::Code(proto.code.as_ptr()));
            let Some(entry) = proto.entry.get() else { return interpreted };
            let room = self.native_room;
            if room < proto.reserved(count) {
                return interpreted;
            }
            // SAFETY: the link is in place; compiled code may use its word.
            let link = unsafe { frame.add(1).read() };
            self.set_native_end(frame.wrapping_add(room));
            // SAFETY: whoever sets an entry promises that it does what `Entry` says.
            let result = unsafe { entry(self, frame) };
            self.native_room = room;
            self.set_native_end(ptr::without_provenance_mut(usize::MAX));
            // SAFETY: as above.
            unsafe { frame.add(1).write(link) };
            match result {
                Value::FAILED => {
                    return Err(self
                        .pending
                        .take()
                        .unwrap_or_else(|| Error::new("compiled code failed without a reason")));
                }
                Value::TAIL_CALL => count = self.tail_arguments,
                value => return Ok(Entered::Result(value)),
            }
        }
    }

    /// Turns the call `(apply f a … list)` at `frame` into `(f a … elements)`; returns the count.
    ///
    /// # Safety
    ///
    /// As for [`Machine::enter`].
    unsafe fn spread(&mut self, frame: *mut Value, count: usize) -> Result<usize, Error> {
        if count < 2 {
            return Err(Error::new(format!("apply: expected at least 2 arguments, got {count}")));
        }
        // SAFETY: the arguments are in place; all but the last move down by one word.
        let mut rest = unsafe {
            let last = frame.add(1 + count).read();
            frame.write(frame.add(2).read());
            ptr::copy(frame.add(3), frame.add(2), count - 2);
            last
        };
        let mut spread = count - 2;
        // SAFETY: `frame` is a place in the stack.
        let used = unsafe { frame.offset_from(self.stack) }.cast_unsigned();
        while let Some(pair) = Pair::of(rest) {
            let end = used + spread + 4;
            if end > self.stack_ready {
                // A collection that was asked for must not be forgotten by moving the limit.
                let wanted = self.heap.stack_limit.is_null();
                if !self.extend_stack(end) {
                    return Err(Error::new("apply: the list of arguments is too long"));
                }
                if wanted {
                    self.heap.stack_limit = ptr::null_mut();
                }
            }
            // SAFETY: that much of the stack is filled.
            unsafe { frame.add(2 + spread).write(pair.car()) };
            spread += 1;
            rest = pair.cdr();
        }
        if rest != Value::NULL {
            return Err(self.wrong_type("apply", "a list", rest));
        }
        Ok(spread)
    }

    #[inline(never)]
    pub(crate) fn make_closure(&mut self, k: u32, fp: *mut Value) -> Value {
        let proto = &*self.protos[k as usize];
        let captures = &proto.captures;
        let closure = self.heap.closure(proto, captures.len());
        for (index, source) in (0u16..).zip(captures) {
            let value = match *source {
                // SAFETY: `emit` names registers of the running frame.
                Source::Register(register) => unsafe { fp.add(usize::from(register)).read() },
                // SAFETY: the running procedure is a closure with that many captured values.
                Source::Captured(outer) => unsafe {
                    Closure::of(fp.read()).map_or(Value::UNDEFINED, |running| running.captured(outer))
                },
            };
            // SAFETY: the closure was made for this many values.
            unsafe { closure.set_captured(index, value) };
        }
        closure.value()
    }
}
