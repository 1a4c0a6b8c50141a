//! What the benchmark guests share: the command line, the clock, the output format and a generator
//! of deterministic input.
//!
//! Every guest prints exactly two lines, `checksum <16 hex digits>` and `time_ns <integer>`. The
//! checksum depends on all the work that was timed, so no compiler can drop any of it, and it must be
//! the same natively and in wasm for the same number of rounds.

use std::process::ExitCode;
use std::time::Instant;

/// A 64-bit FNV-1a hash that collects what a guest computed.
#[derive(Debug)]
pub struct Checksum(u64);

impl Checksum {
    /// Mixes `bytes` in, in order.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// Mixes the eight bytes of `word` in, least significant first.
    pub fn word(&mut self, word: u64) {
        self.bytes(&word.to_le_bytes());
    }
}

/// A xorshift64 generator: the same numbers on every machine.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator of its own sequence for every `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // The state must never be zero; an odd multiplier cannot make it so from an odd number.
        Self((seed | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// The next 64 random bits.
    pub fn next_word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number in `0..bound`.
    ///
    /// # Panics
    ///
    /// When `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        // The high half of the word, because the low bits of a xorshift are its weakest.
        let high = u32::try_from(self.next_word() >> 32).expect("a shift by 32 leaves 32 bits");
        high as usize % bound
    }

    /// One of `choices`.
    ///
    /// # Panics
    ///
    /// When `choices` is empty.
    pub fn choose<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// Words that generated text is made of, of mixed length and with some letters outside ASCII.
pub const WORDS: [&str; 32] = [
    "alpha",
    "module",
    "of",
    "the",
    "memory",
    "linear",
    "table",
    "and",
    "stack",
    "trap",
    "value",
    "über",
    "loop",
    "block",
    "branch",
    "export",
    "naïve",
    "import",
    "type",
    "signature",
    "host",
    "guest",
    "call",
    "indirect",
    "offset",
    "page",
    "grow",
    "copy",
    "fill",
    "in",
    "a",
    "to",
];

/// Runs `round` as often as the first argument says (`default_rounds` without one), times all rounds
/// together, and prints the two lines of output.
///
/// `round` receives its index and the checksum. A wrong argument is an error with exit code 2.
pub fn measure(default_rounds: u64, mut round: impl FnMut(u64, &mut Checksum)) -> ExitCode {
    let rounds = match std::env::args().nth(1) {
        None => default_rounds,
        Some(text) => match text.parse() {
            Ok(rounds) if rounds >= 1 => rounds,
            _ => {
                eprintln!("error: the argument is a number of rounds, at least 1; got '{text}'");
                return ExitCode::from(2);
            }
        },
    };
    let mut checksum = Checksum(0xCBF2_9CE4_8422_2325);
    let start = Instant::now();
    for index in 0..rounds {
        round(index, &mut checksum);
    }
    let elapsed = start.elapsed();
    println!("checksum {:016x}", checksum.0);
    println!("time_ns {}", elapsed.as_nanos());
    ExitCode::SUCCESS
}
