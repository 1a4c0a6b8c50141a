//! The stubs of [`super::entries`] for x86-64.
//!
//! The common part is written once, below, and copied to each module's stubs: it finds everything through the context, so that it runs anywhere.

use super::Form;
use std::arch::global_asm;
use std::mem::offset_of;
use wasmo_abi::builtin::VmBuiltins;
use wasmo_abi::vm::{VmContext, VmExecContext};

/// Stubs near their entries.
pub(super) const NEAR: Form = Form { size: 16, lazy: 6 };
/// Stubs whose entries are anywhere.
pub(super) const FAR: Form = Form { size: 24, lazy: 12 };

/// Bytes of the common part's frame, without the return address: one value, six integer and eight vector arguments, and what aligns the stack.
const FRAME: usize = 216;

/// The stub of the function at `position`, near its entry.
#[allow(clippy::cast_possible_truncation, reason = "a module has at most a million functions, of 32 bytes here")]
pub(super) fn near(position: u32, to: super::Distances) -> [u8; NEAR.size] {
    let mut code = [0; NEAR.size];
    // jmp qword ptr [rip + entry]
    code[..2].copy_from_slice(&[0xff, 0x25]);
    code[2..6].copy_from_slice(&((to.entry - 6) as i32).to_le_bytes());
    code[6..].copy_from_slice(&lazy(position, to.common - 6));
    code
}

/// The stub of the function at `position`, whose entry is at the address `entry`; `common` is the distance to the common part.
pub(super) fn far(position: u32, entry: usize, common: i64) -> [u8; FAR.size] {
    // int3 fills it up.
    let mut code = [0xcc; FAR.size];
    // mov rax, entry
    code[..2].copy_from_slice(&[0x48, 0xb8]);
    code[2..10].copy_from_slice(&entry.to_le_bytes());
    // jmp qword ptr [rax]
    code[10..12].copy_from_slice(&[0xff, 0x20]);
    code[12..22].copy_from_slice(&lazy(position, common - 12));
    code
}

/// The half of a stub that has the function compiled; `common` is its distance to the common part.
#[allow(clippy::cast_possible_truncation, reason = "a module has at most a million functions, of 32 bytes here")]
fn lazy(position: u32, common: i64) -> [u8; 10] {
    let mut code = [0; 10];
    // mov eax, position
    code[0] = 0xb8;
    code[1..5].copy_from_slice(&position.to_le_bytes());
    // jmp common
    code[5] = 0xe9;
    code[6..].copy_from_slice(&((common - 10) as i32).to_le_bytes());
    code
}

global_asm!(
    ".pushsection .text.wasmo_lazy, \"ax\", @progbits",
    ".p2align 4",
    ".globl wasmo_lazy",
    ".hidden wasmo_lazy",
    "wasmo_lazy:",
    "sub rsp, {frame}",
    "mov eax, eax",
    "mov qword ptr [rsp], rax",
    "mov qword ptr [rsp + 16], rdi",
    "mov qword ptr [rsp + 24], rsi",
    "mov qword ptr [rsp + 32], rdx",
    "mov qword ptr [rsp + 40], rcx",
    "mov qword ptr [rsp + 48], r8",
    "mov qword ptr [rsp + 56], r9",
    "movaps xmmword ptr [rsp + 64], xmm0",
    "movaps xmmword ptr [rsp + 80], xmm1",
    "movaps xmmword ptr [rsp + 96], xmm2",
    "movaps xmmword ptr [rsp + 112], xmm3",
    "movaps xmmword ptr [rsp + 128], xmm4",
    "movaps xmmword ptr [rsp + 144], xmm5",
    "movaps xmmword ptr [rsp + 160], xmm6",
    "movaps xmmword ptr [rsp + 176], xmm7",
    "mov rdi, qword ptr [r13 + {exec}]",
    "mov rax, qword ptr [rdi + {builtins}]",
    "mov rsi, qword ptr [rax + {compile}]",
    "mov rdx, r13",
    "mov rcx, rsp",
    "call qword ptr [rax + {exit}]",
    "mov rax, qword ptr [rsp]",
    "mov rdi, qword ptr [rsp + 16]",
    "mov rsi, qword ptr [rsp + 24]",
    "mov rdx, qword ptr [rsp + 32]",
    "mov rcx, qword ptr [rsp + 40]",
    "mov r8, qword ptr [rsp + 48]",
    "mov r9, qword ptr [rsp + 56]",
    "movaps xmm0, xmmword ptr [rsp + 64]",
    "movaps xmm1, xmmword ptr [rsp + 80]",
    "movaps xmm2, xmmword ptr [rsp + 96]",
    "movaps xmm3, xmmword ptr [rsp + 112]",
    "movaps xmm4, xmmword ptr [rsp + 128]",
    "movaps xmm5, xmmword ptr [rsp + 144]",
    "movaps xmm6, xmmword ptr [rsp + 160]",
    "movaps xmm7, xmmword ptr [rsp + 176]",
    "add rsp, {frame}",
    ".globl wasmo_lazy_leave",
    ".hidden wasmo_lazy_leave",
    "wasmo_lazy_leave:",
    "jmp rax",
    ".p2align 4",
    ".globl wasmo_lazy_end",
    ".hidden wasmo_lazy_end",
    "wasmo_lazy_end:",
    ".popsection",
    frame = const FRAME,
    exec = const offset_of!(VmContext, exec),
    builtins = const offset_of!(VmExecContext, builtins),
    compile = const offset_of!(VmBuiltins, compile),
    exit = const offset_of!(VmBuiltins, exit),
);

/// Size in bytes of the instruction that makes the frame, the first one.
const ENTER: usize = 7;

/// The `.eh_frame` for a module's stubs of `size` bytes, which begin at address 0: the common part has a frame from its first instruction but one to its last but one.
#[allow(clippy::cast_possible_truncation, reason = "the common part has some two hundred bytes")]
pub(super) fn call_frames(size: usize) -> Vec<u8> {
    let leave = super::leave();
    // Version 1, no augmentation, code in bytes, data in -8, return address in column 16; the frame's end is rsp + 8, the return address 8 below it.
    let cie = [1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x80 | 16, 1];
    let (enter, leave) = (ENTER as u8, (leave - ENTER) as u8);
    let frame = uleb(FRAME + 8);
    // advance_loc1; def_cfa_offset.
    let mut fde = vec![0x02, enter, 0x0e];
    fde.extend_from_slice(&frame);
    fde.extend_from_slice(&[0x02, leave, 0x0e, 8]);
    super::call_frames(&cie, &fde, size)
}

/// Unsigned LEB128 of a number below 16384.
#[allow(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn uleb(value: usize) -> [u8; 2] {
    [(value & 0x7f) as u8 | 0x80, (value >> 7) as u8]
}
