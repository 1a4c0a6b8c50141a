//! Descriptors as such: closing, renumbering, preopened names, flags and rights.

use crate::descriptor::{Descriptor, Object, OpenDir};
use crate::types::{FdFlags, Rights, prestat_dir};
use crate::{Errno, GuestMemory, WasiCtx};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Closes a descriptor.
///
/// # Errors
/// [`Errno::Badf`] if it is not open.
pub fn fd_close(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32) -> Result<(), Errno> {
    ctx.table.remove(fd).map(drop)
}

/// Moves the descriptor `fd` to the number `to`, closing what was there.
///
/// # Errors
/// [`Errno::Badf`] if one of them is not open.
pub fn fd_renumber(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32, to: u32) -> Result<(), Errno> {
    ctx.table.renumber(fd, to)
}

/// Writes what is known of a preopened descriptor at `result` (8 bytes).
///
/// # Errors
/// [`Errno::Badf`] if `fd` is not a preopened directory: programs look at one number after the other
/// until they get it.
pub fn fd_prestat_get(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, result: u32) -> Result<(), Errno> {
    let name = preopened_name(ctx, fd)?;
    memory.write(result, &prestat_dir(u32::try_from(name.len())?))
}

/// Writes the name of a preopened directory at `path`, without a terminator.
///
/// # Errors
/// [`Errno::Badf`] if `fd` is not a preopened directory, [`Errno::Nametoolong`] if the name does not
/// fit in `path_len` bytes.
pub fn fd_prestat_dir_name(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result<(), Errno> {
    let name = preopened_name(ctx, fd)?;
    if u32::try_from(name.len())? > path_len {
        return Err(Errno::Nametoolong);
    }
    memory.write(path, name.as_bytes())
}

fn preopened_name(ctx: &WasiCtx, fd: u32) -> Result<&str, Errno> {
    match &ctx.table.get(fd)?.object {
        Object::Dir(OpenDir { preopen: Some(name), .. }) => Ok(name),
        _ => Err(Errno::Badf),
    }
}

/// Writes type, flags and rights of a descriptor at `result` (24 bytes).
///
/// # Errors
/// [`Errno::Badf`] if it is not open.
pub fn fd_fdstat_get(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, result: u32) -> Result<(), Errno> {
    let stat = ctx.table.get(fd)?.fd_stat();
    memory.write(result, &stat.to_bytes())
}

/// Sets the flags of a descriptor.
///
/// The flags that ask for synchronous writes are fixed when a file is opened, because the host
/// cannot change them later. `NONBLOCK` of a standard stream or socket is kept here and never reaches
/// the host, where others use the same open file.
///
/// # Errors
/// [`Errno::Inval`] for undefined flags, [`Errno::Notsup`] if a synchronous flag would change.
pub fn fd_fdstat_set_flags(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32, flags: u32) -> Result<(), Errno> {
    let flags = FdFlags::from_guest(flags)?;
    let descriptor = ctx.table.get_mut(fd)?;
    descriptor.require(Rights::FD_FDSTAT_SET_FLAGS)?;
    if flags & FdFlags::SYNCHRONOUS != descriptor.flags & FdFlags::SYNCHRONOUS {
        return Err(Errno::Notsup);
    }
    if let Object::File(open) = &descriptor.object {
        let kept = fcntl_getfl(&open.file)?.difference(OFlags::APPEND | OFlags::NONBLOCK);
        fcntl_setfl(&open.file, kept | host_flags(flags))?;
    }
    descriptor.flags = flags;
    Ok(())
}

/// The flags that the host can change while a file is open.
pub(super) fn host_flags(flags: FdFlags) -> OFlags {
    let mut host = OFlags::empty();
    host.set(OFlags::APPEND, flags.contains(FdFlags::APPEND));
    host.set(OFlags::NONBLOCK, flags.contains(FdFlags::NONBLOCK));
    host
}

/// Gives up rights of a descriptor.
///
/// # Errors
/// [`Errno::Notcapable`] if the descriptor lacks some of the rights it shall have afterwards.
pub fn fd_fdstat_set_rights(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    base: u64,
    inheriting: u64,
) -> Result<(), Errno> {
    let descriptor: &mut Descriptor = ctx.table.get_mut(fd)?;
    let smaller = |rights: u64, held: Rights| {
        Rights::from_bits(rights).filter(|rights| held.contains(*rights)).ok_or(Errno::Notcapable)
    };
    let base = smaller(base, descriptor.base)?;
    let inheriting = smaller(inheriting, descriptor.inheriting)?;
    descriptor.base = base;
    descriptor.inheriting = inheriting;
    Ok(())
}
