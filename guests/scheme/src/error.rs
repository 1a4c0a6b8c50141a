//! What can go wrong while a program is read, compiled or run.

use std::fmt;

/// Why a program stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A mistake, in words for the user.
    Message(String),
    /// The program called `exit` with this code.
    Exit(u8),
}

impl Error {
    /// An error with a message.
    #[cold]
    pub fn new(message: impl Into<String>) -> Self {
        Error::Message(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Message(message) => formatter.write_str(message),
            Error::Exit(code) => write!(formatter, "exit with code {code}"),
        }
    }
}

impl std::error::Error for Error {}
