//! From WebAssembly to modules that can run, with the compiler that is part of this build. Its twin without one is `no_compiler.rs`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use wasmo::{Engine, Module};

use crate::input::{self, Input};
use crate::progress::Progress;
use crate::stop::Stop;

/// The first bytes of every file in the binary format, modules and components alike.
const MAGIC: &[u8] = b"\0asm";

/// Compiles what was read from `file`. A progress bar is shown if it takes long; `stop` ends it.
///
/// # Errors
///
/// As [`to_binary`], and when the module is malformed, not valid, or uses what wasmo does not have.
pub(crate) fn compile(engine: &Engine, file: &Path, bytes: Vec<u8>, stop: &Stop) -> Result<Module> {
    let binary = to_binary(file, bytes)?;
    let progress = Progress::new(file, stop.clone());
    Module::new_with_observer(engine, &binary, &progress)
        .with_context(|| format!("cannot compile `{}`", file.display()))
}

/// Reads a module in the binary format, or in the text format, which is translated.
///
/// # Errors
///
/// When the file cannot be read, or is a compiled module, and as [`to_binary`].
pub(crate) fn read_module(file: &Path) -> Result<Vec<u8>> {
    match input::open(file)? {
        Input::Source(source) => to_binary(file, source.read(file)?),
        Input::Artifact(_) => bail!("`{}` is a compiled module, not WebAssembly", file.display()),
    }
}

/// The binary format of what was read from `file`: text is translated.
///
/// # Errors
///
/// When it is something else (a component, or no WebAssembly at all), or text with a mistake in it. Whether the module is well-formed and valid
/// is for others to say.
pub(crate) fn to_binary(file: &Path, bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.starts_with(MAGIC) {
        // Version 1 of layer 1 is a component; a module is version 1 of layer 0.
        if bytes.get(6..8) == Some(&[1, 0]) {
            bail!("`{}` is a component; wasmo runs core modules", file.display());
        }
        return Ok(bytes);
    }
    if !is_text(file, &bytes) {
        let start: Vec<_> = bytes.iter().take(MAGIC.len()).map(|byte| format!("{byte:02x}")).collect();
        let found = match start.join(" ") {
            none if none.is_empty() => "it is empty".to_owned(),
            start => format!("it begins with {start}, not with 00 61 73 6d (at offset 0x0)"),
        };
        bail!("`{}` is not a WebAssembly module: {found}", file.display());
    }
    let text = std::str::from_utf8(&bytes).with_context(|| format!("`{}` is not a text in UTF-8", file.display()))?;
    match wat::parse_str(text) {
        Ok(module) => Ok(module),
        Err(mut error) => {
            error.set_path(file);
            Err(error.into())
        }
    }
}

/// Files are text if they are called so, or begin as text does: with a parenthesis or a comment.
fn is_text(file: &Path, bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wat"))
        || start.starts_with(b"(")
        || start.starts_with(b";;")
}
