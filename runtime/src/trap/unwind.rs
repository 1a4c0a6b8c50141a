//! [`UnwindRules`]: finds a function's caller with the call frame information of its code unit.
//!
//! Of a DWARF row only what leads to the caller is kept ([`Rule`]): where the frame began, the return address, and the
//! frame pointer. That is enough, since LLVM defines frames of x86-64 and AArch64 by the stack pointer or the frame
//! pointer. Rules are remembered by code offset: the frames of a recursion repeat.

use super::Registers;
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, LittleEndian, Register, RegisterRule, UnwindContext, UnwindSection,
    UnwindTableRow,
};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use wasmo_abi::code::UnwindTable;

/// DWARF numbers of the registers (System V ABI for x86-64, figure 3.36).
#[cfg(target_arch = "x86_64")]
mod register {
    use gimli::{Register, X86_64};
    pub(super) const SP: Register = X86_64::RSP;
    pub(super) const FP: Register = X86_64::RBP;
    pub(super) const RETURN: Register = X86_64::RA;
}

/// DWARF numbers of the registers (DWARF for the Arm 64-bit architecture, 4.1).
#[cfg(target_arch = "aarch64")]
mod register {
    use gimli::{AArch64, Register};
    pub(super) const SP: Register = AArch64::SP;
    pub(super) const FP: Register = AArch64::X29;
    pub(super) const RETURN: Register = AArch64::X30;
}

/// How to find the caller from one place in the code. The *frame's end* is the stack pointer that the caller has after
/// the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// The frame's end is this far from the frame pointer (`true`) or the stack pointer.
    from_fp: bool,
    end: i64,
    /// Where the return address lies, relative to the frame's end; `None`: in the link register.
    return_address: Option<i64>,
    /// Where the caller's frame pointer lies, relative to the frame's end; `None`: it is unchanged.
    fp: Option<i64>,
}

/// The call frame information of one code unit.
#[derive(Debug, Default)]
pub(crate) struct UnwindRules {
    known: Mutex<HashMap<u32, Option<Rule>>>,
}

impl UnwindRules {
    /// The registers of the caller of the function that is at `offset` in the unit with the information `table`; `None`
    /// when it cannot be told. `read` reads a word of the stack.
    pub(crate) fn step(
        &self,
        table: &UnwindTable,
        offset: u32,
        at: Registers,
        read: impl Fn(usize) -> Option<usize>,
    ) -> Option<Registers> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = (*known.entry(offset).or_insert_with(|| find_rule(table, offset)))?;
        drop(known);
        let relative = |base: usize, distance: i64| base.checked_add_signed(isize::try_from(distance).ok()?);
        let end = relative(if rule.from_fp { at.fp } else { at.sp }, rule.end)?;
        let load = |distance: i64| read(relative(end, distance)?);
        let pc = match rule.return_address {
            Some(distance) => load(distance)?,
            None => at.lr,
        };
        let fp = match rule.fp {
            Some(distance) => load(distance)?,
            None => at.fp,
        };
        // A caller keeps its own return address on the stack, so no later step reads the link register.
        Some(Registers { pc, sp: end, fp, lr: 0 })
    }
}

fn find_rule(table: &UnwindTable, offset: u32) -> Option<Rule> {
    let section = EhFrame::new(&table.eh_frame, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(table.eh_frame_address);
    let mut context = UnwindContext::new();
    let address = table.text_address.checked_add(u64::from(offset))?;
    let Some((index, index_address)) = &table.index else {
        let cie = EhFrame::cie_from_offset;
        return rule_of(section.unwind_info_for_address(&bases, &mut context, address, cie).ok()?);
    };
    let bases = bases.set_eh_frame_hdr(*index_address);
    let index = EhFrameHdr::new(index, LittleEndian).parse(&bases, 8).ok()?;
    let cie = EhFrame::cie_from_offset;
    rule_of(index.table()?.unwind_info_for_address(&section, &bases, &mut context, address, cie).ok()?)
}

fn rule_of(row: &UnwindTableRow<usize>) -> Option<Rule> {
    let (from_fp, end) = match *row.cfa() {
        CfaRule::RegisterAndOffset { register: register::SP, offset } => (false, offset),
        CfaRule::RegisterAndOffset { register: register::FP, offset } => (true, offset),
        _ => return None,
    };
    let saved = |register: Register| match row.register(register) {
        Some(RegisterRule::Offset(distance)) => Some(Some(distance)),
        None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => Some(None),
        Some(_) => None,
    };
    Some(Rule { from_fp, end, return_address: saved(register::RETURN)?, fp: saved(register::FP)? })
}
