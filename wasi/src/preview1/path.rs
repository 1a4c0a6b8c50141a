//! Files by path: create, examine, rename, link, remove. Opening is in `path_open`.
//!
//! Every path is resolved by cap-std below the directory that it is relative to. What would leave that
//! directory fails with [`Errno::Perm`]: an absolute path, too many `..`, a symbolic link that leads
//! out. A path is taken as the host takes it: a trailing slash asks for a directory.

use super::times::Times;
use crate::descriptor::OpenDir;
use crate::types::{DirPerms, FileStat, LookupFlags, Rights};
use crate::{Errno, GuestMemory, WasiCtx};
use cap_fs_ext::DirExt;

/// The directory `fd`, if the guest has `rights` to it and the embedder allows `perms`.
fn directory(ctx: &WasiCtx, fd: u32, rights: Rights, perms: DirPerms) -> Result<&OpenDir, Errno> {
    let open = ctx.table.dir(fd, rights)?;
    open.allow(perms)?;
    Ok(open)
}

/// Whether a symbolic link in the last component is followed: when the guest says so, and when a slash
/// follows it.
fn follows(flags: u32, path: &str) -> Result<bool, Errno> {
    let flags = LookupFlags::from_guest(flags)?;
    Ok(flags.contains(LookupFlags::SYMLINK_FOLLOW) || path.ends_with('/'))
}

/// Creates a directory.
///
/// # Errors
/// As the module says; what the host reports.
pub fn path_create_directory(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<(), Errno> {
    let open = directory(ctx, fd, Rights::PATH_CREATE_DIRECTORY, DirPerms::MUTATE)?;
    Ok(open.dir.create_dir(memory.path(path, path_len)?)?)
}

/// Removes an empty directory.
///
/// # Errors
/// [`Errno::Notempty`] if it is not empty, [`Errno::Notdir`] for what is no directory; what the host
/// reports.
pub fn path_remove_directory(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<(), Errno> {
    let open = directory(ctx, fd, Rights::PATH_REMOVE_DIRECTORY, DirPerms::MUTATE)?;
    let path = memory.path(path, path_len)?;
    // To cap-std a trailing slash names the directory's own `.`, which cannot be removed.
    let name = path.trim_end_matches('/');
    Ok(open.dir.remove_dir(if name.is_empty() { path } else { name })?)
}

/// Removes a file or a symbolic link.
///
/// # Errors
/// [`Errno::Isdir`] for a directory; what the host reports.
pub fn path_unlink_file(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<(), Errno> {
    let open = directory(ctx, fd, Rights::PATH_UNLINK_FILE, DirPerms::MUTATE)?;
    Ok(open.dir.remove_file(memory.path(path, path_len)?)?)
}

/// Writes the attributes of a file at `result` (64 bytes).
///
/// # Errors
/// As the module says; what the host reports.
pub fn path_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    result: u32,
) -> Result<(), Errno> {
    let stat = path_stat(ctx, fd, flags, memory.path(path, path_len)?)?;
    memory.write(result, &stat.to_bytes())
}

/// What [`path_filestat_get`] writes.
pub(crate) fn path_stat(ctx: &WasiCtx, fd: u32, flags: u32, path: &str) -> Result<FileStat, Errno> {
    let open = directory(ctx, fd, Rights::PATH_FILESTAT_GET, DirPerms::READ)?;
    let metadata = if follows(flags, path)? { open.dir.metadata(path)? } else { open.dir.symlink_metadata(path)? };
    Ok(FileStat::from(&metadata))
}

/// Sets the times of a file, in nanoseconds since 1970, as `fst_flags` say.
///
/// # Errors
/// [`Errno::Inval`] if a time shall be set both to a value and to now; what the host reports.
#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub fn path_filestat_set_times(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    accessed: u64,
    modified: u64,
    fst_flags: u32,
) -> Result<(), Errno> {
    let open = directory(ctx, fd, Rights::PATH_FILESTAT_SET_TIMES, DirPerms::MUTATE)?;
    let path = memory.path(path, path_len)?;
    let (accessed, modified) = Times::from_guest(accessed, modified, fst_flags)?.specs();
    if follows(flags, path)? {
        Ok(open.dir.set_times(path, accessed, modified)?)
    } else {
        Ok(open.dir.set_symlink_times(path, accessed, modified)?)
    }
}

/// Makes a hard link to `old_path` below `old_fd` with the name `new_path` below `new_fd`.
///
/// # Errors
/// [`Errno::Inval`] if symbolic links shall be followed, [`Errno::Perm`] if the file would become more
/// accessible; what the host reports.
#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub fn path_link(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    old_fd: u32,
    old_flags: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result<(), Errno> {
    let old = directory(ctx, old_fd, Rights::PATH_LINK_SOURCE, DirPerms::MUTATE)?;
    let new = directory(ctx, new_fd, Rights::PATH_LINK_TARGET, DirPerms::MUTATE)?;
    let old_path = memory.path(old_path, old_path_len)?;
    let new_path = memory.path(new_path, new_path_len)?;
    if LookupFlags::from_guest(old_flags)?.contains(LookupFlags::SYMLINK_FOLLOW) {
        return Err(Errno::Inval);
    }
    old.allow_link_into(new)?;
    Ok(old.dir.hard_link(old_path, &new.dir, new_path)?)
}

/// Renames `old_path` below `fd` to `new_path` below `new_fd`, replacing what is there as the host does.
///
/// # Errors
/// [`Errno::Perm`] if the file would become more accessible, [`Errno::Notdir`] if the new name ends in a
/// slash and the old is no directory; what the host reports.
#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub fn path_rename(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result<(), Errno> {
    let old = directory(ctx, fd, Rights::PATH_RENAME_SOURCE, DirPerms::MUTATE)?;
    let new = directory(ctx, new_fd, Rights::PATH_RENAME_TARGET, DirPerms::MUTATE)?;
    let old_path = memory.path(old_path, old_path_len)?;
    let new_path = memory.path(new_path, new_path_len)?;
    old.allow_link_into(new)?;
    // cap-std drops the slash, and with it what the guest said about the kind of file.
    if new_path.ends_with('/') && !old.dir.symlink_metadata(old_path)?.is_dir() {
        return Err(Errno::Notdir);
    }
    Ok(old.dir.rename(old_path, &new.dir, new_path)?)
}

/// Makes a symbolic link with the name `new_path` below `fd` that holds `old_path`.
///
/// # Errors
/// [`Errno::Perm`] if `old_path` is absolute; what the host reports.
pub fn path_symlink(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    old_path: u32,
    old_path_len: u32,
    fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result<(), Errno> {
    let open = directory(ctx, fd, Rights::PATH_SYMLINK, DirPerms::MUTATE)?;
    let old_path = memory.path(old_path, old_path_len)?;
    let new_path = memory.path(new_path, new_path_len)?;
    Ok(DirExt::symlink(&open.dir, old_path, new_path)?)
}

/// Writes what a symbolic link holds into the `buf_len` bytes at `buf`, as much as fits, and the number
/// of bytes at `bufused`.
///
/// # Errors
/// [`Errno::Inval`] for what is no symbolic link, [`Errno::Perm`] if it holds an absolute path, which
/// would be a path of the host; what the host reports.
#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub fn path_readlink(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
    buf: u32,
    buf_len: u32,
    bufused: u32,
) -> Result<(), Errno> {
    memory.check(bufused, 4)?;
    let open = directory(ctx, fd, Rights::PATH_READLINK, DirPerms::READ)?;
    let target = open.dir.read_link(memory.path(path, path_len)?)?;
    let target = target.as_os_str().as_encoded_bytes();
    let place = memory.slice_mut(buf, buf_len)?;
    let used = target.len().min(place.len());
    if let (Some(place), Some(target)) = (place.get_mut(..used), target.get(..used)) {
        place.copy_from_slice(target);
    }
    memory.write_u32(bufused, u32::try_from(used)?)
}
