//! Loads and stores of numbers, size and growth of memories (core specification, 4.4.7).

use inkwell::types::{BasicTypeEnum, IntType};
use inkwell::values::InstructionOpcode;
use wasmo_abi::builtin::Builtin;
use wasmo_abi::index::MemoryIndex;
use wasmo_abi::types::PAGE_SIZE;
use wasmparser::MemArg;
use wasmparser::Operator::{self, *};

use crate::error::Error;
use crate::ir::types::Types;
use crate::translate::function::FunctionTranslator;

/// Accesses to whole values: the value's type and its size in bytes.
fn whole<'ctx>(operator: &Operator<'_>, types: &Types<'ctx>) -> Option<(BasicTypeEnum<'ctx>, u32, MemArg)> {
    Some(match *operator {
        I32Load { memarg } | I32Store { memarg } => (types.i32.into(), 4, memarg),
        I64Load { memarg } | I64Store { memarg } => (types.i64.into(), 8, memarg),
        F32Load { memarg } | F32Store { memarg } => (types.f32.into(), 4, memarg),
        F64Load { memarg } | F64Store { memarg } => (types.f64.into(), 8, memarg),
        _ => return None,
    })
}

/// Loads of narrow integers.
struct Narrow<'ctx> {
    ty: IntType<'ctx>,
    extension: InstructionOpcode,
    wide: IntType<'ctx>,
    argument: MemArg,
}

fn narrow_load<'ctx>(operator: &Operator<'_>, types: &Types<'ctx>) -> Option<Narrow<'ctx>> {
    use InstructionOpcode::{SExt, ZExt};
    let (ty, extension, wide, argument) = match *operator {
        I32Load8U { memarg } => (types.i8, ZExt, types.i32, memarg),
        I32Load8S { memarg } => (types.i8, SExt, types.i32, memarg),
        I32Load16U { memarg } => (types.i16, ZExt, types.i32, memarg),
        I32Load16S { memarg } => (types.i16, SExt, types.i32, memarg),
        I64Load8U { memarg } => (types.i8, ZExt, types.i64, memarg),
        I64Load8S { memarg } => (types.i8, SExt, types.i64, memarg),
        I64Load16U { memarg } => (types.i16, ZExt, types.i64, memarg),
        I64Load16S { memarg } => (types.i16, SExt, types.i64, memarg),
        I64Load32U { memarg } => (types.i32, ZExt, types.i64, memarg),
        I64Load32S { memarg } => (types.i32, SExt, types.i64, memarg),
        _ => return None,
    };
    Some(Narrow { ty, extension, wide, argument })
}

/// Stores of the lowest bits of integers: the type that has them.
fn narrow_store<'ctx>(operator: &Operator<'_>, types: &Types<'ctx>) -> Option<(IntType<'ctx>, MemArg)> {
    Some(match *operator {
        I32Store8 { memarg } | I64Store8 { memarg } => (types.i8, memarg),
        I32Store16 { memarg } | I64Store16 { memarg } => (types.i16, memarg),
        I64Store32 { memarg } => (types.i32, memarg),
        _ => return None,
    })
}

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    let types = t.ir.types;
    if let Some((ty, size, argument)) = whole(operator, &types) {
        if matches!(operator, I32Store { .. } | I64Store { .. } | F32Store { .. } | F64Store { .. }) {
            let value = t.pop()?;
            t.store(value, size, &argument)?;
        } else {
            let value = t.load(ty, size, &argument)?;
            t.push(value);
        }
    } else if let Some(Narrow { ty, extension, wide, argument }) = narrow_load(operator, &types) {
        let value = t.load(ty, ty.get_bit_width() / 8, &argument)?;
        t.push(t.ir.cast(extension, value, wide)?);
    } else if let Some((ty, argument)) = narrow_store(operator, &types) {
        let value = t.pop_int()?;
        let value = t.ir.builder().build_int_truncate(value, ty, "")?;
        t.store(value, ty.get_bit_width() / 8, &argument)?;
    } else {
        match *operator {
            MemorySize { mem } => {
                let size = t.memory_size(MemoryIndex(mem))?;
                let page_bits = t.ir.i64(u64::from(PAGE_SIZE.trailing_zeros()));
                let pages = t.ir.builder().build_right_shift(size, page_bits, false, "")?;
                t.push(t.ir.builder().build_int_truncate(pages, types.i32, "")?);
            }
            MemoryGrow { mem } => {
                let delta = t.pop()?;
                let values = t.call_helper(Builtin::MemoryGrow, &[t.ir.i32(mem).into(), delta])?;
                t.push(t.helper_result(values, types.i32)?);
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}
