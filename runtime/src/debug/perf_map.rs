//! `/tmp/perf-PID.map`, in which `perf report` looks for the names of code that lies in no file: a line for each piece of code with its address and size in
//! hexadecimal digits and its name.
//!
//! Lines are only ever added, since `perf` reads the file when all is over. So where code was freed and other code took its place, `perf` finds two names for one
//! address, and tells neither when it was whose.
//!
//! **The file lies in a directory that everybody can write to.** It is made anew unless there is a plain file of this user's with that name and no other one, and
//! nothing else is followed, waited for or written to.

use super::Symbol;
use crate::error::Error;
use crate::sys::file::open_own;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The file of this process, once it is open.
static MAP: Mutex<Option<File>> = Mutex::new(None);

/// Where the file of this process is.
pub fn path() -> PathBuf {
    format!("/tmp/perf-{}.map", std::process::id()).into()
}

/// Opens the file, if that was not done before.
///
/// # Errors
/// When it cannot be written, or something else lies in its place.
pub fn open() -> Result<(), Error> {
    let mut map = MAP.lock().unwrap_or_else(PoisonError::into_inner);
    if map.is_none() {
        let path = path();
        let refused = |source| Error::Os { what: format!("cannot write {}", path.display()), source };
        *map = Some(open_own(&path).map_err(refused)?);
    }
    Ok(())
}

/// Whether it was opened.
pub(crate) fn is_open() -> bool {
    MAP.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Adds lines for `symbols`, in one piece, so that no line of another thread comes between. Does nothing unless the file is open ([`open`]).
///
/// # Errors
/// When the file cannot be written.
pub fn add(symbols: &[Symbol]) -> io::Result<()> {
    let mut lines = String::new();
    for symbol in symbols {
        // Writing to a string cannot fail.
        _ = writeln!(lines, "{:x} {:x} {}", symbol.address, symbol.size, symbol.name);
    }
    let map = MAP.lock().unwrap_or_else(PoisonError::into_inner);
    map.as_ref().map_or(Ok(()), |mut file| file.write_all(lines.as_bytes()))
}
