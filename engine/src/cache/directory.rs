//! [`Directory`]: the cache's directory, known to be the user's own and closed to others, and the files in it.
//!
//! Everything is reached relative to the open directory, so that what was checked stays what is used, whatever happens to the path. Files appear
//! whole or not at all: [`Directory::put`] writes a temporary file in [`TEMPORARY`], and renames it. A process that dies leaves its temporary file
//! behind; it holds a lock (`flock`) on it as long as it lives, so that [`Directory::sweep`] knows which ones are of the dead.

use super::CacheError;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The room of entries.
pub(super) const MODULES: &str = "modules";
/// The room of known source files.
pub(super) const INDEX: &str = "index";
/// The room of files that are being written.
const TEMPORARY: &str = "tmp";

/// The file that the process has locked that tidies up.
pub(super) const TIDYING: &str = "lock";
/// The file that the process has locked that improves entries.
pub(super) const IMPROVING: &str = "improving";

/// How old a temporary file is before it may be of a process that has died. Between making the file and locking it there is a moment.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// Tells backup programs that nothing here needs to be kept (<https://bford.info/cachedir/>).
const TAG: &str = "CACHEDIR.TAG";
const TAG_CONTENT: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n# This is the cache of wasmo.\n";

/// Bits of a mode that let others than the owner in.
const OTHERS: u32 = 0o077;
/// Bits of a mode that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// What becomes of a file that is already there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Replaced,
    Kept,
}

/// The open directory. See the module.
#[derive(Debug)]
pub(super) struct Directory {
    open: File,
    path: PathBuf,
}

/// A file in one of the rooms, as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

impl Directory {
    /// The directory, if it exists. One that is still to be closed ([`may_be_closed`]) does not exist as a cache.
    pub(super) fn existing(path: &Path) -> Result<Option<Self>, CacheError> {
        let Some((open, metadata)) = open_directory(path)? else { return Ok(None) };
        let advice = || format!("deny it with `chmod 700 '{}'`", path.display());
        match check(path, &metadata, advice) {
            Ok(()) => Ok(Some(Self { open, path: path.to_owned() })),
            Err(CacheError::Exposed { .. }) if may_be_closed(&open, &metadata) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The directory, which is made if it does not exist, and its rooms.
    pub(super) fn create(path: &Path) -> Result<Self, CacheError> {
        let failed = |error: io::Error| CacheError::io("make the cache", path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        if let Some((open, metadata)) = open_directory(path)?
            && may_be_closed(&open, &metadata)
        {
            open.set_permissions(Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let directory = Self::existing(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        directory.make_rooms()?;
        Ok(directory)
    }

    fn make_rooms(&self) -> Result<(), CacheError> {
        for room in [TEMPORARY, MODULES, INDEX] {
            match rustix::fs::mkdirat(&self.open, room, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(CacheError::io("make", &self.path_of(room), error)),
            }
        }
        self.put_once(TAG, TAG_CONTENT, Existing::Kept)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file for reading. It is a plain file of the user's own, and nobody else may read or write it.
    pub(super) fn open(&self, name: &str) -> Result<(File, Metadata), CacheError> {
        let error = |error: io::Error| CacheError::io("open", &self.path_of(name), error);
        // A fifo must not make us wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.open, name, flags, Mode::empty()).map_err(|errno| error(errno.into()))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(error)?;
        if !metadata.is_file() {
            return Err(CacheError::Damaged { path: self.path_of(name) });
        }
        let advice = || format!("they may know the secret: delete all of `{}`", self.path.display());
        check(&self.path_of(name), &metadata, advice)?;
        Ok((file, metadata))
    }

    /// Writes a file: all of it is there, or nothing. Rooms that have vanished are made again.
    pub(super) fn put(&self, name: &str, content: &[u8], existing: Existing) -> Result<(), CacheError> {
        match self.put_once(name, content, existing) {
            Err(error) if error.is_not_found() => {
                self.make_rooms()?;
                self.put_once(name, content, existing)
            }
            result => result,
        }
    }

    fn put_once(&self, name: &str, content: &[u8], existing: Existing) -> Result<(), CacheError> {
        let error = |error: io::Error| CacheError::io("write", &self.path_of(name), error);
        let mut temporary = Temporary::create(self).map_err(error)?;
        temporary.file.write_all(content).map_err(error)?;
        match existing {
            Existing::Replaced => temporary.rename_to(name),
            Existing::Kept => temporary.link_as(name),
        }
        .map_err(error)
    }

    /// Removes a file, and says whether it was there.
    pub(super) fn remove(&self, name: &str) -> Result<bool, CacheError> {
        match rustix::fs::unlinkat(&self.open, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(CacheError::io("remove", &self.path_of(name), error)),
        }
    }

    /// The plain files in a room. What vanishes meanwhile is left out.
    pub(super) fn files(&self, room: &str) -> Result<Vec<Found>, CacheError> {
        let error = |errno: Errno| CacheError::io("list", &self.path_of(room), errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = match rustix::fs::openat(&self.open, room, flags, Mode::empty()) {
            Ok(open) => open,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(errno) => return Err(error(errno)),
        };
        let mut found = Vec::new();
        for entry in Dir::read_from(&open).map_err(error)? {
            let entry = entry.map_err(error)?;
            // Our names are plain ASCII; others are not ours to touch.
            let Ok(name) = entry.file_name().to_str() else { continue };
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::openat(&open, name, flags, Mode::empty()) else { continue };
            let Ok(metadata) = File::from(file).metadata() else { continue };
            if metadata.is_file() {
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push(Found { name: name.to_owned(), size: metadata.len(), modified });
            }
        }
        Ok(found)
    }

    /// Removes temporary files whose writers have died.
    pub(super) fn sweep(&self) -> Result<(), CacheError> {
        let now = SystemTime::now();
        for found in self.files(TEMPORARY)? {
            let name = format!("{TEMPORARY}/{}", found.name);
            let old = now.duration_since(found.modified).is_ok_and(|age| age >= ABANDONED_AFTER);
            if !old || !is_temporary(&found.name) {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::openat(&self.open, &*name, flags, Mode::empty()) else { continue };
            if File::from(file).try_lock().is_ok() {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Makes this process the one that does what the file `name` is for, as long as the answer is open; [`None`] when another process does.
    pub(super) fn lock(&self, name: &str) -> Result<Option<File>, CacheError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let lock = rustix::fs::openat(&self.open, name, flags, mode)
            .map_err(|error| CacheError::io("open", &self.path_of(name), error))?;
        let lock = File::from(lock);
        Ok(lock.try_lock().is_ok().then_some(lock))
    }

    /// When it was last tidied up, if ever: the time of the lock file.
    pub(super) fn last_tidied(&self) -> Option<SystemTime> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(&self.open, TIDYING, flags, Mode::empty()).ok()?;
        File::from(lock).metadata().ok()?.modified().ok()
    }
}

/// Opens a directory, if it exists.
fn open_directory(path: &Path) -> Result<Option<(File, Metadata)>, CacheError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(open) => File::from(open),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(CacheError::io("open the cache", path, error)),
    };
    let metadata = open.metadata().map_err(|error| CacheError::io("look at", path, error))?;
    Ok(Some((open, metadata)))
}

/// Whether a directory that others may look into is one that the user has just made for us, as `mkdir` makes them: it is empty, and nobody else can have put
/// anything there. It can be closed without harm.
fn may_be_closed(open: &File, metadata: &Metadata) -> bool {
    let user = rustix::process::geteuid().as_raw();
    let empty = || {
        let mut entries = Dir::read_from(open).ok()?;
        Some(entries.all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b".."))))
    };
    metadata.uid() == user && metadata.mode() & OTHERS_WRITE == 0 && empty().unwrap_or(false)
}

/// That a file is the user's own and closed to others.
fn check(path: &Path, metadata: &Metadata, advice: impl FnOnce() -> String) -> Result<(), CacheError> {
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(CacheError::NotOurs { path: path.to_owned(), owner: metadata.uid(), user });
    }
    if metadata.mode() & OTHERS != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(CacheError::Exposed { path: path.to_owned(), mode, advice: advice() });
    }
    Ok(())
}

/// A random number, as text for names.
fn random_text() -> io::Result<String> {
    let mut bytes = [0; 8];
    random(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

/// Fills `bytes` with random ones that nobody can guess.
pub(super) fn random(bytes: &mut [u8]) -> io::Result<()> {
    // Up to 256 bytes come in one piece.
    let length = getrandom(&mut *bytes, GetRandomFlags::empty())?;
    if length == bytes.len() { Ok(()) } else { Err(io::Error::other("the system gives no random bytes")) }
}

fn is_temporary(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A file that is being written. It is removed when it is dropped, unless it has been renamed.
struct Temporary<'a> {
    directory: &'a Directory,
    name: String,
    file: File,
    renamed: bool,
}

impl<'a> Temporary<'a> {
    fn create(directory: &'a Directory) -> io::Result<Self> {
        let name = format!("{TEMPORARY}/{}", random_text()?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&directory.open, &*name, flags, Mode::RUSR | Mode::WUSR)?);
        let temporary = Self { directory, name, file, renamed: false };
        // Where there are no locks, its age alone decides whether the file is swept away.
        let _ = temporary.file.try_lock();
        Ok(temporary)
    }

    fn rename_to(mut self, name: &str) -> io::Result<()> {
        let at = &self.directory.open;
        rustix::fs::renameat(at, &*self.name, at, name)?;
        self.renamed = true;
        Ok(())
    }

    /// Gives the file its name, unless another has it. Its content is on the disk before its name is.
    fn link_as(mut self, name: &str) -> io::Result<()> {
        self.file.sync_all()?;
        let at = &self.directory.open;
        match rustix::fs::linkat(at, &*self.name, at, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST) => return Ok(()),
            // Not every file system has links.
            Err(_) => {}
        }
        match rustix::fs::renameat_with(at, &*self.name, at, name, RenameFlags::NOREPLACE) {
            Ok(()) => self.renamed = true,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // What stays behind is swept away later.
            let _ = self.directory.remove(&self.name);
        }
    }
}
