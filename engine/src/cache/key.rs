//! [`SourceHash`] and [`Key`]: what a cache entry is found by.

use std::fmt;

/// The hash of the bytes that a module is compiled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceHash([u8; 32]);

impl SourceHash {
    /// The hash of `source`.
    pub fn of(source: &[u8]) -> Self {
        Self(*blake3::hash(source).as_bytes())
    }

    /// The hash with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Names a cache entry: a hash of the module's source and of everything else that changes its code. Its text is 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of a module whose bytes have the hash `source`, compiled as `parts` say. `parts` must tell apart whatever leads to different code.
    pub fn new(source: SourceHash, parts: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("wasmo cache 1: key of an entry");
        // The first part has one length, so that no two pairs make one text.
        hasher.update(source.as_bytes()).update(parts);
        Self(*hasher.finalize().as_bytes())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key whose text this is.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        blake3::Hash::from_hex(text).ok().filter(|_| lower).map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_everything() {
        let (a, b) = (SourceHash::of(b"a"), SourceHash::of(b"b"));
        let keys = [Key::new(a, b""), Key::new(b, b""), Key::new(a, b"x"), Key::new(a, b"y")];
        for (position, key) in keys.iter().enumerate() {
            assert!(!keys[..position].contains(key));
        }
        assert_eq!(Key::new(a, b"x"), Key::new(SourceHash::of(b"a"), b"x"));
    }

    #[test]
    fn only_its_own_text_is_read() {
        let key = Key::new(SourceHash::of(b"a"), b"");
        let text = key.to_string();
        assert_eq!(Key::from_text(&text), Some(key));
        assert_eq!(Key::from_text(&text.to_uppercase()), None);
        assert_eq!(Key::from_text(&text[1..]), None);
        assert_eq!(Key::from_text(&format!("{text}0")), None);
    }
}
