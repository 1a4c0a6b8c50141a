//! [`Encoder`]: x86-64 instructions as bytes (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2), and jumps within the code.

use super::super::masm::Label;

/// The second operand of an instruction: what its ModRM byte says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rm {
    /// A register.
    Reg(u8),
    /// Memory.
    Mem(Mem),
}

/// A place in memory: a register, another one times a power of two if there is one, and a displacement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mem {
    pub(super) base: u8,
    /// The register, and the power.
    pub(super) index: Option<(u8, u8)>,
    pub(super) displacement: i32,
}

/// An instruction without its operands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    /// A prefix that belongs to the operation: 0x66, 0xf2, 0xf3; 0 for none.
    prefix: u8,
    /// Whether integers have 64 bits.
    wide: bool,
    /// Whether a register operand is that of a byte, so that numbers 4 to 7 need a REX prefix.
    bytes: bool,
    opcode: [u8; 3],
    len: u8,
}

impl Op {
    /// With an opcode of one byte.
    pub(super) const fn one(opcode: u8) -> Self {
        Self { prefix: 0, wide: false, bytes: false, opcode: [opcode, 0, 0], len: 1 }
    }

    /// With 0x0f before the opcode.
    pub(super) const fn two(opcode: u8) -> Self {
        Self { prefix: 0, wide: false, bytes: false, opcode: [0x0f, opcode, 0], len: 2 }
    }

    /// With 0x0f 0x3a before the opcode.
    pub(super) const fn three(opcode: u8) -> Self {
        Self { prefix: 0, wide: false, bytes: false, opcode: [0x0f, 0x3a, opcode], len: 3 }
    }

    pub(super) const fn prefix(self, prefix: u8) -> Self {
        Self { prefix, ..self }
    }

    pub(super) const fn wide(self, wide: bool) -> Self {
        Self { wide, ..self }
    }

    pub(super) const fn bytes(self) -> Self {
        Self { bytes: true, ..self }
    }
}

/// Instructions, one after the other.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    pub(super) code: Vec<u8>,
    /// Where labels are; `None` as long as that is not known.
    labels: Vec<Option<u32>>,
    /// Distances to be filled in: the label, where the four bytes are, and what they are counted from.
    fixups: Vec<(Label, u32, u32)>,
}

impl Encoder {
    /// Where the next instruction will be.
    pub(super) fn here(&self) -> u32 {
        self.code.len() as u32
    }

    /// Writes an instruction with the register `reg` (or what takes its place in the opcode) and `rm`.
    pub(super) fn op(&mut self, op: Op, reg: u8, rm: Rm) {
        let mut buffer = [0_u8; 16];
        let mut len = 0;
        let mut put = |byte: u8| {
            buffer[len] = byte;
            len += 1;
        };
        if op.prefix != 0 {
            put(op.prefix);
        }
        let (base, index) = match rm {
            Rm::Reg(reg) => (reg, 0),
            Rm::Mem(mem) => (mem.base, mem.index.map_or(0, |(index, _)| index)),
        };
        let byte_register = op.bytes && (reg >= 4 || matches!(rm, Rm::Reg(4..)));
        let rex = u8::from(op.wide) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        if rex != 0 || byte_register {
            put(0x40 | rex);
        }
        for &byte in &op.opcode[..usize::from(op.len)] {
            put(byte);
        }
        let reg = (reg & 7) << 3;
        match rm {
            Rm::Reg(register) => put(0xc0 | reg | register & 7),
            Rm::Mem(Mem { base, index, displacement }) => {
                let short = i8::try_from(displacement).ok();
                // With a base of 5 or 13, no displacement at all means something else.
                let mode = match short {
                    Some(0) if base & 7 != 5 => 0x00,
                    Some(_) => 0x40,
                    None => 0x80,
                };
                match index {
                    // A base of 4 or 12 says that another byte follows, in which an index of 4 is none.
                    None if base & 7 != 4 => put(mode | reg | base & 7),
                    None => {
                        put(mode | reg | 4);
                        put(0x20 | base & 7);
                    }
                    Some((index, scale)) => {
                        put(mode | reg | 4);
                        put(scale << 6 | (index & 7) << 3 | base & 7);
                    }
                }
                match mode {
                    0x00 => {}
                    0x40 => put(displacement as u8),
                    _ => displacement.to_le_bytes().into_iter().for_each(put),
                }
            }
        }
        self.code.extend_from_slice(&buffer[..len]);
    }

    /// As [`Encoder::op`], with a constant of one byte behind it.
    pub(super) fn op_imm8(&mut self, op: Op, reg: u8, rm: Rm, imm: u8) {
        self.op(op, reg, rm);
        self.code.push(imm);
    }

    /// As [`Encoder::op`], with a constant of four bytes behind it.
    pub(super) fn op_imm32(&mut self, op: Op, reg: u8, rm: Rm, imm: i32) {
        self.op(op, reg, rm);
        self.code.extend_from_slice(&imm.to_le_bytes());
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.code.extend_from_slice(bytes);
    }

    /// A new label.
    pub(super) fn new_label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }

    /// Puts a label here.
    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0 as usize] = Some(self.code.len() as u32);
    }

    /// Writes a jump, with an opcode of one byte for near targets that are known, and another for all others.
    pub(super) fn jump(&mut self, short: u8, long: &[u8], to: Label) {
        if let Some(target) = self.labels[to.0 as usize] {
            let distance = i64::from(target) - i64::from(self.here()) - 2;
            if let Ok(distance) = i8::try_from(distance) {
                self.bytes(&[short, distance as u8]);
                return;
            }
        }
        self.bytes(long);
        self.distance_to(to, self.here() + 4);
    }

    /// Writes the distance of `label` from the offset `from`, in four bytes.
    pub(super) fn distance_to(&mut self, label: Label, from: u32) {
        self.fixups.push((label, self.here(), from));
        self.bytes(&[0; 4]);
    }

    /// Fills in all distances.
    pub(super) fn finish_labels(&mut self) {
        for (label, place, from) in std::mem::take(&mut self.fixups) {
            // A label that is jumped to is put somewhere before the function ends.
            let target = self.labels[label.0 as usize].unwrap_or(from);
            self.patch(place, target.wrapping_sub(from));
        }
        self.labels.clear();
    }

    /// Replaces four bytes.
    pub(super) fn patch(&mut self, place: u32, word: u32) {
        let place = place as usize;
        self.code[place..place + 4].copy_from_slice(&word.to_le_bytes());
    }
}
