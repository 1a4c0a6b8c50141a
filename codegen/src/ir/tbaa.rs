//! [`Region`]: classes of memory of which no two overlap, and the metadata that says so to LLVM.
//!
//! The tree is flat: below the root each region is a type of its own, so an access to one never aliases an access to another, and
//! accesses without a tag alias everything. Entities that the module defines are regions of their own; two imports may be the same entity, so all
//! imports of a kind are one region.

use inkwell::context::ContextRef;
use inkwell::values::{AsValueRef, BasicMetadataValueEnum, BasicValue, FunctionValue, InstructionValue, MetadataValue};

use super::context::Ir;
use crate::error::Error;

/// A class of memory that overlaps no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// Content of the linear memory at this position among the defined ones.
    Memory(usize),
    /// Content of all imported linear memories.
    ImportedMemories,
    /// The [`wasmo_abi::vm::VmMemory`] records.
    MemoryHeads,
    /// The [`wasmo_abi::vm::VmTable`] of the table at this position among the defined ones.
    TableHead(usize),
    /// Those of all imported tables.
    ImportedTableHeads,
    /// Elements of the table at this position among the defined ones.
    TableElements(usize),
    /// Elements of all imported tables.
    ImportedTableElements,
    /// The global at this position among the defined ones.
    Global(usize),
    /// All imported globals.
    ImportedGlobals,
    /// The [`wasmo_abi::vm::VmFuncRef`] records outside of tables.
    FuncRefs,
    /// The constant fields of a `VMContext`.
    Context,
    /// Fields of the execution context.
    Exec,
    /// The execution context's spill area.
    Spill,
    /// The [`wasmo_abi::tier::VmEntry`]s of a module in tiers.
    Entries,
    /// Arrays of [`wasmo_abi::vm::RawValue`] that thunks and helpers take.
    Values,
}

impl Region {
    fn name(self) -> String {
        match self {
            Self::Memory(position) => format!("memory {position}"),
            Self::TableHead(position) => format!("table {position}"),
            Self::TableElements(position) => format!("elements {position}"),
            Self::Global(position) => format!("global {position}"),
            other => format!("{other:?}"),
        }
    }
}

/// Access to a [`Region`], as metadata; none in code that nothing optimises.
#[derive(Clone, Copy, Debug)]
pub struct Tag<'ctx>(Option<MetadataValue<'ctx>>);

/// Numbers of the metadata kinds in use, and metadata that is used as it is.
#[derive(Debug)]
pub(super) struct Kinds {
    tbaa: u32,
    invariant_load: u32,
    noundef: u32,
    prof: u32,
}

impl Kinds {
    pub(super) fn new(context: ContextRef<'_>) -> Self {
        Self {
            tbaa: context.get_kind_id("tbaa"),
            invariant_load: context.get_kind_id("invariant.load"),
            noundef: context.get_kind_id("noundef"),
            prof: context.get_kind_id("prof"),
        }
    }
}

/// The weight of the likely successor of a branch when that of the unlikely one is 1: what LLVM's `llvm.expect` gives.
const LIKELY: u64 = (1 << 20) - 1;

impl<'ctx> Ir<'ctx> {
    /// The tag of accesses to `region`.
    pub fn tag(&self, region: Region) -> Tag<'ctx> {
        if self.options.quick {
            return Tag(None);
        }
        if let Some(&tag) = self.tags.borrow().get(&region) {
            return tag;
        }
        let context = self.context();
        let zero = self.types.i64.const_zero();
        let root = context.metadata_node(&[context.metadata_string("wasmo").into()]);
        let name = context.metadata_string(&region.name());
        let ty = context.metadata_node(&[name.into(), root.into(), zero.into()]);
        let tag = Tag(Some(context.metadata_node(&[ty.into(), ty.into(), zero.into()])));
        self.tags.borrow_mut().insert(region, tag);
        tag
    }

    /// Says what `instruction`, a load or store, accesses.
    pub fn set_tag(&self, instruction: InstructionValue<'ctx>, tag: Tag<'ctx>) -> Result<(), Error> {
        match tag.0 {
            Some(tag) => self.set_metadata(instruction, tag, self.kinds.tbaa),
            None => Ok(()),
        }
    }

    /// Says that what `load` reads is there from the beginning and never changes while the code can run.
    pub fn set_invariant(&self, load: InstructionValue<'ctx>) -> Result<(), Error> {
        if self.options.quick {
            return Ok(());
        }
        for kind in [self.kinds.invariant_load, self.kinds.noundef] {
            self.set_metadata(load, self.context().metadata_node(&[]), kind)?;
        }
        Ok(())
    }

    /// Says that `branch` hardly ever goes to its first successor.
    pub fn set_unlikely(&self, branch: InstructionValue<'ctx>) -> Result<(), Error> {
        if self.options.quick {
            return Ok(());
        }
        self.set_branch_weights(branch, [1, LIKELY])
    }

    /// Says of `branch`, to its successors in their order, how often it went there. What never happened so far may yet happen, so that no weight is 0; when nothing
    /// happened at all, nothing is said.
    pub fn set_weights(&self, branch: InstructionValue<'ctx>, counts: &[u64]) -> Result<(), Error> {
        let most = counts.iter().copied().max().unwrap_or(0);
        if self.options.quick || most == 0 {
            return Ok(());
        }
        // Weights have 32 bits.
        let scale = most / u64::from(u32::MAX) + 1;
        self.set_branch_weights(branch, counts.iter().map(|count| (count / scale + 1).min(u64::from(u32::MAX))))
    }

    fn set_branch_weights(
        &self,
        branch: InstructionValue<'ctx>,
        weights: impl IntoIterator<Item = u64>,
    ) -> Result<(), Error> {
        let context = self.context();
        let mut operands: Vec<BasicMetadataValueEnum<'ctx>> = vec![context.metadata_string("branch_weights").into()];
        for weight in weights {
            operands.push(self.types.i32.const_int(weight, false).into());
        }
        self.set_metadata(branch, context.metadata_node(&operands), self.kinds.prof)
    }

    /// Says of `function` how often it was called, or that it never was: then it is to be small.
    pub fn mark_entries(&self, function: FunctionValue<'ctx>, entries: Option<u64>) {
        let context = self.context();
        let Some(entries) = entries else {
            self.mark_cold(function);
            return;
        };
        let name = context.metadata_string("function_entry_count");
        let node = context.metadata_node(&[name.into(), self.types.i64.const_int(entries, false).into()]);
        function.as_global_value().set_metadata(node, self.kinds.prof);
    }

    /// The instruction behind `value`, or `None` when building it gave a constant.
    pub fn instruction(&self, value: impl BasicValue<'ctx>) -> Option<InstructionValue<'ctx>> {
        value.as_instruction_value()
    }

    fn set_metadata(
        &self,
        instruction: InstructionValue<'ctx>,
        metadata: MetadataValue<'ctx>,
        kind: u32,
    ) -> Result<(), Error> {
        instruction
            .set_metadata(metadata, kind)
            .map_err(|error| Error::internal(format!("cannot annotate {:?}: {error}", instruction.as_value_ref())))
    }
}
