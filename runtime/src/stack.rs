//! [`GuestStack`]: a stack for guests, with a guard below it, and the cache of stacks that stores have given back.
//!
//! Memory is committed by use only. A stack given back keeps what is nearest to its top, which almost every guest uses,
//! and returns the rest to the system; what lies there is of no use to the next guest, since WebAssembly has no way to
//! read a stack.

use crate::error::Error;
use crate::sys::mmap::{Mapping, page_size};
use std::sync::{Mutex, PoisonError};

/// Bytes of the guard below each stack. Functions with large frames touch every page on their way down, so it need not
/// be large; helpers of C that run on the stack have small frames.
const GUARD: usize = 64 << 10;
/// The least size of a stack in bytes: room for the stubs and a few frames.
const MIN_SIZE: usize = 64 << 10;
/// How many bytes at the top of a cached stack stay committed.
const KEPT: usize = 64 << 10;
/// How many stacks are kept.
const MAX_CACHED: usize = 64;

static CACHE: Mutex<Vec<GuestStack>> = Mutex::new(Vec::new());

/// A stack for guests.
#[derive(Debug)]
pub(crate) struct GuestStack {
    mapping: Mapping,
    size: usize,
}

impl GuestStack {
    /// A stack of at least `size` usable bytes, from the cache if it has one of that size.
    pub(crate) fn new(size: usize) -> Result<Self, Error> {
        let page = page_size();
        let failed = |source| Error::Os { what: format!("cannot map a guest stack of {size} bytes"), source };
        let size = size
            .max(MIN_SIZE)
            .checked_next_multiple_of(page)
            .filter(|size| *size <= isize::MAX as usize - GUARD)
            .ok_or_else(|| Error::Limit(format!("a guest stack cannot have {size} bytes")))?;
        {
            // The vector is sound whatever panicked while it was locked.
            let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(position) = cache.iter().rposition(|stack| stack.size == size) {
                return Ok(cache.swap_remove(position));
            }
        }
        let guard = GUARD.next_multiple_of(page);
        let mut mapping = Mapping::reserve(guard + size).map_err(failed)?;
        mapping.use_small_pages();
        mapping.open(guard, size).map_err(failed)?;
        Ok(Self { mapping, size })
    }

    /// Lowest address of the guard.
    pub(crate) fn guard_low(&self) -> usize {
        self.mapping.base().as_ptr() as usize
    }

    /// Lowest usable address.
    pub(crate) fn low(&self) -> usize {
        self.high() - self.size
    }

    /// Address past the highest usable byte, a multiple of the page size.
    pub(crate) fn high(&self) -> usize {
        self.guard_low() + self.mapping.len()
    }

    /// Gives the stack to the cache, or to the system when the cache is full.
    pub(crate) fn give_back(mut self) {
        let unused = self.size - KEPT.min(self.size);
        let start = self.low() - self.guard_low();
        if self.mapping.discard(start, unused).is_err() {
            // It would keep its memory, so it had better go.
            return;
        }
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() < MAX_CACHED {
            cache.push(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_and_bounded() {
        let stack = GuestStack::new(100_001).unwrap();
        assert!(stack.high() - stack.low() >= 100_001);
        assert_eq!(stack.high() % page_size(), 0);
        assert!(stack.low() - stack.guard_low() >= GUARD);
        assert!(GuestStack::new(usize::MAX).is_err());
        assert!(GuestStack::new(isize::MAX as usize).is_err());
    }

    #[test]
    fn a_stack_given_back_is_used_again() {
        // No other test uses this size.
        let size = 777 * page_size();
        let first = GuestStack::new(size).unwrap();
        let high = first.high();
        first.give_back();
        let second = GuestStack::new(size).unwrap();
        assert_eq!(second.high(), high);
        assert_ne!(GuestStack::new(size).unwrap().high(), high);
    }
}
