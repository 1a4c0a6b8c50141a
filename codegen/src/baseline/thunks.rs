//! The thunks of function types without vectors, made in the time that it takes to write some dozen instructions: what [`crate::thunks`] says of LLVM's holds of these.
//!
//! They have the frame of all functions here, in which an *enter* thunk, since its caller goes by C's convention, keeps two registers more.

use super::call::Location;
use super::frames;
use super::function::{Generator, operand_type};
use super::masm::{Address, Float, FrameMarks, FrameOffset, Gpr, Kept, Load, Masm, Store, Target, Width};
use super::operands::Type;
use super::{Aarch64, X86_64};
use crate::error::Error;
use crate::ir::context::Arch;
use crate::object::{Object, SymbolKind, TextSymbol};
use std::mem::offset_of;
use wasmo_abi::builtin::VmBuiltins;
use wasmo_abi::index::TypeIndex;
use wasmo_abi::types::{FuncType, ValType};
use wasmo_abi::vm::{RawValue, VmContext, VmExecContext, VmHostFunc};

/// Whether thunks of the type can be made here.
pub(crate) fn supports(ty: &FuncType) -> bool {
    ty.params.iter().chain(&*ty.results).all(|&ty| operand_type(ty).is_some())
}

/// Both thunks of each of these types, of which none has vectors.
///
/// # Errors
/// Internal ones only.
pub(crate) fn compile<'a>(arch: Arch, types: impl Iterator<Item = (TypeIndex, &'a FuncType)>) -> Result<Object, Error> {
    match arch {
        Arch::X86_64 => compile_for::<X86_64>(types),
        Arch::Aarch64 => compile_for::<Aarch64>(types),
    }
}

fn compile_for<'a, M: Masm>(types: impl Iterator<Item = (TypeIndex, &'a FuncType)>) -> Result<Object, Error> {
    let mut masm = M::default();
    let (mut symbols, mut described) = (Vec::new(), Vec::new());
    for (index, ty) in types {
        for kind in [SymbolKind::Enter(index), SymbolKind::Exit(index)] {
            masm.align(16);
            let is_enter = matches!(kind, SymbolKind::Enter(_));
            // Of what C's functions keep, these two are changed by wasm functions.
            let kept = Kept { gprs: 1 << M::CONTEXT.0 | 1 << M::KEPT_IN_C.0, fprs: 0 };
            let kept = if is_enter { kept } else { Kept::default() };
            let mut thunk = Thunk { marks: masm.begin_function(kept), masm: &mut masm };
            let left = if is_enter { thunk.enter(ty)? } else { thunk.exit(ty)? };
            let marks = thunk.marks;
            masm.finish_labels()?;
            symbols.push(TextSymbol { kind, offset: marks.start, size: marks.end - marks.start });
            described.push((marks, M::describe_frame(&marks, &[left])));
        }
    }
    let unwind = frames::section::<M>(described.iter().map(|(marks, frame)| (marks.start, marks.end, &**frame)));
    Ok(Object::of_code(masm.into_code(), symbols, Vec::new(), unwind))
}

/// Values, in the order of their types: where each travels, and where it stands in the array.
fn placed(types: &[ValType], locations: Vec<Location>) -> Result<Vec<(Type, Location, u32)>, Error> {
    let place = |(position, (&ty, location)): (usize, (&ValType, Location))| {
        let offset = u32::try_from(position * size_of::<RawValue>()).ok()?;
        Some((operand_type(ty)?, location, offset))
    };
    let placed: Option<Vec<_>> = types.iter().zip(locations).enumerate().map(place).collect();
    placed.ok_or_else(|| Error::internal("a thunk of a type with vectors, or with too many values"))
}

/// Those that travel in the spill area: the slot of each, and where its raw value is.
fn spilled_of(placed: &[(Type, Location, u32)]) -> Vec<(usize, u32)> {
    let slot = |&(_, location, offset): &(Type, Location, u32)| match location {
        Location::Spill(slot) => Some((slot, offset)),
        Location::Gpr(_) | Location::Fpr(_) => None,
    };
    placed.iter().filter_map(slot).collect()
}

/// How a value that is an integer is stored.
fn whole(ty: Type) -> Store {
    match ty.width() {
        Width::W32 => Store::Word,
        Width::W64 => Store::Double,
    }
}

/// A thunk that is being written, from its frame on.
struct Thunk<'a, M> {
    masm: &'a mut M,
    marks: FrameMarks,
}

impl<M: Masm> Thunk<'_, M> {
    /// See [`wasmo_abi::vm::EnterThunk`]. Answers where the frame is taken away, and where it is there again.
    fn enter(&mut self, ty: &FuncType) -> Result<(u32, u32), Error> {
        let [code, context, values, _] = M::C_ARGUMENTS;
        let own_context = FrameOffset(M::BELOW + 8 * self.marks.kept.count());
        // Functions keep this register.
        self.masm.mov(Width::W64, M::MEMORY, values);
        self.masm.mov(Width::W64, M::CALLEE_CODE, code);
        self.masm.mov(Width::W64, M::CONTEXT, context);
        self.masm.store_frame(own_context, context);

        let params = placed(&ty.params, Location::of_params::<M>(&ty.params))?;
        let spilled = spilled_of(&params);
        if !spilled.is_empty() {
            self.load_exec(M::CONTEXT)?;
        }
        for (slot, offset) in spilled {
            self.masm.load(Load::Whole(Width::W64), M::CALLEE_CONTEXT, Address::field(M::MEMORY, offset as usize)?);
            self.masm.store(Store::Double, Generator::<M>::spill_slot(M::SCRATCH, slot)?, M::CALLEE_CONTEXT);
        }
        for &(ty, location, offset) in &params {
            let from = Address::field(M::MEMORY, offset as usize)?;
            match location {
                Location::Gpr(reg) => self.masm.load(Load::Whole(ty.width()), reg, from),
                Location::Fpr(reg) => self.masm.fload(ty.float().unwrap_or(Float::F64), reg, from),
                Location::Spill(_) => {}
            }
        }
        self.masm.call(Target::Gpr(M::CALLEE_CODE));

        let results = placed(&ty.results, Location::of_results::<M>(&ty.results))?;
        for &(ty, location, offset) in &results {
            let to = Address::field(M::MEMORY, offset as usize)?;
            match location {
                Location::Gpr(reg) => self.masm.store(whole(ty), to, reg),
                Location::Fpr(reg) => self.masm.fstore(ty.float().unwrap_or(Float::F64), to, reg),
                Location::Spill(_) => {}
            }
        }
        let spilled = spilled_of(&results);
        if !spilled.is_empty() {
            self.masm.load_frame(Width::W64, M::SCRATCH, own_context);
            self.load_exec(M::SCRATCH)?;
        }
        for (slot, offset) in spilled {
            let from = Generator::<M>::spill_slot(M::SCRATCH, slot)?;
            self.masm.load(Load::Whole(Width::W64), M::CALLEE_CONTEXT, from);
            self.masm.store(Store::Double, Address::field(M::MEMORY, offset as usize)?, M::CALLEE_CONTEXT);
        }
        let left = self.masm.leave_frame(self.marks.kept);
        self.masm.ret_in_c();
        self.end(left, own_context.0 + 8)
    }

    /// A function in the wasm convention whose context is a [`VmHostFunc`], and that calls its callback on the host's stack; answers as [`Thunk::enter`].
    fn exit(&mut self, ty: &FuncType) -> Result<(u32, u32), Error> {
        let values = M::BELOW.next_multiple_of(16);
        let params = placed(&ty.params, Location::of_params::<M>(&ty.params))?;
        let mut exec = false;
        for &(_, location, offset) in &params {
            let place = FrameOffset(values + offset);
            match location {
                Location::Gpr(reg) => self.masm.store_frame(place, reg),
                Location::Fpr(reg) => self.masm.fstore_frame(place, reg),
                Location::Spill(slot) => {
                    if !exec {
                        self.load_exec(M::CONTEXT)?;
                        exec = true;
                    }
                    let from = Generator::<M>::spill_slot(M::SCRATCH, slot)?;
                    self.masm.load(Load::Whole(Width::W64), M::CALLEE_CONTEXT, from);
                    self.masm.store_frame(place, M::CALLEE_CONTEXT);
                }
            }
        }
        let [exec, callback, context, array] = M::C_ARGUMENTS;
        let pointer = Load::Whole(Width::W64);
        self.masm.load(pointer, exec, Address::field(M::CONTEXT, offset_of!(VmHostFunc, exec))?);
        self.masm.load(pointer, M::SCRATCH, Address::field(exec, offset_of!(VmExecContext, builtins))?);
        self.masm.load(pointer, callback, Address::field(M::CONTEXT, offset_of!(VmHostFunc, callback))?);
        self.masm.mov(Width::W64, context, M::CONTEXT);
        self.masm.frame_address(array, FrameOffset(values));
        // What is called keeps the context's register.
        self.masm.call_c(Target::Memory(Address::field(M::SCRATCH, offset_of!(VmBuiltins, exit))?));

        let results = placed(&ty.results, Location::of_results::<M>(&ty.results))?;
        let spilled = spilled_of(&results);
        if !spilled.is_empty() {
            self.load_exec(M::CONTEXT)?;
        }
        for (slot, offset) in spilled {
            self.masm.load_frame(Width::W64, M::CALLEE_CONTEXT, FrameOffset(values + offset));
            self.masm.store(Store::Double, Generator::<M>::spill_slot(M::SCRATCH, slot)?, M::CALLEE_CONTEXT);
        }
        for &(ty, location, offset) in &results {
            let place = FrameOffset(values + offset);
            match location {
                Location::Gpr(reg) => self.masm.load_frame(ty.width(), reg, place),
                Location::Fpr(reg) => self.masm.fload_frame(ty.float().unwrap_or(Float::F64), reg, place),
                Location::Spill(_) => {}
            }
        }
        let left = self.masm.leave_frame(self.marks.kept);
        self.masm.ret();
        let count = params.len().max(results.len());
        let size = u32::try_from(count * size_of::<RawValue>()).map_err(|_| Error::internal("too many values"))?;
        self.end(left, values + size)
    }

    /// Loads the address of the execution context, given that of a context; it is at the same place in that of an instance and that of a host function.
    fn load_exec(&mut self, context: Gpr) -> Result<(), Error> {
        const { assert!(offset_of!(VmContext, exec) == offset_of!(VmHostFunc, exec)) };
        self.masm.load(Load::Whole(Width::W64), M::SCRATCH, Address::field(context, offset_of!(VmContext, exec))?);
        Ok(())
    }

    /// Ends the thunk, whose frame goes up to `size`, and is taken away at `left`.
    fn end(&mut self, left: u32, size: u32) -> Result<(u32, u32), Error> {
        let again = u32::try_from(self.masm.code().len()).map_err(|_| Error::internal("too many thunks"))?;
        self.masm.end_function(&mut self.marks, size.next_multiple_of(16));
        Ok((left, again))
    }
}
