//! [`FreeList`]: things kept for reuse, by many threads.
//!
//! Each thread has a shard of its own as long as there are shards for all, and looks at the others only when its own is empty; so threads that take and
//! give back in turn do not meet.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 8;

/// Kept apart from its neighbours, so that threads do not share lines of the cache.
#[derive(Debug)]
#[repr(align(128))]
struct Shard<T>(Mutex<Vec<T>>);

impl<T> Shard<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // A vector is sound whatever panicked while it was locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Things kept for reuse; the last that a thread gave back is the first that it gets.
#[derive(Debug)]
pub(crate) struct FreeList<T> {
    shards: [Shard<T>; SHARDS],
}

impl<T> Default for FreeList<T> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Shard(Mutex::new(Vec::new()))) }
    }
}

/// The shard of this thread.
fn home() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HOME: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    HOME.with(|home| {
        if home.get() == usize::MAX {
            home.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        home.get()
    })
}

impl<T> FreeList<T> {
    /// Takes something out, if there is anything.
    pub(crate) fn pop(&self) -> Option<T> {
        let home = home();
        (0..SHARDS).find_map(|step| self.shards[(home + step) % SHARDS].lock().pop())
    }

    /// Keeps `item`, unless this thread's shard has `max` items: then it comes back.
    pub(crate) fn push(&self, item: T, max: usize) -> Result<(), T> {
        let mut shard = self.shards[home()].lock();
        if shard.len() >= max {
            return Err(item);
        }
        shard.push(item);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_thread_gave_back_is_found() {
        let list = FreeList::default();
        for number in 0..2 * SHARDS {
            std::thread::scope(|scope| scope.spawn(|| list.push(number, 10).unwrap()).join().unwrap());
        }
        let mut found: Vec<_> = std::iter::from_fn(|| list.pop()).collect();
        found.sort_unstable();
        assert_eq!(found, (0..2 * SHARDS).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_shard_refuses() {
        let list = FreeList::default();
        assert_eq!((list.push(1, 2), list.push(2, 2), list.push(3, 2)), (Ok(()), Ok(()), Err(3)));
        assert_eq!((list.pop(), list.pop(), list.pop()), (Some(2), Some(1), None));
    }
}
