//! The vector operators: SIMD of WebAssembly 2.0 and relaxed SIMD (core specification, 2.4.3, 4.3.5, 4.4.3 and 4.4.7).
//!
//! A `v128` is `<2 x i64>` on the stack. An operator casts its operands to the lanes that it works on ([`shape::Shape`]), does its work by way of
//! [`lanes::Lanes`], and casts the result back; the casts are no instructions. Operators without immediates are rows of the table in [`rows`], what
//! they do is in [`int`], [`widen`], [`permute`], [`float`] and [`convert`]; [`memory`] has loads and stores, and the rest, with lane numbers or constants
//! as immediates, is here.
//!
//! Instructions of the target's own are named only where LLVM has no portable form or does not find the instruction: the optimiser knows
//! less about them.

mod constant;
mod convert;
mod float;
mod int;
mod lanes;
mod memory;
mod permute;
mod rows;
mod shape;
#[cfg(test)]
mod tests;
mod widen;

use wasmparser::Operator;

use self::lanes::Lanes;
use self::shape::{Shape, Sign};
use crate::error::Error;
use crate::ir::Value;
use crate::translate::function::FunctionTranslator;

/// Translates `op`, a vector operator that has been validated.
///
/// # Errors
/// An internal one when `op` is no vector operator.
pub(crate) fn translate(t: &mut FunctionTranslator<'_, '_>, op: &Operator<'_>) -> Result<(), Error> {
    if let Some(row) = rows::row(op) {
        let operands = t.pop_n(row.arity())?;
        let result = row.apply(&Lanes::new(t.ir), &operands)?;
        t.push(result);
        return Ok(());
    }
    match op {
        Operator::V128Const { value } => {
            let vector = Lanes::new(t.ir).vector_of_bits(t.ir.types.v128, value.i128().cast_unsigned())?;
            t.push(vector);
            Ok(())
        }
        Operator::I8x16Shuffle { lanes } => {
            let (b, a) = (t.pop()?, t.pop()?);
            let result = shuffle(&Lanes::new(t.ir), a, b, *lanes)?;
            t.push(result);
            Ok(())
        }
        Operator::I8x16ExtractLaneS { lane } => extract(t, Shape::I8x16, *lane, Sign::Signed),
        Operator::I8x16ExtractLaneU { lane } => extract(t, Shape::I8x16, *lane, Sign::Unsigned),
        Operator::I16x8ExtractLaneS { lane } => extract(t, Shape::I16x8, *lane, Sign::Signed),
        Operator::I16x8ExtractLaneU { lane } => extract(t, Shape::I16x8, *lane, Sign::Unsigned),
        Operator::I32x4ExtractLane { lane } => extract(t, Shape::I32x4, *lane, Sign::Unsigned),
        Operator::I64x2ExtractLane { lane } => extract(t, Shape::I64x2, *lane, Sign::Unsigned),
        Operator::F32x4ExtractLane { lane } => extract(t, Shape::F32x4, *lane, Sign::Unsigned),
        Operator::F64x2ExtractLane { lane } => extract(t, Shape::F64x2, *lane, Sign::Unsigned),
        Operator::I8x16ReplaceLane { lane } => replace(t, Shape::I8x16, *lane),
        Operator::I16x8ReplaceLane { lane } => replace(t, Shape::I16x8, *lane),
        Operator::I32x4ReplaceLane { lane } => replace(t, Shape::I32x4, *lane),
        Operator::I64x2ReplaceLane { lane } => replace(t, Shape::I64x2, *lane),
        Operator::F32x4ReplaceLane { lane } => replace(t, Shape::F32x4, *lane),
        Operator::F64x2ReplaceLane { lane } => replace(t, Shape::F64x2, *lane),
        _ if memory::translate(t, op)? => Ok(()),
        _ => Err(Error::internal(format!("not a vector operator: {op:?}"))),
    }
}

/// `i8x16.shuffle`: `order` numbers the lanes of `a` from 0 and those of `b` from 16.
fn shuffle<'ctx>(
    lanes: &Lanes<'_, 'ctx>,
    a: Value<'ctx>,
    b: Value<'ctx>,
    order: [u8; 16],
) -> Result<Value<'ctx>, Error> {
    let ty = Shape::I8x16.ty(lanes);
    let result = lanes.shuffle(lanes.cast(a, ty)?, lanes.cast(b, ty)?, &order.map(u32::from))?;
    Ok(lanes.canonical(result)?.into())
}

fn extract(t: &mut FunctionTranslator<'_, '_>, shape: Shape, lane: u8, sign: Sign) -> Result<(), Error> {
    let vector = t.pop()?;
    let lanes = Lanes::new(t.ir);
    let lane = lanes.extract(lanes.cast(vector, shape.ty(&lanes))?, lane)?;
    let result = match (shape, sign) {
        (Shape::I8x16 | Shape::I16x8, Sign::Signed) => {
            t.ir.builder().build_int_s_extend(lane.into_int_value(), t.ir.types.i32, "")?.into()
        }
        (Shape::I8x16 | Shape::I16x8, Sign::Unsigned) => {
            t.ir.builder().build_int_z_extend(lane.into_int_value(), t.ir.types.i32, "")?.into()
        }
        _ => lane,
    };
    t.push(result);
    Ok(())
}

fn replace(t: &mut FunctionTranslator<'_, '_>, shape: Shape, lane: u8) -> Result<(), Error> {
    let (scalar, vector) = (t.pop()?, t.pop()?);
    let lanes = Lanes::new(t.ir);
    let scalar = lanes.narrowed(scalar, shape)?;
    let result = lanes.insert(lanes.cast(vector, shape.ty(&lanes))?, scalar, lane)?;
    t.push(lanes.canonical(result)?);
    Ok(())
}
