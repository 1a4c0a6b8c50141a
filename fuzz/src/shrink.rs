//! Makes the bytes behind a mismatch as few and as plain as possible, while the mismatch stays.

use crate::compare::{Mode, Verdict, compare};
use crate::generate;

/// Shrinks `entropy`, whose module the two sides differ on, and answers what is left. Tries at most `attempts` modules.
pub fn shrink(entropy: &[u8], mode: Mode, attempts: usize) -> Vec<u8> {
    let differs = |entropy: &[u8]| {
        generate::module(entropy, mode).is_some_and(|wasm| matches!(compare(&wasm, mode), Verdict::Differ(_)))
    };
    let mut best = entropy.to_vec();
    let mut left = attempts;
    let mut chunk = best.len().div_ceil(2);
    while chunk > 0 && left > 0 {
        let mut start = 0;
        while start < best.len() && left > 0 {
            let end = (start + chunk).min(best.len());
            let without: Vec<u8> = [&best[..start], &best[end..]].concat();
            let mut zeroed = best.clone();
            zeroed[start..end].fill(0);
            left = left.saturating_sub(1);
            if differs(&without) {
                best = without;
            } else {
                if zeroed != best && differs(&zeroed) {
                    best = zeroed;
                }
                start = end;
            }
        }
        chunk /= 2;
    }
    best
}
