//! The stubs of [`super::entries`] for AArch64.
//!
//! The common part is written once, below, and copied to each module's stubs: it finds everything through the context, so that it runs anywhere.

use super::Form;
use std::arch::global_asm;
use std::mem::offset_of;
use wasmo_abi::builtin::VmBuiltins;
use wasmo_abi::vm::{VmContext, VmExecContext};

/// Stubs near their entries.
pub(super) const NEAR: Form = Form { size: 32, lazy: 20 };
/// Stubs whose entries are anywhere.
pub(super) const FAR: Form = Form { size: 32, lazy: 12 };

/// Bytes of the common part's frame: the frame record, one value, eight integer and eight vector arguments.
const FRAME: usize = 224;

/// The stub of the function at `position`, near its entry.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bit fields of instructions; a module has at most a million functions, of 48 bytes here"
)]
pub(super) fn near(position: u32, to: super::Distances) -> [u8; NEAR.size] {
    let low = to.entry as u32 & 0xffff;
    let high = (to.entry >> 16) as u32 & 0xffff;
    let mut code = [0; NEAR.size];
    write(
        &mut code,
        &[
            0x1000_0010,                           // adr x16, .
            0x92a0_0011 | ((!high & 0xffff) << 5), // movn x17, !high, lsl 16: a negative distance of at most 32 bits
            0xf280_0011 | (low << 5),              // movk x17, low
            0xf871_6a10,                           // ldr x16, [x16, x17]
            0xd61f_0200,                           // br x16
        ],
    );
    write(&mut code[NEAR.lazy..], &lazy(position, to.common - 20));
    code
}

/// The stub of the function at `position`, whose entry is at the address `entry`; `common` is the distance to the common part.
pub(super) fn far(position: u32, entry: usize, common: i64) -> [u8; FAR.size] {
    let mut code = [0; FAR.size];
    write(
        &mut code,
        &[
            0x5800_00d0, // ldr x16, the address at 24
            0xf940_0210, // ldr x16, [x16]
            0xd61f_0200, // br x16
        ],
    );
    write(&mut code[FAR.lazy..], &lazy(position, common - 12));
    code[24..].copy_from_slice(&entry.to_le_bytes());
    code
}

/// The half of a stub that has the function compiled; `common` is its distance to the common part.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bit fields of instructions")]
fn lazy(position: u32, common: i64) -> [u32; 3] {
    [
        0x5280_0010 | ((position & 0xffff) << 5),                 // movz w16, position
        0x72a0_0010 | ((position >> 16) << 5),                    // movk w16, position >> 16, lsl 16
        0x1400_0000 | (((common - 8) >> 2) as u32 & 0x03ff_ffff), // b common
    ]
}

fn write(code: &mut [u8], words: &[u32]) {
    for (place, word) in code.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

global_asm!(
    ".pushsection .text.wasmo_lazy, \"ax\", @progbits",
    ".p2align 4",
    ".globl wasmo_lazy",
    ".hidden wasmo_lazy",
    "wasmo_lazy:",
    "stp x29, x30, [sp, #-{frame}]!",
    "mov x29, sp",
    "mov w16, w16",
    "str x16, [sp, #16]",
    "stp x0, x1, [sp, #32]",
    "stp x2, x3, [sp, #48]",
    "stp x4, x5, [sp, #64]",
    "stp x6, x7, [sp, #80]",
    "stp q0, q1, [sp, #96]",
    "stp q2, q3, [sp, #128]",
    "stp q4, q5, [sp, #160]",
    "stp q6, q7, [sp, #192]",
    "ldr x0, [x20, #{exec}]",
    "ldr x9, [x0, #{builtins}]",
    "ldr x1, [x9, #{compile}]",
    "mov x2, x20",
    "add x3, sp, #16",
    "ldr x9, [x9, #{exit}]",
    "blr x9",
    "ldr x16, [sp, #16]",
    "ldp x0, x1, [sp, #32]",
    "ldp x2, x3, [sp, #48]",
    "ldp x4, x5, [sp, #64]",
    "ldp x6, x7, [sp, #80]",
    "ldp q0, q1, [sp, #96]",
    "ldp q2, q3, [sp, #128]",
    "ldp q4, q5, [sp, #160]",
    "ldp q6, q7, [sp, #192]",
    "ldp x29, x30, [sp], #{frame}",
    ".globl wasmo_lazy_leave",
    ".hidden wasmo_lazy_leave",
    "wasmo_lazy_leave:",
    "br x16",
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

/// The `.eh_frame` for a module's stubs of `size` bytes, which begin at address 0: the common part has a frame from its second instruction to its last but one.
#[allow(clippy::cast_possible_truncation, reason = "the common part has some two hundred bytes")]
pub(super) fn call_frames(size: usize) -> Vec<u8> {
    let leave = super::leave();
    // Version 1, no augmentation, code in bytes, data in -8, return address in column 30; the frame's end is sp.
    let cie = [1, 0, 1, 0x78, 30, 0x0c, 31, 0];
    // advance_loc1; def_cfa_offset; offset of x29 and x30; advance_loc1; def_cfa_offset; restore both.
    let words = (FRAME / 8) as u8;
    let mut fde = vec![0x02, 4, 0x0e, (FRAME & 0x7f) as u8 | 0x80, (FRAME >> 7) as u8];
    fde.extend_from_slice(&[0x80 | 29, words, 0x80 | 30, words - 1]);
    fde.extend_from_slice(&[0x02, (leave - 4) as u8, 0x0e, 0, 0xc0 | 29, 0xc0 | 30]);
    super::call_frames(&cie, &fde, size)
}
