//! Which machines code can be compiled for, by the names that are given to targets.

use crate::error::{Error, ErrorKind};
use crate::ir::context::Arch;
use inkwell::targets::{InitializationConfig, Target as LlvmTarget};

impl Arch {
    /// The architecture of the machine that this process runs on, if code can be compiled for it.
    pub(crate) fn host() -> Option<Self> {
        Self::named(std::env::consts::ARCH)
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "x86_64" | "amd64" => Some(Self::X86_64),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The architecture in a target's name such as `aarch64-unknown-linux-gnu`. Nothing else in a name matters, as long as it says Linux: code calls no
    /// library.
    ///
    /// # Errors
    /// `Unsupported` for machines that wasmo does not know.
    pub(crate) fn of_triple(triple: &str) -> Result<Self, Error> {
        let mut parts = triple.split('-');
        let arch = parts.next().and_then(Self::named);
        let linux = parts.any(|part| part == "linux");
        arch.filter(|_| linux).ok_or_else(|| {
            let known = [Self::X86_64, Self::Aarch64].map(Self::triple).join(" and ");
            Error::new(ErrorKind::Unsupported, format!("no code can be made for {triple:?}, only for {known}"))
        })
    }

    /// The target's one name.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Prepares LLVM to make code for the architecture. May be called any number of times.
    pub(crate) fn initialize(self) {
        let config = InitializationConfig::default();
        match self {
            Self::X86_64 => LlvmTarget::initialize_x86(&config),
            Self::Aarch64 => LlvmTarget::initialize_aarch64(&config),
        }
    }

    /// The name by which LLVM knows the least CPU that generated code runs on.
    pub(crate) fn baseline(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64-v2",
            Self::Aarch64 => "generic",
        }
    }

    /// What generated code relies on, whatever the CPU: on x86-64 rounding (SSE 4.1), byte shuffles (SSSE 3), population count.
    pub(crate) fn floor(self) -> &'static str {
        match self {
            Self::X86_64 => "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+sahf",
            Self::Aarch64 => "+neon",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_targets_are_understood() {
        for (name, arch) in [
            ("x86_64-unknown-linux-gnu", Arch::X86_64),
            ("x86_64-pc-linux-musl", Arch::X86_64),
            ("aarch64-linux-gnu", Arch::Aarch64),
            ("arm64-unknown-linux-gnu", Arch::Aarch64),
        ] {
            assert_eq!(Arch::of_triple(name).map_err(|error| error.message), Ok(arch), "{name}");
        }
        for name in ["", "x86_64", "x86_64-pc-windows-msvc", "riscv64gc-unknown-linux-gnu", "aarch64-apple-darwin"] {
            assert_eq!(Arch::of_triple(name).expect_err("no code for it").kind, ErrorKind::Unsupported, "{name}");
        }
    }
}
