//! [`X86_64`]: the generator's steps as instructions of x86-64-v2 (SSE4.1 and `popcnt`, nothing later).
//!
//! Functions keep rbx, rbp, r12 and r15 for their callers and pop a word when they return (ARCHITECTURE.md, section 3); rbx has the base of memory 0, the others are for variables. The frame:
//!
//! ```text
//! return address │ rbx │ … │ r15, r12, rbp if they are used │ context │ word for what is called to pop │ ← rsp
//! ```
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "fields of instructions"
)]

mod encode;
mod float;
mod frame;

use super::masm::{
    Address, Alu, Compare, Cond, Division, Float, FloatBinary, FloatCompare, FloatUnary, Fpr, FrameMarks, FrameOffset,
    Gpr, Kept, Label, Load, Masm, Shift, Source, Store, Target, ToFloat, ToInt, Unary, Width,
};
use crate::error::Error;
use encode::{Encoder, Mem, Op, Rm};
use wasmo_abi::trap::TrapCode;

const RAX: Gpr = Gpr(0);
const RCX: Gpr = Gpr(1);
const RDX: Gpr = Gpr(2);
const RBX: Gpr = Gpr(3);
const RSP: Gpr = Gpr(4);
const RBP: Gpr = Gpr(5);
const RSI: Gpr = Gpr(6);
const RDI: Gpr = Gpr(7);
const R8: Gpr = Gpr(8);
const R9: Gpr = Gpr(9);
const R10: Gpr = Gpr(10);
const R11: Gpr = Gpr(11);
const R12: Gpr = Gpr(12);
const R13: Gpr = Gpr(13);
const R14: Gpr = Gpr(14);
const R15: Gpr = Gpr(15);

/// Where the context is kept.
const CONTEXT_SLOT: FrameOffset = FrameOffset(8);
/// Frames from this size on are touched page by page, so that what lies beyond the guard of the stack is never reached.
const PAGE: u32 = 4096;
/// So many pages are touched one by one, more in a loop.
const UNROLLED: u32 = 8;

/// The code of one unit.
#[derive(Debug, Default)]
pub(super) struct X86_64 {
    encoder: Encoder,
    /// Where frames' sizes are to be filled in: the function's own.
    sizes: Vec<u32>,
}

fn mem(address: Address) -> Rm {
    Rm::Mem(Mem { base: address.base.0, index: address.index.map(|index| (index.0, 0)), displacement: address.offset })
}

fn frame(at: FrameOffset) -> Rm {
    Rm::Mem(Mem { base: RSP.0, index: None, displacement: at.0 as i32 })
}

fn is_wide(width: Width) -> bool {
    width == Width::W64
}

impl X86_64 {
    fn op(&mut self, op: Op, reg: Gpr, rm: Rm) {
        self.encoder.op(op, reg.0, rm);
    }

    fn target(&mut self, extension: u8, target: Target) {
        let rm = match target {
            Target::Gpr(reg) => Rm::Reg(reg.0),
            Target::Memory(address) => mem(address),
        };
        self.encoder.op(Op::one(0xff), extension, rm);
    }

    /// `op` of the eight that share their encoding, by their number.
    fn arithmetic(&mut self, number: u8, width: Width, dst: Gpr, src: Source) {
        let wide = is_wide(width);
        match src {
            Source::Gpr(src) => self.op(Op::one(number << 3 | 3).wide(wide), dst, Rm::Reg(src.0)),
            Source::Frame(from) => self.op(Op::one(number << 3 | 3).wide(wide), dst, frame(from)),
            Source::Imm(imm) => match i8::try_from(imm) {
                Ok(imm) => self.encoder.op_imm8(Op::one(0x83).wide(wide), number, Rm::Reg(dst.0), imm as u8),
                Err(_) => self.encoder.op_imm32(Op::one(0x81).wide(wide), number, Rm::Reg(dst.0), imm),
            },
        }
    }

    /// `dst = condition`, a byte, extended with zeros.
    fn set_byte(&mut self, cond: u8, dst: Gpr) {
        self.encoder.op(Op::two(0x90 | cond).bytes(), 0, Rm::Reg(dst.0));
    }

    fn find_bit(&mut self, forward: bool, width: Width, dst: Gpr, src: Gpr, of_zero: u64) {
        let opcode = if forward { 0xbc } else { 0xbd };
        self.mov_imm(R11, of_zero);
        self.op(Op::two(opcode).wide(is_wide(width)), dst, Rm::Reg(src.0));
        // There was no bit.
        self.op(Op::two(0x44).wide(true), dst, Rm::Reg(R11.0));
    }

    /// Touches the pages that a frame of `size` bytes comes to.
    fn touch(&mut self, size: u32) {
        let pages = size / PAGE;
        if pages <= UNROLLED {
            for page in 1..=pages {
                self.op(Op::one(0x85), RAX, frame(FrameOffset((page * PAGE).wrapping_neg())));
            }
            return;
        }
        self.op(Op::one(0x8d).wide(true), R11, frame(FrameOffset(size.wrapping_neg())));
        self.mov(Width::W64, R14, RSP);
        let again = self.new_label();
        self.bind(again);
        self.arithmetic(5, Width::W64, R14, Source::Imm(PAGE as i32));
        self.op(Op::one(0x85), RAX, mem(Address::new(R14, 0)));
        self.arithmetic(7, Width::W64, R14, Source::Gpr(R11));
        self.jump_if(Self::cond(Compare::GtU), again);
    }
}

impl Masm for X86_64 {
    const GPRS: &'static [Gpr] = &[RSI, RDI, RAX, R8, R9, R10, RDX, RCX];
    const FPRS: &'static [Fpr] = &[
        Fpr(0),
        Fpr(1),
        Fpr(2),
        Fpr(3),
        Fpr(4),
        Fpr(5),
        Fpr(6),
        Fpr(7),
        Fpr(8),
        Fpr(9),
        Fpr(10),
        Fpr(11),
        Fpr(12),
        Fpr(13),
    ];
    const KEPT: &'static [Gpr] = &[RBP, R12, R15];
    const KEPT_FLOATS: &'static [Fpr] = &[];
    const LENT: &'static [Gpr] = &[R9, R8];
    const LENT_FLOATS: &'static [Fpr] = &[Fpr(13), Fpr(12), Fpr(11), Fpr(10), Fpr(9), Fpr(8)];
    const LEAF: &'static [Gpr] = &[RSI];
    const SCRATCH: Gpr = R11;
    const FLOAT_SCRATCH: Fpr = Fpr(15);
    const INTEGER_ARGUMENTS: &'static [Gpr] = &[RDI, RSI, RDX, RCX, R8, R9];
    const FLOAT_ARGUMENTS: &'static [Fpr] = &[Fpr(0), Fpr(1), Fpr(2), Fpr(3), Fpr(4), Fpr(5), Fpr(6), Fpr(7)];
    const INTEGER_RESULTS: &'static [Gpr] = &[RAX, RDX, RCX, R8];
    const FLOAT_RESULTS: &'static [Fpr] = &[Fpr(0), Fpr(1), Fpr(2), Fpr(3)];
    const CONTEXT: Gpr = R13;
    const MEMORY: Gpr = RBX;
    const KEPT_IN_C: Gpr = R14;
    const CALLEE_CODE: Gpr = R10;
    const CALLEE_CONTEXT: Gpr = R14;
    const C_ARGUMENTS: [Gpr; 4] = [RDI, RSI, RDX, RCX];
    const SHIFT_AMOUNT: Option<Gpr> = Some(RCX);
    const DIVISION: Option<(Gpr, Gpr)> = Some((RAX, RDX));
    const BELOW: u32 = 16;
    // Version 1; an encoding of addresses (relative, 32 bits with a sign); code in bytes, data in −8, the return address in column 16. The frame ends at rsp + 8, and the return address lies 8 below that.
    const COMMON_FRAME: &'static [u8] = &[1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1];

    fn code(&self) -> &[u8] {
        &self.encoder.code
    }

    fn into_code(self) -> Vec<u8> {
        self.encoder.code
    }

    fn align(&mut self, align: usize) {
        let size = self.encoder.code.len().next_multiple_of(align);
        self.encoder.code.resize(size, 0xcc);
    }

    fn new_label(&mut self) -> Label {
        self.encoder.new_label()
    }

    fn bind(&mut self, label: Label) {
        self.encoder.bind(label);
    }

    fn jump(&mut self, to: Label) {
        self.encoder.jump(0xeb, &[0xe9], to);
    }

    fn jump_if(&mut self, cond: Cond, to: Label) {
        self.encoder.jump(0x70 | cond.0, &[0x0f, 0x80 | cond.0], to);
    }

    fn jump_table(&mut self, index: Gpr, targets: &[Label], default: Label) {
        self.arithmetic(7, Width::W32, index, Source::Imm(targets.len() as i32));
        self.jump_if(Self::cond(Compare::GeU), default);
        let table = self.new_label();
        // lea r11, [rip + table]
        self.encoder.bytes(&[0x4c, 0x8d, 0x1d]);
        self.encoder.distance_to(table, self.encoder.here() + 4);
        // movsxd index, dword ptr [r11 + index * 4]
        let entry = Mem { base: R11.0, index: Some((index.0, 2)), displacement: 0 };
        self.op(Op::one(0x63).wide(true), index, Rm::Mem(entry));
        self.arithmetic(0, Width::W64, index, Source::Gpr(R11));
        self.jump_to(index);
        self.align(4);
        self.bind(table);
        let start = self.encoder.here();
        for &target in targets {
            self.encoder.distance_to(target, start);
        }
    }

    fn finish_labels(&mut self) -> Result<(), Error> {
        self.encoder.finish_labels();
        Ok(())
    }

    fn begin_function(&mut self, kept: Kept) -> FrameMarks {
        let start = self.encoder.here();
        // push rbx; sub rsp, size
        self.encoder.bytes(&[0x53, 0x48, 0x81, 0xec, 0, 0, 0, 0]);
        let framed = self.encoder.here();
        self.store_frame(CONTEXT_SLOT, R13);
        kept.gprs(Self::BELOW).for_each(|(reg, place)| self.store_frame(place, reg));
        FrameMarks { start, framed, kept, kept_from: self.encoder.here(), ..FrameMarks::default() }
    }

    fn leave_frame(&mut self, kept: Kept) -> u32 {
        kept.gprs(Self::BELOW).for_each(|(reg, place)| self.load_frame(Width::W64, reg, place));
        // add rsp, size
        self.encoder.bytes(&[0x48, 0x81, 0xc4, 0, 0, 0, 0]);
        let place = self.encoder.here();
        self.sizes.push(place - 4);
        // pop rbx
        self.encoder.bytes(&[0x5b]);
        place
    }

    fn ret(&mut self) {
        // ret 8
        self.encoder.bytes(&[0xc2, 8, 0]);
    }

    fn ret_in_c(&mut self) {
        self.encoder.bytes(&[0xc3]);
    }

    fn end_function(&mut self, marks: &mut FrameMarks, size: u32) {
        marks.size = size;
        self.encoder.patch(marks.framed - 4, size);
        for place in std::mem::take(&mut self.sizes) {
            self.encoder.patch(place, size);
        }
        if size >= PAGE {
            let probe = self.encoder.here();
            self.touch(size);
            self.encoder.op_imm32(Op::one(0x81).wide(true), 5, Rm::Reg(RSP.0), size as i32);
            marks.probe = Some((probe, self.encoder.here()));
            // jmp back
            self.encoder.bytes(&[0xe9]);
            let back = marks.framed.wrapping_sub(self.encoder.here() + 4);
            self.encoder.bytes(&back.to_le_bytes());
            // jmp probe, in the place of the instruction that makes the frame
            let place = marks.framed - 7;
            self.encoder.code[place as usize] = 0xe9;
            self.encoder.patch(place + 1, probe.wrapping_sub(place + 5));
            self.encoder.code[place as usize + 5..marks.framed as usize].copy_from_slice(&[0x66, 0x90]);
        }
        marks.end = self.encoder.here();
    }

    fn describe_frame(marks: &FrameMarks, left: &[(u32, u32)]) -> Vec<u8> {
        frame::describe(marks, left)
    }

    fn mov(&mut self, width: Width, dst: Gpr, src: Gpr) {
        self.op(Op::one(0x8b).wide(is_wide(width)), dst, Rm::Reg(src.0));
    }

    fn mov_imm(&mut self, dst: Gpr, value: u64) {
        if let Ok(value) = u32::try_from(value) {
            if dst.0 >= 8 {
                self.encoder.bytes(&[0x41]);
            }
            self.encoder.bytes(&[0xb8 | dst.0 & 7]);
            self.encoder.bytes(&value.to_le_bytes());
        } else if let Ok(value) = i32::try_from(value.cast_signed()) {
            self.encoder.op_imm32(Op::one(0xc7).wide(true), 0, Rm::Reg(dst.0), value);
        } else {
            self.encoder.bytes(&[0x48 | dst.0 >> 3, 0xb8 | dst.0 & 7]);
            self.encoder.bytes(&value.to_le_bytes());
        }
    }

    fn load_frame(&mut self, width: Width, dst: Gpr, from: FrameOffset) {
        self.op(Op::one(0x8b).wide(is_wide(width)), dst, frame(from));
    }

    fn store_frame(&mut self, to: FrameOffset, src: Gpr) {
        self.op(Op::one(0x89).wide(true), src, frame(to));
    }

    fn store_frame_imm(&mut self, to: FrameOffset, value: u64) {
        if let Ok(value) = i32::try_from(value.cast_signed()) {
            self.encoder.op_imm32(Op::one(0xc7).wide(true), 0, frame(to), value);
        } else {
            self.mov_imm(R11, value);
            self.store_frame(to, R11);
        }
    }

    fn clear_frame(&mut self, from: FrameOffset, count: u32) {
        /// So many words are cleared one by one.
        const FEW: u32 = 12;
        if count == 0 {
            return;
        }
        // xor eax, eax
        self.encoder.bytes(&[0x31, 0xc0]);
        if count <= FEW {
            for word in 0..count {
                self.store_frame(FrameOffset(from.0 + 8 * word), RAX);
            }
        } else {
            self.frame_address(RDI, from);
            self.mov_imm(RCX, count.into());
            // rep stosq
            self.encoder.bytes(&[0xf3, 0x48, 0xab]);
        }
    }

    fn frame_address(&mut self, dst: Gpr, of: FrameOffset) {
        self.op(Op::one(0x8d).wide(true), dst, frame(of));
    }

    fn fmov(&mut self, dst: Fpr, src: Fpr) {
        // movaps
        self.encoder.op(Op::two(0x28), dst.0, Rm::Reg(src.0));
    }

    fn fmov_imm(&mut self, ty: Float, dst: Fpr, bits: u64) {
        if bits == 0 {
            // xorps
            self.encoder.op(Op::two(0x57), dst.0, Rm::Reg(dst.0));
        } else {
            self.mov_imm(R11, bits);
            self.gpr_to_fpr(ty, dst, R11);
        }
    }

    fn fload_frame(&mut self, ty: Float, dst: Fpr, from: FrameOffset) {
        self.fload(ty, dst, Address::new(RSP, from.0 as i32));
    }

    fn fstore_frame(&mut self, to: FrameOffset, src: Fpr) {
        // All 64 bits, of which an f32 has the lower ones.
        self.fstore(Float::F64, Address::new(RSP, to.0 as i32), src);
    }

    fn gpr_to_fpr(&mut self, ty: Float, dst: Fpr, src: Gpr) {
        self.encoder.op(Op::two(0x6e).prefix(0x66).wide(ty == Float::F64), dst.0, Rm::Reg(src.0));
    }

    fn fpr_to_gpr(&mut self, ty: Float, dst: Gpr, src: Fpr) {
        self.encoder.op(Op::two(0x7e).prefix(0x66).wide(ty == Float::F64), src.0, Rm::Reg(dst.0));
    }

    fn load(&mut self, load: Load, dst: Gpr, from: Address) {
        let op = match load {
            Load::Whole(width) => Op::one(0x8b).wide(is_wide(width)),
            Load::Unsigned8 => Op::two(0xb6),
            Load::Unsigned16 => Op::two(0xb7),
            Load::Signed8(width) => Op::two(0xbe).wide(is_wide(width)),
            Load::Signed16(width) => Op::two(0xbf).wide(is_wide(width)),
            Load::Signed32 => Op::one(0x63).wide(true),
        };
        self.op(op, dst, mem(from));
    }

    fn store(&mut self, store: Store, to: Address, src: Gpr) {
        let op = match store {
            Store::Byte => Op::one(0x88).bytes(),
            Store::Half => Op::one(0x89).prefix(0x66),
            Store::Word => Op::one(0x89),
            Store::Double => Op::one(0x89).wide(true),
        };
        self.op(op, src, mem(to));
    }

    fn fload(&mut self, ty: Float, dst: Fpr, from: Address) {
        self.encoder.op(float::scalar(ty, 0x10), dst.0, mem(from));
    }

    fn fstore(&mut self, ty: Float, to: Address, src: Fpr) {
        self.encoder.op(float::scalar(ty, 0x11), src.0, mem(to));
    }

    fn clear(&mut self, at: Address) {
        self.encoder.op_imm32(Op::one(0xc7), 0, mem(at), 0);
    }

    fn decrement(&mut self, at: Address) {
        // add, -1
        self.encoder.op_imm8(Op::one(0x83), 0, mem(at), 0xff);
    }

    fn address(&mut self, dst: Gpr, of: Address) {
        self.op(Op::one(0x8d).wide(true), dst, mem(of));
    }

    fn alu(&mut self, op: Alu, width: Width, dst: Gpr, src: Source) {
        let number = match op {
            Alu::Add => 0,
            Alu::Or => 1,
            Alu::And => 4,
            Alu::Sub => 5,
            Alu::Xor => 6,
        };
        self.arithmetic(number, width, dst, src);
    }

    fn multiply(&mut self, width: Width, dst: Gpr, src: Source) {
        let wide = is_wide(width);
        match src {
            Source::Gpr(src) => self.op(Op::two(0xaf).wide(wide), dst, Rm::Reg(src.0)),
            Source::Frame(from) => self.op(Op::two(0xaf).wide(wide), dst, frame(from)),
            Source::Imm(imm) => self.encoder.op_imm32(Op::one(0x69).wide(wide), dst.0, Rm::Reg(dst.0), imm),
        }
    }

    fn shift_imm(&mut self, op: Shift, width: Width, dst: Gpr, amount: u8) {
        self.encoder.op_imm8(Op::one(0xc1).wide(is_wide(width)), shift_number(op), Rm::Reg(dst.0), amount);
    }

    fn shift(&mut self, op: Shift, width: Width, dst: Gpr, _: Gpr) {
        self.encoder.op(Op::one(0xd3).wide(is_wide(width)), shift_number(op), Rm::Reg(dst.0));
    }

    fn unary(&mut self, op: Unary, width: Width, dst: Gpr, src: Gpr) {
        let (wide, bits) = (is_wide(width), if is_wide(width) { 64 } else { 32 });
        let src = Rm::Reg(src.0);
        match op {
            Unary::Popcnt => self.op(Op::two(0xb8).prefix(0xf3).wide(wide), dst, src),
            Unary::Extend8 => self.op(Op::two(0xbe).bytes().wide(wide), dst, src),
            Unary::Extend16 => self.op(Op::two(0xbf).wide(wide), dst, src),
            Unary::Extend32 => self.op(Op::one(0x63).wide(true), dst, src),
            Unary::Ctz | Unary::Clz => {
                let Rm::Reg(src) = src else { return };
                let forward = op == Unary::Ctz;
                self.find_bit(forward, width, dst, Gpr(src), if forward { bits } else { 2 * bits - 1 });
                if !forward {
                    // The highest bit's number, counted from the other end.
                    self.arithmetic(6, width, dst, Source::Imm(bits as i32 - 1));
                }
            }
        }
    }

    fn divide(&mut self, op: Division, width: Width, _: Gpr, divisor: Gpr) {
        let wide = is_wide(width);
        if op.signed {
            // cdq, cqo
            self.encoder.bytes(if wide { &[0x48, 0x99] } else { &[0x99] });
            self.encoder.op(Op::one(0xf7).wide(wide), 7, Rm::Reg(divisor.0));
        } else {
            self.encoder.bytes(&[0x31, 0xd2]);
            self.encoder.op(Op::one(0xf7).wide(wide), 6, Rm::Reg(divisor.0));
        }
    }

    fn compare(&mut self, width: Width, a: Gpr, b: Source) {
        self.arithmetic(7, width, a, b);
    }

    fn test(&mut self, width: Width, a: Gpr) {
        self.op(Op::one(0x85).wide(is_wide(width)), a, Rm::Reg(a.0));
    }

    fn cond(compare: Compare) -> Cond {
        Cond(match compare {
            Compare::LtU => 2,
            Compare::GeU => 3,
            Compare::Eq => 4,
            Compare::Ne => 5,
            Compare::LeU => 6,
            Compare::GtU => 7,
            Compare::LtS => 12,
            Compare::GeS => 13,
            Compare::LeS => 14,
            Compare::GtS => 15,
        })
    }

    fn invert(cond: Cond) -> Cond {
        Cond(cond.0 ^ 1)
    }

    fn set(&mut self, cond: Cond, dst: Gpr) {
        self.set_byte(cond.0, dst);
        self.op(Op::two(0xb6).bytes(), dst, Rm::Reg(dst.0));
    }

    fn mov_if(&mut self, cond: Cond, dst: Gpr, src: Gpr) {
        self.op(Op::two(0x40 | cond.0).wide(true), dst, Rm::Reg(src.0));
    }

    fn fcompare(&mut self, compare: FloatCompare, ty: Float, a: Fpr, b: Fpr, dst: Gpr) -> Option<Cond> {
        self.fcompare_to(compare, ty, a, b, dst)
    }

    fn fbinary(&mut self, op: FloatBinary, ty: Float, dst: Fpr, src: Fpr) {
        self.float_binary(op, ty, dst, src);
    }

    fn funary(&mut self, op: FloatUnary, ty: Float, dst: Fpr, src: Fpr) {
        self.float_unary(op, ty, dst, src);
    }

    fn convert_float(&mut self, to: Float, dst: Fpr, src: Fpr) {
        let from = if to == Float::F64 { Float::F32 } else { Float::F64 };
        self.encoder.op(float::scalar(from, 0x5a), dst.0, Rm::Reg(src.0));
    }

    fn to_float(&mut self, op: ToFloat, dst: Fpr, src: Gpr) {
        self.integer_to_float(op, dst, src);
    }

    fn to_int(&mut self, op: ToInt, dst: Gpr, src: Fpr, invalid: Label, overflow: Label) {
        self.float_to_integer(op, dst, src, invalid, overflow);
    }

    fn to_int_saturating(&mut self, op: ToInt, dst: Gpr, src: Fpr) {
        self.float_to_nearest_integer(op, dst, src);
    }

    fn trap(&mut self, code: TrapCode) {
        // ud1 code(%eax), %eax, which is what LLVM makes of `llvm.ubsantrap`.
        self.encoder.bytes(&[0x67, 0x0f, 0xb9, 0x40, code as u8]);
    }

    fn call(&mut self, target: Target) {
        self.target(2, target);
        // sub rsp, 8, for what was popped; the runtime knows the instruction by these bytes.
        self.encoder.bytes(&[0x48, 0x83, 0xec, 8]);
    }

    fn reload_context(&mut self) {
        self.load_frame(Width::W64, R13, CONTEXT_SLOT);
    }

    fn call_c(&mut self, target: Target) {
        self.target(2, target);
    }

    fn jump_to(&mut self, target: Gpr) {
        self.target(4, Target::Gpr(target));
    }
}

fn shift_number(op: Shift) -> u8 {
    match op {
        Shift::RotateLeft => 0,
        Shift::RotateRight => 1,
        Shift::Left => 4,
        Shift::RightUnsigned => 5,
        Shift::RightSigned => 7,
    }
}
