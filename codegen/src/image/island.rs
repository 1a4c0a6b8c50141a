//! [`Islands`]: code for calls that do not reach.
//!
//! A direct call of AArch64 (`bl`, `b`) reaches 128 MiB. Where the code is larger, islands lie between objects, a quarter of that distance from one another; for each
//! function that the objects before it call, and that other objects have, an island has a *veneer*, three instructions that go there and reach 4 GiB. A call whose
//! function is too far away goes to the veneer instead. Callers expect that x16 and x17 are lost in a call (AAPCS64, 6.1.1), which is what makes veneers possible.
//!
//! Where all code is within reach, there are no islands. On x86-64 there never are: a call reaches as far as code may lie.

use super::relocation::{Fault, resolve};
use crate::ir::context::Arch;
use object::elf;
use std::collections::BTreeMap;
use wasmo_abi::index::FuncIndex;

/// How far code may be apart that calls each other directly, in bytes.
pub(super) fn reach(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => u64::MAX,
        Arch::Aarch64 => 1 << 27,
    }
}

/// `adrp x16, 0`, `add x16, x16, #0`, `br x16`.
const VENEER: [u32; 3] = [0x9000_0010, 0x9100_0210, 0xd61f_0200];
/// The size of a veneer in bytes.
const SIZE: u32 = 12;

/// An island: where it begins in the text, and the functions that its veneers go to, in their order.
#[derive(Debug)]
pub(super) struct Island {
    pub(super) start: u32,
    veneers: BTreeMap<FuncIndex, u32>,
}

impl Island {
    /// An island at `start` with veneers to `functions`.
    pub(super) fn new(start: u32, functions: impl IntoIterator<Item = FuncIndex>) -> Self {
        let mut veneers: BTreeMap<FuncIndex, u32> = functions.into_iter().map(|function| (function, 0)).collect();
        for (veneer, offset) in veneers.values_mut().zip((start..).step_by(SIZE as usize)) {
            *veneer = offset;
        }
        Self { start, veneers }
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> usize {
        self.veneers.len() * SIZE as usize
    }

    /// Where the veneer to a function begins in the text.
    pub(super) fn veneer(&self, function: FuncIndex) -> Option<u32> {
        self.veneers.get(&function).copied()
    }

    /// Its instructions. The text begins at `text`, and `address` knows where functions lie.
    pub(super) fn code(&self, text: u64, address: impl Fn(FuncIndex) -> Option<u64>) -> Result<Vec<u8>, Fault> {
        let mut code = Vec::with_capacity(self.size());
        for (&function, &offset) in &self.veneers {
            let target = address(function).ok_or(Fault::Beyond)?;
            let mut veneer: Vec<u8> = VENEER.iter().flat_map(|word| word.to_le_bytes()).collect();
            for (at, ty) in [(0, elf::R_AARCH64_ADR_PREL_PG_HI21), (4, elf::R_AARCH64_ADD_ABS_LO12_NC)] {
                resolve(Arch::Aarch64, ty, &mut veneer, at, text + u64::from(offset) + at as u64, target)?;
            }
            code.extend_from_slice(&veneer);
        }
        Ok(code)
    }
}
