//! The timer: one thread of the process that interrupts stores whose time is up. It is started by the first call that has a time limit, and
//! sleeps until the earliest deadline.

use crate::Result;
use anyhow::Context;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wasmo_runtime::InterruptHandle;

/// When a call whose time was up before it began is interrupted again.
const RETRY: Duration = Duration::from_millis(1);

struct Timer {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    running: bool,
    last: u64,
    /// Ordered by deadline; the number tells equal deadlines apart.
    waiting: BTreeMap<(Instant, u64), InterruptHandle>,
}

static TIMER: Timer =
    Timer { state: Mutex::new(State { running: false, last: 0, waiting: BTreeMap::new() }), changed: Condvar::new() };

impl Timer {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic happens between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let next = state.waiting.first_key_value().map(|(key, _)| *key);
            state = match next {
                Some((deadline, _)) if deadline <= now => {
                    // The lock is kept, so that once an alarm is disarmed its interruption is either over or will not come.
                    if let Some(((_, number), handle)) = state.waiting.pop_first()
                        && !handle.interrupt()
                    {
                        // The call that the alarm is for has not entered the guest yet.
                        state.waiting.insert((now + RETRY, number), handle);
                    }
                    state
                }
                Some((deadline, _)) => {
                    self.changed.wait_timeout(state, deadline - now).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// A deadline that is being waited for.
pub(super) struct Alarm {
    key: (Instant, u64),
}

impl Alarm {
    /// Interrupts the store of `handle` when `timeout` is over, unless disarmed before. A time too long to be told is forever.
    pub(super) fn set(timeout: Duration, handle: InterruptHandle) -> Result<Option<Self>> {
        let Some(deadline) = Instant::now().checked_add(timeout) else { return Ok(None) };
        let mut state = TIMER.lock();
        if !state.running {
            std::thread::Builder::new()
                .name("wasmo-timer".to_owned())
                .spawn(|| TIMER.run())
                .context("cannot start the thread that keeps time limits")?;
            state.running = true;
        }
        state.last += 1;
        let key = (deadline, state.last);
        state.waiting.insert(key, handle);
        let earliest = state.waiting.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(state);
        if earliest {
            TIMER.changed.notify_one();
        }
        Ok(Some(Self { key }))
    }

    /// From now on, the alarm does not interrupt anything.
    pub(super) fn disarm(self) {
        let mut state = TIMER.lock();
        if state.waiting.remove(&self.key).is_none() {
            // It has gone off, or waits under a later time.
            state.waiting.retain(|(_, number), _| *number != self.key.1);
        }
    }
}
