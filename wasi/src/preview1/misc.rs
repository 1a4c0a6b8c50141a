//! `random_get`, `sched_yield`, and the process functions `proc_exit` and `proc_raise`.

use crate::{Errno, GuestMemory, I32Exit, WasiCtx};
use rustix::io::Errno as HostErrno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Fills the `buf_len` bytes at `buf` from the host's random number generator, fit for cryptography.
///
/// # Errors
/// [`Errno::Fault`] for a wild pointer.
pub fn random_get(_: &mut WasiCtx, memory: &mut GuestMemory<'_>, buf: u32, buf_len: u32) -> Result<(), Errno> {
    let mut rest = memory.slice_mut(buf, buf_len)?;
    while !rest.is_empty() {
        let filled = match getrandom(&mut *rest, GetRandomFlags::empty()) {
            Ok(filled) => filled,
            Err(HostErrno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        rest = rest.get_mut(filled..).unwrap_or_default();
    }
    Ok(())
}

/// Lets other threads of the host run.
///
/// # Errors
/// None.
pub fn sched_yield(_: &mut WasiCtx, _: &mut GuestMemory<'_>) -> Result<(), Errno> {
    std::thread::yield_now();
    Ok(())
}

/// Ends the guest's program: there is nothing but the error, which has to end the call into the guest.
///
/// # Errors
/// Always [`I32Exit`] with `status`.
pub fn proc_exit(_: &mut WasiCtx, _: &mut GuestMemory<'_>, status: u32) -> Result<std::convert::Infallible, I32Exit> {
    Err(I32Exit(status.cast_signed()))
}

/// Would send the guest a signal; there are none in preview 1 beyond this function.
///
/// # Errors
/// Always [`Errno::Nosys`].
pub fn proc_raise(_: &mut WasiCtx, _: &mut GuestMemory<'_>, signal: u32) -> Result<(), Errno> {
    let _ = signal;
    Err(Errno::Nosys)
}
