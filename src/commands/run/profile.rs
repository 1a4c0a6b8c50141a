//! [`Output`]: where `wasmo run --profile` writes what the program's code has counted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wasmo::{Module, Profile};

use crate::input::Input;
use crate::replace::replace;

/// Where to write.
pub(super) struct Output(PathBuf);

impl Output {
    /// For running `file`, in which `input` was found, before it takes any time.
    ///
    /// # Errors
    ///
    /// When the code in it counts nothing, or `path` is a file that is there and no profile: whoever has swapped two names must not lose anything.
    pub(super) fn new(path: &Path, file: &Path, input: &Input) -> Result<Self> {
        if matches!(input, Input::Artifact(_)) {
            bail!(
                "`{}` is a compiled module, whose code counts nothing; make a profile of what it was compiled from",
                file.display()
            );
        }
        let found = fs::metadata(path).ok().filter(|found| found.is_file() && found.len() > 0);
        if found.is_some() {
            let bytes = fs::read(path).with_context(|| format!("cannot look at `{}`", path.display()))?;
            if !Profile::detect(&bytes) {
                bail!("`{}` is there, and is no profile; remove it first, or name another file", path.display());
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// Writes what `module` has counted.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(super) fn write(&self, module: &Module) -> Result<()> {
        let profile = module.profile().context("internal error: the module was not made to count")?;
        replace(&self.0, &profile.to_bytes())
    }
}
