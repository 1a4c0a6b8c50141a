//! Files of modules, told apart by what is in them, whatever they are called.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wasmo::{ArtifactInfo, Engine};

/// As much of a file's beginning has an artefact's header.
const HEAD: usize = 4096;

/// What a file holds.
pub(crate) enum Input {
    /// A compiled module.
    Artifact(Box<Artifact>),
    /// Anything else, to be compiled.
    Source(Source),
}

/// A compiled module, for the engine to map.
pub(crate) struct Artifact {
    /// The file.
    pub(crate) file: File,
    /// What it says of itself.
    pub(crate) info: ArtifactInfo,
}

/// What is to be compiled; nobody has looked at it yet.
pub(crate) enum Source {
    /// A file, at its beginning.
    File(File),
    /// What came out of a pipe.
    Bytes(Vec<u8>),
}

impl Source {
    /// All its bytes. `path` is for the error.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(crate) fn read(self, path: &Path) -> Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::File(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).with_context(|| format!("cannot read `{}`", path.display()))?;
                Ok(bytes)
            }
        }
    }
}

/// Looks at the beginning of a file.
///
/// # Errors
///
/// When it cannot be read, or is a compiled module of another version of wasmo; the error names it.
pub(crate) fn open(path: &Path) -> Result<Input> {
    let cannot = || format!("cannot read `{}`", path.display());
    let mut file = File::open(path).with_context(cannot)?;
    let mut head = vec![0; HEAD];
    match read_start(&file, &mut head) {
        Ok(length) => head.truncate(length),
        // A pipe has no positions: what is read is gone.
        Err(error) if error.kind() == ErrorKind::NotSeekable => {
            head.clear();
            file.read_to_end(&mut head).with_context(cannot)?;
            if Engine::detect_precompiled(&head).is_some() {
                bail!("`{}` is a compiled module, which is loaded from a file and not from a pipe", path.display());
            }
            return Ok(Input::Source(Source::Bytes(head)));
        }
        Err(error) => return Err(error).with_context(cannot),
    }
    if Engine::detect_precompiled(&head).is_none() {
        return Ok(Input::Source(Source::File(file)));
    }
    let info = ArtifactInfo::read(&head).with_context(|| format!("cannot load `{}`", path.display()))?;
    Ok(Input::Artifact(Box::new(Artifact { file, info })))
}

/// Fills `bytes` from the beginning of a file, as far as it goes, and leaves the file's position where it is.
fn read_start(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
