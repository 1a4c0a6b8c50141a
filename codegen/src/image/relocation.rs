//! One relocation: a place in code or constants that is given the address of something else, relative to its own.
//!
//! Here are the kinds that LLVM uses in position-independent code of the small code model where every symbol is hidden (found by compiling real programs for both
//! architectures). Any other kind is refused: it would need a table of addresses or a dynamic linker.

use crate::ir::context::Arch;
use object::elf::{self, RelocationType};
use std::fmt;

/// Why a relocation cannot be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The kind is none of those that are known.
    Unknown(RelocationType),
    /// The target is too far away.
    TooFar,
    /// The target is not aligned as the instruction wants it.
    Misaligned,
    /// The place is not within the section.
    Beyond,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(ty) => write!(f, "its kind is {}", ty.0),
            Self::TooFar => f.write_str("the target is too far away"),
            Self::Misaligned => f.write_str("the target is not aligned"),
            Self::Beyond => f.write_str("it is beyond its section"),
        }
    }
}

/// Resolves the relocation at `offset` in `section`, which is at address `place`, to `target` (symbol plus addend).
pub(super) fn resolve(
    arch: Arch,
    ty: RelocationType,
    section: &mut [u8],
    offset: usize,
    place: u64,
    target: u64,
) -> Result<(), Fault> {
    let relative = target.wrapping_sub(place).cast_signed();
    let rest = section.get_mut(offset..).ok_or(Fault::Beyond)?;
    match (arch, ty) {
        (Arch::X86_64, elf::R_X86_64_PC32 | elf::R_X86_64_PLT32) | (Arch::Aarch64, elf::R_AARCH64_PREL32) => {
            let value = i32::try_from(relative).map_err(|_| Fault::TooFar)?;
            *rest.first_chunk_mut().ok_or(Fault::Beyond)? = value.to_le_bytes();
        }
        (Arch::X86_64, elf::R_X86_64_PC64) | (Arch::Aarch64, elf::R_AARCH64_PREL64) => {
            *rest.first_chunk_mut().ok_or(Fault::Beyond)? = relative.to_le_bytes();
        }
        (Arch::Aarch64, elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26) => {
            insert(rest, signed(aligned(relative, 2)?, 26)?, 0)?;
        }
        (Arch::Aarch64, elf::R_AARCH64_ADR_PREL_PG_HI21) => {
            let pages = (target >> 12).wrapping_sub(place >> 12).cast_signed();
            let field = signed(pages, 21)?;
            insert(rest, Field { bits: field.bits & 3, width: 2 }, 29)?;
            insert(rest, Field { bits: field.bits >> 2, width: 19 }, 5)?;
        }
        (Arch::Aarch64, _) => {
            // The low 12 bits of an address, counted in what an instruction accesses.
            let shift = match ty {
                elf::R_AARCH64_ADD_ABS_LO12_NC | elf::R_AARCH64_LDST8_ABS_LO12_NC => 0,
                elf::R_AARCH64_LDST16_ABS_LO12_NC => 1,
                elf::R_AARCH64_LDST32_ABS_LO12_NC => 2,
                elf::R_AARCH64_LDST64_ABS_LO12_NC => 3,
                elf::R_AARCH64_LDST128_ABS_LO12_NC => 4,
                _ => return Err(Fault::Unknown(ty)),
            };
            let low = aligned((target & 0xfff).cast_signed(), shift)?;
            insert(rest, Field { bits: low_bits(low), width: 12 }, 10)?;
        }
        (Arch::X86_64, _) => return Err(Fault::Unknown(ty)),
    }
    Ok(())
}

/// Part of an instruction.
#[derive(Clone, Copy)]
struct Field {
    bits: u32,
    width: u32,
}

/// `value` without its lowest `shift` bits, which must be 0.
fn aligned(value: i64, shift: u32) -> Result<i64, Fault> {
    if value & ((1 << shift) - 1) == 0 { Ok(value >> shift) } else { Err(Fault::Misaligned) }
}

/// `value` as a signed field of `width` bits.
fn signed(value: i64, width: u32) -> Result<Field, Fault> {
    let limit = 1_i64 << (width - 1);
    if !(-limit..limit).contains(&value) {
        return Err(Fault::TooFar);
    }
    Ok(Field { bits: low_bits(value & ((1 << width) - 1)), width })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is a field of an instruction")]
fn low_bits(value: i64) -> u32 {
    value as u32
}

/// Puts `field` into the instruction at the beginning of `bytes`, from bit `position` on.
fn insert(bytes: &mut [u8], field: Field, position: u32) -> Result<(), Fault> {
    let word: &mut [u8; 4] = bytes.first_chunk_mut().ok_or(Fault::Beyond)?;
    let mask = ((1 << field.width) - 1) << position;
    *word = (u32::from_le_bytes(*word) & !mask | (field.bits << position) & mask).to_le_bytes();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: u64 = 0x1_0000_0000;

    fn arm(ty: RelocationType, instruction: u32, target: u64) -> Result<u32, Fault> {
        let mut bytes = instruction.to_le_bytes();
        resolve(Arch::Aarch64, ty, &mut bytes, 0, PLACE, target)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn x86(ty: RelocationType, target: u64) -> Result<i32, Fault> {
        let mut bytes = [0; 8];
        resolve(Arch::X86_64, ty, &mut bytes, 2, PLACE, target)?;
        assert_eq!((bytes[0], bytes[1], bytes[6], bytes[7]), (0, 0, 0, 0));
        Ok(i32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]))
    }

    #[test]
    fn displacements_reach_two_gibibytes() {
        assert_eq!(x86(elf::R_X86_64_PLT32, PLACE - 4), Ok(-4));
        assert_eq!(x86(elf::R_X86_64_PC32, PLACE + 0x7fff_ffff), Ok(i32::MAX));
        assert_eq!(x86(elf::R_X86_64_PC32, PLACE + 0x8000_0000), Err(Fault::TooFar));
        assert_eq!(x86(elf::R_X86_64_PC32, PLACE - 0x8000_0000), Ok(i32::MIN));
        assert_eq!(x86(elf::R_X86_64_PC32, PLACE - 0x8000_0001), Err(Fault::TooFar));
    }

    #[test]
    fn branches_reach_128_mebibytes() {
        // `bl .`
        let call = |target| arm(elf::R_AARCH64_CALL26, 0x9400_0000, target);
        assert_eq!(call(PLACE + 8), Ok(0x9400_0002));
        assert_eq!(call(PLACE - 4), Ok(0x97ff_ffff));
        assert_eq!(call(PLACE + (1 << 27) - 4), Ok(0x95ff_ffff));
        assert_eq!(call(PLACE + (1 << 27)), Err(Fault::TooFar));
        assert_eq!(call(PLACE - (1 << 27)), Ok(0x9600_0000));
        assert_eq!(call(PLACE - (1 << 27) - 4), Err(Fault::TooFar));
        assert_eq!(call(PLACE + 2), Err(Fault::Misaligned));
    }

    #[test]
    fn addresses_are_a_page_and_an_offset() {
        // `adrp x1, .`, as the architecture's manual encodes pages 1, -1 and 6.
        let page = |target| arm(elf::R_AARCH64_ADR_PREL_PG_HI21, 0x9000_0001, target);
        assert_eq!(page(PLACE + 0x1fff), Ok(0xb000_0001));
        assert_eq!(page(PLACE - 1), Ok(0xf0ff_ffe1));
        assert_eq!(page(PLACE + 0x6000), Ok(0xd000_0021));
        assert_eq!(page(PLACE + (1 << 32)), Err(Fault::TooFar));
        // `add x1, x1, #0` and `ldr q0, [x1]`.
        assert_eq!(arm(elf::R_AARCH64_ADD_ABS_LO12_NC, 0x9100_0021, 0x7123), Ok(0x9104_8c21));
        assert_eq!(arm(elf::R_AARCH64_LDST128_ABS_LO12_NC, 0x3dc0_0020, 0x7120), Ok(0x3dc0_4820));
        assert_eq!(arm(elf::R_AARCH64_LDST128_ABS_LO12_NC, 0x3dc0_0020, 0x7128), Err(Fault::Misaligned));
        assert_eq!(arm(elf::R_AARCH64_LDST64_ABS_LO12_NC, 0xfd40_0020, 0x7ff8), Ok(0xfd47_fc20));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(x86(elf::R_X86_64_64, PLACE), Err(Fault::Unknown(elf::R_X86_64_64)));
        assert_eq!(x86(elf::R_X86_64_GOTPCREL, PLACE), Err(Fault::Unknown(elf::R_X86_64_GOTPCREL)));
        assert_eq!(arm(elf::R_AARCH64_ABS64, 0, PLACE), Err(Fault::Unknown(elf::R_AARCH64_ABS64)));
        assert_eq!(arm(elf::R_AARCH64_ADR_GOT_PAGE, 0, PLACE), Err(Fault::Unknown(elf::R_AARCH64_ADR_GOT_PAGE)));
        let mut bytes = [0; 4];
        let beyond = |offset, bytes: &mut [u8]| resolve(Arch::X86_64, elf::R_X86_64_PC32, bytes, offset, PLACE, PLACE);
        assert_eq!(beyond(1, &mut bytes), Err(Fault::Beyond));
        assert_eq!(beyond(5, &mut bytes), Err(Fault::Beyond));
        assert_eq!(beyond(0, &mut bytes), Ok(()));
    }
}
