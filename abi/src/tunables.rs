//! [`Tunables`]: the choices that change generated code, and so belong to the key of every cache.

use serde::{Deserialize, Serialize};

/// The most pages that a memory may grow to when its initial size is at most this (DESIGN "addresses that cannot wrap"): kept a page below
/// 4 GiB, so that an address that was accessed can be followed by a small addition without a wrap-around.
pub const MAX_GROWN_PAGES: u64 = 65_535;

/// Bytes of address space reserved for each 32-bit memory: any 32-bit address plus any 32-bit static offset, plus the widest
/// access, lies within, so that accesses need no check.
pub const MEMORY_RESERVATION: u64 = (8 << 30) + crate::types::PAGE_SIZE;

/// The greatest constant that an accessed address may be increased by without a proof that it does not wrap.
pub const MAX_UNWRAPPED_ADDEND: u64 = 65_536;

/// The most parameters or results of a function (the validator's limit), and so the slots of the spill area.
pub const MAX_VALUES: usize = 1_000;

/// The choices that change generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tunables {
    /// Every memory access has an explicit check, so that stores and loads around a trap are ordered exactly as WebAssembly orders
    /// them, and a load traps even when nothing uses its value.
    pub strict_traps: bool,
    /// Loops and function entries look at the epoch (see [`crate::vm::VmExecContext::epoch`]).
    pub epoch_interruption: bool,
    /// Code counts the operators that it executes (see [`crate::vm::VmExecContext::fuel`]).
    pub consume_fuel: bool,
    /// How hard the compiler tries.
    pub opt_level: OptLevel,
}

/// How hard the compiler tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OptLevel {
    /// No optimisation: code as soon as possible.
    None,
    /// The full pipeline.
    Speed,
}

impl Default for Tunables {
    fn default() -> Self {
        Self { strict_traps: false, epoch_interruption: false, consume_fuel: false, opt_level: OptLevel::Speed }
    }
}
