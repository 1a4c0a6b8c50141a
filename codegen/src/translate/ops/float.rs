//! Floating-point arithmetic and comparisons (core specification, 4.3.3).
//!
//! LLVM's plain instructions have no flags and no exceptions, and LLVM takes a signalling NaN to be as good as a quiet one: it folds `x × 1` to
//! `x`, where WebAssembly wants a quiet NaN for a signalling one. Where a constant operand invites such folding it is hidden
//! behind `llvm.arithmetic.fence`.

use inkwell::FloatPredicate;
use inkwell::values::{AsValueRef, FloatValue, InstructionOpcode, IntValue};
use llvm_sys::core::LLVMIsAConstantFP;
use wasmparser::Operator::{self, *};

use super::int::push_truth;
use crate::error::Error;
use crate::ir::Value;
use crate::ir::builder::{float, int};
use crate::ir::context::Arch;
use crate::translate::function::FunctionTranslator;

/// Operators that are one LLVM instruction with two operands.
fn instruction(operator: &Operator<'_>) -> Option<InstructionOpcode> {
    Some(match operator {
        F32Add | F64Add => InstructionOpcode::FAdd,
        F32Sub | F64Sub => InstructionOpcode::FSub,
        F32Mul | F64Mul => InstructionOpcode::FMul,
        F32Div | F64Div => InstructionOpcode::FDiv,
        _ => return None,
    })
}

/// Operators that are one intrinsic function with one operand.
fn unary(operator: &Operator<'_>) -> Option<&'static str> {
    Some(match operator {
        F32Abs | F64Abs => "llvm.fabs",
        F32Ceil | F64Ceil => "llvm.ceil",
        F32Floor | F64Floor => "llvm.floor",
        F32Trunc | F64Trunc => "llvm.trunc",
        F32Nearest | F64Nearest => "llvm.roundeven",
        F32Sqrt | F64Sqrt => "llvm.sqrt",
        _ => return None,
    })
}

fn comparison(operator: &Operator<'_>) -> Option<FloatPredicate> {
    Some(match operator {
        F32Eq | F64Eq => FloatPredicate::OEQ,
        F32Ne | F64Ne => FloatPredicate::UNE,
        F32Lt | F64Lt => FloatPredicate::OLT,
        F32Gt | F64Gt => FloatPredicate::OGT,
        F32Le | F64Le => FloatPredicate::OLE,
        F32Ge | F64Ge => FloatPredicate::OGE,
        _ => return None,
    })
}

/// The lesser or the greater of two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extreme {
    Min,
    Max,
}

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    if let Some(opcode) = instruction(operator) {
        let (b, a) = (t.pop_float()?, t.pop_float()?);
        let (a, b) = (hide_neutral(t, a)?, hide_neutral(t, b)?);
        t.push(t.ir.binary(opcode, a.into(), b.into())?);
    } else if let Some(predicate) = comparison(operator) {
        let (b, a) = (t.pop_float()?, t.pop_float()?);
        push_truth(t, t.ir.fcmp(predicate, a, b)?)?;
    } else if let Some(name) = unary(operator) {
        let a = t.pop()?;
        t.push(t.ir.intrinsic(name, &[a.get_type()], &[a])?);
    } else {
        match operator {
            F32Neg | F64Neg => {
                let a = t.pop_float()?;
                t.push(t.ir.builder().build_float_neg(a, "")?);
            }
            F32Copysign | F64Copysign => {
                let (b, a) = (t.pop()?, t.pop()?);
                t.push(t.ir.intrinsic("llvm.copysign", &[a.get_type()], &[a, b])?);
            }
            F32Min | F64Min => extreme(t, Extreme::Min)?,
            F32Max | F64Max => extreme(t, Extreme::Max)?,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// `value`, hidden from LLVM's folding when it is 0, 1 or −1, by which sums, differences, products and quotients are folded away.
fn hide_neutral<'ctx>(t: &FunctionTranslator<'_, 'ctx>, value: FloatValue<'ctx>) -> Result<FloatValue<'ctx>, Error> {
    let neutral = constant(value).is_some_and(|constant| constant == 0.0 || constant.abs() == 1.0);
    if neutral { fence(t, value) } else { Ok(value) }
}

/// `value`, hidden from LLVM's folding when it is an infinity or a NaN, by which `llvm.minimum` and `llvm.maximum` are folded away.
fn hide_extreme<'ctx>(t: &FunctionTranslator<'_, 'ctx>, value: FloatValue<'ctx>) -> Result<FloatValue<'ctx>, Error> {
    let extreme = constant(value).is_some_and(|constant| !constant.is_finite());
    if extreme { fence(t, value) } else { Ok(value) }
}

/// The value of a constant number. Other constants (of LLVM's expressions, or poison) are none, and LLVM must not be asked for their value.
fn constant(value: FloatValue<'_>) -> Option<f64> {
    // SAFETY: `value` is a live value; the function only looks at its class.
    let is_number = unsafe { !LLVMIsAConstantFP(value.as_value_ref()).is_null() };
    if is_number { value.get_constant().map(|(constant, _)| constant) } else { None }
}

/// `value`, of which LLVM does not know how it came to be.
pub(super) fn fence<'ctx>(
    t: &FunctionTranslator<'_, 'ctx>,
    value: FloatValue<'ctx>,
) -> Result<FloatValue<'ctx>, Error> {
    float(t.ir.intrinsic("llvm.arithmetic.fence", &[value.get_type().into()], &[value.into()])?)
}

/// `min` and `max`: a NaN when either operand is one, quiet; −0 less than 0.
fn extreme(t: &mut FunctionTranslator<'_, '_>, which: Extreme) -> Result<(), Error> {
    let (b, a) = (t.pop_float()?, t.pop_float()?);
    let result = match t.ir.options.arch {
        Arch::Aarch64 => {
            let name = if which == Extreme::Min { "llvm.minimum" } else { "llvm.maximum" };
            let (a, b) = (hide_extreme(t, a)?, hide_extreme(t, b)?);
            t.ir.intrinsic(name, &[a.get_type().into()], &[a.into(), b.into()])?
        }
        Arch::X86_64 => extreme_by_comparison(t, which, a, b)?,
    };
    t.push(result);
    Ok(())
}

/// LLVM's own `minimum` does not make a signalling NaN quiet on x86, so the result is put together from two instructions as the
/// processor has them, `a < b ? a : b`, with the operands either way round. They differ when the operands are equal, and then only zeros
/// differ in bits: the signs are joined. Of a NaN and anything, the sum is a quiet NaN.
fn extreme_by_comparison<'ctx>(
    t: &FunctionTranslator<'_, 'ctx>,
    which: Extreme,
    a: FloatValue<'ctx>,
    b: FloatValue<'ctx>,
) -> Result<Value<'ctx>, Error> {
    let ir = t.ir;
    let better = if which == Extreme::Min { FloatPredicate::OLT } else { FloatPredicate::OGT };
    let bits_type = if a.get_type() == ir.types.f32 { ir.types.i32 } else { ir.types.i64 };
    let pick = |a: FloatValue<'ctx>, b: FloatValue<'ctx>| -> Result<IntValue<'ctx>, Error> {
        let picked = ir.select(ir.fcmp(better, a, b)?, a, b)?;
        int(ir.builder().build_bit_cast(picked, bits_type, "")?)
    };
    let (one, other) = (pick(a, b)?, pick(b, a)?);
    let joined = match which {
        Extreme::Min => ir.builder().build_or(one, other, "")?,
        Extreme::Max => ir.builder().build_and(one, other, "")?,
    };
    let joined = ir.builder().build_bit_cast(joined, a.get_type(), "")?;
    let unordered = ir.fcmp(FloatPredicate::UNO, a, b)?;
    let sum = ir.builder().build_float_add(hide_neutral(t, a)?, hide_neutral(t, b)?, "")?;
    ir.select(unordered, sum, joined)
}
