//! [`ArtifactInfo`]: what an artefact says of itself in its header. What is in the rest of it is in [`super::contents`].

use crate::{OptLevel, Result};
use wasmo_abi::artifact::{Header, Part};
use wasmo_abi::tunables::{self, Tunables};

/// What an artefact says of itself: what it was made from and for.
#[derive(Clone, Debug)]
pub struct ArtifactInfo {
    pub(super) header: Header,
}

impl ArtifactInfo {
    pub(super) fn new(header: Header) -> Self {
        Self { header }
    }

    /// Reads it from the beginning of an artefact, of which 4 KiB are enough. Nothing is said of the rest, which may be damaged or for another machine.
    ///
    /// # Errors
    /// When the bytes are no artefact of this version of wasmo.
    pub fn read(artifact: &[u8]) -> Result<Self> {
        Ok(Self { header: Header::decode(artifact)? })
    }

    /// The version of wasmo that made it.
    pub fn version(&self) -> &str {
        &self.header.version
    }

    /// LLVM's name of the target.
    pub fn target(&self) -> &str {
        &self.header.triple
    }

    /// LLVM's name of the processor that it was compiled for.
    pub fn cpu(&self) -> &str {
        &self.header.cpu
    }

    /// LLVM's names of the processor's extensions that its code may use.
    pub fn cpu_features(&self) -> Vec<&'static str> {
        let list =
            if self.header.triple.starts_with("aarch64") { wasmo_abi::cpu::AARCH64 } else { wasmo_abi::cpu::X86_64 };
        self.header.features.names(list).collect()
    }

    /// Whether it was compiled with [`crate::Config::strict_traps`].
    pub fn strict_traps(&self) -> bool {
        self.header.tunables.strict_traps
    }

    /// Whether it was compiled with [`crate::Config::epoch_interruption`].
    pub fn epoch_interruption(&self) -> bool {
        self.header.tunables.epoch_interruption
    }

    /// Whether it was compiled with [`crate::Config::consume_fuel`].
    pub fn consume_fuel(&self) -> bool {
        self.header.tunables.consume_fuel
    }

    /// The [`crate::Config::opt_level`] that it was compiled with.
    pub fn opt_level(&self) -> OptLevel {
        match self.header.tunables.opt_level {
            tunables::OptLevel::None => OptLevel::None,
            tunables::OptLevel::Speed => OptLevel::Speed,
        }
    }

    /// The choices that changed its code, as they are called in [`crate::Config`], without those that are off.
    pub fn choices(&self) -> Vec<&'static str> {
        choices(&self.header.tunables)
    }

    /// BLAKE3 of the module's binary.
    pub fn module_hash(&self) -> &[u8; 32] {
        &self.header.wasm
    }

    /// Size of the module's binary in bytes.
    pub fn module_size(&self) -> u64 {
        self.header.wasm_size
    }

    /// Whether a cache has sealed it as its own ([`crate::cache`]).
    pub fn is_sealed(&self) -> bool {
        self.header.seal != [0; 32]
    }

    /// Whether it has code for some functions only: what was compiled while the module ran ([`crate::Module::keep`]).
    pub fn is_partial(&self) -> bool {
        !self.header.part(Part::Learned).is_empty()
    }

    /// The names of the parts and their sizes in bytes, in the order of the file.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (&'static str, usize)> + '_ {
        Part::ALL.into_iter().map(|part| (part.section(), self.header.part(part).len()))
    }

    /// The size of the whole file in bytes.
    pub fn size(&self) -> u64 {
        self.header.file_size
    }
}

pub(super) fn choices(tunables: &Tunables) -> Vec<&'static str> {
    // Taken apart, so that nobody forgets a new one.
    let Tunables { strict_traps, epoch_interruption, consume_fuel, opt_level } = *tunables;
    let named = [
        (strict_traps, "strict_traps"),
        (epoch_interruption, "epoch_interruption"),
        (consume_fuel, "consume_fuel"),
        (opt_level == tunables::OptLevel::None, "opt_level none"),
    ];
    named.into_iter().filter(|&(on, _)| on).map(|(_, name)| name).collect()
}
