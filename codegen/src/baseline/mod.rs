//! The baseline compiler: lift-off code without LLVM, in one pass over each body.
//!
//! LLVM without any optimisation takes some hundred microseconds for a small function. A program that starts calls thousands of functions once or twice, so what is wanted is code that is made in the time that it takes to read
//! the operators. [`function`] has the generator, which knows WebAssembly and the conventions of our code; it asks a [`masm::Masm`] for instructions, of which there is one for each processor. What it makes is the same
//! as LLVM's lift-off code to whoever calls it, is called by it, counts it, walks through its frames, or goes on where it stopped ([`crate::translate`] has the other translation of each operator).
//!
//! There is no code here for vectors, nor for what few ask for (fuel, epochs, strict traps, profiles): of such functions LLVM makes the lift-off code. Nothing here is
//! unsafe, and nothing depends on a body being valid but what the code does.

mod aarch64;
mod bounds;
mod call;
mod control;
mod copies;
mod frames;
mod function;
mod masm;
mod memory;
mod operands;
mod operators;
#[cfg(test)]
mod tests;
pub(crate) mod thunks;
mod tier;
mod variables;
mod x86_64;

use crate::error::{Error, ErrorKind};
use crate::ir::context::Arch;
use crate::object::{Object, SymbolKind, TextSymbol};
use crate::parse::ParsedModule;
use aarch64::Aarch64;
use function::Generator;
use masm::Masm;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::layout::VmContextLayout;
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::tunables::Tunables;
use wasmparser::FuncValidatorAllocations;
use x86_64::X86_64;

/// What the code of a module's functions depends on.
struct Context<'a> {
    info: &'a ModuleInfo,
    layout: &'a VmContextLayout,
}

/// Where a function's code is, and the call frame information of it as it is after what is common to all.
struct Finished {
    func: FuncIndex,
    start: u32,
    end: u32,
    frame: Vec<u8>,
}

/// A module as this compiler sees it.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) parsed: &'a ParsedModule,
    pub(crate) layout: &'a VmContextLayout,
    pub(crate) bytes: &'a [u8],
    /// Whether all bodies were found to be valid.
    pub(crate) validated: bool,
}

/// Whether there is such a compiler for the choices that change code.
pub(crate) fn supports(tunables: &Tunables) -> bool {
    !tunables.strict_traps && !tunables.epoch_interruption && !tunables.consume_fuel
}

/// Compiles functions of a module for processors of a kind, by their positions among the defined ones; `None` when one of them has something that there is no code for here.
///
/// # Errors
/// When a body is malformed or invalid.
pub(crate) fn compile(arch: Arch, input: Input<'_>, functions: &[usize]) -> Result<Option<Object>, Error> {
    let compiled = match arch {
        Arch::X86_64 => compile_for::<X86_64>(input, functions),
        Arch::Aarch64 => compile_for::<Aarch64>(input, functions),
    };
    match compiled {
        // LLVM may have room for it.
        Err(error) if error.kind == ErrorKind::Limit => Ok(None),
        result => result,
    }
}

fn compile_for<M: Masm>(input: Input<'_>, functions: &[usize]) -> Result<Option<Object>, Error> {
    let info = &input.parsed.info;
    let context = Context { info, layout: input.layout };
    let mut masm = M::default();
    let (mut offsets, mut finished) = (Vec::new(), Vec::with_capacity(functions.len()));
    let mut allocations = FuncValidatorAllocations::default();
    for &position in functions {
        let body = input.parsed.body(position, input.bytes)?;
        let mut validator = None;
        if !input.validated {
            let missing = || Error::internal("a unit names a missing function");
            let func = input.parsed.to_validate(position).ok_or_else(missing)?;
            validator = Some(func.into_validator(std::mem::take(&mut allocations)));
        }
        let generated = Generator::generate(&context, &mut masm, &mut offsets, position, &body, validator.as_mut())?;
        let Some(function) = generated else { return Ok(None) };
        finished.push(function);
        if let Some(validator) = validator {
            allocations = validator.into_allocations();
        }
    }
    let symbol = |function: &Finished| TextSymbol {
        kind: SymbolKind::Func(function.func),
        offset: function.start,
        size: function.end - function.start,
    };
    let symbols = finished.iter().map(symbol).collect();
    let unwind = frames::section::<M>(finished.iter().map(|function| (function.start, function.end, &*function.frame)));
    Ok(Some(Object::of_code(masm.into_code(), symbols, offsets, unwind)))
}
