//! [`GuestStack`]: a stack for guests, with a guard below it.
//!
//! Memory is committed by use only. A stack that is made fit for the next store keeps what is nearest to its top, which almost every guest uses,
//! and returns the rest to the system; what lies there is of no use to the next guest, since WebAssembly has no way to
//! read a stack.

use crate::error::Error;
use crate::sys::mmap::{Mapping, page_size};

/// Bytes of the guard below each stack. Functions with large frames touch every page on their way down, so it need not
/// be large; helpers of C that run on the stack have small frames.
const GUARD: usize = 64 << 10;
/// The least size of a stack in bytes: room for the stubs and a few frames.
const MIN_SIZE: usize = 64 << 10;
/// How many bytes at the top stay committed.
const KEPT: usize = 64 << 10;

/// A stack for guests.
#[derive(Debug)]
pub struct GuestStack {
    mapping: Mapping,
    size: usize,
}

impl GuestStack {
    /// The size of a stack for which `size` bytes were asked.
    fn rounded(size: usize) -> Option<usize> {
        let size = size.max(MIN_SIZE).checked_next_multiple_of(page_size())?;
        Some(size).filter(|size| *size <= isize::MAX as usize - GUARD)
    }

    /// Whether a store that wants `size` bytes may have this one.
    pub(crate) fn suits(&self, size: usize) -> bool {
        Self::rounded(size) == Some(self.size)
    }

    /// A stack of at least `size` usable bytes.
    ///
    /// # Errors
    /// When the system has no address space for it.
    pub fn new(size: usize) -> Result<Self, Error> {
        let page = page_size();
        let failed = |source| Error::Os { what: format!("cannot map a guest stack of {size} bytes"), source };
        let size =
            Self::rounded(size).ok_or_else(|| Error::Limit(format!("a guest stack cannot have {size} bytes")))?;
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
    pub fn low(&self) -> usize {
        self.high() - self.size
    }

    /// Address past the highest usable byte, a multiple of the page size.
    pub fn high(&self) -> usize {
        self.guard_low() + self.mapping.len()
    }

    /// After a guest has used the stack: gives what it used to the system, but for the part nearest to the top unless `whole`. Answers whether that
    /// went well.
    pub(crate) fn reset(&mut self, whole: bool) -> bool {
        self.keep(if whole { 0 } else { KEPT })
    }

    /// As [`GuestStack::reset`], but for `kept` bytes nearest to the top.
    pub fn keep(&mut self, kept: usize) -> bool {
        let (whole, kept) = (kept == 0, kept.min(self.size));
        let unused = self.size - kept;
        let start = self.low() - self.guard_low();
        // Functions touch every page on their way down, so where the last page has no memory behind it, nothing below does.
        let last = (start + unused).saturating_sub(page_size());
        if unused == 0 || !whole && !self.mapping.is_resident(last) {
            return true;
        }
        self.mapping.discard(start, unused).is_ok()
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
    fn what_lies_deep_is_forgotten() {
        let mut stack = GuestStack::new(1 << 20).unwrap();
        let at = |offset: usize| (stack.high() - offset) as *mut u8;
        let (top, deep) = (at(8), at(KEPT + 8));
        // SAFETY: both lie within the stack, which nobody uses.
        unsafe { (top.write(1), deep.write(2)) };
        assert!(stack.reset(false));
        // SAFETY: as above.
        assert_eq!(unsafe { (top.read(), deep.read()) }, (1, 0));
        assert!(stack.reset(true));
        // SAFETY: as above.
        assert_eq!(unsafe { top.read() }, 0);
    }

    #[test]
    fn a_stack_suits_who_wants_its_size() {
        let stack = GuestStack::new(100_001).unwrap();
        assert!(stack.suits(100_001) && stack.suits(100_002) && !stack.suits(200_000) && !stack.suits(usize::MAX));
    }
}
