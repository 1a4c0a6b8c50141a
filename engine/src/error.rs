//! Errors with a type of their own. Everything else that goes wrong is described by the text of an [`anyhow::Error`].
//!
//! Three kinds are kept apart: a bad module or a user's mistake ([`CompileError`], [`crate::ImportError`], texts), what happened to a guest
//! ([`crate::Trap`], or the host function's own error), and bugs of wasmo's, whose text begins with "internal error".

use crate::backtrace::WasmBacktrace;
use crate::store::StoreOpaque;
use crate::trap::Trap;
use crate::{PoolConcurrencyLimitError, Result};
use anyhow::{Error, anyhow};
use std::fmt;
use wasmo_abi::trap::TrapCode;
use wasmo_runtime::{CallError, Failure};

/// What kind of [`CompileError`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompileErrorKind {
    /// The bytes (or the text) are no module: they do not follow the grammar (core specification, chapters 5 and 6).
    Malformed,
    /// The module is not valid (core specification, chapter 3).
    Invalid,
    /// The module uses what wasmo does not have yet.
    Unsupported,
    /// The module is larger than a limit allows.
    Limit,
    /// The observer asked to stop; see [`crate::CompileObserver`].
    Cancelled,
    /// A bug of wasmo's.
    Internal,
}

impl fmt::Display for CompileErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed module",
            Self::Invalid => "invalid module",
            Self::Unsupported => "unsupported feature",
            Self::Limit => "limit exceeded",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal error",
        })
    }
}

/// A module could not be compiled. Errors of [`crate::Module::new`] and its relatives are downcast to it.
///
/// ```
/// use wasmo::{CompileError, CompileErrorKind, Engine, Module};
///
/// let error = Module::new(&Engine::default(), b"\0asm\x01\0\0\0\xff").unwrap_err();
/// let error = error.downcast_ref::<CompileError>().expect("the module is malformed");
/// assert_eq!(error.kind(), CompileErrorKind::Malformed);
/// assert!(error.offset().is_some());
/// ```
#[derive(Clone, Debug)]
pub struct CompileError {
    pub(crate) kind: CompileErrorKind,
    pub(crate) offset: Option<usize>,
    pub(crate) message: String,
}

impl CompileError {
    /// What kind of error it is.
    pub fn kind(&self) -> CompileErrorKind {
        self.kind
    }

    /// Where in the module's bytes the error is, if it is at one place.
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// What is wrong, without the offset.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)?;
        match self.offset {
            Some(offset) => write!(f, " (at offset {offset:#x})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CompileError {}

#[cfg(feature = "compiler")]
impl From<wasmo_codegen::Error> for CompileError {
    fn from(error: wasmo_codegen::Error) -> Self {
        use wasmo_codegen::ErrorKind;
        let kind = match error.kind {
            ErrorKind::Malformed => CompileErrorKind::Malformed,
            ErrorKind::Invalid => CompileErrorKind::Invalid,
            ErrorKind::Unsupported => CompileErrorKind::Unsupported,
            ErrorKind::Limit => CompileErrorKind::Limit,
            ErrorKind::Cancelled => CompileErrorKind::Cancelled,
            _ => CompileErrorKind::Internal,
        };
        Self { kind, offset: error.offset, message: error.message }
    }
}

/// An error that says that wasmo contradicts itself.
pub(crate) fn internal(what: &str) -> Error {
    anyhow!("internal error: {what}")
}

/// The error that a failure is. A panic of a host function goes on here.
pub(crate) fn error_of(failure: Failure) -> Error {
    match failure {
        Failure::Trap(code) => trap_error(code),
        Failure::Host(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(_) => internal("the host left an error of an unknown type"),
        },
        Failure::Panic(payload) => std::panic::resume_unwind(payload),
        Failure::Error(error) => runtime_error(error),
    }
}

/// The error that a trap is.
pub(crate) fn trap_error(code: TrapCode) -> Error {
    match Trap::from_code(code) {
        Some(trap) => Error::new(trap),
        None => internal(&format!("unknown trap: {code}")),
    }
}

/// What a failed call is to its caller. A panic of a host function goes on here, now that no guest frame is left above.
#[cold]
pub(crate) fn call_failed(store: &StoreOpaque, error: CallError) -> Error {
    let CallError { failure, backtrace } = error;
    let error = error_of(failure);
    // The innermost backtrace includes the frames of outer calls, so an error on its way through several keeps the one it has.
    let wanted = store.engine().config().wasm_backtrace
        && !backtrace.frames.is_empty()
        && error.downcast_ref::<WasmBacktrace>().is_none();
    if wanted { error.context(WasmBacktrace::new(backtrace)) } else { error }
}

/// Adds what was being done to an error of the runtime's.
pub(crate) fn runtime<T>(result: std::result::Result<T, wasmo_runtime::Error>) -> Result<T> {
    result.map_err(runtime_error)
}

/// The error that one of the runtime's is.
pub(crate) fn runtime_error(error: wasmo_runtime::Error) -> Error {
    match error {
        wasmo_runtime::Error::Exhausted { kind, limit } => Error::new(PoolConcurrencyLimitError { kind, limit }),
        error => Error::new(error),
    }
}
