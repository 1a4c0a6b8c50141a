//! [`Mapping`]: address space reserved from the system, inaccessible at first, opened part by part; and files without names.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::{self, NonNull};
use wasmo_abi::placement;

/// The size of a page of the machine, in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf only reads.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Maps `len` bytes, not 0, where calls between them and the host's code cost least, if there is room: see [`wasmo_abi::placement`].
pub(crate) fn map_code(
    len: usize,
    rights: libc::c_int,
    flags: libc::c_int,
    file: libc::c_int,
) -> io::Result<NonNull<u8>> {
    // This function lies where the stubs do that guests are entered through.
    let places = placement::near(map_code as *const () as usize, len).map(|place| (place, libc::MAP_FIXED_NOREPLACE));
    for (place, fixed) in places.chain([(0, 0)]) {
        // SAFETY: the address is the system's choice or is not taken unless it is unused, so nothing that exists is touched. Systems older than the
        // flag take it for a wish.
        let base = unsafe { libc::mmap(ptr::without_provenance_mut(place), len, rights, flags | fixed, file, 0) };
        if base != libc::MAP_FAILED {
            return NonNull::new(base.cast()).ok_or_else(|| io::Error::other("the system mapped address 0"));
        }
    }
    Err(io::Error::last_os_error())
}

/// A range of address space; given back when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// A part could not be mapped anew, and may not be ours any more.
    broken: bool,
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
        Ok(Self { base, len, broken: false })
    }

    /// The same for what will hold code.
    pub(crate) fn reserve_for_code(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Ok(Self { base: map_code(len, libc::PROT_NONE, flags, -1)?, len, broken: false })
    }

    /// The first byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether a part could not be mapped anew, and may belong to others by now: the mapping is not to be used any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
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

    /// Makes `len` bytes from `start` inaccessible, and forgets what they held: when they are opened again, they are zero.
    /// Both are multiples of the page size.
    pub(crate) fn close(&mut self, start: usize, len: usize) -> io::Result<()> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        self.map_over(start, len, libc::PROT_NONE, flags, -1, 0)
    }

    /// Makes `len` bytes from `start` readable and writable, with the content of `file` from `offset` on; what is written
    /// stays here. All three are multiples of the page size.
    pub(crate) fn map_file(&mut self, start: usize, len: usize, file: &File, offset: u64) -> io::Result<()> {
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        self.map_over(start, len, rights, libc::MAP_PRIVATE | libc::MAP_NORESERVE, file.as_raw_fd(), offset)
    }

    fn map_over(
        &mut self,
        start: usize,
        len: usize,
        rights: libc::c_int,
        flags: libc::c_int,
        file: libc::c_int,
        offset: libc::off_t,
    ) -> io::Result<()> {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "the range lies within the mapping");
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the range lies within this mapping, so nothing of others is replaced, and the exclusive borrow shows that
        // nobody relies on its content.
        let answer = unsafe {
            libc::mmap(self.base.as_ptr().add(start).cast(), len, rights, flags | libc::MAP_FIXED, file, offset)
        };
        if answer == libc::MAP_FAILED {
            // The system may have unmapped what was there, and given the range to others meanwhile.
            self.broken = true;
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Whether the page at `start` has memory behind it. When the system does not say, it has.
    pub(crate) fn is_resident(&self, start: usize) -> bool {
        assert!(start < self.len, "the page lies within the mapping");
        let mut answer = 1_u8;
        // SAFETY: the page lies within this mapping; the answer has one byte for one page.
        let failed = unsafe { libc::mincore(self.base.as_ptr().add(start).cast(), 1, &raw mut answer) } != 0;
        failed || answer & 1 != 0
    }

    /// Makes `len` bytes from `start` readable and executable, and no longer writable. Both are multiples of the page size. The processor sees the
    /// instructions that were written there.
    pub(crate) fn make_executable(&mut self, start: usize, len: usize) -> io::Result<()> {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "the range lies within the mapping");
        // SAFETY: the range lies within this mapping, and the exclusive borrow shows that nobody is writing to it.
        let begin = unsafe { self.base.as_ptr().add(start) };
        // SAFETY: as above.
        let answer = unsafe { libc::mprotect(begin.cast(), len, libc::PROT_READ | libc::PROT_EXEC) };
        if answer != 0 {
            return Err(io::Error::last_os_error());
        }
        synchronize_instructions(begin, len);
        Ok(())
    }

    /// Gives the memory behind `len` bytes from `start` back to the system; afterwards they are as when they were mapped.
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
        if self.broken {
            // To lose address space is better than to unmap what has become of others.
            return;
        }
        // SAFETY: the mapping is ours, and its owner lets go of it with all pointers into it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A file in memory, without a name, whose content is `len` bytes: zeros, and over them what `write` writes. Nobody can change it
/// afterwards.
pub(crate) fn sealed_file(len: u64, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
    // SAFETY: the name is a string of C; the answer is a file descriptor of ours, or negative.
    let fd = unsafe { libc::memfd_create(c"wasmo".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and nobody else knows it.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(len)?;
    write(&file)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is open; the command takes a number.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// Sees to it that what was written to memory is executed from there. On x86-64 the processor does.
#[cfg(target_arch = "x86_64")]
fn synchronize_instructions(_: *mut u8, _: usize) {}

/// Sees to it that what was written to memory is executed from there.
#[cfg(target_arch = "aarch64")]
fn synchronize_instructions(start: *mut u8, len: usize) {
    unsafe extern "C" {
        /// The compiler's run-time library has it.
        fn __clear_cache(start: *mut u8, end: *mut u8);
    }
    // SAFETY: the range is mapped; the function only cleans caches.
    unsafe { __clear_cache(start, start.add(len)) };
}
