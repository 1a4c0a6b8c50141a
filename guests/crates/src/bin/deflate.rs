//! `miniz_oxide`: compresses generated text at two levels and expands it again.

use guest_crates::{Random, WORDS, measure};
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut random = Random::new(4);
    let mut text = Vec::new();
    while text.len() < 1 << 20 {
        text.extend_from_slice(random.choose(&WORDS).as_bytes());
        text.push(b' ');
        if random.below(8) == 0 {
            text.extend_from_slice(&random.next_word().to_le_bytes());
        }
    }
    measure(5, |index, checksum| {
        for level in [1, 6] {
            let packed = compress_to_vec_zlib(&text, level);
            checksum.word(packed.len() as u64);
            checksum.bytes(&packed[packed.len() / 2..]);
            let unpacked = decompress_to_vec_zlib(&packed).expect("the stream was just written");
            assert!(unpacked == text, "expanding must give back what was compressed");
        }
        // The next round compresses another text.
        let place = index.wrapping_mul(4_099) % (1 << 20);
        let place = usize::try_from(place).expect("less than a million");
        text[place] ^= 0x20;
    })
}
