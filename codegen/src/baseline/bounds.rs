//! Which floating-point numbers fit an integer (core specification, 4.3.2, `trunc`).

use super::masm::{Float, ToInt, Width};

/// What fits an integer: what is `lowest`, or more, or (not `inclusive`) only what is more, and less than `beyond`.
pub(super) struct Bounds {
    pub(super) lowest: f64,
    pub(super) inclusive: bool,
    pub(super) beyond: f64,
}

const TWO_31: f64 = 2_147_483_648.0;
const TWO_32: f64 = 4_294_967_296.0;
pub(super) const TWO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_64: f64 = 18_446_744_073_709_551_616.0;

/// All bounds are exact in the type converted from.
pub(super) fn bounds(op: ToInt) -> Bounds {
    let (lowest, inclusive, beyond) = match (op.to, op.signed, op.from) {
        (Width::W32, true, Float::F64) => (-TWO_31 - 1.0, false, TWO_31),
        (Width::W32, true, Float::F32) => (-TWO_31, true, TWO_31),
        (Width::W64, true, _) => (-TWO_63, true, TWO_63),
        (Width::W32, false, _) => (-1.0, false, TWO_32),
        (Width::W64, false, _) => (-1.0, false, TWO_64),
    };
    Bounds { lowest, inclusive, beyond }
}

/// A bound's bits.
pub(super) fn bits(ty: Float, value: f64) -> u64 {
    match ty {
        #[allow(clippy::cast_possible_truncation, reason = "all bounds of this type are powers of two, or -1")]
        Float::F32 => u64::from((value as f32).to_bits()),
        Float::F64 => value.to_bits(),
    }
}
