//! Module files: read, and translated when they are text.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wasmparser::{Parser, Payload};

/// The first bytes of every file in the binary format, modules and components alike.
const MAGIC: &[u8] = b"\0asm";

/// Reads the file as it is.
///
/// # Errors
///
/// When it cannot be read; the error names it.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))
}

/// Reads a module in the binary format, or in the text format, which is translated.
///
/// # Errors
///
/// When the file cannot be read, is something else (a component, or no WebAssembly at all), or is text with a mistake in it. Whether the
/// module is well-formed and valid is for others to say.
pub(crate) fn read_module(file: &Path) -> Result<Vec<u8>> {
    let bytes = read(file)?;
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

/// Whether a valid module has a start function, so that instantiating it runs something.
pub(crate) fn has_start_function(binary: &[u8]) -> bool {
    Parser::new(0).parse_all(binary).any(|payload| matches!(payload, Ok(Payload::StartSection { .. })))
}

/// Files are text if they are called so, or begin as text does: with a parenthesis or a comment.
fn is_text(file: &Path, bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wat"))
        || start.starts_with(b"(")
        || start.starts_with(b";;")
}
