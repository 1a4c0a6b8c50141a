//! Operators between lanes of one width and of twice that width (core specification, 4.3.5): extension, narrowing, and products and sums in the greater
//! width.
//!
//! Most say what they mean in the greater width and leave it to the code generator to find the instruction (`pmovsx`, `packss`, `pmaddwd`;
//! `sshll`, `sqxtn`, `smull`), so that the optimiser sees through them.

use inkwell::values::VectorValue;

use super::lanes::{Lanes, lane_bits};
use super::shape::{Half, Sign};
use crate::error::Error;
use crate::ir::context::Arch;

impl<'ctx> Lanes<'_, 'ctx> {
    /// `extend_low` and `extend_high`
    pub(super) fn extend_half(&self, a: VectorValue<'ctx>, half: Half, sign: Sign) -> Result<VectorValue<'ctx>, Error> {
        let count = a.get_type().get_size();
        let order: Vec<u32> = match half {
            Half::Low => (0..count / 2).collect(),
            Half::High => (count / 2..count).collect(),
        };
        self.extend_picked(a, &order, sign)
    }

    fn extend_picked(&self, a: VectorValue<'ctx>, order: &[u32], sign: Sign) -> Result<VectorValue<'ctx>, Error> {
        let picked = self.pick(a, order)?;
        self.extend(picked, self.widened(picked.get_type()), sign)
    }

    /// `extmul_low` and `extmul_high`
    pub(super) fn extend_multiply(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        half: Half,
        sign: Sign,
    ) -> Result<VectorValue<'ctx>, Error> {
        self.mul(self.extend_half(a, half, sign)?, self.extend_half(b, half, sign)?)
    }

    /// `extadd_pairwise`. On x86-64 it is a sum of products with 1, where there is one for the width and sign.
    pub(super) fn add_pairs(&self, a: VectorValue<'ctx>, sign: Sign) -> Result<VectorValue<'ctx>, Error> {
        let ty = a.get_type();
        match (self.arch(), lane_bits(ty), sign) {
            (Arch::X86_64, 8, Sign::Signed) => {
                self.machine("llvm.x86.ssse3.pmadd.ub.sw.128", &[self.constant(ty, 1), a])
            }
            (Arch::X86_64, 8, Sign::Unsigned) => {
                self.machine("llvm.x86.ssse3.pmadd.ub.sw.128", &[a, self.constant(ty, 1)])
            }
            (Arch::X86_64, _, Sign::Signed) => self.machine("llvm.x86.sse2.pmadd.wd", &[a, self.constant(ty, 1)]),
            _ => {
                let even: Vec<u32> = (0..ty.get_size()).step_by(2).collect();
                let odd: Vec<u32> = (1..ty.get_size()).step_by(2).collect();
                self.add(self.extend_picked(a, &even, sign)?, self.extend_picked(a, &odd, sign)?)
            }
        }
    }

    /// `narrow`: the lanes of `a`, then those of `b`, each as the nearest number that fits half the width.
    /// The operands are always read as signed.
    pub(super) fn narrow(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        sign: Sign,
    ) -> Result<VectorValue<'ctx>, Error> {
        let lanes = self.concat(a, b)?;
        let ty = lanes.get_type();
        let bits = lane_bits(ty) / 2;
        let (least, greatest) = match sign {
            Sign::Signed => (u64::MAX << (bits - 1), !(u64::MAX << (bits - 1))),
            Sign::Unsigned => (0, !(u64::MAX << bits)),
        };
        let lanes = self.lanewise("llvm.smax", &[lanes, self.constant(ty, least)])?;
        let lanes = self.lanewise("llvm.smin", &[lanes, self.constant(ty, greatest)])?;
        Ok(self.builder().build_int_truncate(lanes, self.ints(bits, ty.get_size()), "")?)
    }

    /// `i32x4.dot_i16x8_s`
    pub(super) fn dot(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let count = a.get_type().get_size();
        let wide = self.widened(a.get_type());
        let products = self.mul(self.extend(a, wide, Sign::Signed)?, self.extend(b, wide, Sign::Signed)?)?;
        let even: Vec<u32> = (0..count).step_by(2).collect();
        let odd: Vec<u32> = (1..count).step_by(2).collect();
        self.add(self.pick(products, &even)?, self.pick(products, &odd)?)
    }

    /// `i16x8.relaxed_dot_i8x16_i7x16_s`. The specification leaves open how lanes of `b` with the topmost bit set count, and
    /// whether sums saturate: unsigned and saturating on x86-64, signed and wrapping on AArch64.
    pub(super) fn relaxed_dot(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        match self.arch() {
            Arch::X86_64 => self.machine("llvm.x86.ssse3.pmadd.ub.sw.128", &[b, a]),
            Arch::Aarch64 => self.dot(a, b),
        }
    }

    /// `i32x4.relaxed_dot_i8x16_i7x16_add_s`, on the i16 sums of [`Lanes::relaxed_dot`].
    pub(super) fn relaxed_dot_add(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        sum: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        let pairs = self.relaxed_dot(a, b)?;
        let fours = self.add_pairs(pairs, Sign::Signed)?;
        self.add(fours, self.cast(sum, fours.get_type())?)
    }
}
