//! [`Entries`]: where the functions of a module in tiers are.
//!
//! ```text
//! base                                stubs
//! │ VmEntry 0, 1, … │ to a page's end │ common part │ stub 0, 1, … │
//! ```
//!
//! A stub jumps to where the entry says. At first that is the stub's own second half, which goes, with the function's position, to the common part, which saves the
//! arguments, has the function compiled ([`wasmo_abi::builtin::Builtin::Compile`]), and jumps to it with the arguments. The instructions are in `stub_x86_64` and
//! `stub_aarch64`.

use super::stub;
use crate::error::Error;
use crate::sys::mmap::{Mapping, page_size};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use wasmo_abi::code::{CodeUnit, UnwindTable};
use wasmo_abi::table::Table;
use wasmo_abi::tier::VmEntry;

/// The entries and stubs of one module's functions.
#[derive(Debug)]
pub struct Entries {
    mapping: Mapping,
    count: usize,
    /// Offset of the stubs' common part.
    stubs: usize,
    /// Its size in bytes.
    common: usize,
}

// SAFETY: the entries are atomic; nothing else in the mapping changes after construction.
unsafe impl Send for Entries {}
// SAFETY: as above.
unsafe impl Sync for Entries {}

impl Entries {
    /// Entries for `count` functions, none of which has code, each with `budget` (see [`VmEntry::budget`]).
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn new(count: usize, budget: i32) -> Result<Self, Error> {
        let common = super::common();
        let stubs = (count * size_of::<VmEntry>()).next_multiple_of(page_size());
        let code = (common.len() + count * stub::SIZE).next_multiple_of(page_size());
        let refused = |source| Error::Os { what: format!("cannot map the entries of {count} functions"), source };
        let mut mapping = Mapping::reserve_for_code(stubs + code).map_err(refused)?;
        mapping.open(0, stubs + code).map_err(refused)?;
        let base = mapping.base().as_ptr();
        for position in 0..count {
            let entry = position * size_of::<VmEntry>();
            let at = stubs + common.len() + position * stub::SIZE;
            let distances = super::Distances { entry: distance(at, entry), common: distance(at, stubs) };
            let position = u32::try_from(position).map_err(|_| Error::Limit("too many functions".into()))?;
            let code = stub::new(position, distances);
            // SAFETY: both lie within the mapping, which is writable and known to nobody else; an entry is aligned as the mapping is.
            unsafe {
                base.add(at).cast::<[u8; stub::SIZE]>().write_unaligned(code);
                base.add(entry).cast::<VmEntry>().write(VmEntry {
                    code: AtomicUsize::new(base as usize + at + stub::LAZY),
                    budget: AtomicI32::new(budget),
                });
            }
        }
        // SAFETY: the common part lies within the mapping.
        unsafe { base.add(stubs).copy_from_nonoverlapping(common.as_ptr(), common.len()) };
        mapping.make_executable(stubs, code).map_err(refused)?;
        Ok(Self { mapping, count, stubs, common: common.len() })
    }

    /// The number of functions.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first entry.
    pub fn base(&self) -> *const VmEntry {
        self.mapping.base().as_ptr().cast()
    }

    /// The address from which [`Entries::stub_offsets`] are distances.
    pub fn stubs(&self) -> usize {
        self.base() as usize + self.stubs
    }

    /// Where the stubs are, in order.
    pub fn stub_offsets(&self) -> Table<u32> {
        (0..self.count).map_while(|position| u32::try_from(self.common + position * stub::SIZE).ok()).collect()
    }

    /// The stubs as code that a walk of the stack may come across.
    pub fn code_unit(&self) -> CodeUnit {
        let size = self.common + self.count * stub::SIZE;
        CodeUnit {
            start: self.stubs(),
            size,
            functions: Table::default(),
            wasm_offsets: Table::default(),
            unwind: UnwindTable {
                eh_frame: stub::call_frames(size).into(),
                eh_frame_address: 1 << 30,
                text_address: 0,
                index: None,
            },
        }
    }

    fn entry(&self, position: usize) -> Option<&VmEntry> {
        // SAFETY: there are as many entries, in memory that stays as long as the mapping, and they are atomic.
        (position < self.count).then(|| unsafe { &*self.base().add(position) })
    }

    /// Where the newest code of the function at `position` is; `None` when it has none.
    pub fn code(&self, position: usize) -> Option<usize> {
        let lazy = self.stubs() + self.common + position * stub::SIZE + stub::LAZY;
        self.entry(position).map(|entry| entry.code.load(Ordering::Acquire)).filter(|&code| code != lazy)
    }

    /// Makes `code` the newest code of the function at `position`.
    pub(crate) fn set_code(&self, position: usize, code: usize) {
        if let Some(entry) = self.entry(position) {
            entry.code.store(code, Ordering::Release);
        }
    }

    /// What is left of the budget of the function at `position`.
    pub fn budget(&self, position: usize) -> i32 {
        self.entry(position).map_or(0, |entry| entry.budget.load(Ordering::Relaxed))
    }

    /// Gives the function at `position` a new budget.
    pub fn set_budget(&self, position: usize, budget: i32) {
        if let Some(entry) = self.entry(position) {
            entry.budget.store(budget, Ordering::Relaxed);
        }
    }
}

/// How far it is from one offset to another.
fn distance(from: usize, to: usize) -> i64 {
    to as i64 - from as i64
}
