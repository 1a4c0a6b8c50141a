//! The one place where late modules are compiled.

use crate::{Engine, Module, Result};
use std::borrow::Cow;
use std::time::Duration;

/// What the host gave, as binary.
pub(super) fn binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    #[cfg(feature = "compiler")]
    {
        crate::compile::to_binary(bytes)
    }
    #[cfg(not(feature = "compiler"))]
    {
        Ok(Cow::Borrowed(bytes))
    }
}

/// Whether modules can be compiled at all.
pub(super) const AVAILABLE: bool = cfg!(feature = "compiler");

/// Compiles a module, in `time` at the most.
#[cfg(feature = "compiler")]
pub(super) fn compile(engine: &Engine, binary: &[u8], time: Option<Duration>) -> Result<Module> {
    use crate::CompileObserver;
    use std::time::Instant;

    /// Gives up at a time.
    struct Until(Option<Instant>);

    impl CompileObserver for Until {
        fn cancelled(&self) -> bool {
            self.0.is_some_and(|end| Instant::now() >= end)
        }
    }

    Module::compile(engine, binary, &Until(time.and_then(|time| Instant::now().checked_add(time))))
}

#[cfg(not(feature = "compiler"))]
pub(super) fn compile(_: &Engine, _: &[u8], _: Option<Duration>) -> Result<Module> {
    anyhow::bail!("this build of wasmo has no compiler")
}
