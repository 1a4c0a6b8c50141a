//! Constant expressions (core specification, 3.3.10): initial values of globals and tables, offsets of segments,
//! elements.

use super::Instance;
use crate::error::Error;
use wasmo_abi::module::ConstOp;
use wasmo_abi::vm::RawValue;

/// The validator admits only well-typed expressions, so this means a bug.
fn malformed() -> Error {
    Error::Internal("a constant expression is not well typed".into())
}

/// The value of `expr` in `instance`, whose function references and the globals that come before are in place.
pub(super) fn evaluate(instance: &Instance, expr: &[ConstOp]) -> Result<RawValue, Error> {
    // Nearly every expression is one constant, for which this allocates once; segments of functions have a form without
    // expressions.
    let mut stack: Vec<RawValue> = Vec::with_capacity(1);
    for op in expr {
        let value = match *op {
            ConstOp::I32Const(value) => RawValue::from_u32(value.cast_unsigned()),
            ConstOp::I64Const(value) => RawValue::from_u64(value.cast_unsigned()),
            ConstOp::F32Const(bits) => RawValue::from_u32(bits),
            ConstOp::F64Const(bits) => RawValue::from_u64(bits),
            ConstOp::V128Const(bits) => RawValue::from_u128(bits),
            ConstOp::GlobalGet(global) => instance.global_value(global),
            ConstOp::RefFunc(func) => {
                let handle = instance.func(func);
                RawValue::from_u64(handle.ok_or_else(malformed)?.to_raw())
            }
            ConstOp::RefNull(_) => RawValue::from_u64(0),
            ConstOp::I32Add => binary32(&mut stack, u32::wrapping_add)?,
            ConstOp::I32Sub => binary32(&mut stack, u32::wrapping_sub)?,
            ConstOp::I32Mul => binary32(&mut stack, u32::wrapping_mul)?,
            ConstOp::I64Add => binary64(&mut stack, u64::wrapping_add)?,
            ConstOp::I64Sub => binary64(&mut stack, u64::wrapping_sub)?,
            ConstOp::I64Mul => binary64(&mut stack, u64::wrapping_mul)?,
        };
        stack.push(value);
    }
    match stack[..] {
        [value] => Ok(value),
        _ => Err(malformed()),
    }
}

fn pop_two(stack: &mut Vec<RawValue>) -> Result<(RawValue, RawValue), Error> {
    let right = stack.pop().ok_or_else(malformed)?;
    let left = stack.pop().ok_or_else(malformed)?;
    Ok((left, right))
}

fn binary32(stack: &mut Vec<RawValue>, op: impl Fn(u32, u32) -> u32) -> Result<RawValue, Error> {
    let (left, right) = pop_two(stack)?;
    Ok(RawValue::from_u32(op(left.as_u32(), right.as_u32())))
}

fn binary64(stack: &mut Vec<RawValue>, op: impl Fn(u64, u64) -> u64) -> Result<RawValue, Error> {
    let (left, right) = pop_two(stack)?;
    Ok(RawValue::from_u64(op(left.as_u64(), right.as_u64())))
}
