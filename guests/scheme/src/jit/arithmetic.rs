//! Integers: what is usual in line, what is not (another type, a result of more than 63 bits) in [`Helper::Binary`].
//!
//! A register holds twice its integer, so sums, differences, remainders and comparisons of words are those of integers.
//!
//! [`Helper::Binary`]: super::runtime::Helper::Binary

use super::compile::Function;
use super::encode::Plain;
use super::runtime::{Helper, Slow};
use crate::op::Op;
use crate::value::Value;

impl Function<'_> {
    pub(super) fn arithmetic(&mut self, op: Op) {
        match op {
            Op::Add { d, a, b } => {
                self.check(Slow::Add, a, b);
                self.sum(Slow::Add, Plain::I64Add, d, a, b);
            }
            Op::Sub { d, a, b } => {
                self.check(Slow::Subtract, a, b);
                self.sum(Slow::Subtract, Plain::I64Sub, d, a, b);
            }
            Op::AddInt { d, a, i } => self.add_constant(d, a, i),
            Op::Mul { d, a, b } => self.multiply(d, a, b),
            Op::Quotient { d, a, b } => self.divide(Slow::Quotient, d, a, b),
            Op::Remainder { d, a, b } => self.divide(Slow::Remainder, d, a, b),
            Op::Modulo { d, a, b } => self.divide(Slow::Modulo, d, a, b),
            Op::Less { d, a, b } => {
                self.compare(Slow::Compare, Plain::I64LtS, a, b);
                self.set_boolean(d);
            }
            Op::LessEqual { d, a, b } => {
                self.compare(Slow::Compare, Plain::I64LeS, a, b);
                self.set_boolean(d);
            }
            Op::NumEqual { d, a, b } => {
                self.compare(Slow::Equal, Plain::I64Eq, a, b);
                self.set_boolean(d);
            }
            Op::JumpLess { a, b, to } => {
                self.compare(Slow::Compare, Plain::I64LtS, a, b);
                self.branch_if(to);
            }
            Op::JumpLessEqual { a, b, to } => {
                self.compare(Slow::Compare, Plain::I64LeS, a, b);
                self.branch_if(to);
            }
            Op::JumpNumEqual { a, b, to } => {
                self.compare(Slow::Equal, Plain::I64Eq, a, b);
                self.branch_if(to);
            }
            Op::JumpNumDiffer { a, b, to } => {
                self.compare(Slow::Equal, Plain::I64Ne, a, b);
                self.branch_if(to);
            }
            Op::JumpLessInt { a, i, to } => {
                self.compare_constant(Slow::Compare, Plain::I64LtS, a, i);
                self.branch_if(to);
            }
            Op::JumpNotLessInt { a, i, to } => {
                self.compare_constant(Slow::Compare, Plain::I64GeS, a, i);
                self.branch_if(to);
            }
            Op::JumpEqualInt { a, i, to } => {
                self.compare_constant(Slow::Equal, Plain::I64Eq, a, i);
                self.branch_if(to);
            }
            Op::JumpDifferInt { a, i, to } => {
                self.compare_constant(Slow::Equal, Plain::I64Ne, a, i);
                self.branch_if(to);
            }
            _ => unreachable!("`instruction` sends nothing else here"),
        }
    }

    /// Returns with the error of `slow` unless both registers hold integers.
    fn check(&mut self, slow: Slow, a: u16, b: u16) {
        match (self.is_integer(a), self.is_integer(b)) {
            (true, true) => return,
            (true, false) => self.get(b),
            (false, true) => self.get(a),
            (false, false) if a == b => self.get(a),
            (false, false) => {
                self.get(a);
                self.get(b).op(Plain::I64Or)
            }
        };
        self.code.op(Plain::I32WrapI64).i32(1).op(Plain::I32And).when();
        self.return_error(slow, a, b);
        self.code.op(Plain::End);
    }

    /// Returns with the error of `slow` unless the register holds an integer.
    fn check_one(&mut self, slow: Slow, a: u16) {
        if self.is_integer(a) {
            return;
        }
        self.get_address(a).i32(1).op(Plain::I32And).when();
        self.return_constant_error(slow, a, Value::ZERO);
        self.code.op(Plain::End);
    }

    fn return_constant_error(&mut self, slow: Slow, a: u16, b: Value) {
        self.machine();
        self.code.i32(slow as u32);
        self.get(a).i64(b.0);
        self.return_helper(Helper::Binary);
    }

    fn sum(&mut self, slow: Slow, op: Plain, d: u16, a: u16, b: u16) {
        let scratch = self.scratch;
        self.get(a);
        self.get(b).op(op).set(scratch);
        // The sign is wrong: for a sum, when both operands' signs differ from the result's; for a
        // difference, when the signs of a and b differ, and those of a and the result.
        self.get(a).get(scratch).op(Plain::I64Xor);
        if slow == Slow::Add {
            self.get(b).get(scratch);
        } else {
            self.get(a);
            self.get(b);
        }
        self.code.op(Plain::I64Xor).op(Plain::I64And).i64(0).op(Plain::I64LtS).when();
        self.return_error(slow, a, b);
        self.code.op(Plain::End).get(scratch);
        self.set(d);
    }

    fn add_constant(&mut self, d: u16, a: u16, i: i16) {
        self.check_one(Slow::Add, a);
        let step = Value::small(i.into());
        if i != 0 {
            let (limit, beyond) =
                if i > 0 { (i64::MAX - step.raw(), Plain::I64GtS) } else { (i64::MIN - step.raw(), Plain::I64LtS) };
            self.get(a).i64(limit.cast_unsigned()).op(beyond).when();
            self.return_constant_error(Slow::Add, a, step);
            self.code.op(Plain::End);
        }
        self.get(a).i64(step.0).op(Plain::I64Add);
        self.set(d);
    }

    /// A product of two numbers of 32 bits always fits; others are left to the helper.
    fn multiply(&mut self, d: u16, a: u16, b: u16) {
        self.check(Slow::Multiply, a, b);
        self.get(a).op(Plain::I64Extend32S);
        self.get(a).op(Plain::I64Xor);
        self.get(b).op(Plain::I64Extend32S);
        self.get(b).op(Plain::I64Xor).op(Plain::I64Or).op(Plain::I64Eqz);
        self.code.when();
        self.get(a).i64(1).op(Plain::I64ShrS);
        self.get(b).op(Plain::I64Mul);
        self.set(d);
        self.code.op(Plain::Else);
        self.slow(Slow::Multiply, a, b);
        self.set_unless_failed(d);
        self.code.op(Plain::End);
    }

    /// Division by a positive number cannot overflow; others are left to the helper.
    fn divide(&mut self, slow: Slow, d: u16, a: u16, b: u16) {
        self.check(slow, a, b);
        let scratch = self.scratch;
        self.get(b).i64(0).op(Plain::I64GtS).when();
        self.get(a);
        self.get(b);
        match slow {
            Slow::Quotient => {
                self.code.op(Plain::I64DivS).i64(1).op(Plain::I64Shl);
            }
            Slow::Remainder => {
                self.code.op(Plain::I64RemS);
            }
            _ => {
                // The remainder has the sign of the dividend; the divisor is positive.
                self.code.op(Plain::I64RemS).tee(scratch).get(scratch);
                self.code.i64(63).op(Plain::I64ShrS);
                self.get(b).op(Plain::I64And).op(Plain::I64Add);
            }
        }
        self.set(d);
        self.code.op(Plain::Else);
        self.slow(slow, a, b);
        self.set_unless_failed(d);
        self.code.op(Plain::End);
    }

    fn compare(&mut self, slow: Slow, op: Plain, a: u16, b: u16) {
        self.check(slow, a, b);
        self.get(a);
        self.get(b).op(op);
    }

    fn compare_constant(&mut self, slow: Slow, op: Plain, a: u16, i: i16) {
        self.check_one(slow, a);
        self.get(a).i64(Value::small(i.into()).0).op(op);
    }

    /// Pops an `i32` that is 0 or 1 and sets the register to `#f` or `#t`.
    pub(super) fn set_boolean(&mut self, d: u16) {
        // The two differ in one bit.
        let bit = u64::from((Value::TRUE.0 ^ Value::FALSE.0).trailing_zeros());
        self.code.op(Plain::I64ExtendI32U).i64(bit).op(Plain::I64Shl).i64(Value::FALSE.0).op(Plain::I64Or);
        self.set(d);
    }
}

const _: () = assert!((Value::TRUE.0 ^ Value::FALSE.0).count_ones() == 1 && Value::TRUE.0 > Value::FALSE.0);
