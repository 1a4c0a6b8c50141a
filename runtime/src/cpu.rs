//! What this machine's processor has of the extensions that code may use.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__cpuid;
use std::sync::OnceLock;
use wasmo_abi::cpu::CpuFeatures;

/// The names of the extensions of this architecture.
#[cfg(target_arch = "x86_64")]
pub(crate) const NAMES: &[&str] = wasmo_abi::cpu::X86_64;
#[cfg(target_arch = "aarch64")]
pub(crate) const NAMES: &[&str] = wasmo_abi::cpu::AARCH64;

/// The extensions that this machine's processor has and the system lets programs use.
pub(crate) fn host_features() -> CpuFeatures {
    static FEATURES: OnceLock<CpuFeatures> = OnceLock::new();
    *FEATURES.get_or_init(|| CpuFeatures::from_names(NAMES, has))
}

/// What tells processors apart for which different code is made: the model, by which LLVM chooses among instructions, and the extensions.
pub fn identity() -> ([u64; 4], CpuFeatures) {
    (model(), host_features())
}

/// Vendor, and family, model and stepping.
#[cfg(target_arch = "x86_64")]
fn model() -> [u64; 4] {
    let (vendor, version) = (__cpuid(0), __cpuid(1));
    [vendor.ebx, vendor.ecx, vendor.edx, version.eax].map(u64::from)
}

/// The register that identifies the first core, as far as the system shows it.
#[cfg(target_arch = "aarch64")]
fn model() -> [u64; 4] {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1");
    let number = text.ok().and_then(|text| u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    [number.unwrap_or(0), 0, 0, 0]
}

/// Pairs LLVM's names with those of the standard library.
macro_rules! detect {
    ($detected:ident, $name:expr, $($llvm:literal $std:tt,)*) => {
        match $name {
            $($llvm => std::arch::$detected!($std),)*
            _ => false,
        }
    };
}

#[cfg(target_arch = "x86_64")]
fn has(name: &str) -> bool {
    detect!(
        is_x86_feature_detected, name,
        "sse3" "sse3", "ssse3" "ssse3", "sse4.1" "sse4.1", "sse4.2" "sse4.2", "popcnt" "popcnt", "cx16" "cmpxchg16b", "avx" "avx", "avx2" "avx2",
        "fma" "fma", "f16c" "f16c", "bmi" "bmi1", "bmi2" "bmi2", "lzcnt" "lzcnt", "movbe" "movbe", "adx" "adx", "aes" "aes", "pclmul" "pclmulqdq",
        "sha" "sha", "vaes" "vaes", "vpclmulqdq" "vpclmulqdq", "gfni" "gfni", "avx512f" "avx512f", "avx512cd" "avx512cd", "avx512bw" "avx512bw",
        "avx512dq" "avx512dq", "avx512vl" "avx512vl", "avx512ifma" "avx512ifma", "avx512vbmi" "avx512vbmi", "avx512vbmi2" "avx512vbmi2",
        "avx512vnni" "avx512vnni", "avx512bitalg" "avx512bitalg", "avx512vpopcntdq" "avx512vpopcntdq", "avx512bf16" "avx512bf16",
        "avx512fp16" "avx512fp16", "avxvnni" "avxvnni", "sse4a" "sse4a", "fxsr" "fxsr", "xsave" "xsave",
    )
}

#[cfg(target_arch = "aarch64")]
fn has(name: &str) -> bool {
    detect!(
        is_aarch64_feature_detected, name,
        "neon" "neon", "lse" "lse", "rdm" "rdm", "dotprod" "dotprod", "fullfp16" "fp16", "fp16fml" "fhm", "rcpc" "rcpc", "rcpc-immo" "rcpc2",
        "flagm" "flagm", "i8mm" "i8mm", "bf16" "bf16", "jsconv" "jsconv", "complxnum" "fcma", "fptoint" "frintts", "crc" "crc", "aes" "aes",
        "sha2" "sha2", "sha3" "sha3", "lse2" "lse2",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_that_runs_us_has_its_architectures_base() {
        let base = if cfg!(target_arch = "aarch64") { "neon" } else { "fxsr" };
        assert!(host_features().names(NAMES).any(|name| name == base));
        assert!(!has("no such extension"));
    }
}
