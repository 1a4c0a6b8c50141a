//! Structured control flow (core specification, 4.4.8): each operator is a method in [`crate::translate::control`].

use wasmo_abi::trap::TrapCode;
use wasmparser::Operator;

use crate::error::Error;
use crate::translate::function::FunctionTranslator;

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    match operator {
        Operator::Block { blockty } => t.begin_block(*blockty)?,
        Operator::Loop { blockty } => t.begin_loop(*blockty)?,
        Operator::If { blockty } => t.begin_if(*blockty)?,
        Operator::Else => t.begin_else()?,
        Operator::End => t.end()?,
        Operator::Br { relative_depth } => t.branch(*relative_depth)?,
        Operator::BrIf { relative_depth } => t.branch_if(*relative_depth)?,
        Operator::BrTable { targets } => t.branch_table(targets)?,
        Operator::Return => t.return_values()?,
        Operator::Unreachable => {
            t.emit_trap(TrapCode::Unreachable)?;
            t.leave();
        }
        _ => return Ok(false),
    }
    Ok(true)
}
