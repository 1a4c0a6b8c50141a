//! [`NeighbourUnit`]: the functions of a [`Neighbour`] in an LLVM module, to be called directly and inlined.
//!
//! They are translated as in any other unit of their own module, but with the address of the one instance as their context, wherever they are called from here. Both sides may reach
//! the same memories, tables and globals, one as defined and the other as imported, so that for LLVM all of the neighbour's are imported ones. Their operators have the lines that
//! follow those of the compiled module, so that whoever finds one in the table of offsets can tell whose it is.
//!
//! They are for inlining only: what LLVM has not inlined becomes a call of the function's code in its own module ([`settle`]).

use inkwell::module::{Linkage, Module};
use inkwell::values::PointerValue;
use wasmo_abi::index::{FuncIndex, FuncRefIndex};
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::symbol;
use wasmo_abi::tier::VmEntry;
use wasmparser::FuncValidatorAllocations;

use super::function::{FunctionTranslator, Variant};
use super::unit::{Side, Unit};
use crate::error::Error;
use crate::ir::Ir;
use crate::ir::builder::pointer;
use crate::ir::debug::DebugInfo;
use crate::ir::signature::Callee;
use crate::ir::tbaa::Region;
use crate::neighbour::Neighbour;
use crate::profile::Guide;
use std::mem::offset_of;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct NeighbourUnit<'a, 'ctx> {
    facts: &'a Neighbour<'a>,
    unit: Unit<'a, 'ctx>,
}

impl<'a, 'ctx> NeighbourUnit<'a, 'ctx> {
    /// For an LLVM module with functions of a module of so many `bytes`.
    pub(super) fn new(within: (&'a Ir<'ctx>, &'a DebugInfo<'ctx>), facts: &'a Neighbour<'a>, bytes: usize) -> Self {
        // The table of offsets has no room for more.
        let all = facts.source.map_or(0, |source| source.bytes().len()).saturating_add(bytes);
        let fits = i32::try_from(all).is_ok();
        let inlined = facts.inlined.iter().copied().filter(|_| fits && facts.source.is_some()).collect();
        let fixed = (facts.entries == 0).then_some(facts.code);
        let side = Side::Neighbour { first_line: u32::try_from(bytes).unwrap_or(u32::MAX), fixed };
        Self { facts, unit: Unit::new(within, facts.info, inlined, Guide::None, None, side) }
    }

    /// Defines the functions that may be inlined.
    pub(super) fn translate(
        &self,
        mut allocations: FuncValidatorAllocations,
    ) -> Result<FuncValidatorAllocations, Error> {
        let Some(source) = self.facts.source else { return Ok(allocations) };
        let parsed = source.parsed();
        for &position in self.facts.inlined.iter().filter(|&&position| self.unit.is_here(position)) {
            let missing = || Error::internal("a neighbour has no such function");
            let validator = parsed.to_validate(position).ok_or_else(missing)?.into_validator(allocations);
            let body = parsed.body(position, source.bytes())?;
            let (func, variant) = (parsed.info.func_of_defined(position), Variant::Whole(Linkage::AvailableExternally));
            allocations = FunctionTranslator::translate(&self.unit, func, variant, &body, validator)?;
        }
        Ok(allocations)
    }

    /// What is known of its module.
    pub(super) fn info(&self) -> &'a ModuleInfo {
        self.facts.info
    }

    /// The function that an imported one is, if it is the neighbour's.
    pub(super) fn imported(&self, func: FuncIndex) -> Option<FuncIndex> {
        self.facts.imports.get(&func).copied()
    }

    /// The unit of its functions.
    pub(super) fn unit(&self) -> &Unit<'a, 'ctx> {
        &self.unit
    }

    /// The address of the instance's context.
    pub(super) fn context(&self) -> Result<PointerValue<'ctx>, Error> {
        self.unit.ir.address(self.facts.context)
    }

    /// The address of a function's record.
    pub(super) fn func_ref(&self, func_ref: FuncRefIndex) -> Result<PointerValue<'ctx>, Error> {
        self.unit.ir.address(self.facts.context + self.unit.layout.func_ref(func_ref))
    }

    /// What to call to call `func`, a defined function: the function to be inlined, unless the call must `stay` one, or its newest code.
    pub(super) fn callee(&self, func: FuncIndex, stay: bool) -> Result<Callee<'ctx>, Error> {
        let missing = || Error::internal("a neighbour does not define the function");
        let position = self.unit.info.defined_func(func).ok_or_else(missing)?;
        if !stay && self.unit.is_here(position) {
            return Ok(Callee::Direct(self.unit.function(func)));
        }
        let ir = self.unit.ir;
        if let Some(code) = self.unit.fixed_code(position) {
            return Ok(Callee::Indirect(ir.address(code)?));
        }
        let entry = self.facts.entries + position * size_of::<VmEntry>() + offset_of!(VmEntry, code);
        let code = ir.load(ir.types.ptr, ir.address(entry)?, 8, ir.tag(Region::Entries))?;
        Ok(Callee::Indirect(pointer(code)?))
    }
}

/// Makes calls of a neighbour's functions that were not inlined into calls of the code that they have in their own module.
///
/// # Errors
/// An internal one when there is no such code.
pub(crate) fn settle(module: &Module<'_>, neighbour: &Neighbour<'_>) -> Result<(), Error> {
    for function in module.get_functions() {
        let Some(func) = function.get_name().to_str().ok().and_then(symbol::parse_neighbour) else { continue };
        let code = neighbour.info.defined_func(func).and_then(|position| neighbour.code.entry(position));
        let code = code.ok_or_else(|| Error::internal("a neighbour's function has no code"))?;
        let here = function.as_global_value().as_pointer_value();
        let code = module.get_context().i64_type().const_int(code as u64, false).const_to_pointer(here.get_type());
        here.replace_all_uses_with(code);
    }
    Ok(())
}
