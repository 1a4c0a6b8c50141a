//! [`Pool`]: what stores have given back and the next ones use, and how much there may be of it.
//!
//! * A store leaves its execution context, its guest stack and its lists as a [`Shell`], which fits any store.
//! * A memory leaves its [`Reservation`], as good as new, which fits any memory.
//! * With limits ([`PoolLimits`]), an instance is kept as a whole, with its context, memories and tables, by its module ([`Idle`]): the next instance of that
//!   module finds everything that is the same for all of them in its place. Modules whose instances differ, since they import more than
//!   functions of the host, do not have that.
//!
//! Things are made as new when they are given back, not when they are taken; so what lies here holds nothing of a guest, but for the topmost part of its
//! stack and the spill area, which no guest can read before it has written.
//!
//! With limits, everything that exists is counted, whether it is in use or kept. Who finds the limit reached takes from what is kept, of whatever module. The counters
//! are touched only when something is made or goes, so that threads that reuse do not meet there.

mod free_list;
mod idle;

pub(crate) use free_list::FreeList;
pub(crate) use idle::Idle;

use crate::error::Error;
use crate::memory::{Dirty, Reservation};
use crate::store::Shell;
use crate::sys::mmap::page_size;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How many shells and reservations a shard of a pool keeps when there is no limit.
const MAX_KEPT: usize = 64;

/// Bytes at the beginning of a memory that are cleared rather than given back to the system, when there are no limits that say otherwise.
const KEEP_RESIDENT: usize = 64 << 10;

/// How much there may be of each kind, over all stores of a pool, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Stores, and with them guest stacks.
    pub stores: usize,
    /// Instances.
    pub instances: usize,
    /// Memories.
    pub memories: usize,
    /// Tables.
    pub tables: usize,
    /// The size of a memory in bytes.
    pub memory_size: u64,
    /// The elements of a table.
    pub table_elements: u64,
    /// Bytes of a memory that are cleared rather than given back to the system, rounded down to whole pages; an image is given back all the same.
    pub keep_resident: usize,
    /// Whether a stack is given back to the system as a whole.
    pub stack_zeroing: bool,
}

/// What a pool counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Store,
    Instance,
    Memory,
    Table,
}

/// What stores have given back, and how much there may be of it. Without limits it is a cache of a fixed size.
#[derive(Debug)]
pub struct Pool {
    limits: Option<PoolLimits>,
    /// [`Pool::keep_resident`].
    keep_resident: usize,
    /// How many there are of each kind, in use or kept; without limits, zero.
    counts: [AtomicUsize; 4],
    shells: FreeList<Shell>,
    reservations: FreeList<Reservation>,
    /// The modules that have kept instances at some time.
    modules: Mutex<Vec<Weak<Idle>>>,
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: Option<PoolLimits>) -> Arc<Self> {
        let keep_resident = limits.map_or(KEEP_RESIDENT, |limits| limits.keep_resident);
        Arc::new(Self {
            limits,
            keep_resident: keep_resident - keep_resident % page_size(),
            counts: Default::default(),
            shells: FreeList::default(),
            reservations: FreeList::default(),
            modules: Mutex::default(),
        })
    }

    /// Whether instances are kept.
    pub(crate) fn keeps_instances(&self) -> bool {
        self.limits.is_some()
    }

    /// Bytes at the beginning of a memory that are cleared rather than given back to the system; whole pages.
    pub(crate) fn keep_resident(&self) -> usize {
        self.keep_resident
    }

    /// Whether a stack is given back to the system as a whole.
    pub(crate) fn zeroes_stacks(&self) -> bool {
        self.limits.is_some_and(|limits| limits.stack_zeroing)
    }

    /// The most bytes of a memory.
    pub(crate) fn memory_size(&self) -> u64 {
        self.limits.map_or(u64::MAX, |limits| limits.memory_size)
    }

    /// The most elements of a table.
    pub(crate) fn table_elements(&self) -> u64 {
        self.limits.map_or(u64::MAX, |limits| limits.table_elements)
    }

    fn limit(&self, kind: Kind) -> usize {
        let Some(limits) = &self.limits else { return MAX_KEPT };
        match kind {
            Kind::Store => limits.stores,
            Kind::Instance => limits.instances,
            Kind::Memory => limits.memories,
            Kind::Table => limits.tables,
        }
    }

    /// Makes room for one more of `kind`, at the cost of what is kept if need be.
    fn count(&self, kind: Kind) -> Result<(), Error> {
        if self.limits.is_none() {
            return Ok(());
        }
        let (limit, count) = (self.limit(kind), &self.counts[kind as usize]);
        loop {
            let free = |count: usize| (count < limit).then_some(count + 1);
            if count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok() {
                return Ok(());
            }
            if !self.evict(kind) {
                return Err(Error::Exhausted { kind: kind.name(), limit });
            }
        }
    }

    fn uncount(&self, kind: Kind) {
        if self.limits.is_some() {
            self.counts[kind as usize].fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives up something that is kept; answers whether there was anything.
    fn evict(&self, kind: Kind) -> bool {
        if matches!(kind, Kind::Store) {
            let shell = self.shells.pop();
            if shell.is_some() {
                self.uncount(Kind::Store);
            }
            return shell.is_some();
        }
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        modules.retain(|module| module.strong_count() > 0);
        let idle = modules.iter().filter_map(Weak::upgrade).find_map(|idle| idle.pop());
        drop(modules);
        idle.is_some()
    }

    /// Lets the pool find what `module` keeps.
    pub(crate) fn enter(&self, module: &Arc<Idle>) {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        // Modules may come and go without end. To look for those that have gone when there is no room costs little for each that comes.
        if modules.len() == modules.capacity() {
            modules.retain(|module| module.strong_count() > 0);
            let len = modules.len();
            modules.reserve(len.max(16));
        }
        modules.push(Arc::downgrade(module));
    }

    /// The shell of a store before; `None` when a new one is to be made, which is counted already.
    pub(crate) fn shell(&self) -> Result<Option<Shell>, Error> {
        match self.shells.pop() {
            Some(shell) => Ok(Some(shell)),
            None => self.count(Kind::Store).map(|()| None),
        }
    }

    /// Keeps a shell, or forgets it when there are enough.
    pub(crate) fn keep_shell(&self, shell: Shell) {
        if self.shells.push(shell, self.limit(Kind::Store)).is_err() {
            self.uncount(Kind::Store);
        }
    }

    /// A shell that was counted has gone.
    pub(crate) fn lose_shell(&self) {
        self.uncount(Kind::Store);
    }

    /// Address space of a memory before.
    pub(crate) fn reservation(&self) -> Option<Reservation> {
        self.reservations.pop()
    }

    /// Keeps the address space of a memory to which `dirty` was written, when it can be made as new.
    pub(crate) fn keep_reservation(&self, mut reservation: Reservation, dirty: Dirty) {
        if reservation.blank(dirty, self.keep_resident()).is_ok() {
            // One too many is just dropped.
            let _one_too_many = self.reservations.push(reservation, self.limit(Kind::Memory).min(MAX_KEPT));
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Store => "stores",
            Self::Instance => "instances",
            Self::Memory => "memories",
            Self::Table => "tables",
        }
    }
}

/// One of what a pool counts; given up when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Arc<Pool>,
    kind: Kind,
}

impl Share {
    /// Takes one.
    pub(crate) fn take(pool: &Arc<Pool>, kind: Kind) -> Result<Self, Error> {
        pool.count(kind)?;
        Ok(Self { pool: Arc::clone(pool), kind })
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.uncount(self.kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_stay_resident() {
        let limits = PoolLimits {
            stores: 1,
            instances: 1,
            memories: 1,
            tables: 1,
            memory_size: 0,
            table_elements: 0,
            keep_resident: 3 * page_size() + 1,
            stack_zeroing: false,
        };
        assert_eq!(Pool::new(Some(limits)).keep_resident(), 3 * page_size());
        assert_eq!(Pool::new(None).keep_resident() % page_size(), 0);
    }

    #[test]
    fn modules_that_are_gone_are_forgotten() {
        let pool = Pool::new(None);
        let last: Arc<Idle> = Arc::default();
        for _ in 0..1000 {
            pool.enter(&Arc::default());
            pool.enter(&last);
        }
        let modules = pool.modules.lock().unwrap();
        assert!(modules.iter().filter(|module| module.strong_count() > 0).count() >= 1000);
        assert!(modules.len() < 1600, "{}", modules.len());
    }
}
