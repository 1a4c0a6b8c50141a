//! The instructions of the machine.
//!
//! An instruction names registers, which are words of the current frame: word 0 is the procedure that
//! runs, word 1 the way back to its caller, the arguments start at word 2, local variables and
//! temporaries follow. `d` is written, other letters are read. Branch targets are relative to the
//! next instruction. Every instruction takes 8 bytes.

#![expect(
    missing_docs,
    reason = "the fields follow the naming rule above; plain operations are named after their primitives"
)]

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Copies `s`.
    Move {
        d: u16,
        s: u16,
    },
    /// Loads constant `k` of the machine.
    Const {
        d: u16,
        k: u32,
    },
    /// Loads an integer.
    Int {
        d: u16,
        i: i32,
    },
    /// Loads global `k`; an error when it is not defined.
    Global {
        d: u16,
        k: u32,
    },
    /// Assigns global `k`; an error when it is not defined.
    SetGlobal {
        s: u16,
        k: u32,
    },
    /// Defines global `k`.
    DefineGlobal {
        s: u16,
        k: u32,
    },
    /// Loads captured value `i` of the running closure.
    Captured {
        d: u16,
        i: u16,
    },
    /// Makes a box that holds `s`.
    NewBox {
        d: u16,
        s: u16,
    },
    /// Loads what box `b` holds.
    Unbox {
        d: u16,
        b: u16,
    },
    /// Changes what box `b` holds.
    SetBox {
        b: u16,
        s: u16,
    },
    /// An error, naming symbol `k`, when `s` is undefined.
    CheckDefined {
        s: u16,
        k: u32,
    },
    /// Makes a closure of procedure `k`.
    Closure {
        d: u16,
        k: u32,
    },
    /// Sets captured value `i` of closure `c`, which was made before its neighbour `s`.
    Patch {
        c: u16,
        i: u16,
        s: u16,
    },
    /// Fills the two words that a call at `base` leaves unwritten while its arguments are computed.
    Clear {
        base: u16,
    },
    Add {
        d: u16,
        a: u16,
        b: u16,
    },
    Sub {
        d: u16,
        a: u16,
        b: u16,
    },
    Mul {
        d: u16,
        a: u16,
        b: u16,
    },
    /// Adds a constant.
    AddInt {
        d: u16,
        a: u16,
        i: i16,
    },
    Quotient {
        d: u16,
        a: u16,
        b: u16,
    },
    Remainder {
        d: u16,
        a: u16,
        b: u16,
    },
    Modulo {
        d: u16,
        a: u16,
        b: u16,
    },
    Less {
        d: u16,
        a: u16,
        b: u16,
    },
    LessEqual {
        d: u16,
        a: u16,
        b: u16,
    },
    NumEqual {
        d: u16,
        a: u16,
        b: u16,
    },
    Eq {
        d: u16,
        a: u16,
        b: u16,
    },
    Not {
        d: u16,
        s: u16,
    },
    Cons {
        d: u16,
        a: u16,
        b: u16,
    },
    Car {
        d: u16,
        s: u16,
    },
    Cdr {
        d: u16,
        s: u16,
    },
    IsNull {
        d: u16,
        s: u16,
    },
    IsPair {
        d: u16,
        s: u16,
    },
    VectorRef {
        d: u16,
        v: u16,
        i: u16,
    },
    VectorSet {
        v: u16,
        i: u16,
        s: u16,
    },
    Jump {
        to: i32,
    },
    /// Jumps back to the start of a loop; registers from `top` on hold nothing that is still needed.
    Loop {
        top: u16,
        to: i32,
    },
    JumpIf {
        s: u16,
        to: i32,
    },
    JumpIfNot {
        s: u16,
        to: i32,
    },
    JumpNull {
        s: u16,
        to: i32,
    },
    JumpNotNull {
        s: u16,
        to: i32,
    },
    JumpPair {
        s: u16,
        to: i32,
    },
    JumpNotPair {
        s: u16,
        to: i32,
    },
    JumpLess {
        a: u16,
        b: u16,
        to: i16,
    },
    JumpLessEqual {
        a: u16,
        b: u16,
        to: i16,
    },
    JumpNumEqual {
        a: u16,
        b: u16,
        to: i16,
    },
    JumpNumDiffer {
        a: u16,
        b: u16,
        to: i16,
    },
    JumpEq {
        a: u16,
        b: u16,
        to: i16,
    },
    JumpDiffer {
        a: u16,
        b: u16,
        to: i16,
    },
    /// Jumps when `a` is less than a constant.
    JumpLessInt {
        a: u16,
        i: i16,
        to: i16,
    },
    /// Jumps when `a` is at least a constant.
    JumpNotLessInt {
        a: u16,
        i: i16,
        to: i16,
    },
    JumpEqualInt {
        a: u16,
        i: i16,
        to: i16,
    },
    JumpDifferInt {
        a: u16,
        i: i16,
        to: i16,
    },
    /// Calls `base` with the `n` arguments from `base + 2` on; the result goes to `base`.
    Call {
        n: u8,
        base: u16,
    },
    /// Calls global `k` in the same way.
    CallGlobal {
        n: u8,
        base: u16,
        k: u32,
    },
    /// Replaces the running procedure by a call, laid out as for `Call`.
    TailCall {
        n: u8,
        base: u16,
    },
    /// Replaces the running procedure by a call of global `k`.
    TailCallGlobal {
        n: u8,
        base: u16,
        k: u32,
    },
    /// Calls primitive `p` with the `n` registers from `base` on.
    CallPrimitive {
        n: u8,
        d: u16,
        base: u16,
        p: u16,
    },
    /// Returns `s`.
    Return {
        s: u16,
    },
}

const _: () = assert!(size_of::<Op>() == 8);
