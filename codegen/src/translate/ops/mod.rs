//! The operators, by family.
//!
//! Each family is a function that answers whether an operator is one of its own. The families are asked in the order in which typical code
//! uses them.

pub mod bulk;
pub mod call;
pub mod control;
pub mod convert;
pub mod float;
pub mod global;
pub mod int;
pub mod memory;
pub mod parametric;
pub mod reference;
pub mod simd;
pub mod table;

use wasmparser::Operator;

use super::function::FunctionTranslator;
use crate::error::Error;

/// Translates an operator that control can reach.
///
/// # Errors
/// When the operator belongs to a feature that wasmo does not have.
pub fn translate<'ctx>(translator: &mut FunctionTranslator<'_, 'ctx>, operator: &Operator<'_>) -> Result<(), Error> {
    let done = parametric::translate(translator, operator)?
        || memory::translate(translator, operator)?
        || int::translate(translator, operator)?
        || control::translate(translator, operator)?
        || call::translate(translator, operator)?
        || float::translate(translator, operator)?
        || convert::translate(translator, operator)?
        || global::translate(translator, operator)?
        || reference::translate(translator, operator)?
        || table::translate(translator, operator)?
        || bulk::translate(translator, operator)?;
    if done { Ok(()) } else { simd::translate(translator, operator) }
}
