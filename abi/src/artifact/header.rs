//! [`Header`]: what an artefact says of itself, and the checksums and the seal that stand for the rest.

use super::checksum::of_pieces;
use super::{ArtifactError, Checksum, Half, Part, checksum};
use crate::cpu::CpuFeatures;
use crate::tunables::Tunables;
use std::ops::Range;

/// Where in the file the header begins, after the file's own ELF header and program headers.
pub const HEADER_OFFSET: usize = 512;

/// The size of the header in bytes.
pub const HEADER_SIZE: usize = 2048;

/// How every header begins.
pub const MAGIC: [u8; 8] = *b"\x93wasmo\r\n";

/// Counts changes of the format, and of what code and runtime agree on otherwise: a file of another revision is not read.
pub const REVISION: u32 = 8;

/// What an artefact was made from and for, and where its parts lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of wasmo that made it.
    pub version: String,
    /// LLVM's name of the target.
    pub triple: String,
    /// The processor that it was compiled for, by LLVM's name; what counts is `features`.
    pub cpu: String,
    /// The extensions that the code may use.
    pub features: CpuFeatures,
    /// The choices that change code.
    pub tunables: Tunables,
    /// BLAKE3 of the module's binary.
    pub wasm: Checksum,
    /// Size of the module's binary in bytes.
    pub wasm_size: u64,
    /// Size of the file in bytes.
    pub file_size: u64,
    /// Size of the first half.
    pub hot_size: u64,
    /// Offset and size of each part, in the order of [`Part::ALL`].
    pub parts: [(u64, u64); Part::COUNT],
    /// Checksum of the second half.
    pub cold: Checksum,
    /// Checksum of the first half, itself and `seal` taken as zero.
    pub hot: Checksum,
    /// Keyed hash of the header, itself taken as zero; zero when nobody has sealed the file.
    pub seal: Checksum,
}

/// Where in the header the checksum of the hot half lies; the seal follows, and then nothing.
const HOT: usize = HEADER_SIZE - 64;
const SEAL: usize = HEADER_SIZE - 32;
const VERSION_SIZE: usize = 32;
const TRIPLE_SIZE: usize = 64;
const CPU_SIZE: usize = 64;

impl Header {
    /// The bytes of the header.
    ///
    /// # Errors
    /// `Malformed` when a text is too long for its field.
    pub fn encode(&self) -> Result<[u8; HEADER_SIZE], ArtifactError> {
        let mut bytes = Vec::with_capacity(HEADER_SIZE);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&REVISION.to_le_bytes());
        for (text, size) in [(&self.version, VERSION_SIZE), (&self.triple, TRIPLE_SIZE), (&self.cpu, CPU_SIZE)] {
            let rest =
                size.checked_sub(text.len()).ok_or(ArtifactError::Malformed("a text in its header is too long"))?;
            bytes.extend_from_slice(text.as_bytes());
            bytes.extend(std::iter::repeat_n(0, rest));
        }
        bytes.extend_from_slice(&self.features.0.to_le_bytes());
        let mut tunables = [0; 16];
        let encoded = postcard::to_slice(&self.tunables, &mut tunables);
        encoded.map_err(|_| ArtifactError::Malformed("its choices do not fit its header"))?;
        bytes.extend_from_slice(&tunables);
        bytes.extend_from_slice(&self.wasm);
        for number in [self.wasm_size, self.file_size, self.hot_size] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (offset, size) in &self.parts {
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(&size.to_le_bytes());
        }
        bytes.extend_from_slice(&self.cold);
        if bytes.len() > HOT {
            return Err(ArtifactError::Malformed("its header is too long"));
        }
        bytes.resize(HOT, 0);
        bytes.extend_from_slice(&self.hot);
        bytes.extend_from_slice(&self.seal);
        bytes.try_into().map_err(|_| ArtifactError::Malformed("its header is too long"))
    }

    /// Reads the header of the artefact that begins with `file`, of which at least the first page must be there.
    ///
    /// # Errors
    /// When it is no artefact, or one of another version, or says something impossible. The checksums are not compared.
    pub fn decode(file: &[u8]) -> Result<Self, ArtifactError> {
        let start = file.get(HEADER_OFFSET..).unwrap_or_default();
        let bytes = start.get(..HEADER_SIZE);
        let mut fields = Fields {
            rest: bytes.ok_or(match start.starts_with(&MAGIC) {
                true => ArtifactError::Malformed("it ends within its header"),
                false => ArtifactError::NotAnArtifact,
            })?,
        };
        if fields.take::<8>()? != MAGIC {
            return Err(ArtifactError::NotAnArtifact);
        }
        let revision = u32::from_le_bytes(fields.take()?);
        let version = fields.text(VERSION_SIZE)?;
        if revision != REVISION || version != env!("CARGO_PKG_VERSION") {
            return Err(ArtifactError::Version { made_by: version, revision });
        }
        let triple = fields.text(TRIPLE_SIZE)?;
        let cpu = fields.text(CPU_SIZE)?;
        let features = CpuFeatures(u128::from_le_bytes(fields.take()?));
        let tunables = postcard::from_bytes(&fields.take::<16>()?);
        let tunables = tunables.map_err(|_| ArtifactError::Malformed("its choices are unknown"))?;
        let wasm = fields.take()?;
        let (wasm_size, file_size, hot_size) = (fields.number()?, fields.number()?, fields.number()?);
        let mut parts = [(0, 0); Part::COUNT];
        for (part, place) in Part::ALL.into_iter().zip(&mut parts) {
            let (offset, size) = (fields.number()?, fields.number()?);
            let half = match part.half() {
                Half::Hot => 0..hot_size,
                Half::Cold => hot_size..file_size,
            };
            let end = offset.checked_add(size).ok_or(ArtifactError::Malformed("a part is too large"))?;
            if offset < half.start || end > half.end {
                return Err(ArtifactError::Malformed("a part lies outside of the file"));
            }
            *place = (offset, size);
        }
        let cold = fields.take()?;
        fields.rest = bytes.and_then(|bytes| bytes.get(HOT..)).unwrap_or_default();
        let (hot, seal) = (fields.take()?, fields.take()?);
        Ok(Self {
            version,
            triple,
            cpu,
            features,
            tunables,
            wasm,
            wasm_size,
            file_size,
            hot_size,
            parts,
            cold,
            hot,
            seal,
        })
    }

    /// Where `part` lies in the file.
    pub fn part(&self, part: Part) -> Range<usize> {
        let (offset, size) = self.parts.get(part as usize).copied().unwrap_or_default();
        // Within a file that is in memory, as `verify_size` has found.
        let position = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        position(offset)..position(offset.saturating_add(size))
    }

    /// Compares the file's size with what the header says.
    ///
    /// # Errors
    /// `Length` when they differ.
    pub fn verify_size(&self, found: u64) -> Result<(), ArtifactError> {
        let expected = self.file_size;
        if found == expected { Ok(()) } else { Err(ArtifactError::Length { found, expected }) }
    }

    /// Compares the checksum of the half that is needed to run; `file` is the whole file.
    ///
    /// # Errors
    /// `Damaged` when it differs.
    pub fn verify_hot(&self, file: &[u8]) -> Result<(), ArtifactError> {
        let damaged = ArtifactError::Damaged("code");
        let size = usize::try_from(self.hot_size).ok();
        let half = size.and_then(|size| file.get(..size)).ok_or(damaged)?;
        if hot_checksum(half) == Some(self.hot) { Ok(()) } else { Err(ArtifactError::Damaged("code")) }
    }

    /// Compares the checksum of the half that explains; `file` is the whole file.
    ///
    /// # Errors
    /// `Damaged` when it differs.
    pub fn verify_cold(&self, file: &[u8]) -> Result<(), ArtifactError> {
        let size = usize::try_from(self.hot_size).ok();
        let half = size.and_then(|size| file.get(size..)).ok_or(ArtifactError::Damaged("tables"))?;
        if checksum(half) == self.cold { Ok(()) } else { Err(ArtifactError::Damaged("tables")) }
    }
}

/// The header's bytes in `file` as a seal covers them: with the seal as zero. `None` when the file is too short.
pub fn sealed_bytes(file: &[u8]) -> Option<[u8; HEADER_SIZE]> {
    let mut header: [u8; HEADER_SIZE] = *file.get(HEADER_OFFSET..)?.first_chunk()?;
    header[SEAL..].fill(0);
    Some(header)
}

/// Writes a seal into the bytes of an artefact.
///
/// # Errors
/// `NotAnArtifact` when they are too few.
pub fn set_seal(file: &mut [u8], seal: Checksum) -> Result<(), ArtifactError> {
    let place = file.get_mut(HEADER_OFFSET + SEAL..).and_then(|rest| rest.first_chunk_mut());
    *place.ok_or(ArtifactError::NotAnArtifact)? = seal;
    Ok(())
}

/// Computes both checksums of `file`, which is complete but for them, and writes them into its header.
///
/// # Errors
/// `NotAnArtifact` when its size is not what the header says.
pub fn finish(file: &mut [u8]) -> Result<(), ArtifactError> {
    let mut header = Header::decode(file)?;
    header.verify_size(file.len() as u64)?;
    let size = usize::try_from(header.hot_size).map_err(|_| ArtifactError::NotAnArtifact)?;
    header.cold = checksum(file.get(size..).ok_or(ArtifactError::NotAnArtifact)?);
    header.hot = Checksum::default();
    header.seal = Checksum::default();
    let place = |file: &mut [u8], header: &Header| {
        let place = file.get_mut(HEADER_OFFSET..).and_then(|rest| rest.first_chunk_mut::<HEADER_SIZE>());
        *place.ok_or(ArtifactError::NotAnArtifact)? = header.encode()?;
        Ok::<(), ArtifactError>(())
    };
    place(file, &header)?;
    header.hot = file.get(..size).and_then(hot_checksum).ok_or(ArtifactError::NotAnArtifact)?;
    place(file, &header)
}

fn hot_checksum(half: &[u8]) -> Option<Checksum> {
    let (before, after) = (half.get(..HEADER_OFFSET + HOT)?, half.get(HEADER_OFFSET + HEADER_SIZE..)?);
    Some(of_pieces(&[before, &[0; HEADER_SIZE - HOT], after]))
}

/// Reads the fields of a header one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ArtifactError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(ArtifactError::NotAnArtifact)?;
        self.rest = rest;
        Ok(*field)
    }

    fn number(&mut self) -> Result<u64, ArtifactError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn text(&mut self, size: usize) -> Result<String, ArtifactError> {
        let (field, rest) = self.rest.split_at_checked(size).ok_or(ArtifactError::NotAnArtifact)?;
        self.rest = rest;
        let len = field.iter().position(|&byte| byte == 0).unwrap_or(size);
        let text = field.get(..len).and_then(|text| std::str::from_utf8(text).ok());
        Ok(text.ok_or(ArtifactError::Malformed("a text in its header"))?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let file_size = (HEADER_OFFSET + HEADER_SIZE + 600) as u64;
        let hot_size = file_size - 200;
        let part = |part: Part| match part.half() {
            Half::Hot => (hot_size - 100, 90),
            Half::Cold => (hot_size + 10, 80),
        };
        Header {
            version: env!("CARGO_PKG_VERSION").into(),
            triple: "x86_64-unknown-linux-gnu".into(),
            cpu: "x86-64-v2".into(),
            features: CpuFeatures(1 << 100 | 7),
            tunables: Tunables { strict_traps: true, ..Tunables::default() },
            wasm: [7; 32],
            wasm_size: 1234,
            file_size,
            hot_size,
            parts: Part::ALL.map(part),
            cold: [0; 32],
            hot: [0; 32],
            seal: [0; 32],
        }
    }

    fn file() -> Vec<u8> {
        let header = header();
        let mut file = vec![0xab; usize::try_from(header.file_size).expect("it is small")];
        file[HEADER_OFFSET..][..HEADER_SIZE].copy_from_slice(&header.encode().expect("its texts are short"));
        finish(&mut file).expect("the file is whole");
        file
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let mut header = header();
        header.hot = [1; 32];
        header.seal = [2; 32];
        let mut file = vec![0; HEADER_OFFSET];
        file.extend(header.encode().expect("its texts are short"));
        assert_eq!(Header::decode(&file).expect("it is well-formed"), header);
    }

    #[test]
    fn every_changed_byte_is_noticed_by_one_of_the_checksums() {
        let file = file();
        let header = Header::decode(&file).expect("it is well-formed");
        header.verify_hot(&file).expect("nothing has changed");
        header.verify_cold(&file).expect("nothing has changed");
        for position in 0..file.len() {
            // The seal is checked by those who have its key.
            if (HEADER_OFFSET + SEAL..HEADER_OFFSET + HEADER_SIZE).contains(&position) {
                continue;
            }
            let mut changed = file.clone();
            changed[position] ^= 1;
            let noticed = Header::decode(&changed).and_then(|header| {
                header.verify_size(changed.len() as u64)?;
                header.verify_hot(&changed)?;
                header.verify_cold(&changed)
            });
            assert!(noticed.is_err(), "byte {position}");
        }
    }

    #[test]
    fn seals_cover_the_header() {
        let mut file = file();
        let before = sealed_bytes(&file).expect("it has a header");
        set_seal(&mut file, [9; 32]).expect("it has a header");
        assert_eq!(sealed_bytes(&file), Some(before));
        let header = Header::decode(&file).expect("it is well-formed");
        assert_eq!(header.seal, [9; 32]);
        header.verify_hot(&file).expect("the checksum does not cover the seal");
        assert_eq!(sealed_bytes(&file[..600]), None);
    }

    #[test]
    fn other_versions_are_named() {
        let mut file = file();
        file[HEADER_OFFSET + 8] ^= 0x10;
        assert!(
            matches!(Header::decode(&file), Err(ArtifactError::Version { revision, .. }) if revision == REVISION ^ 0x10)
        );
        let cut = Header::decode(&file[..HEADER_OFFSET + HEADER_SIZE - 1]);
        assert!(matches!(cut, Err(ArtifactError::Malformed(_))), "{cut:?}");
        file[HEADER_OFFSET] = 0;
        assert!(matches!(Header::decode(&file), Err(ArtifactError::NotAnArtifact)));
        assert!(matches!(Header::decode(&file[..HEADER_OFFSET + 3]), Err(ArtifactError::NotAnArtifact)));
    }

    #[test]
    fn parts_beyond_the_file_are_refused() {
        let mut header = header();
        header.parts[0] = (u64::MAX - 3, 10);
        let mut file = vec![0; HEADER_OFFSET];
        file.extend(header.encode().expect("its texts are short"));
        assert!(matches!(Header::decode(&file), Err(ArtifactError::Malformed(_))));
    }
}
