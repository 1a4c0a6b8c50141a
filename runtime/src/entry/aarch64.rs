//! The stubs for AArch64, AAPCS64.
//!
//! Entry frame, from `host_sp` upwards, 192 bytes: x29, x30, x19 to x28, d8 to d15, old `host_sp`, old `guest_sp`,
//! execution context, padding. In `wasmo_enter`, `x29` points to its lowest word; in `wasmo_exit`, `sp` does while the
//! host runs, and `x29` points to the exit frame.

use super::offset::{GUEST_SP, HOST_SP, INTERRUPT, UNWOUND_FROM};
use super::{HOST_FAILED, INTERRUPTED, RETURNED};
use std::arch::{asm, global_asm};
use wasmo_abi::trap::TrapCode;

/// What [`super::EXIT`] leaves on the guest's stack.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExitFrame {
    /// The caller's frame pointer.
    pub(crate) fp: usize,
    /// Where the caller goes on.
    pub(crate) return_address: usize,
}

/// An entry frame, which `host_sp` points to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryFrame {
    saved: [usize; 20],
    /// What `host_sp` was: the entry frame of the activation before.
    pub(crate) host_sp: usize,
    /// What `guest_sp` was: the end of the activation.
    pub(crate) guest_sp: usize,
    exec: usize,
    padding: usize,
}

const _: () = assert!(size_of::<EntryFrame>() == 192);

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

global_asm!(
    ".pushsection .text.wasmo_stubs, \"ax\", @progbits",
    // ---- enter(exec: x0, thunk: x1, code: x2, context: x3, values: x4) -> w0
    ".p2align 5",
    ".globl wasmo_enter",
    ".hidden wasmo_enter",
    ".type wasmo_enter, @function",
    "wasmo_enter:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-192]!",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    "stp d8, d9, [sp, #96]",
    "stp d10, d11, [sp, #112]",
    "stp d12, d13, [sp, #128]",
    "stp d14, d15, [sp, #144]",
    "ldr x9, [x0, #{host_sp}]",
    "ldr x10, [x0, #{guest_sp}]",
    "stp x9, x10, [sp, #160]",
    "str x0, [sp, #176]",
    "mov x29, sp",
    ".cfi_def_cfa x29, 192",
    ".cfi_offset x29, -192",
    ".cfi_offset x30, -184",
    ".cfi_offset x19, -176",
    ".cfi_offset x20, -168",
    ".cfi_offset x21, -160",
    ".cfi_offset x22, -152",
    ".cfi_offset x23, -144",
    ".cfi_offset x24, -136",
    ".cfi_offset x25, -128",
    ".cfi_offset x26, -120",
    ".cfi_offset x27, -112",
    ".cfi_offset x28, -104",
    ".cfi_offset d8, -96",
    ".cfi_offset d9, -88",
    ".cfi_offset d10, -80",
    ".cfi_offset d11, -72",
    ".cfi_offset d12, -64",
    ".cfi_offset d13, -56",
    ".cfi_offset d14, -48",
    ".cfi_offset d15, -40",
    "str x29, [x0, #{host_sp}]",
    "and x10, x10, #-16",
    "mov sp, x10",
    "ldr w9, [x0, #{interrupt}]",
    "cbnz w9, 2f",
    "mov x9, x1",
    "mov x0, x2",
    "mov x1, x3",
    "mov x2, x4",
    "blr x9",
    // The thunk keeps x29, so the frame is found without the context.
    "mov sp, x29",
    "mov w0, #{returned}",
    // ---- leaving the entry frame: sp = host_sp, w0 = the answer
    ".Lwasmo_leave:",
    "ldr x11, [sp, #176]",
    "ldp x9, x10, [sp, #160]",
    "str x9, [x11, #{host_sp}]",
    "str x10, [x11, #{guest_sp}]",
    "ldp d14, d15, [sp, #144]",
    "ldp d12, d13, [sp, #128]",
    "ldp d10, d11, [sp, #112]",
    "ldp d8, d9, [sp, #96]",
    "ldp x27, x28, [sp, #80]",
    "ldp x25, x26, [sp, #64]",
    "ldp x23, x24, [sp, #48]",
    "ldp x21, x22, [sp, #32]",
    "ldp x19, x20, [sp, #16]",
    ".cfi_def_cfa sp, 192",
    "ldp x29, x30, [sp], #192",
    ".cfi_def_cfa_offset 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "ret",
    "2:",
    "mov w1, #{interrupted}",
    "b wasmo_unwind",
    ".cfi_endproc",
    ".size wasmo_enter, . - wasmo_enter",
    // ---- exit(exec: x0, callback: x1, context: x2, values: x3)
    ".p2align 5",
    ".globl wasmo_exit",
    ".hidden wasmo_exit",
    ".type wasmo_exit, @function",
    "wasmo_exit:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-16]!",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset x29, -16",
    ".cfi_offset x30, -8",
    "mov x29, sp",
    "str x29, [x0, #{guest_sp}]",
    "ldr x9, [x0, #{host_sp}]",
    "mov sp, x9",
    ".cfi_remember_state",
    ".cfi_def_cfa sp, 192",
    ".cfi_offset x29, -192",
    ".cfi_offset x30, -184",
    ".cfi_offset x19, -176",
    ".cfi_offset x20, -168",
    ".cfi_offset x21, -160",
    ".cfi_offset x22, -152",
    ".cfi_offset x23, -144",
    ".cfi_offset x24, -136",
    ".cfi_offset x25, -128",
    ".cfi_offset x26, -120",
    ".cfi_offset x27, -112",
    ".cfi_offset x28, -104",
    "mov x9, x1",
    "mov x0, x2",
    "mov x1, x3",
    "blr x9",
    "ldr x9, [sp, #176]",
    "cbnz w0, 3f",
    "mov sp, x29",
    ".cfi_restore_state",
    "ldr w10, [x9, #{interrupt}]",
    "cbnz w10, 4f",
    "ldp x29, x30, [sp], #16",
    ".cfi_def_cfa_offset 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "ret",
    "3:",
    "mov x0, x9",
    "mov w1, #{host_failed}",
    "b wasmo_unwind",
    "4:",
    "mov x0, x9",
    "mov w1, #{interrupted}",
    "b wasmo_unwind",
    ".cfi_endproc",
    ".size wasmo_exit, . - wasmo_exit",
    // ---- unwind(exec: x0, reason: w1)
    ".p2align 5",
    ".globl wasmo_unwind",
    ".hidden wasmo_unwind",
    ".type wasmo_unwind, @function",
    "wasmo_unwind:",
    "ldr x9, [x0, #{host_sp}]",
    "mov sp, x9",
    "mov x29, x9",
    "ldr x9, [x0, #{guest_sp}]",
    "str x9, [x0, #{unwound_from}]",
    "mov w0, w1",
    "b .Lwasmo_leave",
    ".size wasmo_unwind, . - wasmo_unwind",
    // ---- no code
    ".globl wasmo_no_code",
    ".hidden wasmo_no_code",
    ".type wasmo_no_code, @function",
    "wasmo_no_code:",
    "brk #(0x5500 | {unreachable})",
    ".size wasmo_no_code, . - wasmo_no_code",
    ".popsection",
    host_sp = const HOST_SP,
    guest_sp = const GUEST_SP,
    interrupt = const INTERRUPT,
    unwound_from = const UNWOUND_FROM,
    returned = const RETURNED,
    host_failed = const HOST_FAILED,
    interrupted = const INTERRUPTED,
    unreachable = const TrapCode::Unreachable as u8,
);
