//! Input and output through descriptors: reading, writing, and the position.
//!
//! Data moves straight between the host and guest memory. An interrupted call gives
//! [`Errno::Intr`] and is not repeated here, so that an engine which interrupts a waiting guest with a
//! signal gets its turn.

use crate::descriptor::{Descriptor, Object};
use crate::iovec::Buffers;
use crate::types::{FdFlags, Rights};
use crate::{Errno, GuestMemory, WasiCtx};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::SeekFrom;
use std::io::{IoSlice, IoSliceMut};

/// Reads into the `iovs_len` buffers listed at `iovs`, and writes the number of bytes at `nread`.
///
/// # Errors
/// [`Errno::Isdir`] for a directory; what the host reports.
pub fn fd_read(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nread: u32,
) -> Result<(), Errno> {
    let descriptor = ctx.table.get_mut(fd)?;
    memory.check(nread, 4)?;
    let buffers = Buffers::read(memory, iovs, iovs_len)?;
    let read = receive(descriptor, &mut buffers.scatter(memory))?;
    memory.write_u32(nread, u32::try_from(read)?)
}

/// Writes from the `iovs_len` buffers listed at `iovs`, and writes the number of bytes at
/// `nwritten`.
///
/// # Errors
/// [`Errno::Isdir`] for a directory, [`Errno::Pipe`] if nobody reads any more; what the host reports.
pub fn fd_write(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nwritten: u32,
) -> Result<(), Errno> {
    let descriptor = ctx.table.get_mut(fd)?;
    memory.check(nwritten, 4)?;
    let buffers = Buffers::read(memory, iovs, iovs_len)?;
    let written = send(descriptor, &buffers.gather(memory))?;
    memory.write_u32(nwritten, u32::try_from(written)?)
}

/// Reads from the position `offset`, as [`fd_read`] does, and leaves the descriptor's own position.
///
/// # Errors
/// [`Errno::Spipe`] for what has no position, [`Errno::Isdir`] for a directory; what the host reports.
pub fn fd_pread(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nread: u32,
) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    let open = descriptor.as_file(Errno::Spipe)?;
    descriptor.require(Rights::FD_READ)?;
    memory.check(nread, 4)?;
    let buffers = Buffers::read(memory, iovs, iovs_len)?;
    let read = rustix::io::preadv(&open.file, &mut buffers.scatter(memory), offset)?;
    memory.write_u32(nread, u32::try_from(read)?)
}

/// Writes at the position `offset`, as [`fd_write`] does, and leaves the descriptor's own position.
/// With `APPEND` the data goes to the end of the file, as on Linux.
///
/// # Errors
/// [`Errno::Spipe`] for what has no position, [`Errno::Isdir`] for a directory; what the host reports.
pub fn fd_pwrite(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nwritten: u32,
) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    let open = descriptor.as_file(Errno::Spipe)?;
    descriptor.require(Rights::FD_WRITE)?;
    memory.check(nwritten, 4)?;
    let buffers = Buffers::read(memory, iovs, iovs_len)?;
    let written = rustix::io::pwritev(&open.file, &buffers.gather(memory), offset)?;
    memory.write_u32(nwritten, u32::try_from(written)?)
}

/// Moves the position by `offset` from the start (`whence` 0), from where it is (1) or from the end
/// (2), and writes the new position at `newoffset` (64 bits).
///
/// # Errors
/// [`Errno::Spipe`] for what has no position, [`Errno::Isdir`] for a directory, [`Errno::Inval`] for an
/// unknown `whence` or a position before the start.
pub fn fd_seek(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    newoffset: u32,
) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    let open = descriptor.as_file(Errno::Spipe)?;
    let target = match whence {
        0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Inval)?),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        _ => return Err(Errno::Inval),
    };
    if target == SeekFrom::Current(0) {
        require_tell(descriptor)?;
    } else {
        descriptor.require(Rights::FD_SEEK)?;
    }
    memory.check(newoffset, 8)?;
    let position = rustix::fs::seek(&open.file, target)?;
    memory.write_u64(newoffset, position)
}

/// Writes the position at `result` (64 bits).
///
/// # Errors
/// [`Errno::Spipe`] for what has no position, [`Errno::Isdir`] for a directory.
pub fn fd_tell(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, result: u32) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    let open = descriptor.as_file(Errno::Spipe)?;
    require_tell(descriptor)?;
    memory.write_u64(result, rustix::fs::tell(&open.file)?)
}

/// The right to seek includes the right to tell.
fn require_tell(descriptor: &Descriptor) -> Result<(), Errno> {
    if descriptor.base.intersects(Rights::FD_SEEK | Rights::FD_TELL) { Ok(()) } else { Err(Errno::Notcapable) }
}

/// Reads from whatever a descriptor stands for.
pub(super) fn receive(descriptor: &mut Descriptor, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    if matches!(descriptor.object, Object::Dir(_)) {
        return Err(Errno::Isdir);
    }
    descriptor.require(Rights::FD_READ)?;
    if buffers.is_empty() {
        return Ok(0);
    }
    check_ready(descriptor, PollFlags::IN)?;
    Ok(match &mut descriptor.object {
        Object::File(open) => rustix::io::readv(&open.file, buffers)?,
        Object::Input(stream) => stream.read(buffers)?,
        Object::Connection(socket) => rustix::io::readv(&*socket, buffers)?,
        Object::Dir(_) | Object::Output(_) | Object::Listener(_) => return Err(Errno::Badf),
    })
}

/// Writes to whatever a descriptor stands for.
pub(super) fn send(descriptor: &mut Descriptor, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
    if matches!(descriptor.object, Object::Dir(_)) {
        return Err(Errno::Isdir);
    }
    descriptor.require(Rights::FD_WRITE)?;
    if buffers.is_empty() {
        return Ok(0);
    }
    check_ready(descriptor, PollFlags::OUT)?;
    Ok(match &mut descriptor.object {
        Object::File(open) => rustix::io::writev(&open.file, buffers)?,
        Object::Output(stream) => stream.write(buffers)?,
        Object::Connection(socket) => rustix::io::writev(&*socket, buffers)?,
        Object::Dir(_) | Object::Input(_) | Object::Listener(_) => return Err(Errno::Badf),
    })
}

/// Lets an operation on a stream or socket go ahead: at once if it may wait, and otherwise only if the
/// host says that it need not. Files opened by path have `NONBLOCK` set on the host.
fn check_ready(descriptor: &Descriptor, readiness: PollFlags) -> Result<(), Errno> {
    let nonblocking = descriptor.flags.contains(FdFlags::NONBLOCK);
    if !nonblocking || matches!(descriptor.object, Object::File(_)) {
        return Ok(());
    }
    let Some(host) = descriptor.host_fd() else { return Ok(()) };
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut [PollFd::from_borrowed_fd(host, readiness)], Some(&at_once))? {
        0 => Err(Errno::Again),
        _ => Ok(()),
    }
}
