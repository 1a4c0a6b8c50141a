//! Loads and stores of vectors, of parts of them, and of what is made into one (core specification, 4.4.7).
//!
//! Where an access goes, and what guards it, is the translator's; here is only what is accessed, and what becomes of it.

use wasmparser::{MemArg, Operator};

use super::lanes::Lanes;
use super::shape::{Shape, Sign};
use crate::error::Error;
use crate::translate::function::FunctionTranslator;

/// What a load or store of a part of a vector does with it.
#[derive(Clone, Copy, Debug)]
enum Access {
    /// All of the vector.
    Whole,
    /// Half of the lanes of a shape, each extended to twice its width.
    Extend(Shape, Sign),
    /// One lane, repeated.
    Splat(Shape),
    /// One lane, and zeros.
    Zero(Shape),
    /// One lane of a vector on the stack.
    Lane(Shape, u8),
}

/// Translates `op` if it is a load or store, and answers whether it is.
pub(super) fn translate(t: &mut FunctionTranslator<'_, '_>, op: &Operator<'_>) -> Result<bool, Error> {
    use Shape::{I8x16, I16x8, I32x4, I64x2};
    use Sign::{Signed, Unsigned};
    let (memarg, access) = match op {
        Operator::V128Load { memarg } => (memarg, Access::Whole),
        Operator::V128Load8x8S { memarg } => (memarg, Access::Extend(I8x16, Signed)),
        Operator::V128Load8x8U { memarg } => (memarg, Access::Extend(I8x16, Unsigned)),
        Operator::V128Load16x4S { memarg } => (memarg, Access::Extend(I16x8, Signed)),
        Operator::V128Load16x4U { memarg } => (memarg, Access::Extend(I16x8, Unsigned)),
        Operator::V128Load32x2S { memarg } => (memarg, Access::Extend(I32x4, Signed)),
        Operator::V128Load32x2U { memarg } => (memarg, Access::Extend(I32x4, Unsigned)),
        Operator::V128Load8Splat { memarg } => (memarg, Access::Splat(I8x16)),
        Operator::V128Load16Splat { memarg } => (memarg, Access::Splat(I16x8)),
        Operator::V128Load32Splat { memarg } => (memarg, Access::Splat(I32x4)),
        Operator::V128Load64Splat { memarg } => (memarg, Access::Splat(I64x2)),
        Operator::V128Load32Zero { memarg } => (memarg, Access::Zero(I32x4)),
        Operator::V128Load64Zero { memarg } => (memarg, Access::Zero(I64x2)),
        Operator::V128Load8Lane { memarg, lane } => (memarg, Access::Lane(I8x16, *lane)),
        Operator::V128Load16Lane { memarg, lane } => (memarg, Access::Lane(I16x8, *lane)),
        Operator::V128Load32Lane { memarg, lane } => (memarg, Access::Lane(I32x4, *lane)),
        Operator::V128Load64Lane { memarg, lane } => (memarg, Access::Lane(I64x2, *lane)),
        Operator::V128Store { memarg } => return store(t, memarg, None).map(|()| true),
        Operator::V128Store8Lane { memarg, lane } => return store(t, memarg, Some((I8x16, *lane))).map(|()| true),
        Operator::V128Store16Lane { memarg, lane } => return store(t, memarg, Some((I16x8, *lane))).map(|()| true),
        Operator::V128Store32Lane { memarg, lane } => return store(t, memarg, Some((I32x4, *lane))).map(|()| true),
        Operator::V128Store64Lane { memarg, lane } => return store(t, memarg, Some((I64x2, *lane))).map(|()| true),
        _ => return Ok(false),
    };
    load(t, memarg, access).map(|()| true)
}

fn load(t: &mut FunctionTranslator<'_, '_>, memarg: &MemArg, access: Access) -> Result<(), Error> {
    let vector = if let Access::Lane(..) = access { Some(t.pop()?) } else { None };
    let lanes = Lanes::new(t.ir);
    let (ty, size) = match access {
        Access::Whole => (t.ir.types.v128.into(), 16),
        Access::Extend(shape, _) => (lanes.ints(shape.bits(), shape.lanes() / 2).into(), 8),
        Access::Splat(shape) | Access::Zero(shape) | Access::Lane(shape, _) => {
            (lanes.lane_type(shape), shape.bits() / 8)
        }
    };
    let loaded = t.load(ty, size, memarg)?;
    let result = match (access, vector) {
        (Access::Extend(_, sign), _) => {
            let narrow = loaded.into_vector_value();
            lanes.extend(narrow, lanes.widened(narrow.get_type()), sign)?
        }
        (Access::Splat(shape), _) => lanes.splat(shape.ty(&lanes), loaded)?,
        (Access::Zero(shape), _) => lanes.insert(shape.ty(&lanes).const_zero(), loaded, 0)?,
        (Access::Lane(shape, lane), Some(vector)) => {
            lanes.insert(lanes.cast(vector, shape.ty(&lanes))?, loaded, lane)?
        }
        _ => loaded.into_vector_value(),
    };
    t.push(lanes.canonical(result)?);
    Ok(())
}

fn store(t: &mut FunctionTranslator<'_, '_>, memarg: &MemArg, lane: Option<(Shape, u8)>) -> Result<(), Error> {
    let vector = t.pop()?;
    let lanes = Lanes::new(t.ir);
    match lane {
        Some((shape, lane)) => {
            let lane = lanes.extract(lanes.cast(vector, shape.ty(&lanes))?, lane)?;
            t.store(lane, shape.bits() / 8, memarg)
        }
        None => t.store(vector, 16, memarg),
    }
}
