//! The file: an artefact ([`wasmo_abi::artifact`]) in the form of an ELF shared object.
//!
//! ```text
//! offset 0   ELF header, program headers
//! 512        the artefact's header
//!            hot parts: tables, then .rodata, which ends just before .text
//! page       .text
//! page       memory images
//! page       cold parts: tables, then .eh_frame, .eh_frame_hdr
//!            .symtab, .strtab, .shstrtab, section headers
//! ```
//!
//! An address is an offset in the file, in all of it. The loader of wasmo maps the file as a whole and looks at the artefact's header only; segments, sections and
//! symbols are for debuggers, profilers and disassemblers.

use super::{LinkedImage, RODATA_ALIGN, Symbol, align_up};
use crate::error::{Error, ErrorKind};
use object::elf;
use std::ops::Range;
use wasmo_abi::artifact::{self, Content, Half, Part};

const HEADER_SIZE: u64 = 64;
const SEGMENT_SIZE: u64 = 56;
const SECTION_HEADER_SIZE: usize = 64;
const SYMBOL_SIZE: usize = 24;
/// Read-only, code, call frame information, its header, and what says that stacks are not executable.
const SEGMENTS: u16 = 5;

const _: () = assert!(HEADER_SIZE + SEGMENTS as u64 * SEGMENT_SIZE <= artifact::HEADER_OFFSET as u64);

/// A file that is complete but for the artefact's header, for which [`artifact::HEADER_SIZE`] bytes at [`artifact::HEADER_OFFSET`] are left zero.
#[derive(Debug)]
pub struct File {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Offset and size of each part, in the order of [`Part::ALL`]; as [`artifact::Header::parts`].
    pub parts: [(u64, u64); Part::COUNT],
    /// Size of the first half; as [`artifact::Header::hot_size`].
    pub hot_size: u64,
}

/// Writes `image`, the parts in `contents` that are not the linker's (all that are not there are empty), and `symbols`, of which there may be none.
///
/// # Errors
/// `Limit` when the file is too large for its own distances.
pub fn write(image: &LinkedImage, contents: &[Content], symbols: &[Symbol<'_>]) -> Result<File, Error> {
    let page = image.page_size();
    let mut file = Writer { bytes: Vec::new(), headers: vec![SectionHeader::default()], names: vec![0] };
    file.pad(artifact::HEADER_OFFSET as u64)?;
    file.put(".wasmo.header", Kind::Data, 64, &[0; artifact::HEADER_SIZE])?;
    let (mut placed, mut hot_size, mut text_section) = (Placed(Vec::with_capacity(Part::ALL.len())), None, 0);
    for part in Part::ALL {
        if part.half() == Half::Cold && hot_size.is_none() {
            // Nothing but code is mapped with the right to be executed.
            file.align(page)?;
            hot_size = Some(file.len());
        }
        let given = contents.iter().find(|content| content.part == part).map_or(&[][..], |content| &content.bytes);
        let (kind, align, made);
        let bytes: &[u8] = match part {
            Part::Rodata => {
                let end = file.len().checked_add(image.rodata_distance).ok_or_else(too_large)?;
                let text = align_up(end, page).ok_or_else(too_large)?;
                file.pad(text - image.rodata_distance)?;
                (kind, align) = (Kind::Data, RODATA_ALIGN);
                &image.rodata
            }
            Part::Text => {
                text_section = file.headers.len();
                (kind, align) = (Kind::Code, page);
                &image.text
            }
            Part::Images => {
                (kind, align) = (Kind::Unmapped, page);
                given
            }
            Part::EhFrame => {
                (kind, align) = (Kind::Data, TABLE_ALIGN);
                file.align(align)?;
                made = image.frames.section(file.len(), placed.start(Part::Text))?;
                &made
            }
            Part::EhFrameHdr => {
                (kind, align) = (Kind::Data, TABLE_ALIGN);
                file.align(align)?;
                made = image.frames.header(file.len(), placed.start(Part::EhFrame), placed.start(Part::Text))?;
                &made
            }
            Part::Entries => {
                (kind, align) = (Kind::Data, TABLE_ALIGN);
                image.entries.bytes()
            }
            Part::Thunks => {
                (kind, align) = (Kind::Data, TABLE_ALIGN);
                image.thunks.bytes()
            }
            Part::Functions => {
                (kind, align) = (Kind::Unmapped, TABLE_ALIGN);
                image.functions.bytes()
            }
            Part::WasmOffsets => {
                (kind, align) = (Kind::Unmapped, TABLE_ALIGN);
                image.wasm_offsets.bytes()
            }
            _ => {
                kind = if part.half() == Half::Hot { Kind::Data } else { Kind::Unmapped };
                align = TABLE_ALIGN;
                given
            }
        };
        let range = file.put(part.section(), kind, align, bytes)?;
        placed.0.push((part, range));
    }
    file.put_symbols(symbols, placed.start(Part::Text), text_section)?;
    let headers = file.put_section_headers()?;
    file.put_front(image, &placed, headers)?;
    let parts = Part::ALL.map(|part| {
        let range = placed.range(part);
        (range.start, range.end - range.start)
    });
    Ok(File { parts, hot_size: hot_size.unwrap_or(file.len()), bytes: file.bytes })
}

/// Alignment of tables.
const TABLE_ALIGN: u64 = 8;

/// Where the parts lie that have been written.
struct Placed(Vec<(Part, Range<u64>)>);

impl Placed {
    fn range(&self, part: Part) -> Range<u64> {
        self.0.iter().find(|(other, _)| *other == part).map_or(0..0, |(_, range)| range.clone())
    }

    fn start(&self, part: Part) -> u64 {
        self.range(part).start
    }
}

fn too_large() -> Error {
    Error::new(ErrorKind::Limit, "the artefact is too large")
}

/// What a section holds, for those who read section headers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    /// Mapped with the code.
    Data,
    /// Only in the file.
    Unmapped,
}

#[derive(Default)]
struct SectionHeader {
    name: u32,
    ty: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entry_size: u64,
}

/// A file that grows at its end.
struct Writer {
    bytes: Vec<u8>,
    headers: Vec<SectionHeader>,
    /// The names of sections, each with a zero after it.
    names: Vec<u8>,
}

impl Writer {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Appends zeros up to the offset `end`.
    fn pad(&mut self, end: u64) -> Result<(), Error> {
        let end = usize::try_from(end).map_err(|_| too_large())?;
        self.bytes.resize(end.max(self.bytes.len()), 0);
        Ok(())
    }

    fn align(&mut self, align: u64) -> Result<(), Error> {
        self.pad(align_up(self.len(), align).ok_or_else(too_large)?)
    }

    /// Appends a section.
    fn put(&mut self, name: &str, kind: Kind, align: u64, bytes: &[u8]) -> Result<Range<u64>, Error> {
        self.align(align)?;
        let start = self.len();
        self.bytes.extend_from_slice(bytes);
        let flags = match kind {
            Kind::Code => elf::SHF_ALLOC | elf::SHF_EXECINSTR,
            Kind::Data => elf::SHF_ALLOC,
            Kind::Unmapped => elf::SectionFlags(0),
        };
        let header = SectionHeader {
            ty: elf::SHT_PROGBITS.0,
            flags: flags.0,
            address: if kind == Kind::Unmapped { 0 } else { start },
            offset: start,
            size: bytes.len() as u64,
            align,
            ..SectionHeader::default()
        };
        self.add_header(name, header)?;
        Ok(start..self.len())
    }

    fn add_header(&mut self, name: &str, header: SectionHeader) -> Result<(), Error> {
        let place = u32::try_from(self.names.len()).map_err(|_| too_large())?;
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(0);
        self.headers.push(SectionHeader { name: place, ..header });
        Ok(())
    }

    /// Appends the tables of symbols and of their names. All are local, since a guest may give two functions one name.
    fn put_symbols(&mut self, symbols: &[Symbol<'_>], text: u64, section: usize) -> Result<(), Error> {
        if symbols.is_empty() {
            return Ok(());
        }
        let section = u16::try_from(section).map_err(|_| too_large())?;
        let mut names = vec![0];
        let mut bytes = vec![0; SYMBOL_SIZE];
        for symbol in symbols {
            let name = u32::try_from(names.len()).map_err(|_| too_large())?;
            names.extend_from_slice(symbol.name.as_bytes());
            names.push(0);
            bytes.extend_from_slice(&name.to_le_bytes());
            // The binding STB_LOCAL is 0, as is the visibility STV_DEFAULT.
            bytes.extend_from_slice(&[elf::STT_FUNC.0, 0]);
            bytes.extend_from_slice(&section.to_le_bytes());
            bytes.extend_from_slice(&(text + u64::from(symbol.offset)).to_le_bytes());
            bytes.extend_from_slice(&u64::from(symbol.size).to_le_bytes());
        }
        let word = |value: usize| u32::try_from(value).map_err(|_| too_large());
        self.put(".symtab", Kind::Unmapped, 8, &bytes)?;
        let (strings, locals) = (word(self.headers.len())?, word(symbols.len() + 1)?);
        if let Some(header) = self.headers.last_mut() {
            header.ty = elf::SHT_SYMTAB.0;
            header.entry_size = SYMBOL_SIZE as u64;
            header.link = strings;
            header.info = locals;
        }
        self.put(".strtab", Kind::Unmapped, 1, &names)?;
        if let Some(header) = self.headers.last_mut() {
            header.ty = elf::SHT_STRTAB.0;
        }
        Ok(())
    }

    /// Appends the names of sections, and the headers of all; answers where the headers begin.
    fn put_section_headers(&mut self) -> Result<u64, Error> {
        self.add_header(".shstrtab", SectionHeader { ty: elf::SHT_STRTAB.0, align: 1, ..SectionHeader::default() })?;
        let (offset, size) = (self.len(), self.names.len() as u64);
        self.bytes.extend_from_slice(&self.names);
        if let Some(header) = self.headers.last_mut() {
            (header.offset, header.size) = (offset, size);
        }
        self.align(8)?;
        let start = self.len();
        for header in &self.headers {
            for word in [header.name, header.ty] {
                self.bytes.extend_from_slice(&word.to_le_bytes());
            }
            for long in [header.flags, header.address, header.offset, header.size] {
                self.bytes.extend_from_slice(&long.to_le_bytes());
            }
            for word in [header.link, header.info] {
                self.bytes.extend_from_slice(&word.to_le_bytes());
            }
            for long in [header.align, header.entry_size] {
                self.bytes.extend_from_slice(&long.to_le_bytes());
            }
        }
        debug_assert_eq!(self.bytes.len() as u64 - start, (self.headers.len() * SECTION_HEADER_SIZE) as u64);
        Ok(start)
    }

    /// Fills in the ELF header and the program headers.
    fn put_front(&mut self, image: &LinkedImage, placed: &Placed, headers: u64) -> Result<(), Error> {
        let half = |value: usize| u16::try_from(value).map_err(|_| too_large());
        let mut front = Vec::new();
        front.extend_from_slice(b"\x7fELF");
        front.extend_from_slice(&[elf::ELFCLASS64.0, elf::ELFDATA2LSB.0, elf::EV_CURRENT.0, elf::ELFOSABI_SYSV.0]);
        front.extend_from_slice(&[0; 8]);
        front.extend_from_slice(&elf::ET_DYN.0.to_le_bytes());
        front.extend_from_slice(&image.arch.machine().0.to_le_bytes());
        front.extend_from_slice(&u32::from(elf::EV_CURRENT.0).to_le_bytes());
        for long in [0, HEADER_SIZE, headers] {
            front.extend_from_slice(&long.to_le_bytes());
        }
        // Neither architecture defines flags.
        front.extend_from_slice(&0_u32.to_le_bytes());
        let (count, last) = (half(self.headers.len())?, half(self.headers.len() - 1)?);
        #[allow(clippy::cast_possible_truncation, reason = "the sizes of headers are small constants")]
        for short in [HEADER_SIZE as u16, SEGMENT_SIZE as u16, SEGMENTS, SECTION_HEADER_SIZE as u16, count, last] {
            front.extend_from_slice(&short.to_le_bytes());
        }
        let (read, execute, write) = (elf::PF_R.0, elf::PF_X.0, elf::PF_W.0);
        let (text, frames, index) =
            (placed.range(Part::Text), placed.range(Part::EhFrame), placed.range(Part::EhFrameHdr));
        let page = image.page_size();
        let segments = [
            (elf::PT_LOAD, read, 0..text.start, page),
            (elf::PT_LOAD, read | execute, text, page),
            (elf::PT_LOAD, read, frames.start..index.end, page),
            (elf::PT_GNU_EH_FRAME, read, index, TABLE_ALIGN),
            (elf::PT_GNU_STACK, read | write, 0..0, 16),
        ];
        for (ty, flags, range, align) in segments {
            front.extend_from_slice(&ty.0.to_le_bytes());
            front.extend_from_slice(&flags.to_le_bytes());
            let (start, size) = (range.start, range.end - range.start);
            for long in [start, start, start, size, size, align] {
                front.extend_from_slice(&long.to_le_bytes());
            }
        }
        let place = self.bytes.get_mut(..front.len()).ok_or_else(|| Error::internal("a file without a header"))?;
        place.copy_from_slice(&front);
        Ok(())
    }
}
