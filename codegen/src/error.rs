//! [`Error`]: what may go wrong between a module's bytes and its code.
//!
//! A mistake of the module's author has an offset in the module's bytes. wasmparser does not say whether an error is one of form
//! ([`ErrorKind::Malformed`]) or of meaning ([`ErrorKind::Invalid`]); here it is the former when it arises in reading and the latter when
//! it arises in validating. [`ErrorKind::Internal`] is a mistake of ours.

use std::fmt;

use wasmparser::WasmFeatures;

/// What sort of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not in the binary format (core specification, 5).
    Malformed,
    /// The module breaks a validation rule (core specification, 3).
    Invalid,
    /// The module uses a feature that wasmo does not have.
    Unsupported,
    /// The module exceeds a limit of the implementation.
    Limit,
    /// The observer asked to stop.
    Cancelled,
    /// A defect of wasmo.
    Internal,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed module",
            Self::Invalid => "invalid module",
            Self::Unsupported => "unsupported feature",
            Self::Limit => "limit exceeded",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal error of wasmo",
        })
    }
}

/// A failure to compile.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error {
    /// What sort of failure.
    pub kind: ErrorKind,
    /// Where in the module's bytes, when it is the module's fault.
    pub offset: Option<usize>,
    /// What is wrong, in a few words.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)?;
        match self.offset {
            Some(offset) => write!(f, " (at offset {offset:#x})"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// An error without a place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, offset: None, message: message.into() }
    }

    /// A defect of wasmo.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same error, at `offset` in the module's bytes.
    #[must_use]
    pub fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    /// What wasmparser found while it read.
    pub(crate) fn malformed(error: &wasmparser::Error) -> Self {
        Self::from_parser(ErrorKind::Malformed, error)
    }

    /// What wasmparser found while it validated.
    pub(crate) fn invalid(error: &wasmparser::Error) -> Self {
        Self::from_parser(ErrorKind::Invalid, error)
    }

    fn from_parser(kind: ErrorKind, error: &wasmparser::Error) -> Self {
        // A flag of shared-everything-threads, which is far from being a standard, is a wrong byte rather than a feature.
        let missing = error.missing_wasm_feature();
        let unsupported = missing.is_some_and(|missing| !missing.contains(WasmFeatures::SHARED_EVERYTHING_THREADS));
        let kind = if unsupported { ErrorKind::Unsupported } else { kind };
        Self { kind, offset: usize::try_from(error.offset()).ok(), message: error.message().to_owned() }
    }
}

impl From<inkwell::builder::BuilderError> for Error {
    fn from(error: inkwell::builder::BuilderError) -> Self {
        Self::internal(format!("LLVM's builder refused an instruction: {error}"))
    }
}
