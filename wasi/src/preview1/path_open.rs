//! `path_open`: opening, creating and truncating files below a directory.
//!
//! Two things limit what a guest gets. Its rights: it may ask for no more than the directory's
//! inheriting rights ([`Errno::Notcapable`]), and keeps of what it asked for what makes sense for the
//! file. And the embedder's permissions ([`Errno::Perm`]). cap-std resolves the path and refuses
//! whatever leads out of the directory ([`Errno::Perm`] as well).

use super::fd::host_flags;
use crate::descriptor::{Descriptor, Object, OpenDir, OpenFile};
use crate::types::{DirPerms, FdFlags, FilePerms, FileStat, FileType, LookupFlags, OFlags, Rights};
use crate::{Errno, GuestMemory, WasiCtx};
use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt, OpenOptionsMaybeDirExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use std::fs::File;

/// Opens the path below the directory `fd` and writes the number of the new descriptor at `result`.
///
/// # Errors
/// [`Errno::Notdir`] if `fd` is not a directory, [`Errno::Notcapable`] if it lacks a right,
/// [`Errno::Perm`] if the path leads out of it or the embedder forbids it, [`Errno::Inval`] for undefined
/// flags and for `CREAT` with `DIRECTORY`; what the host reports.
#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub fn path_open(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    dirflags: u32,
    path: u32,
    path_len: u32,
    oflags: u32,
    base: u64,
    inheriting: u64,
    fdflags: u32,
    result: u32,
) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    let open = descriptor.as_dir()?;
    let request = Request {
        path: memory.path(path, path_len)?,
        lookup: LookupFlags::from_guest(dirflags)?,
        oflags: OFlags::from_guest(oflags)?,
        fdflags: FdFlags::from_guest(fdflags)?,
        base: Rights::from_bits(base).ok_or(Errno::Notcapable)?,
        inheriting: Rights::from_bits(inheriting).ok_or(Errno::Notcapable)?,
    };
    memory.check(result, 4)?;
    request.check_rights(descriptor)?;
    request.check_permissions(open)?;
    let file = request.open(&open.dir)?;
    let opened = request.describe(open, file)?;
    let number = ctx.table.insert(opened)?;
    memory.write_u32(result, number)
}

/// What a guest asks `path_open` for.
struct Request<'a> {
    path: &'a str,
    lookup: LookupFlags,
    oflags: OFlags,
    fdflags: FdFlags,
    base: Rights,
    inheriting: Rights,
}

impl Request<'_> {
    /// Whether the host's file has to be readable for the rights asked for.
    fn reads(&self) -> bool {
        self.base.intersects(Rights::FD_READ | Rights::FD_READDIR)
    }

    /// Whether the host's file has to be writable for the rights asked for. The rights to allocate and
    /// to set the size need that too, but make no sense for a directory, and asking for senseless
    /// rights is allowed.
    fn writes(&self) -> bool {
        let size = Rights::FD_ALLOCATE | Rights::FD_FILESTAT_SET_SIZE;
        self.base.contains(Rights::FD_WRITE) || (self.base.intersects(size) && !self.oflags.contains(OFlags::DIRECTORY))
    }

    /// Compares what is asked for with the rights of the directory.
    fn check_rights(&self, directory: &Descriptor) -> Result<(), Errno> {
        let mut needed = Rights::PATH_OPEN;
        if self.oflags.contains(OFlags::CREAT) {
            needed |= Rights::PATH_CREATE_FILE;
        }
        if self.oflags.contains(OFlags::TRUNC) {
            needed |= Rights::PATH_FILESTAT_SET_SIZE;
        }
        directory.require(needed)?;
        let mut inherited = self.base | self.inheriting;
        if self.fdflags.contains(FdFlags::DSYNC) {
            inherited |= Rights::FD_DATASYNC;
        }
        if self.fdflags.intersects(FdFlags::RSYNC | FdFlags::SYNC) {
            inherited |= Rights::FD_SYNC;
        }
        if directory.inheriting.contains(inherited) { Ok(()) } else { Err(Errno::Notcapable) }
    }

    /// Compares what is asked for with what the embedder allows.
    fn check_permissions(&self, directory: &OpenDir) -> Result<(), Errno> {
        directory.allow(DirPerms::READ)?;
        if self.oflags.contains(OFlags::CREAT) {
            directory.allow(DirPerms::MUTATE)?;
            // Looked at again when the file is open, but a file that cannot be opened is not created.
            if self.reads() && !directory.file_perms.contains(FilePerms::READ) {
                return Err(Errno::Perm);
            }
        }
        let changes = self.oflags.contains(OFlags::TRUNC) || self.writes();
        if changes && !directory.file_perms.contains(FilePerms::WRITE) {
            return Err(Errno::Perm);
        }
        Ok(())
    }

    /// Opens the host's file.
    ///
    /// cap-std creates and truncates only through writable handles. A guest that wants neither to
    /// write nor to truncate may use `CREAT` on an existing file that it can only read, so that is
    /// tried first.
    fn open(&self, dir: &Dir) -> Result<File, Errno> {
        let creates = self.oflags.contains(OFlags::CREAT);
        let truncates = self.oflags.contains(OFlags::TRUNC);
        if creates && self.oflags.contains(OFlags::DIRECTORY) {
            return Err(Errno::Inval);
        }
        let exclusive = creates && self.oflags.contains(OFlags::EXCL);
        if creates && !exclusive && !truncates && !self.writes() {
            match dir.open_with(self.path, self.options().read(true)) {
                Ok(file) if file.metadata()?.is_dir() => return Err(Errno::Isdir),
                Ok(file) => return Ok(file.into_std()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        let writes = self.writes() || creates || truncates;
        let mut options = self.options();
        options.read(self.reads() || !writes).write(writes).create(creates).create_new(exclusive).truncate(truncates);
        Ok(dir.open_with(self.path, &options)?.into_std())
    }

    /// The options that do not depend on how the file is accessed.
    fn options(&self) -> OpenOptions {
        let follow = self.lookup.contains(LookupFlags::SYMLINK_FOLLOW);
        let mut host = host_flags(self.fdflags);
        host.set(rustix::fs::OFlags::DIRECTORY, self.oflags.contains(OFlags::DIRECTORY));
        let mut options = OpenOptions::new();
        options
            .custom_flags(host.bits().cast_signed())
            .maybe_dir(true)
            .follow(if follow { FollowSymlinks::Yes } else { FollowSymlinks::No })
            .dsync(self.fdflags.contains(FdFlags::DSYNC))
            .rsync(self.fdflags.contains(FdFlags::RSYNC))
            .sync(self.fdflags.contains(FdFlags::SYNC));
        options
    }

    /// The descriptor for a file that was just opened.
    fn describe(&self, parent: &OpenDir, file: File) -> Result<Descriptor, Errno> {
        let file_type = FileStat::from(&rustix::fs::fstat(&file)?).file_type;
        if file_type == FileType::Directory {
            return Ok(Descriptor {
                object: Object::Dir(OpenDir {
                    dir: Dir::from_std_file(file),
                    preopen: None,
                    dir_perms: parent.dir_perms,
                    file_perms: parent.file_perms,
                    reader: None,
                }),
                base: self.base & Rights::DIRECTORY,
                inheriting: self.inheriting,
                flags: self.fdflags,
            });
        }
        if self.reads() && !parent.file_perms.contains(FilePerms::READ) {
            return Err(Errno::Perm);
        }
        let terminal = rustix::termios::isatty(&file);
        let sensible = if terminal { Rights::TERMINAL } else { Rights::REGULAR_FILE };
        Ok(Descriptor {
            object: Object::File(OpenFile { file, file_type, perms: parent.file_perms }),
            base: self.base & sensible,
            inheriting: self.inheriting,
            flags: self.fdflags,
        })
    }
}
