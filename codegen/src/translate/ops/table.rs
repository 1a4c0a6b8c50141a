//! Tables (core specification, 4.4.6), and the way to an element that `call_indirect` shares.

use std::mem::offset_of;

use inkwell::IntPredicate;
use inkwell::values::{IntValue, PointerValue};
use wasmo_abi::builtin::Builtin;
use wasmo_abi::index::TableIndex;
use wasmo_abi::layout::Place;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::RefType;
use wasmo_abi::vm::{NULL_TYPE_ID, VmExecContext, VmFuncRef, VmTable};
use wasmparser::Operator;

use crate::error::Error;
use crate::ir::Value;
use crate::ir::builder::{int, pointer};
use crate::ir::tbaa::{Region, Tag};
use crate::translate::function::FunctionTranslator;

/// Bytes of an element of a table of `externref`.
const EXTERN_SIZE: u64 = 8;

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    match *operator {
        Operator::TableGet { table } => {
            let index = t.pop_int()?;
            let value = get(t, TableIndex(table), index)?;
            t.push(value);
        }
        Operator::TableSet { table } => {
            let (value, index) = (t.pop()?, t.pop_int()?);
            set(t, TableIndex(table), index, value)?;
        }
        Operator::TableSize { table } => {
            let len = len(t, TableIndex(table))?;
            t.push(t.ir.builder().build_int_truncate(len, t.ir.types.i32, "")?);
        }
        Operator::TableGrow { table } => {
            let mut arguments = vec![t.ir.i32(table).into()];
            arguments.extend(t.pop_n(2)?);
            let values = t.call_helper(Builtin::TableGrow, &arguments)?;
            t.push(t.helper_result(values, t.ir.types.i32)?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Where the [`VmTable`] of `table` is, and the region that it is in.
fn head<'ctx>(t: &FunctionTranslator<'_, 'ctx>, table: TableIndex) -> Result<(PointerValue<'ctx>, Tag<'ctx>), Error> {
    let region = t.unit.alone(t.unit.info.defined_table(table)).map_or(Region::ImportedTableHeads, Region::TableHead);
    let head = match t.unit.layout.table(table) {
        Place::Inline(offset) => t.ir.field(t.context, offset)?,
        Place::Pointer(offset) => t.ir.constant_pointer(t.context, offset)?,
    };
    Ok((head, t.ir.tag(region)))
}

/// The size of a table that can never grow.
fn fixed_len(t: &FunctionTranslator<'_, '_>, table: TableIndex) -> Option<u64> {
    let limits = t.unit.info.tables[table].limits;
    (limits.max == Some(limits.min)).then_some(limits.min)
}

/// The number of elements, an i64.
fn len<'ctx>(t: &FunctionTranslator<'_, 'ctx>, table: TableIndex) -> Result<IntValue<'ctx>, Error> {
    if let Some(len) = fixed_len(t, table) {
        return Ok(t.ir.i64(len));
    }
    let (head, tag) = head(t, table)?;
    int(t.ir.load(t.ir.types.i64, t.ir.field(head, offset_of!(VmTable, len))?, 8, tag)?)
}

/// The address of the element at `index`, an i32, after a check that traps with `code`; and the tag of accesses to it.
pub(super) fn element<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    table: TableIndex,
    index: IntValue<'ctx>,
    code: TrapCode,
) -> Result<(PointerValue<'ctx>, Tag<'ctx>), Error> {
    let index = t.ir.zext64(index)?;
    let beyond = t.ir.icmp(IntPredicate::UGE, index, len(t, table)?)?;
    t.trap_if(beyond, code)?;
    let (head, tag) = head(t, table)?;
    let field = t.ir.field(head, offset_of!(VmTable, base))?;
    // The elements of a table move when it grows only.
    let base = if fixed_len(t, table).is_some() {
        t.ir.load_constant(t.ir.types.ptr, field, 8, tag)?
    } else {
        t.ir.load(t.ir.types.ptr, field, 8, tag)?
    };
    let size = match t.unit.info.tables[table].element {
        RefType::Func => size_of::<VmFuncRef>() as u64,
        RefType::Extern => EXTERN_SIZE,
    };
    let offset = t.ir.builder().build_int_nuw_mul(index, t.ir.i64(size), "")?;
    let region =
        t.unit.alone(t.unit.info.defined_table(table)).map_or(Region::ImportedTableElements, Region::TableElements);
    Ok((t.ir.gep(pointer(base)?, offset)?, t.ir.tag(region)))
}

fn get<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    table: TableIndex,
    index: IntValue<'ctx>,
) -> Result<Value<'ctx>, Error> {
    let (element, tag) = element(t, table, index, TrapCode::TableOutOfBounds)?;
    match t.unit.info.tables[table].element {
        RefType::Func => {
            let field = t.ir.field(element, offset_of!(VmFuncRef, func_ref))?;
            t.ir.load(t.ir.types.ptr, field, 8, tag)
        }
        RefType::Extern => t.ir.load(t.ir.types.i64, element, 8, tag),
    }
}

fn set<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    table: TableIndex,
    index: IntValue<'ctx>,
    value: Value<'ctx>,
) -> Result<(), Error> {
    let (element, tag) = element(t, table, index, TrapCode::TableOutOfBounds)?;
    note_write(t)?;
    let Value::PointerValue(func_ref) = value else {
        t.ir.store(value, element, 8, tag)?;
        return Ok(());
    };
    let ir = t.ir;
    let null = ir.builder().build_is_null(func_ref, "")?;
    let (when_null, when_not, go_on) = (t.new_block(), t.new_block(), t.new_block());
    ir.cond_br(null, when_null, when_not)?;
    ir.at_end(when_null);
    let word = size_of::<u64>();
    let words = size_of::<VmFuncRef>() / word;
    for position in 0..words {
        let offset = position * word;
        let content = if offset == offset_of!(VmFuncRef, type_id) { u64::from(NULL_TYPE_ID) } else { 0 };
        ir.store(ir.i64(content), ir.field(element, offset)?, 8, tag)?;
    }
    ir.br(go_on)?;
    ir.at_end(when_not);
    for offset in (0..words).map(|position| position * word) {
        let content = ir.load(ir.types.i64, ir.field(func_ref, offset)?, 8, ir.tag(Region::FuncRefs))?;
        ir.store(content, ir.field(element, offset)?, 8, tag)?;
    }
    ir.br(go_on)?;
    ir.at_end(go_on);
    Ok(())
}

/// Lets the runtime know that tables of the store are not as they were.
fn note_write(t: &FunctionTranslator<'_, '_>) -> Result<(), Error> {
    let note = t.ir.field(t.ir.exec(t.context)?, offset_of!(VmExecContext, tables_written))?;
    t.ir.store(t.ir.i32(1), note, 4, t.ir.tag(Region::Exec))?;
    Ok(())
}
