//! A model of how code made soon is found by the sampler, run through all orders in which its threads can come, by `loom`.
//!
//! What is modelled: the word that such code reads ([`wasmo_runtime::tier::Entries::begin_sample`]), whether a module is looked at, and the list of what is (the engine's `tier::sampler`). The sampler
//! takes off its list what nobody has answered for, so that it can sleep; whoever answers puts the module back.
//!
//! What must hold, whatever the order: a module is on the list at most once; one that is not on it is asked, so that the next answer puts it there. The last tests break one rule each, and
//! expect to be found out.

use loom::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// The rule that is broken, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// The sampler does not look again when it has said that the module is not looked at.
    SecondLook,
    /// When it has looked again, it keeps the module, whoever has put it on the list meanwhile.
    Owner,
}

struct Model {
    broken: Broken,
    /// 0, or -1 while code is asked.
    sample: AtomicI32,
    watched: AtomicBool,
    /// How often the module is on the list.
    list: Mutex<usize>,
}

impl Model {
    fn begin_sample(&self) -> bool {
        self.sample.swap(-1, Ordering::AcqRel) == 0
    }

    /// The sampler asks a module that it has taken off the list. Answers whether it is put back.
    fn ask(&self) -> bool {
        if self.begin_sample() {
            return true;
        }
        self.watched.swap(false, Ordering::AcqRel);
        match self.broken {
            Broken::SecondLook => false,
            Broken::Owner => self.begin_sample(),
            Broken::Nothing => self.begin_sample() && !self.watched.swap(true, Ordering::AcqRel),
        }
    }

    fn look(&self) {
        let taken = std::mem::take(&mut *self.list.lock().unwrap());
        let kept = (0..taken).filter(|_| self.ask()).count();
        *self.list.lock().unwrap() += kept;
    }

    /// Code comes to where it looks whether it is asked.
    fn poll(&self) {
        if self.sample.load(Ordering::Relaxed) >= 0 {
            return;
        }
        // The end of the sample.
        self.sample.swap(0, Ordering::AcqRel);
        if !self.watched.swap(true, Ordering::AcqRel) {
            *self.list.lock().unwrap() += 1;
        }
    }
}

/// The sampler, and two threads that run code of one module.
fn run(broken: Broken) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let model =
            Arc::new(Model { broken, sample: AtomicI32::new(0), watched: AtomicBool::new(true), list: Mutex::new(1) });
        let code = |model: Arc<Model>| {
            move || {
                model.poll();
                model.poll();
            }
        };
        let threads = [(); 2].map(|()| thread::spawn(code(Arc::clone(&model))));
        model.look();
        model.look();
        model.look();
        for thread in threads {
            thread.join().unwrap();
        }
        let (times, asked) = (*model.list.lock().unwrap(), model.sample.load(Ordering::Acquire) < 0);
        assert!(times <= 1, "the module is on the list twice");
        assert!(times == 1 || asked, "nobody looks at the module any more");
    });
}

#[test]
fn whatever_the_order_code_that_runs_is_looked_at_once() {
    run(Broken::Nothing);
}

#[test]
#[should_panic = "nobody looks at the module any more"]
fn a_sampler_that_does_not_look_again_is_found_out() {
    run(Broken::SecondLook);
}

#[test]
#[should_panic = "the module is on the list twice"]
fn a_sampler_that_keeps_what_is_on_the_list_is_found_out() {
    run(Broken::Owner);
}
