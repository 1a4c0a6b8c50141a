//! Floating-point arithmetic on lanes (core specification, 4.3.3 by way of 4.3.5).
//!
//! Hazard: LLVM takes an operation that cannot change a number for one that changes nothing, and so loses what WebAssembly asks of it when
//! the operand is a signalling NaN: to make it quiet. Such operations, multiplication by 1 for one, are known by their constant operand,
//! which is hidden behind an `llvm.arithmetic.fence` ([`Lanes::guarded`], [`Lanes::guarded_extreme`]).

use inkwell::FloatPredicate;
use inkwell::values::VectorValue;

use super::lanes::{Lanes, lane_bits};
use crate::error::Error;
use crate::ir::context::Arch;

impl<'ctx> Lanes<'_, 'ctx> {
    /// Float `add`
    pub(super) fn float_add(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_float_add(self.guarded(a)?, self.guarded(b)?, "")?)
    }

    /// Float `sub`
    pub(super) fn float_sub(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_float_sub(self.guarded(a)?, self.guarded(b)?, "")?)
    }

    /// Float `mul`
    pub(super) fn float_mul(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_float_mul(self.guarded(a)?, self.guarded(b)?, "")?)
    }

    /// Float `div`
    pub(super) fn float_div(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_float_div(self.guarded(a)?, self.guarded(b)?, "")?)
    }

    /// Float `neg`, which changes the sign bit and nothing else.
    pub(super) fn float_neg(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_float_neg(a, "")?)
    }

    /// `a`, hidden from the optimiser if it is a constant with which an operation may look like no operation at all: one with a lane of 0, 1 or
    /// −1.
    fn guarded(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let one = match lane_bits(a.get_type()) {
            32 => u128::from(1f32.to_bits()),
            _ => u128::from(1f64.to_bits()),
        };
        self.hidden_if(a, |magnitude| magnitude == 0 || magnitude == one)
    }

    /// Likewise with which `llvm.minimum` or `llvm.maximum` may: one with a lane that is an infinity or a NaN.
    fn guarded_extreme(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let infinity = match lane_bits(a.get_type()) {
            32 => u128::from(f32::INFINITY.to_bits()),
            _ => u128::from(f64::INFINITY.to_bits()),
        };
        self.hidden_if(a, |magnitude| magnitude >= infinity)
    }

    /// `a`, hidden from the optimiser if it is a constant of which any lane without its sign is `neutral`: LLVM may come to look at a lane alone.
    fn hidden_if(&self, a: VectorValue<'ctx>, neutral: impl Fn(u128) -> bool) -> Result<VectorValue<'ctx>, Error> {
        let width = lane_bits(a.get_type());
        let lane = match width {
            32 => u128::from(u32::MAX >> 1),
            _ => u128::from(u64::MAX >> 1),
        };
        let neutral = self
            .known_bits(a)?
            .is_some_and(|bits| (0..a.get_type().get_size()).any(|index| neutral(bits >> (index * width) & lane)));
        if neutral { self.lanewise("llvm.arithmetic.fence", &[a]) } else { Ok(a) }
    }

    /// Float `min`: −0 is less than +0, and a NaN is answered by the canonical one.
    pub(super) fn float_min(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        if self.arch() == Arch::Aarch64 {
            return self.lanewise("llvm.minimum", &[self.guarded_extreme(a)?, self.guarded_extreme(b)?]);
        }
        // The two orders differ where both operands are zero, and where one is a NaN; the sign of −0 survives the union.
        let (one, other) = (self.relaxed_min(a, b)?, self.relaxed_min(b, a)?);
        let ints = self.as_ints(a.get_type());
        let bits = self.or(self.cast(one, ints)?, self.cast(other, ints)?)?;
        self.unless_nan(a, b, bits)
    }

    /// Float `max`: +0 is greater than −0, and a NaN is answered by the canonical one.
    pub(super) fn float_max(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        if self.arch() == Arch::Aarch64 {
            return self.lanewise("llvm.maximum", &[self.guarded_extreme(a)?, self.guarded_extreme(b)?]);
        }
        let (one, other) = (self.relaxed_max(a, b)?, self.relaxed_max(b, a)?);
        let ints = self.as_ints(a.get_type());
        let bits = self.and(self.cast(one, ints)?, self.cast(other, ints)?)?;
        self.unless_nan(a, b, bits)
    }

    /// `bits` as floats, but the canonical NaN where `a` or `b` is a NaN.
    fn unless_nan(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        bits: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        let nan = match lane_bits(a.get_type()) {
            32 => u64::from(f32::NAN.to_bits()),
            _ => f64::NAN.to_bits(),
        };
        let unordered = self.builder().build_float_compare(FloatPredicate::UNO, a, b, "")?;
        let nan = self.cast(self.constant(bits.get_type(), nan), a.get_type())?;
        let number = self.cast(bits, a.get_type())?;
        self.select(unordered, nan, number)
    }

    /// `pmin`: `b < a ? b : a`
    pub(super) fn pseudo_min(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let less = self.builder().build_float_compare(FloatPredicate::OLT, b, a, "")?;
        self.select(less, b, a)
    }

    /// `pmax`: `a < b ? b : a`
    pub(super) fn pseudo_max(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let less = self.builder().build_float_compare(FloatPredicate::OLT, a, b, "")?;
        self.select(less, b, a)
    }

    /// `relaxed_min`: `a < b ? a : b`, which is `minps`. For NaNs and zeros of different signs the specification leaves the answer open.
    pub(super) fn relaxed_min(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        self.pseudo_min(b, a)
    }

    /// `relaxed_max`: `b < a ? a : b`, which is `maxps`.
    pub(super) fn relaxed_max(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        self.pseudo_max(b, a)
    }

    /// `relaxed_madd`: `a * b + c`. The specification leaves open whether it is rounded once or twice, but not whether it is always the same:
    /// once wherever the processor can, which is what the operator is there for.
    pub(super) fn multiply_add(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        c: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        if self.has_fused_multiply_add() {
            return self.lanewise("llvm.fma", &[self.guarded(a)?, self.guarded(b)?, self.guarded(c)?]);
        }
        self.float_add(self.float_mul(a, b)?, c)
    }

    /// `relaxed_nmadd`: `-(a * b) + c`, rounded as [`Lanes::multiply_add`] rounds.
    pub(super) fn negated_multiply_add(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        c: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        self.multiply_add(self.float_neg(a)?, b, c)
    }
}
