//! [`Mapping`]: address space reserved from the system, inaccessible at first, opened part by part.

use std::io;
use std::ptr::{self, NonNull};

/// The size of a page of the machine, in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf only reads.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// A range of address space; given back when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is memory like any other; it belongs to no thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Reserves `len` bytes, a multiple of the page size and not 0. Nothing may access them yet and they cost no
    /// memory.
    pub(crate) fn reserve(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: the system chooses an unused address, so nothing that exists is touched.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("the system mapped address 0"))?;
        Ok(Self { base, len })
    }

    /// The first byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes `len` bytes from `start` readable and writable, all zero where they were not before. Both are multiples of
    /// the page size.
    pub(crate) fn open(&mut self, start: usize, len: usize) -> io::Result<()> {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "the range lies within the mapping");
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the range lies within this mapping, and giving more rights invalidates nothing.
        let answer =
            unsafe { libc::mprotect(self.base.as_ptr().add(start).cast(), len, libc::PROT_READ | libc::PROT_WRITE) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Gives the memory behind `len` bytes from `start` back to the system; they read as zero afterwards.
    pub(crate) fn discard(&mut self, start: usize, len: usize) -> io::Result<()> {
        self.advise(start, len, libc::MADV_DONTNEED)
    }

    /// Asks the system not to use huge pages: a stack of which a few bytes are used should cost a few kilobytes.
    pub(crate) fn use_small_pages(&mut self) {
        // A kernel without huge pages refuses, and then there is nothing to ask for.
        let _refused = self.advise(0, self.len, libc::MADV_NOHUGEPAGE);
    }

    fn advise(&mut self, start: usize, len: usize, advice: libc::c_int) -> io::Result<()> {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "the range lies within the mapping");
        // SAFETY: the range lies within this mapping, and the exclusive borrow shows that nobody relies on its content.
        let answer = unsafe { libc::madvise(self.base.as_ptr().add(start).cast(), len, advice) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and its owner lets go of it with all pointers into it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
