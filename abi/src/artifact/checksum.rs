//! Checksums: BLAKE3, which no second file has. The seal of a cache covers a file's checksums and not the file, so a quicker sum that only finds accidents would not do.
//!
//! The checksum of a large program is most of what its first start takes, so that several threads compute it: BLAKE3 is the root of a tree, and these are its branches.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use std::ops::Range;
use std::thread::{Builder, available_parallelism, scope};

/// A checksum: BLAKE3.
pub type Checksum = [u8; 32];

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> Checksum {
    of_pieces(&[bytes])
}

/// What one thread can do while another is being started, in bytes, and some more.
const WORTH_A_THREAD: usize = 1 << 20;

/// More threads than this only wait for memory.
const MAX_THREADS: usize = 8;

/// The checksum of `pieces`, one after the other.
pub(super) fn of_pieces(pieces: &[&[u8]]) -> Checksum {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    let threads = if len < 2 * WORTH_A_THREAD { 1 } else { available_parallelism().map_or(1, usize::from) };
    of_pieces_with(pieces, len, threads.min(MAX_THREADS))
}

fn of_pieces_with(pieces: &[&[u8]], len: usize, threads: usize) -> Checksum {
    match branches(pieces, 0..len, threads) {
        Some((left, right)) => *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes(),
        None => *hasher(pieces, 0..len).finalize().as_bytes(),
    }
}

/// The two branches of the tree over `range`, where they are worth it; computed by so many threads.
fn branches(pieces: &[&[u8]], range: Range<usize>, threads: usize) -> Option<(ChainingValue, ChainingValue)> {
    if threads < 2 || range.len() < 2 * WORTH_A_THREAD {
        return None;
    }
    let left = usize::try_from(left_subtree_len(range.len() as u64)).ok()?;
    let middle = range.start + left;
    // The left branch has a power of two, and the right one may be next to nothing.
    let for_left = ((2 * threads * left + range.len()) / (2 * range.len())).clamp(1, threads);
    let left = || branch(pieces, range.start..middle, for_left);
    let right = || branch(pieces, middle..range.end, threads - for_left);
    if for_left == threads {
        return Some((left(), right()));
    }
    Some(scope(|scope| match Builder::new().spawn_scoped(scope, right) {
        Ok(other) => {
            let left = left();
            (left, other.join().unwrap_or_else(|_| right()))
        }
        // The system has no thread to give.
        Err(_) => (left(), right()),
    }))
}

fn branch(pieces: &[&[u8]], range: Range<usize>, threads: usize) -> ChainingValue {
    match branches(pieces, range.clone(), threads) {
        Some((left, right)) => merge_subtrees_non_root(&left, &right, Mode::Hash),
        None => hasher(pieces, range).finalize_non_root(),
    }
}

/// A hasher of what lies at `range` of the pieces.
fn hasher(pieces: &[&[u8]], range: Range<usize>) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(range.start as u64);
    let mut start = 0;
    for piece in pieces {
        let within = |end: usize| end.saturating_sub(start).min(piece.len());
        hasher.update(piece.get(within(range.start)..within(range.end)).unwrap_or_default());
        start += piece.len();
    }
    hasher
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_make_no_difference() {
        let bytes: Vec<u8> =
            (0..9 * WORTH_A_THREAD + 12_345).map(|n: usize| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        for len in [0, 1, 3000, 2 * WORTH_A_THREAD, 2 * WORTH_A_THREAD + 1, 4 * WORTH_A_THREAD, bytes.len()] {
            let bytes = &bytes[..len];
            let expected = *blake3::hash(bytes).as_bytes();
            let (first, second) = (len / 3, len / 2);
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            for threads in 1..=MAX_THREADS {
                assert_eq!(of_pieces_with(&pieces, len, threads), expected, "{len} {threads}");
            }
            assert_eq!(checksum(bytes), expected, "{len}");
        }
    }
}
