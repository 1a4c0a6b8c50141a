//! A model of how code of a function in tiers is published, run through all orders in which its threads can come (up to a number of preemptions), by `loom`.
//!
//! What is modelled: the entry of one function, which callers read without a lock and which is written by one atomic store ([`wasmo_runtime::tier::Entries`]); its budget, of which callers
//! may lose each other's counts; the stages of the function under a lock, and who waits for code (the engine's `tier::module`, whose steps `Model`'s methods take one by one). Code is a cell that
//! may be read only by those to whom its writing is known.
//!
//! What must hold, whatever the order: nobody runs code that is not written to its end; code of each tier is made once; no thread that has run better code ever runs worse code again. The
//! last tests break one rule each, and expect to be found out.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
use loom::thread;

/// What an entry can lead to, worst first: nothing yet, lift-off code, optimised code.
const LAZY: usize = 0;
const LIFT_OFF: usize = 1;
const OPTIMIZED: usize = 2;

/// What complete code holds.
const COMPLETE: u32 = 0xC0DE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    LiftingOff,
    LiftOff,
    Hot,
    Optimizing,
    Final,
}

/// The rule that is broken, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// Code is published by a store that orders nothing.
    Store,
    /// Who finds that a function has no code makes it, even if somebody else is at it.
    Maker,
    /// Whoever has made lift-off code says that this is the function's stage, whatever became of it meanwhile.
    Stage,
}

struct Model {
    broken: Broken,
    entry: AtomicUsize,
    budget: AtomicI32,
    stage: Mutex<Stage>,
    lifted_off: Condvar,
    /// The code of each tier.
    code: [UnsafeCell<u32>; 3],
}

impl Model {
    fn new(broken: Broken) -> Arc<Self> {
        Arc::new(Self {
            broken,
            entry: AtomicUsize::new(LAZY),
            budget: AtomicI32::new(0),
            stage: Mutex::new(Stage::New),
            lifted_off: Condvar::new(),
            code: [0; 3].map(UnsafeCell::new),
        })
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap()
    }

    /// Writes the code of a tier, in two steps.
    fn make(&self, tier: usize) {
        self.code[tier].with_mut(|code| {
            // SAFETY: loom sees to it that nobody else has access.
            unsafe {
                assert_eq!(*code, 0, "code of a tier is made once");
                *code = 1;
                *code = COMPLETE;
            }
        });
    }

    fn publish(&self, tier: usize) {
        let order = if self.broken == Broken::Store { Ordering::Relaxed } else { Ordering::Release };
        self.entry.store(tier, order);
    }

    /// Lift-off code for somebody who waits for it.
    fn compile(&self) -> usize {
        let mut stage = self.stage();
        loop {
            match self.entry.load(Ordering::Acquire) {
                LAZY => {}
                code => return code,
            }
            if *stage != Stage::LiftingOff || self.broken == Broken::Maker {
                break;
            }
            stage = self.lifted_off.wait(stage).unwrap();
        }
        *stage = Stage::LiftingOff;
        drop(stage);
        self.lift_off();
        LIFT_OFF
    }

    /// Lift-off code in advance, if nobody has begun.
    fn compile_ahead(&self) {
        let mut stage = self.stage();
        if *stage == Stage::New {
            *stage = Stage::LiftingOff;
            drop(stage);
            self.lift_off();
        }
    }

    fn lift_off(&self) {
        self.make(LIFT_OFF);
        self.publish(LIFT_OFF);
        let mut stage = self.stage();
        if *stage == Stage::LiftingOff || self.broken == Broken::Stage {
            *stage = Stage::LiftOff;
        }
        drop(stage);
        self.lifted_off.notify_all();
    }

    /// The budget is used up.
    fn tier_up(&self) {
        let mut stage = self.stage();
        let is_hot = matches!(*stage, Stage::LiftOff | Stage::LiftingOff);
        if is_hot {
            *stage = Stage::Hot;
        }
        drop(stage);
        self.budget.store(0, Ordering::Relaxed);
        if is_hot {
            self.optimize();
        }
    }

    fn optimize(&self) {
        *self.stage() = Stage::Optimizing;
        self.make(OPTIMIZED);
        let mut stage = self.stage();
        *stage = Stage::Final;
        self.publish(OPTIMIZED);
    }

    /// A call through the entry. Answers what was called.
    fn call(&self) -> usize {
        let code = match self.entry.load(Ordering::Acquire) {
            LAZY => self.compile(),
            code => code,
        };
        // SAFETY: loom sees to it that nobody writes.
        self.code[code].with(|code| assert_eq!(unsafe { *code }, COMPLETE));
        if code == LIFT_OFF {
            let left = self.budget.load(Ordering::Relaxed) - 1;
            self.budget.store(left, Ordering::Relaxed);
            if left < 0 {
                self.tier_up();
            }
        }
        code
    }
}

/// A thread that compiles ahead, and two that call twice each.
fn run(broken: Broken) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let model = Model::new(broken);
        let caller = |model: Arc<Model>| {
            move || {
                let (first, second) = (model.call(), model.call());
                assert!(first <= second, "{first} was called before {second}");
            }
        };
        let other = thread::spawn(caller(Arc::clone(&model)));
        let ahead = thread::spawn({
            let model = Arc::clone(&model);
            move || model.compile_ahead()
        });
        caller(Arc::clone(&model))();
        other.join().unwrap();
        ahead.join().unwrap();
        assert_eq!((model.entry.load(Ordering::Acquire), *model.stage()), (OPTIMIZED, Stage::Final));
    });
}

#[test]
fn whatever_the_order_code_is_complete_made_once_and_never_gets_worse() {
    run(Broken::Nothing);
}

#[test]
#[should_panic = "Concurrent read and write accesses"]
fn a_store_that_orders_nothing_is_found_out() {
    run(Broken::Store);
}

#[test]
#[should_panic = "Concurrent write accesses"]
fn two_makers_are_found_out() {
    run(Broken::Maker);
}

#[test]
#[should_panic = "Concurrent read and write accesses"]
fn a_stage_that_goes_back_is_found_out() {
    run(Broken::Stage);
}
