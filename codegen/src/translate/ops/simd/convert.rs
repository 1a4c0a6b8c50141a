//! Conversions between integers and floats, and between floats (core specification, 4.3.4 by way of 4.3.5).
//!
//! Truncation to i32 saturates. LLVM's own `llvm.fptosi.sat` says just that, but on x86-64 it goes lane by lane, so that the sequences for it are
//! made here. They are built around `cvttps2dq` and `cvttpd2dq`, which answer -2³¹ for all that does not fit. A comparison with a NaN
//! is false, and so each selection names first what may be a NaN.

use inkwell::FloatPredicate;
use inkwell::types::{BasicTypeEnum, VectorType};
use inkwell::values::VectorValue;

use super::lanes::{Lanes, lane_bits};
use super::shape::Sign;
use crate::error::Error;
use crate::ir::context::Arch;

/// The least power of two that is no i32.
const TWO_TO_31: f64 = 2_147_483_648.0;
/// The greatest i32.
const I32_MAX: f64 = 2_147_483_647.0;
/// The greatest unsigned 32-bit integer.
const U32_MAX: f64 = 4_294_967_295.0;
/// Added to an integer from 0 to 2³² - 1, leaves it in the low half of the sum's bits.
const INTEGER_AT_THE_END: f64 = 4_503_599_627_370_496.0;

impl<'ctx> Lanes<'_, 'ctx> {
    /// `i32x4.trunc_sat_f32x4`, and with the upper lanes zero `i32x4.trunc_sat_f64x2_zero`
    pub(super) fn truncate(&self, a: VectorValue<'ctx>, sign: Sign) -> Result<VectorValue<'ctx>, Error> {
        match (self.arch(), lane_bits(a.get_type()), sign) {
            (Arch::X86_64, 32, Sign::Signed) => self.truncate_f32_signed(a),
            (Arch::X86_64, 32, Sign::Unsigned) => self.truncate_f32_unsigned(a),
            (Arch::X86_64, _, Sign::Signed) => self.truncate_f64_signed(a),
            (Arch::X86_64, _, Sign::Unsigned) => self.truncate_f64_unsigned(a),
            (Arch::Aarch64, _, Sign::Signed) => self.truncate_portably("llvm.fptosi.sat", a),
            (Arch::Aarch64, _, Sign::Unsigned) => self.truncate_portably("llvm.fptoui.sat", a),
        }
    }

    /// The relaxed truncations: what a number that does not fit gives is left open, and so, if signed, to x86-64; its unsigned truncation is no
    /// instruction before AVX-512.
    pub(super) fn relaxed_truncate(&self, a: VectorValue<'ctx>, sign: Sign) -> Result<VectorValue<'ctx>, Error> {
        match (self.arch(), lane_bits(a.get_type()), sign) {
            (Arch::X86_64, 32, Sign::Signed) => self.machine("llvm.x86.sse2.cvttps2dq", &[a]),
            (Arch::X86_64, _, Sign::Signed) => self.machine("llvm.x86.sse2.cvttpd2dq", &[a]),
            _ => self.truncate(a, sign),
        }
    }

    fn truncate_portably(&self, name: &str, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let to = self.ints(32, a.get_type().get_size());
        let types: [BasicTypeEnum<'ctx>; 2] = [to.into(), a.get_type().into()];
        self.zero_filled(self.ir().intrinsic(name, &types, &[a.into()])?.into_vector_value())
    }

    /// -2³¹ is right for what is too small already, and its complement for what is too great.
    fn truncate_f32_signed(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let number = self.float_select(FloatPredicate::ORD, a, a, a, self.floats(a, 0.0))?;
        let integer = self.machine("llvm.x86.sse2.cvttps2dq", &[number])?;
        self.xor(integer, self.float_mask(FloatPredicate::OGE, a, self.floats(a, TWO_TO_31))?)
    }

    /// What is 2³¹ or more is truncated in two parts, of which the first comes to 2³¹; the other part of what is smaller is negative.
    fn truncate_f32_unsigned(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let (zero, limit) = (self.floats(a, 0.0), self.floats(a, TWO_TO_31));
        let number = self.float_select(FloatPredicate::OGT, a, zero, a, zero)?;
        let first = self.machine("llvm.x86.sse2.cvttps2dq", &[number])?;
        let excess = self.builder().build_float_sub(number, limit, "")?;
        let rest = self.machine("llvm.x86.sse2.cvttps2dq", &[excess])?;
        let rest = self.xor(rest, self.float_mask(FloatPredicate::OGE, excess, limit)?)?;
        let rest = self.lanewise("llvm.smax", &[rest, rest.get_type().const_zero()])?;
        self.add(first, rest)
    }

    /// A double holds the greatest i32 exactly, so the upper bound is applied before; it is 0 for a NaN.
    fn truncate_f64_signed(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let bound = self.float_select(FloatPredicate::ORD, a, a, self.floats(a, I32_MAX), self.floats(a, 0.0))?;
        let number = self.float_select(FloatPredicate::OLT, a, bound, a, bound)?;
        self.machine("llvm.x86.sse2.cvttpd2dq", &[number])
    }

    fn truncate_f64_unsigned(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let (zero, limit) = (self.floats(a, 0.0), self.floats(a, U32_MAX));
        let number = self.float_select(FloatPredicate::OGT, a, zero, a, zero)?;
        let number = self.float_select(FloatPredicate::OLT, number, limit, number, limit)?;
        let whole = self.lanewise("llvm.trunc", &[number])?;
        let sum = self.builder().build_float_add(whole, self.floats(a, INTEGER_AT_THE_END), "")?;
        let words = self.cast(sum, self.ints(32, 4))?;
        self.shuffle(words, words.get_type().const_zero(), &[0, 2, 4, 5])
    }

    /// `number` in as many lanes as `like` has.
    fn floats(&self, like: VectorValue<'ctx>, number: f64) -> VectorValue<'ctx> {
        let ty = like.get_type();
        let lane = ty.get_element_type().into_float_type().const_float(number);
        VectorType::const_vector(&vec![lane; ty.get_size() as usize])
    }

    /// Lane by lane, `yes` where `a` and `b` compare so, and `no` elsewhere.
    fn float_select(
        &self,
        predicate: FloatPredicate,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        yes: VectorValue<'ctx>,
        no: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        self.select(self.builder().build_float_compare(predicate, a, b, "")?, yes, no)
    }

    /// Ones in lanes where `a` and `b` compare so, zeros elsewhere.
    pub(super) fn float_mask(
        &self,
        predicate: FloatPredicate,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        let bits = self.builder().build_float_compare(predicate, a, b, "")?;
        self.extend(bits, self.as_ints(a.get_type()), Sign::Signed)
    }

    /// `f32x4.convert_i32x4`, and of the lower lanes `f64x2.convert_low_i32x4`
    pub(super) fn convert(
        &self,
        a: VectorValue<'ctx>,
        to: VectorType<'ctx>,
        sign: Sign,
    ) -> Result<VectorValue<'ctx>, Error> {
        let a = self.low(a, to.get_size())?;
        Ok(match sign {
            Sign::Signed => self.builder().build_signed_int_to_float(a, to, "")?,
            Sign::Unsigned => self.builder().build_unsigned_int_to_float(a, to, "")?,
        })
    }

    /// `f64x2.promote_low_f32x4`
    pub(super) fn promote(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let a = self.low(a, 2)?;
        Ok(self.builder().build_float_ext(a, self.context().f64_type().vec_type(2), "")?)
    }

    /// `f32x4.demote_f64x2_zero`. The fence keeps a promotion just before it from being cancelled, and NaNs with it from becoming quiet.
    pub(super) fn demote(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let a = self.lanewise("llvm.arithmetic.fence", &[a])?;
        let to = self.context().f32_type().vec_type(2);
        self.zero_filled(self.builder().build_float_trunc(a, to, "")?)
    }

    /// The lowest `count` lanes.
    fn low(&self, a: VectorValue<'ctx>, count: u32) -> Result<VectorValue<'ctx>, Error> {
        if a.get_type().get_size() == count {
            return Ok(a);
        }
        let order: Vec<u32> = (0..count).collect();
        self.pick(a, &order)
    }

    /// `a`, of 32-bit lanes, followed by as many zeros as a vector of 128 bits has room for.
    fn zero_filled(&self, a: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        if a.get_type().get_size() == 4 { Ok(a) } else { self.concat(a, a.get_type().const_zero()) }
    }
}
