//! Floating-point operations, and conversions (core specification, 4.3.3 and 4.3.4). The instructions do what WebAssembly wants, NaNs and zeros included.

use super::super::bounds::{bits, bounds};
use super::super::masm::{
    Compare, Cond, Float, FloatBinary, FloatCompare, FloatUnary, Fpr, Gpr, Label, Masm, ToInt, Width,
};
use super::Aarch64;
use super::encode::{Access, Encoder};

const V30: Fpr = Fpr(30);

/// Operations with one operand: [`Encoder::float`].
pub(super) const FMOV: u32 = 0x1e20_4000;
pub(super) const TO_SINGLE: u32 = 0x1e22_4000;
pub(super) const TO_DOUBLE: u32 = 0x1e22_c000;

/// Conversions between the two kinds of registers: [`Encoder::convert`].
pub(super) const SCVTF: u32 = 0x1e22_0000;
pub(super) const UCVTF: u32 = 0x1e23_0000;
pub(super) const TO_BITS: u32 = 0x1e26_0000;
pub(super) const FROM_BITS: u32 = 0x1e27_0000;
pub(super) const FCVTZS: u32 = 0x1e38_0000;
pub(super) const FCVTZU: u32 = 0x1e39_0000;

const FCMP: u32 = 0x1e20_2000;

/// Operations on a vector's bytes.
const MOVI_ZERO: u32 = 0x2f00_e400;
const CNT: u32 = 0x0e20_5800;
const ADDV: u32 = 0x0e31_b800;
const BIT: u32 = 0x2ea0_1c00;

/// A comparison found a NaN.
const UNORDERED: Cond = Cond(6);
/// It found less, and no NaN.
const LESS: Cond = Cond(4);

/// Less or equal, and no NaN.
const LESS_OR_EQUAL: Cond = Cond(9);

pub(super) fn unary(op: FloatUnary) -> u32 {
    match op {
        FloatUnary::Abs => 0x1e20_c000,
        FloatUnary::Neg => 0x1e21_4000,
        FloatUnary::Sqrt => 0x1e21_c000,
        FloatUnary::Nearest => 0x1e24_4000,
        FloatUnary::Ceil => 0x1e24_c000,
        FloatUnary::Floor => 0x1e25_4000,
        FloatUnary::Trunc => 0x1e25_c000,
    }
}

pub(super) fn load(ty: Float) -> Access {
    match ty {
        Float::F32 => Access::LOAD_S,
        Float::F64 => Access::LOAD_D,
    }
}

/// The bits that say how wide numbers are.
fn precision(ty: Float) -> u32 {
    u32::from(ty == Float::F64) << 22
}

impl Encoder {
    pub(super) fn float(&mut self, op: u32, ty: Float, rd: u8, rn: u8) {
        self.rr(op | precision(ty), false, rd, rn);
    }

    fn float_two(&mut self, op: u32, ty: Float, rd: u8, rn: u8, rm: u8) {
        self.rrr(op | precision(ty), false, rd, rn, rm);
    }

    /// An integer in a general-purpose register, of 64 bits if it is `wide`, and a number of type `ty` in the other register.
    pub(super) fn convert(&mut self, op: u32, wide: bool, ty: Float, rd: u8, rn: u8) {
        self.rr(op | precision(ty), wide, rd, rn);
    }

    /// `movi rd, #0`
    pub(super) fn clear_vector(&mut self, rd: u8) {
        self.rr(MOVI_ZERO, false, rd, 0);
    }
}

impl Aarch64 {
    pub(super) fn fcompare_for(&mut self, compare: FloatCompare, ty: Float, a: Fpr, b: Fpr) -> Cond {
        self.encoder.float_two(FCMP, ty, 0, a.0, b.0);
        match compare {
            FloatCompare::Eq => Self::cond(Compare::Eq),
            FloatCompare::Ne => Self::cond(Compare::Ne),
            FloatCompare::Lt => LESS,
            FloatCompare::Le => LESS_OR_EQUAL,
            FloatCompare::Gt => Self::cond(Compare::GtS),
            FloatCompare::Ge => Self::cond(Compare::GeS),
        }
    }

    pub(super) fn float_binary(&mut self, op: FloatBinary, ty: Float, dst: Fpr, src: Fpr) {
        let op = match op {
            FloatBinary::Mul => 0x1e20_0800,
            FloatBinary::Div => 0x1e20_1800,
            FloatBinary::Add => 0x1e20_2800,
            FloatBinary::Sub => 0x1e20_3800,
            FloatBinary::Max => 0x1e20_4800,
            FloatBinary::Min => 0x1e20_5800,
            FloatBinary::Copysign => {
                // Of the second number, the bits that are ones in the third.
                let sign = if ty == Float::F64 { 1 << 63 } else { 1 << 31 };
                self.fmov_imm(ty, V30, sign);
                return self.encoder.rrr(BIT, false, dst.0, src.0, V30.0);
            }
        };
        self.encoder.float_two(op, ty, dst.0, dst.0, src.0);
    }

    /// Counts the ones: those of each byte, and their sum.
    pub(super) fn count_bits(&mut self, width: Width, dst: Gpr, src: Gpr) {
        let ty = if width == Width::W64 { Float::F64 } else { Float::F32 };
        self.gpr_to_fpr(ty, V30, src);
        self.encoder.rr(CNT, false, V30.0, V30.0);
        self.encoder.rr(ADDV, false, V30.0, V30.0);
        self.fpr_to_gpr(Float::F32, dst, V30);
    }

    /// Jumps to `invalid` for a NaN, to `overflow` for what does not fit.
    pub(super) fn check_bounds(&mut self, op: ToInt, src: Fpr, invalid: Label, overflow: Label) {
        let bounds = bounds(op);
        self.fmov_imm(op.from, V30, bits(op.from, bounds.lowest));
        self.encoder.float_two(FCMP, op.from, 0, src.0, V30.0);
        self.jump_if(UNORDERED, invalid);
        self.jump_if(if bounds.inclusive { LESS } else { LESS_OR_EQUAL }, overflow);
        self.fmov_imm(op.from, V30, bits(op.from, bounds.beyond));
        self.encoder.float_two(FCMP, op.from, 0, src.0, V30.0);
        self.jump_if(Self::cond(Compare::GeS), overflow);
    }
}
