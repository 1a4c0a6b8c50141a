//! The call frame information of a function on AArch64.

use super::super::frames::{REMEMBER, RESTORE_STATE, advance, frame_size, kept, restored};
use super::super::masm::{FrameMarks, FrameOffset, Masm};
use super::{Aarch64, PAGE, X19, X30};

/// See [`Masm::describe_frame`].
pub(super) fn describe(marks: &FrameMarks, left: &[(u32, u32)]) -> Vec<u8> {
    /// The number of the first floating-point register in DWARF.
    const V0: u8 = 64;
    // In words below where the frame ends.
    let words = move |place: FrameOffset| (marks.size - place.0) / 8;
    let always = || [(X30.0, words(FrameOffset(0))), (X19.0, words(FrameOffset(8)))].into_iter();
    let registers = || {
        let gprs = marks.kept.gprs(Aarch64::BELOW).map(move |(reg, place)| (reg.0, words(place)));
        gprs.chain(marks.kept.fprs(Aarch64::BELOW).map(move |(reg, place)| (V0 + reg.0, words(place))))
    };
    let mut description = Vec::with_capacity(48);
    let mut at = marks.start;
    advance(&mut description, &mut at, marks.framed);
    frame_size(&mut description, marks.size);
    advance(&mut description, &mut at, marks.framed + 4);
    kept(&mut description, always());
    if marks.kept.count() > 0 {
        advance(&mut description, &mut at, marks.kept_from);
        kept(&mut description, registers());
    }
    for &(unframed, again) in left {
        advance(&mut description, &mut at, unframed - 8);
        description.push(REMEMBER);
        restored(&mut description, always().chain(registers()));
        if marks.size >= PAGE {
            advance(&mut description, &mut at, unframed - 4);
            frame_size(&mut description, marks.size % PAGE);
        }
        advance(&mut description, &mut at, unframed);
        frame_size(&mut description, 0);
        advance(&mut description, &mut at, again);
        description.push(RESTORE_STATE);
    }
    if let Some((probe, probed)) = marks.probe {
        advance(&mut description, &mut at, probe);
        frame_size(&mut description, 0);
        restored(&mut description, always().chain(registers()));
        advance(&mut description, &mut at, probed);
        frame_size(&mut description, marks.size);
    }
    description
}
