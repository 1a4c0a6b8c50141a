//! [`Object`]: one compiled partition, and what is read from its ELF file before it is linked.
//!
//! The facts that the runtime needs are in sections of their own. They are read here once, relative to the object's single text section, and hidden from the linker, which would otherwise parse and place
//! them too:
//!
//! * symbols: where each function and thunk begins, and its size;
//! * `.wasm_offsets`: which operator an instruction belongs to; the translator sets each operator's line to its offset in the module's bytes (0 when it has none), and
//!   `shim/emitter.cpp` writes the lines;
//! * `.eh_frame`: relocated, and kept as it is.

use crate::error::{Error, ErrorKind};
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, Rela, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{LittleEndian as ElfLittle, SectionIndex};
use wasmo_abi::code::{FunctionRange, UnwindTable};
use wasmo_abi::index::{FuncIndex, TypeIndex};
use wasmo_abi::offsets::WasmOffset;
use wasmo_abi::symbol;
use wasmo_abi::tier::LoopIndex;

/// One compiled partition of a module.
#[derive(Debug)]
pub struct Object {
    pub(crate) contents: Contents,
    /// Size of the text section in bytes.
    pub(crate) text_size: usize,
    /// The functions and thunks in it, by ascending offset.
    pub(crate) symbols: Vec<TextSymbol>,
    /// See [`wasmo_abi::code::CodeUnit::wasm_offsets`].
    pub(crate) wasm_offsets: Vec<WasmOffset>,
    /// See [`UnwindTable`].
    pub(crate) unwind: UnwindTable,
}

/// What is to be linked.
#[derive(Debug)]
pub(crate) enum Contents {
    /// An ELF file; what was read is hidden.
    Elf(Vec<u8>),
    /// Machine code that refers to nothing but itself.
    Code(Vec<u8>),
}

/// A symbol in the text section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextSymbol {
    pub(crate) kind: SymbolKind,
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

/// What a symbol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SymbolKind {
    /// A defined function.
    Func(FuncIndex),
    /// A variant of a defined function that begins at a loop.
    Osr(FuncIndex, LoopIndex),
    /// A copy of a defined function that only its unit calls; there may be several.
    Copy(FuncIndex),
    /// The thunk through which the host enters functions of a type.
    Enter(TypeIndex),
    /// The thunk through which code leaves for host functions of a type.
    Exit(TypeIndex),
}

impl SymbolKind {
    /// The function whose code it names.
    pub(crate) fn func(self) -> Option<FuncIndex> {
        match self {
            Self::Func(func) | Self::Osr(func, _) | Self::Copy(func) => Some(func),
            Self::Enter(_) | Self::Exit(_) => None,
        }
    }

    /// The symbol's name.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Func(func) => symbol::func(func),
            Self::Osr(func, at) => symbol::osr(func, at),
            Self::Copy(func) => symbol::copy(func),
            Self::Enter(ty) => symbol::enter(ty),
            Self::Exit(ty) => symbol::exit(ty),
        }
    }

    /// What a symbol of this name names.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let ty = |prefix| Some(TypeIndex(name.strip_prefix(prefix)?.parse().ok()?));
        symbol::parse_func(name)
            .map(Self::Func)
            .or_else(|| symbol::parse_osr(name).map(|(func, at)| Self::Osr(func, at)))
            .or_else(|| symbol::parse_copy(name).map(Self::Copy))
            .or_else(|| ty("wasm_enter").map(Self::Enter))
            .or_else(|| ty("wasm_exit").map(Self::Exit))
    }
}

/// The address that the `.eh_frame` section is taken to begin at, the text being at 0: beyond any text, and within reach of the 32-bit displacements by
/// which the section refers to it.
pub(crate) const SECTION_ADDRESS: u64 = 1 << 30;

type Header = FileHeader64<ElfLittle>;
const ENDIAN: ElfLittle = ElfLittle;

impl Object {
    /// Reads an object file that LLVM has made.
    ///
    /// # Errors
    /// `Internal` when the file is not what the rest of this crate makes LLVM write.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Result<Self, Error> {
        let parsed = Parsed::new(&bytes)?;
        let symbols = parsed.text_symbols()?;
        let wasm_offsets = parsed.wasm_offsets()?;
        let unwind = parsed.unwind_table()?;
        let text_size = parsed.text_size;
        let hidden = parsed.hidden_headers()?;
        for header in hidden {
            // The type is the second word of a section header; SHT_NULL marks a header without a section.
            let ty = bytes.get_mut(header + 4..header + 8).ok_or_else(|| malformed("a section header"))?;
            ty.copy_from_slice(&elf::SHT_NULL.0.to_le_bytes());
        }
        Ok(Self { contents: Contents::Elf(bytes), text_size, symbols, wasm_offsets, unwind })
    }

    /// An object that is nothing but machine code, with what is known of it; `eh_frame` is as [`SECTION_ADDRESS`] says.
    pub(crate) fn of_code(
        code: Vec<u8>,
        symbols: Vec<TextSymbol>,
        wasm_offsets: Vec<WasmOffset>,
        eh_frame: Vec<u8>,
    ) -> Self {
        let unwind =
            UnwindTable { eh_frame: eh_frame.into(), eh_frame_address: SECTION_ADDRESS, text_address: 0, index: None };
        Self { text_size: code.len(), contents: Contents::Code(code), symbols, wasm_offsets, unwind }
    }

    /// The ELF file.
    ///
    /// # Errors
    /// An internal one when there is none.
    pub(crate) fn elf(&self) -> Result<&[u8], Error> {
        match &self.contents {
            Contents::Elf(bytes) => Ok(bytes),
            Contents::Code(_) => Err(Error::internal("an ELF file is wanted of what is none")),
        }
    }

    /// The size of what is to be linked in bytes.
    pub(crate) fn size(&self) -> usize {
        match &self.contents {
            Contents::Elf(bytes) | Contents::Code(bytes) => bytes.len(),
        }
    }

    /// The table of functions for [`wasmo_abi::code::CodeUnit`].
    pub(crate) fn functions(&self) -> Vec<FunctionRange> {
        self.symbols
            .iter()
            .map(|symbol| FunctionRange { offset: symbol.offset, size: symbol.size, func: symbol.kind.func() })
            .collect()
    }
}

fn malformed(what: impl std::fmt::Display) -> Error {
    Error::internal(format!("LLVM made an object that wasmo cannot read: {what}"))
}

/// An object file with its tables located.
struct Parsed<'data> {
    bytes: &'data [u8],
    header: &'data Header,
    sections: SectionTable<'data, Header>,
    symbols: SymbolTable<'data, Header>,
    text: SectionIndex,
    text_size: usize,
}

impl<'data> Parsed<'data> {
    fn new(bytes: &'data [u8]) -> Result<Self, Error> {
        let header = Header::parse(bytes).map_err(malformed)?;
        let sections = header.sections(ENDIAN, bytes).map_err(malformed)?;
        let symbols = sections.symbols(ENDIAN, bytes, elf::SHT_SYMTAB).map_err(malformed)?;
        let mut text = None;
        for (index, section) in sections.enumerate() {
            let executable = section.sh_flags(ENDIAN).contains(elf::SHF_EXECINSTR);
            if executable && section.sh_size(ENDIAN) > 0 && text.replace((index, section)).is_some() {
                return Err(malformed("it has more than one text section"));
            }
        }
        let (text, section) = text.ok_or_else(|| malformed("it has no text section"))?;
        let text_size =
            u32::try_from(section.sh_size(ENDIAN)).map_err(|_| Error::new(ErrorKind::Limit, "code of 4 GiB"))? as usize;
        Ok(Self { bytes, header, sections, symbols, text, text_size })
    }

    /// The functions and thunks by ascending offset.
    fn text_symbols(&self) -> Result<Vec<TextSymbol>, Error> {
        let mut found = Vec::new();
        for symbol in self.symbols.iter() {
            if symbol.st_type() != elf::STT_FUNC || usize::from(symbol.st_shndx(ENDIAN).0) != self.text.0 {
                continue;
            }
            let name = symbol.name(ENDIAN, self.symbols.strings()).map_err(malformed)?;
            let name = std::str::from_utf8(name).map_err(malformed)?;
            let kind = SymbolKind::parse(name).ok_or_else(|| malformed(format!("it defines {name}")))?;
            let word = |value: u64| u32::try_from(value).map_err(malformed);
            found.push(TextSymbol {
                kind,
                offset: word(symbol.st_value(ENDIAN))?,
                size: word(symbol.st_size(ENDIAN))?,
            });
        }
        found.sort_by_key(|symbol| symbol.offset);
        Ok(found)
    }

    /// The content of a section, if there is one of this name.
    fn section(&self, name: &str) -> Result<Option<(SectionIndex, &'data [u8])>, Error> {
        let Some((index, section)) = self.sections.section_by_name(ENDIAN, name.as_bytes()) else { return Ok(None) };
        Ok(Some((index, section.data(ENDIAN, self.bytes).map_err(malformed)?)))
    }

    /// A copy of a section with its relocations applied, the section being at `address` and the text at 0. Relocations against other sections, such as
    /// string tables, are left alone.
    fn relocated(&self, name: &str, address: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some((index, data)) = self.section(name)? else { return Ok(None) };
        let mut data = data.to_vec();
        for section in self.sections.iter() {
            if section.sh_type(ENDIAN) != elf::SHT_RELA || section.info_link(ENDIAN) != index {
                continue;
            }
            let Some((relocations, _)) = section.rela(ENDIAN, self.bytes).map_err(malformed)? else { continue };
            for relocation in relocations {
                let symbol =
                    relocation.symbol(ENDIAN, false).ok_or_else(|| malformed("a relocation without a symbol"))?;
                let symbol = self.symbols.symbol(symbol).map_err(malformed)?;
                if usize::from(symbol.st_shndx(ENDIAN).0) != self.text.0 {
                    continue;
                }
                let offset = relocation.r_offset(ENDIAN);
                let target = symbol.st_value(ENDIAN).wrapping_add_signed(relocation.r_addend(ENDIAN));
                let relative = target.wrapping_sub(address.wrapping_add(offset));
                let (value, width) = match (self.header.e_machine(ENDIAN), relocation.r_type(ENDIAN, false)) {
                    (elf::EM_X86_64, elf::R_X86_64_64) | (elf::EM_AARCH64, elf::R_AARCH64_ABS64) => (target, 8),
                    (elf::EM_X86_64, elf::R_X86_64_32) | (elf::EM_AARCH64, elf::R_AARCH64_ABS32) => (target, 4),
                    (elf::EM_X86_64, elf::R_X86_64_PC64) | (elf::EM_AARCH64, elf::R_AARCH64_PREL64) => (relative, 8),
                    (elf::EM_X86_64, elf::R_X86_64_PC32) | (elf::EM_AARCH64, elf::R_AARCH64_PREL32) => (relative, 4),
                    (_, ty) => return Err(malformed(format!("relocation {ty} in {name}"))),
                };
                let place = usize::try_from(offset)
                    .ok()
                    .and_then(|offset| data.get_mut(offset..)?.get_mut(..width))
                    .ok_or_else(|| malformed(format!("a relocation beyond {name}")))?;
                place.copy_from_slice(&value.to_le_bytes()[..width]);
            }
        }
        Ok(Some(data))
    }

    fn unwind_table(&self) -> Result<UnwindTable, Error> {
        let eh_frame = self.relocated(".eh_frame", SECTION_ADDRESS)?;
        Ok(UnwindTable {
            eh_frame: eh_frame.unwrap_or_default().into(),
            eh_frame_address: SECTION_ADDRESS,
            text_address: 0,
            index: None,
        })
    }

    /// The rows from code to wasm.
    fn wasm_offsets(&self) -> Result<Vec<WasmOffset>, Error> {
        let Some((_, rows)) = self.section(".wasm_offsets")? else { return Ok(Vec::new()) };
        let word = |bytes: [u8; 4]| u32::from_le_bytes(bytes);
        let rows = rows.as_chunks::<8>().0.iter().map(|&[a, b, c, d, e, f, g, h]| WasmOffset {
            code: word([a, b, c, d]),
            wasm: wasm_offset(word([e, f, g, h])),
        });
        Ok(merge(rows.collect()))
    }

    /// Where in the file the headers of the sections are that the linker shall not see.
    fn hidden_headers(&self) -> Result<Vec<usize>, Error> {
        let start = usize::try_from(self.header.e_shoff(ENDIAN)).map_err(malformed)?;
        let size = usize::from(self.header.e_shentsize(ENDIAN));
        let mut hidden = Vec::new();
        for (index, section) in self.sections.enumerate() {
            let name = self.sections.section_name(ENDIAN, section).map_err(malformed)?;
            let name = name.strip_prefix(b".rela").unwrap_or(name);
            if matches!(name, b".wasm_offsets" | b".eh_frame" | b".comment") {
                hidden.push(start + index.0 * size);
            }
        }
        Ok(hidden)
    }
}

/// The offset in the module that a line stands for.
fn wasm_offset(line: u32) -> u32 {
    if line == 0 { u32::MAX } else { line }
}

/// Drops rows that are overwritten at once or that repeat the row before.
fn merge(rows: Vec<WasmOffset>) -> Vec<WasmOffset> {
    let mut merged: Vec<WasmOffset> = Vec::with_capacity(rows.len());
    for row in rows {
        if merged.last().is_some_and(|last| last.code == row.code) {
            merged.pop();
        }
        if merged.last().is_none_or(|last| last.wasm != row.wasm) {
            merged.push(row);
        }
    }
    merged.shrink_to_fit();
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_the_last_row_of_an_address_and_the_first_of_equals() {
        let row = |code, wasm| WasmOffset { code, wasm };
        let rows = vec![row(0, 7), row(0, 8), row(4, 8), row(6, 9), row(6, 8), row(10, 9)];
        assert_eq!(merge(rows), [row(0, 8), row(10, 9)]);
    }

    #[test]
    fn names_of_symbols_are_read_back() {
        for kind in [
            SymbolKind::Func(FuncIndex(7)),
            SymbolKind::Osr(FuncIndex(3), LoopIndex(12)),
            SymbolKind::Enter(TypeIndex(0)),
            SymbolKind::Exit(TypeIndex(12)),
        ] {
            assert_eq!(SymbolKind::parse(&kind.name()), Some(kind));
        }
        assert_eq!(SymbolKind::parse("memcpy"), None);
    }
}
