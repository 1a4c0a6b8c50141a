//! The artefact: a module's code and everything about it in one file, to be mapped and run.
//!
//! It is an ELF shared object in which every address is the offset in the file, so that common tools read it. wasmo itself reads only what is described
//! here: a [`Header`] at a fixed place, which says what the file was made from and for, and where its [`Part`]s lie. Parts of the *hot*
//! half are needed to run; they are covered by one checksum, those of the *cold* half (names, offsets, call frame information) by another, so that
//! they need not be touched before somebody asks for them. The header is part of the hot half, and its checksum is taken with the last two
//! fields, itself and the seal, as zero. The seal is a keyed hash of the header, by which a cache knows its own files.
//!
//! Neither checksum protects against an enemy, who could make a file of any code: an artefact is a program, and loading it is running it.

use crate::cpu::CpuFeatures;
use crate::index::MemoryIndex;
use crate::memory_image::memory_images;
use crate::module::{DataKind, DataSegment, ModuleInfo};
use crate::table::{Bytes, FuncNames, Row, Table};
use crate::tunables::Tunables;
use crate::types::PAGE_SIZE;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Where in the file the header begins, after the file's own ELF header and program headers.
pub const HEADER_OFFSET: usize = 512;

/// The size of the header in bytes.
pub const HEADER_SIZE: usize = 2048;

/// How every header begins.
pub const MAGIC: [u8; 8] = *b"\x93wasmo\r\n";

/// Counts changes of the format, and of what code and runtime agree on otherwise: a file of another revision is not read.
pub const REVISION: u32 = 2;

/// A checksum: BLAKE3.
pub type Checksum = [u8; 32];

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident $section:literal $half:ident,)*) => {
        /// A part of an artefact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Part { $($(#[$doc])* $name,)* }

        impl Part {
            /// All parts, in the order in which they lie in the file.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name of its ELF section.
            pub fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)* }
            }

            /// Whether code needs it to run.
            pub fn half(self) -> Half {
                match self { $(Self::$name => Half::$half,)* }
            }
        }
    };
}

/// The half of an artefact that a part belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// Needed to run.
    Hot,
    /// Needed to explain.
    Cold,
}

parts! {
    /// A [`Description`], in the format of the crate `postcard`.
    Description ".wasmo.description" Hot,
    /// [`ModuleInfo::funcs`].
    Funcs ".wasmo.funcs" Hot,
    /// [`ModuleInfo::escaping`].
    Escaping ".wasmo.escaping" Hot,
    /// [`ModuleInfo::elem_funcs`].
    ElemFuncs ".wasmo.elem_funcs" Hot,
    /// [`crate::code::ModuleCode::entries`], as distances from the text.
    Entries ".wasmo.entries" Hot,
    /// A [`ThunkOffsets`] for each type.
    Thunks ".wasmo.thunks" Hot,
    /// The contents of data segments that are not in an image.
    Data ".wasmo.data" Hot,
    /// Constants and jump tables that the code refers to.
    Rodata ".rodata" Hot,
    /// The code. It begins at a page, as the images do.
    Text ".text" Hot,
    /// The initial contents of memories, each beginning at a page: see [`Image`].
    Images ".wasmo.images" Hot,
    /// [`ModuleInfo::bodies`].
    Bodies ".wasmo.bodies" Cold,
    /// [`crate::code::CodeUnit::functions`].
    Functions ".wasmo.functions" Cold,
    /// [`crate::code::CodeUnit::wasm_offsets`].
    WasmOffsets ".wasmo.offsets" Cold,
    /// [`FuncNames::rows`].
    NameRows ".wasmo.names" Cold,
    /// [`FuncNames::text`].
    NameText ".wasmo.names.text" Cold,
    /// Call frame information.
    EhFrame ".eh_frame" Cold,
    /// Its table for bisection.
    EhFrameHdr ".eh_frame_hdr" Cold,
}

/// What is written into a [`Part`].
#[derive(Debug)]
pub struct Content {
    /// Which.
    pub part: Part,
    /// The bytes.
    pub bytes: Bytes,
}

/// Where the thunks of one type lie in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThunkOffsets {
    /// Distance of [`crate::code::Thunks::enter`] from the text, or `u32::MAX` for types without thunks.
    pub enter: u32,
    /// Distance of [`crate::code::Thunks::exit`] from the text.
    pub exit: u32,
}

impl Row for ThunkOffsets {
    const SIZE: usize = 8;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        Self { enter: words(0), exit: words(1) }
    }

    fn write(self, word: impl FnMut(u32)) {
        [self.enter, self.exit].into_iter().for_each(word);
    }
}

/// The initial content of a part of a defined memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The memory.
    pub memory: MemoryIndex,
    /// The address in the memory that the image begins at, a multiple of the page size of the file.
    pub start: u64,
    /// Where in the part [`Part::Images`] it lies; it begins at a page.
    pub bytes: Range<usize>,
}

impl Image {
    /// Whether it lies within the initial size of a memory that the module defines.
    fn fits(&self, info: &ModuleInfo) -> bool {
        let end = (self.bytes.len() as u64).checked_add(self.start);
        let size = info.memories.get(self.memory).and_then(|ty| ty.limits.min.checked_mul(PAGE_SIZE));
        info.defined_memory(self.memory).is_some() && end.zip(size).is_some_and(|(end, size)| end <= size)
    }
}

/// What is known of a module and does not grow with its code.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Description {
    /// The module. The ranges of data segments are ranges of [`Part::Data`]. Segments in images, of which there may be thousands, are passive ones without content, and left out where none but such follow.
    pub info: ModuleInfo,
    /// The initial contents of memories.
    pub images: Vec<Image>,
}

/// Why a file is no artefact for us.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It does not begin like one.
    #[error("it is not an artefact of wasmo's")]
    NotAnArtifact,
    /// It belongs to another version.
    #[error("it was made by wasmo {made_by}, revision {revision}; this is wasmo {}, revision {REVISION}: compile the module again", env!("CARGO_PKG_VERSION"))]
    Version {
        /// The other version.
        made_by: String,
        /// Its [`REVISION`].
        revision: u32,
    },
    /// It ends early, or has more than it says.
    #[error("it has {found} bytes where {expected} are expected: it is incomplete or damaged")]
    Length {
        /// The file's length.
        found: u64,
        /// The length that its header says.
        expected: u64,
    },
    /// A checksum is wrong.
    #[error("its content is damaged: the checksum of its {0} does not fit")]
    Damaged(&'static str),
    /// What it says of itself is impossible.
    #[error("its content is damaged: {0}")]
    Malformed(&'static str),
    /// It is for another machine.
    #[error("it was compiled for {found}; this is {expected}")]
    Target {
        /// The file's target.
        found: String,
        /// This machine's.
        expected: String,
    },
    /// It uses what this processor lacks.
    #[error("it uses what this processor does not have: {0}; compile the module for another processor (--cpu)")]
    CpuFeatures(String),
}

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
    pub parts: Vec<(u64, u64)>,
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
        let mut parts = Vec::with_capacity(Part::ALL.len());
        for part in Part::ALL {
            let (offset, size) = (fields.number()?, fields.number()?);
            let half = match part.half() {
                Half::Hot => 0..hot_size,
                Half::Cold => hot_size..file_size,
            };
            let end = offset.checked_add(size).ok_or(ArtifactError::Malformed("a part is too large"))?;
            if offset < half.start || end > half.end {
                return Err(ArtifactError::Malformed("a part lies outside of the file"));
            }
            parts.push((offset, size));
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

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> Checksum {
    *blake3::hash(bytes).as_bytes()
}

fn hot_checksum(half: &[u8]) -> Option<Checksum> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(half.get(..HEADER_OFFSET + HOT)?);
    hasher.update(&[0; HEADER_SIZE - HOT]);
    hasher.update(half.get(HEADER_OFFSET + HEADER_SIZE..)?);
    Some(*hasher.finalize().as_bytes())
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

impl Description {
    /// The contents of the parts that describe a module: its description, its tables, and the data of its segments, as images where they make good ones
    /// ([`memory_images`]). `bytes` is its binary, `page` the largest page of the machines that are to map the file, a power of two of at most
    /// [`crate::types::PAGE_SIZE`].
    ///
    /// # Errors
    /// `Malformed` when a segment lies outside of the binary.
    ///
    /// # Panics
    /// When `page` is not such a number.
    pub fn contents(info: &ModuleInfo, bytes: &[u8], page: u64) -> Result<Vec<Content>, ArtifactError> {
        let outside = || ArtifactError::Malformed("a segment lies outside");
        let mut info = info.clone();
        info.custom_sections.clear();
        let (mut images, mut image_bytes) = (Vec::new(), Vec::new());
        for image in memory_images(&info, page) {
            let start = image_bytes.len();
            image_bytes.append(&mut image.content(bytes).ok_or_else(outside)?);
            images.push(Image { memory: image.memory, start: image.range.start, bytes: start..image_bytes.len() });
        }
        let (mut data, mut segments, mut needed) = (Vec::new(), Vec::new(), 0);
        for segment in info.data.values() {
            let content = bytes.get(segment.bytes.clone()).ok_or_else(outside)?;
            let start = data.len();
            // Once an instance is made, an active segment is as one without content.
            let kind = match &segment.kind {
                DataKind::Active { memory, .. } if images.iter().any(|image| image.memory == *memory) => {
                    DataKind::Passive
                }
                kind => {
                    data.extend_from_slice(content);
                    needed = segments.len() + 1;
                    kind.clone()
                }
            };
            segments.push(DataSegment { kind, bytes: start..data.len() });
        }
        segments.truncate(needed);
        info.data = segments.into_iter().collect();
        let tables = [
            (Part::Funcs, info.funcs.bytes().clone()),
            (Part::Escaping, info.escaping.bytes().clone()),
            (Part::ElemFuncs, info.elem_funcs.bytes().clone()),
            (Part::Bodies, info.bodies.bytes().clone()),
            (Part::NameRows, info.func_names.rows().bytes().clone()),
            (Part::NameText, info.func_names.text().clone()),
            (Part::Data, data.into()),
            (Part::Images, image_bytes.into()),
        ];
        let description = Self { info, images };
        let description = postcard::to_stdvec(&description);
        let description = description.map_err(|_| ArtifactError::Malformed("the module has no description"))?;
        let first = Content { part: Part::Description, bytes: description.into() };
        Ok(std::iter::once(first).chain(tables.map(|(part, bytes)| Content { part, bytes })).collect())
    }

    /// Reads the parts back; `part` gives the bytes of a part. Everything that an index could lead astray is compared.
    ///
    /// # Errors
    /// `Malformed` when they do not fit each other.
    pub fn from_parts(part: impl Fn(Part) -> Bytes) -> Result<Self, ArtifactError> {
        let mut this: Self = postcard::from_bytes(&part(Part::Description))
            .map_err(|_| ArtifactError::Malformed("its description cannot be read"))?;
        let short = ArtifactError::Malformed("a table ends within a row");
        let info = &mut this.info;
        let tables = (|| {
            info.funcs = Table::from_bytes(part(Part::Funcs))?;
            info.escaping = Table::from_bytes(part(Part::Escaping))?;
            info.elem_funcs = Table::from_bytes(part(Part::ElemFuncs))?;
            info.bodies = Table::from_bytes(part(Part::Bodies))?;
            info.func_names = FuncNames::from_parts(Table::from_bytes(part(Part::NameRows))?, part(Part::NameText));
            Some(())
        })();
        tables.ok_or(short)?;
        if info.imported_funcs.checked_add(info.bodies.len()) != Some(info.funcs.len()) {
            return Err(ArtifactError::Malformed("its functions and their bodies differ in number"));
        }
        if !this.images.iter().all(|image| image.fits(&this.info)) {
            return Err(ArtifactError::Malformed("an image does not fit its memory"));
        }
        Ok(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Limits, MemoryType};

    fn header() -> Header {
        let file_size = (HEADER_OFFSET + HEADER_SIZE + 600) as u64;
        let hot_size = file_size - 200;
        let part = |part: &Part| match part.half() {
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
            parts: Part::ALL.iter().map(part).collect(),
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

    #[test]
    fn images_beyond_their_memory_are_refused() {
        let ty = MemoryType { limits: Limits { min: 1, max: None } };
        let info =
            || ModuleInfo { memories: [ty, ty].into_iter().collect(), imported_memories: 1, ..ModuleInfo::default() };
        let read = |memory: u32, start: u64, bytes: Range<usize>| {
            let this = Description { info: info(), images: vec![Image { memory: MemoryIndex(memory), start, bytes }] };
            let description: Bytes = postcard::to_stdvec(&this).expect("it can be written").into();
            let part = |part| if part == Part::Description { description.clone() } else { Vec::new().into() };
            Description::from_parts(part).map(|this| this.images.len())
        };
        assert_eq!(read(1, 4096, 0..61_440).ok(), Some(1));
        for (memory, start, end) in [(0, 0, 4096), (2, 0, 4096), (1, 4096, 65_536), (1, u64::MAX, 4096)] {
            assert!(matches!(read(memory, start, 0..end), Err(ArtifactError::Malformed(_))), "{memory} {start} {end}");
        }
    }
}
