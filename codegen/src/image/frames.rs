//! [`Frames`]: the call frame information of several objects as one `.eh_frame` section (DWARF 5, 6.4; Linux Standard Base 5, 10.6), and the `.eh_frame_hdr` by
//! which a description is found.
//!
//! A section is a list of records: common parts (CIEs), and descriptions of functions (FDEs), each of which says how far before it its common part lies.
//! Objects that the same compiler has made have the same common parts, so each is kept once.

use crate::error::{Error, ErrorKind};
use std::collections::HashMap;
use wasmo_abi::code::UnwindTable;

/// Addresses are signed 32-bit distances from where they are written, in descriptions as in the header.
const RELATIVE: u8 = gimli::DW_EH_PE_pcrel.0 | gimli::DW_EH_PE_sdata4.0;
/// In the header's table they are distances from the header.
const FROM_HEADER: u8 = gimli::DW_EH_PE_datarel.0 | gimli::DW_EH_PE_sdata4.0;

/// Call frame information that is not at any address yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The records, but for where the functions are.
    bytes: Vec<u8>,
    descriptions: Vec<Description>,
    common: HashMap<Vec<u8>, usize>,
}

/// A description in `bytes`.
#[derive(Clone, Copy, Debug)]
struct Description {
    /// Where the record begins.
    record: usize,
    /// Offset in the text of the function that it describes.
    code: u32,
}

impl Description {
    /// Where the distance to the function is written: after the record's length and the distance to its common part.
    fn place(self) -> usize {
        self.record + 8
    }
}

fn malformed(what: &str) -> Error {
    Error::internal(format!("LLVM made call frame information that wasmo cannot read: {what}"))
}

fn too_large() -> Error {
    Error::new(ErrorKind::Limit, "code, constants and tables of more than 2 GiB")
}

impl Frames {
    /// Adds the frames of an object whose text begins at `text` in the image's.
    pub(super) fn add(&mut self, unwind: &UnwindTable, text: u32) -> Result<(), Error> {
        let section: &[u8] = &unwind.eh_frame;
        // Where the common parts that have been read lie in this object's section, and where in ours.
        let mut moved: HashMap<usize, usize> = HashMap::new();
        let mut start = 0;
        while start < section.len() {
            let size = word(section, start).ok_or_else(|| malformed("a length"))? as usize;
            if size == 0 {
                break;
            }
            let end = start.checked_add(4).and_then(|body| body.checked_add(size));
            let record = end.and_then(|end| section.get(start..end)).ok_or_else(|| malformed("a record's end"))?;
            match word(record, 4).ok_or_else(|| malformed("a short record"))? {
                0 => {
                    check_common(record)?;
                    let place = *self.common.entry(record.to_vec()).or_insert_with(|| {
                        self.bytes.extend_from_slice(record);
                        self.bytes.len() - record.len()
                    });
                    moved.insert(start, place);
                }
                distance => {
                    let common = (start + 4).checked_sub(distance as usize).and_then(|common| moved.get(&common));
                    let common = *common.ok_or_else(|| malformed("a description without a common part"))?;
                    let relative = word(record, 8).ok_or_else(|| malformed("a short description"))?.cast_signed();
                    let address = (unwind.eh_frame_address + start as u64 + 8).checked_add_signed(relative.into());
                    let code = address.and_then(|address| address.checked_sub(unwind.text_address));
                    let code = code.and_then(|code| u32::try_from(code).ok()?.checked_add(text));
                    let code = code.ok_or_else(|| malformed("a description of something else"))?;
                    self.describe(record, common, code)?;
                }
            }
            start += record.len();
        }
        Ok(())
    }

    /// Adds the frame of code without one, of `size` bytes from `code` in the text: as at the beginning of a function.
    pub(super) fn add_plain(&mut self, code: u32, size: u32) -> Result<(), Error> {
        // The lowest is not chosen by chance.
        let common = *self.common.values().min().ok_or_else(|| malformed("no common part"))?;
        // Size of the rest; distances that are filled in; the code's size; no augmentation; instructions that do nothing.
        let words = [16, 0, 0, size, 0].map(u32::to_le_bytes);
        self.describe(words.as_flattened(), common, code)
    }

    fn describe(&mut self, record: &[u8], common: usize, code: u32) -> Result<(), Error> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        let distance = u32::try_from(start + 4 - common).map_err(|_| too_large())?;
        let field = self.bytes.get_mut(start + 4..).and_then(|rest| rest.first_chunk_mut());
        *field.ok_or_else(|| malformed("a short description"))? = distance.to_le_bytes();
        self.descriptions.push(Description { record: start, code });
        Ok(())
    }

    /// The size of the section in bytes.
    pub(super) fn size(&self) -> usize {
        // A length of 0 ends it.
        self.bytes.len() + 4
    }

    /// The section at `address`, for a text at address `text`.
    pub(super) fn section(&self, address: u64, text: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = self.bytes.clone();
        for description in &self.descriptions {
            let place = description.place();
            let relative = distance(address + place as u64, text + u64::from(description.code))?;
            let field = bytes.get_mut(place..).and_then(|rest| rest.first_chunk_mut());
            *field.ok_or_else(|| malformed("a short description"))? = relative.to_le_bytes();
        }
        bytes.extend_from_slice(&[0; 4]);
        Ok(bytes)
    }

    /// The header at `address`, for a section at `section` and a text at `text`.
    pub(super) fn header(&self, address: u64, section: u64, text: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![1, RELATIVE, gimli::DW_EH_PE_udata4.0, FROM_HEADER];
        bytes.extend_from_slice(&distance(address + 4, section)?.to_le_bytes());
        let count = u32::try_from(self.descriptions.len()).map_err(|_| too_large())?;
        bytes.extend_from_slice(&count.to_le_bytes());
        let mut descriptions = self.descriptions.clone();
        descriptions.sort_by_key(|description| description.code);
        for description in descriptions {
            let code = distance(address, text + u64::from(description.code))?;
            let record = distance(address, section + description.record as u64)?;
            bytes.extend_from_slice(&code.to_le_bytes());
            bytes.extend_from_slice(&record.to_le_bytes());
        }
        Ok(bytes)
    }
}

/// How far it is from one address to another.
fn distance(from: u64, to: u64) -> Result<i32, Error> {
    i32::try_from(to.wrapping_sub(from).cast_signed()).map_err(|_| too_large())
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// Whether descriptions with this common part are written as [`RELATIVE`] says and have nothing else in them that would have to be relocated.
fn check_common(record: &[u8]) -> Result<(), Error> {
    let mut rest = record.get(8..).unwrap_or_default().iter().copied();
    let version = rest.next();
    let augmentation: Vec<u8> = rest.by_ref().take_while(|&byte| byte != 0).collect();
    if version != Some(1) || augmentation != b"zR" {
        return Err(malformed("an unknown version or augmentation"));
    }
    // Factors of code and data offsets, of variable length; the return address's register; the length of what follows.
    for _ in 0..2 {
        while rest.next().is_some_and(|byte| byte & 0x80 != 0) {}
    }
    let (_, length, encoding) = (rest.next(), rest.next(), rest.next());
    if length == Some(1) && encoding == Some(RELATIVE) { Ok(()) } else { Err(malformed("an unknown encoding")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::{BaseAddresses, EhFrame, EhFrameHdr, LittleEndian, UnwindSection};

    /// A section at address 1 << 20 with one common part and descriptions of functions of 16 bytes each, for a text at 0.
    fn object(functions: &[u32]) -> UnwindTable {
        let address = 1 << 20;
        let mut bytes =
            vec![20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, RELATIVE, 0x0c, 7, 8, 0x90, 1, 0, 0];
        for &function in functions {
            let start = u32::try_from(bytes.len()).expect("small");
            let relative = i64::from(function) - i64::from(address + start + 8);
            bytes.extend_from_slice(&16_u32.to_le_bytes());
            bytes.extend_from_slice(&(start + 4).to_le_bytes());
            bytes.extend_from_slice(&i32::try_from(relative).expect("small").to_le_bytes());
            bytes.extend_from_slice(&16_u32.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
        }
        UnwindTable { eh_frame: bytes.into(), eh_frame_address: address.into(), text_address: 0, index: None }
    }

    #[test]
    fn descriptions_of_several_objects_are_found_through_the_header() {
        let mut frames = Frames::default();
        frames.add(&object(&[0, 32]), 0).expect("it is well-formed");
        frames.add(&object(&[16, 64]), 0x100).expect("it is well-formed");
        let (text, header, section) = (0x4000, 0x9000, 0x9100);
        let header_bytes = frames.header(header, section, text).expect("all is near");
        let bytes = frames.section(section, text).expect("all is near");
        assert_eq!(bytes.len(), frames.size());
        // The common part is there once.
        assert_eq!(bytes.len(), 24 + 4 * 20 + 4);
        let bases = BaseAddresses::default().set_eh_frame(section).set_eh_frame_hdr(header);
        let frames = EhFrame::new(&bytes, LittleEndian);
        let parsed = EhFrameHdr::new(&header_bytes, LittleEndian).parse(&bases, 8).expect("it is well-formed");
        assert_eq!(parsed.eh_frame_ptr(), gimli::Pointer::Direct(section));
        let table = parsed.table().expect("it has a table");
        for code in [0, 32, 0x110, 0x140] {
            let found = table.fde_for_address(&frames, &bases, text + code + 15, EhFrame::cie_from_offset);
            assert_eq!(found.expect("it is described").initial_address(), text + code);
            let found = frames.fde_for_address(&bases, text + code, EhFrame::cie_from_offset);
            assert_eq!(found.expect("it is described").initial_address(), text + code);
        }
        assert!(table.fde_for_address(&frames, &bases, text + 16, EhFrame::cie_from_offset).is_err());
    }

    #[test]
    fn distances_beyond_two_gibibytes_are_refused() {
        let mut frames = Frames::default();
        frames.add(&object(&[0]), 0).expect("it is well-formed");
        assert_eq!(frames.section(3 << 30, 0).expect_err("it is too far").kind, ErrorKind::Limit);
        assert_eq!(frames.header(0, 3 << 30, 0).expect_err("it is too far").kind, ErrorKind::Limit);
    }

    #[test]
    fn what_is_cut_or_unknown_is_refused() {
        let whole = object(&[0, 32]);
        for end in 1..whole.eh_frame.len() {
            let eh_frame = whole.eh_frame.slice(0..end).expect("it is within");
            let cut = UnwindTable { eh_frame, ..whole.clone() };
            assert_eq!(Frames::default().add(&cut, 0).is_ok(), end == 24 || end == 44, "{end}");
        }
        for position in [8, 9, 10, 15, 16] {
            let mut bytes = whole.eh_frame.to_vec();
            bytes[position] ^= 0x40;
            let changed = UnwindTable { eh_frame: bytes.into(), ..whole.clone() };
            assert!(Frames::default().add(&changed, 0).is_err(), "{position}");
        }
    }
}
