//! [`CodeMemory`]: where code of modules goes that come and go while the process runs.
//!
//! It is divided in small steps, so that ten thousand small modules share a few hundred pages and two dozen mappings, and a piece is given back the moment that
//! its owner goes. What is free consists of traps: who came back to code that is gone would be stopped, and not run other code.

use crate::debug::perf_map;
use crate::error::Error;
use crate::sys::barrier;
use crate::sys::code::CodeMapping;
use crate::sys::mmap::page_size;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are mapped at a time, unless a piece is larger.
const REGION: usize = 16 << 20;

/// Pieces begin at a multiple of this many bytes and are as large: a line of the cache.
const STEP: usize = 64;

/// When nothing is left in a region of which more than this was used, its memory goes back to the system.
const KEPT: usize = 1 << 20;

/// Memory for code; shared by whoever has code in it.
#[derive(Debug, Default)]
pub struct CodeMemory {
    regions: Mutex<Vec<Region>>,
}

#[derive(Debug)]
struct Region {
    mapping: CodeMapping,
    /// Free bytes: where they begin, and how many there are.
    free: BTreeMap<usize, usize>,
    used: usize,
    /// No byte from here on was ever used since the memory last went back.
    high: usize,
    /// No byte from here on was ever used.
    fresh: usize,
}

/// A piece of code; given back when dropped.
#[derive(Debug)]
pub struct CodePiece {
    memory: Arc<CodeMemory>,
    address: usize,
    len: usize,
}

impl Region {
    /// Where there is room, and whether it was ever used before.
    fn take(&mut self, len: usize, align: usize) -> Option<(usize, bool)> {
        let base = self.mapping.address();
        let fits = |(&start, &size): (&usize, &usize)| {
            let place = (base + start).checked_next_multiple_of(align)? - base;
            (place + len <= start + size).then_some((start, size, place))
        };
        let (start, size, place) = self.free.iter().find_map(fits)?;
        self.free.remove(&start);
        if place > start {
            self.free.insert(start, place - start);
        }
        if place + len < start + size {
            self.free.insert(place + len, start + size - place - len);
        }
        self.used += len;
        self.high = self.high.max(place + len);
        let is_old = place < self.fresh;
        self.fresh = self.fresh.max(place + len);
        Some((place, is_old))
    }

    fn give(&mut self, mut start: usize, mut len: usize) {
        self.used -= len;
        if let Some(after) = self.free.remove(&(start + len)) {
            len += after;
        }
        if let Some((&before, &size)) = self.free.range(..start).next_back()
            && before + size == start
        {
            self.free.remove(&before);
            (start, len) = (before, len + size);
        }
        self.free.insert(start, len);
        if self.used == 0 && self.high > KEPT {
            // SAFETY: nobody has any of it.
            unsafe { self.mapping.discard(self.high) };
            self.high = 0;
        }
    }
}

impl CodeMemory {
    /// Copies `code` to where it can be executed, at a multiple of `align`, a power of two.
    ///
    /// # Errors
    /// When the system has no memory for it.
    pub fn place(self: &Arc<Self>, code: &[u8], align: usize) -> Result<CodePiece, Error> {
        let len = code.len().max(1).next_multiple_of(STEP);
        let align = align.max(STEP);
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let found = regions.iter_mut().find_map(|region| Some((region.take(len, align)?, &region.mapping)));
        let ((offset, is_old), mapping) = match found {
            Some(found) => found,
            None => {
                let size = REGION.max((len + align).next_multiple_of(page_size()));
                let what = || format!("cannot map {size} bytes for code");
                let mapping =
                    CodeMapping::new(size, perf_map::is_open()).map_err(|source| Error::Os { what: what(), source })?;
                let mut region =
                    Region { free: BTreeMap::from([(0, mapping.len())]), mapping, used: 0, high: 0, fresh: 0 };
                let place = region.take(len, align).ok_or_else(|| Error::Internal("a new region is full".into()))?;
                regions.push(region);
                (place, regions.last().map(|region| &region.mapping).ok_or_else(|| Error::Internal(what()))?)
            }
        };
        // SAFETY: the range was free until now, so nobody uses it.
        unsafe { mapping.write(offset, code) };
        if is_old {
            barrier::refetch();
        }
        Ok(CodePiece { address: mapping.address() + offset, memory: Arc::clone(self), len })
    }
}

impl CodePiece {
    /// The address of its first byte.
    pub fn address(&self) -> usize {
        self.address
    }
}

impl Drop for CodePiece {
    fn drop(&mut self) {
        let mut regions = self.memory.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let covers = |region: &Region| {
            let start = region.mapping.address();
            (start..start + region.mapping.len()).contains(&self.address)
        };
        let Some(position) = regions.iter().position(covers) else { return };
        if let Some(region) = regions.get_mut(position) {
            let offset = self.address - region.mapping.address();
            // SAFETY: the piece was this one's alone, and who drops it is done with it.
            unsafe { region.mapping.fill_with_traps(offset, self.len) };
            region.give(offset, self.len);
            // One is kept for the next module.
            if region.used == 0 && position > 0 {
                regions.swap_remove(position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::code::TRAP;

    #[test]
    fn code_is_near_the_stubs() {
        let piece = Arc::new(CodeMemory::default()).place(&[0xc3], 1).unwrap();
        let window = |address: usize| address as u64 / wasmo_abi::placement::WINDOW;
        assert_eq!(window(piece.address()), window(crate::entry::unwind()));
    }

    #[test]
    fn pieces_are_used_again_and_joined() {
        let memory = Arc::new(CodeMemory::default());
        let place = |len: usize, align| memory.place(&vec![0xc3; len], align).unwrap();
        let (a, b, c) = (place(10, 1), place(100, 1), place(64, 4096));
        assert_eq!(b.address(), a.address() + 64);
        assert_eq!(c.address() % 4096, 0);
        let at = a.address();
        drop(a);
        drop(b);
        let joined = place(192, 1);
        assert_eq!(joined.address(), at);
        drop(joined);
        // SAFETY: the memory stays mapped, since there is another piece in it.
        assert_eq!(unsafe { *(at as *const u32) }, TRAP, "nothing is left of the code");
        let joined = place(192, 1);
        // SAFETY: the piece is mapped and has 64 bytes.
        assert_eq!(unsafe { *(c.address() as *const [u8; 64]) }, [0xc3; 64]);
        drop((joined, c));
        assert_eq!(memory.regions.lock().unwrap()[0].used, 0);
    }

    #[test]
    fn regions_that_are_not_needed_go() {
        let memory = Arc::new(CodeMemory::default());
        let large = [(), ()].map(|()| memory.place(&vec![0; REGION - 4096], 1).unwrap());
        assert_eq!(memory.regions.lock().unwrap().len(), 2);
        drop(large);
        let regions = memory.regions.lock().unwrap();
        assert_eq!((regions.len(), regions[0].used, regions[0].free.len()), (1, 0, 1));
    }
}
