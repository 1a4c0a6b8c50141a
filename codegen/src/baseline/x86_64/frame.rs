//! The call frame information of a function on x86-64.

use super::super::frames::{OFFSET, REMEMBER, RESTORE, RESTORE_STATE, advance, frame_size, kept, restored};
use super::super::masm::{FrameMarks, FrameOffset, Gpr, Masm};
use super::X86_64;

/// See [`Masm::describe_frame`].
pub(super) fn describe(marks: &FrameMarks, left: &[(u32, u32)]) -> Vec<u8> {
    const RBX_AT: [u8; 2] = [OFFSET | 3, 2];
    const RBX_RESTORED: u8 = RESTORE | 3;
    // In words below where the frame ends.
    let registers = || {
        let words = move |place: FrameOffset| (16 + marks.size - place.0) / 8;
        marks.kept.gprs(X86_64::BELOW).map(move |(reg, place)| (dwarf_number(reg), words(place)))
    };
    let mut description = Vec::with_capacity(32);
    let mut at = marks.start;
    advance(&mut description, &mut at, marks.start + 1);
    frame_size(&mut description, 16);
    description.extend_from_slice(&RBX_AT);
    advance(&mut description, &mut at, marks.framed);
    frame_size(&mut description, 16 + marks.size);
    if marks.kept.count() > 0 {
        advance(&mut description, &mut at, marks.kept_from);
        kept(&mut description, registers());
    }
    for &(unframed, again) in left {
        advance(&mut description, &mut at, unframed);
        description.push(REMEMBER);
        frame_size(&mut description, 16);
        restored(&mut description, registers());
        advance(&mut description, &mut at, unframed + 1);
        frame_size(&mut description, 8);
        description.push(RBX_RESTORED);
        advance(&mut description, &mut at, again);
        description.push(RESTORE_STATE);
    }
    if let Some((probe, probed)) = marks.probe {
        advance(&mut description, &mut at, probe);
        frame_size(&mut description, 16);
        restored(&mut description, registers());
        advance(&mut description, &mut at, probed);
        frame_size(&mut description, 16 + marks.size);
    }
    description
}

/// The number of a register in DWARF, which differs for the first eight (System V ABI for x86-64, figure 3.36).
fn dwarf_number(reg: Gpr) -> u8 {
    const FIRST: [u8; 8] = [0, 2, 1, 3, 7, 6, 4, 5];
    FIRST.get(usize::from(reg.0)).copied().unwrap_or(reg.0)
}
