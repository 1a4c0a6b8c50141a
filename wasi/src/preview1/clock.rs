//! Clocks: `clock_res_get` and `clock_time_get`.
//!
//! The monotonic clock is the host's, so its zero is the host's start.

use crate::{Errno, GuestMemory, WasiCtx};
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// Writes the resolution of a clock, in nanoseconds, at `result` (64 bits).
///
/// # Errors
/// [`Errno::Inval`] for an unknown clock, [`Errno::Fault`] for a wild pointer.
pub fn clock_res_get(_: &mut WasiCtx, memory: &mut GuestMemory<'_>, id: u32, result: u32) -> Result<(), Errno> {
    let resolution = nanoseconds(clock_getres(clock(id)?));
    memory.write_u64(result, resolution)
}

/// Writes the time of a clock, in nanoseconds, at `result` (64 bits). Every answer is as precise as
/// the host allows, whatever `precision` the guest would put up with.
///
/// # Errors
/// [`Errno::Inval`] for an unknown clock, [`Errno::Fault`] for a wild pointer.
pub fn clock_time_get(
    _: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    id: u32,
    precision: u64,
    result: u32,
) -> Result<(), Errno> {
    let _ = precision;
    memory.write_u64(result, now(clock(id)?))
}

/// The host's clock for a number of preview 1.
pub(super) fn clock(id: u32) -> Result<ClockId, Errno> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::Inval),
    }
}

/// The time of a clock in nanoseconds.
pub(super) fn now(id: ClockId) -> u64 {
    nanoseconds(clock_gettime(id))
}

/// A host time in nanoseconds; times before the clock's zero are zero.
fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
