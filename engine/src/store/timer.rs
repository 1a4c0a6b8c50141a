//! The timer: one thread of the process that interrupts stores whose time is up, and repeats interruptions until they are heard. It is started
//! when it is first needed, and sleeps until there is something to do.
//!
//! Interruptions are repeated because the signal is lost on a host function that is about to wait in a system call (see `wasmo_runtime`).

use crate::Result;
use anyhow::Context;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wasmo_runtime::InterruptHandle;

/// When a call whose time was up before it began is interrupted again, and when an interruption is first repeated.
const RETRY: Duration = Duration::from_millis(1);

/// The longest pause between two repetitions: a host function that computes for long, or waits without hearing of signals, is not to be bothered
/// more often.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

struct Timer {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    running: bool,
    last: u64,
    /// Ordered by deadline; the number tells equal deadlines apart.
    waiting: BTreeMap<(Instant, u64), Task>,
}

/// What to do at a time.
enum Task {
    /// Interrupt the call that has begun, or is about to.
    Interrupt(InterruptHandle),
    /// Repeat the interruption of a call, if it has not ended, and again after this pause.
    Repeat(InterruptHandle, Duration),
}

impl Task {
    /// Does it, and answers what is to be done next, and how long from now.
    fn act(self) -> Option<(Duration, Self)> {
        match self {
            Self::Interrupt(handle) if handle.interrupt() => Some((RETRY, Self::Repeat(handle, RETRY))),
            // The call has not entered the guest yet.
            Self::Interrupt(handle) => Some((RETRY, Self::Interrupt(handle))),
            Self::Repeat(handle, pause) if handle.repeat() => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                Some((pause, Self::Repeat(handle, pause)))
            }
            Self::Repeat(..) => None,
        }
    }
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
                    if let Some(((_, number), task)) = state.waiting.pop_first()
                        && let Some((pause, next)) = task.act()
                    {
                        state.waiting.insert((now + pause, number), next);
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

impl State {
    /// Starts the thread, if it does not run.
    fn start(&mut self) -> Result<()> {
        if !self.running {
            std::thread::Builder::new()
                .name("wasmo-timer".to_owned())
                .spawn(|| TIMER.run())
                .context("cannot start the thread that keeps time limits")?;
            self.running = true;
        }
        Ok(())
    }

    /// Has `task` done at `time`; the answer is its number, and whether it is the next to be done.
    fn add(&mut self, time: Instant, task: Task) -> (u64, bool) {
        self.last += 1;
        let key = (time, self.last);
        self.waiting.insert(key, task);
        (self.last, self.waiting.first_key_value().is_some_and(|(first, _)| *first == key))
    }
}

/// Repeats the interruption of the call under way in the store of `handle` until the call has ended. Without a thread for it, there is the one
/// interruption.
pub(super) fn repeat(handle: &InterruptHandle) {
    let mut state = TIMER.lock();
    let repeats = |task: &Task| matches!(task, Task::Repeat(other, _) if other.same_store(handle));
    // One repetition does for a store, however often it is interrupted. It cannot be about to end: that is decided under the lock.
    if state.waiting.values().any(repeats) || state.start().is_err() {
        return;
    }
    let (_, next) = state.add(Instant::now() + RETRY, Task::Repeat(handle.clone(), RETRY));
    drop(state);
    if next {
        TIMER.changed.notify_one();
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
        state.start()?;
        let (number, next) = state.add(deadline, Task::Interrupt(handle));
        drop(state);
        if next {
            TIMER.changed.notify_one();
        }
        Ok(Some(Self { key: (deadline, number) }))
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
