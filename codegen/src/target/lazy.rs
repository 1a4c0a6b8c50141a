//! [`LazyTarget`]: a [`Target`] that is made when LLVM is to compile something.
//!
//! Making one brings LLVM into the process, which takes longer than a small guest runs. For the processor that this process runs on, all that must be known before
//! can be found out without it; what is compiled for another is rarely wanted in a hurry, and LLVM has to say whether it knows that processor at all.

use super::{Arch, Cpu, Target, TargetOptions, features};
use crate::error::{Error, ErrorKind};
use crate::llvm;
use std::sync::OnceLock;
use wasmo_abi::tunables::OptLevel;

/// See the module.
#[derive(Debug)]
pub(crate) struct LazyTarget {
    arch: Arch,
    options: TargetOptions,
    opt_level: OptLevel,
    /// There from the beginning, unless it is the host's.
    made: OnceLock<Target>,
}

impl LazyTarget {
    /// Looks the architecture up, and whether there can be a target.
    ///
    /// # Errors
    /// `Unsupported` when no code can be made for the target, its CPU is unknown or lacks what generated code needs, or LLVM cannot be loaded. That LLVM is damaged
    /// may come out later.
    pub(crate) fn new(options: TargetOptions, opt_level: OptLevel) -> Result<Self, Error> {
        let host = Arch::host();
        let arch = match &options.triple {
            Some(triple) => Arch::of_triple(triple)?,
            None => host.ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, format!("no code can be made for {}", std::env::consts::ARCH))
            })?,
        };
        let is_host = options.cpu == Cpu::Host && host == Some(arch);
        let this = Self { arch, options, opt_level, made: OnceLock::new() };
        if is_host {
            features::check_host(arch)?;
        }
        // Who has no LLVM is to be told at once, and not when something becomes hot.
        if !is_host || !llvm::is_expected() {
            this.get()?;
        }
        Ok(this)
    }

    /// The target, made now if it was not needed before.
    ///
    /// # Errors
    /// `Unsupported` when LLVM cannot be loaded, or does not know the CPU.
    pub(crate) fn get(&self) -> Result<&Target, Error> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = Target::new(self.arch, &self.options.cpu, self.opt_level)?;
        // Of two threads that come here at the same time, the second takes the target of the first; making one costs a millisecond.
        Ok(self.made.get_or_init(|| made))
    }

    /// The target, if it was needed.
    pub(crate) fn made(&self) -> Option<&Target> {
        self.made.get()
    }

    /// The architecture.
    pub(crate) fn arch(&self) -> Arch {
        self.arch
    }

    /// As [`Target::check_host`].
    pub(crate) fn check_host(&self) -> Result<(), Error> {
        self.made().map_or(Ok(()), Target::check_host)
    }
}
