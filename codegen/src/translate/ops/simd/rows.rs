//! The table of the regular operators: one row for each operator without immediates, that says how its operands are divided into lanes and what is
//! done with them. [`Row::translate`] reads a row.

use inkwell::values::BasicValueEnum;
use inkwell::{FloatPredicate, IntPredicate};
use wasmparser::Operator;

use super::lanes::{Binary, Lanes, Shift, Ternary, Test, Unary};
use super::shape::{Half, Shape, Sign};
use crate::error::Error;

/// What a regular operator does.
#[derive(Clone, Copy)]
pub(super) enum Row<'a, 'ctx> {
    /// Vector to vector.
    Unary(Shape, Unary<'a, 'ctx>),
    /// Two vectors to one.
    Binary(Shape, Binary<'a, 'ctx>),
    /// Three vectors to one.
    Ternary(Shape, Ternary<'a, 'ctx>),
    /// Vector to vector, by an intrinsic function on lanes.
    LanewiseOne(Shape, &'static str),
    /// Two vectors to one, by an intrinsic function on lanes.
    LanewiseTwo(Shape, &'static str),
    /// A vector and an i32 amount to a vector.
    Shift(Shape, Shift<'a, 'ctx>),
    /// Vector to i32.
    Test(Shape, Test<'a, 'ctx>),
    /// Scalar to vector.
    Splat(Shape),
    /// Comparison of integers; ones for true, zeros for false.
    IntCompare(Shape, IntPredicate),
    /// Comparison of floats; ones for true, zeros for false.
    FloatCompare(Shape, FloatPredicate),
    /// Half of the lanes, in twice the width.
    Extend(Shape, Half, Sign),
    /// Products of half of the lanes, in twice the width.
    ExtendMultiply(Shape, Half, Sign),
    /// Sums of neighbours, in twice the width.
    AddPairs(Shape, Sign),
    /// All lanes of two vectors, in half the width.
    Narrow(Shape, Sign),
    /// Floats to integers, saturating.
    Truncate(Shape, Sign),
    /// Floats to integers, as the processor does it.
    RelaxedTruncate(Shape, Sign),
    /// Integers to the floats of a shape.
    Convert(Shape, Sign),
}

impl<'a, 'ctx> Row<'a, 'ctx> {
    /// How many operands there are.
    pub(super) fn arity(&self) -> usize {
        match self {
            Row::Ternary(..) => 3,
            Row::Binary(..)
            | Row::LanewiseTwo(..)
            | Row::Shift(..)
            | Row::IntCompare(..)
            | Row::FloatCompare(..)
            | Row::ExtendMultiply(..)
            | Row::Narrow(..) => 2,
            _ => 1,
        }
    }

    /// What the operator makes of `operands`, of which there are [`Row::arity`].
    pub(super) fn apply(
        self,
        lanes: &Lanes<'a, 'ctx>,
        operands: &[BasicValueEnum<'ctx>],
    ) -> Result<BasicValueEnum<'ctx>, Error> {
        let of = |shape: Shape, value: BasicValueEnum<'ctx>| lanes.cast(value, shape.ty(lanes));
        let result = match (self, operands) {
            (Row::Unary(shape, apply), &[a]) => apply(lanes, of(shape, a)?)?,
            (Row::Binary(shape, apply), &[a, b]) => apply(lanes, of(shape, a)?, of(shape, b)?)?,
            (Row::Ternary(shape, apply), &[a, b, c]) => apply(lanes, of(shape, a)?, of(shape, b)?, of(shape, c)?)?,
            (Row::LanewiseOne(shape, name), &[a]) => lanes.lanewise(name, &[of(shape, a)?])?,
            (Row::LanewiseTwo(shape, name), &[a, b]) => lanes.lanewise(name, &[of(shape, a)?, of(shape, b)?])?,
            (Row::Shift(shape, apply), &[a, amount]) => apply(lanes, of(shape, a)?, amount.into_int_value())?,
            (Row::Test(shape, apply), &[a]) => return Ok(apply(lanes, of(shape, a)?)?.into()),
            (Row::Splat(shape), &[lane]) => lanes.splat(shape.ty(lanes), lanes.narrowed(lane, shape)?)?,
            (Row::IntCompare(shape, predicate), &[a, b]) => {
                let (a, b) = (of(shape, a)?, of(shape, b)?);
                let bits = lanes.builder().build_int_compare(predicate, a, b, "")?;
                lanes.extend(bits, a.get_type(), Sign::Signed)?
            }
            (Row::FloatCompare(shape, predicate), &[a, b]) => {
                lanes.float_mask(predicate, of(shape, a)?, of(shape, b)?)?
            }
            (Row::Extend(shape, half, sign), &[a]) => lanes.extend_half(of(shape, a)?, half, sign)?,
            (Row::ExtendMultiply(shape, half, sign), &[a, b]) => {
                lanes.extend_multiply(of(shape, a)?, of(shape, b)?, half, sign)?
            }
            (Row::AddPairs(shape, sign), &[a]) => lanes.add_pairs(of(shape, a)?, sign)?,
            (Row::Narrow(shape, sign), &[a, b]) => lanes.narrow(of(shape, a)?, of(shape, b)?, sign)?,
            (Row::Truncate(shape, sign), &[a]) => lanes.truncate(of(shape, a)?, sign)?,
            (Row::RelaxedTruncate(shape, sign), &[a]) => lanes.relaxed_truncate(of(shape, a)?, sign)?,
            (Row::Convert(shape, sign), &[a]) => lanes.convert(of(Shape::I32x4, a)?, shape.ty(lanes), sign)?,
            _ => return Err(Error::internal("a vector operator has the wrong number of operands")),
        };
        Ok(lanes.canonical(result)?.into())
    }
}

/// The row of `op`, if it is a regular operator.
#[rustfmt::skip]
pub(super) fn row<'a, 'ctx>(op: &Operator<'_>) -> Option<Row<'a, 'ctx>> {
    use Half::{High, Low};
    use Row::{AddPairs, Binary, Convert, Extend, ExtendMultiply, FloatCompare, IntCompare, LanewiseOne, LanewiseTwo, Narrow, RelaxedTruncate, Shift, Splat, Ternary, Test, Truncate, Unary};
    use Shape::{F32x4, F64x2, I8x16, I16x8, I32x4, I64x2};
    use Sign::{Signed, Unsigned};

    Some(match op {
        // Bits.
        Operator::V128Not => Unary(I64x2, Lanes::not),
        Operator::V128And => Binary(I64x2, Lanes::and),
        Operator::V128AndNot => Binary(I64x2, Lanes::and_not),
        Operator::V128Or => Binary(I64x2, Lanes::or),
        Operator::V128Xor => Binary(I64x2, Lanes::xor),
        Operator::V128Bitselect => Ternary(I64x2, Lanes::bit_select),
        Operator::V128AnyTrue => Test(I64x2, Lanes::any_true),

        // Integers: i8x16.
        Operator::I8x16Splat => Splat(I8x16),
        Operator::I8x16Eq => IntCompare(I8x16, IntPredicate::EQ),
        Operator::I8x16Ne => IntCompare(I8x16, IntPredicate::NE),
        Operator::I8x16LtS => IntCompare(I8x16, IntPredicate::SLT),
        Operator::I8x16LtU => IntCompare(I8x16, IntPredicate::ULT),
        Operator::I8x16GtS => IntCompare(I8x16, IntPredicate::SGT),
        Operator::I8x16GtU => IntCompare(I8x16, IntPredicate::UGT),
        Operator::I8x16LeS => IntCompare(I8x16, IntPredicate::SLE),
        Operator::I8x16LeU => IntCompare(I8x16, IntPredicate::ULE),
        Operator::I8x16GeS => IntCompare(I8x16, IntPredicate::SGE),
        Operator::I8x16GeU => IntCompare(I8x16, IntPredicate::UGE),
        Operator::I8x16Abs => Unary(I8x16, Lanes::abs),
        Operator::I8x16Neg => Unary(I8x16, Lanes::neg),
        Operator::I8x16Popcnt => LanewiseOne(I8x16, "llvm.ctpop"),
        Operator::I8x16AllTrue => Test(I8x16, Lanes::all_true),
        Operator::I8x16Bitmask => Test(I8x16, Lanes::bitmask),
        Operator::I8x16Shl => Shift(I8x16, Lanes::shift_left),
        Operator::I8x16ShrS => Shift(I8x16, Lanes::shift_right_signed),
        Operator::I8x16ShrU => Shift(I8x16, Lanes::shift_right_unsigned),
        Operator::I8x16Add => Binary(I8x16, Lanes::add),
        Operator::I8x16Sub => Binary(I8x16, Lanes::sub),
        Operator::I8x16AddSatS => LanewiseTwo(I8x16, "llvm.sadd.sat"),
        Operator::I8x16AddSatU => LanewiseTwo(I8x16, "llvm.uadd.sat"),
        Operator::I8x16SubSatS => LanewiseTwo(I8x16, "llvm.ssub.sat"),
        Operator::I8x16SubSatU => LanewiseTwo(I8x16, "llvm.usub.sat"),
        Operator::I8x16AvgrU => Binary(I8x16, Lanes::average),
        Operator::I8x16MinS => LanewiseTwo(I8x16, "llvm.smin"),
        Operator::I8x16MinU => LanewiseTwo(I8x16, "llvm.umin"),
        Operator::I8x16MaxS => LanewiseTwo(I8x16, "llvm.smax"),
        Operator::I8x16MaxU => LanewiseTwo(I8x16, "llvm.umax"),

        // Integers: i16x8.
        Operator::I16x8Splat => Splat(I16x8),
        Operator::I16x8Eq => IntCompare(I16x8, IntPredicate::EQ),
        Operator::I16x8Ne => IntCompare(I16x8, IntPredicate::NE),
        Operator::I16x8LtS => IntCompare(I16x8, IntPredicate::SLT),
        Operator::I16x8LtU => IntCompare(I16x8, IntPredicate::ULT),
        Operator::I16x8GtS => IntCompare(I16x8, IntPredicate::SGT),
        Operator::I16x8GtU => IntCompare(I16x8, IntPredicate::UGT),
        Operator::I16x8LeS => IntCompare(I16x8, IntPredicate::SLE),
        Operator::I16x8LeU => IntCompare(I16x8, IntPredicate::ULE),
        Operator::I16x8GeS => IntCompare(I16x8, IntPredicate::SGE),
        Operator::I16x8GeU => IntCompare(I16x8, IntPredicate::UGE),
        Operator::I16x8Abs => Unary(I16x8, Lanes::abs),
        Operator::I16x8Neg => Unary(I16x8, Lanes::neg),
        Operator::I16x8AllTrue => Test(I16x8, Lanes::all_true),
        Operator::I16x8Bitmask => Test(I16x8, Lanes::bitmask),
        Operator::I16x8Shl => Shift(I16x8, Lanes::shift_left),
        Operator::I16x8ShrS => Shift(I16x8, Lanes::shift_right_signed),
        Operator::I16x8ShrU => Shift(I16x8, Lanes::shift_right_unsigned),
        Operator::I16x8Add => Binary(I16x8, Lanes::add),
        Operator::I16x8Sub => Binary(I16x8, Lanes::sub),
        Operator::I16x8Mul => Binary(I16x8, Lanes::mul),
        Operator::I16x8AddSatS => LanewiseTwo(I16x8, "llvm.sadd.sat"),
        Operator::I16x8AddSatU => LanewiseTwo(I16x8, "llvm.uadd.sat"),
        Operator::I16x8SubSatS => LanewiseTwo(I16x8, "llvm.ssub.sat"),
        Operator::I16x8SubSatU => LanewiseTwo(I16x8, "llvm.usub.sat"),
        Operator::I16x8AvgrU => Binary(I16x8, Lanes::average),
        Operator::I16x8MinS => LanewiseTwo(I16x8, "llvm.smin"),
        Operator::I16x8MinU => LanewiseTwo(I16x8, "llvm.umin"),
        Operator::I16x8MaxS => LanewiseTwo(I16x8, "llvm.smax"),
        Operator::I16x8MaxU => LanewiseTwo(I16x8, "llvm.umax"),

        // Integers: i32x4.
        Operator::I32x4Splat => Splat(I32x4),
        Operator::I32x4Eq => IntCompare(I32x4, IntPredicate::EQ),
        Operator::I32x4Ne => IntCompare(I32x4, IntPredicate::NE),
        Operator::I32x4LtS => IntCompare(I32x4, IntPredicate::SLT),
        Operator::I32x4LtU => IntCompare(I32x4, IntPredicate::ULT),
        Operator::I32x4GtS => IntCompare(I32x4, IntPredicate::SGT),
        Operator::I32x4GtU => IntCompare(I32x4, IntPredicate::UGT),
        Operator::I32x4LeS => IntCompare(I32x4, IntPredicate::SLE),
        Operator::I32x4LeU => IntCompare(I32x4, IntPredicate::ULE),
        Operator::I32x4GeS => IntCompare(I32x4, IntPredicate::SGE),
        Operator::I32x4GeU => IntCompare(I32x4, IntPredicate::UGE),
        Operator::I32x4Abs => Unary(I32x4, Lanes::abs),
        Operator::I32x4Neg => Unary(I32x4, Lanes::neg),
        Operator::I32x4AllTrue => Test(I32x4, Lanes::all_true),
        Operator::I32x4Bitmask => Test(I32x4, Lanes::bitmask),
        Operator::I32x4Shl => Shift(I32x4, Lanes::shift_left),
        Operator::I32x4ShrS => Shift(I32x4, Lanes::shift_right_signed),
        Operator::I32x4ShrU => Shift(I32x4, Lanes::shift_right_unsigned),
        Operator::I32x4Add => Binary(I32x4, Lanes::add),
        Operator::I32x4Sub => Binary(I32x4, Lanes::sub),
        Operator::I32x4Mul => Binary(I32x4, Lanes::mul),
        Operator::I32x4MinS => LanewiseTwo(I32x4, "llvm.smin"),
        Operator::I32x4MinU => LanewiseTwo(I32x4, "llvm.umin"),
        Operator::I32x4MaxS => LanewiseTwo(I32x4, "llvm.smax"),
        Operator::I32x4MaxU => LanewiseTwo(I32x4, "llvm.umax"),

        // Integers: i64x2.
        Operator::I64x2Splat => Splat(I64x2),
        Operator::I64x2Eq => IntCompare(I64x2, IntPredicate::EQ),
        Operator::I64x2Ne => IntCompare(I64x2, IntPredicate::NE),
        Operator::I64x2LtS => IntCompare(I64x2, IntPredicate::SLT),
        Operator::I64x2GtS => IntCompare(I64x2, IntPredicate::SGT),
        Operator::I64x2LeS => IntCompare(I64x2, IntPredicate::SLE),
        Operator::I64x2GeS => IntCompare(I64x2, IntPredicate::SGE),
        Operator::I64x2Abs => Unary(I64x2, Lanes::abs),
        Operator::I64x2Neg => Unary(I64x2, Lanes::neg),
        Operator::I64x2AllTrue => Test(I64x2, Lanes::all_true),
        Operator::I64x2Bitmask => Test(I64x2, Lanes::bitmask),
        Operator::I64x2Shl => Shift(I64x2, Lanes::shift_left),
        Operator::I64x2ShrS => Shift(I64x2, Lanes::shift_right_signed),
        Operator::I64x2ShrU => Shift(I64x2, Lanes::shift_right_unsigned),
        Operator::I64x2Add => Binary(I64x2, Lanes::add),
        Operator::I64x2Sub => Binary(I64x2, Lanes::sub),
        Operator::I64x2Mul => Binary(I64x2, Lanes::mul),
        Operator::I16x8Q15MulrSatS => Binary(I16x8, Lanes::q15_multiply),
        Operator::I32x4DotI16x8S => Binary(I16x8, Lanes::dot),
        Operator::I8x16Swizzle => Binary(I8x16, Lanes::swizzle),

        // Between widths; the shape is that of the operands.
        Operator::I16x8ExtendLowI8x16S => Extend(I8x16, Low, Signed),
        Operator::I16x8ExtendHighI8x16S => Extend(I8x16, High, Signed),
        Operator::I16x8ExtMulLowI8x16S => ExtendMultiply(I8x16, Low, Signed),
        Operator::I16x8ExtMulHighI8x16S => ExtendMultiply(I8x16, High, Signed),
        Operator::I16x8ExtAddPairwiseI8x16S => AddPairs(I8x16, Signed),
        Operator::I8x16NarrowI16x8S => Narrow(I16x8, Signed),
        Operator::I16x8ExtendLowI8x16U => Extend(I8x16, Low, Unsigned),
        Operator::I16x8ExtendHighI8x16U => Extend(I8x16, High, Unsigned),
        Operator::I16x8ExtMulLowI8x16U => ExtendMultiply(I8x16, Low, Unsigned),
        Operator::I16x8ExtMulHighI8x16U => ExtendMultiply(I8x16, High, Unsigned),
        Operator::I16x8ExtAddPairwiseI8x16U => AddPairs(I8x16, Unsigned),
        Operator::I8x16NarrowI16x8U => Narrow(I16x8, Unsigned),
        Operator::I32x4ExtendLowI16x8S => Extend(I16x8, Low, Signed),
        Operator::I32x4ExtendHighI16x8S => Extend(I16x8, High, Signed),
        Operator::I32x4ExtMulLowI16x8S => ExtendMultiply(I16x8, Low, Signed),
        Operator::I32x4ExtMulHighI16x8S => ExtendMultiply(I16x8, High, Signed),
        Operator::I32x4ExtAddPairwiseI16x8S => AddPairs(I16x8, Signed),
        Operator::I16x8NarrowI32x4S => Narrow(I32x4, Signed),
        Operator::I32x4ExtendLowI16x8U => Extend(I16x8, Low, Unsigned),
        Operator::I32x4ExtendHighI16x8U => Extend(I16x8, High, Unsigned),
        Operator::I32x4ExtMulLowI16x8U => ExtendMultiply(I16x8, Low, Unsigned),
        Operator::I32x4ExtMulHighI16x8U => ExtendMultiply(I16x8, High, Unsigned),
        Operator::I32x4ExtAddPairwiseI16x8U => AddPairs(I16x8, Unsigned),
        Operator::I16x8NarrowI32x4U => Narrow(I32x4, Unsigned),
        Operator::I64x2ExtendLowI32x4S => Extend(I32x4, Low, Signed),
        Operator::I64x2ExtendHighI32x4S => Extend(I32x4, High, Signed),
        Operator::I64x2ExtMulLowI32x4S => ExtendMultiply(I32x4, Low, Signed),
        Operator::I64x2ExtMulHighI32x4S => ExtendMultiply(I32x4, High, Signed),
        Operator::I64x2ExtendLowI32x4U => Extend(I32x4, Low, Unsigned),
        Operator::I64x2ExtendHighI32x4U => Extend(I32x4, High, Unsigned),
        Operator::I64x2ExtMulLowI32x4U => ExtendMultiply(I32x4, Low, Unsigned),
        Operator::I64x2ExtMulHighI32x4U => ExtendMultiply(I32x4, High, Unsigned),

        // Floats: f32x4.
        Operator::F32x4Splat => Splat(F32x4),
        Operator::F32x4Eq => FloatCompare(F32x4, FloatPredicate::OEQ),
        Operator::F32x4Ne => FloatCompare(F32x4, FloatPredicate::UNE),
        Operator::F32x4Lt => FloatCompare(F32x4, FloatPredicate::OLT),
        Operator::F32x4Gt => FloatCompare(F32x4, FloatPredicate::OGT),
        Operator::F32x4Le => FloatCompare(F32x4, FloatPredicate::OLE),
        Operator::F32x4Ge => FloatCompare(F32x4, FloatPredicate::OGE),
        Operator::F32x4Ceil => LanewiseOne(F32x4, "llvm.ceil"),
        Operator::F32x4Floor => LanewiseOne(F32x4, "llvm.floor"),
        Operator::F32x4Trunc => LanewiseOne(F32x4, "llvm.trunc"),
        Operator::F32x4Nearest => LanewiseOne(F32x4, "llvm.roundeven"),
        Operator::F32x4Sqrt => LanewiseOne(F32x4, "llvm.sqrt"),
        Operator::F32x4Abs => LanewiseOne(F32x4, "llvm.fabs"),
        Operator::F32x4Neg => Unary(F32x4, Lanes::float_neg),
        Operator::F32x4Add => Binary(F32x4, Lanes::float_add),
        Operator::F32x4Sub => Binary(F32x4, Lanes::float_sub),
        Operator::F32x4Mul => Binary(F32x4, Lanes::float_mul),
        Operator::F32x4Div => Binary(F32x4, Lanes::float_div),
        Operator::F32x4Min => Binary(F32x4, Lanes::float_min),
        Operator::F32x4Max => Binary(F32x4, Lanes::float_max),
        Operator::F32x4PMin => Binary(F32x4, Lanes::pseudo_min),
        Operator::F32x4PMax => Binary(F32x4, Lanes::pseudo_max),

        // Floats: f64x2.
        Operator::F64x2Splat => Splat(F64x2),
        Operator::F64x2Eq => FloatCompare(F64x2, FloatPredicate::OEQ),
        Operator::F64x2Ne => FloatCompare(F64x2, FloatPredicate::UNE),
        Operator::F64x2Lt => FloatCompare(F64x2, FloatPredicate::OLT),
        Operator::F64x2Gt => FloatCompare(F64x2, FloatPredicate::OGT),
        Operator::F64x2Le => FloatCompare(F64x2, FloatPredicate::OLE),
        Operator::F64x2Ge => FloatCompare(F64x2, FloatPredicate::OGE),
        Operator::F64x2Ceil => LanewiseOne(F64x2, "llvm.ceil"),
        Operator::F64x2Floor => LanewiseOne(F64x2, "llvm.floor"),
        Operator::F64x2Trunc => LanewiseOne(F64x2, "llvm.trunc"),
        Operator::F64x2Nearest => LanewiseOne(F64x2, "llvm.roundeven"),
        Operator::F64x2Sqrt => LanewiseOne(F64x2, "llvm.sqrt"),
        Operator::F64x2Abs => LanewiseOne(F64x2, "llvm.fabs"),
        Operator::F64x2Neg => Unary(F64x2, Lanes::float_neg),
        Operator::F64x2Add => Binary(F64x2, Lanes::float_add),
        Operator::F64x2Sub => Binary(F64x2, Lanes::float_sub),
        Operator::F64x2Mul => Binary(F64x2, Lanes::float_mul),
        Operator::F64x2Div => Binary(F64x2, Lanes::float_div),
        Operator::F64x2Min => Binary(F64x2, Lanes::float_min),
        Operator::F64x2Max => Binary(F64x2, Lanes::float_max),
        Operator::F64x2PMin => Binary(F64x2, Lanes::pseudo_min),
        Operator::F64x2PMax => Binary(F64x2, Lanes::pseudo_max),

        // Conversions; the shape is that of the operand.
        Operator::I32x4TruncSatF32x4S => Truncate(F32x4, Signed),
        Operator::I32x4TruncSatF64x2SZero => Truncate(F64x2, Signed),
        Operator::F32x4ConvertI32x4S => Convert(F32x4, Signed),
        Operator::F64x2ConvertLowI32x4S => Convert(F64x2, Signed),
        Operator::I32x4TruncSatF32x4U => Truncate(F32x4, Unsigned),
        Operator::I32x4TruncSatF64x2UZero => Truncate(F64x2, Unsigned),
        Operator::F32x4ConvertI32x4U => Convert(F32x4, Unsigned),
        Operator::F64x2ConvertLowI32x4U => Convert(F64x2, Unsigned),
        Operator::F32x4DemoteF64x2Zero => Unary(F64x2, Lanes::demote),
        Operator::F64x2PromoteLowF32x4 => Unary(F32x4, Lanes::promote),

        // Relaxed.
        Operator::I8x16RelaxedSwizzle => Binary(I8x16, Lanes::relaxed_swizzle),
        Operator::I32x4RelaxedTruncF32x4S => RelaxedTruncate(F32x4, Signed),
        Operator::I32x4RelaxedTruncF64x2SZero => RelaxedTruncate(F64x2, Signed),
        Operator::I32x4RelaxedTruncF32x4U => RelaxedTruncate(F32x4, Unsigned),
        Operator::I32x4RelaxedTruncF64x2UZero => RelaxedTruncate(F64x2, Unsigned),
        Operator::F32x4RelaxedMadd => Ternary(F32x4, Lanes::multiply_add),
        Operator::F32x4RelaxedNmadd => Ternary(F32x4, Lanes::negated_multiply_add),
        Operator::F32x4RelaxedMin => Binary(F32x4, Lanes::relaxed_min),
        Operator::F32x4RelaxedMax => Binary(F32x4, Lanes::relaxed_max),
        Operator::F64x2RelaxedMadd => Ternary(F64x2, Lanes::multiply_add),
        Operator::F64x2RelaxedNmadd => Ternary(F64x2, Lanes::negated_multiply_add),
        Operator::F64x2RelaxedMin => Binary(F64x2, Lanes::relaxed_min),
        Operator::F64x2RelaxedMax => Binary(F64x2, Lanes::relaxed_max),
        Operator::I8x16RelaxedLaneselect => Ternary(I8x16, Lanes::lane_select),
        Operator::I16x8RelaxedLaneselect => Ternary(I16x8, Lanes::lane_select),
        Operator::I32x4RelaxedLaneselect => Ternary(I32x4, Lanes::lane_select),
        Operator::I64x2RelaxedLaneselect => Ternary(I64x2, Lanes::lane_select),
        Operator::I16x8RelaxedQ15mulrS => Binary(I16x8, Lanes::relaxed_q15_multiply),
        Operator::I16x8RelaxedDotI8x16I7x16S => Binary(I8x16, Lanes::relaxed_dot),
        Operator::I32x4RelaxedDotI8x16I7x16AddS => Ternary(I8x16, Lanes::relaxed_dot_add),
        _ => return None,
    })
}
