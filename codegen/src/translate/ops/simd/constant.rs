//! Constant vectors and their bits.
//!
//! LLVM's builder folds constants lane by lane, but leaves it to later passes, which know the target, to see a constant as one with
//! other lanes: the order of lanes depends on the order of bytes. wasmo's targets are all little-endian, so that it can be done at
//! once, and operators see a constant for what it is.

use inkwell::types::{BasicTypeEnum, VectorType};
use inkwell::values::{BasicValueEnum, VectorValue};

use super::lanes::{Lanes, lane_bits};
use crate::error::Error;

/// Bits in a vector of WebAssembly's.
const BITS: u32 = 128;

impl<'ctx> Lanes<'_, 'ctx> {
    /// The constant vector of type `ty` with `value` in every lane.
    pub(super) fn constant(&self, ty: VectorType<'ctx>, value: u64) -> VectorValue<'ctx> {
        let lane = ty.get_element_type().into_int_type().const_int(value, false);
        VectorType::const_vector(&vec![lane; ty.get_size() as usize])
    }

    /// The constant with these bits, lane 0 lowest, of type `ty`, which has 128.
    pub(super) fn vector_of_bits(&self, ty: VectorType<'ctx>, bits: u128) -> Result<VectorValue<'ctx>, Error> {
        let width = lane_bits(ty);
        let integers: Vec<_> = (0..ty.get_size())
            .map(|lane| self.int_lane(width).const_int(low(bits >> (lane * width), width), false))
            .collect();
        let BasicTypeEnum::FloatType(float) = ty.get_element_type() else {
            return Ok(VectorType::const_vector(&integers));
        };
        let mut floats = Vec::with_capacity(integers.len());
        for lane in integers {
            floats.push(self.builder().build_bit_cast(lane, float, "")?.into_float_value());
        }
        Ok(VectorType::const_vector(&floats))
    }

    /// The bits of `value` if it is a constant of 128 bits, all of them defined.
    pub(super) fn known_bits(&self, value: VectorValue<'ctx>) -> Result<Option<u128>, Error> {
        let width = lane_bits(value.get_type());
        if !value.is_const() || width * value.get_type().get_size() != BITS {
            return Ok(None);
        }
        let mut bits = 0;
        for lane in 0..value.get_type().get_size() {
            let index = self.context().i32_type().const_int(lane.into(), false);
            let known = match value.const_extract_element(index) {
                BasicValueEnum::IntValue(lane) => lane.get_zero_extended_constant(),
                BasicValueEnum::FloatValue(lane) => self
                    .builder()
                    .build_bit_cast(lane, self.int_lane(width), "")?
                    .into_int_value()
                    .get_zero_extended_constant(),
                _ => None,
            };
            match known {
                Some(known) => bits |= u128::from(known) << (lane * width),
                None => return Ok(None),
            }
        }
        Ok(Some(bits))
    }

    fn int_lane(&self, width: u32) -> inkwell::types::IntType<'ctx> {
        self.ints(width, 1).get_element_type().into_int_type()
    }
}

/// The lowest `width` bits, of which there are at most 64.
#[expect(clippy::cast_possible_truncation, reason = "the mask keeps no more")]
fn low(bits: u128, width: u32) -> u64 {
    (bits & (u128::MAX >> (BITS - width))) as u64
}
