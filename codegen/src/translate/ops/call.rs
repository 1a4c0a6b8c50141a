//! Calls (core specification, 4.4.8.8 and following), tail calls included.

use std::mem::offset_of;
use std::rc::Rc;

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
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
use crate::profile::Guess;
use crate::translate::function::FunctionTranslator;
use crate::translate::profile::Likely;

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
            let target = direct(t, FuncIndex(function_index), Stays::No)?;
            call(t, &target)?;
        }
        Operator::CallIndirect { type_index, table_index } => {
            let (ty, found) = (TypeIndex(type_index), find(t, TableIndex(table_index))?);
            match t.likely_callee(ty) {
                Some(likely) => guarded_call(t, ty, found, likely)?,
                None => {
                    let target = indirect(t, ty, found)?;
                    call(t, &target)?;
                }
            }
        }
        Operator::ReturnCall { function_index } => {
            let target = direct(t, FuncIndex(function_index), Stays::Yes)?;
            tail_call(t, &target)?;
        }
        Operator::ReturnCallIndirect { type_index, table_index } => {
            let (ty, found) = (TypeIndex(type_index), find(t, TableIndex(table_index))?);
            if let Some(likely) = t.likely_callee(ty) {
                let (fuel, otherwise, operands) = (t.fuel, begin_guard(t, found, likely)?, t.stack.clone());
                let target = guessed(t, likely.func, Stays::Yes)?;
                tail_call(t, &target)?;
                t.ir.at_end(otherwise);
                (t.fuel, t.stack, t.reachable) = (fuel, operands, true);
            }
            let target = indirect(t, ty, found)?;
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

/// Whether a function of a neighbour has a frame of its own however it is called. What is called by a tail call must have: the caller's frame is gone by then, for whoever looks
/// whether code of the caller is still running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    Yes,
    No,
}

/// What a call through a table is guessed to call.
fn guessed<'ctx>(t: &mut FunctionTranslator<'_, 'ctx>, guess: Guess, stays: Stays) -> Result<Target<'ctx>, Error> {
    match guess {
        Guess::Own(func) => direct(t, func, stays),
        Guess::Neighbour(func) => of_neighbour(t, func, stays),
    }
}

/// A function of the neighbour's.
fn of_neighbour<'ctx>(t: &FunctionTranslator<'_, 'ctx>, func: FuncIndex, stays: Stays) -> Result<Target<'ctx>, Error> {
    let neighbour = t.unit.neighbour.ok_or_else(|| Error::internal("there is no neighbour"))?;
    let callee = neighbour.callee(func, stays == Stays::Yes)?;
    let signature = neighbour.unit().signature(neighbour.info().func_type_index(func));
    Ok(Target { callee, context: neighbour.context()?, signature })
}

fn direct<'ctx>(t: &mut FunctionTranslator<'_, 'ctx>, func: FuncIndex, stays: Stays) -> Result<Target<'ctx>, Error> {
    if let Some(position) = t.unit.info.defined_func(func) {
        let signature = t.unit.signature(t.unit.info.func_type_index(func));
        let callee = if t.unit.calls_directly(position) {
            Callee::Direct(t.unit.function(func))
        } else if let Some(code) = t.unit.fixed_code(position) {
            Callee::Indirect(t.ir.address(code)?)
        } else {
            Callee::Indirect(t.newest_code(position)?)
        };
        return Ok(Target { callee, context: t.context, signature });
    }
    if let Some(func) = t.unit.neighbour.and_then(|neighbour| neighbour.imported(func)) {
        return of_neighbour(t, func, stays);
    }
    let import = t.unit.layout.func_import(func);
    let code = t.ir.constant_pointer(t.context, import + offset_of!(VmFuncImport, code))?;
    let context = t.ir.constant_pointer(t.context, import + offset_of!(VmFuncImport, context))?;
    let signature = t.unit.signature(t.unit.info.func_type_index(func));
    Ok(Target { callee: Callee::Indirect(code), context, signature })
}

/// An element of a table, and the tag of accesses to it.
type Element<'ctx> = (PointerValue<'ctx>, Tag<'ctx>);

/// Pops the index into `table`; traps unless there is an element.
fn find<'ctx>(t: &mut FunctionTranslator<'_, 'ctx>, table: TableIndex) -> Result<Element<'ctx>, Error> {
    let index = t.pop_int()?;
    element(t, table, index, TrapCode::UndefinedElement)
}

/// Begins a block for when the element is the function that it is likely to be, of this instance or of the neighbour; answers the one for when it is not.
///
/// An instance has one record of each of its functions, of which an element is a copy that says where it is from; so if that is the one, there is nothing else to check.
fn begin_guard<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    (element, tag): Element<'ctx>,
    likely: Likely,
) -> Result<BasicBlock<'ctx>, Error> {
    let expected = match (likely.func, t.unit.neighbour) {
        (Guess::Neighbour(_), Some(neighbour)) => neighbour.func_ref(likely.func_ref)?,
        _ => t.ir.field(t.context, t.unit.layout.func_ref(likely.func_ref))?,
    };
    let field = t.ir.field(element, offset_of!(VmFuncRef, func_ref))?;
    let found = pointer(t.ir.load(t.ir.types.ptr, field, 8, tag)?)?;
    let is_expected = t.ir.builder().build_int_compare(IntPredicate::EQ, found, expected, "")?;
    let (expected, otherwise) = (t.new_block(), t.new_block());
    let branch = t.ir.cond_br(is_expected, expected, otherwise)?;
    t.ir.set_weights(branch, &likely.weights)?;
    t.ir.at_end(expected);
    Ok(otherwise)
}

/// Calls the function that `found` is likely to be directly if it is, and as any other if it is not.
fn guarded_call<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    ty: TypeIndex,
    found: Element<'ctx>,
    likely: Likely,
) -> Result<(), Error> {
    let (fuel, operands) = (t.fuel, t.stack.clone());
    let otherwise = begin_guard(t, found, likely)?;
    let go_on = t.new_block();
    let height = operands.len().saturating_sub(t.unit.info.types[ty].params.len());
    let target = guessed(t, likely.func, Stays::No)?;
    call(t, &target)?;
    let expected = (t.ir.block()?, t.stack.split_off(height));
    t.ir.br(go_on)?;
    t.ir.at_end(otherwise);
    (t.fuel, t.stack) = (fuel, operands);
    let target = indirect(t, ty, found)?;
    call(t, &target)?;
    let other = (t.ir.block()?, t.stack.split_off(height));
    t.ir.br(go_on)?;
    t.ir.at_end(go_on);
    for (a, b) in expected.1.into_iter().zip(other.1) {
        let phi = t.ir.phi(a.get_type())?;
        phi.add_incoming(&[(&a, expected.0), (&b, other.0)]);
        t.push(phi.as_basic_value());
    }
    Ok(())
}

/// Traps unless `element` is a function of type `ty`.
fn indirect<'ctx>(
    t: &mut FunctionTranslator<'_, 'ctx>,
    ty: TypeIndex,
    (element, tag): Element<'ctx>,
) -> Result<Target<'ctx>, Error> {
    check_type(t, ty, element, tag)?;
    let field = |offset| {
        let field = t.ir.field(element, offset)?;
        pointer(t.ir.load(t.ir.types.ptr, field, 8, tag)?)
    };
    let code = field(offset_of!(VmFuncRef, code))?;
    let context = field(offset_of!(VmFuncRef, context))?;
    t.note_callee(code)?;
    t.count_callee(code, context)?;
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
