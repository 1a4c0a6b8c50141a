//! Global variables (core specification, 4.4.5).

use inkwell::values::PointerValue;
use wasmo_abi::index::GlobalIndex;
use wasmo_abi::layout::Place;
use wasmo_abi::module::ConstOp;
use wasmparser::Operator;

use crate::error::Error;
use crate::ir::Value;
use crate::ir::tbaa::Region;
use crate::translate::function::FunctionTranslator;

/// A global is aligned as a [`wasmo_abi::vm::VmGlobal`].
const ALIGN: u32 = 16;

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    match *operator {
        Operator::GlobalGet { global_index } => {
            let value = get(t, GlobalIndex(global_index))?;
            t.push(value);
        }
        Operator::GlobalSet { global_index } => {
            let value = t.pop()?;
            let (place, region) = place(t, GlobalIndex(global_index))?;
            t.ir.store(value, place, ALIGN, t.ir.tag(region))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn get<'ctx>(t: &FunctionTranslator<'_, 'ctx>, global: GlobalIndex) -> Result<Value<'ctx>, Error> {
    let ty = t.unit.info.globals[global];
    if !ty.mutable
        && let Some(value) = constant(t, global)
    {
        return Ok(value);
    }
    let (place, region) = place(t, global)?;
    let (value_type, tag) = (t.ir.types.value(ty.content), t.ir.tag(region));
    if ty.mutable {
        t.ir.load(value_type, place, ALIGN, tag)
    } else {
        // It has its value before any code of the instance runs.
        t.ir.load_constant(value_type, place, ALIGN, tag)
    }
}

/// What an immutable global holds, if the module's text says so.
fn constant<'ctx>(t: &FunctionTranslator<'_, 'ctx>, global: GlobalIndex) -> Option<Value<'ctx>> {
    let init = t.unit.info.global_inits.get(t.unit.info.defined_global(global)?)?;
    match **init {
        [ConstOp::I32Const(value)] => Some(t.ir.i32(value.cast_unsigned()).into()),
        [ConstOp::I64Const(value)] => Some(t.ir.i64(value.cast_unsigned()).into()),
        _ => None,
    }
}

/// Where a global is, and the region that accesses to it are in.
fn place<'ctx>(t: &FunctionTranslator<'_, 'ctx>, global: GlobalIndex) -> Result<(PointerValue<'ctx>, Region), Error> {
    let region = t.unit.alone(t.unit.info.defined_global(global)).map_or(Region::ImportedGlobals, Region::Global);
    let place = match t.unit.layout.global(global) {
        Place::Inline(offset) => t.ir.field(t.context, offset)?,
        Place::Pointer(offset) => t.ir.constant_pointer(t.context, offset)?,
    };
    Ok((place, region))
}
