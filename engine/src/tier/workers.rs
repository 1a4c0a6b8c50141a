//! [`Workers`]: the threads that compile in the background for all modules of an engine.
//!
//! Work is taken in this order: what guests have generated and is hot, what else is hot and not optimised, what may be called next, what is optimised and could be better; the second and the third the other way round as long as guests keep waiting for functions that have no code yet, which is
//! how programs start: then nothing hot runs for long. Of what is hot, that comes first which running code profits from most for the time that it takes, and what could be better comes before it if that brings more. But what is hot never waits longer than [`PATIENCE`] for what may be called, and what guests have generated waits for nothing else: there is one thread more for it when all are busy. A worker holds nothing alive: work for a module that is gone is dropped.
//!
//! What is to be done when all is quiet ([`Workers::when_quiet`]) has a thread of its own, made when its time has come, so that what becomes hot meanwhile does not wait for it.
//!
//! Workers stop taking work when the process begins to exit, and the exit waits for what is being compiled. (Who ends the process without running destructors, as the `wasmo` command does, does not wait.) Where
//! a sanitizer has LLVM's destructors run at the exit (`wasmo_codegen`'s `llvm`), LLVM must not be at work then.

use super::clock::Stopwatch;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant};
use wasmo_codegen::Compiler;

/// A piece of work.
pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// How urgent it is.
#[derive(Debug)]
pub(crate) enum Urgency {
    /// Running code would profit from it that a guest has generated, who has found out that it is worth it.
    Generated,
    /// Running code would profit from it, so much; and that it has bodies of so many bytes.
    Hot(Arc<Heat>, usize),
    /// Likewise, but what there is was optimised, only not as well as it can be.
    Better(Arc<Heat>, usize),
    /// It may be needed soon, and the sooner the later it was asked for.
    Ahead,
}

/// The most pieces of work that may be needed soon; what is beyond is forgotten, since it is compiled when it is called.
const MAX_AHEAD: usize = 1024;

/// How long ago a guest waited for code if guests are still starting.
const STARTING: Duration = Duration::from_millis(50);

/// How long what is hot waits for guests to have started.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often somebody who waits for the end looks at the time that it takes.
const LOOK: Duration = Duration::from_millis(50);

/// Who gets a processor for less than one part in so many is given up.
const STARVED: u32 = 10;

/// Running code has asked for better code within this time if it still runs.
const RECENT: Duration = Duration::from_millis(100);

/// So many questions of lift-off code weigh as much as one of code that was made soon. The former asks some hundreds of times in the time from one sample to the next (`sampler`), but becomes twice as fast or more, not
/// a tenth faster, and that in a third of the time.
const ASKS_A_SAMPLE: u64 = 10;

/// A piece of work that takes next to nothing takes as long as one with a body of so many bytes.
const LEAST_WORK: usize = 200;

/// How much running code would profit from a piece of work: how often it has asked for that, and when last.
#[derive(Debug)]
pub(crate) struct Heat {
    begun: Instant,
    asked: AtomicU32,
    /// In microseconds since it began.
    last: AtomicU64,
}

impl Heat {
    /// Of what is asked for now, and was so often before.
    pub(crate) fn new(before: u32) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            asked: AtomicU32::new(before.saturating_add(1)),
            last: AtomicU64::new(0),
        })
    }

    /// It is asked for once more.
    pub(crate) fn ask(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let now = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Whether it was asked for a moment ago.
    pub(crate) fn is_recent(&self) -> bool {
        self.begun.elapsed().saturating_sub(Duration::from_micros(self.last.load(Ordering::Relaxed))) < RECENT
    }
}

/// Work that running code would profit from.
struct Hot {
    since: Instant,
    heat: Arc<Heat>,
    /// How much is to be compiled, in bytes of bodies.
    bytes: usize,
    task: Task,
}

impl Hot {
    /// What it brings for the time that it takes: what brings most comes first, so that running code waits least on the whole (Smith's rule). What nobody asks for any more comes last.
    fn worth(&self) -> u64 {
        if !self.heat.is_recent() {
            return 0;
        }
        let cost = u64::try_from(self.bytes.max(LEAST_WORK)).unwrap_or(u64::MAX);
        (u64::from(self.heat.asked.load(Ordering::Relaxed)) << 32) / cost
    }
}

#[derive(Default)]
struct Queue {
    generated: VecDeque<Task>,
    hot: VecDeque<Hot>,
    better: VecDeque<Hot>,
    ahead: VecDeque<Task>,
    threads: usize,
    /// Whether there is one more, for what guests have generated.
    has_another: bool,
    idle: usize,
    /// How many threads do work that is hot.
    busy: usize,
    /// When a guest last had to wait for code.
    waited: Option<Instant>,
    /// When somebody last asked for code, or got it.
    active: Option<Instant>,
    /// By whom it is wanted.
    quiet: BTreeMap<usize, Quiet>,
    course: Course,
}

/// How far it is with the end ([`Workers::settle`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Course {
    #[default]
    Open,
    /// What may be needed soon is not.
    Settling,
    /// No work begins.
    Ended,
}

/// What is to be done when all is quiet.
struct Quiet {
    /// For so long.
    pause: Duration,
    /// Not before.
    earliest: Instant,
    task: Task,
}

/// Whether somebody waits for the end of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hot,
    Ahead,
}

/// What a worker does next.
enum Next {
    Work(Task, Kind),
    /// It is quiet.
    Quiet(Task),
    /// Nothing, for so long if nothing comes.
    Wait(Option<Duration>),
}

impl Queue {
    /// What is next.
    fn next(&mut self) -> Next {
        if let Some((task, kind)) = self.take() {
            return Next::Work(task, kind);
        }
        if self.course == Course::Ended || self.busy > 0 {
            // Whoever is busy comes here afterwards.
            return Next::Wait(None);
        }
        let now = Instant::now();
        let due = |quiet: &Quiet| quiet.earliest.max(self.active.map_or(now, |active| active + quiet.pause));
        let first = self.quiet.iter().map(|(&whose, quiet)| (due(quiet), whose)).min();
        match first {
            Some((due, _)) if due > now => Next::Wait(Some(due - now)),
            Some((_, whose)) => self.quiet.remove(&whose).map_or(Next::Wait(None), |quiet| Next::Quiet(quiet.task)),
            None => Next::Wait(None),
        }
    }

    /// Takes the next piece of work.
    fn take(&mut self) -> Option<(Task, Kind)> {
        if self.course == Course::Ended {
            return None;
        }
        if let Some(task) = self.generated.pop_front() {
            self.busy += 1;
            return Some((task, Kind::Hot));
        }
        let is_starting = self.waited.is_some_and(|waited| waited.elapsed() < STARTING);
        let may_wait = self.hot.front().is_none_or(|first| first.since.elapsed() < PATIENCE);
        if is_starting
            && may_wait
            && let Some(task) = self.ahead.pop_front()
        {
            return Some((task, Kind::Ahead));
        }
        if self.hot.is_empty()
            && let Some(task) = self.ahead.pop_front()
        {
            return Some((task, Kind::Ahead));
        }
        let (hot, better) = (hottest(&self.hot), hottest(&self.better));
        let is_better = match (hot, better) {
            (Some((_, worth)), Some((_, better))) => better.saturating_mul(ASKS_A_SAMPLE) > worth,
            (hot, _) => hot.is_none(),
        };
        let task = if is_better { self.better.remove(better?.0) } else { self.hot.remove(hot?.0) }?.task;
        self.busy += 1;
        Some((task, Kind::Hot))
    }
}

/// Where what is worth most stands, and how much that is; of equals the one that came first.
fn hottest(waiting: &VecDeque<Hot>) -> Option<(usize, u64)> {
    waiting.iter().map(Hot::worth).enumerate().rev().max_by_key(|&(_, worth)| worth)
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Hot work was done.
    done: Condvar,
    closed: AtomicBool,
}

impl Shared {
    /// Something hot is done.
    fn is_done(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.busy -= 1;
        queue.active = Some(Instant::now());
        drop(queue);
        self.done.notify_all();
    }
}

/// The threads; they end some time after this is dropped.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    most: usize,
}

/// How many threads are compiling, in the background or for a guest that waits.
static BUSY: AtomicUsize = AtomicUsize::new(0);
/// How many compilations there were.
static DONE: AtomicUsize = AtomicUsize::new(0);
/// The process is exiting.
static EXITING: AtomicBool = AtomicBool::new(false);

/// While it lives, the process does not exit.
pub(crate) struct Busy(());

impl Busy {
    /// Says that this thread compiles; [`None`] when the process is exiting.
    pub(crate) fn begin() -> Option<Self> {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(wait_at_exit);
        BUSY.fetch_add(1, Ordering::SeqCst);
        let busy = Self(());
        (!EXITING.load(Ordering::SeqCst)).then_some(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let done = DONE.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_power_of_two() {
            wait_at_exit();
        }
        BUSY.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Has the exit wait before it does what was registered so far. LLVM, where its destructors run at all, registers destructors of what it makes when it first needs it, in one of the first compilations of each kind; so
/// this is done again after some.
fn wait_at_exit() {
    // SAFETY: the function may be called at exit, and more than once.
    unsafe {
        libc::atexit(wait_for_compilers);
    }
}

extern "C" fn wait_for_compilers() {
    EXITING.store(true, Ordering::SeqCst);
    while BUSY.load(Ordering::SeqCst) > 0 {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

impl Workers {
    /// No threads yet, and `threads` at most.
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            done: Condvar::new(),
            closed: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), most: threads.max(1) }
    }

    /// Has `task` done some time.
    pub(crate) fn submit(&self, urgency: Urgency, task: Task) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.active = Some(Instant::now());
        let is_generated = matches!(urgency, Urgency::Generated);
        match urgency {
            Urgency::Generated => queue.generated.push_back(task),
            Urgency::Hot(heat, bytes) => queue.hot.push_back(Hot { since: Instant::now(), heat, bytes, task }),
            Urgency::Better(heat, bytes) => queue.better.push_back(Hot { since: Instant::now(), heat, bytes, task }),
            Urgency::Ahead if queue.course != Course::Open => return,
            Urgency::Ahead => {
                queue.ahead.push_front(task);
                queue.ahead.truncate(MAX_AHEAD);
            }
        }
        if queue.idle == 0 && queue.threads < self.most {
            self.start_thread(&mut queue);
        } else if queue.idle == 0 && is_generated && !queue.has_another {
            self.start_another(&mut queue);
        }
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Starts a thread for what guests have generated, as long as there is any: the others may be busy with something large for seconds.
    fn start_another(&self, queue: &mut Queue) {
        let shared = Arc::downgrade(&self.shared);
        let thread = std::thread::Builder::new()
            .name("wasmo-generated".to_owned())
            .stack_size(Compiler::STACK_SIZE)
            .spawn(move || work_on_generated(&shared));
        queue.has_another = thread.is_ok();
    }

    fn start_thread(&self, queue: &mut Queue) {
        queue.threads += 1;
        let shared = Arc::downgrade(&self.shared);
        let thread = std::thread::Builder::new()
            .name(format!("wasmo-tier-{}", queue.threads))
            .stack_size(Compiler::STACK_SIZE)
            .spawn(move || work(&shared));
        if thread.is_err() {
            // Without a thread the work is not done, and what runs goes on as it is.
            queue.threads -= 1;
        }
    }

    /// Has `task` done, on a thread of its own, when nothing hot waits and nobody has asked for code for the time `pause`, but not before `earliest`; unless `whose`, any number, has something waiting already.
    pub(crate) fn when_quiet(&self, whose: usize, pause: Duration, earliest: Instant, task: Task) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.active = Some(Instant::now());
        if queue.course != Course::Open || queue.quiet.contains_key(&whose) {
            return;
        }
        queue.quiet.insert(whose, Quiet { pause, earliest, task });
        if queue.threads == 0 {
            self.start_thread(&mut queue);
        }
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// A guest had to wait for code that was not there when it was called.
    pub(crate) fn waited(&self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).waited = Some(Instant::now());
    }

    /// Waits until everything hot is done, but no longer than until the process has had processors for `limit`, or [`STARVED`] times as long has gone by. No work begins afterwards, and none that
    /// may be needed soon from now on. Answers whether there was as much time of processors as that, if it was needed.
    pub(crate) fn settle(&self, limit: Duration) -> bool {
        let computed = Stopwatch::of_process();
        self.settle_by(|| computed.elapsed(), limit)
    }

    /// [`Workers::settle`] by the clock `computed`.
    fn settle_by(&self, computed: impl Fn() -> Duration, limit: Duration) -> bool {
        let started = Instant::now();
        let mut has_time = true;
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.course = Course::Settling;
        queue.better.clear();
        queue.ahead.clear();
        queue.quiet.clear();
        while queue.busy > 0 || !queue.hot.is_empty() || !queue.generated.is_empty() {
            if computed() >= limit {
                break;
            }
            if started.elapsed() >= limit.saturating_mul(STARVED) {
                has_time = false;
                break;
            }
            let waited = self.shared.done.wait_timeout(queue, LOOK);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.course = Course::Ended;
        queue.generated.clear();
        queue.hot.clear();
        has_time
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.generated.clear();
        queue.hot.clear();
        queue.better.clear();
        queue.ahead.clear();
        queue.quiet.clear();
        drop(queue);
        self.shared.changed.notify_all();
    }
}

fn work_on_generated(shared: &Weak<Shared>) {
    let Some(shared) = shared.upgrade() else { return };
    let next = || {
        let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let task = if queue.course == Course::Ended { None } else { queue.generated.pop_front() };
        match task {
            Some(_) => queue.busy += 1,
            None => queue.has_another = false,
        }
        task
    };
    while let Some(task) = next() {
        let Some(busy) = Busy::begin() else { return };
        task();
        drop(busy);
        shared.is_done();
    }
}

fn work(shared: &Weak<Shared>) {
    // A thread that nobody gives work to holds the queue, which is small, and ends when it is closed.
    let Some(shared) = shared.upgrade() else { return };
    loop {
        let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (task, kind) = loop {
            if shared.closed.load(Ordering::Acquire) {
                queue.threads -= 1;
                return;
            }
            let pause = match queue.next() {
                Next::Work(task, kind) => break (task, kind),
                Next::Quiet(task) => {
                    drop(queue);
                    start_quiet(task);
                    queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Next::Wait(pause) => pause,
            };
            queue.idle += 1;
            queue = match pause {
                Some(pause) => shared.changed.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner).0,
                None => shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
            queue.idle -= 1;
        };
        drop(queue);
        let Some(busy) = Busy::begin() else { return };
        task();
        drop(busy);
        if kind == Kind::Hot {
            shared.is_done();
        }
    }
}

/// Has `task` done on a thread of its own, if there is one to be had.
fn start_quiet(task: Task) {
    let run = || {
        if let Some(_busy) = Busy::begin() {
            task();
        }
    };
    let thread = std::thread::Builder::new().name("wasmo-keep".to_owned()).spawn(run);
    if let Err(error) = thread {
        tracing::debug!(%error, "no thread for what is done when all is quiet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers with a piece of work that takes so long.
    fn busy(time: Duration) -> Workers {
        let workers = Workers::new(1);
        workers.submit(Urgency::Hot(Heat::new(0), 1), Box::new(move || std::thread::sleep(time)));
        workers
    }

    #[test]
    fn who_settles_waits_for_what_is_hot() {
        let (workers, done) = (busy(Duration::from_millis(100)), Arc::new(AtomicBool::new(false)));
        let last = Arc::clone(&done);
        workers.submit(Urgency::Hot(Heat::new(0), 1), Box::new(move || last.store(true, Ordering::Release)));
        assert!(workers.settle_by(|| Duration::ZERO, Duration::from_secs(60)));
        assert!(done.load(Ordering::Acquire));
    }

    #[test]
    fn what_takes_too_long_had_its_time_unless_others_took_the_processors() {
        let (long, limit) = (Duration::from_secs(1), Duration::from_millis(10));
        assert!(busy(long).settle_by(|| limit, limit));
        assert!(!busy(long).settle_by(|| Duration::ZERO, limit));
    }
}
