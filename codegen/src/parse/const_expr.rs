//! Constant expressions (core specification, 3.3.10), after they were validated.

use wasmo_abi::index::{FuncIndex, GlobalIndex};
use wasmo_abi::module::{ConstExpr, ConstOp};
use wasmo_abi::types::RefType;
use wasmparser::{AbstractHeapType, HeapType, Operator};

use crate::error::{Error, ErrorKind};

/// The operators of `expr` but for its `end`.
pub(super) fn const_expr(expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, Error> {
    let mut operators = expr.get_operators_reader();
    let mut ops = Vec::with_capacity(1);
    loop {
        let (operator, offset) = operators.read_with_offset().map_err(|error| Error::malformed(&error))?;
        if matches!(operator, Operator::End) {
            return Ok(ops.into());
        }
        let op = const_op(&operator).ok_or_else(|| {
            let error = Error::new(ErrorKind::Unsupported, format!("{operator:?} in a constant expression"));
            usize::try_from(offset).map_or(error.clone(), |offset| error.at(offset))
        })?;
        ops.push(op);
    }
}

fn const_op(operator: &Operator<'_>) -> Option<ConstOp> {
    Some(match *operator {
        Operator::I32Const { value } => ConstOp::I32Const(value),
        Operator::I64Const { value } => ConstOp::I64Const(value),
        Operator::F32Const { value } => ConstOp::F32Const(value.bits()),
        Operator::F64Const { value } => ConstOp::F64Const(value.bits()),
        Operator::V128Const { value } => ConstOp::V128Const(u128::from_le_bytes(*value.bytes())),
        Operator::GlobalGet { global_index } => ConstOp::GlobalGet(GlobalIndex(global_index)),
        Operator::RefFunc { function_index } => ConstOp::RefFunc(FuncIndex(function_index)),
        Operator::RefNull { hty } => ConstOp::RefNull(null_type(hty)?),
        Operator::I32Add => ConstOp::I32Add,
        Operator::I32Sub => ConstOp::I32Sub,
        Operator::I32Mul => ConstOp::I32Mul,
        Operator::I64Add => ConstOp::I64Add,
        Operator::I64Sub => ConstOp::I64Sub,
        Operator::I64Mul => ConstOp::I64Mul,
        _ => return None,
    })
}

/// The reference type that `ref.null` of heap type `ty` has.
pub(crate) fn null_type(ty: HeapType) -> Option<RefType> {
    match ty {
        HeapType::Abstract { shared: false, ty: AbstractHeapType::Func } => Some(RefType::Func),
        HeapType::Abstract { shared: false, ty: AbstractHeapType::Extern } => Some(RefType::Extern),
        _ => None,
    }
}
