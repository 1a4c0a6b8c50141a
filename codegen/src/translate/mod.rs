//! Function bodies to LLVM IR: one pass over each body, validated, straight to SSA.
//!
//! [`module_partition`] translates some of a module's functions to one LLVM module. [`mod@unit`] has what its functions share,
//! [`function`] translates one body: see there for what the operators in [`ops`] build on.

pub mod address;
pub mod branch;
pub mod control;
mod dropped;
mod entrances;
pub mod fuel;
pub mod function;
pub mod helper;
pub mod liveness;
pub(crate) mod neighbour;
pub mod ops;
pub mod prescan;
pub mod profile;
mod reuse;
pub mod stack;
mod tier;
pub mod trap;
pub mod unit;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use inkwell::context::Context;
use inkwell::module::{Linkage, Module};
use wasmo_abi::tier::LoopIndex;
use wasmparser::FuncValidatorAllocations;

use crate::error::Error;
use crate::ir::debug::DebugInfo;
use crate::ir::{Ir, Options};
use crate::parse::ParsedModule;
use crate::profile::Guide;
use function::{FunctionTranslator, Variant};
use neighbour::NeighbourUnit;
use unit::{Side, Unit};

/// Which functions one LLVM module defines; all others that it calls are declared. Functions are given by their position among the
/// module's defined functions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partition<'a> {
    /// Defined for all to call.
    pub functions: &'a [usize],
    /// Defined for inlining, since another partition (and then they are `available_externally`), or another unit of a module in tiers (and then they are `internal`), defines them for all.
    pub copies: &'a [usize],
    /// Loops at which variants of functions begin, which are defined too.
    pub osr: &'a [(usize, LoopIndex)],
    /// Whether code counts, or is made with what was counted.
    pub guide: Guide<'a>,
}

/// Translates the functions of `partition`, validating each. `bytes` are the module that `parsed` was made of.
///
/// Functions have the symbols of [`wasmo_abi::symbol::func`], with hidden visibility.
///
/// # Errors
/// When a body is malformed or invalid.
pub(crate) fn module_partition<'ctx>(
    context: &'ctx Context,
    parsed: &ParsedModule,
    bytes: &[u8],
    partition: Partition<'_>,
    options: &Options,
) -> Result<Module<'ctx>, Error> {
    let ir = Ir::new(context, "wasm", options);
    let debug = DebugInfo::new(&ir);
    let mut allocations = FuncValidatorAllocations::default();
    let neighbour = partition.guide.neighbour().map(|facts| NeighbourUnit::new((&ir, &debug), facts, bytes.len()));
    if let Some(neighbour) = &neighbour {
        allocations = neighbour.translate(allocations)?;
    }
    let here = partition.functions.iter().chain(partition.copies).copied().collect();
    // A unit of a module in tiers refers to no other.
    let (linkage, own) = match options.tier {
        None => (Linkage::AvailableExternally, BTreeSet::new()),
        Some(_) => (Linkage::Internal, partition.copies.iter().copied().collect()),
    };
    let side = Side::Own { copies: own };
    let unit = Unit::new((&ir, &debug), &parsed.info, here, partition.guide, neighbour.as_ref(), side);
    let own = partition.functions.iter().map(|&position| (position, Variant::Whole(Linkage::External)));
    let copies = partition.copies.iter().map(|&position| (position, Variant::Whole(linkage)));
    let osr = partition.osr.iter().map(|&(position, at)| (position, Variant::From(at)));
    for (position, variant) in own.chain(copies).chain(osr) {
        let to_validate =
            parsed.to_validate(position).ok_or_else(|| Error::internal("a partition names a missing function"))?;
        let validator = to_validate.into_validator(allocations);
        let body = parsed.body(position, bytes)?;
        let function = parsed.info.func_of_defined(position);
        allocations = FunctionTranslator::translate(&unit, function, variant, &body, validator)?;
    }
    debug.finish();
    Ok(ir.finish())
}
