//! [`Stopwatch`]: how long a thread, or the process, has had a processor. Where others had it meanwhile, that is nobody's fault who is given up when he takes too long.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Measures processor time.
#[derive(Clone, Copy)]
pub(super) struct Stopwatch {
    clock: ClockId,
    started: Duration,
}

impl Stopwatch {
    /// That of this thread, from now on; to be read on this thread only.
    pub(super) fn of_thread() -> Self {
        Self::start(ClockId::ThreadCPUTime)
    }

    /// That of all threads of the process together, from now on.
    pub(super) fn of_process() -> Self {
        Self::start(ClockId::ProcessCPUTime)
    }

    fn start(clock: ClockId) -> Self {
        Self { clock, started: now(clock) }
    }

    pub(super) fn elapsed(&self) -> Duration {
        now(self.clock).saturating_sub(self.started)
    }
}

fn now(clock: ClockId) -> Duration {
    // Such a clock has counted from 0.
    clock_gettime(clock).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn sleep_does_not_count_and_work_does() {
        let (slept, worked) = (Duration::from_millis(200), Duration::from_millis(20));
        let (thread, process, started) = (Stopwatch::of_thread(), Stopwatch::of_process(), Instant::now());
        std::thread::sleep(slept);
        assert!(thread.elapsed() < slept, "{:?}", thread.elapsed());
        while thread.elapsed() < worked {
            assert!(started.elapsed() < Duration::from_secs(60), "the thread's clock stands still");
        }
        assert!(process.elapsed() >= worked, "{:?}", process.elapsed());
    }
}
