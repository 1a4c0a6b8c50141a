//! Files of modules, told apart by what is in them, whatever they are called.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use wasmo::Engine;

/// As much of a file's beginning tells whether it is an artefact.
const HEAD: u64 = 4096;

/// What a file holds.
pub(crate) enum Input {
    /// A compiled module, for the engine to map.
    Artifact,
    /// Anything else, to be compiled: all its bytes.
    Source(Vec<u8>),
}

/// Looks at a file, and reads it unless it is an artefact.
///
/// # Errors
///
/// When it cannot be read; the error names it.
pub(crate) fn open(file: &Path) -> Result<Input> {
    let read = || -> io::Result<Input> {
        let mut opened = File::open(file)?;
        let mut bytes = Vec::new();
        opened.by_ref().take(HEAD).read_to_end(&mut bytes)?;
        if Engine::detect_precompiled(&bytes).is_some() {
            return Ok(Input::Artifact);
        }
        opened.read_to_end(&mut bytes)?;
        Ok(Input::Source(bytes))
    };
    read().with_context(|| format!("cannot read `{}`", file.display()))
}
