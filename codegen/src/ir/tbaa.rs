//! [`Region`]: classes of memory of which no two overlap, and the metadata that says so to LLVM.
//!
//! The tree is flat: below the root each region is a type of its own, so an access to one never aliases an access to another, and
//! accesses without a tag alias everything. Entities that the module defines are regions of their own; two imports may be the same entity, so all
//! imports of a kind are one region.

use inkwell::context::ContextRef;
use inkwell::values::{AsValueRef, BasicValue, InstructionValue, MetadataValue};

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
        let context = self.context();
        let name = context.metadata_string("branch_weights");
        let weights = [1, LIKELY].map(|weight| self.types.i32.const_int(weight, false));
        let node = context.metadata_node(&[name.into(), weights[0].into(), weights[1].into()]);
        self.set_metadata(branch, node, self.kinds.prof)
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
