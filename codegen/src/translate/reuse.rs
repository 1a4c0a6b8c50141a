//! [`Reuse`]: values that code which nothing optimises computes once and uses again.
//!
//! LLVM's optimising passes find such values themselves. Without them every instruction less is time saved, to compile and to run, so the translator remembers two kinds: addresses
//! in the context that do not change while the function runs, which are loaded at its entry, and the addresses of indices in memories, until the block ends. (What variables
//! hold is remembered in [`super::tier::Locals`].)

use std::collections::HashMap;

use inkwell::basic_block::BasicBlock;
use inkwell::values::{AsValueRef, IntValue, PointerValue};
use wasmo_abi::index::MemoryIndex;

use super::function::FunctionTranslator;
use super::trap::constant;
use crate::error::Error;

/// What was computed before.
#[derive(Debug, Default)]
pub(super) struct Reuse<'ctx> {
    /// Addresses loaded at the entry, by the offset of the field that they are in.
    fields: HashMap<usize, PointerValue<'ctx>>,
    /// Addresses in memories, by the index's identity, with the block that they are known in.
    indexed: HashMap<(MemoryIndex, usize), (BasicBlock<'ctx>, PointerValue<'ctx>)>,
}

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    /// The address that is in the field at `offset` of the function's context, and does not change while the code can run. May move the builder: see
    /// [`FunctionTranslator::locate`].
    pub(super) fn context_field(&mut self, offset: usize) -> Result<PointerValue<'ctx>, Error> {
        let load = || self.ir.constant_pointer(self.context, offset);
        if !self.ir.options.quick {
            return load();
        }
        if let Some(&address) = self.reuse.fields.get(&offset) {
            return Ok(address);
        }
        let address = self.ir.at_entry(self.function, load)?;
        self.forget_location();
        self.reuse.fields.insert(offset, address);
        Ok(address)
    }

    /// The address of `index`, an i32 or i64, in `memory`.
    pub(super) fn indexed(&mut self, memory: MemoryIndex, index: IntValue<'ctx>) -> Result<PointerValue<'ctx>, Error> {
        if !self.ir.options.quick || constant(index).is_some() {
            let index = self.ir.zext64(index)?;
            return self.memory_place(memory, index);
        }
        let (key, here) = ((memory, index.as_value_ref().addr()), self.ir.block()?);
        if let Some(&(block, address)) = self.reuse.indexed.get(&key)
            && block == here
        {
            return Ok(address);
        }
        let extended = self.ir.zext64(index)?;
        let address = self.memory_place(memory, extended)?;
        self.reuse.indexed.insert(key, (here, address));
        Ok(address)
    }
}
