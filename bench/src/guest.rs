//! The guests: `guests/built/{kernel,crate}-*.wasm` with their native programs in `guests/target/native`.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// One program, as wasm and native.
pub struct Guest {
    /// The name without its family.
    pub name: String,
    /// What it belongs to.
    pub family: Family,
    /// The wasm bytes, the same for every engine.
    pub wasm: Vec<u8>,
    /// Where the wasm file is.
    pub path: PathBuf,
    /// The native program for the compiler's default target.
    pub native: PathBuf,
    /// The native program for this machine's CPU.
    pub native_cpu: PathBuf,
}

/// Families of guests; their geometric means are told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Numeric loops in C.
    Kernel,
    /// Rust programs made of real crates.
    Crate,
}

impl Family {
    /// The prefix of the family's files.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Crate => "crate",
        }
    }
}

/// What a guest printed of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The checksum of what it computed.
    pub checksum: String,
    /// Nanoseconds of its inner part.
    pub nanoseconds: u64,
}

impl Output {
    /// Reads the two lines that a guest prints.
    pub fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .with_context(|| format!("the guest printed no line '{name} …': {text:?}"))
        };
        Ok(Self { checksum: field("checksum")?.to_owned(), nanoseconds: field("time_ns")?.trim().parse()? })
    }
}

/// All guests whose name contains `only`, kernels first.
pub fn all(only: Option<&str>) -> Result<Vec<Guest>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
    let built = root.join("built");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&built)
        .with_context(|| format!("cannot read {}", built.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    let mut guests = Vec::new();
    for family in [Family::Kernel, Family::Crate] {
        for path in &files {
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let Some(name) = stem.strip_prefix(family.prefix()).and_then(|rest| rest.strip_prefix('-')) else {
                continue;
            };
            if only.is_some_and(|only| !stem.contains(only)) {
                continue;
            }
            guests.push(Guest {
                name: name.to_owned(),
                family,
                wasm: std::fs::read(path)?,
                path: path.clone(),
                native: root.join("target/native").join(stem),
                native_cpu: root.join("target/native-cpu").join(stem),
            });
        }
    }
    Ok(guests)
}
