//! [`Secret`]: 32 random bytes of the user's own, made once, and what is sealed with them.
//!
//! A seal is a keyed hash. Who cannot read the secret cannot make one, so an entry whose seal is right was written by this user. Each purpose has
//! a key of its own, derived from the secret, so that no seal of one kind is one of another.

use super::directory::{Directory, Existing, random};
use super::{CacheError, Key};
use std::io::Read;

/// The file.
const NAME: &str = "secret";
const LENGTH: usize = 32;

/// A keyed hash: 32 bytes.
pub type Seal = [u8; 32];

/// The keys derived from the secret.
pub(super) struct Secret {
    entries: [u8; 32],
    index: [u8; 32],
}

// The keys are nobody's business, logs included.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl Secret {
    /// The secret that is in the directory, if one is.
    pub(super) fn existing(directory: &Directory) -> Result<Option<Self>, CacheError> {
        let mut file = match directory.open(NAME) {
            Ok((file, _)) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        // One byte more than there should be, to see whether there is one.
        let mut bytes = [0; LENGTH + 1];
        let path = || directory.path_of(NAME);
        let length = file.read(&mut bytes).map_err(|error| CacheError::io("read", &path(), error))?;
        match bytes.get(..length) {
            Some(secret) if length == LENGTH => Ok(Some(Self::new(secret))),
            _ => Err(CacheError::Damaged { path: path() }),
        }
    }

    /// The secret in the directory; if there is none, one is made. When several processes make one, the first to be in place is everybody's.
    pub(super) fn create(directory: &Directory) -> Result<Self, CacheError> {
        if let Some(secret) = Self::existing(directory)? {
            return Ok(secret);
        }
        let path = || directory.path_of(NAME);
        let mut bytes = [0; LENGTH];
        random(&mut bytes).map_err(|error| CacheError::io("make", &path(), error))?;
        directory.put(NAME, &bytes, Existing::Kept)?;
        Self::existing(directory)?.ok_or_else(|| CacheError::Damaged { path: path() })
    }

    fn new(secret: &[u8]) -> Self {
        Self {
            entries: blake3::derive_key("wasmo cache 1: seals of entries", secret),
            index: blake3::derive_key("wasmo cache 1: seals of known sources", secret),
        }
    }

    /// The seal of the entry `key` whose header is `header`. An entry under the name of another has the wrong seal.
    pub(super) fn seal_entry(&self, key: &Key, header: &[u8]) -> Seal {
        *blake3::Hasher::new_keyed(&self.entries).update(key.as_bytes()).update(header).finalize().as_bytes()
    }

    /// The seal of a record of the index.
    pub(super) fn seal_index(&self, record: &[u8]) -> Seal {
        *blake3::keyed_hash(&self.index, record).as_bytes()
    }
}

/// Whether two seals are the same, in a time that does not say how far they are.
pub(super) fn same(a: &Seal, b: &Seal) -> bool {
    blake3::Hash::from_bytes(*a) == blake3::Hash::from_bytes(*b)
}
