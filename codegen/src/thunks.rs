//! The thunks between the host's C convention and the convention of wasm functions (ARCHITECTURE.md, section 3).
//!
//! For each function type there are two: through *enter* the host calls any function of the type, through *exit* wasm code calls any host function
//! of the type. Both exchange values with the host in an array of [`RawValue`]s, so the host needs to know one signature only.

use crate::error::Error;
use crate::ir::Ir;
use crate::ir::builder::pointer;
use crate::ir::signature::{Callee, SWIFT_TAIL_CC, Signature};
use crate::ir::tbaa::Region;
use crate::ir::types::Value;
use inkwell::types::{BasicTypeEnum, FunctionType};
use inkwell::values::{FunctionValue, PointerValue};
use std::mem::offset_of;
use wasmo_abi::builtin::VmBuiltins;
use wasmo_abi::index::TypeIndex;
use wasmo_abi::symbol;
use wasmo_abi::types::FuncType;
use wasmo_abi::vm::{RawValue, VmExecContext, VmHostFunc};

/// Every address in the shared records is aligned to its size.
const POINTER_ALIGN: u32 = 8;
/// Alignment of a [`RawValue`].
const VALUE_ALIGN: u32 = 16;

/// Adds both thunks of type `index`, which is `ty`, to the module of `ir`.
///
/// # Errors
/// Internal ones only.
pub(crate) fn build(ir: &Ir<'_>, index: TypeIndex, ty: &FuncType) -> Result<(), Error> {
    let signature = Signature::new(ir, ty);
    build_enter(ir, &symbol::enter(index), &signature)?;
    build_exit(ir, &symbol::exit(index), &signature)
}

/// `void enter(code, context, values)` in the C convention: [`wasmo_abi::vm::EnterThunk`].
fn build_enter<'ctx>(ir: &Ir<'ctx>, name: &str, signature: &Signature<'ctx>) -> Result<(), Error> {
    let ptr = ir.types.ptr;
    let function = begin(ir, name, ir.types.void.fn_type(&[ptr.into(), ptr.into(), ptr.into()], false));
    let param = |position| {
        pointer(function.get_nth_param(position).ok_or_else(|| Error::internal("an enter thunk has three parameters"))?)
    };
    let (code, context, values) = (param(0)?, param(1)?, param(2)?);
    let types: Vec<_> = signature.params.iter().map(|&(ty, _)| ty).collect();
    let arguments = load_values(ir, values, &types)?;
    let results = ir.emit_call(Callee::Indirect(code), context, signature, &arguments)?;
    store_values(ir, values, &results)?;
    ir.builder().build_return(None)?;
    Ok(())
}

/// A function in the wasm convention that expects a [`VmHostFunc`] as its context, and calls its callback on the host's stack.
fn build_exit<'ctx>(ir: &Ir<'ctx>, name: &str, signature: &Signature<'ctx>) -> Result<(), Error> {
    let function = begin(ir, name, signature.ty);
    function.set_call_conventions(SWIFT_TAIL_CC);
    ir.mark_context(function, size_of::<VmHostFunc>());
    let context = ir.context_param(function)?;
    let arguments = ir.load_params(function, signature)?;
    let slots = arguments.len().max(signature.results.len());
    let bytes = u32::try_from(slots * size_of::<RawValue>()).map_err(|_| Error::internal("too many values"))?;
    let values = ir.frame_slot(function, bytes)?;
    store_values(ir, values, &arguments)?;

    let load = |base: PointerValue<'ctx>, offset: usize, region: Region| {
        let field = ir.field(base, offset)?;
        pointer(ir.load_constant(ir.types.ptr, field, POINTER_ALIGN, ir.tag(region))?)
    };
    let exec = ir.exec(context)?;
    let builtins = load(exec, offset_of!(VmExecContext, builtins), Region::Exec)?;
    let stub = load(builtins, offset_of!(VmBuiltins, exit), Region::Context)?;
    let callback = load(context, offset_of!(VmHostFunc, callback), Region::Context)?;
    let ptr = ir.types.ptr.into();
    let stub_type = ir.types.void.fn_type(&[ptr, ptr, ptr, ptr], false);
    let arguments = [exec.into(), callback.into(), context.into(), values.into()];
    let call = ir.builder().build_indirect_call(stub_type, stub, &arguments, "")?;
    ir.mark_call(call);

    let types: Vec<_> = signature.results.iter().map(|&(ty, _)| ty).collect();
    let results = load_values(ir, values, &types)?;
    ir.emit_return(context, signature, &results)
}

/// A new function with an entry block, in which the builder stands.
fn begin<'ctx>(ir: &Ir<'ctx>, name: &str, ty: FunctionType<'ctx>) -> FunctionValue<'ctx> {
    let function = ir.module().add_function(name, ty, None);
    ir.mark_function(function);
    ir.builder().unset_current_debug_location();
    ir.at_end(ir.new_block(function));
    function
}

fn load_values<'ctx>(
    ir: &Ir<'ctx>,
    values: PointerValue<'ctx>,
    types: &[BasicTypeEnum<'ctx>],
) -> Result<Vec<Value<'ctx>>, Error> {
    let load = |(position, &ty): (usize, &BasicTypeEnum<'ctx>)| {
        let slot = ir.field(values, position * size_of::<RawValue>())?;
        ir.load(ty, slot, VALUE_ALIGN, ir.tag(Region::Values))
    };
    types.iter().enumerate().map(load).collect()
}

fn store_values<'ctx>(ir: &Ir<'ctx>, values: PointerValue<'ctx>, content: &[Value<'ctx>]) -> Result<(), Error> {
    for (position, &value) in content.iter().enumerate() {
        let slot = ir.field(values, position * size_of::<RawValue>())?;
        ir.store(value, slot, VALUE_ALIGN, ir.tag(Region::Values))?;
    }
    Ok(())
}
