//! [`Aarch64`]: the generator's steps as instructions of ARMv8.0-A, without any extension.
//!
//! Functions keep x19, x21, x23 to x29 and d8 to d15 for their callers and pop nothing when they return (ARCHITECTURE.md, section 3); x19 has the base of memory 0, x21 is the stubs' own, x23 to x28 and d8 to d15 are for variables. Frames
//! are found by the stack pointer alone, so that x29 stays what it is. The frame:
//!
//! ```text
//! … │ d15 to d8, x28 to x23, if they are used │ context │ x19 │ return address │ ← sp
//! ```
//!
//! x17 is this implementation's own: it is changed by whatever has to put an address or a constant somewhere.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "fields of instructions"
)]

mod encode;
mod far;
mod float;
mod frame;

use super::masm::{
    Address, Alu, Compare, Cond, Division, Float, FloatBinary, FloatCompare, FloatUnary, Fpr, FrameMarks, FrameOffset,
    Gpr, Kept, Label, Load, Masm, Shift, Source, Store, Target, ToFloat, ToInt, Unary, Width,
};
use crate::error::Error;
use encode::{Access, Encoder, SP, ZR, imm, logical_mask, op};
use wasmo_abi::trap::TrapCode;

const X14: Gpr = Gpr(14);
const X15: Gpr = Gpr(15);
const X16: Gpr = Gpr(16);
const X17: Gpr = Gpr(17);
const X19: Gpr = Gpr(19);
const X20: Gpr = Gpr(20);
const X22: Gpr = Gpr(22);
const X30: Gpr = Gpr(30);

/// Where the context is kept.
const CONTEXT_SLOT: FrameOffset = FrameOffset(16);
/// Frames from this size on are touched page by page, so that what lies beyond the guard of the stack is never reached.
const PAGE: u32 = 4096;
/// The upper byte of the operand by which `brk` is known to be a trap of the guest, which is what LLVM makes of `llvm.ubsantrap`.
const UBSAN: u16 = 0x5500;

/// The code of one unit.
#[derive(Debug, Default)]
pub(super) struct Aarch64 {
    encoder: Encoder,
    /// Where frames are taken away: the first of the two instructions that do so, whose operands are to be filled in. Those of the function only.
    sizes: Vec<u32>,
}

fn is_wide(width: Width) -> bool {
    width == Width::W64
}

impl Aarch64 {
    /// Touches the pages that a frame of `size` bytes comes to, and makes the frame with the last instruction.
    fn make_large_frame(&mut self, size: u32) {
        self.add_imm(true, X16, Gpr(SP), -i64::from(size));
        self.encoder.rri(imm::ADD, true, X17.0, SP, 0, false);
        let again = self.new_label();
        self.bind(again);
        self.encoder.rri(imm::SUB, true, X17.0, X17.0, 1, true);
        self.encoder.access(Access::LOAD_32, ZR, X17.0, 0);
        self.encoder.rrr(op::SUBS, true, ZR, X17.0, X16.0);
        self.jump_if(Self::cond(Compare::GtU), again);
        self.encoder.rri(imm::ADD, true, SP, X16.0, 0, false);
    }

    fn find_bit(&mut self, wide: bool, dst: Gpr, src: Gpr) {
        self.encoder.rr(op::CLZ, wide, dst.0, src.0);
    }

    /// The address that a call goes to. Changes x17.
    fn target(&mut self, target: Target) -> Gpr {
        match target {
            Target::Gpr(reg) => reg,
            Target::Memory(address) => {
                self.access(Access::LOAD_64, X17.0, address);
                X17
            }
        }
    }
}

impl Masm for Aarch64 {
    const GPRS: &'static [Gpr] = &[
        Gpr(0),
        Gpr(1),
        Gpr(2),
        Gpr(3),
        Gpr(4),
        Gpr(5),
        Gpr(6),
        Gpr(7),
        Gpr(8),
        Gpr(9),
        Gpr(10),
        Gpr(11),
        Gpr(12),
        Gpr(13),
        X14,
    ];
    const FPRS: &'static [Fpr] = &[
        Fpr(0),
        Fpr(1),
        Fpr(2),
        Fpr(3),
        Fpr(4),
        Fpr(5),
        Fpr(6),
        Fpr(7),
        Fpr(16),
        Fpr(17),
        Fpr(18),
        Fpr(19),
        Fpr(20),
        Fpr(21),
        Fpr(22),
        Fpr(23),
    ];
    const KEPT: &'static [Gpr] = &[Gpr(23), Gpr(24), Gpr(25), Gpr(26), Gpr(27), Gpr(28)];
    const KEPT_FLOATS: &'static [Fpr] = &[Fpr(8), Fpr(9), Fpr(10), Fpr(11), Fpr(12), Fpr(13), Fpr(14), Fpr(15)];
    const LENT: &'static [Gpr] = &[Gpr(13), Gpr(12), Gpr(11), Gpr(10), Gpr(9)];
    const LENT_FLOATS: &'static [Fpr] = &[Fpr(23), Fpr(22), Fpr(21), Fpr(20), Fpr(19), Fpr(18), Fpr(17), Fpr(16)];
    const LEAF: &'static [Gpr] = &[];
    const SCRATCH: Gpr = X16;
    const FLOAT_SCRATCH: Fpr = Fpr(31);
    const INTEGER_ARGUMENTS: &'static [Gpr] = Self::GPRS.split_at(8).0;
    const FLOAT_ARGUMENTS: &'static [Fpr] = Self::FPRS.split_at(8).0;
    const INTEGER_RESULTS: &'static [Gpr] = Self::INTEGER_ARGUMENTS;
    const FLOAT_RESULTS: &'static [Fpr] = Self::FLOAT_ARGUMENTS;
    const CONTEXT: Gpr = X20;
    const MEMORY: Gpr = X19;
    const KEPT_IN_C: Gpr = X22;
    const CALLEE_CODE: Gpr = X14;
    const CALLEE_CONTEXT: Gpr = X15;
    const C_ARGUMENTS: [Gpr; 4] = [Gpr(0), Gpr(1), Gpr(2), Gpr(3)];
    const SHIFT_AMOUNT: Option<Gpr> = None;
    const DIVISION: Option<(Gpr, Gpr)> = None;
    const BELOW: u32 = 24;
    // Version 1; an encoding of addresses (relative, 32 bits with a sign); code in bytes, data in −8, the return address in column 30. The frame ends at sp.
    const COMMON_FRAME: &'static [u8] = &[1, b'z', b'R', 0, 1, 0x78, X30.0, 1, 0x1b, 0x0c, SP, 0];

    fn code(&self) -> &[u8] {
        &self.encoder.code
    }

    fn into_code(self) -> Vec<u8> {
        self.encoder.code
    }

    fn align(&mut self, align: usize) {
        let size = self.encoder.code.len().next_multiple_of(align);
        // `udf #0`
        self.encoder.code.resize(size, 0);
    }

    fn new_label(&mut self) -> Label {
        self.encoder.new_label()
    }

    fn bind(&mut self, label: Label) {
        self.encoder.bind(label);
    }

    fn jump(&mut self, to: Label) {
        self.encoder.jump(to);
    }

    fn jump_if(&mut self, cond: Cond, to: Label) {
        self.encoder.branch(cond, to);
    }

    fn jump_table(&mut self, index: Gpr, targets: &[Label], default: Label) {
        self.compare(Width::W32, index, Source::Imm(targets.len() as i32));
        self.jump_if(Self::cond(Compare::GeU), default);
        // The table is behind these four instructions.
        self.encoder.adr(X16.0, 16);
        self.encoder.load_entry(index.0, X16.0, index.0);
        self.encoder.rrr(op::ADD, true, X16.0, X16.0, index.0);
        self.encoder.br(X16.0);
        let start = self.encoder.here();
        for &target in targets {
            self.encoder.distance_to(target, start);
        }
    }

    fn finish_labels(&mut self) -> Result<(), Error> {
        self.encoder.finish_labels()
    }

    fn begin_function(&mut self, kept: Kept) -> FrameMarks {
        let start = self.encoder.here();
        // sub sp, sp, size
        self.encoder.nop();
        let framed = self.encoder.here();
        self.encoder.store_pair(X30.0, X19.0, SP, 0);
        self.store_frame(CONTEXT_SLOT, X20);
        kept.gprs(Self::BELOW).for_each(|(reg, place)| self.store_frame(place, reg));
        kept.fprs(Self::BELOW).for_each(|(reg, place)| self.fstore_frame(place, reg));
        FrameMarks { start, framed, kept, kept_from: self.encoder.here(), ..FrameMarks::default() }
    }

    fn leave_frame(&mut self, kept: Kept) -> u32 {
        kept.gprs(Self::BELOW).for_each(|(reg, place)| self.load_frame(Width::W64, reg, place));
        kept.fprs(Self::BELOW).for_each(|(reg, place)| self.fload_frame(Float::F64, reg, place));
        self.encoder.load_pair(X30.0, X19.0, SP, 0);
        self.sizes.push(self.encoder.here());
        // add sp, sp, size & 0xfff000; add sp, sp, size & 0xfff
        self.encoder.nop();
        self.encoder.nop();
        self.encoder.here()
    }

    fn ret(&mut self) {
        self.encoder.ret();
    }

    fn ret_in_c(&mut self) {
        self.encoder.ret();
    }

    fn end_function(&mut self, marks: &mut FrameMarks, size: u32) {
        marks.size = size;
        let (high, low) = (size / PAGE, size % PAGE);
        for place in std::mem::take(&mut self.sizes) {
            if high != 0 {
                self.encoder.replace(place, |encoder| encoder.rri(imm::ADD, true, SP, SP, high, true));
            }
            self.encoder.replace(place + 4, |encoder| encoder.rri(imm::ADD, true, SP, SP, low, false));
        }
        if high == 0 {
            self.encoder.replace(marks.start, |encoder| encoder.rri(imm::SUB, true, SP, SP, low, false));
        } else {
            let probe = self.encoder.here();
            self.make_large_frame(size);
            marks.probe = Some((probe, self.encoder.here()));
            let end = self.encoder.here();
            self.encoder.nop();
            self.encoder.patch_jump(end, marks.framed);
            self.encoder.patch_jump(marks.start, probe);
        }
        marks.end = self.encoder.here();
    }

    fn describe_frame(marks: &FrameMarks, left: &[(u32, u32)]) -> Vec<u8> {
        frame::describe(marks, left)
    }

    fn mov(&mut self, width: Width, dst: Gpr, src: Gpr) {
        self.encoder.rrr(op::ORR, is_wide(width), dst.0, ZR, src.0);
    }

    fn mov_imm(&mut self, dst: Gpr, value: u64) {
        self.encoder.constant(dst.0, value);
    }

    fn load_frame(&mut self, width: Width, dst: Gpr, from: FrameOffset) {
        let access = if is_wide(width) { Access::LOAD_64 } else { Access::LOAD_32 };
        self.access_frame(access, dst.0, from);
    }

    fn store_frame(&mut self, to: FrameOffset, src: Gpr) {
        self.access_frame(Access::STORE_64, src.0, to);
    }

    fn store_frame_imm(&mut self, to: FrameOffset, value: u64) {
        if value == 0 {
            return self.store_frame(to, Gpr(ZR));
        }
        self.mov_imm(X16, value);
        self.store_frame(to, X16);
    }

    fn clear_frame(&mut self, from: FrameOffset, count: u32) {
        /// So many words are cleared without a loop.
        const FEW: u32 = 16;
        /// At so many words from the base, pairs can be stored.
        const REACH: u32 = 48;
        if count == 0 {
            return;
        }
        let (mut base, mut word) = (Gpr(SP), from.0 / 8);
        if count > FEW || word + count > REACH {
            self.frame_address(X16, from);
            (base, word) = (X16, 0);
        }
        if count > FEW {
            self.mov_imm(X17, (count / 2).into());
            let again = self.new_label();
            self.bind(again);
            self.encoder.store_pair_after(ZR, ZR, X16.0, 2);
            self.encoder.rri(imm::SUBS, true, X17.0, X17.0, 1, false);
            self.jump_if(Self::cond(Compare::Ne), again);
        } else {
            for _ in 0..count / 2 {
                self.encoder.store_pair(ZR, ZR, base.0, word);
                word += 2;
            }
        }
        if count % 2 == 1 {
            self.encoder.access(Access::STORE_64, ZR, base.0, (8 * word).into());
        }
    }

    fn frame_address(&mut self, dst: Gpr, of: FrameOffset) {
        self.add_imm(true, dst, Gpr(SP), of.0.into());
    }

    fn fmov(&mut self, dst: Fpr, src: Fpr) {
        self.encoder.float(float::FMOV, Float::F64, dst.0, src.0);
    }

    fn fmov_imm(&mut self, ty: Float, dst: Fpr, bits: u64) {
        if bits == 0 {
            self.encoder.clear_vector(dst.0);
        } else {
            self.mov_imm(X16, bits);
            self.gpr_to_fpr(ty, dst, X16);
        }
    }

    fn fload_frame(&mut self, ty: Float, dst: Fpr, from: FrameOffset) {
        self.access_frame(float::load(ty), dst.0, from);
    }

    fn fstore_frame(&mut self, to: FrameOffset, src: Fpr) {
        // All 64 bits, of which an f32 has the lower ones.
        self.access_frame(Access::STORE_D, src.0, to);
    }

    fn gpr_to_fpr(&mut self, ty: Float, dst: Fpr, src: Gpr) {
        self.encoder.convert(float::FROM_BITS, ty == Float::F64, ty, dst.0, src.0);
    }

    fn fpr_to_gpr(&mut self, ty: Float, dst: Gpr, src: Fpr) {
        self.encoder.convert(float::TO_BITS, ty == Float::F64, ty, dst.0, src.0);
    }

    fn load(&mut self, load: Load, dst: Gpr, from: Address) {
        let access = match load {
            Load::Whole(Width::W32) => Access::LOAD_32,
            Load::Whole(Width::W64) => Access::LOAD_64,
            Load::Unsigned8 => Access::LOAD_8,
            Load::Unsigned16 => Access::LOAD_16,
            Load::Signed8(width) => Access::LOAD_S8[usize::from(is_wide(width))],
            Load::Signed16(width) => Access::LOAD_S16[usize::from(is_wide(width))],
            Load::Signed32 => Access::LOAD_S32,
        };
        self.access(access, dst.0, from);
    }

    fn store(&mut self, store: Store, to: Address, src: Gpr) {
        let access = match store {
            Store::Byte => Access::STORE_8,
            Store::Half => Access::STORE_16,
            Store::Word => Access::STORE_32,
            Store::Double => Access::STORE_64,
        };
        self.access(access, src.0, to);
    }

    fn fload(&mut self, ty: Float, dst: Fpr, from: Address) {
        self.access(float::load(ty), dst.0, from);
    }

    fn fstore(&mut self, ty: Float, to: Address, src: Fpr) {
        let access = if ty == Float::F64 { Access::STORE_D } else { Access::STORE_S };
        self.access(access, src.0, to);
    }

    fn clear(&mut self, at: Address) {
        self.access(Access::STORE_32, ZR, at);
    }

    fn decrement(&mut self, at: Address) {
        let (base, offset) = if Access::LOAD_32.reaches(at.offset.into()) && at.index.is_none() {
            (at.base, at.offset.into())
        } else {
            self.address(X16, at);
            (X16, 0)
        };
        self.encoder.access(Access::LOAD_32, X17.0, base.0, offset);
        self.encoder.rri(imm::SUBS, false, X17.0, X17.0, 1, false);
        self.encoder.access(Access::STORE_32, X17.0, base.0, offset);
    }

    fn address(&mut self, dst: Gpr, of: Address) {
        let mut base = of.base;
        if let Some(index) = of.index {
            self.encoder.rrr(op::ADD, true, dst.0, base.0, index.0);
            base = dst;
        }
        self.add_imm(true, dst, base, of.offset.into());
    }

    fn alu(&mut self, op: Alu, width: Width, dst: Gpr, src: Source) {
        let wide = is_wide(width);
        if let Source::Imm(value) = src {
            let logical = match op {
                Alu::Add => return self.add_imm(wide, dst, dst, value.into()),
                Alu::Sub => return self.add_imm(wide, dst, dst, -i64::from(value)),
                Alu::And => imm::AND,
                Alu::Or => imm::ORR,
                Alu::Xor => imm::EOR,
            };
            if let Some(mask) = logical_mask(i64::from(value) as u64, wide) {
                return self.encoder.logical(logical, wide, dst.0, dst.0, mask);
            }
        }
        let op = match op {
            Alu::Add => op::ADD,
            Alu::Sub => op::SUB,
            Alu::And => op::AND,
            Alu::Or => op::ORR,
            Alu::Xor => op::EOR,
        };
        let src = self.in_register(width, src);
        self.encoder.rrr(op, wide, dst.0, dst.0, src.0);
    }

    fn multiply(&mut self, width: Width, dst: Gpr, src: Source) {
        let src = self.in_register(width, src);
        self.encoder.rrr(op::MUL, is_wide(width), dst.0, dst.0, src.0);
    }

    fn shift_imm(&mut self, op: Shift, width: Width, dst: Gpr, amount: u8) {
        let (wide, reg) = (is_wide(width), dst.0);
        let last = if wide { 63 } else { 31 };
        match op {
            Shift::Left => self.encoder.bits(imm::UBFM, wide, reg, reg, amount.wrapping_neg() & last, last - amount),
            Shift::RightUnsigned => self.encoder.bits(imm::UBFM, wide, reg, reg, amount, last),
            Shift::RightSigned => self.encoder.bits(imm::SBFM, wide, reg, reg, amount, last),
            Shift::RotateRight => self.encoder.rotate(wide, reg, reg, amount),
            Shift::RotateLeft => self.encoder.rotate(wide, reg, reg, amount.wrapping_neg() & last),
        }
    }

    fn shift(&mut self, op: Shift, width: Width, dst: Gpr, amount: Gpr) {
        let wide = is_wide(width);
        let (op, amount) = match op {
            Shift::Left => (op::LSLV, amount),
            Shift::RightUnsigned => (op::LSRV, amount),
            Shift::RightSigned => (op::ASRV, amount),
            Shift::RotateRight => (op::RORV, amount),
            Shift::RotateLeft => {
                self.encoder.rrr(op::SUB, wide, X17.0, ZR, amount.0);
                (op::RORV, X17)
            }
        };
        self.encoder.rrr(op, wide, dst.0, dst.0, amount.0);
    }

    fn unary(&mut self, op: Unary, width: Width, dst: Gpr, src: Gpr) {
        let wide = is_wide(width);
        match op {
            Unary::Clz => self.find_bit(wide, dst, src),
            Unary::Ctz => {
                self.encoder.rr(op::RBIT, wide, dst.0, src.0);
                self.find_bit(wide, dst, dst);
            }
            Unary::Popcnt => self.count_bits(width, dst, src),
            Unary::Extend8 => self.encoder.bits(imm::SBFM, wide, dst.0, src.0, 0, 7),
            Unary::Extend16 => self.encoder.bits(imm::SBFM, wide, dst.0, src.0, 0, 15),
            Unary::Extend32 => self.encoder.bits(imm::SBFM, true, dst.0, src.0, 0, 31),
        }
    }

    fn divide(&mut self, op: Division, width: Width, dividend: Gpr, divisor: Gpr) {
        let wide = is_wide(width);
        let quotient = if op.remainder { X17 } else { dividend };
        self.encoder.rrr(if op.signed { op::SDIV } else { op::UDIV }, wide, quotient.0, dividend.0, divisor.0);
        if op.remainder {
            self.encoder.rrr(op::MSUB | u32::from(dividend.0) << 10, wide, dividend.0, quotient.0, divisor.0);
        }
    }

    fn compare(&mut self, width: Width, a: Gpr, b: Source) {
        let wide = is_wide(width);
        if let Source::Imm(value) = b {
            let op = if value < 0 { imm::ADDS } else { imm::SUBS };
            let size = value.unsigned_abs();
            if size < PAGE {
                return self.encoder.rri(op, wide, ZR, a.0, size, false);
            }
            if size % PAGE == 0 && size >> 24 == 0 {
                return self.encoder.rri(op, wide, ZR, a.0, size >> 12, true);
            }
        }
        let b = self.in_register(width, b);
        self.encoder.rrr(op::SUBS, wide, ZR, a.0, b.0);
    }

    fn test(&mut self, width: Width, a: Gpr) {
        self.encoder.rri(imm::SUBS, is_wide(width), ZR, a.0, 0, false);
    }

    fn cond(compare: Compare) -> Cond {
        Cond(match compare {
            Compare::Eq => 0,
            Compare::Ne => 1,
            Compare::GeU => 2,
            Compare::LtU => 3,
            Compare::GtU => 8,
            Compare::LeU => 9,
            Compare::GeS => 10,
            Compare::LtS => 11,
            Compare::GtS => 12,
            Compare::LeS => 13,
        })
    }

    fn invert(cond: Cond) -> Cond {
        Cond(cond.0 ^ 1)
    }

    fn set(&mut self, cond: Cond, dst: Gpr) {
        // One more than zero unless the contrary holds.
        self.encoder.select(op::CSINC, Self::invert(cond), dst.0, ZR, ZR);
    }

    fn mov_if(&mut self, cond: Cond, dst: Gpr, src: Gpr) {
        self.encoder.select(op::CSEL, cond, dst.0, src.0, dst.0);
    }

    fn fcompare(&mut self, compare: FloatCompare, ty: Float, a: Fpr, b: Fpr, _: Gpr) -> Option<Cond> {
        Some(self.fcompare_for(compare, ty, a, b))
    }

    fn fbinary(&mut self, op: FloatBinary, ty: Float, dst: Fpr, src: Fpr) {
        self.float_binary(op, ty, dst, src);
    }

    fn funary(&mut self, op: FloatUnary, ty: Float, dst: Fpr, src: Fpr) {
        self.encoder.float(float::unary(op), ty, dst.0, src.0);
    }

    fn convert_float(&mut self, to: Float, dst: Fpr, src: Fpr) {
        let (op, from) = match to {
            Float::F64 => (float::TO_DOUBLE, Float::F32),
            Float::F32 => (float::TO_SINGLE, Float::F64),
        };
        self.encoder.float(op, from, dst.0, src.0);
    }

    fn to_float(&mut self, op: ToFloat, dst: Fpr, src: Gpr) {
        let convert = if op.signed { float::SCVTF } else { float::UCVTF };
        self.encoder.convert(convert, is_wide(op.from), op.to, dst.0, src.0);
    }

    fn to_int(&mut self, op: ToInt, dst: Gpr, src: Fpr, invalid: Label, overflow: Label) {
        self.check_bounds(op, src, invalid, overflow);
        self.to_int_saturating(op, dst, src);
    }

    fn to_int_saturating(&mut self, op: ToInt, dst: Gpr, src: Fpr) {
        let convert = if op.signed { float::FCVTZS } else { float::FCVTZU };
        self.encoder.convert(convert, is_wide(op.to), op.from, dst.0, src.0);
    }

    fn trap(&mut self, code: TrapCode) {
        self.encoder.brk(UBSAN | code as u16);
    }

    fn call(&mut self, target: Target) {
        let target = self.target(target);
        self.encoder.blr(target.0);
    }

    fn reload_context(&mut self) {
        self.load_frame(Width::W64, X20, CONTEXT_SLOT);
    }

    fn call_c(&mut self, target: Target) {
        self.call(target);
    }

    fn jump_to(&mut self, target: Gpr) {
        self.encoder.br(target.0);
    }
}
