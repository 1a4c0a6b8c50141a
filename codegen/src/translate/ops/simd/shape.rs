//! [`Shape`]: how the 128 bits of a vector are divided into lanes (core specification, 2.4.1).

use inkwell::types::VectorType;

use super::lanes::Lanes;

/// How the bits of a vector are divided into lanes. Lane 0 is the one in the lowest bits, as in LLVM on a little-endian target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    I8x16,
    I16x8,
    I32x4,
    I64x2,
    F32x4,
    F64x2,
}

impl Shape {
    /// How many lanes there are.
    pub(super) fn lanes(self) -> u32 {
        128 / self.bits()
    }

    /// Bits in a lane.
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::I8x16 => 8,
            Self::I16x8 => 16,
            Self::I32x4 | Self::F32x4 => 32,
            Self::I64x2 | Self::F64x2 => 64,
        }
    }

    /// The LLVM type of a vector so divided.
    pub(super) fn ty<'ctx>(self, lanes: &Lanes<'_, 'ctx>) -> VectorType<'ctx> {
        match self {
            Self::F32x4 => lanes.context().f32_type().vec_type(4),
            Self::F64x2 => lanes.context().f64_type().vec_type(2),
            Self::I8x16 | Self::I16x8 | Self::I32x4 | Self::I64x2 => lanes.ints(self.bits(), self.lanes()),
        }
    }
}

/// Whether the integers in narrow lanes are signed, where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Signed,
    Unsigned,
}

/// Which half of the lanes an operator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Low,
    High,
}
