//! [`FileMapping`]: the beginning of a file mapped for reading, part of it for execution; [`FileId`]: which file, in which state; [`open_own`]: a file for others to find,
//! where anybody may have put something else.

use super::mmap::map_code;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::NonNull;
use std::time::{Duration, SystemTime};

/// The beginning of a file, mapped privately: what others write to the file later may or may not be seen.
#[derive(Debug)]
pub(crate) struct FileMapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is memory that is never written to; it belongs to no thread.
unsafe impl Send for FileMapping {}
// SAFETY: as above.
unsafe impl Sync for FileMapping {}

impl FileMapping {
    /// Maps the first `len` bytes of `file`, not 0.
    pub(crate) fn new(file: &File, len: usize) -> io::Result<Self> {
        Ok(Self { base: map_code(len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd())?, len })
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The address of the first byte.
    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// Lets the bytes at `range`, which begins at a page and lies within, be executed.
    pub(crate) fn make_executable(&self, range: Range<usize>) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= self.len, "the range lies within the mapping");
        // SAFETY: the range lies within this mapping; its bytes stay readable.
        let answer = unsafe {
            let start = self.base.as_ptr().add(range.start).cast();
            libc::mprotect(start, range.len(), libc::PROT_READ | libc::PROT_EXEC)
        };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsRef<[u8]> for FileMapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the mapping is readable and lives as long as `self`. That nobody changes the file is the promise of those who load artefacts.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl Drop for FileMapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever points into it holds a reference to its owner.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Identifies a file and its content, as far as the system can tell that it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileId {
    /// The identity of `file`, and its size. There is none when it was changed so recently that a further change might leave its times as they are.
    pub(crate) fn of(file: &File) -> io::Result<(Option<Self>, u64)> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let id = Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(id.changed.0).unwrap_or(0));
        let settled = now.checked_sub(changed).is_some_and(|age| age > Duration::from_secs(2));
        Ok((settled.then_some(id), metadata.size()))
    }
}

/// Opens an empty file to add to it, in a directory that others can write to: a new one, or a plain file of this user's that has no second name.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    // Neither links are followed nor pipes waited for, and nothing is emptied before it is known what it is.
    options.append(true).create(true).mode(0o644).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    // SAFETY: the call reads a number that the process has.
    let user = unsafe { libc::geteuid() };
    if !metadata.is_file() || metadata.uid() != user || metadata.nlink() != 1 {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else of that name is there"));
    }
    file.set_len(0)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn only_a_plain_file_of_ours_is_written_to() {
        let name = |what: &str| std::env::temp_dir().join(format!("wasmo-own-{what}-{}", std::process::id()));
        let (plain, link, other, directory) = (name("plain"), name("link"), name("other"), name("directory"));
        open_own(&plain).unwrap().write_all(b"first").unwrap();
        open_own(&plain).unwrap().write_all(b"second").unwrap();
        assert_eq!(std::fs::read(&plain).unwrap(), b"second");
        std::os::unix::fs::symlink(&plain, &link).unwrap();
        assert!(open_own(&link).is_err());
        std::fs::hard_link(&plain, &other).unwrap();
        assert!(open_own(&other).is_err() && open_own(&plain).is_err());
        assert_eq!(std::fs::read(&plain).unwrap(), b"second");
        std::fs::create_dir(&directory).unwrap();
        assert!(open_own(&directory).is_err());
        for path in [plain, link, other] {
            std::fs::remove_file(path).unwrap();
        }
        std::fs::remove_dir(directory).unwrap();
    }
}
