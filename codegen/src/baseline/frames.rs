//! Call frame information in the form of an `.eh_frame` section (DWARF 5, 6.4; Linux Standard Base 5.0, 10.6).

use super::masm::Masm;
use crate::object::SECTION_ADDRESS;

/// What does nothing, to fill records up.
const NOP: u8 = 0;

/// Keeps all that is described as it is, until [`RESTORE_STATE`].
pub(super) const REMEMBER: u8 = 0x0a;
pub(super) const RESTORE_STATE: u8 = 0x0b;
/// With a register's number, which is below 64: it is in the frame, so far (a [`number`] of words) below its end.
pub(super) const OFFSET: u8 = 0x80;
/// Likewise: it is as it was.
pub(super) const RESTORE: u8 = 0xc0;
/// The same for any register.
const OFFSET_EXTENDED: u8 = 0x05;
const RESTORE_EXTENDED: u8 = 0x06;

/// Appends how far the code is from the place that was described last.
pub(super) fn advance(description: &mut Vec<u8>, from: &mut u32, to: u32) {
    let distance = to - *from;
    *from = to;
    match (u8::try_from(distance), u16::try_from(distance)) {
        (Ok(0), _) => {}
        (Ok(distance @ 0..0x40), _) => description.push(0x40 | distance),
        (Ok(distance), _) => description.extend_from_slice(&[0x02, distance]),
        (_, Ok(distance)) => {
            description.push(0x03);
            description.extend_from_slice(&distance.to_le_bytes());
        }
        _ => {
            description.push(0x04);
            description.extend_from_slice(&distance.to_le_bytes());
        }
    }
}

/// Appends that the frame is `size` bytes in size, all that lies above the stack pointer included.
pub(super) fn frame_size(description: &mut Vec<u8>, size: u32) {
    description.push(0x0e);
    number(description, size);
}

/// Appends that registers of the caller are in the frame, each with its number in DWARF and how many words below the frame's end.
pub(super) fn kept(description: &mut Vec<u8>, registers: impl Iterator<Item = (u8, u32)>) {
    for (register, words) in registers {
        match register {
            0..64 => description.push(OFFSET | register),
            _ => description.extend_from_slice(&[OFFSET_EXTENDED, register]),
        }
        number(description, words);
    }
}

/// Appends that they are as they were.
pub(super) fn restored(description: &mut Vec<u8>, registers: impl Iterator<Item = (u8, u32)>) {
    for (register, _) in registers {
        match register {
            0..64 => description.push(RESTORE | register),
            _ => description.extend_from_slice(&[RESTORE_EXTENDED, register]),
        }
    }
}

/// Appends a number (LEB128).
#[allow(clippy::cast_possible_truncation, reason = "seven bits")]
pub(super) fn number(description: &mut Vec<u8>, mut rest: u32) {
    while rest >= 0x80 {
        description.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    description.push(rest as u8);
}

/// The section for functions whose code begins and ends at these offsets, each with what is particular to it. It is taken to lie at [`SECTION_ADDRESS`], the code at 0.
pub(super) fn section<'a, M: Masm>(functions: impl Iterator<Item = (u32, u32, &'a [u8])>) -> Vec<u8> {
    let mut section = Vec::with_capacity(512);
    record(&mut section, 0, M::COMMON_FRAME);
    for (start, end, frame) in functions {
        let place = section.len() + 8;
        let mut description = Vec::with_capacity(16 + frame.len());
        let address = SECTION_ADDRESS.wrapping_add(place as u64);
        #[allow(clippy::cast_possible_truncation, reason = "both are below 2³¹")]
        let relative = u64::from(start).wrapping_sub(address) as u32;
        description.extend_from_slice(&relative.to_le_bytes());
        description.extend_from_slice(&(end - start).to_le_bytes());
        // No more about this function.
        description.push(0);
        description.extend_from_slice(frame);
        // Where the common part begins, counted back from here.
        let back = u32::try_from(section.len() + 4).unwrap_or(u32::MAX);
        record(&mut section, back, &description);
    }
    section
}

fn record(section: &mut Vec<u8>, id: u32, content: &[u8]) {
    let length = (4 + content.len()).next_multiple_of(4);
    section.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    section.extend_from_slice(&id.to_le_bytes());
    section.extend_from_slice(content);
    let filled = section.len().next_multiple_of(4);
    section.resize(filled, NOP);
}
