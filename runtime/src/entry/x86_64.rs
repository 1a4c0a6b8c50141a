//! The stubs for x86-64, System V calling convention.
//!
//! [`EntryFrame`] says how an entry frame looks. While the guest runs, r15 points to it too, which code in C's convention
//! and in that of wasm keeps. In `wasmo_exit` rbp points to the exit frame while the host runs, in direct exits r14 does.

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

/// What entering leaves on the host's stack, at an address divisible by 16.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryFrame {
    exec: usize,
    /// Where the guest's stack stands: at first where the activation began, then at the last exit frame.
    pub(crate) exit_sp: usize,
    /// The entry frame of the activation before, or 0.
    pub(crate) outer: usize,
    rbx: usize,
    rbp: usize,
    return_address: usize,
}

/// Bytes of an entry frame below the return address.
const SAVED: usize = size_of::<EntryFrame>() - size_of::<usize>();

/// The stack pointer, or nearly.
#[inline(always)]
#[allow(clippy::inline_always, reason = "one instruction")]
pub(crate) fn stack_pointer() -> usize {
    let sp;
    // SAFETY: the instruction only copies a register.
    unsafe { asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Calls `code` on the guest's stack with the context in the register of the wasm convention; answers
/// [`RETURNED`] and the results, or why the guest was unwound and anything.
///
/// # Safety
/// `exec` belongs to a store that lives, and is the current context of this thread; `activation` is the next one.
/// `code` takes these arguments, and keeps r12, r15, rbx and rbp.
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
    let [rdi, rsi, mut rdx, mut rcx, mut r8, r9] = arguments.integers;
    let [mut xmm0, mut xmm1, mut xmm2, mut xmm3, xmm4, xmm5, xmm6, xmm7] = arguments.floats;
    let rax: usize;
    let reason: usize;
    // SAFETY: as the caller promises; all registers that C's convention lets a function change are declared to be changed, and of those that it must
    // keep, the stub keeps rbx, rbp and r12 and the others are declared.
    unsafe {
        asm!(
            "call {enter}",
            enter = sym super::wasmo_enter,
            inout("rax") code => rax,
            inout("rdi") rdi => _,
            inout("rsi") rsi => _,
            inout("rdx") rdx,
            inout("rcx") rcx,
            inout("r8") r8,
            inout("r9") r9 => _,
            inout("r10") guest_sp => reason,
            inout("r11") outer => _,
            in("r12") exec,
            inout("r13") context => _,
            out("r14") _,
            out("r15") _,
            inout("xmm0") xmm0,
            inout("xmm1") xmm1,
            inout("xmm2") xmm2,
            inout("xmm3") xmm3,
            inout("xmm4") xmm4 => _,
            inout("xmm5") xmm5 => _,
            inout("xmm6") xmm6 => _,
            inout("xmm7") xmm7 => _,
            clobber_abi("C"),
        );
    }
    // SAFETY: the instructions have written to these registers, or could have.
    let results = unsafe {
        Results {
            integers: [rax as u64, rdx.assume_init(), rcx.assume_init(), r8.assume_init()],
            floats: [xmm0.assume_init(), xmm1.assume_init(), xmm2.assume_init(), xmm3.assume_init()],
        }
    };
    (reason, results)
}

/// What functions in the wasm convention pop when they return, though they have no argument on the stack.
const POPPED: usize = 8;

/// Where the stack pointer may be too high for the call frame information: the registers `at`, lowered by what a callee has popped. LLVM takes the next
/// instruction to make up for that, and does not describe the state before it.
pub(crate) fn before_pop(at: Registers) -> Option<Registers> {
    Some(Registers { sp: at.sp.checked_sub(POPPED)?, ..at })
}

/// Whether the instruction at `pc` is one that makes up for what a callee has popped: `sub rsp, 8`. It may also be of a function's beginning.
///
/// # Safety
/// The instruction at `pc` was about to be executed, and is therefore readable.
pub(crate) unsafe fn makes_up_at(pc: usize) -> bool {
    const SUB: [u8; 4] = [0x48, 0x83, 0xec, 0x08];
    // SAFETY: a byte is read when those before it are the beginning of the instruction, so that it is a part of it.
    SUB.iter().enumerate().all(|(position, &byte)| unsafe { ((pc + position) as *const u8).read() } == byte)
}

/// The registers that the caller has at the call of a function that has no frame yet, or any more, and has the registers `at`.
pub(crate) fn caller(at: Registers, read: impl Fn(usize) -> Option<usize>) -> Option<Registers> {
    Some(Registers { pc: read(at.sp)?, sp: at.sp.checked_add(size_of::<usize>())?, ..at })
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
            // The context becomes the last argument. Nothing is taken back from memory afterwards but the return address. Functions in the wasm
            // convention pop the 8 bytes that keep the stack aligned where there are no arguments on it.
            ".p2align 6\n",
            ".cfi_startproc\n",
            "push rbp\n",
            "22:\n",
            ".cfi_def_cfa_offset 16\n",
            ".cfi_offset rbp, -16\n",
            "mov rax, qword ptr [r13 + {exec}]\n",
            "mov r14, rsp\n",
            "mov ", $register, ", r13\n",
            "mov rax, qword ptr [rax + {host_sp}]\n",
            "mov qword ptr [rax + {exit_sp}], r14\n",
            "mov rsp, rax\n",
            "23:\n",
            framed!(),
            ".cfi_remember_state\n",
            ".cfi_def_cfa rsp, 48\n",
            ".cfi_offset rbx, -24\n",
            ".cfi_offset r12, -48\n",
            "call qword ptr [r13 + {direct}]\n",
            "mov rcx, qword ptr [r13 + {exec}]\n",
            "lea rsp, [r14 + 8]\n",
            ".cfi_restore_state\n",
            ".cfi_def_cfa_offset 8\n",
            "cmp dword ptr [rcx + {interrupt}], 0\n",
            "jne .Lwasmo_interrupted_direct\n",
            "ret 8\n",
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
    // ---- enter(code: rax, guest_sp: r10, outer: r11, exec: r12; what code takes) -> reason: r10; what code returns.
    // Changes what C's convention allows to change, and r13, r14, r15.
    ".p2align 6",
    ".globl wasmo_enter",
    ".hidden wasmo_enter",
    ".type wasmo_enter, @function",
    "wasmo_enter:",
    ".cfi_startproc",
    "push rbp",
    "push rbx",
    "push r11",
    "push r10",
    "push r12",
    ".cfi_def_cfa_offset 48",
    ".cfi_offset rbp, -16",
    ".cfi_offset rbx, -24",
    "mov r15, rsp",
    ".cfi_def_cfa_register r15",
    "mov qword ptr [r12 + {host_sp}], rsp",
    "mov rsp, r10",
    "cmp dword ptr [r12 + {interrupt}], 0",
    "jne 2f",
    "call rax",
    "lea rsp, [r15 + {saved}]",
    ".cfi_remember_state",
    ".cfi_restore rbx",
    ".cfi_restore rbp",
    ".cfi_def_cfa rsp, 8",
    "mov r10d, {returned}",
    "ret",
    ".cfi_restore_state",
    "2:",
    "mov rdi, r12",
    "mov esi, {interrupted}",
    "jmp wasmo_unwind",
    ".cfi_endproc",
    ".size wasmo_enter, . - wasmo_enter",
    // ---- exit(exec: rdi, callback: rsi, context: rdx, values: rcx)
    ".p2align 6",
    ".globl wasmo_exit",
    ".hidden wasmo_exit",
    ".type wasmo_exit, @function",
    "wasmo_exit:",
    ".cfi_startproc",
    "push rbp",
    "22:",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rax, qword ptr [rdi + {host_sp}]",
    "mov rbp, rsp",
    "mov qword ptr [rax + {exit_sp}], rsp",
    "mov rsp, rax",
    "23:",
    framed!(),
    ".cfi_remember_state",
    ".cfi_def_cfa rsp, 48",
    ".cfi_offset rbx, -24",
    ".cfi_offset r12, -48",
    "mov rax, rsi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "call rax",
    "mov rdi, qword ptr [rsp]",
    "test eax, eax",
    "jne 3f",
    "mov rsp, rbp",
    "22:",
    ".cfi_restore_state",
    "cmp dword ptr [rdi + {interrupt}], 0",
    "jne .Lwasmo_interrupted",
    "pop rbp",
    "23:",
    framed!(),
    ".cfi_def_cfa_offset 8",
    "ret",
    "3:",
    "mov esi, {host_failed}",
    "jmp wasmo_unwind",
    ".cfi_endproc",
    ".size wasmo_exit, . - wasmo_exit",
    // ---- unwind(exec: rdi, reason: rsi)
    ".p2align 5",
    ".Lwasmo_interrupted_direct:",
    "mov rdi, rcx",
    // Back to the exit frame, so that it lies there for whoever comes here.
    "mov rsp, r14",
    ".Lwasmo_interrupted:",
    "22:",
    "mov esi, {interrupted}",
    ".globl wasmo_unwind",
    ".hidden wasmo_unwind",
    ".type wasmo_unwind, @function",
    "wasmo_unwind:",
    "mov rsp, qword ptr [rdi + {host_sp}]",
    "23:",
    framed!(),
    "pop r12",
    "pop qword ptr [rdi + {unwound_from}]",
    "pop rax",
    "pop rbx",
    "pop rbp",
    "mov r10, rsi",
    "ret",
    ".size wasmo_unwind, . - wasmo_unwind",
    // ---- no code
    ".globl wasmo_no_code",
    ".hidden wasmo_no_code",
    ".type wasmo_no_code, @function",
    "wasmo_no_code:",
    ".byte 0x67, 0x0f, 0xb9, 0x40, {unreachable}",
    ".size wasmo_no_code, . - wasmo_no_code",
    // ---- direct exits, in the wasm convention: context: r13; one for each number of integers among the arguments
    ".p2align 6",
    ".globl wasmo_exit_direct",
    ".hidden wasmo_exit_direct",
    ".type wasmo_exit_direct, @function",
    "wasmo_exit_direct:",
    exit_direct!("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
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
    saved = const SAVED,
    direct_stub = const DIRECT_STUB,
    returned = const RETURNED,
    host_failed = const HOST_FAILED,
    interrupted = const INTERRUPTED,
    unreachable = const TrapCode::Unreachable as u8,
);
