//! Where code that is made or loaded at run time should lie: near the host's code, which calls it and which it calls.
//!
//! A processor predicts the targets of calls and returns, and remembers near ones in a shorter form than far ones. On Zen 4, a call and its return
//! take three cycles longer, a quarter of a call from wasm to the host, when the addresses of caller and callee differ in a bit from the 37th up; how
//! far they are from one another does not matter otherwise. Systems map memory near the top of the address space, some 40 TiB from a
//! position-independent executable.
//!
//! Places are random, so that the address of one piece of code does not tell that of another, and so that what is taken need not be known.

use std::hash::{BuildHasher, RandomState};

/// Code within the same multiple of so many bytes is near.
pub const WINDOW: u64 = 1 << 37;

/// What is left free above the host's code, in bytes: its heap may grow there.
const MARGIN: u64 = 32 << 30;

/// Places begin at multiples of this many bytes, which is a multiple of every size of page, and what one page of a page table spans where pages have 4 KiB.
const STEP: u64 = 2 << 20;

/// As many as are worth trying: while half of the window is free, one of them is free in all but one case of 65,536.
const TRIES: usize = 16;

/// Addresses at which `len` bytes can be mapped so that they are near `anchor`, an address of the host's code. Whether they are free is not known. None,
/// if so much does not fit.
pub fn near(anchor: usize, len: usize) -> impl Iterator<Item = usize> {
    let (anchor, len) = (anchor as u64, len as u64);
    let low = anchor & !(WINDOW - 1);
    // Exclusive: no place is so high that it would not end in the window.
    let room = WINDOW.saturating_sub(len) / STEP;
    let random = RandomState::new();
    (0..TRIES).filter_map(move |number| {
        let place = low + random.hash_one(number).checked_rem(room)? * STEP;
        let beside = place + len <= anchor || place >= anchor + MARGIN;
        // Nothing may lie at address 0.
        (beside && place != 0).then(|| usize::try_from(place).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_near_and_beside_the_hosts_code() {
        let len = 2_usize << 30;
        for anchor in [0x0040_1000_usize, 0x5555_5555_1234, 0x555f_ffff_f000, 0x7fff_f7c0_0000] {
            let places: Vec<usize> = (0..64).flat_map(|_| near(anchor, len)).collect();
            assert!(places.len() > TRIES * 16, "{} places of {}", places.len(), TRIES * 64);
            for place in places {
                let end = place as u64 + len as u64;
                assert!(place != 0 && (place as u64).is_multiple_of(STEP));
                assert_eq!(
                    (place as u64 / WINDOW, (end - 1) / WINDOW),
                    (anchor as u64 / WINDOW, anchor as u64 / WINDOW)
                );
                assert!(end <= anchor as u64 || place as u64 >= anchor as u64 + MARGIN);
            }
        }
    }

    #[test]
    fn there_is_no_place_for_too_much() {
        assert_eq!(near(0x5555_5555_1234, 1 << 37).count(), 0);
        assert_eq!(near(0x5555_5555_1234, usize::MAX).count(), 0);
    }
}
