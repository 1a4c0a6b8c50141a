//! From a seed to a module that ends by itself, uses only what both engines have, and computes the same NaNs everywhere.

use crate::compare::Mode;
use arbitrary::Unstructured;
use wasm_smith::{Config, Module};

/// Loop iterations and calls that a module may make before it traps.
const TERMINATION_FUEL: u32 = 2_000;

/// A generator of random numbers (xorshift64*, Vigna 2016): the same numbers for the same seed on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator for `seed`.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds are spread by the golden ratio; the state must not be zero.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Numbers below `bound`, which must not be zero.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next_u64() % bound as u64).unwrap_or(0)
    }
}

/// The bytes from which the module of `seed` is made.
pub fn entropy(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let words = 64 + random.below(1_024);
    (0..words).flat_map(|_| random.next_u64().to_le_bytes()).collect()
}

/// The module for `mode` that `entropy` stands for, or `None` when it stands for none.
pub fn module(entropy: &[u8], mode: Mode) -> Option<Vec<u8>> {
    let config = Config {
        canonicalize_nans: true,
        export_everything: true,
        min_funcs: 1,
        max_funcs: 12,
        min_memories: 1,
        max_memories: 2,
        max_tables: 3,
        max_imports: 0,
        max_instructions: 200,
        max_memory32_bytes: 16 << 16,
        memory_max_size_required: true,
        max_table_elements: 100,
        table_max_size_required: true,
        // Both sides must agree, so nothing that the specification leaves open, and nothing that one of them lacks.
        simd_enabled: mode.has_vectors(),
        relaxed_simd_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        compact_imports_enabled: false,
        allow_start_export: true,
        ..Config::default()
    };
    let mut module = Module::new(config, &mut Unstructured::new(entropy)).ok()?;
    module.ensure_termination(TERMINATION_FUEL).ok()?;
    Some(module.to_bytes())
}
