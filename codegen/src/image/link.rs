//! From objects to a [`LinkedImage`].
//!
//! # The layout
//!
//! ```text
//! text - distance           text                        (page-aligned, wherever the image is mapped)
//! │ constants of object 0, 1, … │ text of object 0, 1, …, with islands where they are needed │
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

mod input;

use super::frames::Frames;
use super::island::{self, Island};
use super::{LinkedImage, RODATA_ALIGN, align_up};
use crate::error::{Error, ErrorKind};
use crate::ir::context::Arch;
use crate::object::{Object, SymbolKind};
use input::Input;
use object::LittleEndian;
use object::elf::{self, FileHeader64, RelocationType};
use wasmo_abi::artifact::ThunkOffsets;
use wasmo_abi::code::FunctionRange;
use wasmo_abi::index::{EntityIndex, FuncIndex, TypeIndex};
use wasmo_abi::offsets::WasmOffset;
use wasmo_abi::tier::NO_CODE;

/// Where the text is taken to begin: a multiple of every page size, with room for the constants before it.
const TEXT_ADDRESS: u64 = 1 << 32;
/// Code and constants are each kept below this size in bytes, so that distances have 32 bits.
const MAX_SIZE: u64 = 1 << 30;
/// Alignment of each object's text: that of functions on x86-64, and that of lines of the instruction cache at most.
const MIN_TEXT_ALIGN: u64 = 16;

type Header = FileHeader64<LittleEndian>;
const ENDIAN: LittleEndian = LittleEndian;

/// What is to come of linking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// A whole module: each function is defined once.
    Whole,
    /// What there is: functions may be missing, and of several definitions of one the last one counts.
    Partial,
}

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
    link_within(arch, objects, counts, island::reach(arch))
}

/// As [`link`], where calls reach `reach` bytes.
fn link_within(arch: Arch, objects: &[Object], counts: Counts, reach: u64) -> Result<LinkedImage, Error> {
    let objects: Vec<&Object> = objects.iter().collect();
    let image = append_within(LinkedImage::empty(arch, counts), &objects, counts.imported, Extent::Whole, reach)?;
    if let Some(position) = image.entries.iter().position(|entry| entry == NO_CODE) {
        return Err(Error::internal(format!("function {} was not compiled", counts.imported + position)));
    }
    Ok(image)
}

/// Adds objects that refer to no other to an image, which may lack functions before and after; their functions replace those of equal number. `imported` is
/// the number of imported functions.
///
/// An image grows at both ends, and so what was there stays as it was: the new code lies behind it, the new constants before it.
///
/// # Errors
/// As [`link`].
pub(crate) fn append(image: LinkedImage, objects: &[&Object], imported: usize) -> Result<LinkedImage, Error> {
    let reach = island::reach(image.arch);
    append_within(image, objects, imported, Extent::Partial, reach)
}

fn append_within(
    image: LinkedImage,
    objects: &[&Object],
    imported: usize,
    extent: Extent,
    reach: u64,
) -> Result<LinkedImage, Error> {
    let arch = image.arch;
    let inputs: Vec<Input<'_>> = objects.iter().map(|object| Input::new(object, arch)).collect::<Result<_, _>>()?;
    let (mut text, mut rodata) = (Region { bytes: image.text }, Region::default());
    let mut placed: Vec<Places> = Vec::with_capacity(inputs.len());
    let mut islands: Vec<Island> = Vec::new();
    // Files are larger than the code in them, so what is said to be within reach is.
    let far = objects.iter().map(|object| object.size() as u64).sum::<u64>() > reach;
    let mut group = 0;
    for (position, input) in inputs.iter().enumerate() {
        placed.push(input.place(&mut text, &mut rodata, arch)?);
        let members = placed.get_mut(group..).unwrap_or_default();
        let start = members.first().map_or(0, |first| first.text);
        let full = text.bytes.len() as u64 - u64::from(start) >= reach / 4;
        if far && (full || position + 1 == inputs.len()) {
            let start = text.append(&[], MIN_TEXT_ALIGN, arch.filler())?;
            let callees = inputs.iter().skip(group).take(members.len()).map(Input::callees);
            let callees = callees.collect::<Result<Vec<_>, _>>()?;
            let island = Island::new(start, callees.into_iter().flatten());
            text.append(&vec![0; island.size()], 1, arch.filler())?;
            members.iter_mut().for_each(|member| member.island = Some(islands.len()));
            islands.push(island);
            group = position + 1;
        }
    }
    if !image.rodata.is_empty() {
        rodata.append(&image.rodata, RODATA_ALIGN, 0)?;
    }
    let added = (rodata.bytes.len() - image.rodata.len()) as u64;
    let rodata_distance = align_up(added, RODATA_ALIGN).and_then(|added| added.checked_add(image.rodata_distance));
    let rodata_distance = rodata_distance.ok_or_else(too_large)?;
    let base = Base { text: TEXT_ADDRESS, rodata: TEXT_ADDRESS - rodata_distance };

    let mut tables = Tables {
        functions: image.functions.iter().collect(),
        wasm_offsets: image.wasm_offsets.iter().collect(),
        entries: image.entries.iter().collect(),
        thunks: image.thunks.iter().collect(),
        frames: image.frames,
    };
    tables.add(objects, &placed, &islands, imported, extent)?;
    let map = Map { arch, base, imported, reach, entries: &tables.entries, islands: &islands };
    for (input, places) in inputs.iter().zip(&placed) {
        input.relocate(places, &map, &mut text.bytes, &mut rodata.bytes)?;
    }
    for island in &islands {
        let code = island.code(base.text, |function| map.function(function)).map_err(malformed)?;
        let place = text.bytes.get_mut(island.start as usize..).and_then(|rest| rest.get_mut(..code.len()));
        place.ok_or_else(|| malformed("an island beyond the text"))?.copy_from_slice(&code);
    }
    Ok(LinkedImage {
        arch,
        rodata: rodata.bytes,
        rodata_distance,
        text: text.bytes,
        frames: tables.frames,
        functions: tables.functions.into_iter().collect(),
        wasm_offsets: tables.wasm_offsets.into_iter().collect(),
        entries: tables.entries.into_iter().collect(),
        thunks: tables.thunks.into_iter().collect(),
    })
}

/// What one object that refers to no other comes to, laid out as an image is: see [`LinkedImage::contents`].
#[derive(Debug)]
pub(crate) struct LinkedObject {
    /// Constants, padding, and the machine code.
    pub(crate) contents: Vec<u8>,
    /// Where the machine code begins.
    pub(crate) text: usize,
    /// What the address of the contents must be a multiple of.
    pub(crate) align: usize,
}

/// Links an object for itself. Nothing but distances within it matters, so that it runs wherever it is copied to.
///
/// # Errors
/// As [`link`].
pub(crate) fn link_object(arch: Arch, object: &Object) -> Result<LinkedObject, Error> {
    let input = Input::new(object, arch)?;
    let (mut text, mut rodata) = (Region::default(), Region::default());
    let places = input.place(&mut text, &mut rodata, arch)?;
    // Where instructions hold the lowest bits of addresses, these are addresses of constants.
    let align = if rodata.bytes.is_empty() { RODATA_ALIGN } else { LinkedImage::ALIGN };
    let distance = align_up(rodata.bytes.len() as u64, align).ok_or_else(too_large)?;
    let base = Base { text: TEXT_ADDRESS, rodata: TEXT_ADDRESS - distance };
    let map = Map { arch, base, imported: 0, reach: island::reach(arch), entries: &[], islands: &[] };
    input.relocate(&places, &map, &mut text.bytes, &mut rodata.bytes)?;
    let size = |bytes: u64| usize::try_from(bytes).map_err(|_| too_large());
    let (text_start, align) = (size(distance)?, size(align)?);
    let mut contents = rodata.bytes;
    contents.resize(text_start, 0);
    contents.extend_from_slice(&text.bytes);
    Ok(LinkedObject { contents, text: text_start, align })
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

/// Where everything is.
struct Map<'a> {
    arch: Arch,
    base: Base,
    imported: usize,
    /// How far calls reach, in bytes.
    reach: u64,
    /// Where the defined functions' code begins in the text, in their order.
    entries: &'a [u32],
    islands: &'a [Island],
}

impl Map<'_> {
    /// The address of a defined function's code.
    fn function(&self, function: FuncIndex) -> Option<u64> {
        let position = function.position().checked_sub(self.imported)?;
        let entry = self.entries.get(position).filter(|&&entry| entry != NO_CODE);
        entry.map(|&entry| self.base.address(Place::Text(entry)))
    }

    /// Where a branch at `place` in an object goes to get to `function`, which is at `target`.
    fn branch(&self, places: &Places, place: u64, target: u64, function: FuncIndex) -> u64 {
        if target.abs_diff(place) < self.reach {
            return target;
        }
        let island = places.island.and_then(|island| self.islands.get(island));
        let veneer = island.and_then(|island| island.veneer(function));
        veneer.map_or(target, |veneer| self.base.address(Place::Text(veneer)))
    }
}

/// Whether a relocation is of a call or a tail call that may go through a veneer.
fn is_branch(arch: Arch, ty: RelocationType) -> bool {
    arch == Arch::Aarch64 && matches!(ty, elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26)
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
    /// The number of the island that its calls may go to.
    island: Option<usize>,
}

impl Places {
    fn get(&self, section: usize) -> Option<Place> {
        self.sections.get(section).copied().flatten()
    }
}

/// The tables of all objects, for the whole text.
struct Tables {
    functions: Vec<FunctionRange>,
    wasm_offsets: Vec<WasmOffset>,
    entries: Vec<u32>,
    thunks: Vec<ThunkOffsets>,
    frames: Frames,
}

/// What stands for a type without thunks.
pub(super) const NO_THUNKS: ThunkOffsets = ThunkOffsets { enter: u32::MAX, exit: u32::MAX };

impl Tables {
    fn add(
        &mut self,
        objects: &[&Object],
        placed: &[Places],
        islands: &[Island],
        imported: usize,
        extent: Extent,
    ) -> Result<(), Error> {
        for (position, (object, places)) in objects.iter().zip(placed).enumerate() {
            let start = places.text;
            self.frames.add(&object.unwind, start)?;
            for symbol in &object.symbols {
                let offset = start + symbol.offset;
                self.define(symbol.kind, offset, imported, extent)?;
                self.functions.push(FunctionRange { offset, size: symbol.size, func: symbol.kind.func() });
            }
            // What comes before the object's first row, and thunks have none, must not be taken for what ends the object before.
            let first = object.wasm_offsets.first().filter(|row| row.code == 0);
            let none = first.is_none().then_some(WasmOffset { code: 0, wasm: u32::MAX });
            for row in none.iter().chain(&object.wasm_offsets) {
                if self.wasm_offsets.last().is_none_or(|last| last.wasm != row.wasm) {
                    self.wasm_offsets.push(WasmOffset { code: start + row.code, wasm: row.wasm });
                }
            }
            // An island lies after the last of its objects. It is called like a function, and has no place in the module either.
            let island =
                places.island.filter(|_| placed.get(position + 1).is_none_or(|next| next.island != places.island));
            let island = island.and_then(|island| islands.get(island)).filter(|island| island.size() > 0);
            if let Some(island) = island {
                let size = u32::try_from(island.size()).map_err(|_| too_large())?;
                self.frames.add_plain(island.start, size)?;
                self.functions.push(FunctionRange { offset: island.start, size, func: None });
                if self.wasm_offsets.last().is_none_or(|last| last.wasm != u32::MAX) {
                    self.wasm_offsets.push(WasmOffset { code: island.start, wasm: u32::MAX });
                }
            }
        }
        Ok(())
    }

    /// Notes that what `kind` names lies at `offset`.
    fn define(&mut self, kind: SymbolKind, offset: u32, imported: usize, extent: Extent) -> Result<(), Error> {
        let replaces = extent == Extent::Partial && matches!(kind, SymbolKind::Func(_));
        let slot = match kind {
            SymbolKind::Func(func) => {
                let position = func.position().checked_sub(imported);
                position.and_then(|position| self.entries.get_mut(position))
            }
            // What was left at a loop is entered anew in another run, and copies are called within their unit.
            SymbolKind::Osr(..) | SymbolKind::Copy(_) if extent == Extent::Partial => return Ok(()),
            SymbolKind::Osr(..) | SymbolKind::Copy(_) => return Err(malformed("it is one of a module in tiers")),
            SymbolKind::Enter(TypeIndex(ty)) => self.thunks.get_mut(ty as usize).map(|thunks| &mut thunks.enter),
            SymbolKind::Exit(TypeIndex(ty)) => self.thunks.get_mut(ty as usize).map(|thunks| &mut thunks.exit),
        };
        let slot = slot.ok_or_else(|| malformed(format!("it defines {}", kind.name())))?;
        if *slot != u32::MAX && !replaces {
            return Err(malformed(format!("{} is defined twice", kind.name())));
        }
        *slot = offset;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compiler, Cpu, TargetOptions};
    use wasmo_abi::tunables::{OptLevel, Tunables};

    /// The instruction at an offset of the text.
    fn word(image: &LinkedImage, offset: u64) -> u32 {
        let word = usize::try_from(offset).ok().and_then(|offset| image.text.get(offset..)?.first_chunk());
        u32::from_le_bytes(*word.expect("it is in the text"))
    }

    /// The lowest `width` bits of `value` as a signed number.
    fn signed(value: u32, width: u32) -> i64 {
        i64::from(value.cast_signed() << (32 - width) >> (32 - width))
    }

    /// Where the veneer at `offset` goes.
    fn veneer(image: &LinkedImage, offset: u64) -> u64 {
        let (adrp, add, br) = (word(image, offset), word(image, offset + 4), word(image, offset + 8));
        assert_eq!((adrp & 0x9f00_001f, add & 0xffc0_03ff, br), (0x9000_0010, 0x9100_0210, 0xd61f_0200));
        let pages = signed((adrp >> 5 & 0x7_ffff) << 2 | adrp >> 29 & 3, 21);
        let page = ((TEXT_ADDRESS + offset) & !0xfff).checked_add_signed(pages * 4096).expect("an address");
        page + u64::from(add >> 10 & 0xfff) - TEXT_ADDRESS
    }

    #[test]
    fn calls_that_do_not_reach_go_through_islands() {
        // Each function calls the one before it and one that is far away, and they are enough for several partitions.
        let padding = "(local.set 0 (i32.mul (i32.xor (local.get 0) (i32.const 0x12345678)) (i32.const 0x7654321)))";
        let mut text = "(module (func $f0 (param i32) (result i32) (local.get 0))".to_owned();
        for index in 1..300 {
            let calls = format!("(call $f{} (call $f{} (local.get 0)))", index - 1, index / 2);
            text += &format!("(func $f{index} (param i32) (result i32) {} {calls})", padding.repeat(70));
        }
        let bytes = wat::parse_str(text + ")").expect("the text is well-formed");
        let target = TargetOptions { triple: Some("aarch64-unknown-linux-gnu".into()), cpu: Cpu::Baseline, threads: 1 };
        let tunables = Tunables { opt_level: OptLevel::None, ..Tunables::default() };
        let compiler = Compiler::new(tunables, target).expect("the target is known");
        let info = crate::parse(&bytes).expect("the module is valid");
        let compiled = compiler.compile(&info, &bytes, &()).expect("the module compiles");
        let counts = Counts { types: info.types.len(), imported: 0, defined: info.bodies.len() };

        let whole = link(Arch::Aarch64, &compiled.objects, counts).expect("it links");
        let reach = 16 << 10;
        let image = link_within(Arch::Aarch64, &compiled.objects, counts, reach).expect("it links");
        let islands = image.functions.len() - whole.functions.len();
        assert!((3..=compiled.objects.len()).contains(&islands), "{islands} islands");
        let rows = |image: &LinkedImage| image.wasm_offsets.iter().filter(|row| row.wasm == u32::MAX).count();
        assert!(rows(&image) >= rows(&whole));

        let entries: Vec<u64> = image.entries.iter().map(u64::from).collect();
        let mut through = 0;
        for range in image.functions.iter() {
            let Some(func) = range.func else { continue };
            for offset in (u64::from(range.offset)..u64::from(range.offset + range.size)).step_by(4) {
                let instruction = word(&image, offset);
                if instruction >> 26 != 0b10_0101 {
                    continue;
                }
                let distance = signed(instruction, 26) * 4;
                let mut callee = offset.checked_add_signed(distance).expect("an offset");
                if !entries.contains(&callee) {
                    let within = image.functions.iter().find(|range| {
                        (u64::from(range.offset)..u64::from(range.offset + range.size)).contains(&callee)
                    });
                    assert_eq!(within.expect("an island").func, None);
                    callee = veneer(&image, callee);
                    through += 1;
                }
                let callee = entries.iter().position(|&entry| entry == callee).expect("a function begins there");
                assert!(callee + 1 == func.position() || callee == func.position() / 2, "{func:?} calls {callee}");
            }
        }
        assert!(through > 2, "{through} calls through islands");
        // Islands are described, so that a backtrace can begin in one.
        assert_eq!(image.frames.size() - whole.frames.size(), 20 * islands, "each island has one description");
    }
}
