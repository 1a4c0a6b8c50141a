//! [`Idle`]: instances that a module keeps for reuse.

use super::{FreeList, Pool};
use crate::instance::Instance;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An instance that no store has: as it was when it was made, and without its module, which would otherwise never go.
#[derive(Debug)]
struct IdleInstance(Box<Instance>);

// SAFETY: what an instance's pointers lead to is its own, but for those to the store that it had, which are replaced before they are followed.
unsafe impl Send for IdleInstance {}

/// Instances of one module that are kept for reuse. They go with the module.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    instances: FreeList<IdleInstance>,
    /// Whether the pool knows this list.
    entered: AtomicBool,
}

impl Idle {
    /// Takes an instance out, if there is one.
    pub(crate) fn pop(&self) -> Option<Box<Instance>> {
        self.instances.pop().map(|instance| instance.0)
    }

    /// Keeps an instance for `pool`, which has room for it since it counted it.
    pub(crate) fn push(self: &Arc<Self>, instance: Box<Instance>, pool: &Pool) {
        if !self.entered.load(Ordering::Relaxed) && !self.entered.swap(true, Ordering::Relaxed) {
            pool.enter(self);
        }
        let pushed = self.instances.push(IdleInstance(instance), usize::MAX);
        debug_assert!(pushed.is_ok(), "there is no limit here");
    }
}
