//! [`Sampler`]: the thread that asks code made soon where it is.
//!
//! Such code does not count how often it runs. Instead, whatever of a module runs a moment after the sampler has looked says so ([`Entries::begin_sample`]), so that functions are
//! found as often as is the time spent in them, and those few that matter are optimised first. What nobody answers for is not looked at again until somebody does, and the thread sleeps
//! while there is nothing to look at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use wasmo_runtime::Module;
use wasmo_runtime::tier::Entries;

/// Whether a module is looked at by the sampler. All who write it, or ask and answer for a sample, swap, so that who comes later sees what came before (`runtime/tests/sampling.rs` is a model of it).
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(Arc<AtomicBool>);

impl Watched {
    /// Asks for a sample; answers whether the last one was taken, or otherwise marks the module as one that is not looked at.
    fn ask(&self, entries: &Entries) -> bool {
        if entries.begin_sample() {
            return true;
        }
        self.0.swap(false, Ordering::AcqRel);
        // Code that said where it is just now found that the module is looked at.
        entries.begin_sample() && !self.0.swap(true, Ordering::AcqRel)
    }
}

/// What the thread looks at.
#[derive(Default)]
struct List {
    modules: Vec<(Weak<Module>, Watched)>,
    has_thread: bool,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    list: Mutex<List>,
    changed: Condvar,
}

impl Shared {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread, once there is something to look at; it ends after this is dropped.
#[derive(Default)]
pub(crate) struct Sampler {
    shared: Arc<Shared>,
}

impl Sampler {
    /// Has the module looked at, with `period` between one look and the next, unless it is already. To be called after [`Entries::end_sample`] or before any code asks.
    pub(crate) fn watch(&self, module: &Arc<Module>, watched: &Watched, period: Duration) {
        if watched.0.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut list = self.shared.list();
        list.modules.push((Arc::downgrade(module), watched.clone()));
        if !list.has_thread {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("wasmo-sample".to_owned());
            // Without it, functions stay as they were made soon.
            list.has_thread = thread.spawn(move || look(&shared, period)).is_ok();
        }
        drop(list);
        self.shared.changed.notify_one();
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.shared.list().closed = true;
        self.shared.changed.notify_one();
    }
}

fn look(shared: &Shared, period: Duration) {
    loop {
        let mut list = shared.list();
        while list.modules.is_empty() && !list.closed {
            list = shared.changed.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
        if list.closed {
            return;
        }
        let mut modules = std::mem::take(&mut list.modules);
        drop(list);
        // A module that ends here takes its engine with it, maybe: so nothing is locked.
        modules.retain(|(module, watched)| {
            let module = module.upgrade();
            module.as_ref().and_then(|module| module.tiers.as_ref()).is_some_and(|tiers| watched.ask(&tiers.entries))
        });
        shared.list().modules.append(&mut modules);
        std::thread::sleep(period);
    }
}
