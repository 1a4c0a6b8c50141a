//! Calls: of procedures that are known, of those that turn out to be compiled, and of all others.
//!
//! What is called is known where a global holds a certain closure now, or where a look at a live closure shows what its captured values are; a
//! guard in the code checks that it is still so. Otherwise the callee's procedure says at run time
//! whether it has a function for that number of arguments. Everything else goes to the interpreter.

use super::batch::Target;
use super::compile::{Function, signature, word};
use super::encode::{Plain, Type};
use super::runtime::{Helper, NO_GLOBAL};
use crate::op::Op;
use crate::proto::Proto;
use crate::value::{Value, tag};
use std::mem::offset_of;

/// How the callee is found.
enum Callee {
    /// It is this closure, when the guard holds.
    Closure(Value, Target),
    /// It is a closure of this procedure, when the guard holds.
    Proto(*const Proto, Target),
    /// Its procedure says.
    Any,
}

/// The offset of the procedure's address from a closure's word.
const PROTO: u32 = 8 - 3;
const _: () = assert!(tag::CLOSURE == 3);

impl Function<'_> {
    pub(super) fn call(&mut self, op: Op) {
        match op {
            Op::Call { n, base } => {
                let callee = self.guessed(base, n);
                self.spill(base);
                self.plain_call(n, base, &callee, None);
            }
            Op::CallGlobal { n, base, k } => {
                let callee = self.known(k, n);
                self.spill(base);
                self.load_global(k);
                self.set(base);
                self.plain_call(n, base, &callee, Some(k));
            }
            Op::TailCall { n, base } => {
                let callee = self.guessed(base, n);
                self.tail_call(n, base, &callee, None);
            }
            Op::TailCallGlobal { n, base, k } => {
                let callee = self.known(k, n);
                self.load_global(k);
                self.set(base);
                self.tail_call(n, base, &callee, Some(k));
            }
            Op::CallPrimitive { n, d, base, p } => {
                for register in base..base + u16::from(n) {
                    self.store(register);
                }
                self.machine();
                self.code.i32(u32::from(p) << 8 | u32::from(n));
                self.word_address(base);
                self.helper(Helper::Primitive);
                self.set_unless_failed(d);
            }
            _ => unreachable!("`instruction` sends nothing else here"),
        }
    }

    fn known(&self, k: u32, n: u8) -> Callee {
        match self.batch.known_global(k, n) {
            Some((closure, target)) => Callee::Closure(closure, target),
            None => Callee::Any,
        }
    }

    fn guessed(&self, base: u16, n: u8) -> Callee {
        let Some(&proto) = self.guesses.get(&base) else { return Callee::Any };
        match self.batch.target(proto, n) {
            Some(target) => Callee::Proto(proto, target),
            None => Callee::Any,
        }
    }

    /// Pushes whether the callee in register `base` is what the call is compiled for.
    fn guard(&mut self, n: u8, base: u16, callee: &Callee) {
        if let Callee::Closure(closure, _) = callee {
            self.get(base).i64(closure.0).op(Plain::I64Eq);
            return;
        }
        self.has_tag(base, tag::CLOSURE);
        self.code.when_value(Type::I32);
        self.get_address(base).load32(PROTO);
        match callee {
            Callee::Proto(proto, _) => self.code.i32(super::batch::address(*proto)),
            _ => self.code.load32(offset(offset_of!(Proto, key))).i32(u32::from(n) + 1),
        };
        self.code.op(Plain::I32Eq).op(Plain::Else).i32(0).op(Plain::End);
    }

    /// Pushes frame, closure and arguments of a call whose frame is at `frame`.
    fn arguments(&mut self, frame: u32, n: u8, base: u16) {
        self.code.get(frame);
        self.get(base);
        for index in 0..u16::from(n) {
            self.get(base + 2 + index);
        }
    }

    /// Pushes the place in the table of the function of the closure in `base`.
    fn slot(&mut self, base: u16, callee: &Callee) {
        match callee {
            Callee::Closure(_, Target::Slot(slot)) | Callee::Proto(_, Target::Slot(slot)) => self.code.i32(*slot),
            _ => self.get_address(base).load32(PROTO).load32(offset(offset_of!(Proto, fast))),
        };
    }

    /// A call: the result goes to register `base`.
    fn plain_call(&mut self, n: u8, base: u16, callee: &Callee, global: Option<u32>) {
        let ty = signature(self.module, n.into());
        let frame = self.address;
        self.word_address(base).set(frame);
        self.guard(n, base, callee);
        if let Some(index) = self.in_line() {
            self.code.when();
            self.call_in_line(index, base);
            self.code.op(Plain::Else);
            self.call_interpreter(n, base, global);
            self.set_unless_failed(base);
            self.code.op(Plain::End);
            return;
        }
        self.code.when_value(Type::I64);
        self.arguments(frame, n, base);
        match callee {
            Callee::Closure(_, Target::Function(index)) | Callee::Proto(_, Target::Function(index)) => {
                self.code.call(*index);
            }
            _ => {
                self.slot(base, callee);
                self.code.call_indirect(ty);
            }
        }
        self.code.op(Plain::Else);
        self.call_interpreter(n, base, global);
        self.code.op(Plain::End);
        // One test finds both an error and a tail call that the callee leaves to its caller.
        self.code
            .tee(self.local(base))
            .i64(!Value::SPECIAL_BITS)
            .op(Plain::I64And)
            .i64(Value::SPECIAL)
            .op(Plain::I64Eq);
        self.code.when();
        self.machine();
        self.word_address(base);
        self.get(base);
        self.helper(Helper::Finish);
        self.set_unless_failed(base);
        self.code.op(Plain::End);
    }

    /// Pushes the result of a call in its general form, whose frame is at [`Function::address`].
    fn call_interpreter(&mut self, n: u8, base: u16, global: Option<u32>) {
        self.store_call(base, n, base);
        self.machine();
        self.code.get(self.address).i32(n.into()).i32(global.unwrap_or(NO_GLOBAL));
        self.helper(Helper::Call);
    }

    fn tail_call(&mut self, n: u8, base: u16, callee: &Callee, global: Option<u32>) {
        let ty = signature(self.module, n.into());
        self.guard(n, base, callee);
        self.code.when();
        match callee {
            Callee::Closure(_, Target::Function(index)) | Callee::Proto(_, Target::Function(index)) => {
                if *index == self.batch.function(self.index) {
                    // A loop. Arguments lie above all parameters, so no move overwrites another's source.
                    self.get(base);
                    self.set(0);
                    for register in 0..u16::from(n) {
                        self.get(base + 2 + register);
                        self.set(2 + register);
                    }
                    let label = self.start_label();
                    self.code.br(label);
                } else {
                    self.arguments(self.frame(), n, base);
                    self.code.return_call(*index);
                }
            }
            _ => {
                self.arguments(self.frame(), n, base);
                self.slot(base, callee);
                self.code.return_call_indirect(ty);
            }
        }
        self.code.op(Plain::End);
        self.check_global(base, global);
        // The caller does it: this function's place on the native stack must not be in use meanwhile.
        self.store_call(0, n, base);
        self.code.i32(self.batch.addresses.tail_arguments).i32(n.into()).store32(0);
        self.code.i64(Value::TAIL_CALL.0).op(Plain::Return);
    }

    fn check_global(&mut self, base: u16, global: Option<u32>) {
        if let Some(k) = global {
            self.get(base).i64(Value::UNDEFINED.0).op(Plain::I64Eq).when();
            self.return_undefined(k);
            self.code.op(Plain::End);
        }
    }

    /// Stores callee and arguments of the call in the registers from `base` on to the frame at register `to`.
    fn store_call(&mut self, to: u16, n: u8, base: u16) {
        self.code.get(self.frame());
        self.get(base).store64(word(to));
        for index in 0..u16::from(n) {
            self.code.get(self.frame());
            self.get(base + 2 + index).store64(word(to + 2 + index));
        }
    }
}

fn offset(offset: usize) -> u32 {
    u32::try_from(offset).expect("a procedure is small")
}
