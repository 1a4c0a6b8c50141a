//! Integer arithmetic on lanes (core specification, 4.3.2 by way of 4.3.5): what keeps the width of the lanes, and the operators that sum up a
//! vector in one i32.

use inkwell::IntPredicate;
use inkwell::values::{BasicValueEnum, IntValue, VectorValue};

use super::lanes::{Lanes, lane_bits};
use super::shape::Sign;
use crate::error::Error;
use crate::ir::context::Arch;

impl<'ctx> Lanes<'_, 'ctx> {
    /// `add`
    pub(super) fn add(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_int_add(a, b, "")?)
    }

    /// `sub`
    pub(super) fn sub(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_int_sub(a, b, "")?)
    }

    /// `mul`
    pub(super) fn mul(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_int_mul(a, b, "")?)
    }

    /// `neg`
    pub(super) fn neg(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_int_neg(a, "")?)
    }

    /// `abs`, of the most negative number itself.
    pub(super) fn abs(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let least_is_poison = self.context().bool_type().const_zero();
        let arguments: [BasicValueEnum<'ctx>; 2] = [a.into(), least_is_poison.into()];
        Ok(self.ir().intrinsic("llvm.abs", &[a.get_type().into()], &arguments)?.into_vector_value())
    }

    /// `avgr_u`, in twice the width, as the code generator wants to see it.
    pub(super) fn average(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let narrow = a.get_type();
        let wide = self.widened(narrow);
        let one = self.constant(wide, 1);
        let a = self.extend(a, wide, Sign::Unsigned)?;
        let b = self.extend(b, wide, Sign::Unsigned)?;
        let sum = self.add(self.add(a, b)?, one)?;
        let half = self.builder().build_right_shift(sum, one, false, "")?;
        Ok(self.builder().build_int_truncate(half, narrow, "")?)
    }

    /// `q15mulr_sat_s`: the only product that does not fit is that of −1 and −1.
    pub(super) fn q15_multiply(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        match self.arch() {
            Arch::Aarch64 => self.lanewise("llvm.aarch64.neon.sqrdmulh", &[a, b]),
            Arch::X86_64 => {
                let product = self.wrapping_q15_multiply(a, b)?;
                let ty = product.get_type();
                let wrapped =
                    self.builder().build_int_compare(IntPredicate::EQ, product, self.constant(ty, 0x8000), "")?;
                self.builder().build_xor(product, self.extend(wrapped, ty, Sign::Signed)?, "").map_err(Error::from)
            }
        }
    }

    /// `relaxed_q15mulr_s`: whatever the processor makes of −1 × −1.
    pub(super) fn relaxed_q15_multiply(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        match self.arch() {
            Arch::Aarch64 => self.q15_multiply(a, b),
            Arch::X86_64 => self.wrapping_q15_multiply(a, b),
        }
    }

    fn wrapping_q15_multiply(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        self.machine("llvm.x86.ssse3.pmul.hr.sw.128", &[a, b])
    }

    /// `shl`
    pub(super) fn shift_left(&self, a: VectorValue<'ctx>, amount: IntValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_left_shift(a, self.shift_amount(a, amount)?, "")?)
    }

    /// `shr_s`
    pub(super) fn shift_right_signed(
        &self,
        a: VectorValue<'ctx>,
        amount: IntValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_right_shift(a, self.shift_amount(a, amount)?, true, "")?)
    }

    /// `shr_u`
    pub(super) fn shift_right_unsigned(
        &self,
        a: VectorValue<'ctx>,
        amount: IntValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_right_shift(a, self.shift_amount(a, amount)?, false, "")?)
    }

    /// The amount, modulo the width of a lane, in every lane: LLVM's shifts have no result beyond it.
    fn shift_amount(&self, a: VectorValue<'ctx>, amount: IntValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let ty = a.get_type();
        let bits = lane_bits(ty);
        let mask = amount.get_type().const_int(u64::from(bits - 1), false);
        let amount = self.builder().build_and(amount, mask, "")?;
        let lane = ty.get_element_type().into_int_type();
        let amount = if bits > amount.get_type().get_bit_width() {
            self.builder().build_int_z_extend(amount, lane, "")?
        } else {
            self.builder().build_int_truncate_or_bit_cast(amount, lane, "")?
        };
        self.splat(ty, amount.into())
    }

    /// `v128.not`
    pub(super) fn not(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_not(a, "")?)
    }

    /// `v128.and`
    pub(super) fn and(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_and(a, b, "")?)
    }

    /// `v128.andnot`: `a` without the bits of `b`.
    pub(super) fn and_not(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        self.and(a, self.not(b)?)
    }

    /// `v128.or`
    pub(super) fn or(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_or(a, b, "")?)
    }

    /// `v128.xor`
    pub(super) fn xor(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_xor(a, b, "")?)
    }

    /// `v128.bitselect`: the bits of `a` where `mask` has ones, else those of `b`.
    pub(super) fn bit_select(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        mask: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        self.or(self.and(a, mask)?, self.and_not(b, mask)?)
    }

    /// The relaxed lane selections: the lane of `a` where the topmost bit of `mask`'s is one, else that of `b`. The
    /// specification leaves open what happens to masks of mixed bits; to look at one of them is an instruction of its own on x86-64,
    /// and a comparison that made the mask is seen through.
    pub(super) fn lane_select(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        mask: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        let condition = self.negative(mask)?;
        self.select(condition, a, b)
    }

    /// `v128.any_true`
    pub(super) fn any_true(&self, a: VectorValue<'ctx>) -> Result<IntValue<'ctx>, Error> {
        let all = self.builder().build_bit_cast(a, self.context().i128_type(), "")?.into_int_value();
        let any = self.builder().build_int_compare(IntPredicate::NE, all, all.get_type().const_zero(), "")?;
        Ok(self.builder().build_int_z_extend(any, self.context().i32_type(), "")?)
    }

    /// `all_true`: whether no lane is zero.
    pub(super) fn all_true(&self, a: VectorValue<'ctx>) -> Result<IntValue<'ctx>, Error> {
        let zero = self.builder().build_int_compare(IntPredicate::EQ, a, a.get_type().const_zero(), "")?;
        let zeros = self.mask_bits(zero)?;
        let none = self.builder().build_int_compare(IntPredicate::EQ, zeros, zeros.get_type().const_zero(), "")?;
        Ok(self.builder().build_int_z_extend(none, self.context().i32_type(), "")?)
    }

    /// `bitmask`: the sign bits of all lanes, that of lane 0 lowest.
    pub(super) fn bitmask(&self, a: VectorValue<'ctx>) -> Result<IntValue<'ctx>, Error> {
        let signs = self.mask_bits(self.negative(a)?)?;
        Ok(self.builder().build_int_z_extend(signs, self.context().i32_type(), "")?)
    }

    fn negative(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_int_compare(IntPredicate::SLT, a, a.get_type().const_zero(), "")?)
    }

    /// A vector of single bits as one integer.
    fn mask_bits(&self, bits: VectorValue<'ctx>) -> Result<IntValue<'ctx>, Error> {
        let count = bits.get_type().get_size();
        let ty = self
            .context()
            .custom_width_int_type(std::num::NonZeroU32::new(count).unwrap_or(std::num::NonZeroU32::MIN))
            .map_err(|error| Error::internal(error.to_string()))?;
        Ok(self.builder().build_bit_cast(bits, ty, "")?.into_int_value())
    }
}
