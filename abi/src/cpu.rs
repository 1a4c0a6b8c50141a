//! [`CpuFeatures`]: the extensions of a processor that code may use, as far as they can be asked for when code is loaded.
//!
//! An extension that has no name here is never used by generated code: the compiler switches it off.

/// A set of extensions: bit n stands for the n-th name of the architecture's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CpuFeatures(pub u128);

/// Extensions of x86-64, by LLVM's names. The order is part of the artefact format; new names are added at the end.
pub const X86_64: &[&str] = &[
    "sse3",
    "ssse3",
    "sse4.1",
    "sse4.2",
    "popcnt",
    "cx16",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "bmi",
    "bmi2",
    "lzcnt",
    "movbe",
    "adx",
    "aes",
    "pclmul",
    "sha",
    "vaes",
    "vpclmulqdq",
    "gfni",
    "avx512f",
    "avx512cd",
    "avx512bw",
    "avx512dq",
    "avx512vl",
    "avx512ifma",
    "avx512vbmi",
    "avx512vbmi2",
    "avx512vnni",
    "avx512bitalg",
    "avx512vpopcntdq",
    "avx512bf16",
    "avx512fp16",
    "avxvnni",
    "sse4a",
    "fxsr",
    "xsave",
];

/// Extensions of AArch64, by LLVM's names. The order is part of the artefact format; new names are added at the end.
pub const AARCH64: &[&str] = &[
    "neon",
    "lse",
    "rdm",
    "dotprod",
    "fullfp16",
    "fp16fml",
    "rcpc",
    "rcpc-immo",
    "flagm",
    "altnzcv",
    "i8mm",
    "bf16",
    "jsconv",
    "complxnum",
    "fptoint",
    "crc",
    "aes",
    "sha2",
    "sha3",
    "lse2",
];

impl CpuFeatures {
    /// The names of the set's extensions in `list`.
    pub fn names(self, list: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
        list.iter().enumerate().filter(move |&(bit, _)| self.0 >> bit & 1 == 1).map(|(_, &name)| name)
    }

    /// The extensions of `list` whose names `has` says yes to.
    pub fn from_names(list: &[&str], has: impl Fn(&str) -> bool) -> Self {
        let bits = list.iter().enumerate().filter(|(_, name)| has(name)).map(|(bit, _)| 1 << bit);
        Self(bits.fold(0, |set, bit: u128| set | bit))
    }

    /// Those of this set that `other` lacks.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of this set, and those of `other`.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

const _: () = assert!(X86_64.len() <= 128 && AARCH64.len() <= 128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_made_of_names() {
        let set = CpuFeatures::from_names(X86_64, |name| name == "avx2" || name == "sse3");
        assert_eq!(set.names(X86_64).collect::<Vec<_>>(), ["sse3", "avx2"]);
        let lacking = set.without(CpuFeatures::from_names(X86_64, |name| name == "sse3"));
        assert_eq!(lacking.names(X86_64).collect::<Vec<_>>(), ["avx2"]);
        assert!(set.without(set).is_empty());
        assert_eq!(lacking.with(set), set);
        assert_eq!(lacking.with(set.without(lacking)), set);
    }
}
