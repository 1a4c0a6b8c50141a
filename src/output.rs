//! Standard output, and errors.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Error, Result};

/// The exit code after any error that has no other.
pub(crate) const FAILED: u8 = 1;
/// The exit code after a trap, as a shell shows it after an abort.
pub(crate) const TRAPPED: u8 = 134;
/// The exit code after Ctrl-C, as a shell shows it after SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
/// The exit code of wrong usage.
pub(crate) const USAGE: u8 = 2;

/// Writes `text` to standard output, all of it.
///
/// # Errors
///
/// When standard output cannot be written (a full disk; a closed pipe ends the process, see [`crate::stop::end_on_closed_pipes`]).
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// Writes `text` to standard error. When that fails there is nobody to tell.
pub(crate) fn note(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// A command line that is wrong in a way that only the module shows: it ends with [`USAGE`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Ends the process at once, without waiting for its threads.
#[cfg(feature = "compiler")]
pub(crate) fn leave(code: u8) -> ! {
    // What cannot be written now could not be later.
    let _ = io::stdout().lock().flush();
    // SAFETY: it only ends the process; whatever must be undone at its end is the system's to undo.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Reports what went wrong, each cause on a line of its own, and chooses the exit code.
pub(crate) fn failure(error: &Error) -> ExitCode {
    note(&describe(error));
    ExitCode::from(if error.is::<UsageError>() { USAGE } else { FAILED })
}

/// The lines of an error report: what failed, and below it the causes.
pub(crate) fn describe(error: &Error) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        let mut indent = "  because: ";
        for line in cause.to_string().lines() {
            text.push_str(indent);
            text.push_str(line);
            text.push('\n');
            indent = "           ";
        }
    }
    text
}
