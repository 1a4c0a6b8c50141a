//! What `compiler.rs` offers, in a build without a compiler: why not, and what to do instead.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

/// Ends a command that takes a compiler.
///
/// # Errors
///
/// Always.
pub(crate) fn missing() -> Result<ExitCode> {
    bail!("this wasmo has no compiler (it was built without the feature `compiler`); it runs compiled modules only")
}

/// Says that `file`, which holds `bytes`, would have to be compiled.
///
/// # Errors
///
/// Always.
pub(crate) fn refuse<T>(file: &Path, bytes: &[u8]) -> Result<T> {
    let name = file.display();
    let what = if bytes.starts_with(b"\0asm") {
        "WebAssembly in the binary format"
    } else if bytes.trim_ascii_start().starts_with(b"(") || bytes.trim_ascii_start().starts_with(b";;") {
        "WebAssembly in the text format"
    } else {
        bail!("`{name}` is not a compiled module (.wasmo)");
    };
    bail!(
        "`{name}` is {what}, and this wasmo has no compiler. Compile it with a wasmo that has one (`wasmo compile {name}`), and run the file \
         .wasmo that comes out"
    )
}
