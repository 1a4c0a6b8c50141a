//! [`Memory`]: a linear memory (core specification, 4.2.8).
//!
//! It is a reservation of [`MEMORY_RESERVATION`] bytes of which the first part is open. Any 32-bit address plus any
//! 32-bit offset lies within, so that generated code does not check its accesses: those beyond the size fault, and
//! [`crate::trap::catch`] knows the fault by [`Memory::reserves`]. The base never moves.

mod reserve;

use crate::error::Error;
use reserve::Reservation;
use std::ptr::{self, NonNull};
use wasmo_abi::tunables::MAX_GROWN_PAGES;
use wasmo_abi::types::{MemoryType, PAGE_SIZE};
use wasmo_abi::vm::VmMemory;

#[cfg(doc)]
use wasmo_abi::tunables::MEMORY_RESERVATION;

/// The most pages that a 32-bit memory has.
const MAX_PAGES: u64 = 65_536;

/// A linear memory.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Memory {
    /// What generated code knows. Its size is written here only.
    vm: VmMemory,
    reservation: Reservation,
    ty: MemoryType,
    /// The memory that the store made before this one, or null.
    next: *const Memory,
}

impl Memory {
    /// A memory of type `ty` with its initial size, all zero. `next` is the memory that the store made before.
    pub(crate) fn new(ty: MemoryType, next: *const Memory) -> Result<Self, Error> {
        let pages = ty.limits.min;
        if pages > MAX_PAGES {
            return Err(Error::Limit(format!("a memory cannot have {pages} pages; the most is {MAX_PAGES}")));
        }
        let mut reservation = Reservation::new()?;
        let size = pages * PAGE_SIZE;
        reservation.open(0, size)?;
        Ok(Self { vm: VmMemory { base: reservation.base().as_ptr(), size }, reservation, ty, next })
    }

    /// The part that generated code knows.
    pub(crate) fn vm(this: NonNull<Self>) -> *mut VmMemory {
        this.cast().as_ptr()
    }

    /// The type it was made with.
    pub(crate) fn ty(&self) -> MemoryType {
        self.ty
    }

    /// The first byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.vm.base
    }

    /// The size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.vm.size
    }

    /// The size in pages.
    pub(crate) fn pages(&self) -> u64 {
        self.vm.size / PAGE_SIZE
    }

    /// The size in bytes that it would have `delta` pages larger; `None` when its type, or wasmo, does not allow it
    /// (see [`MAX_GROWN_PAGES`]).
    pub(crate) fn grown(&self, delta: u64) -> Option<u64> {
        let cap = if self.ty.limits.min > MAX_GROWN_PAGES { MAX_PAGES } else { MAX_GROWN_PAGES };
        let cap = self.ty.limits.max.map_or(cap, |max| max.min(cap));
        let pages = self.pages().checked_add(delta).filter(|&pages| pages <= cap || delta == 0)?;
        Some(pages * PAGE_SIZE)
    }

    /// Makes the memory `size` bytes large: a multiple of the page size, as [`Memory::grown`] says, not less than it
    /// is.
    pub(crate) fn grow_to(&mut self, size: u64) -> Result<(), Error> {
        let old = self.vm.size;
        self.reservation.open(old, size - old)?;
        self.vm.size = size;
        Ok(())
    }

    /// Whether `address` lies in the reservation, accessible or not.
    pub(crate) fn reserves(&self, address: usize) -> bool {
        self.reservation.contains(address)
    }

    /// The memory that the store made before.
    pub(crate) fn next(&self) -> *const Memory {
        self.next
    }

    /// The `len` bytes from `start`, if the memory has them.
    pub(crate) fn range(&self, start: u64, len: u64) -> Option<NonNull<u8>> {
        let end = start.checked_add(len)?;
        if end > self.vm.size {
            return None;
        }
        let start = usize::try_from(start).ok()?;
        // SAFETY: the offset is within the reservation, which is one allocation.
        NonNull::new(unsafe { self.vm.base.add(start) })
    }

    /// Copies `bytes` to `start`, if they fit.
    pub(crate) fn write(&mut self, start: u64, bytes: &[u8]) -> Option<()> {
        let to = self.range(start, bytes.len() as u64)?;
        // SAFETY: the range is accessible. `bytes` cannot overlap it: it is borrowed, and no borrow is ever made of a
        // memory's content here.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmo_abi::types::Limits;

    fn memory(min: u64, max: Option<u64>) -> Memory {
        Memory::new(MemoryType { limits: Limits { min, max } }, ptr::null()).unwrap()
    }

    #[test]
    fn grows_to_its_maximum_and_not_beyond() {
        let mut memory = memory(1, Some(3));
        assert_eq!(memory.pages(), 1);
        assert_eq!(memory.grown(3), None);
        assert_eq!(memory.grown(u64::MAX), None);
        let size = memory.grown(2).unwrap();
        memory.grow_to(size).unwrap();
        assert_eq!(memory.pages(), 3);
        assert_eq!(memory.write(3 * PAGE_SIZE - 2, &[7, 8]), Some(()));
        assert_eq!(memory.write(3 * PAGE_SIZE - 1, &[7, 8]), None);
        assert_eq!(memory.write(u64::MAX, &[7, 8]), None);
    }

    #[test]
    fn the_last_page_is_kept_back_unless_declared() {
        assert_eq!(memory(0, None).grown(65_536), None);
        assert_eq!(memory(0, None).grown(65_535), Some(65_535 * PAGE_SIZE));
        let whole = memory(65_536, None);
        assert_eq!(whole.size(), 1 << 32);
        assert_eq!(whole.grown(0), Some(1 << 32));
        assert_eq!(whole.grown(1), None);
    }

    #[test]
    fn too_many_pages_are_an_error() {
        let ty = MemoryType { limits: Limits { min: 65_537, max: None } };
        assert!(matches!(Memory::new(ty, ptr::null()), Err(Error::Limit(_))));
    }
}
