//! [`Masm`]: what the generator asks of a processor, in steps that every processor can do in one or a few instructions.
//!
//! The generator ([`super::function`]) decides where values are; an implementation writes instructions. Integers of 32 bits in registers are always extended with zeros to 64.
//! Operations with a result work in place: `dst` is the first operand, too. No implementation changes a register that is not named in the call, but for its scratch registers, which the
//! generator never allocates ([`Masm::SCRATCH`] it uses itself, between calls only). Moves, loads and stores leave the flags alone.

use crate::error::Error;
use wasmo_abi::trap::TrapCode;

/// A general-purpose register, by its number in instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gpr(pub(super) u8);

/// A floating-point register, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fpr(pub(super) u8);

/// How many bits an integer operation works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    W32,
    W64,
}

/// How many bits a floating-point operation works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Float {
    F32,
    F64,
}

impl Float {
    /// The one with so many bits.
    pub(super) fn of(width: Width) -> Self {
        match width {
            Width::W32 => Self::F32,
            Width::W64 => Self::F64,
        }
    }
}

/// A place in the frame: bytes from the stack pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameOffset(pub(super) u32);

/// The second operand of an integer operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Gpr(Gpr),
    Imm(i32),
    Frame(FrameOffset),
}

/// An address: a register, another one if there is any, and a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) base: Gpr,
    pub(super) index: Option<Gpr>,
    pub(super) offset: i32,
}

impl Address {
    pub(super) fn new(base: Gpr, offset: i32) -> Self {
        Self { base, index: None, offset }
    }

    /// The field at `offset`, in bytes, behind the address in `base`.
    pub(super) fn field(base: Gpr, offset: usize) -> Result<Self, Error> {
        Self::new(base, 0).and(offset)
    }

    /// What is so many bytes further on.
    pub(super) fn and(self, offset: usize) -> Result<Self, Error> {
        let offset = i32::try_from(offset).ok().and_then(|offset| self.offset.checked_add(offset));
        let offset = offset.ok_or_else(|| Error::internal("a field is too far away"))?;
        Ok(Self { offset, ..self })
    }
}

/// Integer operations that take any second operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alu {
    Add,
    Sub,
    And,
    Or,
    Xor,
}

/// Shifts and rotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    Left,
    RightSigned,
    RightUnsigned,
    RotateLeft,
    RotateRight,
}

/// Integer operations with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    Clz,
    Ctz,
    Popcnt,
    Extend8,
    Extend16,
    Extend32,
}

/// Divisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Division {
    pub(super) signed: bool,
    pub(super) remainder: bool,
}

/// Floating-point operations with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloatBinary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Copysign,
}

/// Floating-point operations with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloatUnary {
    Abs,
    Neg,
    Sqrt,
    Ceil,
    Floor,
    Trunc,
    Nearest,
}

/// How integers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Eq,
    Ne,
    LtS,
    LtU,
    GtS,
    GtU,
    LeS,
    LeU,
    GeS,
    GeU,
}

/// How floating-point numbers compare; all but `Ne` are false for a NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloatCompare {
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
}

/// A condition of the flags, as the processor encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cond(pub(super) u8);

/// A conversion of a floating-point number to an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ToInt {
    pub(super) from: Float,
    pub(super) to: Width,
    pub(super) signed: bool,
}

/// A conversion of an integer to a floating-point number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ToFloat {
    pub(super) from: Width,
    pub(super) signed: bool,
    pub(super) to: Float,
}

/// What a load from memory makes of what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// 32 or 64 bits.
    Whole(Width),
    /// Bytes that are extended with zeros.
    Unsigned8,
    Unsigned16,
    /// Bytes that are extended by their sign to so many bits.
    Signed8(Width),
    Signed16(Width),
    Signed32,
}

/// How many bytes an integer store writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    Byte,
    Half,
    Word,
    Double,
}

/// A place in the code that can be jumped to before it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(pub(super) u32);

/// Where code calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The address in a register.
    Gpr(Gpr),
    /// The address at this place.
    Memory(Address),
}

/// Registers that a function keeps for its caller in its frame, by their numbers' bits: they lie from [`Masm::BELOW`] on, in the order of their numbers, floating-point registers behind the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) gprs: u32,
    pub(super) fprs: u32,
}

impl Kept {
    /// How many registers these are.
    pub(super) fn count(self) -> u32 {
        self.gprs.count_ones() + self.fprs.count_ones()
    }

    /// Each general-purpose register with its place, if the first lies at `below`.
    pub(super) fn gprs(self, below: u32) -> impl Iterator<Item = (Gpr, FrameOffset)> {
        let places = (below..).step_by(8).map(FrameOffset);
        (0..32).filter(move |reg| self.gprs & 1 << reg != 0).map(Gpr).zip(places)
    }

    /// Likewise the floating-point registers.
    pub(super) fn fprs(self, below: u32) -> impl Iterator<Item = (Fpr, FrameOffset)> {
        let places = (below + 8 * self.gprs.count_ones()..).step_by(8).map(FrameOffset);
        (0..32).filter(move |reg| self.fprs & 1 << reg != 0).map(Fpr).zip(places)
    }
}

/// Where a function's frame is described, for its call frame information; offsets in the code.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameMarks {
    /// The function's beginning, and its end.
    pub(super) start: u32,
    pub(super) end: u32,
    /// Behind the instruction that makes the frame.
    pub(super) framed: u32,
    /// What is kept in the frame, and from where on it is.
    pub(super) kept: Kept,
    pub(super) kept_from: u32,
    /// The frame's size in bytes, without what the beginning pushes.
    pub(super) size: u32,
    /// Where the code lies that touches the pages of a large frame, and where in it the frame is there.
    pub(super) probe: Option<(u32, u32)>,
}

/// A processor.
pub(super) trait Masm: Default {
    /// Registers that hold values. All of them are changed by calls.
    const GPRS: &'static [Gpr];
    const FPRS: &'static [Fpr];
    /// Registers that hold variables, and that functions keep for their callers. None of them is one of the above.
    const KEPT: &'static [Gpr];
    const KEPT_FLOATS: &'static [Fpr];
    /// Those of the registers that hold values that may hold variables instead: arguments may travel there, but of what is at fixed registers below only results do.
    const LENT: &'static [Gpr];
    const LENT_FLOATS: &'static [Fpr];
    /// Further such registers, in functions that call nothing in the ordinary course of things. [`Masm::clear_frame`] leaves them alone, too.
    const LEAF: &'static [Gpr];
    /// A register for the generator's own use between two of these calls, which may use it themselves where they say so.
    const SCRATCH: Gpr;
    const FLOAT_SCRATCH: Fpr;
    /// Where arguments and results travel in the convention of wasm functions; the context is in [`Masm::CONTEXT`].
    const INTEGER_ARGUMENTS: &'static [Gpr];
    const FLOAT_ARGUMENTS: &'static [Fpr];
    const INTEGER_RESULTS: &'static [Gpr];
    const FLOAT_RESULTS: &'static [Fpr];
    /// The context of the function, always, but while it calls.
    const CONTEXT: Gpr;
    /// The base of memory 0, which functions keep for their callers.
    const MEMORY: Gpr;
    /// The register beside that of the context that C's functions keep for their callers, and wasm functions do not.
    const KEPT_IN_C: Gpr;
    /// Where the code and the context of what is to be called are kept while arguments are moved: no arguments travel there. The first is one of [`Masm::GPRS`], the second is not.
    const CALLEE_CODE: Gpr;
    const CALLEE_CONTEXT: Gpr;
    /// The first four arguments in C's convention.
    const C_ARGUMENTS: [Gpr; 4];
    /// The register that amounts of shifts have to be in, if there is one.
    const SHIFT_AMOUNT: Option<Gpr>;
    /// Where divisions have their dividend and quotient, and their remainder, if they are bound to registers.
    const DIVISION: Option<(Gpr, Gpr)>;
    /// Bytes at the bottom of the frame that what is called may use, and in which the context is kept.
    const BELOW: u32;
    /// What the call frame information of all functions has in common, from the version on (DWARF 5, 6.4.1), with addresses relative to where they stand, in 32 bits.
    const COMMON_FRAME: &'static [u8];

    /// What was written.
    fn code(&self) -> &[u8];
    fn into_code(self) -> Vec<u8>;
    /// Pads with what is not executed to a multiple of `align`.
    fn align(&mut self, align: usize);

    fn new_label(&mut self) -> Label;
    fn bind(&mut self, label: Label);
    fn jump(&mut self, to: Label);
    fn jump_if(&mut self, cond: Cond, to: Label);
    /// Jumps to the one of `targets` that `index`, 32 bits, says, or to `default`. Changes `index` and [`Masm::SCRATCH`].
    fn jump_table(&mut self, index: Gpr, targets: &[Label], default: Label);
    /// Resolves all jumps; labels are void afterwards.
    ///
    /// # Errors
    /// `Limit` when the function is too large for some of its instructions.
    fn finish_labels(&mut self) -> Result<(), Error>;

    /// Begins a function: makes the frame, whose size is given at the end, and keeps the context and `kept` in it.
    fn begin_function(&mut self, kept: Kept) -> FrameMarks;
    /// Takes the frame away, before a jump to other code, or to be followed by [`Masm::ret`]; answers where the frame has gone, for [`Masm::describe_frame`].
    fn leave_frame(&mut self, kept: Kept) -> u32;
    fn ret(&mut self);
    /// Returns to a caller that goes by C's convention.
    fn ret_in_c(&mut self);
    /// Ends a function: gives its frame `size` bytes, a multiple of 16.
    fn end_function(&mut self, marks: &mut FrameMarks, size: u32);
    /// The call frame information of a function as it is after its common beginning; `left` are the places where its frame was taken away, and where it is there again.
    fn describe_frame(marks: &FrameMarks, left: &[(u32, u32)]) -> Vec<u8>;

    fn mov(&mut self, width: Width, dst: Gpr, src: Gpr);
    fn mov_imm(&mut self, dst: Gpr, value: u64);
    fn load_frame(&mut self, width: Width, dst: Gpr, from: FrameOffset);
    fn store_frame(&mut self, to: FrameOffset, src: Gpr);
    /// Stores 64 bits. Changes [`Masm::SCRATCH`].
    fn store_frame_imm(&mut self, to: FrameOffset, value: u64);
    /// Makes `count` words of the frame 0. Changes the scratch register and some that hold operands, which have none at a function's beginning.
    fn clear_frame(&mut self, from: FrameOffset, count: u32);
    fn frame_address(&mut self, dst: Gpr, of: FrameOffset);
    fn fmov(&mut self, dst: Fpr, src: Fpr);
    /// Changes [`Masm::SCRATCH`].
    fn fmov_imm(&mut self, ty: Float, dst: Fpr, bits: u64);
    fn fload_frame(&mut self, ty: Float, dst: Fpr, from: FrameOffset);
    fn fstore_frame(&mut self, to: FrameOffset, src: Fpr);
    fn gpr_to_fpr(&mut self, ty: Float, dst: Fpr, src: Gpr);
    fn fpr_to_gpr(&mut self, ty: Float, dst: Gpr, src: Fpr);

    fn load(&mut self, load: Load, dst: Gpr, from: Address);
    fn store(&mut self, store: Store, to: Address, src: Gpr);
    fn fload(&mut self, ty: Float, dst: Fpr, from: Address);
    fn fstore(&mut self, ty: Float, to: Address, src: Fpr);
    /// Makes the 32 bits at `at` 0.
    fn clear(&mut self, at: Address);
    /// Takes one from the 32 bits at `at`, and sets the flags by what is left. Changes [`Masm::SCRATCH`].
    fn decrement(&mut self, at: Address);
    /// `dst = address`
    fn address(&mut self, dst: Gpr, of: Address);

    fn alu(&mut self, op: Alu, width: Width, dst: Gpr, src: Source);
    fn multiply(&mut self, width: Width, dst: Gpr, src: Source);
    fn shift_imm(&mut self, op: Shift, width: Width, dst: Gpr, amount: u8);
    /// The amount is in [`Masm::SHIFT_AMOUNT`] if there is one.
    fn shift(&mut self, op: Shift, width: Width, dst: Gpr, amount: Gpr);
    /// `dst` and `src` may be the same. Changes [`Masm::SCRATCH`].
    fn unary(&mut self, op: Unary, width: Width, dst: Gpr, src: Gpr);
    /// Divides `dividend`, which is the first of [`Masm::DIVISION`] if there are such, by `divisor`, which is neither of them, and known not to be 0; the quotient must fit. The result is in the register for it, or in `dividend`.
    fn divide(&mut self, op: Division, width: Width, dividend: Gpr, divisor: Gpr);

    fn compare(&mut self, width: Width, a: Gpr, b: Source);
    /// Compares with 0.
    fn test(&mut self, width: Width, a: Gpr);
    fn cond(compare: Compare) -> Cond;
    fn invert(cond: Cond) -> Cond;
    fn set(&mut self, cond: Cond, dst: Gpr);
    /// `dst = src` when the condition holds; all 64 bits.
    fn mov_if(&mut self, cond: Cond, dst: Gpr, src: Gpr);
    /// Compares; answers the condition, unless it takes more than one: then `dst` is 1 or 0. Changes [`Masm::SCRATCH`].
    fn fcompare(&mut self, compare: FloatCompare, ty: Float, a: Fpr, b: Fpr, dst: Gpr) -> Option<Cond>;

    /// `dst` and `src` are different. Changes the scratch registers.
    fn fbinary(&mut self, op: FloatBinary, ty: Float, dst: Fpr, src: Fpr);
    /// Changes [`Masm::SCRATCH`].
    fn funary(&mut self, op: FloatUnary, ty: Float, dst: Fpr, src: Fpr);
    /// Converts the other type to `to`.
    fn convert_float(&mut self, to: Float, dst: Fpr, src: Fpr);
    /// Changes `src` and the scratch registers.
    fn to_float(&mut self, op: ToFloat, dst: Fpr, src: Gpr);
    /// Jumps to `invalid` for a NaN, to `overflow` for what does not fit. Changes the scratch registers and `src`.
    fn to_int(&mut self, op: ToInt, dst: Gpr, src: Fpr, invalid: Label, overflow: Label);
    /// Answers the nearest integer that fits, 0 for a NaN. Changes the scratch registers and `src`.
    fn to_int_saturating(&mut self, op: ToInt, dst: Gpr, src: Fpr);

    fn trap(&mut self, code: TrapCode);
    /// Calls in the convention of wasm functions. The context has to be loaded anew from the frame afterwards: [`Masm::reload_context`].
    fn call(&mut self, target: Target);
    fn reload_context(&mut self);
    /// Calls in C's convention.
    fn call_c(&mut self, target: Target);
    fn jump_to(&mut self, target: Gpr);
}
