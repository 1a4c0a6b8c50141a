//! References (core specification, 4.4.2).

use inkwell::IntPredicate;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::types::ValType;
use wasmparser::Operator;

use super::int::push_truth;
use crate::error::{Error, ErrorKind};
use crate::ir::Value;
use crate::parse::null_type;
use crate::translate::function::FunctionTranslator;

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// When a reference type is not supported.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    match *operator {
        Operator::RefNull { hty } => {
            let ty = null_type(hty).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "a null reference of a type that is not supported")
            })?;
            t.push(t.ir.types.zero(ValType::Ref(ty)));
        }
        Operator::RefIsNull => {
            let null = match t.pop()? {
                Value::PointerValue(reference) => t.ir.builder().build_is_null(reference, "")?,
                Value::IntValue(reference) => {
                    t.ir.icmp(IntPredicate::EQ, reference, reference.get_type().const_zero())?
                }
                _ => return Err(Error::internal("a reference of a strange type")),
            };
            push_truth(t, null)?;
        }
        Operator::RefFunc { function_index } => {
            let func_ref = t
                .unit
                .info
                .func(FuncIndex(function_index))
                .and_then(|func| func.func_ref)
                .ok_or_else(|| Error::internal("ref.func of a function that does not escape"))?;
            t.push(t.ir.field(t.context, t.unit.layout.func_ref(func_ref))?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
