//! `sha2` and `blake3`: digests of a buffer, each digest written back into it.
//!
//! Both crates are set to their portable Rust code; natively they would otherwise pick instructions
//! that wasm does not have.

use guest_crates::{Random, measure};
use sha2::{Digest, Sha256, Sha512};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut random = Random::new(3);
    let mut buffer: Vec<u8> = (0..1 << 20).map(|_| random.next_word().to_le_bytes()[7]).collect();
    measure(80, |_, checksum| {
        let short = Sha256::digest(&buffer);
        buffer[..32].copy_from_slice(&short);
        let long = Sha512::digest(&buffer);
        buffer[32..96].copy_from_slice(&long);
        let tree = blake3::hash(&buffer);
        buffer[96..128].copy_from_slice(tree.as_bytes());
        checksum.bytes(&buffer[..128]);
    })
}
