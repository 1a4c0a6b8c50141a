//! An ELF object that says what lies where in code that is in memory: a section for the code, without content, at its address; one with its call frame
//! information; symbols.

use super::Symbol;
use wasmo_abi::code::CodeUnit;

const HEADER: usize = 64;
const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const NOBITS: u32 = 8;

/// What a section's header says besides where it is.
#[derive(Clone, Copy, Default)]
struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    address: u64,
    /// Its size, where it has no content.
    size: u64,
    link: u32,
    info: u32,
    entry_size: u64,
}

/// Sections in the order of their headers; symbols refer to the code's by its place.
const CODE: u16 = 1;

fn push(bytes: &mut Vec<u8>, fields: &[&[u8]]) {
    fields.iter().for_each(|field| bytes.extend_from_slice(field));
}

/// The object for `unit`, with `symbols` for code in it.
pub(super) fn object(unit: &CodeUnit, symbols: &[Symbol]) -> Vec<u8> {
    let mut names = vec![0];
    // The first symbol is none.
    let mut table = vec![0; SYMBOL];
    for symbol in symbols {
        let name = u32::try_from(names.len()).unwrap_or(0);
        push(&mut names, &[symbol.name.as_bytes(), &[0]]);
        // A local function in the code's section, of which its value is an offset.
        let offset = symbol.address.wrapping_sub(unit.start) as u64;
        push(&mut table, &[&name.to_le_bytes(), &[2, 0], &CODE.to_le_bytes(), &offset.to_le_bytes()]);
        push(&mut table, &[&(symbol.size as u64).to_le_bytes()]);
    }
    // Its addresses are relative to itself, so it is given the place that it would have beside the code. What is not (it has no index, and its code is taken
    // to lie at 0) describes stubs, whose frames no debugger ever sees but one that steps through them.
    let frames_address =
        (unit.start as u64).wrapping_sub(unit.unwind.text_address).wrapping_add(unit.unwind.eh_frame_address);
    let frames = if is_relative(&unit.unwind.eh_frame) { unit.unwind.eh_frame.to_vec() } else { Vec::new() };
    let count = u32::try_from(table.len() / SYMBOL).unwrap_or(u32::MAX);
    let code = Section {
        name: ".text",
        kind: NOBITS,
        flags: 6,
        address: unit.start as u64,
        size: unit.size as u64,
        ..Section::default()
    };
    let unwind = Section { name: ".eh_frame", kind: PROGBITS, flags: 2, address: frames_address, ..Section::default() };
    let symtab = Section {
        name: ".symtab",
        kind: SYMTAB,
        link: 4,
        info: count,
        entry_size: SYMBOL as u64,
        ..Section::default()
    };
    let strtab = |name| Section { name, kind: STRTAB, ..Section::default() };
    lay_out(&[(code, Vec::new()), (unwind, frames), (symtab, table), (strtab(".strtab"), names)], strtab(".shstrtab"))
}

/// Whether the addresses in call frame information are distances: whether its first record says how they are written at all (augmentation `zR`).
fn is_relative(eh_frame: &[u8]) -> bool {
    eh_frame.get(9..11) == Some(b"zR")
}

/// The file: header, contents, section headers. The last section has the others' names.
fn lay_out(sections: &[(Section, Vec<u8>)], last: Section) -> Vec<u8> {
    let mut names = vec![0];
    let mut name_offsets = Vec::new();
    for section in sections.iter().map(|(section, _)| section).chain([&last]) {
        name_offsets.push(u32::try_from(names.len()).unwrap_or(0));
        push(&mut names, &[section.name.as_bytes(), &[0]]);
    }
    let mut file = vec![0; HEADER];
    // The first section is none.
    let mut headers = vec![0; SECTION_HEADER];
    let contents = sections.iter().map(|(section, content)| (section, content)).chain([(&last, &names)]);
    for ((section, content), name) in contents.zip(&name_offsets) {
        file.resize(file.len().next_multiple_of(8), 0);
        let size = if section.kind == NOBITS { section.size } else { content.len() as u64 };
        let words = [section.flags, section.address, file.len() as u64, size];
        push(&mut headers, &[&name.to_le_bytes(), &section.kind.to_le_bytes()]);
        words.iter().for_each(|word| headers.extend_from_slice(&word.to_le_bytes()));
        push(&mut headers, &[&section.link.to_le_bytes(), &section.info.to_le_bytes()]);
        push(&mut headers, &[&8_u64.to_le_bytes(), &section.entry_size.to_le_bytes()]);
        file.extend_from_slice(content);
    }
    file.resize(file.len().next_multiple_of(8), 0);
    let headers_at = file.len() as u64;
    let count = u16::try_from(sections.len() + 2).unwrap_or(u16::MAX);
    let mut header = Vec::with_capacity(HEADER);
    // 64 bits, little-endian; a relocatable object, so that symbols are offsets in their sections.
    push(
        &mut header,
        &[b"\x7fELF\x02\x01\x01", &[0; 9], &1_u16.to_le_bytes(), &MACHINE.to_le_bytes(), &1_u32.to_le_bytes()],
    );
    push(&mut header, &[&[0; 16], &headers_at.to_le_bytes(), &[0; 4], &64_u16.to_le_bytes(), &[0; 4]]);
    push(&mut header, &[&64_u16.to_le_bytes(), &count.to_le_bytes(), &(count - 1).to_le_bytes()]);
    if let Some(place) = file.get_mut(..header.len()) {
        place.copy_from_slice(&header);
    }
    file.extend_from_slice(&headers);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_as_long_as_it_says() {
        let file = lay_out(&[], Section { name: ".shstrtab", kind: STRTAB, ..Section::default() });
        assert_eq!(file.len(), HEADER + 16 + 2 * SECTION_HEADER);
        assert_eq!(&file[HEADER..HEADER + 11], b"\0.shstrtab\0");
        assert_eq!(file[58..64], [64, 0, 2, 0, 1, 0]);
    }
}
