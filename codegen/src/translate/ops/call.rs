//! Calls (core specification, 4.4.8.8 and following), tail calls included.

use std::mem::offset_of;
use std::rc::Rc;

use inkwell::IntPredicate;
use inkwell::values::PointerValue;
use wasmo_abi::index::{FuncIndex, TableIndex, TypeIndex};
use wasmo_abi::trap::TrapCode;
use wasmo_abi::vm::{NULL_TYPE_ID, VmFuncImport, VmFuncRef};
use wasmparser::Operator;

use super::table::element;
use crate::error::Error;
use crate::ir::builder::{int, pointer};
use crate::ir::signature::{Callee, Signature};
use crate::ir::tbaa::{Region, Tag};
use crate::translate::function::FunctionTranslator;

/// What to call, and the context to call it with.
struct Target<'ctx> {
    callee: Callee<'ctx>,
    context: PointerValue<'ctx>,
    signature: Rc<Signature<'ctx>>,
}

/// Translates an operator of this family; answers whether it is one.
///
/// # Errors
/// An internal one when the builder refuses.
pub fn translate(t: &mut FunctionTranslator<'_, '_>, operator: &Operator<'_>) -> Result<bool, Error> {
    match *operator {
        Operator::Call { function_index } => {
            let target = direct(t, FuncIndex(function_index))?;
            call(t, &target)?;
        }
        Operator::CallIndirect { type_index, table_index } => {
            let target = indirect(t, TypeIndex(type_index), TableIndex(table_index))?;
            call(t, &target)?;
        }
        Operator::ReturnCall { function_index } => {
            let target = direct(t, FuncIndex(function_index))?;
            tail_call(t, &target)?;
        }
        Operator::ReturnCallIndirect { type_index, table_index } => {
            let target = indirect(t, TypeIndex(type_index), TableIndex(table_index))?;
            tail_call(t, &target)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn call<'ctx>(t: &mut FunctionTranslator<'_, 'ctx>, target: &Target<'ctx>) -> Result<(), Error> {
    t.flush_fuel()?;
    t.locate();
    let arguments = t.pop_n(target.signature.params.len())?;
    for result in t.ir.emit_call(target.callee, target.context, &target.signature, &arguments)? {
        t.push(result);
    }
    Ok(())
}

fn tail_call<'ctx>(t: &mut FunctionTranslator<'_, 'ctx>, target: &Target<'ctx>) -> Result<(), Error> {
    t.flush_fuel()?;
    t.locate();
    let arguments = t.pop_n(target.signature.params.len())?;
    t.ir.emit_tail_call(target.callee, target.context, &target.signature, &arguments)?;
    t.leave();
    Ok(())
}

fn direct<'ctx>(t: &mut FunctionTranslator<'_, 'ctx>, func: FuncIndex) -> Result<Target<'ctx>, Error> {
    if let Some(position) = t.unit.info.defined_func(func) {
        let signature = t.unit.signature(t.unit.info.func_type_index(func));
        let callee = if t.unit.calls_directly(position) {
            Callee::Direct(t.unit.function(func))
        } else {
            Callee::Indirect(t.newest_code(position)?)
        };
        return Ok(Target { callee, context: t.context, signature });
    }
    let import = t.unit.layout.func_import(func);
    let code = t.ir.constant_pointer(t.context, import + offset_of!(VmFuncImport, code))?;
    let context = t.ir.constant_pointer(t.context, import + offset_of!(VmFuncImport, context))?;
    let signature = t.unit.signature(t.unit.info.func_type_index(func));
    Ok(Target { callee: Callee::Indirect(code), context, signature })
}

/// Pops the index into `table`; traps unless there is a function of type `ty`.
fn indirect<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    ty: TypeIndex,
    table: TableIndex,
) -> Result<Target<'ctx>, Error> {
    let index = t.pop_int()?;
    let (element, tag) = element(t, table, index, TrapCode::UndefinedElement)?;
    check_type(t, ty, element, tag)?;
    let field = |offset| {
        let field = t.ir.field(element, offset)?;
        pointer(t.ir.load(t.ir.types.ptr, field, 8, tag)?)
    };
    let code = field(offset_of!(VmFuncRef, code))?;
    let context = field(offset_of!(VmFuncRef, context))?;
    Ok(Target { callee: Callee::Indirect(code), context, signature: t.unit.signature(ty) })
}

/// Traps unless `element` is a function of type `ty`. Null has a type number that no type has, so one comparison is enough; which of the two it
/// was is found out only then.
fn check_type<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    ty: TypeIndex,
    element: PointerValue<'ctx>,
    tag: Tag<'ctx>,
) -> Result<(), Error> {
    let i32 = t.ir.types.i32;
    let expected = t.ir.field(t.context, t.unit.layout.type_id(ty))?;
    let expected = int(t.ir.load_constant(i32, expected, 4, t.ir.tag(Region::Context))?)?;
    let found = t.ir.field(element, offset_of!(VmFuncRef, type_id))?;
    let found = int(t.ir.load(i32, found, 8, tag)?)?;
    let mismatch = t.ir.icmp(IntPredicate::NE, found, expected)?;
    let go_on = t.begin_unlikely(mismatch)?;
    let null = t.ir.icmp(IntPredicate::EQ, found, t.ir.i32(NULL_TYPE_ID))?;
    t.trap_if(null, TrapCode::UninitializedElement)?;
    t.emit_trap(TrapCode::IndirectCallTypeMismatch)?;
    t.ir.at_end(go_on);
    Ok(())
}
