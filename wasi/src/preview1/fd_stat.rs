//! The files behind descriptors: attributes, size, times, space, and getting data to the device.

use super::times::Times;
use crate::descriptor::Object;
use crate::types::{DirPerms, FilePerms, FileStat, Rights};
use crate::{Errno, GuestMemory, WasiCtx};
use rustix::fs::{Advice, FallocateFlags};
use std::num::NonZeroU64;

/// Writes the attributes of what a descriptor stands for at `result` (64 bytes).
///
/// # Errors
/// What the host reports.
pub fn fd_filestat_get(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, result: u32) -> Result<(), Errno> {
    memory.write(result, &descriptor_stat(ctx, fd)?.to_bytes())
}

/// What [`fd_filestat_get`] writes.
pub(crate) fn descriptor_stat(ctx: &WasiCtx, fd: u32) -> Result<FileStat, Errno> {
    let descriptor = ctx.table.get(fd)?;
    descriptor.require(Rights::FD_FILESTAT_GET)?;
    descriptor.file_stat()
}

/// Sets the size of a file in bytes: what is added reads as zero.
///
/// # Errors
/// [`Errno::Isdir`] for a directory, [`Errno::Inval`] for a stream; what the host reports.
pub fn fd_filestat_set_size(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32, size: u64) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    let open = descriptor.as_file(Errno::Inval)?;
    descriptor.require(Rights::FD_FILESTAT_SET_SIZE)?;
    open.allow(FilePerms::WRITE)?;
    Ok(rustix::fs::ftruncate(&open.file, size)?)
}

/// Sets the access and modification times, in nanoseconds since 1970, as `flags` say.
///
/// # Errors
/// [`Errno::Inval`] if a time shall be set both to a value and to now, and for a stream; what the host
/// reports.
pub fn fd_filestat_set_times(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    accessed: u64,
    modified: u64,
    flags: u32,
) -> Result<(), Errno> {
    let times = Times::from_guest(accessed, modified, flags)?.timestamps()?;
    let descriptor = ctx.table.get(fd)?;
    match &descriptor.object {
        Object::File(open) => {
            descriptor.require(Rights::FD_FILESTAT_SET_TIMES)?;
            open.allow(FilePerms::WRITE)?;
            Ok(rustix::fs::futimens(&open.file, &times)?)
        }
        Object::Dir(open) => {
            descriptor.require(Rights::FD_FILESTAT_SET_TIMES)?;
            open.allow(DirPerms::MUTATE)?;
            Ok(rustix::fs::futimens(&open.dir, &times)?)
        }
        _ => Err(Errno::Inval),
    }
}

/// Says how the guest will use `len` bytes from `offset`; 0 stands for all that follow.
///
/// # Errors
/// [`Errno::Inval`] for unknown `advice`, [`Errno::Isdir`] for a directory, [`Errno::Spipe`] for a
/// stream.
pub fn fd_advise(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    len: u64,
    advice: u32,
) -> Result<(), Errno> {
    let advice = match advice {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::Inval),
    };
    let descriptor = ctx.table.get(fd)?;
    let open = descriptor.as_file(Errno::Spipe)?;
    descriptor.require(Rights::FD_ADVISE)?;
    Ok(rustix::fs::fadvise(&open.file, offset, NonZeroU64::new(len), advice)?)
}

/// Reserves space for `len` bytes from `offset`, and makes the file that long if it is shorter.
///
/// # Errors
/// [`Errno::Isdir`] for a directory, [`Errno::Spipe`] for a stream, [`Errno::Notsup`] where the file
/// system cannot do it; what the host reports.
pub fn fd_allocate(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32, offset: u64, len: u64) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    let open = descriptor.as_file(Errno::Spipe)?;
    descriptor.require(Rights::FD_ALLOCATE)?;
    open.allow(FilePerms::WRITE)?;
    Ok(rustix::fs::fallocate(&open.file, FallocateFlags::empty(), offset, len)?)
}

/// Waits until data and attributes are on the device.
///
/// # Errors
/// [`Errno::Inval`] for a stream; what the host reports.
pub fn fd_sync(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    match &descriptor.object {
        Object::File(open) => {
            descriptor.require(Rights::FD_SYNC)?;
            Ok(rustix::fs::fsync(&open.file)?)
        }
        Object::Dir(open) => {
            descriptor.require(Rights::FD_SYNC)?;
            Ok(rustix::fs::fsync(&open.dir)?)
        }
        _ => Err(Errno::Inval),
    }
}

/// Waits until data is on the device, and the attributes that are needed to find it.
///
/// # Errors
/// [`Errno::Inval`] for a stream; what the host reports.
pub fn fd_datasync(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    match &descriptor.object {
        Object::File(open) => {
            descriptor.require(Rights::FD_DATASYNC)?;
            Ok(rustix::fs::fdatasync(&open.file)?)
        }
        Object::Dir(open) => {
            descriptor.require(Rights::FD_DATASYNC)?;
            Ok(rustix::fs::fdatasync(&open.dir)?)
        }
        _ => Err(Errno::Inval),
    }
}
