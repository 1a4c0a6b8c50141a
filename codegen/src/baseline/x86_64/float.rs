//! Floating-point operations with SSE instructions, and conversions (core specification, 4.3.3 and 4.3.4).

use super::super::bounds::{TWO_63, bits, bounds};
use super::super::masm::{
    Alu, Compare, Cond, Float, FloatBinary, FloatCompare, FloatUnary, Fpr, Gpr, Label, Masm, Shift, Source, ToFloat,
    ToInt, Width,
};
use super::encode::{Op, Rm};
use super::{R11, R14, X86_64};

const XMM14: Fpr = Fpr(14);
const XMM15: Fpr = Fpr(15);

/// The condition that a comparison found a NaN, and its contrary.
const UNORDERED: Cond = Cond(10);
const ORDERED: u8 = 11;

/// A scalar operation: with prefix 0xf3 for 32 bits, with 0xf2 for 64.
pub(super) const fn scalar(ty: Float, opcode: u8) -> Op {
    Op::two(opcode).prefix(match ty {
        Float::F32 => 0xf3,
        Float::F64 => 0xf2,
    })
}

/// An operation on all bits of a register.
fn packed(opcode: u8) -> Op {
    Op::two(opcode)
}

const AND: u8 = 0x54;
const AND_NOT: u8 = 0x55;
const OR: u8 = 0x56;

fn sign(ty: Float) -> u8 {
    match ty {
        Float::F32 => 31,
        Float::F64 => 63,
    }
}

impl X86_64 {
    /// Sets the flags: above, below and equal as for unsigned integers; all of them (and parity) for a NaN.
    fn ucomis(&mut self, ty: Float, a: Fpr, b: Fpr) {
        let op = Op::two(0x2e);
        let op = if ty == Float::F64 { op.prefix(0x66) } else { op };
        self.encoder.op(op, a.0, Rm::Reg(b.0));
    }

    pub(super) fn fcompare_to(&mut self, compare: FloatCompare, ty: Float, a: Fpr, b: Fpr, dst: Gpr) -> Option<Cond> {
        let (a, b) = match compare {
            FloatCompare::Lt | FloatCompare::Le => (b, a),
            _ => (a, b),
        };
        self.ucomis(ty, a, b);
        match compare {
            FloatCompare::Lt | FloatCompare::Gt => Some(Self::cond(Compare::GtU)),
            FloatCompare::Le | FloatCompare::Ge => Some(Self::cond(Compare::GeU)),
            FloatCompare::Eq => {
                self.set_byte(ORDERED, R11);
                self.set(Self::cond(Compare::Eq), dst);
                self.op(Op::two(0xb6).bytes(), R11, Rm::Reg(R11.0));
                self.alu(Alu::And, Width::W32, dst, Source::Gpr(R11));
                None
            }
            FloatCompare::Ne => {
                self.set_byte(UNORDERED.0, R11);
                self.set(Self::cond(Compare::Ne), dst);
                self.op(Op::two(0xb6).bytes(), R11, Rm::Reg(R11.0));
                self.alu(Alu::Or, Width::W32, dst, Source::Gpr(R11));
                None
            }
        }
    }

    pub(super) fn float_binary(&mut self, op: FloatBinary, ty: Float, dst: Fpr, src: Fpr) {
        let opcode = match op {
            FloatBinary::Add => 0x58,
            FloatBinary::Mul => 0x59,
            FloatBinary::Sub => 0x5c,
            FloatBinary::Div => 0x5e,
            FloatBinary::Min => return self.extreme(ty, 0x5d, OR, dst, src),
            FloatBinary::Max => return self.extreme(ty, 0x5f, AND, dst, src),
            FloatBinary::Copysign => return self.copysign(ty, dst, src),
        };
        self.encoder.op(scalar(ty, opcode), dst.0, Rm::Reg(src.0));
    }

    /// The lesser or greater of two. The processor's instruction answers the second operand when one is a NaN or both are zeros: of zeros the signs are joined, of a NaN and anything
    /// the sum is a quiet NaN.
    fn extreme(&mut self, ty: Float, opcode: u8, join: u8, dst: Fpr, src: Fpr) {
        let (unequal, nan, done) = (self.new_label(), self.new_label(), self.new_label());
        self.ucomis(ty, dst, src);
        self.jump_if(UNORDERED, nan);
        self.jump_if(Self::cond(Compare::Ne), unequal);
        self.encoder.op(packed(join), dst.0, Rm::Reg(src.0));
        self.jump(done);
        self.bind(nan);
        self.encoder.op(scalar(ty, 0x58), dst.0, Rm::Reg(src.0));
        self.jump(done);
        self.bind(unequal);
        self.encoder.op(scalar(ty, opcode), dst.0, Rm::Reg(src.0));
        self.bind(done);
    }

    fn copysign(&mut self, ty: Float, dst: Fpr, src: Fpr) {
        self.mov_imm(R11, 1 << sign(ty));
        self.gpr_to_fpr(Float::F64, XMM15, R11);
        self.fmov(XMM14, src);
        self.encoder.op(packed(AND), XMM14.0, Rm::Reg(XMM15.0));
        self.encoder.op(packed(AND_NOT), XMM15.0, Rm::Reg(dst.0));
        self.encoder.op(packed(OR), XMM15.0, Rm::Reg(XMM14.0));
        self.fmov(dst, XMM15);
    }

    pub(super) fn float_unary(&mut self, op: FloatUnary, ty: Float, dst: Fpr, src: Fpr) {
        /// No exception when the result is not the number itself.
        const QUIET: u8 = 8;
        let rounding = match op {
            FloatUnary::Nearest => 0,
            FloatUnary::Floor => 1,
            FloatUnary::Ceil => 2,
            FloatUnary::Trunc => 3,
            FloatUnary::Sqrt => return self.encoder.op(scalar(ty, 0x51), dst.0, Rm::Reg(src.0)),
            FloatUnary::Abs => return self.change_sign(ty, 6, dst, src),
            FloatUnary::Neg => return self.change_sign(ty, 7, dst, src),
        };
        let opcode = if ty == Float::F64 { 0x0b } else { 0x0a };
        self.encoder.op_imm8(Op::three(opcode).prefix(0x66), dst.0, Rm::Reg(src.0), QUIET | rounding);
    }

    /// `btr` (6) or `btc` (7) of the sign.
    fn change_sign(&mut self, ty: Float, number: u8, dst: Fpr, src: Fpr) {
        self.fpr_to_gpr(ty, R11, src);
        self.encoder.op_imm8(Op::two(0xba).wide(true), number, Rm::Reg(R11.0), sign(ty));
        self.gpr_to_fpr(ty, dst, R11);
    }

    pub(super) fn integer_to_float(&mut self, op: ToFloat, dst: Fpr, src: Gpr) {
        // The instruction leaves the upper part of its register, so that it would wait for whatever has made that.
        self.encoder.op(packed(0x57), dst.0, Rm::Reg(dst.0));
        let convert = |masm: &mut Self, wide: bool, from: Gpr| {
            masm.encoder.op(scalar(op.to, 0x2a).wide(wide), dst.0, Rm::Reg(from.0));
        };
        match (op.from, op.signed) {
            (Width::W32, true) => convert(self, false, src),
            // As a number of 64 bits it has no sign.
            (Width::W32, false) | (Width::W64, true) => convert(self, true, src),
            (Width::W64, false) => {
                let (large, done) = (self.new_label(), self.new_label());
                self.test(Width::W64, src);
                self.jump_if(Self::cond(Compare::LtS), large);
                convert(self, true, src);
                self.jump(done);
                self.bind(large);
                // Half of it, with the bit that is lost kept for rounding, and twice that.
                self.mov(Width::W64, R11, src);
                self.shift_imm(Shift::RightUnsigned, Width::W64, src, 1);
                self.alu(Alu::And, Width::W32, R11, Source::Imm(1));
                self.alu(Alu::Or, Width::W64, src, Source::Gpr(R11));
                convert(self, true, src);
                self.encoder.op(scalar(op.to, 0x58), dst.0, Rm::Reg(dst.0));
                self.bind(done);
            }
        }
    }

    /// Converts what fits.
    fn convert(&mut self, op: ToInt, dst: Gpr, src: Fpr) {
        let truncate = |masm: &mut Self, wide: bool, dst: Gpr, src: Fpr| {
            masm.encoder.op(scalar(op.from, 0x2c).wide(wide), dst.0, Rm::Reg(src.0));
        };
        match (op.to, op.signed) {
            (Width::W32, true) => truncate(self, false, dst, src),
            (Width::W32, false) => {
                truncate(self, true, dst, src);
                self.mov(Width::W32, dst, dst);
            }
            (Width::W64, true) => truncate(self, true, dst, src),
            (Width::W64, false) => {
                let (large, done) = (self.new_label(), self.new_label());
                self.fmov_imm(op.from, XMM15, bits(op.from, TWO_63));
                self.ucomis(op.from, src, XMM15);
                self.jump_if(Self::cond(Compare::GeU), large);
                truncate(self, true, dst, src);
                self.jump(done);
                self.bind(large);
                self.encoder.op(scalar(op.from, 0x5c), src.0, Rm::Reg(XMM15.0));
                truncate(self, true, dst, src);
                self.mov_imm(R14, 1 << 63);
                self.alu(Alu::Xor, Width::W64, dst, Source::Gpr(R14));
                self.bind(done);
            }
        }
    }

    /// Jumps to `below` and `beyond` for what does not fit. `src` is not a NaN.
    fn check_bounds(&mut self, op: ToInt, src: Fpr, below: Label, beyond: Label) {
        let bounds = bounds(op);
        self.fmov_imm(op.from, XMM15, bits(op.from, bounds.lowest));
        self.ucomis(op.from, src, XMM15);
        self.jump_if(Self::cond(if bounds.inclusive { Compare::LtU } else { Compare::LeU }), below);
        self.fmov_imm(op.from, XMM15, bits(op.from, bounds.beyond));
        self.ucomis(op.from, src, XMM15);
        self.jump_if(Self::cond(Compare::GeU), beyond);
    }

    pub(super) fn float_to_integer(&mut self, op: ToInt, dst: Gpr, src: Fpr, invalid: Label, overflow: Label) {
        self.ucomis(op.from, src, src);
        self.jump_if(UNORDERED, invalid);
        self.check_bounds(op, src, overflow, overflow);
        self.convert(op, dst, src);
    }

    pub(super) fn float_to_nearest_integer(&mut self, op: ToInt, dst: Gpr, src: Fpr) {
        let (zero, below, beyond, done) = (self.new_label(), self.new_label(), self.new_label(), self.new_label());
        let (least, most) = match (op.to, op.signed) {
            (Width::W32, true) => (1 << 31, (1 << 31) - 1),
            (Width::W32, false) => (0, u64::from(u32::MAX)),
            (Width::W64, true) => (1 << 63, (1 << 63) - 1),
            (Width::W64, false) => (0, u64::MAX),
        };
        self.ucomis(op.from, src, src);
        self.jump_if(UNORDERED, zero);
        self.check_bounds(op, src, below, beyond);
        self.convert(op, dst, src);
        self.jump(done);
        for (label, value) in [(zero, 0), (below, least), (beyond, most)] {
            self.bind(label);
            self.mov_imm(dst, value);
            self.jump(done);
        }
        self.bind(done);
    }
}
