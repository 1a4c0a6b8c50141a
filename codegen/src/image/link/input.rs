//! [`Input`]: an object as the linker sees it, which is an ELF file or nothing but machine code: what it contains, and what in it refers to something.

use super::{ENDIAN, Header, MIN_TEXT_ALIGN, Map, Place, Places, Region, is_branch, malformed};
use crate::error::{Error, ErrorKind};
use crate::image::RODATA_ALIGN;
use crate::image::relocation::{Fault, resolve};
use crate::ir::context::Arch;
use crate::object::{Contents, Object};
use object::read::elf::{FileHeader, Rela, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{LittleEndian, SectionIndex, elf};
use wasmo_abi::index::FuncIndex;
use wasmo_abi::symbol;

/// An object, read.
pub(super) enum Input<'data> {
    File(File<'data>),
    Code(&'data [u8]),
}

impl<'data> Input<'data> {
    pub(super) fn new(object: &'data Object, arch: Arch) -> Result<Self, Error> {
        match &object.contents {
            Contents::Elf(bytes) => File::new(bytes, arch).map(Self::File),
            Contents::Code(code) => Ok(Self::Code(code)),
        }
    }

    /// Appends what the object contains to the regions.
    pub(super) fn place(&self, text: &mut Region, rodata: &mut Region, arch: Arch) -> Result<Places, Error> {
        match self {
            Self::File(file) => file.place(text, rodata, arch),
            Self::Code(code) => {
                let text = text.append(code, MIN_TEXT_ALIGN, arch.filler())?;
                Ok(Places { sections: Vec::new(), text, island: None })
            }
        }
    }

    /// The functions of other objects that this one calls directly.
    pub(super) fn callees(&self) -> Result<Vec<FuncIndex>, Error> {
        match self {
            Self::File(file) => file.callees(),
            Self::Code(_) => Ok(Vec::new()),
        }
    }

    /// Resolves all that refers to something, in what was placed.
    pub(super) fn relocate(
        &self,
        places: &Places,
        map: &Map<'_>,
        text: &mut [u8],
        rodata: &mut [u8],
    ) -> Result<(), Error> {
        match self {
            Self::File(file) => file.relocate(places, map, text, rodata),
            Self::Code(_) => Ok(()),
        }
    }
}

/// An object file, read.
pub(super) struct File<'data> {
    bytes: &'data [u8],
    sections: SectionTable<'data, Header>,
    symbols: SymbolTable<'data, Header>,
}

impl<'data> File<'data> {
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
        let mut places = Places { sections: Vec::with_capacity(self.sections.len()), text: 0, island: None };
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

    /// The functions of other objects that this one calls directly.
    fn callees(&self) -> Result<Vec<FuncIndex>, Error> {
        let mut callees = Vec::new();
        for section in self.sections.iter() {
            let Some((relocations, _)) = section.rela(ENDIAN, self.bytes).map_err(malformed)? else { continue };
            for relocation in relocations {
                let branch = is_branch(Arch::Aarch64, relocation.r_type(ENDIAN, false));
                let Some(symbol) = relocation.symbol(ENDIAN, false).filter(|_| branch) else { continue };
                callees.extend(self.undefined(self.symbols.symbol(symbol).map_err(malformed)?));
            }
        }
        Ok(callees)
    }

    /// Resolves all relocations of the sections that were placed.
    fn relocate(&self, places: &Places, map: &Map<'_>, text: &mut [u8], rodata: &mut [u8]) -> Result<(), Error> {
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
                let offset = relocation.r_offset(ENDIAN);
                let ty = relocation.r_type(ENDIAN, false);
                let from = map.base.address(place).wrapping_add(offset);
                let mut target = self.target(symbol, places, map)?.wrapping_add_signed(relocation.r_addend(ENDIAN));
                if let Some(function) = self.undefined(symbol).filter(|_| is_branch(map.arch, ty)) {
                    target = map.branch(places, from, target, function);
                }
                let resolved = usize::try_from(offset)
                    .map_err(|_| Fault::Beyond)
                    .and_then(|within| resolve(map.arch, ty, bytes, within, from, target));
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

    /// The function of the module that a symbol of another object stands for.
    fn undefined(&self, symbol: &elf::Sym64<LittleEndian>) -> Option<FuncIndex> {
        if symbol.st_shndx(ENDIAN) == elf::SHN_UNDEF { symbol::parse_func(&self.name(symbol)) } else { None }
    }

    /// The address of a symbol: of its own section, or of a function in another object.
    fn target(&self, symbol: &elf::Sym64<LittleEndian>, places: &Places, map: &Map<'_>) -> Result<u64, Error> {
        let section = symbol.st_shndx(ENDIAN);
        if section == elf::SHN_UNDEF {
            let address = self.undefined(symbol).and_then(|function| map.function(function));
            return address.ok_or_else(|| malformed(format!("{} is not defined", self.name(symbol))));
        }
        let place = places.get(SectionIndex(section.0.into()).0);
        let place =
            place.ok_or_else(|| malformed(format!("{} is in a section that is left out", self.name(symbol))))?;
        Ok(map.base.address(place).wrapping_add(symbol.st_value(ENDIAN)))
    }

    fn name(&self, symbol: &elf::Sym64<LittleEndian>) -> String {
        let name = symbol.name(ENDIAN, self.symbols.strings()).unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
}
