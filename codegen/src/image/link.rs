//! From objects to a [`LinkedImage`].
//!
//! # The layout
//!
//! ```text
//! text - distance           text                        (page-aligned, wherever the image is mapped)
//! │ constants of object 0, 1, … │ text of object 0, 1, … │
//! ```
//!
//! A call or a reference to a constant is relative to the instruction, so that only distances matter, and on AArch64 the lowest 12 bits of addresses. Here the text
//! is taken to begin at [`TEXT_ADDRESS`].
//!
//! # Why not with JITLink
//!
//! LLVM's own linker would do it too, with a memory manager in C++ that pretends to place code at an address. But of what a linker does, little is needed here: nothing is
//! dynamic, all symbols are functions of the module, and eight kinds of relocations occur. So this is smaller than what it would take to make JITLink
//! do it, it needs no session, and it gives the call frame information and the tables in the order and form that the artefact wants.

use super::frames::Frames;
use super::relocation::{Fault, resolve};
use super::{LinkedImage, RODATA_ALIGN, align_up};
use crate::error::{Error, ErrorKind};
use crate::ir::context::Arch;
use crate::object::{Object, SymbolKind};
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, Rela, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{LittleEndian, SectionIndex};
use wasmo_abi::artifact::ThunkOffsets;
use wasmo_abi::code::{FunctionRange, WasmOffset};
use wasmo_abi::index::{EntityIndex, FuncIndex, TypeIndex};
use wasmo_abi::symbol;

/// Where the text is taken to begin: a multiple of every page size, with room for the constants before it.
const TEXT_ADDRESS: u64 = 1 << 32;
/// Code and constants are each kept below this size in bytes, so that distances have 32 bits.
const MAX_SIZE: u64 = 1 << 30;
/// Alignment of each object's text: that of functions on x86-64, and that of lines of the instruction cache at most.
const MIN_TEXT_ALIGN: u64 = 16;

type Header = FileHeader64<LittleEndian>;
const ENDIAN: LittleEndian = LittleEndian;

/// How many types, imported functions and defined functions a module has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) types: usize,
    pub(crate) imported: usize,
    pub(crate) defined: usize,
}

/// Links the objects of one module.
///
/// # Errors
/// `Internal` when the objects are not those of the module, or refer to something that cannot be resolved; `Limit` when that is too far away.
pub(crate) fn link(arch: Arch, objects: &[Object], counts: Counts) -> Result<LinkedImage, Error> {
    let inputs: Vec<Input<'_>> =
        objects.iter().map(|object| Input::new(&object.bytes, arch)).collect::<Result<_, _>>()?;
    let (mut text, mut rodata) = (Region::default(), Region::default());
    let mut placed = Vec::with_capacity(inputs.len());
    for input in &inputs {
        placed.push(input.place(&mut text, &mut rodata, arch)?);
    }
    let rodata_distance = align_up(rodata.bytes.len() as u64, RODATA_ALIGN).ok_or_else(too_large)?;
    let base = Base { text: TEXT_ADDRESS, rodata: TEXT_ADDRESS - rodata_distance };

    let mut frames = Frames::default();
    let tables = Tables::new(objects, &placed, counts, &mut frames)?;
    for (input, places) in inputs.iter().zip(&placed) {
        input.relocate(places, base, &tables.entries, counts, &mut text.bytes, &mut rodata.bytes, arch)?;
    }
    Ok(LinkedImage {
        arch,
        rodata: rodata.bytes,
        rodata_distance,
        text: text.bytes,
        frames,
        functions: tables.functions.into_iter().collect(),
        wasm_offsets: tables.wasm_offsets.into_iter().collect(),
        entries: tables.entries.into_iter().collect(),
        thunks: tables.thunks.into_iter().collect(),
    })
}

fn too_large() -> Error {
    Error::new(ErrorKind::Limit, "the module's code or its constants are too large")
}

fn malformed(what: impl std::fmt::Display) -> Error {
    Error::internal(format!("LLVM made an object that wasmo cannot link: {what}"))
}

/// Bytes of all objects, one after the other.
#[derive(Default)]
struct Region {
    bytes: Vec<u8>,
}

impl Region {
    /// Appends a section after bytes of `padding`; answers where it begins.
    fn append(&mut self, data: &[u8], align: u64, padding: u8) -> Result<u32, Error> {
        let start = align_up(self.bytes.len() as u64, align).ok_or_else(too_large)?;
        if start + data.len() as u64 > MAX_SIZE {
            return Err(too_large());
        }
        let start = u32::try_from(start).map_err(|_| too_large())?;
        self.bytes.resize(start as usize, padding);
        self.bytes.extend_from_slice(data);
        Ok(start)
    }
}

/// The addresses that the regions are taken to begin at.
#[derive(Clone, Copy)]
struct Base {
    text: u64,
    rodata: u64,
}

impl Base {
    fn address(self, place: Place) -> u64 {
        match place {
            Place::Text(offset) => self.text + u64::from(offset),
            Place::Rodata(offset) => self.rodata + u64::from(offset),
        }
    }
}

/// Where a section of an object went.
#[derive(Clone, Copy, Debug)]
enum Place {
    Text(u32),
    Rodata(u32),
}

/// Where the sections of an object went, by their index; `None` for those that were left out.
struct Places {
    sections: Vec<Option<Place>>,
    text: u32,
}

impl Places {
    fn get(&self, section: usize) -> Option<Place> {
        self.sections.get(section).copied().flatten()
    }
}

/// An object file, read.
struct Input<'data> {
    bytes: &'data [u8],
    sections: SectionTable<'data, Header>,
    symbols: SymbolTable<'data, Header>,
}

impl<'data> Input<'data> {
    fn new(bytes: &'data [u8], arch: Arch) -> Result<Self, Error> {
        let header = Header::parse(bytes).map_err(malformed)?;
        if header.e_machine(ENDIAN) != arch.machine() {
            return Err(malformed("it is for another architecture"));
        }
        let sections = header.sections(ENDIAN, bytes).map_err(malformed)?;
        let symbols = sections.symbols(ENDIAN, bytes, elf::SHT_SYMTAB).map_err(malformed)?;
        Ok(Self { bytes, sections, symbols })
    }

    /// Appends the object's sections to the regions.
    fn place(&self, text: &mut Region, rodata: &mut Region, arch: Arch) -> Result<Places, Error> {
        let mut places = Places { sections: Vec::with_capacity(self.sections.len()), text: 0 };
        for section in self.sections.iter() {
            let flags = section.sh_flags(ENDIAN);
            let wanted = section.sh_type(ENDIAN) != elf::SHT_NULL && flags.contains(elf::SHF_ALLOC);
            if !wanted || section.sh_size(ENDIAN) == 0 {
                places.sections.push(None);
                continue;
            }
            if section.sh_type(ENDIAN) != elf::SHT_PROGBITS || flags.contains(elf::SHF_WRITE) {
                let name = self.sections.section_name(ENDIAN, section).unwrap_or_default();
                return Err(malformed(format!("it has the section {}", String::from_utf8_lossy(name))));
            }
            let data = section.data(ENDIAN, self.bytes).map_err(malformed)?;
            let align = section.sh_addralign(ENDIAN).max(1);
            if !align.is_power_of_two() || align > RODATA_ALIGN {
                return Err(malformed(format!("a section is aligned to {align}")));
            }
            places.sections.push(Some(if flags.contains(elf::SHF_EXECINSTR) {
                places.text = text.append(data, align.max(MIN_TEXT_ALIGN), arch.filler())?;
                Place::Text(places.text)
            } else {
                Place::Rodata(rodata.append(data, align, 0)?)
            }));
        }
        Ok(places)
    }

    /// Resolves all relocations of the sections that were placed.
    #[allow(clippy::too_many_arguments, reason = "they are what a relocation depends on")]
    fn relocate(
        &self,
        places: &Places,
        base: Base,
        entries: &[u32],
        counts: Counts,
        text: &mut [u8],
        rodata: &mut [u8],
        arch: Arch,
    ) -> Result<(), Error> {
        for section in self.sections.iter() {
            let Some(place) = places.get(section.info_link(ENDIAN).0) else { continue };
            match section.sh_type(ENDIAN) {
                elf::SHT_RELA => {}
                elf::SHT_REL => return Err(malformed("it has relocations without addends")),
                _ => continue,
            }
            let Some((relocations, _)) = section.rela(ENDIAN, self.bytes).map_err(malformed)? else { continue };
            let (bytes, start) = match place {
                Place::Text(start) => (&mut *text, start as usize),
                Place::Rodata(start) => (&mut *rodata, start as usize),
            };
            let bytes = bytes.get_mut(start..).ok_or_else(|| malformed("a section beyond its region"))?;
            for relocation in relocations {
                let symbol =
                    relocation.symbol(ENDIAN, false).ok_or_else(|| malformed("a relocation without a symbol"))?;
                let symbol = self.symbols.symbol(symbol).map_err(malformed)?;
                let target = self.target(symbol, places, base, entries, counts)?;
                let target = target.wrapping_add_signed(relocation.r_addend(ENDIAN));
                let offset = relocation.r_offset(ENDIAN);
                let ty = relocation.r_type(ENDIAN, false);
                let resolved = usize::try_from(offset).map_err(|_| Fault::Beyond).and_then(|within| {
                    resolve(arch, ty, bytes, within, base.address(place).wrapping_add(offset), target)
                });
                resolved.map_err(|fault| match fault {
                    Fault::TooFar => {
                        Error::new(ErrorKind::Limit, "the module's code is too large: a call does not reach")
                    }
                    fault => malformed(format!("relocation of {}: {fault}", self.name(symbol))),
                })?;
            }
        }
        Ok(())
    }

    /// The address of a symbol: of its own section, or of a function in another object.
    fn target(
        &self,
        symbol: &elf::Sym64<LittleEndian>,
        places: &Places,
        base: Base,
        entries: &[u32],
        counts: Counts,
    ) -> Result<u64, Error> {
        let section = symbol.st_shndx(ENDIAN);
        if section == elf::SHN_UNDEF {
            let name = self.name(symbol);
            let position = symbol::parse_func(&name).and_then(|func| func.position().checked_sub(counts.imported));
            let entry = position.and_then(|position| entries.get(position));
            let entry = entry.ok_or_else(|| malformed(format!("{name} is not defined")))?;
            return Ok(base.address(Place::Text(*entry)));
        }
        let place = places.get(SectionIndex(section.0.into()).0);
        let place =
            place.ok_or_else(|| malformed(format!("{} is in a section that is left out", self.name(symbol))))?;
        Ok(base.address(place).wrapping_add(symbol.st_value(ENDIAN)))
    }

    fn name(&self, symbol: &elf::Sym64<LittleEndian>) -> String {
        let name = symbol.name(ENDIAN, self.symbols.strings()).unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
}

/// The tables of all objects, for the whole text.
struct Tables {
    functions: Vec<FunctionRange>,
    wasm_offsets: Vec<WasmOffset>,
    entries: Vec<u32>,
    thunks: Vec<ThunkOffsets>,
}

impl Tables {
    fn new(objects: &[Object], placed: &[Places], counts: Counts, frames: &mut Frames) -> Result<Self, Error> {
        let mut functions = Vec::new();
        let mut wasm_offsets: Vec<WasmOffset> = Vec::new();
        let mut entries: Vec<Option<u32>> = vec![None; counts.defined];
        let mut enters: Vec<Option<u32>> = vec![None; counts.types];
        let mut exits = enters.clone();
        for (object, places) in objects.iter().zip(placed) {
            let start = places.text;
            frames.add(&object.unwind, start)?;
            for symbol in &object.symbols {
                let offset = start + symbol.offset;
                let (slot, func) = match symbol.kind {
                    SymbolKind::Func(func) => {
                        let position = func.position().checked_sub(counts.imported);
                        (position.and_then(|position| entries.get_mut(position)), Some(func))
                    }
                    SymbolKind::Osr(..) => return Err(malformed("it is one of a module in tiers")),
                    SymbolKind::Enter(TypeIndex(ty)) => (enters.get_mut(ty as usize), None),
                    SymbolKind::Exit(TypeIndex(ty)) => (exits.get_mut(ty as usize), None),
                };
                let slot = slot.ok_or_else(|| malformed(format!("it defines {}", symbol.kind.name())))?;
                if slot.replace(offset).is_some() {
                    return Err(malformed(format!("{} is defined twice", symbol.kind.name())));
                }
                functions.push(FunctionRange { offset, size: symbol.size, func });
            }
            // What comes before the object's first row, and thunks have none, must not be taken for what ends the object before.
            let first = object.wasm_offsets.first().filter(|row| row.code == 0);
            let none = first.is_none().then_some(WasmOffset { code: 0, wasm: u32::MAX });
            for row in none.iter().chain(&object.wasm_offsets) {
                if wasm_offsets.last().is_none_or(|last| last.wasm != row.wasm) {
                    wasm_offsets.push(WasmOffset { code: start + row.code, wasm: row.wasm });
                }
            }
        }
        let defined = |(position, entry): (usize, Option<u32>)| {
            let func = FuncIndex::from_position(counts.imported + position);
            entry.ok_or_else(|| Error::internal(format!("function {} was not compiled", func.0)))
        };
        let entries = entries.into_iter().enumerate().map(defined).collect::<Result<_, _>>()?;
        let none = ThunkOffsets { enter: u32::MAX, exit: u32::MAX };
        let thunk = |(enter, exit): (Option<u32>, Option<u32>)| Some(ThunkOffsets { enter: enter?, exit: exit? });
        let thunks = enters.into_iter().zip(exits).map(|pair| thunk(pair).unwrap_or(none)).collect();
        Ok(Self { functions, wasm_offsets, entries, thunks })
    }
}

impl Arch {
    /// Its number in ELF files.
    pub(super) fn machine(self) -> elf::Machine {
        match self {
            Self::X86_64 => elf::EM_X86_64,
            Self::Aarch64 => elf::EM_AARCH64,
        }
    }

    /// What lies between functions: an instruction that traps (`int3`, `udf #0`).
    fn filler(self) -> u8 {
        match self {
            Self::X86_64 => 0xcc,
            Self::Aarch64 => 0,
        }
    }
}
