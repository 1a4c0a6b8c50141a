//! Which instruction set extensions generated code may use.
//!
//! Code is not only run where it was compiled: an artefact says which extensions it may use, and whoever loads it asks the processor for each of them. So
//! code may use no extension that cannot be asked for: those that are neither in [`askable`] nor in [`everywhere`] are switched off ([`restriction`]), whether
//! LLVM would have found a use for them or not.

use crate::error::{Error, ErrorKind};
use crate::ir::context::Arch;
use wasmo_abi::cpu::{self, CpuFeatures};

/// Extensions that a program can ask the processor for, by LLVM's names: those that an artefact's header has a place for.
pub(crate) fn askable(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::X86_64 => cpu::X86_64,
        Arch::Aarch64 => cpu::AARCH64,
    }
}

/// Extensions that need not be asked for: every processor that has what [`Arch::floor`] says has them too, or (`ermsb`, `fsrm`) they are about how fast an
/// instruction is that all have.
fn everywhere(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::X86_64 => &[
            "64bit",
            "64bit-mode",
            "cmov",
            "crc32",
            "cx8",
            "ermsb",
            "fsrm",
            "mmx",
            "nopl",
            "sahf",
            "sse",
            "sse2",
            "x87",
        ],
        Arch::Aarch64 => &["fp-armv8"],
    }
}

/// The extensions that all code relies on, as far as they can be asked for.
pub(crate) fn floor(arch: Arch) -> CpuFeatures {
    let needed = |name: &str| arch.floor().split(',').any(|needed| needed.strip_prefix('+') == Some(name));
    CpuFeatures::from_names(askable(arch), needed)
}

/// Whether this machine's processor, of the architecture `arch`, has what all code relies on, as far as it can be asked.
///
/// # Errors
/// `Unsupported` when it has not.
pub(super) fn check_host(arch: Arch) -> Result<(), Error> {
    if host_has_floor() {
        return Ok(());
    }
    let (name, floor) = (arch.baseline(), arch.floor());
    let message = format!("this machine's CPU lacks some of {floor}; wasmo needs at least {name}");
    Err(Error::new(ErrorKind::Unsupported, message))
}

#[cfg(target_arch = "x86_64")]
fn host_has_floor() -> bool {
    is_x86_feature_detected!("sse3")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("sse4.2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("cmpxchg16b")
}

/// Every AArch64 has it.
#[cfg(not(target_arch = "x86_64"))]
fn host_has_floor() -> bool {
    true
}

/// What is to be appended to LLVM's list of features so that code uses none of `extensions` that may not be used.
pub(crate) fn restriction<'a>(arch: Arch, extensions: impl Iterator<Item = &'a str>) -> String {
    let forbidden = extensions.filter(|name| !askable(arch).contains(name) && !everywhere(arch).contains(name));
    forbidden.map(|name| format!("-{name}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_code_relies_on_can_be_asked_for() {
        let names = |arch| floor(arch).names(askable(arch)).collect::<Vec<_>>().join(",");
        assert_eq!(names(Arch::X86_64), "sse3,ssse3,sse4.1,sse4.2,popcnt,cx16");
        assert_eq!(names(Arch::Aarch64), "neon");
        check_host(Arch::host().expect("wasmo runs here")).expect("wasmo runs here");
    }

    #[test]
    fn what_cannot_be_asked_for_is_switched_off() {
        let of = |arch, list: &str| restriction(arch, list.split(','));
        assert_eq!(of(Arch::X86_64, "64bit,avx2,fma4,sse2,tbm,xop"), "-fma4,-tbm,-xop");
        assert_eq!(of(Arch::Aarch64, "fp-armv8,lse,neon,sve"), "-sve");
        assert_eq!(of(Arch::X86_64, "64bit"), "");
    }
}
