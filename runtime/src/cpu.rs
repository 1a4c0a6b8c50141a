//! What this machine's processor has of the extensions that code may use.

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
