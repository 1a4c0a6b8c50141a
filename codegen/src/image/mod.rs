//! From the objects of a module to an artefact: one image of its code, at fixed distances, in an ELF file.
//!
//! [`link`] lays the objects' code and constants out and resolves everything that refers to something ([`relocation`]), so that an image runs wherever it is mapped,
//! as it is; [`island`] helps calls that do not reach. [`frames`] makes one table of the objects' call frame information. [`partial`] lets the image in an artefact grow. [`elf`] writes an image, with the parts of an artefact that
//! are not the linker's, to a file that debuggers and profilers can read.
//!
//! Nothing here needs LLVM, nor a processor of the kind that the code is for.

mod elf;
mod frames;
mod island;
pub(crate) mod link;
mod partial;
mod relocation;

pub use elf::{File, write};
pub use partial::PartialArtifact;

use crate::error::Error;
use crate::ir::context::Arch;
use frames::Frames;
use std::borrow::Cow;
use std::collections::HashMap;
use wasmo_abi::artifact::{Header, Part, ThunkOffsets};
use wasmo_abi::code::{FunctionRange, UnwindTable};
use wasmo_abi::index::{EntityIndex, FuncIndex, TypeIndex};
use wasmo_abi::module::{EntityRef, ModuleInfo};
use wasmo_abi::offsets::WasmOffsets;
use wasmo_abi::symbol;
use wasmo_abi::table::{Bytes, Row, Table};
use wasmo_abi::tier::NO_CODE;

/// A module's code and what it refers to, linked. Offsets are in bytes from the beginning of the text.
#[derive(Debug)]
pub struct LinkedImage {
    arch: Arch,
    /// Constants and jump tables. It ends, but for padding, where the text begins: see [`LinkedImage::rodata_distance`].
    rodata: Vec<u8>,
    /// How far before the text it begins.
    rodata_distance: u64,
    /// The machine code.
    text: Vec<u8>,
    /// How to unwind it.
    frames: Frames,
    /// The functions and thunks, as [`wasmo_abi::code::CodeUnit::functions`].
    pub functions: Table<FunctionRange>,
    /// As [`wasmo_abi::code::CodeUnit::wasm_offsets`].
    pub wasm_offsets: WasmOffsets,
    /// The offset of each defined function's code, in order; [`NO_CODE`] for those that have none.
    pub entries: Table<u32>,
    /// The offsets of the thunks of each type.
    pub thunks: Table<ThunkOffsets>,
}

/// A name for a piece of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Offset of its first byte.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// The name.
    pub name: Cow<'a, str>,
}

/// Alignment of the constants' beginning, and of their end: that of the widest, and of cache lines.
const RODATA_ALIGN: u64 = 64;

impl LinkedImage {
    /// An image without code.
    fn empty(arch: Arch, counts: link::Counts) -> Self {
        Self {
            arch,
            rodata: Vec::new(),
            rodata_distance: 0,
            text: Vec::new(),
            frames: Frames::default(),
            functions: Table::default(),
            wasm_offsets: WasmOffsets::default(),
            entries: std::iter::repeat_n(NO_CODE, counts.defined).collect(),
            thunks: std::iter::repeat_n(link::NO_THUNKS, counts.types).collect(),
        }
    }

    /// The image in an artefact with this header, of which `part` gives the parts.
    ///
    /// # Errors
    /// `Internal` when the parts do not fit each other.
    fn read(arch: Arch, header: &Header, part: impl Fn(Part) -> Bytes) -> Result<Self, Error> {
        fn table<T: Row>(bytes: Bytes) -> Result<Table<T>, Error> {
            Table::from_bytes(bytes).ok_or_else(|| Error::internal("a table of an artefact ends within a row"))
        }
        let (rodata, text) = (header.part(Part::Rodata), header.part(Part::Text));
        let distance = if rodata.is_empty() { Some(0) } else { text.start.checked_sub(rodata.start) };
        let distance = distance.filter(|&distance| distance >= rodata.len());
        let mut frames = Frames::default();
        let eh_frame_address = header.part(Part::EhFrame).start as u64;
        let unwind = UnwindTable {
            eh_frame: part(Part::EhFrame),
            eh_frame_address,
            text_address: text.start as u64,
            index: None,
        };
        frames.add(&unwind, 0)?;
        Ok(Self {
            arch,
            rodata: part(Part::Rodata).to_vec(),
            rodata_distance: distance.ok_or_else(|| Error::internal("an artefact's constants overlap its code"))?
                as u64,
            text: part(Part::Text).to_vec(),
            frames,
            functions: table(part(Part::Functions))?,
            wasm_offsets: WasmOffsets::from_bytes(part(Part::WasmOffsets)),
            entries: table(part(Part::Entries))?,
            thunks: table(part(Part::Thunks))?,
        })
    }

    /// What the address of an image's contents must be a multiple of. On AArch64, instructions hold the lowest 12 bits of addresses.
    pub const ALIGN: u64 = if cfg!(target_arch = "aarch64") { 4096 } else { RODATA_ALIGN };

    /// Where the call frame information is taken to be, the text being at 0, and the table by which it is searched.
    const FRAMES: u64 = 1 << 30;
    const FRAMES_INDEX: u64 = (1 << 30) + (1 << 29);

    /// The size of the machine code in bytes.
    pub fn text_size(&self) -> usize {
        self.text.len()
    }

    /// The size of what code only reads in bytes.
    pub fn rodata_size(&self) -> usize {
        self.rodata.len()
    }

    /// What is to be executed: constants, and from [`LinkedImage::text_offset`] on the machine code. It runs at any address that is a multiple of [`LinkedImage::ALIGN`].
    pub fn contents(&self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(self.text_offset() + self.text.len());
        let distance = usize::try_from(self.rodata_distance).unwrap_or(usize::MAX);
        contents.resize(self.text_offset().saturating_sub(distance), 0);
        contents.extend_from_slice(&self.rodata);
        contents.resize(self.text_offset(), 0);
        contents.extend_from_slice(&self.text);
        contents
    }

    /// Where the machine code begins in [`LinkedImage::contents`].
    pub fn text_offset(&self) -> usize {
        let distance = if self.rodata.is_empty() { 0 } else { self.rodata_distance.next_multiple_of(Self::ALIGN) };
        usize::try_from(distance).unwrap_or(usize::MAX)
    }

    /// The call frame information, as [`wasmo_abi::code::CodeUnit::unwind`] has it.
    ///
    /// # Errors
    /// `Limit` when there is too much code.
    pub fn unwind(&self) -> Result<UnwindTable, Error> {
        let section = self.frames.section(Self::FRAMES, 0)?;
        let header = self.frames.header(Self::FRAMES_INDEX, Self::FRAMES, 0)?;
        Ok(UnwindTable {
            eh_frame: section.into(),
            eh_frame_address: Self::FRAMES,
            text_address: 0,
            index: Some((header.into(), Self::FRAMES_INDEX)),
        })
    }

    /// The size of the call frame information in bytes, without the table by which it is searched.
    pub fn eh_frame_size(&self) -> usize {
        self.frames.size()
    }

    /// The largest page that a machine of this architecture may have, in bytes: what is mapped with rights of its own begins at a multiple.
    pub fn page_size(&self) -> u64 {
        self.arch.page_size()
    }

    /// Names for all code, for debuggers and profilers: a function is called as the name section says, or as it is exported, or by its number.
    pub fn symbols<'a>(&self, info: &'a ModuleInfo) -> Vec<Symbol<'a>> {
        let mut exports: HashMap<FuncIndex, &str> = HashMap::new();
        for export in &info.exports {
            if let EntityRef::Func(func) = export.entity {
                exports.entry(func).or_insert(&export.name);
            }
        }
        let mut thunks = HashMap::new();
        for (position, offsets) in self.thunks.iter().enumerate() {
            let ty = TypeIndex::from_position(position);
            thunks.insert(offsets.enter, symbol::enter(ty));
            thunks.insert(offsets.exit, symbol::exit(ty));
        }
        let name = |range: &FunctionRange| match range.func {
            Some(func) => match info.func_names.get(func).or_else(|| exports.get(&func).copied()) {
                Some(name) => readable(name),
                None => Cow::Owned(symbol::func(func)),
            },
            None => thunks.get(&range.offset).map_or(Cow::Borrowed("thunk"), |name| Cow::Owned(name.clone())),
        };
        let symbol = |range: FunctionRange| Symbol { offset: range.offset, size: range.size, name: name(&range) };
        self.functions.iter().map(symbol).collect()
    }
}

/// A function's name, demangled if it is one of Rust's. The guest may have chosen any characters; those that would end the name, or that control a terminal, are replaced.
fn readable(name: &str) -> Cow<'_, str> {
    let name = match rustc_demangle::try_demangle(name) {
        Ok(demangled) => Cow::Owned(format!("{demangled:#}")),
        Err(_) => Cow::Borrowed(name),
    };
    if name.is_empty() {
        return Cow::Borrowed("?");
    }
    if name.contains(char::is_control) { Cow::Owned(name.replace(char::is_control, "?")) } else { name }
}

impl Arch {
    fn page_size(self) -> u64 {
        match self {
            Self::X86_64 => 4 << 10,
            Self::Aarch64 => 64 << 10,
        }
    }
}

/// The next multiple of `align`, a power of two, at or after `value`.
fn align_up(value: u64, align: u64) -> Option<u64> {
    Some(value.checked_add(align.checked_sub(1)?)? & !(align - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_a_terminal() {
        assert_eq!(readable("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE"), "core::fmt::Formatter::pad");
        assert_eq!(readable("a\0b\x1b[31m"), "a?b?[31m");
        assert_eq!(readable("main"), "main");
        assert_eq!(readable(""), "?");
    }

    #[test]
    fn alignment_does_not_overflow() {
        assert_eq!(align_up(1, 64), Some(64));
        assert_eq!(align_up(64, 64), Some(64));
        assert_eq!(align_up(u64::MAX, 64), None);
        assert_eq!(align_up(0, 0), None);
    }
}
