//! [`LazySource`]: a module's binary, parsed when something of it has to be compiled.
//!
//! A module that goes on with what earlier runs have compiled may never need its binary, which then is never read.

use crate::{CompileError, Result};
use anyhow::{Context, bail};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use wasmo_abi::artifact::{Checksum, checksum};
use wasmo_abi::table::Bytes;
use wasmo_codegen::Source;

/// Gets a module's binary from where it lies. Called again after a failure.
pub(crate) type ReadBinary = Arc<dyn Fn() -> Result<Vec<u8>> + Send + Sync>;

/// See the module.
pub(super) struct LazySource {
    parsed: OnceLock<Source>,
    later: Option<Later>,
}

/// Where to get it.
struct Later {
    read: ReadBinary,
    /// Locked while somebody does.
    reading: Mutex<()>,
    expected: Checksum,
}

impl From<Source> for LazySource {
    fn from(source: Source) -> Self {
        Self { parsed: OnceLock::from(source), later: None }
    }
}

impl LazySource {
    /// What `read` gives when it is needed. It must have the checksum `expected`; such a binary was found to be valid before.
    pub(super) fn later(read: ReadBinary, expected: Checksum) -> Self {
        Self { parsed: OnceLock::new(), later: Some(Later { read, reading: Mutex::default(), expected }) }
    }

    /// Whether the binary may never be needed.
    pub(super) fn is_for_later(&self) -> bool {
        self.later.is_some()
    }

    /// The module, parsed.
    ///
    /// # Errors
    /// When it cannot be read, or is another one by now.
    pub(super) fn get(&self) -> Result<&Source> {
        if let (None, Some(later)) = (self.parsed.get(), &self.later) {
            let _reading = later.reading.lock().unwrap_or_else(PoisonError::into_inner);
            if self.parsed.get().is_none() {
                let _span = tracing::debug_span!("parse").entered();
                let binary = (later.read)().context("functions of the module have to be compiled")?;
                if checksum(&binary) != later.expected {
                    bail!(
                        "functions of the module have to be compiled, but the module has changed since it was loaded"
                    );
                }
                let source = Source::new(Bytes::from(binary)).map_err(CompileError::from)?;
                return Ok(self.parsed.get_or_init(|| source));
            }
        }
        self.parsed.get().context("internal error: a module without a binary")
    }
}
