//! The operand stack of a [`FunctionTranslator`].
//!
//! The validator has seen each operator before it is translated, so operands are there and have the right types; a failure here is a
//! defect of ours.

use inkwell::values::{BasicValue, FloatValue, IntValue};

use super::function::FunctionTranslator;
use crate::error::Error;
use crate::ir::Value;
use crate::ir::builder::{float, int};

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    /// Pushes a value, which has the LLVM type of its wasm type (see [`crate::ir::types`]).
    pub fn push(&mut self, value: impl BasicValue<'ctx>) {
        self.stack.push(value.as_basic_value_enum());
    }

    /// Pops a value of any type.
    ///
    /// # Errors
    /// An internal one when the stack is empty.
    pub fn pop(&mut self) -> Result<Value<'ctx>, Error> {
        self.stack.pop().ok_or_else(|| Error::internal("an operand is missing"))
    }

    /// Pops `count` values; the last of them was on top.
    ///
    /// # Errors
    /// An internal one when there are fewer.
    pub fn pop_n(&mut self, count: usize) -> Result<Vec<Value<'ctx>>, Error> {
        let rest = self.stack.len().checked_sub(count).ok_or_else(|| Error::internal("operands are missing"))?;
        Ok(self.stack.split_off(rest))
    }

    /// Pops an i32 or i64.
    ///
    /// # Errors
    /// An internal one when the top is none.
    pub fn pop_int(&mut self) -> Result<IntValue<'ctx>, Error> {
        int(self.pop()?)
    }

    /// Pops an f32 or f64.
    ///
    /// # Errors
    /// An internal one when the top is none.
    pub fn pop_float(&mut self) -> Result<FloatValue<'ctx>, Error> {
        float(self.pop()?)
    }
}
