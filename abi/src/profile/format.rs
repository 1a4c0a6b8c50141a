//! The file of a [`Profile`].
//!
//! ```text
//! magic, 8 bytes │ version, 4 bytes, little-endian │ checksum of the module, 32 │ functions │ checksum of all before, 32
//!
//! functions:  how many, then each:  index − (the one before + 1)   calls   sites
//! sites:      how many, then each:  offset − (the one before + 1)  kind    counts
//! ```
//!
//! All numbers after the module's checksum are LEB128, unsigned. Counts: of a branch, `taken` and `total`; of a loop, the rounds; of a table, how many, then each;
//! of a call, `total`, `hits`, and 0 or the target's index + 1.

use super::{Counts, FunctionProfile, Profile, Site};
use crate::artifact::{Checksum, checksum};
use std::fmt;

/// What a profile begins with.
pub const MAGIC: [u8; 8] = *b"wasmoPRF";

/// The version of the format.
pub const VERSION: u32 = 1;

const CHECKSUM: usize = size_of::<Checksum>();
const HEAD: usize = MAGIC.len() + size_of::<u32>() + CHECKSUM;

/// Why bytes are no profile that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// They do not begin as profiles do.
    NotAProfile,
    /// They are of a version that this one of wasmo does not read.
    Version(u32),
    /// Their checksum is not right.
    Damaged,
    /// What stands in them makes no sense.
    Malformed(&'static str),
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAProfile => f.write_str("it is no profile"),
            Self::Version(version) => {
                write!(f, "it is a profile of version {version}; this wasmo reads version {VERSION}")
            }
            Self::Damaged => f.write_str("it is damaged: its checksum is not right"),
            Self::Malformed(what) => write!(f, "it is damaged: {what}"),
        }
    }
}

impl std::error::Error for ProfileError {}

impl Profile {
    /// Whether `bytes` begin as profiles do, of whatever version.
    pub fn detect(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + CHECKSUM + self.functions.len() * 16);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.wasm);
        put(&mut bytes, self.functions.len() as u64);
        let mut next = 0;
        for function in &self.functions {
            put(&mut bytes, u64::from(function.index).saturating_sub(next));
            next = u64::from(function.index) + 1;
            put(&mut bytes, function.entries);
            put_sites(&mut bytes, &function.sites);
        }
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// The profile in a file.
    ///
    /// # Errors
    /// When the bytes are no profile, of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProfileError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(ProfileError::NotAProfile)?;
        let (version, rest) = rest.split_first_chunk().ok_or(ProfileError::Damaged)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(ProfileError::Version(version));
        }
        let (wasm, rest) = rest.split_first_chunk().ok_or(ProfileError::Damaged)?;
        let (content, sum) = rest.split_last_chunk::<CHECKSUM>().ok_or(ProfileError::Damaged)?;
        let summed = bytes.len().checked_sub(CHECKSUM).and_then(|length| bytes.get(..length));
        if summed.map(checksum) != Some(*sum) {
            return Err(ProfileError::Damaged);
        }
        let mut reader = Reader(content);
        let mut functions = Vec::new();
        let mut next = 0;
        for _ in 0..reader.count()? {
            let index = reader.ascending(&mut next)?;
            let entries = reader.number()?;
            functions.push(FunctionProfile { index, entries, sites: reader.sites()? });
        }
        if !reader.0.is_empty() {
            return Err(ProfileError::Malformed("it goes on after its end"));
        }
        Ok(Self { wasm: *wasm, functions })
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn put_sites(bytes: &mut Vec<u8>, sites: &[Site]) {
    put(bytes, sites.len() as u64);
    let mut next = 0;
    for site in sites {
        put(bytes, u64::from(site.offset).saturating_sub(next));
        next = u64::from(site.offset) + 1;
        match &site.counts {
            Counts::Branch { taken, total } => [0, *taken, *total].into_iter().for_each(|number| put(bytes, number)),
            Counts::Loop { rounds } => [1, *rounds].into_iter().for_each(|number| put(bytes, number)),
            Counts::Table { taken } => {
                put(bytes, 2);
                put(bytes, taken.len() as u64);
                taken.iter().for_each(|&number| put(bytes, number));
            }
            Counts::Call { total, hits, target } => {
                let target = target.map_or(0, |target| u64::from(target) + 1);
                [3, *total, *hits, target].into_iter().for_each(|number| put(bytes, number));
            }
        }
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<u64, ProfileError> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(ProfileError::Malformed("it ends too soon"))?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ProfileError::Malformed("a number is too large"))
    }

    /// How many of something follow, each of which takes a byte at least.
    fn count(&mut self) -> Result<usize, ProfileError> {
        let count = usize::try_from(self.number()?).ok().filter(|&count| count <= self.0.len());
        count.ok_or(ProfileError::Malformed("it says that there is more than there is"))
    }

    /// A number that is at least `next`.
    fn ascending(&mut self, next: &mut u64) -> Result<u32, ProfileError> {
        let number = next.checked_add(self.number()?).and_then(|number| u32::try_from(number).ok());
        let number = number.ok_or_else(too_large)?;
        *next = u64::from(number) + 1;
        Ok(number)
    }

    fn sites(&mut self) -> Result<Vec<Site>, ProfileError> {
        let mut sites = Vec::new();
        let mut next = 0;
        for _ in 0..self.count()? {
            let offset = self.ascending(&mut next)?;
            let counts = match self.number()? {
                0 => Counts::Branch { taken: self.number()?, total: self.number()? },
                1 => Counts::Loop { rounds: self.number()? },
                2 => {
                    let count = self.count()?;
                    Counts::Table { taken: (0..count).map(|_| self.number()).collect::<Result<_, _>>()? }
                }
                3 => {
                    let (total, hits) = (self.number()?, self.number()?);
                    let target = match self.number()? {
                        0 => None,
                        target => Some(u32::try_from(target - 1).map_err(|_| too_large())?),
                    };
                    Counts::Call { total, hits, target }
                }
                _ => return Err(ProfileError::Malformed("it counts what this version does not know")),
            };
            sites.push(Site { offset, counts });
        }
        Ok(sites)
    }
}

fn too_large() -> ProfileError {
    ProfileError::Malformed("an index or offset is too large")
}
