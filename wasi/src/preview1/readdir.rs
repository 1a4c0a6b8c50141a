//! `fd_readdir`: directory listings.
//!
//! A cookie is the host's own position in the directory, which the file system keeps stable while
//! entries come and go. So the guest may continue from any cookie it was ever given, and a cookie it
//! made up leads nowhere worse than to an odd place in the same directory.

use crate::descriptor::{Object, OpenDir};
use crate::types::{DirPerms, FileType, Rights, dirent};
use crate::{Errno, GuestMemory, WasiCtx};
use rustix::fs::{AtFlags, Dir, DirEntry, statat};

/// Writes entries, `.` and `..` included, from `cookie` on into the `buf_len` bytes at `buf`, and the
/// number of bytes used at `bufused`. The last entry is cut where the buffer ends; fewer bytes than
/// `buf_len` mean that the listing is complete.
///
/// Names are the host's bytes, whether or not they are UTF-8.
///
/// # Errors
/// [`Errno::Notdir`] for what is not a directory, [`Errno::Inval`] for an impossible cookie; what the
/// host reports.
pub fn fd_readdir(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    buf: u32,
    buf_len: u32,
    cookie: u64,
    bufused: u32,
) -> Result<(), Errno> {
    memory.check(bufused, 4)?;
    let descriptor = ctx.table.get_mut(fd)?;
    descriptor.as_dir()?;
    descriptor.require(Rights::FD_READDIR)?;
    let Object::Dir(open) = &mut descriptor.object else { return Err(Errno::Notdir) };
    open.allow(DirPerms::READ)?;
    let used = fill(open, cookie, memory.slice_mut(buf, buf_len)?)?;
    memory.write_u32(bufused, u32::try_from(used)?)
}

/// Fills `buffer` with entries from `cookie` on and returns how much of it was used.
fn fill(open: &mut OpenDir, cookie: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let OpenDir { dir, reader, .. } = open;
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(Dir::read_from(&*dir)?),
    };
    reader.seek(i64::try_from(cookie).map_err(|_| Errno::Inval)?)?;
    let len = buffer.len();
    let mut rest = buffer;
    while !rest.is_empty() {
        let Some(entry) = reader.read() else { break };
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let next = u64::try_from(entry.offset()).map_err(|_| Errno::Overflow)?;
        let head = dirent(next, entry.ino(), u32::try_from(name.len())?, file_type(dir, &entry));
        rest = copy(copy(rest, &head), name);
    }
    Ok(len - rest.len())
}

/// The kind of file an entry stands for; some file systems do not say and have to be asked again.
fn file_type(dir: &cap_std::fs::Dir, entry: &DirEntry) -> FileType {
    if entry.file_type() != rustix::fs::FileType::Unknown {
        return entry.file_type().into();
    }
    statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
        .map_or(FileType::Unknown, |stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).into())
}

/// Copies as much of `bytes` as fits and returns the space that is left.
fn copy<'a>(space: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let fitting = bytes.len().min(space.len());
    match space.split_at_mut_checked(fitting) {
        Some((place, rest)) => {
            place.copy_from_slice(bytes.get(..fitting).unwrap_or_default());
            rest
        }
        None => &mut [],
    }
}
