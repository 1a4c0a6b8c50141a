//! Integer arithmetic and comparisons (core specification, 4.3.2).

use inkwell::IntPredicate;
use inkwell::values::{InstructionOpcode, IntValue};
use wasmo_abi::trap::TrapCode;
use wasmparser::Operator::{self, *};

use crate::error::Error;
use crate::translate::function::FunctionTranslator;

/// Operators that are one LLVM instruction.
fn instruction(operator: &Operator<'_>) -> Option<InstructionOpcode> {
    Some(match operator {
        I64Add => InstructionOpcode::Add,
        I32Sub | I64Sub => InstructionOpcode::Sub,
        I32Mul | I64Mul => InstructionOpcode::Mul,
        I32And | I64And => InstructionOpcode::And,
        I32Or | I64Or => InstructionOpcode::Or,
        I32Xor | I64Xor => InstructionOpcode::Xor,
        _ => return None,
    })
}

/// Operators that are one LLVM instruction once the amount is taken modulo the width.
fn shift(operator: &Operator<'_>) -> Option<InstructionOpcode> {
    Some(match operator {
        I32Shl | I64Shl => InstructionOpcode::Shl,
        I32ShrS | I64ShrS => InstructionOpcode::AShr,
        I32ShrU | I64ShrU => InstructionOpcode::LShr,
        _ => return None,
    })
}

fn comparison(operator: &Operator<'_>) -> Option<IntPredicate> {
    Some(match operator {
        I32Eq | I64Eq => IntPredicate::EQ,
        I32Ne | I64Ne => IntPredicate::NE,
        I32LtS | I64LtS => IntPredicate::SLT,
        I32LtU | I64LtU => IntPredicate::ULT,
        I32GtS | I64GtS => IntPredicate::SGT,
        I32GtU | I64GtU => IntPredicate::UGT,
        I32LeS | I64LeS => IntPredicate::SLE,
        I32LeU | I64LeU => IntPredicate::ULE,
        I32GeS | I64GeS => IntPredicate::SGE,
        I32GeU | I64GeU => IntPredicate::UGE,
        _ => return None,
    })
}

/// Counts of bits: the intrinsic function, and whether it takes a flag that says what 0 gives.
fn count(operator: &Operator<'_>) -> Option<(&'static str, bool)> {
    Some(match operator {
        I32Clz | I64Clz => ("llvm.ctlz", true),
        I32Ctz | I64Ctz => ("llvm.cttz", true),
        I32Popcnt | I64Popcnt => ("llvm.ctpop", false),
        _ => return None,
    })
}

fn division(operator: &Operator<'_>) -> Option<InstructionOpcode> {
    Some(match operator {
        I32DivS | I64DivS => InstructionOpcode::SDiv,
        I32DivU | I64DivU => InstructionOpcode::UDiv,
        I32RemS | I64RemS => InstructionOpcode::SRem,
        I32RemU | I64RemU => InstructionOpcode::URem,
        _ => return None,
    })
}

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    let types = t.ir.types;
    if let Some(opcode) = instruction(operator) {
        let (b, a) = (t.pop()?, t.pop()?);
        t.push(t.ir.binary(opcode, a, b)?);
    } else if let Some(predicate) = comparison(operator) {
        let (b, a) = (t.pop_int()?, t.pop_int()?);
        push_truth(t, t.ir.icmp(predicate, a, b)?)?;
    } else if let Some(opcode) = shift(operator) {
        let (amount, a) = (t.pop_int()?, t.pop_int()?);
        let width = u64::from(amount.get_type().get_bit_width());
        let amount = t.ir.builder().build_and(amount, amount.get_type().const_int(width - 1, false), "")?;
        t.push(t.ir.binary(opcode, a.into(), amount.into())?);
    } else if let Some(opcode) = division(operator) {
        divide(t, opcode)?;
    } else if let Some((name, flag)) = count(operator) {
        let a = t.pop_int()?;
        let zero_is_poison = types.i1.const_zero().into();
        let arguments = [a.into(), zero_is_poison];
        let arguments = if flag { &arguments[..] } else { &arguments[..1] };
        t.push(t.ir.intrinsic(name, &[a.get_type().into()], arguments)?);
    } else {
        match operator {
            I32Add => {
                let (b, a) = (t.pop_int()?, t.pop_int()?);
                let sum = t.add_i32(a, b)?;
                t.push(sum);
            }
            I32Eqz | I64Eqz => {
                let a = t.pop_int()?;
                push_truth(t, t.ir.icmp(IntPredicate::EQ, a, a.get_type().const_zero())?)?;
            }
            I32Rotl | I64Rotl => rotate(t, "llvm.fshl")?,
            I32Rotr | I64Rotr => rotate(t, "llvm.fshr")?,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Pushes a condition as an i32.
pub(super) fn push_truth<'ctx>(t: &mut FunctionTranslator<'_, 'ctx>, condition: IntValue<'ctx>) -> Result<(), Error> {
    let truth = t.ir.cast(InstructionOpcode::ZExt, condition, t.ir.types.i32)?;
    t.push(truth);
    Ok(())
}

fn rotate(t: &mut FunctionTranslator<'_, '_>, funnel_shift: &str) -> Result<(), Error> {
    let (amount, a) = (t.pop()?, t.pop()?);
    t.push(t.ir.intrinsic(funnel_shift, &[a.get_type()], &[a, a, amount])?);
    Ok(())
}

fn divide(t: &mut FunctionTranslator<'_, '_>, opcode: InstructionOpcode) -> Result<(), Error> {
    let (mut b, a) = (t.pop_int()?, t.pop_int()?);
    let ty = b.get_type();
    let by_zero = t.ir.icmp(IntPredicate::EQ, b, ty.const_zero())?;
    t.trap_if(by_zero, TrapCode::IntegerDivideByZero)?;
    match opcode {
        InstructionOpcode::SDiv => {
            let least = ty.const_int(1 << (ty.get_bit_width() - 1), false);
            let least = t.ir.icmp(IntPredicate::EQ, a, least)?;
            let minus_one = t.ir.icmp(IntPredicate::EQ, b, ty.const_all_ones())?;
            let overflow = t.ir.builder().build_and(least, minus_one, "")?;
            t.trap_if(overflow, TrapCode::IntegerOverflow)?;
        }
        InstructionOpcode::SRem => {
            // The remainder by −1 is 0, like that by 1, but LLVM leaves it undefined for the least number.
            let minus_one = t.ir.icmp(IntPredicate::EQ, b, ty.const_all_ones())?;
            b = crate::ir::builder::int(t.ir.select(minus_one, ty.const_int(1, false), b)?)?;
        }
        _ => {}
    }
    t.push(t.ir.binary(opcode, a.into(), b.into())?);
    Ok(())
}
