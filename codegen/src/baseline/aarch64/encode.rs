//! [`Encoder`]: instructions of AArch64 as words (Arm Architecture Reference Manual for A-profile, C4.1 and C6.2), and jumps within the code.
//!
//! An operation is the instruction's word with all fields 0 that its method fills in. Register 31 is the stack pointer or zero, as the instruction has it.

use super::super::masm::{Cond, Label};
use crate::error::{Error, ErrorKind};

/// The number of the stack pointer, and of the register that is always zero.
pub(super) const SP: u8 = 31;
pub(super) const ZR: u8 = 31;

/// Operations on registers: [`Encoder::rrr`], those with one operand [`Encoder::rr`].
pub(super) mod op {
    pub(in super::super) const AND: u32 = 0x0a00_0000;
    pub(in super::super) const ORR: u32 = 0x2a00_0000;
    pub(in super::super) const EOR: u32 = 0x4a00_0000;
    pub(in super::super) const ADD: u32 = 0x0b00_0000;
    pub(in super::super) const SUB: u32 = 0x4b00_0000;
    pub(in super::super) const SUBS: u32 = 0x6b00_0000;
    pub(in super::super) const MUL: u32 = 0x1b00_7c00;
    /// `rd = ra - rn * rm`, the register `ra` in bits 10 to 14.
    pub(in super::super) const MSUB: u32 = 0x1b00_8000;
    pub(in super::super) const UDIV: u32 = 0x1ac0_0800;
    pub(in super::super) const SDIV: u32 = 0x1ac0_0c00;
    pub(in super::super) const LSLV: u32 = 0x1ac0_2000;
    pub(in super::super) const LSRV: u32 = 0x1ac0_2400;
    pub(in super::super) const ASRV: u32 = 0x1ac0_2800;
    pub(in super::super) const RORV: u32 = 0x1ac0_2c00;
    /// With a condition in bits 12 to 15.
    pub(in super::super) const CSEL: u32 = 0x1a80_0000;
    pub(in super::super) const CSINC: u32 = 0x1a80_0400;
    pub(in super::super) const RBIT: u32 = 0x5ac0_0000;
    pub(in super::super) const CLZ: u32 = 0x5ac0_1000;
}

/// Operations with an immediate: of 12 bits ([`Encoder::rri`]), logical ([`Encoder::logical`]), and on fields of bits ([`Encoder::bits`]).
pub(super) mod imm {
    pub(in super::super) const ADD: u32 = 0x1100_0000;
    pub(in super::super) const SUB: u32 = 0x5100_0000;
    pub(in super::super) const ADDS: u32 = 0x3100_0000;
    pub(in super::super) const SUBS: u32 = 0x7100_0000;
    pub(in super::super) const AND: u32 = 0x1200_0000;
    pub(in super::super) const ORR: u32 = 0x3200_0000;
    pub(in super::super) const EOR: u32 = 0x5200_0000;
    pub(in super::super) const SBFM: u32 = 0x1300_0000;
    pub(in super::super) const UBFM: u32 = 0x5300_0000;
    /// `ror`, with the register given twice.
    pub(in super::super) const EXTR: u32 = 0x1380_0000;
}

const MOVN: u32 = 0x1280_0000;
const MOVZ: u32 = 0x5280_0000;
const MOVK: u32 = 0x7280_0000;

/// A load or store of one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// How many bytes: the logarithm.
    size: u8,
    /// Store, load with zeros, load with signs to 64 or 32 bits.
    opc: u8,
    vector: bool,
}

impl Access {
    pub(super) const STORE_8: Self = Self::integer(0, 0);
    pub(super) const STORE_16: Self = Self::integer(1, 0);
    pub(super) const STORE_32: Self = Self::integer(2, 0);
    pub(super) const STORE_64: Self = Self::integer(3, 0);
    pub(super) const LOAD_8: Self = Self::integer(0, 1);
    pub(super) const LOAD_16: Self = Self::integer(1, 1);
    pub(super) const LOAD_32: Self = Self::integer(2, 1);
    pub(super) const LOAD_64: Self = Self::integer(3, 1);
    pub(super) const LOAD_S8: [Self; 2] = [Self::integer(0, 3), Self::integer(0, 2)];
    pub(super) const LOAD_S16: [Self; 2] = [Self::integer(1, 3), Self::integer(1, 2)];
    pub(super) const LOAD_S32: Self = Self::integer(2, 2);
    pub(super) const STORE_S: Self = Self::float(2, 0);
    pub(super) const STORE_D: Self = Self::float(3, 0);
    pub(super) const LOAD_S: Self = Self::float(2, 1);
    pub(super) const LOAD_D: Self = Self::float(3, 1);

    const fn integer(size: u8, opc: u8) -> Self {
        Self { size, opc, vector: false }
    }

    const fn float(size: u8, opc: u8) -> Self {
        Self { size, opc, vector: true }
    }

    fn word(self, form: u32) -> u32 {
        form | u32::from(self.size) << 30 | u32::from(self.opc) << 22 | u32::from(self.vector) << 26
    }

    /// The instruction's bits for an offset, if it has room for it: scaled without a sign, or of nine bits with one.
    fn offset(self, offset: i64) -> Option<u32> {
        let scaled = offset >> self.size;
        if scaled << self.size == offset && (0..0x1000).contains(&scaled) {
            return Some(self.word(0x3900_0000) | (scaled as u32) << 10);
        }
        (-0x100..0x100).contains(&offset).then(|| self.word(0x3800_0000) | (offset as u32 & 0x1ff) << 12)
    }

    /// Whether there is room for an offset.
    pub(super) fn reaches(self, offset: i64) -> bool {
        self.offset(offset).is_some()
    }
}

/// How a distance is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The 26 bits of `b`.
    Jump,
    /// The 19 bits of `b.cond`.
    Branch,
    /// A whole word, counted from this place.
    Word(u32),
}

/// Instructions, one after the other.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    pub(super) code: Vec<u8>,
    /// Where labels are; `None` as long as that is not known.
    labels: Vec<Option<u32>>,
    /// Distances to be filled in, and where.
    fixups: Vec<(Label, u32, Form)>,
    /// Something did not fit its instruction.
    pub(super) too_far: bool,
}

fn reg(number: u8, at: u32) -> u32 {
    u32::from(number) << at
}

fn sf(wide: bool) -> u32 {
    u32::from(wide) << 31
}

impl Encoder {
    /// Where the next instruction will be.
    pub(super) fn here(&self) -> u32 {
        self.code.len() as u32
    }

    pub(super) fn word(&mut self, word: u32) {
        self.code.extend_from_slice(&word.to_le_bytes());
    }

    pub(super) fn rrr(&mut self, op: u32, wide: bool, rd: u8, rn: u8, rm: u8) {
        self.word(op | sf(wide) | reg(rm, 16) | reg(rn, 5) | reg(rd, 0));
    }

    pub(super) fn rr(&mut self, op: u32, wide: bool, rd: u8, rn: u8) {
        self.word(op | sf(wide) | reg(rn, 5) | reg(rd, 0));
    }

    /// With the 12 bits of `value`, or (`high`) these times 4096.
    pub(super) fn rri(&mut self, op: u32, wide: bool, rd: u8, rn: u8, value: u32, high: bool) {
        self.word(op | sf(wide) | u32::from(high) << 22 | (value & 0xfff) << 10 | reg(rn, 5) | reg(rd, 0));
    }

    pub(super) fn logical(&mut self, op: u32, wide: bool, rd: u8, rn: u8, mask: u32) {
        self.word(op | sf(wide) | mask | reg(rn, 5) | reg(rd, 0));
    }

    /// `sbfm`, `ubfm`.
    pub(super) fn bits(&mut self, op: u32, wide: bool, rd: u8, rn: u8, immr: u8, imms: u8) {
        self.word(op | sf(wide) | u32::from(wide) << 22 | reg(immr, 16) | reg(imms, 10) | reg(rn, 5) | reg(rd, 0));
    }

    /// `extr`: as [`Encoder::bits`], with a register where that has its first number.
    pub(super) fn rotate(&mut self, wide: bool, rd: u8, rn: u8, amount: u8) {
        self.bits(imm::EXTR, wide, rd, rn, rn, amount);
    }

    pub(super) fn select(&mut self, op: u32, cond: Cond, rd: u8, rn: u8, rm: u8) {
        self.rrr(op | reg(cond.0, 12), op == op::CSEL, rd, rn, rm);
    }

    /// `rd = value` in as few instructions as that takes, or nearly.
    pub(super) fn constant(&mut self, rd: u8, value: u64) {
        // What is written to the lower half makes the upper one 0.
        let wide = value > u64::from(u32::MAX);
        let halves: &[u32] = if wide { &[0, 1, 2, 3] } else { &[0, 1] };
        let half = |value: u64, at: u32| (value >> (16 * at)) as u32 & 0xffff;
        let zeros = halves.iter().filter(|&&at| half(value, at) == 0).count();
        let ones = halves.iter().filter(|&&at| half(value, at) == 0xffff).count();
        if let Some(mask) = logical_mask(value, wide).filter(|_| zeros.max(ones) + 1 < halves.len()) {
            return self.logical(imm::ORR, wide, rd, ZR, mask);
        }
        let put = |masm: &mut Self, op: u32, at: u32, half: u32| {
            masm.word(op | sf(wide) | at << 21 | half << 5 | reg(rd, 0));
        };
        let inverted = ones > zeros;
        let filler = if inverted { 0xffff } else { 0 };
        let first = halves.iter().copied().find(|&at| half(value, at) != filler).unwrap_or(0);
        if inverted {
            put(self, MOVN, first, half(!value, first));
        } else {
            put(self, MOVZ, first, half(value, first));
        }
        for &at in halves.iter().filter(|&&at| at > first && half(value, at) != filler) {
            put(self, MOVK, at, half(value, at));
        }
    }

    /// Loads or stores at `base + offset`, an offset that it [reaches](Access::reaches).
    pub(super) fn access(&mut self, access: Access, rt: u8, base: u8, offset: i64) {
        match access.offset(offset) {
            Some(word) => self.word(word | reg(base, 5) | reg(rt, 0)),
            None => self.too_far = true,
        }
    }

    /// Loads or stores at `base + index`.
    pub(super) fn access_indexed(&mut self, access: Access, rt: u8, base: u8, index: u8) {
        self.word(access.word(0x3820_6800) | reg(index, 16) | reg(base, 5) | reg(rt, 0));
    }

    /// `ldrsw rt, [base, index, lsl #2]`
    pub(super) fn load_entry(&mut self, rt: u8, base: u8, index: u8) {
        self.word(Access::LOAD_S32.word(0x3820_7800) | reg(index, 16) | reg(base, 5) | reg(rt, 0));
    }

    fn pair(&mut self, form: u32, a: u8, b: u8, base: u8, words: u32) {
        self.word(form | (words & 0x7f) << 15 | reg(b, 10) | reg(base, 5) | reg(a, 0));
    }

    /// `stp a, b, [base, words * 8]`, of at most 63 words.
    pub(super) fn store_pair(&mut self, a: u8, b: u8, base: u8, words: u32) {
        self.pair(0xa900_0000, a, b, base, words);
    }

    /// `stp a, b, [base], words * 8`
    pub(super) fn store_pair_after(&mut self, a: u8, b: u8, base: u8, words: u32) {
        self.pair(0xa880_0000, a, b, base, words);
    }

    /// `ldp a, b, [base, words * 8]`
    pub(super) fn load_pair(&mut self, a: u8, b: u8, base: u8, words: u32) {
        self.pair(0xa940_0000, a, b, base, words);
    }

    /// `adr rd, . + distance`, of less than 2¹⁸ bytes and a multiple of four.
    pub(super) fn adr(&mut self, rd: u8, distance: u32) {
        self.word(0x1000_0000 | (distance >> 2) << 5 | reg(rd, 0));
    }

    pub(super) fn br(&mut self, to: u8) {
        self.word(0xd61f_0000 | reg(to, 5));
    }

    pub(super) fn blr(&mut self, to: u8) {
        self.word(0xd63f_0000 | reg(to, 5));
    }

    pub(super) fn ret(&mut self) {
        self.word(0xd65f_03c0);
    }

    pub(super) fn brk(&mut self, operand: u16) {
        self.word(0xd420_0000 | u32::from(operand) << 5);
    }

    pub(super) fn nop(&mut self) {
        self.word(0xd503_201f);
    }

    /// A new label.
    pub(super) fn new_label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }

    /// Puts a label here.
    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0 as usize] = Some(self.here());
    }

    /// `b`
    pub(super) fn jump(&mut self, to: Label) {
        self.fixups.push((to, self.here(), Form::Jump));
        self.word(0x1400_0000);
    }

    /// `b.cond`, which reaches a mebibyte; what is known to be farther back is jumped to, and what turns out to be farther ahead is [`Encoder::too_far`].
    pub(super) fn branch(&mut self, cond: Cond, to: Label) {
        let known = self.labels[to.0 as usize];
        if known.is_some_and(|target| self.here() - target > 1 << 20) {
            // Past the next instruction.
            self.word(0x5400_0040 | reg(cond.0 ^ 1, 0));
            return self.jump(to);
        }
        self.fixups.push((to, self.here(), Form::Branch));
        self.word(0x5400_0000 | reg(cond.0, 0));
    }

    /// Writes the distance of `label` from the offset `from` as a word.
    pub(super) fn distance_to(&mut self, label: Label, from: u32) {
        self.fixups.push((label, self.here(), Form::Word(from)));
        self.word(0);
    }

    /// Fills in all distances.
    ///
    /// # Errors
    /// `Limit` when something in the code since the last time is too far away, or too large, for the instruction that is to have it.
    pub(super) fn finish_labels(&mut self) -> Result<(), Error> {
        for (label, place, form) in std::mem::take(&mut self.fixups) {
            // A label that is jumped to is put somewhere before the function ends.
            let target = self.labels[label.0 as usize].unwrap_or(place);
            self.fill_in(place, target, form);
        }
        self.labels.clear();
        if std::mem::take(&mut self.too_far) {
            return Err(Error::new(ErrorKind::Limit, "a function is too large"));
        }
        Ok(())
    }

    fn fill_in(&mut self, place: u32, target: u32, form: Form) {
        let distance = i64::from(target) - i64::from(place);
        let (bits, at) = match form {
            Form::Jump => (26, 0),
            Form::Branch => (19, 5),
            Form::Word(from) => return self.patch(place, target.wrapping_sub(from)),
        };
        let words = distance >> 2;
        if words != words << (64 - bits) >> (64 - bits) {
            self.too_far = true;
        }
        let field = (words as u32 & ((1 << bits) - 1)) << at;
        let word = self.at(place) | field;
        self.patch(place, word);
    }

    fn at(&self, place: u32) -> u32 {
        let bytes = self.code[place as usize..].first_chunk().copied().unwrap_or_default();
        u32::from_le_bytes(bytes)
    }

    /// Replaces an instruction.
    pub(super) fn patch(&mut self, place: u32, word: u32) {
        let place = place as usize;
        self.code[place..place + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// Replaces an instruction by `b` to the offset `target`.
    pub(super) fn patch_jump(&mut self, place: u32, target: u32) {
        self.patch(place, 0x1400_0000);
        self.fill_in(place, target, Form::Jump);
    }

    /// Replaces an instruction by what `write` writes, which is one.
    pub(super) fn replace(&mut self, place: u32, write: impl FnOnce(&mut Self)) {
        let end = self.code.len();
        write(self);
        let word = self.at(end as u32);
        self.code.truncate(end);
        self.patch(place, word);
    }
}

/// The bits of a logical instruction that mean `value`, if it can be meant: a run of ones, rotated, and repeated to fill the register.
pub(super) fn logical_mask(value: u64, wide: bool) -> Option<u32> {
    let value = if wide { value } else { value & 0xffff_ffff | value << 32 };
    if value == 0 || value == u64::MAX {
        return None;
    }
    let mut size = 64;
    while size > 2 && value.rotate_right(size / 2) == value {
        size /= 2;
    }
    let all = u64::MAX >> (64 - size);
    let (pattern, ones) = (value & all, (value & all).count_ones());
    let run = u64::MAX >> (64 - ones);
    // How far the run was rotated to the left: what lies below it, or above its lower part.
    let left = match pattern & 1 {
        0 => pattern.trailing_zeros(),
        _ => (size - (ones - pattern.trailing_ones())) % size,
    };
    let rotated = (run << left | run.checked_shr(size - left).unwrap_or(0)) & all;
    if rotated != pattern {
        return None;
    }
    let immr = (size - left) % size;
    let imms = !(2 * size - 1) & 0x3f | (ones - 1);
    Some(u32::from(size == 64) << 22 | immr << 16 | imms << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a mask means (Arm Architecture Reference Manual, `DecodeBitMasks`), for registers of 64 bits; `None` for those that are reserved.
    fn meaning(mask: u32) -> Option<u64> {
        let (n, immr, imms) = (mask >> 22 & 1, mask >> 16 & 0x3f, mask >> 10 & 0x3f);
        let length = 31_u32.checked_sub((n << 6 | !imms & 0x3f).leading_zeros())?;
        let size = 1 << length;
        let (ones, rotated) = ((imms & (size - 1)) + 1, immr & (size - 1));
        if length == 0 || ones == size || immr != rotated {
            return None;
        }
        let bit = |at: u32| u64::from((at + rotated) % size < ones) << at;
        let pattern = (0..size).map(bit).fold(0, |all, bit| all | bit);
        Some((0..64 / size).fold(0, |all, times| all | pattern << (times * size)))
    }

    #[test]
    fn all_logical_masks_are_found_and_no_others() {
        let mut found = 0;
        for mask in 0..1 << 13 {
            let mask = mask << 10;
            let Some(value) = meaning(mask) else { continue };
            found += 1;
            assert_eq!(logical_mask(value, true), Some(mask), "{value:#x}");
            if mask >> 22 == 0 {
                assert_eq!(logical_mask(value & 0xffff_ffff, false), Some(mask), "{value:#x}");
            }
        }
        assert_eq!(found, 5334);
        for value in [0, u64::MAX, 5, 0x1234, 0xff00_ff01, 1 << 40 | 1] {
            assert_eq!(logical_mask(value, true), None, "{value:#x}");
        }
        assert_eq!(logical_mask(u32::MAX.into(), false), None);
    }

    /// What the instructions that [`Encoder::constant`] writes make of the register.
    fn executed(code: &[u8]) -> u64 {
        let mut value = 0x5555_5555_5555_5555_u64;
        for word in code.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])) {
            let (wide, at, half) = (word >> 31 == 1, 16 * (word >> 21 & 3), u64::from(word >> 5 & 0xffff));
            value = match word & 0x7f80_0000 {
                MOVZ => half << at,
                MOVN => !(half << at),
                MOVK => value & !(0xffff << at) | half << at,
                imm::ORR => meaning(word & 0x007f_fc00).expect("the mask is right"),
                _ => panic!("{word:#x} is something else"),
            };
            if !wide {
                value &= 0xffff_ffff;
            }
        }
        value
    }

    #[test]
    fn constants_are_what_they_should_be() {
        let halves = [0, 1, 0xffff, 0xff, 0x8000, 0x1234];
        for [a, b] in halves.map(|a| halves.map(|b| [a, b])).into_iter().flatten() {
            for [c, d] in halves.map(|c| halves.map(|d| [c, d])).into_iter().flatten() {
                let value = a | b << 16 | c << 32 | d << 48;
                let mut encoder = Encoder::default();
                encoder.constant(7, value);
                assert_eq!(executed(&encoder.code), value, "{value:#x}");
                assert!(encoder.code.len() <= 16);
            }
        }
    }

    #[test]
    fn what_is_too_far_away_is_said_to_be() {
        let jump = |distance: usize| {
            let mut encoder = Encoder::default();
            let label = encoder.new_label();
            encoder.branch(Cond(0), label);
            encoder.code.resize(distance, 0);
            encoder.bind(label);
            encoder.finish_labels().map(|()| encoder)
        };
        let near = jump((1 << 20) - 4).expect("it is just near enough");
        assert_eq!(near.at(0), 0x547f_ffe0);
        assert_eq!(jump(1 << 20).expect_err("it is too far").kind, ErrorKind::Limit);

        let mut encoder = Encoder::default();
        let label = encoder.new_label();
        encoder.bind(label);
        encoder.code.resize((1 << 20) + 4, 0);
        let place = encoder.here();
        encoder.branch(Cond(0), label);
        encoder.finish_labels().expect("there is another jump");
        // b.ne, past the jump
        assert_eq!(encoder.at(place), 0x5400_0041);
        assert_eq!(encoder.at(place + 4), 0x17fb_fffe);
    }
}
