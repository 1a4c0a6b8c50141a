//! Gives the library a number that changes whenever the sources change that machine code comes from, so that a cache of compiled modules
//! (`src/cached.rs`) never mixes the code of two compilers of one version. Where the sources are not beside this crate, because it was published, the
//! version alone tells.

use std::fs;
use std::path::{Path, PathBuf};

/// What compiled code depends on, beside this crate: the compiler, what it shares with the runtime, and the versions of the libraries that they use.
const SOURCES: [&str; 4] = ["../codegen/build.rs", "../codegen/src", "../abi/src", "../Cargo.lock"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    for source in SOURCES {
        let path = Path::new(source);
        if path.exists() {
            println!("cargo::rerun-if-changed={source}");
            collect(path, &mut files);
        }
    }
    files.sort();
    let mut hash = Fnv::new();
    for file in files {
        let content = fs::read(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        hash.add(file.as_os_str().as_encoded_bytes());
        hash.add(&content);
    }
    println!("cargo::rustc-env=WASMO_CODE_REVISION={:016x}", hash.0);
}

/// The files at and below `path`.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        files.push(path.to_owned());
        return;
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    for entry in entries {
        collect(&entry.unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display())).path(), files);
    }
}

/// The hash FNV-1a: no enemy chooses what is hashed here.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes, and where they end.
    fn add(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u64).to_le_bytes();
        for &byte in bytes.iter().chain(&length) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
