//! How large compiled programs are, on wasmo and on Wasmtime, both compiling for speed: with the names of functions and without.

use crate::engine::{Compiler, WasmoEngine, WasmtimeEngine};
use anyhow::{Context, Result};
use std::path::Path;

/// One program on both engines.
pub struct Sizes {
    /// The program.
    pub name: String,
    /// wasmo's file, in bytes.
    pub wasmo: usize,
    /// Wasmtime's file, in bytes.
    pub wasmtime: usize,
}

/// Those of these programs that were built or fetched; of those that have names also what they are without.
pub fn measure() -> Result<Vec<Sizes>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sizes = Vec::new();
    for path in [
        "guests/built/interp.wasm",
        "guests/built/crate-regex.wasm",
        "target/real/resvg.wasm",
        "target/real/python.wasm",
    ] {
        let Ok(module) = std::fs::read(root.join(path)) else { continue };
        let name = Path::new(path).file_stem().context("a program has a name")?.to_string_lossy().into_owned();
        let bare = without_names(&module).with_context(|| format!("{path} is no module"))?;
        let named = bare.len() < module.len();
        for (module, suffix) in [(Some(&module), ""), (named.then_some(&bare), " without names")] {
            let Some(module) = module else { continue };
            eprint!("\r\x1b[Kcompiling {name}{suffix} for its size");
            let wasmo = WasmoEngine::new()?.engine().precompile_module(module)?.len();
            let wasmtime = WasmtimeEngine::new(Compiler::Cranelift)?.engine().precompile_module(module)?.len();
            sizes.push(Sizes { name: format!("{name}{suffix}"), wasmo, wasmtime });
        }
    }
    eprint!("\r\x1b[K");
    Ok(sizes)
}

/// The module without its name section.
fn without_names(module: &[u8]) -> Option<Vec<u8>> {
    let (header, mut rest) = module.split_at_checked(8)?;
    let mut bare = header.to_vec();
    while !rest.is_empty() {
        let (size, content) = number(rest.get(1..)?)?;
        let (content, next) = content.split_at_checked(size)?;
        let is_names = rest.first() == Some(&0) && {
            let (len, name) = number(content)?;
            name.get(..len) == Some(b"name")
        };
        if !is_names {
            bare.extend_from_slice(rest.get(..rest.len() - next.len())?);
        }
        rest = next;
    }
    Some(bare)
}

/// The unsigned LEB128 number that `bytes` begin with, and what follows.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let len = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at_checked(len)?;
    let value = number
        .iter()
        .rev()
        .try_fold(0_usize, |value, byte| Some(value.checked_mul(128)? | usize::from(byte & 0x7f)))?;
    Some((value, rest))
}
