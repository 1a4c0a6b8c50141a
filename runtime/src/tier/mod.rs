//! Modules in tiers: their code is made and replaced while they run.
//!
//! [`Entries`] has, for each function that such a module defines, where its newest code is, and a stub that jumps there. Function references, exports and imports hold the
//! addresses of stubs, which never change; functions of the module call one another through the entries themselves. Who compiles is none of the runtime's
//! business: it asks the module's [`Compile`] when a function without code is called and when the code of a function has used up its budget, and
//! is told of new code by [`Module::publish`](crate::Module::publish).
//!
//! New code of a function replaces the old one by one store. The old code is freed later, when no store can come back to it ([`retired`]).

mod entries;
pub(crate) mod retired;
#[cfg(target_arch = "aarch64")]
mod stub_aarch64;
#[cfg(target_arch = "x86_64")]
mod stub_x86_64;

#[cfg(target_arch = "aarch64")]
use stub_aarch64 as stub;
#[cfg(target_arch = "x86_64")]
use stub_x86_64 as stub;

pub use entries::Entries;
pub use retired::{is_waiting, reclaim};

use crate::error::Failure;
use crate::module::Module;
use std::sync::Arc;
use wasmo_abi::tier::{Asking, Onward};

/// Whoever compiles the functions of a module in tiers. Called on the host's stack while the guest waits, by any number of threads.
pub trait Compile: Send + Sync {
    /// Sees to it that the function at `position` among the defined ones has code, and that its entry leads there. Answers where it is.
    ///
    /// # Errors
    /// Why the guest that called the function is to end.
    fn compile(&self, module: &Arc<Module>, position: usize) -> Result<usize, Failure>;

    /// The function at `position` has used up its budget: on entry, or at the head of a loop. Answers where the code is at which to go on from the loop
    /// instead, if there is any. Whoever answers this gives the function a new budget ([`Entries::set_budget`]), or is asked again soon.
    fn tier_up(&self, module: &Arc<Module>, position: usize, asking: Asking) -> Option<Onward>;

    /// So many bytes of code that was replaced were freed.
    fn freed(&self, bytes: usize);
}

/// What a module in tiers has besides.
pub struct Tiers {
    /// Its functions.
    pub entries: Entries,
    /// Who compiles them.
    pub compiler: Box<dyn Compile>,
}

impl std::fmt::Debug for Tiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tiers").field("entries", &self.entries).finish_non_exhaustive()
    }
}

unsafe extern "C" {
    fn wasmo_lazy();
    fn wasmo_lazy_leave();
    fn wasmo_lazy_end();
}

/// How stubs of one kind look.
#[derive(Debug)]
struct Form {
    /// The size of a stub in bytes.
    size: usize,
    /// Offset in it of the half that has the function compiled.
    lazy: usize,
}

/// How far it is from a stub to what it refers to.
struct Distances {
    entry: i64,
    common: i64,
}

/// The instructions that all stubs share, which run anywhere.
fn common() -> &'static [u8] {
    let (start, end) = (wasmo_lazy as *const () as usize, wasmo_lazy_end as *const () as usize);
    // SAFETY: the assembler put the labels around the instructions, which are readable.
    unsafe { std::slice::from_raw_parts(start as *const u8, end - start) }
}

/// Where in them the jump to the function's code is.
fn leave() -> usize {
    wasmo_lazy_leave as *const () as usize - wasmo_lazy as *const () as usize
}

/// An `.eh_frame` section with these instructions, for `size` bytes of code from address 0 (Linux Standard Base, 10.6.1).
fn call_frames(cie: &[u8], fde: &[u8], size: usize) -> Vec<u8> {
    let mut section = Vec::new();
    // Each record ends at a multiple of 8 bytes; what fills it up are instructions that do nothing.
    let mut record = |id: u32, content: &[u8]| {
        let length = (size_of::<u32>() + content.len()).next_multiple_of(8) + 4;
        section.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        section.extend_from_slice(&id.to_le_bytes());
        section.extend_from_slice(content);
        section.resize(section.len() + length - size_of::<u32>() - content.len(), 0);
        section.len()
    };
    let end = record(0, cie);
    // How far back it is from here to the first record.
    let back = u32::try_from(end + size_of::<u32>()).unwrap_or(u32::MAX);
    let mut content = Vec::with_capacity(fde.len() + 16);
    content.extend_from_slice(&0_u64.to_le_bytes());
    content.extend_from_slice(&(size as u64).to_le_bytes());
    content.extend_from_slice(fde);
    record(back, &content);
    section
}
