//! Traps with an explicit condition: a cold block each, which ends in an instruction that encodes the reason.

use inkwell::basic_block::BasicBlock;
use inkwell::values::{AsValueRef, IntValue};
use llvm_sys::core::LLVMIsAConstantInt;
use wasmo_abi::trap::TrapCode;

use super::function::FunctionTranslator;
use crate::error::Error;
use crate::ir::context::Arch;

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    /// Traps with `code` when `condition`, an i1, holds; goes on in a new block.
    ///
    /// # Errors
    /// An internal one when the builder refuses.
    pub fn trap_if(&mut self, condition: IntValue<'ctx>, code: TrapCode) -> Result<(), Error> {
        if constant(condition) == Some(0) {
            return Ok(());
        }
        let go_on = self.begin_unlikely(condition)?;
        self.emit_trap(code)?;
        self.ir.at_end(go_on);
        Ok(())
    }

    /// Begins a block that is executed when `condition`, an i1, holds, which it hardly ever does; answers the block for when it does not.
    ///
    /// # Errors
    /// An internal one when the builder refuses.
    pub fn begin_unlikely(&mut self, condition: IntValue<'ctx>) -> Result<BasicBlock<'ctx>, Error> {
        let (unlikely, go_on) = (self.new_block(), self.new_block());
        let branch = self.ir.cond_br(condition, unlikely, go_on)?;
        self.ir.set_unlikely(branch)?;
        self.ir.at_end(unlikely);
        Ok(go_on)
    }

    /// Ends the current block with a trap.
    ///
    /// # Errors
    /// An internal one when the builder refuses.
    pub fn emit_trap(&mut self, code: TrapCode) -> Result<(), Error> {
        self.locate();
        // Nothing that LLVM sees reads memory after a trap, so it would drop the stores before it; but the host sees memory and globals.
        if !self.ir.options.quick {
            self.ir.keep_stores()?;
        }
        if self.ir.options.quick && self.ir.options.arch == Arch::X86_64 {
            // The quick instruction selector does not know `llvm.ubsantrap`. What is to become of this is said by its column.
            self.locate_trap(code);
            self.ir.intrinsic_call("llvm.trap", &[], &[])?;
        } else {
            let code = self.ir.types.i8.const_int(code as u64, false);
            let call = self.ir.intrinsic_call("llvm.ubsantrap", &[], &[code.into()])?;
            // Two traps of one function are told apart by their addresses only.
            self.ir.mark_unmerged(call);
        }
        self.ir.builder().build_unreachable()?;
        Ok(())
    }
}

/// The value of a constant integer, extended with zeros.
pub fn constant(value: IntValue<'_>) -> Option<u64> {
    // SAFETY: `value` is a live value; the function only looks at its class.
    let is_integer = unsafe { !LLVMIsAConstantInt(value.as_value_ref()).is_null() };
    if is_integer { value.get_zero_extended_constant() } else { None }
}
