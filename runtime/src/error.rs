//! Why the runtime could not do what it was asked to.
//!
//! Three kinds are kept apart. [`Error`]: the host or the system refused something (no address space, a limit).
//! [`Failure`]: why a running guest was unwound; together with the frames it was unwound from it is a [`CallError`].
//! [`InstantiateError`]: either of them, while an instance was being made.

use crate::trap::backtrace::Backtrace;
use std::any::Any;
use std::fmt;
use std::io;
use wasmo_abi::artifact::ArtifactError;
use wasmo_abi::trap::TrapCode;

/// Something could not be made or done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Os {
        /// What was asked of the system, and how much of it.
        what: String,
        /// Its answer.
        source: io::Error,
    },
    /// A limit of the embedder or of wasmo stands against it; the text names both sizes.
    #[error("{0}")]
    Limit(String),
    /// An artefact cannot be loaded.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A pool has no more of something.
    #[error("all {limit} {kind} of the pool are in use")]
    Exhausted {
        /// Of what, in the plural.
        kind: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// What the caller handed over contradicts itself: a bug of wasmo or of the embedder.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why a guest was unwound.
pub enum Failure {
    /// The guest trapped.
    Trap(TrapCode),
    /// A function of the host answered an error, which is the embedder's.
    Host(Box<dyn Any + Send>),
    /// A function of the host panicked with this payload.
    Panic(Box<dyn Any + Send>),
    /// The runtime could not go on.
    Error(Error),
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(code) => f.debug_tuple("Trap").field(code).finish(),
            Self::Host(_) => f.write_str("Host(..)"),
            Self::Panic(_) => f.write_str("Panic(..)"),
            Self::Error(error) => f.debug_tuple("Error").field(error).finish(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(code) => code.fmt(f),
            Self::Host(_) => f.write_str("the host's function failed"),
            Self::Panic(_) => f.write_str("the host's function panicked"),
            Self::Error(error) => error.fmt(f),
        }
    }
}

impl From<TrapCode> for Failure {
    fn from(code: TrapCode) -> Self {
        Self::Trap(code)
    }
}

/// A call into the guest ended otherwise than by returning.
#[derive(Debug)]
pub struct CallError {
    /// Why.
    pub failure: Failure,
    /// The guest's frames at that moment, innermost first.
    pub backtrace: Backtrace,
}

/// An instance could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InstantiateError {
    /// A part of it could not be made; nothing of it can be seen from outside.
    #[error(transparent)]
    Error(#[from] Error),
    /// An active segment does not fit. What the segments before it wrote stays written (core specification, 4.5.4).
    #[error("{0}")]
    Trap(TrapCode),
}

impl From<TrapCode> for InstantiateError {
    fn from(code: TrapCode) -> Self {
        Self::Trap(code)
    }
}
