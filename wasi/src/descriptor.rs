//! What a guest's descriptor stands for.
//!
//! A [`Descriptor`] is an [`Object`] with rights and flags. Objects own their host resources, so closing
//! is dropping. Invariants: the rights of a directory or file are always a subset of what makes sense
//! for its kind, and a directory's handle is open for reading (not `O_PATH`), so it can be synced and
//! its times can be set.

use crate::errno::Errno;
use crate::stream::{StdinStream, StdoutStream};
use crate::types::{DirPerms, FdFlags, FdStat, FilePerms, FileStat, FileType, Rights};
use cap_std::fs::Dir;
use rustix::fd::{AsFd, BorrowedFd};
use std::fs::File;
use std::net::{TcpListener, TcpStream};

/// An open descriptor.
pub(crate) struct Descriptor {
    /// What it stands for.
    pub(crate) object: Object,
    /// What may be done with it.
    pub(crate) base: Rights,
    /// What may be done with what is opened through it.
    pub(crate) inheriting: Rights,
    /// How it does input and output.
    pub(crate) flags: FdFlags,
}

/// What a descriptor stands for.
pub(crate) enum Object {
    /// A file opened by path.
    File(OpenFile),
    /// A directory, preopened or opened by path.
    Dir(OpenDir),
    /// Standard input.
    Input(Box<dyn StdinStream>),
    /// Standard output or standard error.
    Output(Box<dyn StdoutStream>),
    /// A listening socket.
    Listener(TcpListener),
    /// A connected socket.
    Connection(TcpStream),
}

/// A file opened by path.
pub(crate) struct OpenFile {
    /// The host's file.
    pub(crate) file: File,
    /// Its kind.
    pub(crate) file_type: FileType,
    /// What the embedder allows.
    pub(crate) perms: FilePerms,
}

/// A directory.
pub(crate) struct OpenDir {
    /// The host's directory; no path resolved through it leaves it.
    pub(crate) dir: Dir,
    /// The guest's name for it, if it is preopened.
    pub(crate) preopen: Option<String>,
    /// What the embedder allows here and below.
    pub(crate) dir_perms: DirPerms,
    /// What the embedder allows with the files below.
    pub(crate) file_perms: FilePerms,
    /// The stream that `fd_readdir` reads, opened when first needed.
    pub(crate) reader: Option<rustix::fs::Dir>,
}

impl OpenDir {
    /// Fails unless the embedder allows `perms` here.
    pub(crate) fn allow(&self, perms: DirPerms) -> Result<(), Errno> {
        if self.dir_perms.contains(perms) { Ok(()) } else { Err(Errno::Perm) }
    }

    /// Fails if a file would become more accessible by getting a name below `target`.
    pub(crate) fn allow_link_into(&self, target: &Self) -> Result<(), Errno> {
        let grows = !self.dir_perms.contains(target.dir_perms) || !self.file_perms.contains(target.file_perms);
        if grows { Err(Errno::Perm) } else { Ok(()) }
    }
}

impl OpenFile {
    /// Fails unless the embedder allows `perms`.
    pub(crate) fn allow(&self, perms: FilePerms) -> Result<(), Errno> {
        if self.perms.contains(perms) { Ok(()) } else { Err(Errno::Perm) }
    }
}

impl Descriptor {
    /// Fails unless the descriptor has all of `rights`.
    pub(crate) fn require(&self, rights: Rights) -> Result<(), Errno> {
        if self.base.contains(rights) { Ok(()) } else { Err(Errno::Notcapable) }
    }

    /// The directory it stands for.
    pub(crate) fn as_dir(&self) -> Result<&OpenDir, Errno> {
        match &self.object {
            Object::Dir(dir) => Ok(dir),
            _ => Err(Errno::Notdir),
        }
    }

    /// The file it stands for. Directories fail with [`Errno::Isdir`], streams with `stream`.
    pub(crate) fn as_file(&self, stream: Errno) -> Result<&OpenFile, Errno> {
        match &self.object {
            Object::File(file) => Ok(file),
            Object::Dir(_) => Err(Errno::Isdir),
            _ => Err(stream),
        }
    }

    /// The host's descriptor, if there is one behind it.
    pub(crate) fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.object {
            Object::File(open) => Some(open.file.as_fd()),
            Object::Dir(open) => Some(open.dir.as_fd()),
            Object::Input(stream) => stream.host_fd(),
            Object::Output(stream) => stream.host_fd(),
            Object::Listener(socket) => Some(socket.as_fd()),
            Object::Connection(socket) => Some(socket.as_fd()),
        }
    }

    /// The kind of file it stands for. A standard stream is a character device when it is a terminal,
    /// and unknown otherwise, whatever it is redirected to: programs take character devices without
    /// a position for terminals.
    pub(crate) fn file_type(&self) -> FileType {
        match &self.object {
            Object::File(open) => open.file_type,
            Object::Dir(_) => FileType::Directory,
            Object::Input(_) | Object::Output(_) => {
                let terminal = self.host_fd().is_some_and(rustix::termios::isatty);
                if terminal { FileType::CharacterDevice } else { FileType::Unknown }
            }
            Object::Listener(_) | Object::Connection(_) => FileType::SocketStream,
        }
    }

    /// What `fd_fdstat_get` reports.
    pub(crate) fn fd_stat(&self) -> FdStat {
        FdStat { file_type: self.file_type(), flags: self.flags, base: self.base, inheriting: self.inheriting }
    }

    /// What `fd_filestat_get` reports. Of a stream only the kind is known: where it leads on the host
    /// is none of the guest's business.
    pub(crate) fn file_stat(&self) -> Result<FileStat, Errno> {
        match &self.object {
            Object::File(open) => Ok(FileStat::from(&rustix::fs::fstat(&open.file)?)),
            Object::Dir(open) => Ok(FileStat::from(&rustix::fs::fstat(&open.dir)?)),
            _ => Ok(FileStat {
                device: 0,
                inode: 0,
                file_type: self.file_type(),
                links: 0,
                size: 0,
                accessed: 0,
                modified: 0,
                changed: 0,
            }),
        }
    }
}

impl From<&rustix::fs::Stat> for FileStat {
    fn from(stat: &rustix::fs::Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            file_type: rustix::fs::FileType::from_raw_mode(stat.st_mode).into(),
            #[allow(clippy::useless_conversion, reason = "32 bits wide on AArch64")]
            links: u64::from(stat.st_nlink),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            accessed: nanoseconds(stat.st_atime, stat.st_atime_nsec),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl From<&cap_std::fs::Metadata> for FileStat {
    fn from(metadata: &cap_std::fs::Metadata) -> Self {
        use cap_std::fs::MetadataExt;
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            file_type: rustix::fs::FileType::from_raw_mode(metadata.mode()).into(),
            links: metadata.nlink(),
            size: metadata.size(),
            accessed: nanoseconds(metadata.atime(), metadata.atime_nsec()),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A host time in nanoseconds since 1970; 0 before that, and as late as 64 bits go (2554).
fn nanoseconds(seconds: impl TryInto<u64>, nanoseconds: impl TryInto<u64>) -> u64 {
    let Ok(seconds) = seconds.try_into() else { return 0 };
    let nanoseconds = nanoseconds.try_into().unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
