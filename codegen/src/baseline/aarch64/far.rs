//! Addresses and constants that instructions may have no room for: what is too far or too large goes through x17.

use super::super::masm::{Address, FrameOffset, Gpr, Masm, Source, Width};
use super::encode::{Access, SP, imm, op};
use super::{Aarch64, PAGE, X17, is_wide};

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "fields of instructions"
)]
impl Aarch64 {
    /// Loads or stores at a place in the frame. Changes x17.
    pub(super) fn access_frame(&mut self, access: Access, rt: u8, at: FrameOffset) {
        self.access(access, rt, Address::new(Gpr(SP), at.0 as i32));
    }

    /// Loads or stores. Changes x17.
    pub(super) fn access(&mut self, access: Access, rt: u8, at: Address) {
        let Address { base, index, offset } = at;
        let near = access.reaches(offset.into());
        match index {
            None if near => self.encoder.access(access, rt, base.0, offset.into()),
            None => {
                let (base, offset) = self.nearer(X17, base, offset);
                if access.reaches(offset) {
                    self.encoder.access(access, rt, base.0, offset);
                } else {
                    self.add_imm(true, X17, base, offset);
                    self.encoder.access(access, rt, X17.0, 0);
                }
            }
            Some(index) if offset == 0 => self.encoder.access_indexed(access, rt, base.0, index.0),
            Some(index) if near => {
                self.encoder.rrr(op::ADD, true, X17.0, base.0, index.0);
                self.encoder.access(access, rt, X17.0, offset.into());
            }
            Some(index) => {
                self.mov_imm(X17, i64::from(offset) as u64);
                self.encoder.rrr(op::ADD, true, X17.0, X17.0, index.0);
                self.encoder.access_indexed(access, rt, base.0, X17.0);
            }
        }
    }

    /// Splits an address: what is left of the offset is less than a page, when the offset is not negative and less than 2²⁴; the rest goes to `dst`, with the base.
    pub(super) fn nearer(&mut self, dst: Gpr, base: Gpr, offset: i32) -> (Gpr, i64) {
        match u32::try_from(offset) {
            Ok(offset @ 0..0x0100_0000) => {
                if offset < PAGE {
                    return (base, offset.into());
                }
                self.encoder.rri(imm::ADD, true, dst.0, base.0, offset >> 12, true);
                (dst, (offset % PAGE).into())
            }
            _ => {
                self.add_imm(true, dst, base, offset.into());
                (dst, 0)
            }
        }
    }

    /// `dst = src + value`, `src` being the stack pointer or not. Changes x17 when `value` has more than 24 bits.
    pub(super) fn add_imm(&mut self, wide: bool, dst: Gpr, src: Gpr, value: i64) {
        let (op, by_register) = if value < 0 { (imm::SUB, op::SUB) } else { (imm::ADD, op::ADD) };
        let size = value.unsigned_abs();
        match u32::try_from(size) {
            Ok(size @ 0..0x0100_0000) => {
                let (high, low) = (size >> 12, size % PAGE);
                let mut src = src;
                if high != 0 {
                    self.encoder.rri(op, wide, dst.0, src.0, high, true);
                    src = dst;
                }
                if low != 0 || high == 0 {
                    self.encoder.rri(op, wide, dst.0, src.0, low, false);
                }
            }
            _ => {
                self.mov_imm(X17, size);
                // With `uxtx`, the first operand may be the stack pointer.
                let extended = if wide { 0x0020_6000 } else { 0 };
                self.encoder.rrr(by_register | extended, wide, dst.0, src.0, X17.0);
            }
        }
    }

    /// A second operand in a register. Changes x17.
    pub(super) fn in_register(&mut self, width: Width, src: Source) -> Gpr {
        match src {
            Source::Gpr(reg) => return reg,
            Source::Imm(value) if is_wide(width) => self.mov_imm(X17, i64::from(value) as u64),
            Source::Imm(value) => self.mov_imm(X17, (value as u32).into()),
            Source::Frame(from) => self.load_frame(width, X17, from),
        }
        X17
    }
}
