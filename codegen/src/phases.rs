//! [`Phases`]: how much processor time each phase of compilation took, over all threads; for the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The phases that take time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Validation, and bodies to IR.
    Translate,
    /// Passes over IR.
    Optimize,
    /// IR to object.
    Emit,
    /// Object to tables.
    Read,
}

/// Processor time by phase. By default nobody wants to know it, and the clock is not read: for a small function that would be a fiftieth of the time.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    wanted: bool,
    nanoseconds: [AtomicU64; 4],
}

impl Phases {
    /// Phases that the log is to tell of, if there is one.
    pub(crate) fn logged() -> Self {
        Self { wanted: tracing::enabled!(tracing::Level::DEBUG), ..Self::default() }
    }

    /// Does `work`, and adds the calling thread's processor time to `phase`.
    pub(crate) fn time<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        if !self.wanted {
            return work();
        }
        let start = thread_time();
        let result = work();
        let spent = thread_time().saturating_sub(start);
        let nanoseconds = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[phase as usize].fetch_add(nanoseconds, Ordering::Relaxed);
        result
    }

    /// What `phase` took so far.
    pub(crate) fn spent(&self, phase: Phase) -> Duration {
        Duration::from_nanos(self.nanoseconds[phase as usize].load(Ordering::Relaxed))
    }
}

/// The processor time that the calling thread has used.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a place for the result.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if status != 0 {
        return Duration::ZERO;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}
