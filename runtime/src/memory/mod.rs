//! [`Memory`]: a linear memory (core specification, 4.2.8).
//!
//! It is a reservation of [`MEMORY_RESERVATION`] bytes of which the first part is open. Any 32-bit address plus any
//! 32-bit offset lies within, so that generated code does not check its accesses: those beyond the size fault, and
//! [`crate::trap::catch`] knows the fault by [`Memory::reserves`]. The base never moves.
//!
//! A memory knows where it may differ from what it was at first: where the runtime wrote ([`Memory::write`]), or everywhere once a guest ran or the host
//! got the address ([`Memory::touch`]). So it can be made as new for little ([`Memory::reset`]), and its address space be used again.

mod image;
mod reserve;

pub use image::MemoryImage;
pub(crate) use image::{Images, in_memory};
pub(crate) use reserve::{Dirty, Reservation};

use crate::error::Error;
use crate::pool::{Kind, Pool, Share};
use std::cell::Cell;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::ptr::{self, NonNull};
use std::sync::Arc;
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
    /// Taken out only by drop.
    reservation: ManuallyDrop<Reservation>,
    ty: MemoryType,
    /// The memory that the store made before this one, or null.
    next: *const Memory,
    /// Where the runtime wrote for the instance's active segments; see [`Memory::settle`].
    initial: Dirty,
    /// Where the runtime wrote otherwise.
    written: Dirty,
    /// Whether others may have written anywhere.
    touched: Cell<bool>,
    share: Share,
}

impl Memory {
    /// A memory of type `ty` with its initial size, all zero.
    pub(crate) fn new(ty: MemoryType, pool: &Arc<Pool>) -> Result<Self, Error> {
        let pages = ty.limits.min;
        if pages > MAX_PAGES {
            return Err(Error::Limit(format!("a memory cannot have {pages} pages; the most is {MAX_PAGES}")));
        }
        let size = pages * PAGE_SIZE;
        if size > pool.memory_size() {
            let max = pool.memory_size();
            return Err(Error::Limit(format!("a memory of {size} bytes is larger than the pool's, which have {max}")));
        }
        let share = Share::take(pool, Kind::Memory)?;
        let mut reservation = pool.reservation().map_or_else(Reservation::new, Ok)?;
        reservation.resize(size)?;
        let vm = VmMemory { base: reservation.base().as_ptr(), size };
        let reservation = ManuallyDrop::new(reservation);
        Ok(Self {
            vm,
            reservation,
            ty,
            next: ptr::null(),
            initial: 0..0,
            written: 0..0,
            touched: Cell::new(false),
            share,
        })
    }

    /// Gives the memory, to which nobody has written yet, an initial content.
    pub(crate) fn map(&mut self, image: &MemoryImage) -> Result<(), Error> {
        self.reservation.map(image)?;
        if let Some(range) = image.range().filter(|_| !self.reservation.has_image()) {
            self.written = join(mem::take(&mut self.written), range);
        }
        Ok(())
    }

    /// After a [reset](Memory::reset) that has not left the initial content: puts the image back where it was not mapped.
    pub(crate) fn restore(&mut self, image: &MemoryImage) -> Result<(), Error> {
        if self.reservation.has_image() { Ok(()) } else { self.map(image) }
    }

    /// Anybody may write to the memory from now on, anywhere.
    pub(crate) fn touch(&self) {
        self.touched.set(true);
    }

    /// Takes what was written so far for the initial content.
    pub(crate) fn settle(&mut self) {
        self.initial = join(self.initial.clone(), mem::take(&mut self.written));
    }

    /// Where the memory may differ from one that was just made.
    fn dirty(&self) -> Dirty {
        if self.touched.get() { 0..usize::MAX } else { join(self.initial.clone(), self.written.clone()) }
    }

    /// Gives the memory its initial size, and unless only initial content was written, makes it as it was when it was made and
    /// [mapped](Memory::map). Answers whether the initial content is there.
    pub(crate) fn reset(&mut self) -> io::Result<bool> {
        let size = self.ty.limits.min * PAGE_SIZE;
        let len = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let settled = !self.touched.get() && self.written.is_empty();
        let dirty = if settled { 0..0 } else { self.dirty() };
        self.reservation.reset(len, dirty, self.share.pool().keep_resident())?;
        self.vm.size = size;
        if !settled {
            self.touched.set(false);
            (self.initial, self.written) = (0..0, 0..0);
        }
        Ok(settled)
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
        let cap = self.ty.limits.max.map_or(cap, |max| max.min(cap)).min(self.share.pool().memory_size() / PAGE_SIZE);
        let pages = self.pages().checked_add(delta).filter(|&pages| pages <= cap || delta == 0)?;
        Some(pages * PAGE_SIZE)
    }

    /// Makes the memory `size` bytes large: a multiple of the page size, as [`Memory::grown`] says, not less than it
    /// is.
    pub(crate) fn grow_to(&mut self, size: u64) -> Result<(), Error> {
        self.reservation.resize(size)?;
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

    /// Sets the memory that the store made before, or null.
    pub(crate) fn set_next(&mut self, next: *const Memory) {
        self.next = next;
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
        let offset = to.as_ptr() as usize - self.vm.base as usize;
        self.written = join(mem::take(&mut self.written), offset..offset + bytes.len());
        // SAFETY: the range is accessible. `bytes` cannot overlap it: it is borrowed, and no borrow is ever made of a
        // memory's content here.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        Some(())
    }
}

/// A range that has all that is in either.
fn join(a: Dirty, b: Dirty) -> Dirty {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let dirty = self.dirty();
        // SAFETY: this is done once, and nobody looks at the field afterwards.
        let reservation = unsafe { ManuallyDrop::take(&mut self.reservation) };
        self.share.pool().keep_reservation(reservation, dirty);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmo_abi::types::Limits;

    fn memory(min: u64, max: Option<u64>) -> Memory {
        Memory::new(MemoryType { limits: Limits { min, max } }, &Pool::new(None)).unwrap()
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
        assert!(matches!(Memory::new(ty, &Pool::new(None)), Err(Error::Limit(_))));
    }
}
