//! [`Reservation`]: the address space of a memory, and how it is made as new again.

use super::image::MemoryImage;
use crate::error::Error;
use crate::sys::mmap::Mapping;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use wasmo_abi::tunables::MEMORY_RESERVATION;

/// Address space for any 32-bit memory. A first part of it is open, that is readable and writable; everything else faults. What was never written is
/// zero, or the image where there is one.
#[derive(Debug)]
pub(crate) struct Reservation {
    mapping: Mapping,
    /// How many bytes are open, from the first.
    open: usize,
    /// Which of them are an image; empty when there is none.
    image: Range<usize>,
}

/// What may have been written to a memory, as a range of its bytes.
pub(crate) type Dirty = Range<usize>;

fn meet(a: &Range<usize>, b: Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
}

impl Reservation {
    /// Reserves; nothing is open yet.
    pub(super) fn new() -> Result<Self, Error> {
        let failed = |source| Error::Os {
            what: format!("cannot reserve {MEMORY_RESERVATION} bytes of address space for a memory"),
            source,
        };
        let len = usize::try_from(MEMORY_RESERVATION).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        Ok(Self { mapping: Mapping::reserve(len).map_err(failed)?, open: 0, image: 0..0 })
    }

    /// Makes exactly the first `size` bytes accessible: a multiple of the page size of WebAssembly, which is one of every machine's. What is opened is
    /// zero.
    pub(super) fn resize(&mut self, size: u64) -> Result<(), Error> {
        let failed = |source| Error::Os { what: format!("cannot make {size} bytes of a memory accessible"), source };
        let size = usize::try_from(size).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        if size > self.open {
            self.mapping.open(self.open, size - self.open).map_err(failed)?;
        } else {
            self.mapping.close(size, self.open - size).map_err(failed)?;
        }
        self.open = size;
        Ok(())
    }

    /// Puts an image where nothing was written yet; it must lie within what is open.
    pub(super) fn map(&mut self, image: &MemoryImage) -> Result<(), Error> {
        let range = image.range().filter(|range| range.end <= self.open);
        let range = range.ok_or_else(|| Error::Internal("a memory's image is larger than the memory".into()))?;
        let failed = |source| Error::Os { what: "cannot map a memory's initial content".into(), source };
        if image.is_mappable() {
            self.mapping.map_file(range.start, range.len(), image.file(), image.file_offset()).map_err(failed)?;
            self.image = range;
            return Ok(());
        }
        // SAFETY: the range is open, and nobody else uses the memory yet.
        let to = unsafe { std::slice::from_raw_parts_mut(self.base().as_ptr().add(range.start), range.len()) };
        image.read(to).map_err(failed)
    }

    /// Whether a mapped image restores what [`Reservation::reset`] removes.
    pub(super) fn has_image(&self) -> bool {
        !self.image.is_empty()
    }

    /// Makes the first `size` bytes as if nothing had ever been written to them, and closes the rest, at most as much as is open. Nothing outside of `dirty` was
    /// written. Of what is not the image, the first `keep` bytes, a multiple of the machine's page size, keep their memory.
    pub(super) fn reset(&mut self, size: usize, dirty: Dirty, keep: usize) -> io::Result<()> {
        if size < self.open {
            self.mapping.close(size, self.open - size)?;
            self.open = size;
        }
        let dirty = meet(&dirty, 0..self.open);
        if dirty.is_empty() {
            return Ok(());
        }
        let end = if self.image.is_empty() { self.open } else { self.image.start };
        let zeroed = meet(&dirty, 0..keep.min(end));
        if !zeroed.is_empty() {
            // SAFETY: the range is open, and the exclusive borrow shows that nobody uses the memory.
            unsafe { ptr::write_bytes(self.base().as_ptr().add(zeroed.start), 0, zeroed.len()) };
        }
        let rest = keep.min(end)..self.open;
        if meet(&dirty, rest.clone()).is_empty() { Ok(()) } else { self.mapping.discard(rest.start, rest.len()) }
    }

    /// Makes it fit for any memory: zero, and without an image. At most `keep` bytes stay open, as for [`Reservation::reset`].
    pub(crate) fn blank(&mut self, dirty: Dirty, keep: usize) -> io::Result<()> {
        if self.mapping.is_broken() {
            return Err(io::Error::other("a part of the address space is lost"));
        }
        if self.image.is_empty() {
            return self.reset(self.open.min(keep), dirty, keep);
        }
        self.mapping.close(0, self.open)?;
        (self.open, self.image) = (0, 0..0);
        Ok(())
    }

    /// The first byte.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.mapping.base()
    }

    /// Whether `address` lies within.
    pub(super) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base().as_ptr() as usize) < self.mapping.len()
    }
}
