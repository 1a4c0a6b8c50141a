//! [`Stop`]: ends a run from outside, by Ctrl-C or when its time is over.
//!
//! A request is a flag that compilation looks at, and an interrupt of the guest, once there is one. Both normally end the run through
//! ordinary returns. Where they do not, because a host call is waiting (for input, say), the process ends after a short time of grace; a
//! second Ctrl-C ends it at once.

use std::io::{IsTerminal, stderr};
use std::process;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use wasmo::InterruptHandle;

use crate::output::{INTERRUPTED, TRAPPED, note};

/// How long a run may take to end by itself.
const GRACE: Duration = Duration::from_millis(1000);

/// Why a run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Ctrl-C was pressed.
    CtrlC,
    /// The time that `--timeout` allows is over.
    Timeout,
}

impl Reason {
    fn code(self) -> u8 {
        match self {
            Self::CtrlC => 1,
            Self::Timeout => 2,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::CtrlC, Self::Timeout].into_iter().find(|reason| reason.code() == code)
    }
}

#[derive(Default)]
struct State {
    /// 0, or the code of the first request's reason.
    reason: AtomicU8,
    guest: Mutex<Option<InterruptHandle>>,
}

/// A way to end the run under way. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    state: Arc<State>,
}

impl Stop {
    /// Ctrl-C is a request from now on.
    pub(crate) fn on_ctrl_c() -> Result<Self> {
        let stop = Self::default();
        let handler = stop.clone();
        ctrlc::set_handler(move || {
            if handler.request(Reason::CtrlC) {
                let _ = thread::spawn(|| {
                    thread::sleep(GRACE);
                    if stderr().is_terminal() {
                        // A progress bar may be there that nobody takes away.
                        note("\n");
                    }
                    process::exit(INTERRUPTED.into());
                });
            } else {
                process::exit(INTERRUPTED.into());
            }
        })
        .context("cannot listen to Ctrl-C")?;
        Ok(stop)
    }

    /// Why the run is to end, if it is.
    pub(crate) fn requested(&self) -> Option<Reason> {
        Reason::from_code(self.state.reason.load(Ordering::SeqCst))
    }

    /// There is a guest now, to be interrupted on request, at once if there was a request before.
    pub(crate) fn watch(&self, guest: InterruptHandle) {
        let requested = self.requested().is_some();
        let mut slot = self.state.guest.lock().unwrap_or_else(PoisonError::into_inner);
        let guest = slot.insert(guest);
        if requested || self.requested().is_some() {
            guest.interrupt();
        }
    }

    /// Requests an end when `limit` is over, unless the answer is dropped before.
    pub(crate) fn after(&self, limit: Duration) -> Timer {
        let stop = self.clone();
        let (alive, ended) = channel::<()>();
        thread::spawn(move || {
            let passed = |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            if passed(limit) && stop.request(Reason::Timeout) && passed(GRACE) {
                note(&format!("error: the guest trapped: {}; it was waiting for a host call\n", timeout_text(limit)));
                process::exit(TRAPPED.into());
            }
        });
        Timer { _alive: alive }
    }

    /// Answers whether this was the first request.
    fn request(&self, reason: Reason) -> bool {
        if self.state.reason.compare_exchange(0, reason.code(), Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return false;
        }
        let slot = self.state.guest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = &*slot {
            guest.interrupt();
        }
        true
    }
}

/// What is said when the time is over.
pub(crate) fn timeout_text(limit: Duration) -> String {
    format!("interrupted, because its {limit:?} (--timeout) are over")
}

/// A time limit that holds until it is dropped.
pub(crate) struct Timer {
    /// Its end, when dropped, ends the timer's thread.
    _alive: Sender<()>,
}

/// Lets a write to a pipe that nobody reads any more end the process, as it ends other programs: `wasmo run loop.wasm | head -1` stops,
/// even when the guest does not look at the error of its writes.
pub(crate) fn end_on_closed_pipes() {
    // SAFETY: SIG_DFL is not a function, and no other thread runs yet that could be changing the disposition of SIGPIPE.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
