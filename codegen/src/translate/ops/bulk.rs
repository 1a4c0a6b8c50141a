//! Operators on ranges of memories and tables (core specification, 4.4.6 and 4.4.7), and the dropping of segments.
//!
//! Ranges of memories are checked here, in 64 bits so that no sum wraps, before anything is written, and then left to C's functions.

use std::mem::offset_of;

use inkwell::IntPredicate;
use inkwell::values::IntValue;
use wasmo_abi::builtin::{Builtin, VmBuiltins};
use wasmo_abi::index::MemoryIndex;
use wasmo_abi::trap::TrapCode;
use wasmparser::Operator::{self, *};

use crate::error::Error;
use crate::ir::Value;
use crate::translate::function::FunctionTranslator;

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    match *operator {
        MemoryCopy { dst_mem, src_mem } => {
            let (bytes, from, to) = (pop_wide(t)?, pop_wide(t)?, pop_wide(t)?);
            let (from_memory, to_memory) = (MemoryIndex(src_mem), MemoryIndex(dst_mem));
            check_range(t, from_memory, from, bytes)?;
            check_range(t, to_memory, to, bytes)?;
            let (to, from) = (t.memory_place(to_memory, to)?, t.memory_place(from_memory, from)?);
            t.call_leaf(offset_of!(VmBuiltins, memmove), [to.into(), from.into(), bytes.into()])?;
        }
        MemoryFill { mem } => {
            let (bytes, value, to) = (pop_wide(t)?, t.pop()?, pop_wide(t)?);
            check_range(t, MemoryIndex(mem), to, bytes)?;
            let to = t.memory_place(MemoryIndex(mem), to)?;
            t.call_leaf(offset_of!(VmBuiltins, memset), [to.into(), value, bytes.into()])?;
        }
        MemoryInit { data_index, mem } => range_helper(t, Builtin::MemoryInit, &[mem, data_index])?,
        DataDrop { data_index } => drop_segment(t, Builtin::DataDrop, data_index)?,
        TableInit { elem_index, table } => range_helper(t, Builtin::TableInit, &[table, elem_index])?,
        TableCopy { dst_table, src_table } => range_helper(t, Builtin::TableCopy, &[dst_table, src_table])?,
        TableFill { table } => range_helper(t, Builtin::TableFill, &[table])?,
        ElemDrop { elem_index } => drop_segment(t, Builtin::ElemDrop, elem_index)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn pop_wide<'ctx>(t: &mut FunctionTranslator<'_, 'ctx>) -> Result<IntValue<'ctx>, Error> {
    let value = t.pop_int()?;
    t.ir.zext64(value)
}

/// Traps unless `bytes` bytes from `start` on lie in `memory`; both are 32-bit numbers extended to i64.
fn check_range<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    memory: MemoryIndex,
    start: IntValue<'ctx>,
    bytes: IntValue<'ctx>,
) -> Result<(), Error> {
    let end = t.ir.builder().build_int_add(start, bytes, "")?;
    let beyond = t.ir.icmp(IntPredicate::UGT, end, t.memory_size(memory)?)?;
    t.trap_if(beyond, TrapCode::MemoryOutOfBounds)
}

/// Calls a helper with `indices`, then the three operands in order.
fn range_helper(t: &mut FunctionTranslator<'_, '_>, helper: Builtin, indices: &[u32]) -> Result<(), Error> {
    let mut arguments: Vec<Value<'_>> = indices.iter().map(|&index| t.ir.i32(index).into()).collect();
    arguments.extend(t.pop_n(3)?);
    t.call_helper(helper, &arguments)?;
    Ok(())
}

fn drop_segment(t: &mut FunctionTranslator<'_, '_>, helper: Builtin, index: u32) -> Result<(), Error> {
    t.call_helper(helper, &[t.ir.i32(index).into()])?;
    Ok(())
}
