//! Constants, local variables, and operators that work on values of any type (core specification, 4.4.4 and 4.4.5).

use inkwell::values::IntValue;
use wasmparser::Operator;

use crate::error::Error;
use crate::ir::Value;
use crate::translate::function::FunctionTranslator;

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate<'ctx>(t: &mut FunctionTranslator<'_, 'ctx>, operator: &Operator<'_>) -> Result<bool, Error> {
    let types = t.ir.types;
    match *operator {
        Operator::LocalGet { local_index } => {
            let value = t.local(local_index)?;
            t.push(value);
        }
        Operator::LocalSet { local_index } => {
            let value = t.pop()?;
            t.set_local(local_index, value)?;
        }
        Operator::LocalTee { local_index } => {
            let value = t.pop()?;
            t.push(value);
            t.set_local(local_index, value)?;
        }
        Operator::I32Const { value } => t.push(t.ir.i32(value.cast_unsigned())),
        Operator::I64Const { value } => t.push(t.ir.i64(value.cast_unsigned())),
        // A constant made from its bits keeps the payload of a NaN.
        Operator::F32Const { value } => t.push(t.ir.builder().build_bit_cast(t.ir.i32(value.bits()), types.f32, "")?),
        Operator::F64Const { value } => t.push(t.ir.builder().build_bit_cast(t.ir.i64(value.bits()), types.f64, "")?),
        Operator::Drop => drop(t.pop()?),
        Operator::Select | Operator::TypedSelect { .. } => {
            let condition: IntValue<'ctx> = t.pop_condition()?;
            let (no, yes): (Value<'ctx>, Value<'ctx>) = (t.pop()?, t.pop()?);
            t.push(t.ir.select(condition, yes, no)?);
        }
        Operator::Nop => {}
        _ => return Ok(false),
    }
    Ok(true)
}
