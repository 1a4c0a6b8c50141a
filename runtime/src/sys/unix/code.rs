//! [`CodeMapping`]: memory for code that is made while the process runs, mapped twice: once to be written, once to be executed.
//!
//! It is a file in memory with a name of ours. `perf`, however, looks for names of code ([`crate::debug::perf_map`]) in memory without a file only; so where these are wanted, it is
//! shared memory that never had one, whose second mapping is a copy of the first that shares its pages.
//!
//! No page is ever writable and executable at one address, and small pieces of code can share pages, which changing the rights of pages would not allow.

use super::mmap::map_code;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

/// The system's name for the memory, as it stands in `/proc/self/maps`.
const NAME: &CStr = c"wasmo code";

/// Instructions of four bytes that trap: `int3` four times.
#[cfg(target_arch = "x86_64")]
pub(crate) const TRAP: u32 = 0xcccc_cccc;
/// An instruction of four bytes that traps: `brk #0`.
#[cfg(target_arch = "aarch64")]
pub(crate) const TRAP: u32 = 0xd420_0000;

/// Memory at two addresses.
#[derive(Debug)]
pub(crate) struct CodeMapping {
    write: NonNull<u8>,
    run: NonNull<u8>,
    len: usize,
    /// The file, unless it is memory without one.
    file: Option<OwnedFd>,
}

// SAFETY: the mapping is memory like any other; it belongs to no thread.
unsafe impl Send for CodeMapping {}
// SAFETY: shared references only tell addresses; who writes promises that nobody else uses the range.
unsafe impl Sync for CodeMapping {}

impl CodeMapping {
    /// `len` bytes, a multiple of the page size and not 0, `nameless` where a profiler is to find the names of code. They cost no memory before they are written.
    pub(crate) fn new(len: usize, nameless: bool) -> io::Result<Self> {
        if nameless { Self::without_file(len) } else { Self::of_file(len) }
    }

    fn of_file(len: usize) -> io::Result<Self> {
        // SAFETY: the name ends in a zero byte.
        let file = unsafe { libc::memfd_create(NAME.as_ptr(), libc::MFD_CLOEXEC) };
        if file < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        let size = libc::off_t::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // SAFETY: the descriptor is open.
        if unsafe { libc::ftruncate(file.as_raw_fd(), size) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let write = map_to_write(len, libc::MAP_SHARED, file.as_raw_fd())?;
        let rights = libc::PROT_READ | libc::PROT_EXEC;
        let run = map_code(len, rights, libc::MAP_SHARED, file.as_raw_fd()).inspect_err(|_| unmap(write, len))?;
        Ok(Self { write, run, len, file: Some(file) })
    }

    fn without_file(len: usize) -> io::Result<Self> {
        let write = map_to_write(len, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)?;
        let place = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let run = map_code(len, libc::PROT_NONE, place, -1).inspect_err(|_| unmap(write, len))?;
        // From here on, dropping it unmaps both.
        let mapping = Self { write, run, len, file: None };
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: the place was reserved just now; an old size of 0 makes a second mapping of the shared pages and leaves the first (mremap(2)).
        let moved = unsafe { libc::mremap(write.as_ptr().cast(), 0, len, flags, run.as_ptr()) };
        // SAFETY: the mapping is ours, and nobody uses it yet.
        if moved == libc::MAP_FAILED || unsafe { libc::mprotect(moved, len, libc::PROT_READ | libc::PROT_EXEC) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }

    /// The size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the memory is executed.
    pub(crate) fn address(&self) -> usize {
        self.run.as_ptr() as usize
    }

    /// Writes code at `offset`, ready to be executed.
    ///
    /// # Safety
    /// Nobody uses these bytes meanwhile, or executes what was there before.
    pub(crate) unsafe fn write(&self, offset: usize, code: &[u8]) {
        assert!(offset.checked_add(code.len()).is_some_and(|end| end <= self.len), "the code lies within the mapping");
        // SAFETY: the range lies within the mapping, and is nobody's, as the caller promises.
        unsafe {
            ptr::copy_nonoverlapping(code.as_ptr(), self.write.as_ptr().add(offset), code.len());
            make_coherent(self.write.as_ptr().add(offset) as usize, self.run.as_ptr().add(offset) as usize, code.len());
        }
    }

    /// Overwrites code at `offset`, both multiples of four, with instructions that trap.
    ///
    /// # Safety
    /// As [`CodeMapping::write`].
    pub(crate) unsafe fn fill_with_traps(&self, offset: usize, len: usize) {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "the code lies within the mapping");
        assert!(offset.is_multiple_of(4) && len.is_multiple_of(4), "instructions are not divided");
        // SAFETY: the range lies within the mapping, which is aligned to pages, and is nobody's, as the caller promises.
        unsafe {
            let first = self.write.as_ptr().add(offset);
            std::slice::from_raw_parts_mut(first.cast::<u32>(), len / 4).fill(TRAP);
            make_coherent(first as usize, self.run.as_ptr().add(offset) as usize, len);
        }
    }

    /// Gives the memory behind the first `len` bytes back to the system, where it will.
    ///
    /// # Safety
    /// Nobody uses these bytes.
    pub(crate) unsafe fn discard(&self, len: usize) {
        let len = len.min(self.len);
        let size = libc::off_t::try_from(len).unwrap_or(0);
        // SAFETY: the descriptor is open, the mapping ours. A system that refuses keeps the memory, which does no harm.
        unsafe {
            match &self.file {
                Some(file) => {
                    let how = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                    libc::fallocate(file.as_raw_fd(), how, 0, size);
                }
                None => {
                    libc::madvise(self.write.as_ptr().cast(), len, libc::MADV_REMOVE);
                }
            }
        }
    }
}

impl Drop for CodeMapping {
    fn drop(&mut self) {
        unmap(self.write, self.len);
        unmap(self.run, self.len);
    }
}

fn map_to_write(len: usize, flags: i32, file: i32) -> io::Result<NonNull<u8>> {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the system chooses an unused address, so nothing that exists is touched.
    let base = unsafe { libc::mmap(ptr::null_mut(), len, rights, flags, file, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::Error::other("the system mapped address 0"))
}

fn unmap(base: NonNull<u8>, len: usize) {
    // SAFETY: the mapping was made with this length, and its owner lets go of it with all who point into it.
    unsafe { libc::munmap(base.as_ptr().cast(), len) };
}

/// Makes instructions that were written at `write` those that are fetched at `run`. The processor sees to it by itself.
#[cfg(target_arch = "x86_64")]
unsafe fn make_coherent(_write: usize, _run: usize, _len: usize) {}

/// Makes instructions that were written at `write` those that are fetched at `run`: cleans the data cache, then empties the instruction cache (Arm Architecture
/// Reference Manual, B2.4.4).
///
/// # Safety
/// Both ranges are mapped.
#[cfg(target_arch = "aarch64")]
unsafe fn make_coherent(write: usize, run: usize, len: usize) {
    use std::arch::asm;
    /// The smallest line that the architecture has, so that each is met.
    const LINE: usize = 16;
    // SAFETY: these instructions change no memory, and the ranges are mapped, as the caller promises.
    unsafe {
        for line in (write & !(LINE - 1)..write + len).step_by(LINE) {
            asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags));
        }
        asm!("dsb ish", options(nostack, preserves_flags));
        for line in (run & !(LINE - 1)..run + len).step_by(LINE) {
            asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags));
        }
        asm!("dsb ish", "isb", options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `/proc/self/maps` says of the mapping that begins at `address`: rights and name.
    fn shown(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.starts_with(&format!("{address:x}-")));
        line.unwrap_or_else(|| panic!("{address:x} is not in {maps}")).to_owned()
    }

    fn is_written_here_and_read_there(nameless: bool, name: &str) {
        let mapping = CodeMapping::new(1 << 16, nameless).unwrap();
        let line = shown(mapping.address());
        assert!(line.contains(" r-xs ") && line.contains(name), "{line}");
        assert!(shown(mapping.write.as_ptr() as usize).contains(" rw-s "));
        let read = |offset: usize| {
            // SAFETY: the offsets lie within the mapping, which is readable.
            unsafe { ((mapping.address() + offset) as *const u8).read_volatile() }
        };
        // SAFETY: nobody else has the mapping.
        unsafe { mapping.write(5000, &[0xc3, 0x90]) };
        assert_eq!([4999, 5000, 5001, 5002].map(read), [0, 0xc3, 0x90, 0]);
        // SAFETY: as above.
        unsafe { mapping.discard(1 << 16) };
        assert_eq!(read(5000), 0);
    }

    #[test]
    fn memory_of_a_file_is_at_two_addresses() {
        is_written_here_and_read_there(false, "memfd:wasmo code");
    }

    // The emulator that tests of AArch64 run in does not know how to map memory a second time.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn memory_without_a_file_is_at_two_addresses() {
        is_written_here_and_read_there(true, "/dev/zero");
    }
}
