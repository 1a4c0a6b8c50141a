//! A model of how code that was replaced is freed, run through all orders in which its threads can come (up to a number of preemptions), by `loom`.
//!
//! What is modelled: the entry of one function, which leads to old code and then to new; one store, which enters its guest, calls through the entry, asks for code in the midst of a call, and leaves,
//! or is unwound and looks at its frames afterwards; and who replaces the old code and frees it (`runtime::tier::retired`, whose steps the methods take one by one). Code is a cell that is written
//! to when it is freed, so that whoever runs it then is found out. The barrier that all threads pass is a fence at the one place where it matters that the store passes it: between saying that a call has begun
//! and reading the entry. (The system's barrier may come anywhere else, where it changes nothing.)
//!
//! What must hold, whatever the order: nobody runs, or looks at, code that was freed; and it is freed in the end. The last tests break one rule each, and expect to be found out.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread;

const OLD: usize = 0;
const NEW: usize = 1;

/// The rule that is broken, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// Who replaces code looks at once whether a call is under way.
    Barrier,
    /// That a call is over is said by a store that orders nothing.
    Leave,
    /// Nobody is told that frames are still looked at.
    Unwinding,
    /// A store that has asked for code holds nothing any more, wherever it was called from.
    Search,
}

/// What is known of the old code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Old {
    InUse,
    /// It was replaced, and the store may come back to it.
    Held,
    Freed,
}

struct Model {
    broken: Broken,
    entry: AtomicUsize,
    /// Whether a call is under way.
    host_sp: AtomicUsize,
    unwinding: AtomicBool,
    old: Mutex<Old>,
    /// Whether the code is there.
    code: [UnsafeCell<bool>; 2],
}

impl Model {
    fn new(broken: Broken) -> Arc<Self> {
        Arc::new(Self {
            broken,
            entry: AtomicUsize::new(OLD),
            host_sp: AtomicUsize::new(0),
            unwinding: AtomicBool::new(false),
            old: Mutex::new(Old::InUse),
            code: [true; 2].map(UnsafeCell::new),
        })
    }

    fn old(&self) -> MutexGuard<'_, Old> {
        self.old.lock().unwrap()
    }

    fn run(&self, code: usize) {
        // SAFETY: loom sees to it that nobody writes.
        self.code[code].with(|code| assert!(unsafe { *code }, "it was freed"));
    }

    fn free(&self, old: &mut Old) {
        *old = Old::Freed;
        // SAFETY: loom sees to it that nobody else has access.
        self.code[OLD].with_mut(|code| unsafe { *code = false });
    }

    fn is_active(&self) -> bool {
        self.host_sp.load(Ordering::Acquire) != 0 || self.unwinding.load(Ordering::Acquire)
    }

    /// Replaces the old code, and frees it if no call is under way.
    fn replace(&self) {
        self.entry.swap(NEW, Ordering::AcqRel);
        if self.broken != Broken::Barrier {
            fence(Ordering::SeqCst);
        }
        let mut old = self.old();
        *old = Old::Held;
        drop(old);
        self.reclaim();
    }

    fn reclaim(&self) {
        let mut old = self.old();
        if *old == Old::Held && !self.is_active() {
            self.free(&mut old);
        }
    }

    /// The guest has asked for code, and may come back to `code`.
    fn pass(&self, code: usize) {
        let mut old = self.old();
        if *old == Old::Held && (code != OLD || self.broken == Broken::Search) {
            self.free(&mut old);
        }
    }

    /// A call of the guest, which calls through the entry twice and asks for code between.
    fn call(&self, unwinds: bool) {
        self.host_sp.store(1, Ordering::Relaxed);
        if self.broken != Broken::Barrier {
            fence(Ordering::SeqCst);
        }
        let code = self.entry.load(Ordering::Acquire);
        self.run(code);
        self.pass(code);
        self.run(code);
        let code = self.entry.load(Ordering::Acquire);
        self.run(code);
        if !unwinds {
            let order = if self.broken == Broken::Leave { Ordering::Relaxed } else { Ordering::Release };
            self.host_sp.store(0, order);
            return;
        }
        if self.broken != Broken::Unwinding {
            self.unwinding.store(true, Ordering::Relaxed);
        }
        self.host_sp.store(0, Ordering::Release);
        self.run(code);
        self.unwinding.store(false, Ordering::Release);
    }
}

/// A store that calls its guest and is unwound the second time, or always, while another thread replaces the code and looks once more later.
fn run(broken: Broken) {
    for unwinds in [false, true] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let model = Model::new(broken);
            let other = thread::spawn({
                let model = Arc::clone(&model);
                move || {
                    model.replace();
                    model.reclaim();
                }
            });
            model.call(unwinds);
            model.call(true);
            other.join().unwrap();
            model.reclaim();
            assert_eq!(*model.old(), Old::Freed);
        });
    }
}

#[test]
fn whatever_the_order_nobody_runs_code_that_was_freed() {
    run(Broken::Nothing);
}

#[test]
#[should_panic = "Concurrent read and write accesses"]
fn without_a_barrier_a_call_that_has_begun_is_missed() {
    run(Broken::Barrier);
}

#[test]
#[should_panic = "Concurrent read and write accesses"]
fn a_call_that_ends_without_order_is_found_out() {
    run(Broken::Leave);
}

#[test]
#[should_panic = "Concurrent read and write accesses"]
fn frames_that_are_still_looked_at_are_found_out() {
    run(Broken::Unwinding);
}

#[test]
#[should_panic = "it was freed"]
fn a_store_that_is_not_searched_is_found_out() {
    run(Broken::Search);
}
