//! The stubs for x86-64, System V calling convention.
//!
//! Entry frame, from `host_sp` upwards: execution context, old `guest_sp`, old `host_sp`, r15, r14, r13, r12, rbx, rbp,
//! return address. In `wasmo_enter`, `rbp` points to its lowest word; in `wasmo_exit`, `rsp` does while the host runs,
//! and `rbp` points to the exit frame.

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

/// The part of an entry frame that `host_sp` points to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryFrame {
    exec: usize,
    /// What `guest_sp` was: the end of the activation.
    pub(crate) guest_sp: usize,
    /// What `host_sp` was: the entry frame of the activation before.
    pub(crate) host_sp: usize,
}

/// The registers that functions keep for their callers: a host function that does not use one holds there what the guest had.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call would change them")]
pub(crate) fn kept_registers() -> [usize; 6] {
    let mut kept = [0; 6];
    // SAFETY: the instructions write to the array only.
    unsafe {
        asm!(
            "mov [{0}], rbx", "mov [{0} + 8], rbp", "mov [{0} + 16], r12",
            "mov [{0} + 24], r13", "mov [{0} + 32], r14", "mov [{0} + 40], r15",
            in(reg) kept.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
    kept
}

/// The trap that the instruction at `pc` means: `llvm.ubsantrap(code)` is `ud1l code(%eax), %eax`; `ud2` stands where LLVM thought that control
/// never comes, which only a guest whose access vanished can disprove.
///
/// # Safety
/// The instruction at `pc` was executed, and is therefore readable, and raised SIGILL or SIGTRAP.
pub(crate) unsafe fn trap_code_at(pc: usize) -> Option<TrapCode> {
    const UD1: [u8; 4] = [0x67, 0x0f, 0xb9, 0x40];
    const UD2: [u8; 2] = [0x0f, 0x0b];
    let code = pc as *const u8;
    // SAFETY: the shortest instructions that raise these signals have two bytes.
    if unsafe { code.cast::<[u8; 2]>().read() } == UD2 {
        return Some(TrapCode::Unreachable);
    }
    // The bytes are compared one by one: another instruction may be shorter and end where its page does.
    for (position, &byte) in UD1.iter().enumerate() {
        // SAFETY: the bytes before matched, so the processor has read at least this one as a part of the instruction.
        if unsafe { code.add(position).read() } != byte {
            return None;
        }
    }
    // SAFETY: with these four bytes, the instruction has a fifth.
    TrapCode::from_code(unsafe { code.add(UD1.len()).read() })
}

global_asm!(
    ".pushsection .text.wasmo_stubs, \"ax\", @progbits",
    // ---- enter(exec: rdi, thunk: rsi, code: rdx, context: rcx, values: r8) -> eax
    ".p2align 5",
    ".globl wasmo_enter",
    ".hidden wasmo_enter",
    ".type wasmo_enter, @function",
    "wasmo_enter:",
    ".cfi_startproc",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push qword ptr [rdi + {host_sp}]",
    "push qword ptr [rdi + {guest_sp}]",
    "push rdi",
    "mov rbp, rsp",
    ".cfi_def_cfa rbp, 80",
    ".cfi_offset rbp, -16",
    ".cfi_offset rbx, -24",
    ".cfi_offset r12, -32",
    ".cfi_offset r13, -40",
    ".cfi_offset r14, -48",
    ".cfi_offset r15, -56",
    "mov qword ptr [rdi + {host_sp}], rsp",
    "mov rax, qword ptr [rdi + {guest_sp}]",
    "and rax, -16",
    "mov rsp, rax",
    "cmp dword ptr [rdi + {interrupt}], 0",
    "jne 2f",
    "mov rbx, rdi",
    "mov rax, rsi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "mov rdx, r8",
    "call rax",
    // A thunk that returns has kept rbp, rbx, and r12 to r15.
    "mov rdx, qword ptr [rbp + 8]",
    "mov qword ptr [rbx + {guest_sp}], rdx",
    "mov rdx, qword ptr [rbp + 16]",
    "mov qword ptr [rbx + {host_sp}], rdx",
    "mov eax, {returned}",
    "mov rbx, qword ptr [rbp + 56]",
    "lea rsp, [rbp + 64]",
    ".cfi_remember_state",
    ".cfi_restore rbx",
    ".cfi_def_cfa rsp, 16",
    "pop rbp",
    ".cfi_restore rbp",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_restore_state",
    // ---- leaving the entry frame: rsp = host_sp, eax = the answer
    ".Lwasmo_leave:",
    "pop rdi",
    "pop qword ptr [rdi + {guest_sp}]",
    "pop qword ptr [rdi + {host_sp}]",
    ".cfi_def_cfa rsp, 56",
    "pop r15",
    ".cfi_def_cfa_offset 48",
    "pop r14",
    ".cfi_def_cfa_offset 40",
    "pop r13",
    ".cfi_def_cfa_offset 32",
    "pop r12",
    ".cfi_def_cfa_offset 24",
    "pop rbx",
    ".cfi_def_cfa_offset 16",
    "pop rbp",
    ".cfi_def_cfa_offset 8",
    "ret",
    "2:",
    "mov esi, {interrupted}",
    "jmp wasmo_unwind",
    ".cfi_endproc",
    ".size wasmo_enter, . - wasmo_enter",
    // ---- exit(exec: rdi, callback: rsi, context: rdx, values: rcx)
    ".p2align 5",
    ".globl wasmo_exit",
    ".hidden wasmo_exit",
    ".type wasmo_exit, @function",
    "wasmo_exit:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov qword ptr [rdi + {guest_sp}], rsp",
    "mov rbp, rsp",
    "mov rsp, qword ptr [rdi + {host_sp}]",
    ".cfi_remember_state",
    ".cfi_def_cfa rsp, 80",
    ".cfi_offset rbx, -24",
    ".cfi_offset r12, -32",
    ".cfi_offset r13, -40",
    ".cfi_offset r14, -48",
    ".cfi_offset r15, -56",
    "mov rax, rsi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "call rax",
    "mov rdi, qword ptr [rsp]",
    "test eax, eax",
    "jne 3f",
    "mov rsp, rbp",
    ".cfi_restore_state",
    "cmp dword ptr [rdi + {interrupt}], 0",
    "jne 4f",
    "pop rbp",
    ".cfi_def_cfa_offset 8",
    "ret",
    "3:",
    "mov esi, {host_failed}",
    "jmp wasmo_unwind",
    "4:",
    "mov esi, {interrupted}",
    "jmp wasmo_unwind",
    ".cfi_endproc",
    ".size wasmo_exit, . - wasmo_exit",
    // ---- unwind(exec: rdi, reason: esi)
    ".p2align 5",
    ".globl wasmo_unwind",
    ".hidden wasmo_unwind",
    ".type wasmo_unwind, @function",
    "wasmo_unwind:",
    "mov rsp, qword ptr [rdi + {host_sp}]",
    "mov rbp, rsp",
    "mov rdx, qword ptr [rdi + {guest_sp}]",
    "mov qword ptr [rdi + {unwound_from}], rdx",
    "mov eax, esi",
    "jmp .Lwasmo_leave",
    ".size wasmo_unwind, . - wasmo_unwind",
    // ---- no code
    ".globl wasmo_no_code",
    ".hidden wasmo_no_code",
    ".type wasmo_no_code, @function",
    "wasmo_no_code:",
    ".byte 0x67, 0x0f, 0xb9, 0x40, {unreachable}",
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
