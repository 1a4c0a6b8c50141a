//! Sockets, as far as preview 1 has them: accept, receive, send, shut down.
//!
//! A guest cannot make sockets. It uses those that the embedder has preopened, and what it accepts on
//! them. For any other descriptor the answer is [`Errno::Notsock`], whatever its rights.

use super::fd_io::{receive, send};
use crate::descriptor::{Descriptor, Object};
use crate::iovec::Buffers;
use crate::types::{FdFlags, RiFlags, Rights, SdFlags};
use crate::{Errno, GuestMemory, WasiCtx};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::IoSliceMut;
use std::net::{Shutdown, TcpStream};

/// Waits for a connection on the listening socket `fd` and writes its descriptor at `result`. `flags`
/// are those of the new descriptor.
///
/// # Errors
/// [`Errno::Notsock`] for what is no socket, [`Errno::Inval`] for a socket that does not listen and for
/// flags other than `NONBLOCK`, [`Errno::Again`] if `fd` is not to wait and nobody connects.
pub fn sock_accept(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    result: u32,
) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    let socket = match &descriptor.object {
        Object::Listener(socket) => socket,
        Object::Connection(_) => return Err(Errno::Inval),
        _ => return Err(Errno::Notsock),
    };
    descriptor.require(Rights::SOCK_ACCEPT)?;
    let flags = FdFlags::from_guest(flags)?;
    if !FdFlags::NONBLOCK.contains(flags) {
        return Err(Errno::Inval);
    }
    memory.check(result, 4)?;
    // The standard library repeats an interrupted `accept`; waiting here lets the interruption out.
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let timeout = descriptor.flags.contains(FdFlags::NONBLOCK).then_some(&at_once);
    if poll(&mut [PollFd::new(socket, PollFlags::IN)], timeout)? == 0 {
        return Err(Errno::Again);
    }
    let (connection, _) = socket.accept()?;
    let accepted = Descriptor {
        object: Object::Connection(connection),
        base: descriptor.inheriting & Rights::CONNECTION,
        inheriting: Rights::empty(),
        flags,
    };
    let number = ctx.table.insert(accepted)?;
    memory.write_u32(result, number)
}

/// Receives into the `ri_data_len` buffers listed at `ri_data`; writes the number of bytes at
/// `ro_datalen` and the flags (none) at `ro_flags` (16 bits).
///
/// # Errors
/// [`Errno::Notsock`] for what is no socket, [`Errno::Notconn`] for one that listens; what the host
/// reports.
#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub fn sock_recv(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    ri_data: u32,
    ri_data_len: u32,
    ri_flags: u32,
    ro_datalen: u32,
    ro_flags: u32,
) -> Result<(), Errno> {
    let descriptor = ctx.table.get_mut(fd)?;
    connection(descriptor)?;
    let flags = RiFlags::from_guest(ri_flags)?;
    memory.check(ro_datalen, 4)?;
    memory.check(ro_flags, 2)?;
    let buffers = Buffers::read(memory, ri_data, ri_data_len)?;
    let mut slices = buffers.scatter(memory);
    let received = if flags.contains(RiFlags::PEEK) {
        descriptor.require(Rights::FD_READ)?;
        let socket = connection(descriptor)?;
        slices.first_mut().map_or(Ok(0), |first| socket.peek(first))?
    } else if flags.contains(RiFlags::WAITALL) {
        receive_all(descriptor, &mut slices)?
    } else {
        receive(descriptor, &mut slices)?
    };
    memory.write_u32(ro_datalen, u32::try_from(received)?)?;
    memory.write(ro_flags, &[0, 0])
}

/// Receives until the buffers are full or the peer has no more to say. An error after the first byte
/// ends it too and will be seen by the next call.
fn receive_all(descriptor: &mut Descriptor, mut slices: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    let mut total = 0;
    while !slices.is_empty() {
        match receive(descriptor, slices) {
            Ok(0) => break,
            Ok(received) => {
                total += received;
                IoSliceMut::advance_slices(&mut slices, received);
            }
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Sends from the `si_data_len` buffers listed at `si_data` and writes the number of bytes at
/// `so_datalen`.
///
/// # Errors
/// [`Errno::Notsock`] for what is no socket, [`Errno::Notconn`] for one that listens, [`Errno::Inval`] for
/// any `si_flags`, since none is defined; what the host reports.
pub fn sock_send(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    si_data: u32,
    si_data_len: u32,
    si_flags: u32,
    so_datalen: u32,
) -> Result<(), Errno> {
    let descriptor = ctx.table.get_mut(fd)?;
    connection(descriptor)?;
    if si_flags != 0 {
        return Err(Errno::Inval);
    }
    memory.check(so_datalen, 4)?;
    let buffers = Buffers::read(memory, si_data, si_data_len)?;
    let sent = send(descriptor, &buffers.gather(memory))?;
    memory.write_u32(so_datalen, u32::try_from(sent)?)
}

/// Closes one or both directions of a connection.
///
/// # Errors
/// [`Errno::Notsock`] for what is no socket, [`Errno::Notconn`] for one that listens, [`Errno::Inval`] if
/// `how` names no direction.
pub fn sock_shutdown(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32, how: u32) -> Result<(), Errno> {
    let descriptor = ctx.table.get(fd)?;
    let socket = connection(descriptor)?;
    descriptor.require(Rights::SOCK_SHUTDOWN)?;
    let how = SdFlags::from_guest(how)?;
    let how = match (how.contains(SdFlags::RD), how.contains(SdFlags::WR)) {
        (true, true) => Shutdown::Both,
        (true, false) => Shutdown::Read,
        (false, true) => Shutdown::Write,
        (false, false) => return Err(Errno::Inval),
    };
    Ok(socket.shutdown(how)?)
}

/// The connection that a descriptor stands for.
fn connection(descriptor: &Descriptor) -> Result<&TcpStream, Errno> {
    match &descriptor.object {
        Object::Connection(socket) => Ok(socket),
        Object::Listener(_) => Err(Errno::Notconn),
        _ => Err(Errno::Notsock),
    }
}
