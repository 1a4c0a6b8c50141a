//! Conversions between number types (core specification, 4.3.4).

use inkwell::FloatPredicate;
use inkwell::types::{BasicTypeEnum, IntType};
use inkwell::values::{BasicValueEnum, CallSiteValue, FloatValue, InstructionOpcode, IntValue};
use wasmo_abi::trap::TrapCode;
use wasmparser::Operator::{self, *};

use super::float::fence;
use crate::error::Error;
use crate::ir::types::Types;
use crate::translate::function::FunctionTranslator;

/// Operators that are one LLVM instruction: which, and the type of the result.
fn instruction<'ctx>(operator: &Operator<'_>, types: &Types<'ctx>) -> Option<(InstructionOpcode, BasicTypeEnum<'ctx>)> {
    Some(match operator {
        I32WrapI64 => (InstructionOpcode::Trunc, types.i32.into()),
        I64ExtendI32S => (InstructionOpcode::SExt, types.i64.into()),
        I64ExtendI32U => (InstructionOpcode::ZExt, types.i64.into()),
        F32ConvertI32S | F32ConvertI64S => (InstructionOpcode::SIToFP, types.f32.into()),
        F32ConvertI32U | F32ConvertI64U => (InstructionOpcode::UIToFP, types.f32.into()),
        F64ConvertI32S | F64ConvertI64S => (InstructionOpcode::SIToFP, types.f64.into()),
        F64ConvertI32U | F64ConvertI64U => (InstructionOpcode::UIToFP, types.f64.into()),
        F64PromoteF32 => (InstructionOpcode::FPExt, types.f64.into()),
        I32ReinterpretF32 => (InstructionOpcode::BitCast, types.i32.into()),
        I64ReinterpretF64 => (InstructionOpcode::BitCast, types.i64.into()),
        F32ReinterpretI32 => (InstructionOpcode::BitCast, types.f32.into()),
        F64ReinterpretI64 => (InstructionOpcode::BitCast, types.f64.into()),
        _ => return None,
    })
}

/// Sign extensions of the lowest bits: the type that has them.
fn extension<'ctx>(operator: &Operator<'_>, types: &Types<'ctx>) -> Option<IntType<'ctx>> {
    Some(match operator {
        I32Extend8S | I64Extend8S => types.i8,
        I32Extend16S | I64Extend16S => types.i16,
        I64Extend32S => types.i32,
        _ => return None,
    })
}

/// Conversions to integers that saturate: the intrinsic function and the integer type.
fn saturating<'ctx>(operator: &Operator<'_>, types: &Types<'ctx>) -> Option<(&'static str, IntType<'ctx>)> {
    Some(match operator {
        I32TruncSatF32S | I32TruncSatF64S => ("llvm.fptosi.sat", types.i32),
        I32TruncSatF32U | I32TruncSatF64U => ("llvm.fptoui.sat", types.i32),
        I64TruncSatF32S | I64TruncSatF64S => ("llvm.fptosi.sat", types.i64),
        I64TruncSatF32U | I64TruncSatF64U => ("llvm.fptoui.sat", types.i64),
        _ => return None,
    })
}

/// A conversion to an integer that traps when the value does not fit: what fits is `lowest`, or more, or what is between it and
/// `beyond`.
struct Truncation<'ctx> {
    opcode: InstructionOpcode,
    ty: IntType<'ctx>,
    /// How `lowest` relates to what fits.
    above: FloatPredicate,
    lowest: f64,
    beyond: f64,
}

const TWO_31: f64 = 2_147_483_648.0;
const TWO_32: f64 = 4_294_967_296.0;
const TWO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_64: f64 = 18_446_744_073_709_551_616.0;

/// Intrinsic functions for f64 that change the sign of their first operand and nothing else.
const SIGN_CHANGES: [&[u8]; 2] = [b"llvm.fabs.f64", b"llvm.copysign.f64"];

/// All bounds are exact in the type converted from. Where the integer below the least one is exact too, what is greater fits; where it is
/// not, what is not less than the least one does.
fn truncation<'ctx>(operator: &Operator<'_>, types: &Types<'ctx>) -> Option<Truncation<'ctx>> {
    use FloatPredicate::{OGE, OGT};
    use InstructionOpcode::{FPToSI, FPToUI};
    let (opcode, ty, above, lowest, beyond) = match operator {
        I32TruncF32S => (FPToSI, types.i32, OGE, -TWO_31, TWO_31),
        I32TruncF64S => (FPToSI, types.i32, OGT, -TWO_31 - 1.0, TWO_31),
        I32TruncF32U | I32TruncF64U => (FPToUI, types.i32, OGT, -1.0, TWO_32),
        I64TruncF32S | I64TruncF64S => (FPToSI, types.i64, OGE, -TWO_63, TWO_63),
        I64TruncF32U | I64TruncF64U => (FPToUI, types.i64, OGT, -1.0, TWO_64),
        _ => return None,
    };
    Some(Truncation { opcode, ty, above, lowest, beyond })
}

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    let types = t.ir.types;
    if let Some((opcode, ty)) = instruction(operator, &types) {
        let a = t.pop()?;
        t.push(t.ir.cast(opcode, a, ty)?);
    } else if let Some(narrow) = extension(operator, &types) {
        let a = t.pop_int()?;
        let low = t.ir.builder().build_int_truncate(a, narrow, "")?;
        t.push(t.ir.cast(InstructionOpcode::SExt, low, a.get_type())?);
    } else if let Some((name, ty)) = saturating(operator, &types) {
        let a = t.pop()?;
        t.push(t.ir.intrinsic(name, &[ty.into(), a.get_type()], &[a])?);
    } else if let Some(truncation) = truncation(operator, &types) {
        let a = t.pop_float()?;
        let fits = fits(t, &truncation, a)?;
        trap_unless(t, fits, a)?;
        t.push(t.ir.cast(truncation.opcode, a, truncation.ty)?);
    } else if matches!(operator, F32DemoteF64) {
        let a = t.pop_float()?;
        // LLVM folds the demotion of a promotion to nothing, with which a signalling NaN would stay one.
        let a = if is_promoted(t, a) { fence(t, a)? } else { a };
        t.push(t.ir.cast(InstructionOpcode::FPTrunc, a, types.f32)?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Whether `a` is the promotion of something, but for the sign, through a change of which LLVM looks.
fn is_promoted<'ctx>(t: &FunctionTranslator<'_, 'ctx>, mut a: FloatValue<'ctx>) -> bool {
    while let Some(instruction) = t.ir.instruction(a) {
        let changes_sign = match instruction.get_opcode() {
            InstructionOpcode::FPExt => return true,
            InstructionOpcode::FNeg => true,
            InstructionOpcode::Call => CallSiteValue::try_from(instruction)
                .ok()
                .and_then(|call| call.get_called_fn_value())
                .is_some_and(|called| SIGN_CHANGES.contains(&called.get_name().to_bytes())),
            _ => false,
        };
        match instruction.get_operand(0).and_then(|operand| operand.value()) {
            Some(BasicValueEnum::FloatValue(operand)) if changes_sign => a = operand,
            _ => break,
        }
    }
    false
}

fn fits<'ctx>(
    t: &FunctionTranslator<'_, 'ctx>,
    truncation: &Truncation<'ctx>,
    a: FloatValue<'ctx>,
) -> Result<IntValue<'ctx>, Error> {
    let ty = a.get_type();
    let above = t.ir.fcmp(truncation.above, a, ty.const_float(truncation.lowest))?;
    let below = t.ir.fcmp(FloatPredicate::OLT, a, ty.const_float(truncation.beyond))?;
    Ok(t.ir.builder().build_and(above, below, "")?)
}

/// Traps unless `fits` holds, which it does for no NaN; why is found out only then.
fn trap_unless<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    fits: IntValue<'ctx>,
    a: FloatValue<'ctx>,
) -> Result<(), Error> {
    let misfit = t.ir.builder().build_not(fits, "")?;
    let go_on = t.begin_unlikely(misfit)?;
    let nan = t.ir.fcmp(FloatPredicate::UNO, a, a)?;
    t.trap_if(nan, TrapCode::InvalidConversionToInteger)?;
    t.emit_trap(TrapCode::IntegerOverflow)?;
    t.ir.at_end(go_on);
    Ok(())
}
