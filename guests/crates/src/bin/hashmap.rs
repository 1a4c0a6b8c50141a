//! `hashbrown` with the standard library's hasher and `std` with a hasher of ours: insertion, look-up,
//! removal and iteration over string and integer keys.
//!
//! hashbrown probes groups of 16 slots with SSE2 natively and of 8 slots with integers in wasm; the
//! crate has no switch for that, so this guest's native code is not quite the same algorithm.

use guest_crates::{Random, measure};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};
use std::process::ExitCode;

/// A multiplicative hasher for integer keys: fast, and the same on every machine.
#[derive(Default)]
struct Multiply(u64);

impl Hasher for Multiply {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

fn main() -> ExitCode {
    let mut random = Random::new(6);
    measure(30, |index, checksum| {
        let mut numbers: HashMap<u64, u64, BuildHasherDefault<Multiply>> = HashMap::default();
        for step in 0..200_000 {
            let key = random.next_word() % 60_000;
            *numbers.entry(key).or_insert(index) += step;
            if step % 3 == 0 {
                numbers.remove(&(key ^ 1));
            }
        }
        checksum.word(numbers.len() as u64);
        // Iteration order depends on the group width, so the sums must not depend on order.
        checksum.word(numbers.iter().fold(0, |sum, (key, value)| sum ^ key.wrapping_mul(*value)));

        let mut words: hashbrown::HashMap<String, u32, BuildHasherDefault<DefaultHasher>> =
            hashbrown::HashMap::default();
        for _ in 0..100_000 {
            let key = format!("key-{:x}", random.below(20_000));
            *words.entry(key).or_insert(0) += 1;
        }
        let found = (0..40_000).filter(|number| words.contains_key(&format!("key-{number:x}"))).count();
        checksum.word(found as u64);
        checksum.word(words.values().map(|&count| u64::from(count).pow(2)).sum());
    })
}
