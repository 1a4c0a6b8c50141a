//! [`Workers`]: the threads on which an engine compiles late modules; [`Request`]: one module that they are to compile.
//!
//! Threads are made when there is work for them, with a stack that is large enough for LLVM, and stay. There is one more than for background work, since somebody
//! waits for an urgent request while a guest's others can take their time; urgent ones come first, and apart from that requests are served in the order in which they came.

use super::Urgency;
use super::compile::{Manner, compile};
use super::limits::JitLimits;
use crate::error::internal;
use crate::tier::Busy;
use crate::{CompileError, CompileErrorKind, Engine, Module, Result};
use anyhow::anyhow;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use wasmo_codegen::Compiler;

/// How often who waits looks whether it shall go on waiting.
const PATIENCE: Duration = Duration::from_millis(20);

/// A module that is to be compiled.
pub(crate) struct Request {
    engine: Engine,
    binary: Vec<u8>,
    /// The most that compiling may take.
    time: Option<Duration>,
    /// How, until it is compiled.
    manner: Mutex<Option<Manner>>,
    cancelled: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Waiting,
    Done(Result<Module>),
    /// Somebody has taken the result.
    Taken,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("bytes", &self.binary.len()).finish_non_exhaustive()
    }
}

/// Watches one compilation.
struct Watch<'a> {
    cancelled: &'a AtomicBool,
    end: Option<Instant>,
}

impl wasmo_codegen::Observer for Watch<'_> {
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.end.is_some_and(|end| Instant::now() >= end)
    }
}

impl Request {
    /// Asks for all of `binary` to be compiled, within `limits`, in a store whose late modules in tiers have `code` bytes of machine code.
    pub(super) fn start(
        engine: &Engine,
        binary: &[u8],
        limits: Option<&JitLimits>,
        code: &Arc<AtomicUsize>,
        urgency: Urgency,
    ) -> Result<Arc<Self>> {
        let request = Arc::new(Self {
            engine: engine.clone(),
            binary: binary.to_vec(),
            time: limits.map(|limits| limits.compile_time),
            manner: Mutex::new(Some(Manner::new(engine, limits, code))),
            cancelled: AtomicBool::new(false),
            state: Mutex::new(State::Waiting),
            changed: Condvar::new(),
        });
        engine.workers().submit(Arc::clone(&request), urgency)?;
        Ok(request)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is changed in one step, so it is sound whatever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let end = self.time.and_then(|time| Instant::now().checked_add(time));
        let watch = Watch { cancelled: &self.cancelled, end };
        let manner = self.manner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let compiled = match (Busy::begin(), manner) {
            (Some(_busy), Some(manner)) => {
                catch_unwind(AssertUnwindSafe(|| compile(&self.engine, &self.binary, manner, &watch)))
                    .unwrap_or_else(|_| Err(internal("the compiler panicked")))
            }
            (Some(_), None) => Err(internal("a module is compiled twice")),
            (None, _) => Err(anyhow!("the process is exiting")),
        };
        *self.state() = State::Done(compiled);
        self.changed.notify_all();
    }

    /// The result, once; `None` as long as there is none.
    pub(super) fn take(&self) -> Option<Result<Module>> {
        let mut state = self.state();
        if matches!(*state, State::Waiting) {
            return None;
        }
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(result) => Some(result),
            State::Waiting | State::Taken => Some(Err(internal("a compiled module was taken twice"))),
        }
    }

    /// Waits for the result, as long as `stop` does not say otherwise.
    pub(super) fn wait(&self, stop: impl Fn() -> bool) -> Result<Module> {
        let mut state = self.state();
        while matches!(*state, State::Waiting) {
            let (next, timeout) = self.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && stop() {
                self.cancel();
                let message = "the guest was interrupted".to_owned();
                return Err(CompileError { kind: CompileErrorKind::Cancelled, offset: None, message }.into());
            }
        }
        drop(state);
        self.take().unwrap_or_else(|| Err(internal("a compiled module is missing")))
    }

    /// Nobody wants the result any more.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// The threads of an engine.
#[derive(Default)]
pub(crate) struct Workers {
    shared: OnceLock<Arc<Shared>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    urgent: VecDeque<Arc<Request>>,
    others: VecDeque<Arc<Request>>,
    threads: usize,
    /// Of these, how many wait.
    idle: usize,
    /// How many are at work on what is not urgent.
    busy_with_others: usize,
    ended: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Changed in steps that cannot panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does.
    fn work(&self, background: usize) {
        let mut queue = self.queue();
        loop {
            let urgent = queue.urgent.pop_front();
            let is_urgent = urgent.is_some();
            let next = match urgent {
                None if queue.busy_with_others < background => queue.others.pop_front(),
                urgent => urgent,
            };
            let Some(request) = next else {
                if queue.ended {
                    return;
                }
                queue.idle += 1;
                queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
                continue;
            };
            queue.busy_with_others += usize::from(!is_urgent);
            drop(queue);
            if request.cancelled.load(Ordering::Relaxed) {
                *request.state() = State::Done(Err(anyhow!("the request was cancelled")));
            } else {
                request.run();
            }
            // The request may be the last that holds the engine, and with it this queue's owner.
            drop(request);
            queue = self.queue();
            queue.busy_with_others -= usize::from(!is_urgent);
        }
    }
}

impl Workers {
    fn submit(&self, request: Arc<Request>, urgency: Urgency) -> Result<()> {
        let background = request.engine.compiler()?.threads();
        let shared = self.shared.get_or_init(Arc::default);
        let mut queue = shared.queue();
        match urgency {
            Urgency::Now => queue.urgent.push_back(request),
            Urgency::Background => queue.others.push_back(request),
        }
        let waiting = queue.urgent.len() + queue.others.len();
        if queue.idle < waiting && queue.threads <= background {
            let thread = std::thread::Builder::new().name("wasmo-late".to_owned()).stack_size(Compiler::STACK_SIZE);
            let worker = Arc::clone(shared);
            match thread.spawn(move || worker.work(background)) {
                Ok(_) => queue.threads += 1,
                // Others will come to it.
                Err(_) if queue.threads > 0 => {}
                Err(error) => {
                    queue.urgent.clear();
                    queue.others.clear();
                    return Err(anyhow!("no thread to compile on: {error}"));
                }
            }
        }
        drop(queue);
        shared.more.notify_one();
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.get() {
            shared.queue().ended = true;
            shared.more.notify_all();
        }
    }
}
