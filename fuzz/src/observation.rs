//! What is seen of a run, in terms that belong to neither engine.

use crate::generate::Random;
use std::fmt;

/// A value: floats by their bits, references only by whether they are null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// `i32`.
    I32(i32),
    /// `i64`.
    I64(i64),
    /// `f32`.
    F32(u32),
    /// `f64`.
    F64(u64),
    /// `v128`.
    V128(u128),
    /// A reference.
    Ref {
        /// Whether it is null.
        null: bool,
    },
}

/// The type of a parameter that a call needs a value for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `i32`.
    I32,
    /// `i64`.
    I64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `v128`.
    V128,
    /// A reference; always passed as null.
    Ref,
}

/// How a call or an instantiation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With these results.
    Returned(Vec<Value>),
    /// With this trap.
    Trapped(Trap),
    /// Refused or failed in another way.
    Failed(String),
}

/// The traps that both engines tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum Trap {
    Unreachable,
    MemoryOutOfBounds,
    TableOutOfBounds,
    IndirectCallToNull,
    IndirectCallTypeMismatch,
    IntegerDivideByZero,
    IntegerOverflow,
    InvalidConversionToInteger,
    StackOverflow,
    Other,
}

/// One step: the instantiation (named `""`) or the call of an export, and the state after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The export called.
    pub export: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Exported globals, in the order of the exports' names.
    pub globals: Vec<Value>,
    /// Size in bytes and hash of each exported memory, in the order of the exports' names.
    pub memories: Vec<(usize, u64)>,
}

/// All steps of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation(pub Vec<Step>);

/// The argument for the parameter at `position` of call number `call`: the same on both sides.
pub fn argument(ty: Type, call: usize, position: usize) -> Value {
    const CORNERS: [u64; 8] =
        [0, 1, u64::MAX, 0x8000_0000, 0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, 0x7ff8_0000_7fc0_0000, 65_535];
    let mut random = Random::new((call as u64) << 32 | position as u64);
    let mut bits = || match random.below(3) {
        0 => CORNERS[random.below(CORNERS.len())],
        1 => random.next_u64() % 256,
        _ => random.next_u64(),
    };
    let wide = bits();
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
    let narrow = wide as u32;
    match ty {
        Type::I32 => Value::I32(narrow.cast_signed()),
        Type::I64 => Value::I64(wide.cast_signed()),
        Type::F32 => Value::F32(narrow),
        Type::F64 => Value::F64(wide),
        Type::V128 => Value::V128(u128::from(wide) << 64 | u128::from(bits())),
        Type::Ref => Value::Ref { null: true },
    }
}

/// A hash of a memory's content (FNV-1a over 64-bit words; memories are whole pages).
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(0xcbf2_9ce4_8422_2325, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.export.is_empty() { "instantiation" } else { &self.export };
        write!(f, "{name}: {:x?}; globals {:x?}; memories {:x?}", self.outcome, self.globals, self.memories)
    }
}
