//! Variables, pairs, vectors, boxes and closures.
//!
//! A word with a heap tag is its address plus the tag; offsets from it take the tag off.

use super::compile::Function;
use super::encode::Plain;
use super::runtime::{Helper, Slow};
use crate::object::{Closure, Kind};
use crate::op::Op;
use crate::proto::Source;
use crate::value::{Value, tag};

/// Offsets of an object's words from a word with its tag.
const fn field(tag: u64, index: u32) -> u32 {
    assert!(tag < 8, "the low bits of an address");
    index * 8 - tag.to_le_bytes()[0] as u32
}

impl Function<'_> {
    pub(super) fn data(&mut self, op: Op) {
        match op {
            Op::Global { d, k } => {
                self.load_global(k);
                self.code.tee(self.local(d)).i64(Value::UNDEFINED.0).op(Plain::I64Eq).when();
                self.return_undefined(k);
                self.code.op(Plain::End);
            }
            Op::SetGlobal { s, k } => {
                self.load_global(k);
                self.code.i64(Value::UNDEFINED.0).op(Plain::I64Eq).when();
                self.return_undefined(k);
                self.code.op(Plain::End);
                self.store_global(s, k);
            }
            Op::DefineGlobal { s, k } => self.store_global(s, k),
            Op::CheckDefined { s, k } => {
                self.get(s).i64(Value::UNDEFINED.0).op(Plain::I64Eq).when();
                self.return_undefined(k);
                self.code.op(Plain::End);
            }
            Op::Captured { d, i } => {
                self.get_address(0).load64(captured(i));
                self.set(d);
                self.guess(d, self.batch.captured(self.index, i));
            }
            Op::NewBox { d, s } => {
                self.machine();
                self.get(s);
                self.helper(Helper::Box);
                self.set(d);
            }
            Op::Unbox { d, b } => {
                self.get_address(b).load64(field(tag::OBJECT, 1));
                self.set(d);
                // A guess for the box is one for what it holds.
                match self.guesses.get(&b).copied() {
                    Some(proto) => self.guesses.insert(d, proto),
                    None => self.guesses.remove(&d),
                };
            }
            Op::SetBox { b, s } => {
                self.get_address(b);
                self.get(s).store64(field(tag::OBJECT, 1));
            }
            Op::Closure { d, k } => self.closure(d, k),
            Op::Patch { c, i, s } => {
                self.get_address(c);
                self.get(s).store64(captured(i));
            }
            Op::Eq { d, a, b } => {
                self.get(a);
                self.get(b).op(Plain::I64Eq);
                self.set_boolean(d);
            }
            Op::JumpEq { a, b, to } => {
                self.get(a);
                self.get(b).op(Plain::I64Eq);
                self.branch_if(to);
            }
            Op::JumpDiffer { a, b, to } => {
                self.get(a);
                self.get(b).op(Plain::I64Ne);
                self.branch_if(to);
            }
            Op::Not { d, s } => {
                self.get(s).i64(Value::FALSE.0).op(Plain::I64Eq);
                self.set_boolean(d);
            }
            Op::JumpIf { s, to } => {
                self.get(s).i64(Value::FALSE.0).op(Plain::I64Ne);
                self.branch_if(to);
            }
            Op::JumpIfNot { s, to } => {
                self.get(s).i64(Value::FALSE.0).op(Plain::I64Eq);
                self.branch_if(to);
            }
            Op::IsNull { d, s } => {
                self.get(s).i64(Value::NULL.0).op(Plain::I64Eq);
                self.set_boolean(d);
            }
            Op::JumpNull { s, to } => {
                self.get(s).i64(Value::NULL.0).op(Plain::I64Eq);
                self.branch_if(to);
            }
            Op::JumpNotNull { s, to } => {
                self.get(s).i64(Value::NULL.0).op(Plain::I64Ne);
                self.branch_if(to);
            }
            Op::IsPair { d, s } => {
                self.has_tag(s, tag::PAIR);
                self.set_boolean(d);
            }
            Op::JumpPair { s, to } => {
                self.has_tag(s, tag::PAIR);
                self.branch_if(to);
            }
            Op::JumpNotPair { s, to } => {
                self.has_tag(s, tag::PAIR);
                self.code.op(Plain::I32Eqz);
                self.branch_if(to);
            }
            Op::Cons { d, a, b } => self.cons(d, a, b),
            Op::Car { d, s } => {
                self.check_pair(Slow::Car, s);
                self.get_address(s).i32(1).op(Plain::I32Sub).load64(0);
                self.set(d);
            }
            Op::Cdr { d, s } => {
                self.check_pair(Slow::Cdr, s);
                self.get_address(s).load64(field(tag::PAIR, 1));
                self.set(d);
            }
            Op::VectorRef { d, v, i } => {
                self.element(Slow::VectorRef, v, i);
                self.code.load64(field(tag::OBJECT, 1));
                self.set(d);
            }
            Op::VectorSet { v, i, s } => {
                self.element(Slow::VectorSet, v, i);
                self.get(s).store64(field(tag::OBJECT, 1));
            }
            _ => unreachable!("`instruction` sends nothing else here"),
        }
    }

    /// Pushes a global variable.
    pub(super) fn load_global(&mut self, k: u32) {
        self.code.i32(self.batch.addresses.globals).load64(k * 8);
    }

    fn store_global(&mut self, s: u16, k: u32) {
        self.code.i32(self.batch.addresses.globals);
        self.get(s).store64(k * 8);
    }

    /// Returns with the error that symbol `k` is undefined.
    pub(super) fn return_undefined(&mut self, k: u32) {
        self.machine();
        self.code.i32(k);
        self.return_helper(Helper::Undefined);
    }

    /// Notes that register `d` holds what `value`, captured by a closure of this procedure, is a sample of.
    fn guess(&mut self, d: u16, value: Option<Value>) {
        let value = value.map(|value| crate::object::Cell::of(value).map_or(value, crate::object::Cell::get));
        match value.and_then(Closure::of) {
            Some(closure) => self.guesses.insert(d, closure.proto()),
            None => self.guesses.remove(&d),
        };
    }

    /// Pushes whether the register's low four bits are `tag`.
    pub(super) fn has_tag(&mut self, register: u16, tag: u64) {
        self.get_address(register).i32(mask()).op(Plain::I32And).i32(low(tag)).op(Plain::I32Eq);
    }

    fn check_pair(&mut self, slow: Slow, s: u16) {
        self.has_tag(s, tag::PAIR);
        self.code.op(Plain::I32Eqz).when();
        self.return_error(slow, s, s);
        self.code.op(Plain::End);
    }

    /// Takes the first free cell; when there is none, the helper finds one.
    fn cons(&mut self, d: u16, a: u16, b: u16) {
        let (list, cell) = (self.batch.addresses.free_pairs, self.address);
        self.code.i32(list).load32(0).tee(cell).when();
        self.code.i32(list).get(cell).load32(0).store32(0);
        self.code.get(cell);
        self.get(a).store64(0).get(cell);
        self.get(b).store64(8).get(cell).i32(low(tag::PAIR)).op(Plain::I32Or).op(Plain::I64ExtendI32U);
        self.set(d);
        self.code.op(Plain::Else);
        self.machine();
        self.get(a);
        self.get(b);
        self.helper(Helper::Cons);
        self.set(d);
        self.code.op(Plain::End);
    }

    fn closure(&mut self, d: u16, k: u32) {
        let scratch = self.scratch;
        self.machine();
        self.code.i32(k);
        self.helper(Helper::Closure).set(scratch);
        let protos = self.batch.protos();
        for (index, source) in (0u16..).zip(&protos[k as usize].captures) {
            self.code.get(scratch).op(Plain::I32WrapI64);
            match *source {
                Source::Register(register) => self.get(register),
                Source::Captured(outer) => self.get_address(0).load64(captured(outer)),
            };
            self.code.store64(captured(index));
        }
        self.code.get(scratch);
        self.set(d);
    }

    /// Pushes the address of a vector's element, less the header; returns with the error of `slow` when there is none.
    fn element(&mut self, slow: Slow, v: u16, i: u16) {
        // A vector, an integer, and within its length: each is looked at only when the one before holds.
        self.code.block();
        self.code.block();
        self.has_tag(v, tag::OBJECT);
        self.code.op(Plain::I32Eqz).br_if(0);
        let header = low(tag::OBJECT);
        self.get_address(v).i32(header).op(Plain::I32Sub).load8(0).i32(Kind::Vector as u32).op(Plain::I32Ne).br_if(0);
        if !self.is_integer(i) {
            self.get_address(i).i32(1).op(Plain::I32And).br_if(0);
        }
        self.get(i).i64(1).op(Plain::I64ShrS);
        self.get_address(v).i32(header).op(Plain::I32Sub).load32(4).op(Plain::I64ExtendI32U);
        self.code.op(Plain::I64GeU).br_if(0).br(1).op(Plain::End);
        self.return_error(slow, v, i);
        self.code.op(Plain::End);
        // The word is twice the index, and an element takes eight bytes.
        self.get_address(v);
        self.get_address(i).i32(4).op(Plain::I32Mul).op(Plain::I32Add);
    }
}

/// The offset of captured value `index` from a closure's word.
fn captured(index: u16) -> u32 {
    field(tag::CLOSURE, 2 + u32::from(index))
}

fn low(tag: u64) -> u32 {
    u32::from(tag.to_le_bytes()[0])
}

fn mask() -> u32 {
    low(tag::MASK)
}
