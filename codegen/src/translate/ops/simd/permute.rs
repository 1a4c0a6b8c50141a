//! Operators that move lanes by an index in another vector (core specification, 4.3.5).

use inkwell::values::VectorValue;

use super::lanes::Lanes;
use crate::error::Error;
use crate::ir::context::Arch;

/// Added with saturation to an index, keeps those below 16 as they are in their low four bits, and sets the topmost bit of all others,
/// which is how `pshufb` knows that it has to answer zero.
const SELECT_ZERO: u64 = 0x70;

impl<'ctx> Lanes<'_, 'ctx> {
    /// `i8x16.swizzle`: an index beyond the last lane gives zero.
    pub(super) fn swizzle(&self, a: VectorValue<'ctx>, index: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        match self.arch() {
            Arch::X86_64 => {
                let margin = self.constant(index.get_type(), SELECT_ZERO);
                let index = self.lanewise("llvm.uadd.sat", &[index, margin])?;
                self.relaxed_swizzle(a, index)
            }
            Arch::Aarch64 => self.relaxed_swizzle(a, index),
        }
    }

    /// `i8x16.relaxed_swizzle`: what an index from 16 to 127 gives is left open, and so to the processor.
    pub(super) fn relaxed_swizzle(
        &self,
        a: VectorValue<'ctx>,
        index: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        match self.arch() {
            Arch::X86_64 => self.machine("llvm.x86.ssse3.pshuf.b.128", &[a, index]),
            Arch::Aarch64 => self.lanewise("llvm.aarch64.neon.tbl1", &[a, index]),
        }
    }
}
