//! [`Entries`]: where the functions of a module in tiers are.
//!
//! ```text
//! base                                                          stubs
//! │ VmEntry 0, 1, … │ callees │ sample │ counters │ to a page's end │ common part │ stub 0, 1, … │
//! ```
//!
//! In the callees ([`wasmo_abi::tier::callee_slots`]) lift-off code notes what calls through tables call. The sample ([`wasmo_abi::tier::sample_entry`]) is where code that was made soon finds that it is to say where it is.
//!
//! Those of a late module, of which there may be ten thousand, have no pages of their own: the stubs are a piece of a [`CodeMemory`] and the entries lie elsewhere, so that these stubs
//! hold addresses and not distances.
//!
//! Counters are words of 64 bits, in which code that is made for that counts what it does; the compiler says how many there are, and what each is for. Other modules have none.
//!
//! A stub jumps to where the entry says. At first that is the stub's own second half, which goes, with the function's position, to the common part, which saves the
//! arguments, has the function compiled ([`wasmo_abi::builtin::Builtin::Compile`]), and jumps to it with the arguments. The instructions are in `stub_x86_64` and
//! `stub_aarch64`.

use super::{Form, stub};
use crate::code_memory::{CodeMemory, CodePiece};
use crate::error::Error;
use crate::sys::mmap::{Mapping, page_size};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmo_abi::code::{CodeUnit, UnwindTable};
use wasmo_abi::offsets::WasmOffsets;
use wasmo_abi::table::Table;
use wasmo_abi::tier::{VmEntry, all_entries, callee_slot, callee_slots, sample_entry};

/// The entries and stubs of one module's functions.
#[derive(Debug)]
pub struct Entries {
    base: NonNull<VmEntry>,
    count: usize,
    counters: usize,
    /// Address of the stubs' common part.
    stubs: usize,
    /// Its size in bytes.
    common: usize,
    form: &'static Form,
    _place: Place,
}

/// What keeps the memory of entries and stubs.
#[derive(Debug)]
enum Place {
    Mapping { _mapping: Mapping },
    Pieces { _entries: Vec<VmEntry>, _stubs: Option<CodePiece> },
}

// SAFETY: the entries are atomic; nothing else in their memory or in the stubs' changes after construction.
unsafe impl Send for Entries {}
// SAFETY: as above.
unsafe impl Sync for Entries {}

impl Entries {
    /// Entries for `count` functions, none of which has code, each with `budget` (see [`VmEntry::budget`]).
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn new(count: usize, budget: i32) -> Result<Self, Error> {
        Self::with_counters(count, budget, 0)
    }

    /// As [`Entries::new`], with so many counters, all 0.
    ///
    /// # Errors
    /// As [`Entries::new`].
    pub fn with_counters(count: usize, budget: i32, counters: usize) -> Result<Self, Error> {
        let common = super::common();
        let stubs = all_entries(count) * size_of::<VmEntry>() + counters * size_of::<AtomicU64>();
        let stubs = stubs.next_multiple_of(page_size());
        let code = (common.len() + count * stub::NEAR.size).next_multiple_of(page_size());
        let refused = |source| Error::Os { what: format!("cannot map the entries of {count} functions"), source };
        let mut mapping = Mapping::reserve_for_code(stubs + code).map_err(refused)?;
        mapping.open(0, stubs + code).map_err(refused)?;
        let base = mapping.base();
        let (first, form) = (base.as_ptr() as usize + stubs, &stub::NEAR);
        for position in 0..count {
            let (entry, at) = (position * size_of::<VmEntry>(), stubs + common.len() + position * form.size);
            let distances = super::Distances { entry: distance(at, entry), common: distance(at, stubs) };
            let code = stub::near(number(position)?, distances);
            // SAFETY: both lie within the mapping, which is writable and known to nobody else; an entry is aligned as the mapping is.
            unsafe {
                base.add(at).cast().write_unaligned(code);
                base.add(entry).cast().write(without_code(first, common.len(), form, position, budget));
            }
        }
        // SAFETY: the common part lies within the mapping.
        unsafe { base.add(stubs).as_ptr().copy_from_nonoverlapping(common.as_ptr(), common.len()) };
        mapping.make_executable(stubs, code).map_err(refused)?;
        let place = Place::Mapping { _mapping: mapping };
        Ok(Self { base: base.cast(), count, counters, stubs: first, common: common.len(), form, _place: place })
    }

    /// As [`Entries::new`], with the stubs in `memory`: for modules that may be many.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn among_others(count: usize, budget: i32, memory: &Arc<CodeMemory>) -> Result<Self, Error> {
        let (common, form) = (super::common(), &stub::FAR);
        let mut entries: Vec<_> = (0..all_entries(count)).map(|_| VmEntry::new(0, 0)).collect();
        let base = NonNull::from(&mut *entries).cast::<VmEntry>();
        let mut code = Vec::with_capacity(common.len() + count * form.size);
        code.extend_from_slice(common);
        for position in 0..count {
            let entry = base.as_ptr() as usize + position * size_of::<VmEntry>();
            code.extend_from_slice(&stub::far(number(position)?, entry, distance(code.len(), 0)));
        }
        let piece = if count > 0 { Some(memory.place(&code, 1)?) } else { None };
        let stubs = piece.as_ref().map_or(0, CodePiece::address);
        for (position, entry) in entries.iter_mut().enumerate().take(count) {
            *entry = without_code(stubs, common.len(), form, position, budget);
        }
        let place = Place::Pieces { _entries: entries, _stubs: piece };
        Ok(Self { base, count, counters: 0, stubs, common: common.len(), form, _place: place })
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
        self.base.as_ptr()
    }

    /// The address from which [`Entries::stub_offsets`] are distances.
    pub fn stubs(&self) -> usize {
        self.stubs
    }

    /// Where the stubs are, in order.
    pub fn stub_offsets(&self) -> Table<u32> {
        (0..self.count).map_while(|position| u32::try_from(self.common + position * self.form.size).ok()).collect()
    }

    /// The size of the stubs in bytes.
    pub fn code_size(&self) -> usize {
        if self.count == 0 { 0 } else { self.common + self.count * self.form.size }
    }

    /// The stubs as code that a walk of the stack may come across.
    pub fn code_unit(&self) -> CodeUnit {
        let size = self.code_size();
        CodeUnit {
            start: self.stubs(),
            size,
            functions: Table::default(),
            wasm_offsets: WasmOffsets::default(),
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

    /// What a counter holds; 0 when there is none at this position.
    pub fn counter(&self, position: usize) -> u64 {
        if position >= self.counters {
            return 0;
        }
        let before = all_entries(self.count);
        // SAFETY: the counters lie behind the entries, there are as many, and they are atomic; all zeros, as new memory is, are right.
        let counter = unsafe { &*self.base().add(before).cast::<AtomicU64>().add(position) };
        counter.load(Ordering::Relaxed)
    }

    /// The function, by its position, whose stub is at `address`: what callers through tables have as its code.
    pub fn at_stub(&self, address: usize) -> Option<usize> {
        let distance = address.checked_sub(self.stubs() + self.common)?;
        let position = distance / self.form.size;
        (distance % self.form.size == 0 && position < self.count).then_some(position)
    }

    /// The code that the call through a table at this offset in the module may have called last: any code, and perhaps none that is still there; 0 when none was called.
    pub fn last_callee(&self, offset: u32) -> usize {
        let slot = callee_slot(offset, self.count);
        if slot >= callee_slots(self.count) {
            return 0;
        }
        // SAFETY: the callees lie behind the entries, and there are as many; all zeros, as new memory is, are right.
        let callee = unsafe { &*self.base().add(self.count + slot) };
        callee.code.load(Ordering::Relaxed)
    }

    /// Where the newest code of the function at `position` is; `None` when it has none.
    pub fn code(&self, position: usize) -> Option<usize> {
        let lazy = lazy_half(self.stubs, self.common, self.form, position);
        self.entry(position).map(|entry| entry.code.load(Ordering::Acquire)).filter(|&code| code != lazy)
    }

    /// Makes `code` the newest code of the function at `position`.
    pub(crate) fn set_code(&self, position: usize, code: usize) {
        if let Some(entry) = self.entry(position) {
            entry.code.store(code, Ordering::Release);
        }
    }

    /// As [`Entries::set_code`]; answers what was the newest code before: that of the stub when there was none.
    pub(crate) fn replace_code(&self, position: usize, code: usize) -> Option<usize> {
        self.entry(position).map(|entry| entry.code.swap(code, Ordering::AcqRel))
    }

    /// What is left of the budget of the function at `position`.
    pub fn budget(&self, position: usize) -> i32 {
        self.entry(position).map_or(0, |entry| entry.budget.load(Ordering::Relaxed))
    }

    /// Whether the function at `position`, which asks from a loop, has not been entered since this was last asked: [`VmEntry::same_call`].
    pub fn is_same_call(&self, position: usize) -> bool {
        self.entry(position).is_some_and(|entry| entry.same_call.swap(1, Ordering::Relaxed) != 0)
    }

    /// Has code that was made soon say where it is, the first that finds out. Answers whether any has done so since this was last called ([`Entries::end_sample`]).
    pub fn begin_sample(&self) -> bool {
        self.sample().budget.swap(-1, Ordering::AcqRel) == 0
    }

    /// Some code has said where it is: no other is to.
    pub fn end_sample(&self) {
        // Not a store: who comes after [`Entries::begin_sample`] is to see what came before that.
        self.sample().budget.swap(0, Ordering::AcqRel);
    }

    fn sample(&self) -> &VmEntry {
        // SAFETY: there is this entry behind the callees; all zeros, as new memory is, are right.
        unsafe { &*self.base().add(sample_entry(self.count)) }
    }

    /// Gives the function at `position` a new budget.
    pub fn set_budget(&self, position: usize, budget: i32) {
        if let Some(entry) = self.entry(position) {
            entry.budget.store(budget, Ordering::Relaxed);
        }
    }
}

/// The entry of a function that has no code.
fn without_code(stubs: usize, common: usize, form: &Form, position: usize, budget: i32) -> VmEntry {
    VmEntry::new(lazy_half(stubs, common, form, position), budget)
}

/// The address of the half of a stub that has the function compiled.
fn lazy_half(stubs: usize, common: usize, form: &Form, position: usize) -> usize {
    stubs + common + position * form.size + form.lazy
}

fn number(position: usize) -> Result<u32, Error> {
    u32::try_from(position).map_err(|_| Error::Limit("too many functions".into()))
}

/// How far it is from one offset to another.
fn distance(from: usize, to: usize) -> i64 {
    to as i64 - from as i64
}
