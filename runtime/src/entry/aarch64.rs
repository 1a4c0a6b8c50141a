//! The stubs for AArch64, AAPCS64.
//!
//! [`EntryFrame`] says how an entry frame looks. While the guest runs, x21 points to it too, which code in C's convention
//! and in that of wasm keeps. In `wasmo_exit` x29 points to the exit frame while the host runs, in direct exits x22 does.

use super::offset::{EXIT_SP, HOST_FUNC_DIRECT, HOST_FUNC_EXEC, HOST_SP, INTERRUPT, UNWOUND_FROM};
use super::{Activation, Arguments, DIRECT_STUB, HOST_FAILED, INTERRUPTED, RETURNED, Results};
use crate::exec::Exec;
use crate::trap::Registers;
use std::arch::{asm, global_asm};
use wasmo_abi::trap::TrapCode;

/// What exits leave on the guest's stack.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExitFrame {
    /// The caller's frame pointer.
    pub(crate) fp: usize,
    /// Where the caller goes on.
    pub(crate) return_address: usize,
}

/// What entering leaves on the host's stack.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryFrame {
    x29: usize,
    x30: usize,
    x19: usize,
    exec: usize,
    /// Where the guest's stack stands: at first where the activation began, then at the last exit frame.
    pub(crate) exit_sp: usize,
    /// The entry frame of the activation before, or 0.
    pub(crate) outer: usize,
}

const _: () = assert!(size_of::<EntryFrame>() == 48);

/// The stack pointer, or nearly.
#[inline(always)]
#[allow(clippy::inline_always, reason = "one instruction")]
pub(crate) fn stack_pointer() -> usize {
    let sp;
    // SAFETY: the instruction only copies a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Calls `code` on the guest's stack with the context in the register of the wasm convention; answers
/// [`RETURNED`] and the results, or why the guest was unwound and anything.
///
/// # Safety
/// `exec` belongs to a store that lives, and is the current context of this thread; `activation` is the next one.
/// `code` takes these arguments, and keeps x19, x21, x23 and x29.
#[inline(always)]
#[allow(clippy::inline_always, reason = "the arguments must stay in registers")]
pub(crate) unsafe fn enter(
    exec: *mut Exec,
    activation: Activation,
    code: *const u8,
    context: *mut u8,
    arguments: &Arguments,
) -> (usize, Results) {
    let Activation { guest_sp, outer } = activation;
    let [mut x0, mut x1, mut x2, mut x3, x4, x5] = arguments.integers;
    let [mut d0, mut d1, mut d2, mut d3, d4, d5, d6, d7] = arguments.floats;
    let reason: usize;
    // SAFETY: as the caller promises; all registers that C's convention lets a function change are declared to be changed, and of those that it must
    // keep, the stub keeps x19, x23 and x29 and the others are declared.
    unsafe {
        asm!(
            "bl {enter}",
            enter = sym super::wasmo_enter,
            inout("x0") x0,
            inout("x1") x1,
            inout("x2") x2,
            inout("x3") x3,
            inout("x4") x4 => _,
            inout("x5") x5 => _,
            inout("x9") code => reason,
            inout("x10") guest_sp => _,
            inout("x11") outer => _,
            inout("x20") context => _,
            out("x21") _,
            out("x22") _,
            in("x23") exec,
            out("x24") _,
            out("x25") _,
            out("x26") _,
            out("x27") _,
            out("x28") _,
            inout("v0") d0,
            inout("v1") d1,
            inout("v2") d2,
            inout("v3") d3,
            inout("v4") d4 => _,
            inout("v5") d5 => _,
            inout("v6") d6 => _,
            inout("v7") d7 => _,
            out("v8") _,
            out("v9") _,
            out("v10") _,
            out("v11") _,
            out("v12") _,
            out("v13") _,
            out("v14") _,
            out("v15") _,
            clobber_abi("C"),
        );
    }
    // SAFETY: the instructions have written to these registers, or could have.
    let results = unsafe {
        Results {
            integers: [x0.assume_init(), x1.assume_init(), x2.assume_init(), x3.assume_init()],
            floats: [d0.assume_init(), d1.assume_init(), d2.assume_init(), d3.assume_init()],
        }
    };
    (reason, results)
}

/// Functions pop nothing here.
pub(crate) fn before_pop(_: Registers) -> Option<Registers> {
    None
}

/// As [`before_pop`].
///
/// # Safety
/// None is needed.
pub(crate) unsafe fn makes_up_at(_: usize) -> bool {
    false
}

/// The registers that the caller has at the call of a function that has no frame yet, or any more, and has the registers `at`.
pub(crate) fn caller(at: Registers, _read: impl Fn(usize) -> Option<usize>) -> Option<Registers> {
    Some(Registers { pc: at.lr, lr: 0, ..at })
}

/// The registers that functions keep for their callers: a host function that does not use one holds there what the guest had.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call would change them")]
pub(crate) fn kept_registers() -> [usize; 10] {
    let mut kept = [0; 10];
    // SAFETY: the instructions write to the array only.
    unsafe {
        asm!(
            "stp x19, x20, [{0}]", "stp x21, x22, [{0}, #16]", "stp x23, x24, [{0}, #32]",
            "stp x25, x26, [{0}, #48]", "stp x27, x28, [{0}, #64]",
            in(reg) kept.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
    kept
}

/// The trap that the instruction at `pc` means: `llvm.ubsantrap(code)` is `brk #(0x5500 | code)`.
///
/// # Safety
/// The instruction at `pc` was executed, and is therefore readable, and raised SIGILL or SIGTRAP.
pub(crate) unsafe fn trap_code_at(pc: usize) -> Option<TrapCode> {
    // SAFETY: an instruction has four bytes and is aligned.
    let instruction = unsafe { (pc as *const u32).read() };
    if instruction == UNREACHABLE {
        return Some(TrapCode::Unreachable);
    }
    let operand = (instruction & !BRK) >> 5;
    if instruction & BRK_MASK != BRK || operand & 0xff00 != UBSAN {
        return None;
    }
    TrapCode::from_code((operand & 0xff) as u8)
}

/// The bits of `brk` around its 16-bit operand, and their values.
const BRK_MASK: u32 = 0xffe0_001f;
const BRK: u32 = 0xd420_0000;
/// `brk #1`, which stands where LLVM thought that control never comes.
const UNREACHABLE: u32 = BRK | 1 << 5;
/// The upper byte of the operand that marks `llvm.ubsantrap`.
const UBSAN: u32 = 0x5500;

/// Notes that from label 22 up to label 23 an exit frame lies where the stack pointer points.
macro_rules! framed {
    () => {
        ".pushsection .rodata.wasmo_framed, \"a\", @progbits\n\
         .long 22b - wasmo_stubs, 23b - wasmo_stubs\n\
         .popsection\n"
    };
}

macro_rules! exit_direct {
    ($($register:literal),*) => {
        concat!($(
            // The context becomes the last argument.
            ".p2align 6\n",
            ".cfi_startproc\n",
            "stp x29, x30, [sp, #-16]!\n",
            "22:\n",
            ".cfi_def_cfa_offset 16\n",
            ".cfi_offset x29, -16\n",
            ".cfi_offset x30, -8\n",
            "ldr x9, [x20, #{exec}]\n",
            "ldr x10, [x20, #{direct}]\n",
            "mov x22, sp\n",
            "ldr x9, [x9, #{host_sp}]\n",
            "mov ", $register, ", x20\n",
            "str x22, [x9, #{exit_sp}]\n",
            "mov sp, x9\n",
            "23:\n",
            framed!(),
            ".cfi_remember_state\n",
            ".cfi_def_cfa sp, 48\n",
            ".cfi_offset x29, -48\n",
            ".cfi_offset x30, -40\n",
            ".cfi_offset x19, -32\n",
            ".cfi_offset x23, -24\n",
            "blr x10\n",
            "ldr x9, [x20, #{exec}]\n",
            "ldr x30, [x22, #8]\n",
            "add sp, x22, #16\n",
            ".cfi_restore_state\n",
            ".cfi_def_cfa_offset 0\n",
            ".cfi_restore x29\n",
            ".cfi_restore x30\n",
            "ldr w10, [x9, #{interrupt}]\n",
            "cbnz w10, .Lwasmo_interrupted_direct\n",
            "ret\n",
            ".cfi_endproc\n",
        )*)
    };
}

global_asm!(
    ".pushsection .rodata.wasmo_framed, \"a\", @progbits",
    ".p2align 2",
    ".globl wasmo_framed",
    ".hidden wasmo_framed",
    "wasmo_framed:",
    ".popsection",
    ".pushsection .text.wasmo_stubs, \"ax\", @progbits",
    ".globl wasmo_stubs",
    ".hidden wasmo_stubs",
    "wasmo_stubs:",
    // ---- enter(code: x9, guest_sp: x10, outer: x11, exec: x23; what code takes) -> reason: x9; what code returns.
    // Changes what C's convention allows to change, and x20 to x22, x24 to x28, d8 to d15.
    ".p2align 6",
    ".globl wasmo_enter",
    ".hidden wasmo_enter",
    ".type wasmo_enter, @function",
    "wasmo_enter:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-48]!",
    "stp x19, x23, [sp, #16]",
    "stp x10, x11, [sp, #32]",
    "mov x21, sp",
    ".cfi_def_cfa x21, 48",
    ".cfi_offset x29, -48",
    ".cfi_offset x30, -40",
    ".cfi_offset x19, -32",
    // The order of stores matters to a thread that interrupts: see `crate::interrupt`.
    "add x12, x23, #{host_sp}",
    "stlr x21, [x12]",
    "mov sp, x10",
    "ldr w12, [x23, #{interrupt}]",
    "cbnz w12, 2f",
    "blr x9",
    "ldr x30, [x21, #8]",
    "add sp, x21, #48",
    ".cfi_remember_state",
    ".cfi_restore x19",
    ".cfi_restore x29",
    ".cfi_restore x30",
    ".cfi_def_cfa sp, 0",
    "mov x9, #{returned}",
    "ret",
    ".cfi_restore_state",
    "2:",
    "mov x0, x23",
    "mov x1, #{interrupted}",
    "b wasmo_unwind",
    ".cfi_endproc",
    ".size wasmo_enter, . - wasmo_enter",
    // ---- exit(exec: x0, callback: x1, context: x2, values: x3)
    ".p2align 6",
    ".globl wasmo_exit",
    ".hidden wasmo_exit",
    ".type wasmo_exit, @function",
    "wasmo_exit:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-16]!",
    "22:",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset x29, -16",
    ".cfi_offset x30, -8",
    "mov x29, sp",
    "ldr x9, [x0, #{host_sp}]",
    "str x29, [x9, #{exit_sp}]",
    "mov sp, x9",
    "23:",
    framed!(),
    ".cfi_remember_state",
    ".cfi_def_cfa sp, 48",
    ".cfi_offset x29, -48",
    ".cfi_offset x30, -40",
    ".cfi_offset x19, -32",
    ".cfi_offset x23, -24",
    "mov x9, x1",
    "mov x0, x2",
    "mov x1, x3",
    "blr x9",
    "ldr x9, [sp, #24]",
    "cbnz w0, 3f",
    "mov sp, x29",
    "22:",
    ".cfi_restore_state",
    "ldr w10, [x9, #{interrupt}]",
    "cbnz w10, .Lwasmo_interrupted",
    "ldp x29, x30, [sp], #16",
    "23:",
    framed!(),
    ".cfi_def_cfa_offset 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "ret",
    "3:",
    "mov x0, x9",
    "mov x1, #{host_failed}",
    "b wasmo_unwind",
    ".cfi_endproc",
    ".size wasmo_exit, . - wasmo_exit",
    // ---- unwind(exec: x0, reason: x1)
    ".p2align 5",
    ".Lwasmo_interrupted_direct:",
    // Back to the exit frame, so that it lies there for whoever comes here.
    "mov sp, x22",
    ".Lwasmo_interrupted:",
    "22:",
    "mov x0, x9",
    "mov x1, #{interrupted}",
    ".globl wasmo_unwind",
    ".hidden wasmo_unwind",
    ".type wasmo_unwind, @function",
    "wasmo_unwind:",
    "ldr x9, [x0, #{host_sp}]",
    "mov sp, x9",
    "23:",
    framed!(),
    "ldr x9, [sp, #{exit_sp}]",
    "str x9, [x0, #{unwound_from}]",
    "mov x9, x1",
    "ldp x19, x23, [sp, #16]",
    "ldp x29, x30, [sp], #48",
    "ret",
    ".size wasmo_unwind, . - wasmo_unwind",
    // ---- no code
    ".globl wasmo_no_code",
    ".hidden wasmo_no_code",
    ".type wasmo_no_code, @function",
    "wasmo_no_code:",
    "brk #(0x5500 | {unreachable})",
    ".size wasmo_no_code, . - wasmo_no_code",
    // ---- direct exits, in the wasm convention: context: x20; one for each number of integers among the arguments
    ".p2align 6",
    ".globl wasmo_exit_direct",
    ".hidden wasmo_exit_direct",
    ".type wasmo_exit_direct, @function",
    "wasmo_exit_direct:",
    exit_direct!("x0", "x1", "x2", "x3", "x4", "x5"),
    // An error when the stubs before need more room.
    ".org wasmo_exit_direct + 6 * {direct_stub}",
    ".size wasmo_exit_direct, . - wasmo_exit_direct",
    ".globl wasmo_stubs_end",
    ".hidden wasmo_stubs_end",
    "wasmo_stubs_end:",
    ".popsection",
    ".pushsection .rodata.wasmo_framed, \"a\", @progbits",
    ".globl wasmo_framed_end",
    ".hidden wasmo_framed_end",
    "wasmo_framed_end:",
    ".popsection",
    host_sp = const HOST_SP,
    exit_sp = const EXIT_SP,
    interrupt = const INTERRUPT,
    unwound_from = const UNWOUND_FROM,
    exec = const HOST_FUNC_EXEC,
    direct = const HOST_FUNC_DIRECT,
    direct_stub = const DIRECT_STUB,
    returned = const RETURNED,
    host_failed = const HOST_FAILED,
    interrupted = const INTERRUPTED,
    unreachable = const TrapCode::Unreachable as u8,
);
