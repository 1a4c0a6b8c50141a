//! [`Watchdog`]: ends a directive that takes too long.
//!
//! One thread a script looks a few times a second at how long the directive under way has taken, so that the thousands of short
//! directives cost an atomic store each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wasmo::InterruptHandle;

/// How often the thread looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Interrupts the store's guest when a directive takes longer than a limit.
pub(crate) struct Watchdog {
    directive: Arc<AtomicU64>,
    /// Its end, when dropped, wakes and ends the thread.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches the store of `handle`; a directive may take `limit`.
    pub(crate) fn new(handle: InterruptHandle, limit: Duration) -> Self {
        let directive = Arc::new(AtomicU64::new(0));
        let (alive, ended) = channel::<()>();
        let watched = Arc::clone(&directive);
        let thread = thread::spawn(move || {
            let mut seen = 0;
            let mut since = Instant::now();
            while matches!(ended.recv_timeout(PERIOD), Err(RecvTimeoutError::Timeout)) {
                let now = watched.load(Ordering::Relaxed);
                if now != seen {
                    seen = now;
                    since = Instant::now();
                } else if since.elapsed() >= limit {
                    handle.interrupt();
                }
            }
        });
        Self { directive, alive: Some(alive), thread: Some(thread) }
    }

    /// The next directive begins.
    pub(crate) fn next(&self) {
        self.directive.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            // The thread only sleeps and looks; if it panicked all the same, the report is still right.
            let _ = thread.join();
        }
    }
}
