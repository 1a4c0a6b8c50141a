//! The operators, by family.

use wasmparser::Operator;

use super::function::FunctionTranslator;
use crate::error::Error;

/// Translates an operator that control can reach.
pub fn translate<'ctx>(translator: &mut FunctionTranslator<'_, 'ctx>, operator: &Operator<'_>) -> Result<(), Error> {
    let _ = (translator, operator);
    Err(Error::internal("no operators yet"))
}
