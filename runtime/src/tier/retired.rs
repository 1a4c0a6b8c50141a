//! Code that was replaced by newer code, and is freed when no store can come back to it.
//!
//! A unit is *retired* when the last entry that led to it leads elsewhere. Nobody finds it any more; but whoever found it before may be in it, or hold its address: a frame of it, a
//! caller that has read an entry and not called yet, a stub that is about to jump. All of these are calls under way, so what has to be known is which stores
//! had one, and when that was over. No guest pays for it: entering and leaving one costs what it did.
//!
//! * **Who may hold it.** [`reclaim`] has all threads pass a barrier ([`barrier::all_threads`]) after the unit was retired, and looks then which stores have a call under way
//!   (`host_sp` of their contexts, and [`Exec::unwinding`]): these, as far as they have an instance of the module, are the unit's *holders*. A store that is seen to have none either has read no entry since its call began, and
//!   will find the new code; or its call is over. For if a thread has read the entry before its barrier, then what it wrote still before that, which is
//!   that the call had begun, is seen after the barrier. (An instance that is made later finds the new code as well: who makes it and who looks for it use the same lock.) Holders only ever become fewer.
//! * **Who does not any more.** A store without a call under way: its frames are gone. And a store of which a function has just asked for code, on its own thread ([`pass`]), when no word on its
//!   stack, or on the host's where registers were saved, is an address in the unit ([`each_word`]): the entries that it reads from then on lead elsewhere. Searching takes as long
//!   as the stack is deep, so it is done when much has been retired since the last time.
//! * A unit without holders is taken out of its module and of the code registry, and freed. Backtraces keep what they look at.
//!
//! So code is kept longer than it must be where a call goes on for ever and its functions never ask for code again, where a frame of it never returns, and where the system has no such
//! barrier; it is never freed too early. Everything here is of the process, since a thread may have calls of stores of several engines under way.
//!
//! `runtime/tests/reclamation.rs` is a model of it.

use crate::exec::Exec;
use crate::module::Module;
use crate::sys::barrier;
use crate::trap::activations::Activations;
use crate::trap::search::each_word;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A guest's stack is not searched before so many bytes were retired since the last time.
const FEW: usize = 16 << 10;

/// Nor before so many bytes were retired as one in this many of the stack's.
const DEPTH_PART: usize = 8;

/// The modules in tiers that a store has instances of, by address, and how many.
#[derive(Debug, Default)]
pub(crate) struct Users {
    counts: Mutex<BTreeMap<usize, usize>>,
    /// Whether there ever were some since all were gone, for the store's own thread: stores that come and go by the million mostly have none.
    any: AtomicBool,
}

impl Users {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store is making an instance of the module.
    pub(crate) fn enter(&self, module: &Arc<Module>) {
        if module.tiers.is_some() {
            self.any.store(true, Ordering::Relaxed);
            *self.counts().entry(Arc::as_ptr(module) as usize).or_default() += 1;
        }
    }

    /// An instance of the module is gone while the store lives.
    pub(crate) fn leave(&self, module: &Arc<Module>) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let (mut counts, address) = (self.counts(), Arc::as_ptr(module) as usize);
        match counts.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&address)),
        }
    }

    /// All instances are gone.
    pub(crate) fn clear(&self) {
        if self.any.load(Ordering::Relaxed) {
            self.any.store(false, Ordering::Relaxed);
            self.counts().clear();
        }
    }

    fn has(&self, module: &Weak<Module>) -> bool {
        self.counts().contains_key(&(module.as_ptr() as usize))
    }
}

/// A unit that was retired.
#[derive(Debug)]
struct Retired {
    module: Weak<Module>,
    code: Range<usize>,
}

/// One of which it is known which stores may hold it.
#[derive(Debug)]
struct Held {
    retired: Retired,
    /// No other ever has the same.
    serial: u64,
    /// Addresses of their contexts. One may be another store's by now, which does no harm.
    holders: Vec<usize>,
}

/// One that a store is searched for.
struct Sought {
    code: Range<usize>,
    serial: u64,
    found: bool,
}

#[derive(Debug)]
struct State {
    /// Addresses of all contexts that there are.
    contexts: BTreeSet<usize>,
    /// What was retired since holders were looked for last.
    fresh: Vec<Retired>,
    held: Vec<Held>,
    /// The serial number of the next one.
    next: u64,
}

static STATE: Mutex<State> =
    Mutex::new(State { contexts: BTreeSet::new(), fresh: Vec::new(), held: Vec::new(), next: 0 });

/// How many units were retired and are not free yet.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// How many bytes of code were ever retired; it may wrap.
static BYTES: AtomicUsize = AtomicUsize::new(0);

fn state() -> MutexGuard<'static, State> {
    // Each step leaves it whole.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A context is there from now on.
pub(crate) fn enter(exec: NonNull<Exec>) {
    state().contexts.insert(exec.as_ptr() as usize);
}

/// A context goes. No call is under way in it.
pub(crate) fn leave(exec: NonNull<Exec>) {
    state().contexts.remove(&(exec.as_ptr() as usize));
}

/// Code of `module`, to which no entry leads any more, waits to be freed.
pub(crate) fn retire(module: &Arc<Module>, code: Range<usize>) {
    BYTES.fetch_add(code.len(), Ordering::Relaxed);
    WAITING.fetch_add(1, Ordering::Relaxed);
    state().fresh.push(Retired { module: Arc::downgrade(module), code });
}

/// Whether there is code that was replaced and could not be freed so far.
pub fn is_waiting() -> bool {
    WAITING.load(Ordering::Relaxed) != 0
}

impl State {
    /// The contexts in which a call is under way, in order.
    fn active(&self) -> Vec<usize> {
        let is_active = |&&context: &&usize| {
            let exec = context as *const Exec;
            // SAFETY: contexts leave the list before they go, under the lock; both fields are atomic.
            let (entered, unwinding) = unsafe { (&(*exec).vm.host_sp, &(*exec).unwinding) };
            // In this order: a call that was unwound is not under way any more before the host has looked at its frames.
            entered.load(Ordering::Acquire) != 0 || unwinding.load(Ordering::Acquire)
        };
        self.contexts.iter().filter(is_active).copied().collect()
    }

    /// Those of these contexts in which the module's code may be under way.
    fn holders(&self, active: &[usize], module: &Weak<Module>) -> Vec<usize> {
        let is_user = |&&context: &&usize| {
            let exec = context as *const Exec;
            // SAFETY: as above; others know this field by shared references only.
            self.contexts.contains(&context) && unsafe { &(*exec).users }.has(module)
        };
        active.iter().filter(is_user).copied().collect()
    }
}

/// Frees what was replaced and no store can come back to. Costs next to nothing when nothing was replaced.
///
/// Modules that nobody else has any more may be dropped here, with all that they keep.
pub fn reclaim() {
    if !is_waiting() {
        return;
    }
    let fresh = std::mem::take(&mut state().fresh);
    if !fresh.is_empty() && !barrier::all_threads() {
        // It stays until its module goes.
        WAITING.fetch_sub(fresh.len(), Ordering::Relaxed);
        return;
    }
    let mut state = state();
    let active = state.active();
    for retired in fresh {
        let serial = state.next;
        state.next += 1;
        let holders = state.holders(&active, &retired.module);
        state.held.push(Held { retired, serial, holders });
    }
    let is_free = |held: &mut Held| {
        held.holders.retain(|holder| active.binary_search(holder).is_ok());
        held.holders.is_empty()
    };
    let free: Vec<Held> = state.held.extract_if(.., is_free).collect();
    drop(state);
    WAITING.fetch_sub(free.len(), Ordering::Relaxed);
    for Held { retired, .. } in free {
        // With a module that is gone went its code.
        if let Some(module) = retired.module.upgrade() {
            module.free(retired.code.start);
        }
    }
}

/// A function of the store has asked for code: looks what it may still come back to, if that is worth it.
///
/// # Safety
/// A helper runs, on the thread and the stack that the guest called it on, and has read no entry for the guest so far.
#[inline]
pub(crate) unsafe fn pass(exec: &Exec) {
    if is_waiting() {
        // SAFETY: as the caller promises.
        unsafe { look(exec) };
    }
}

/// See [`pass`].
///
/// # Safety
/// As [`pass`].
#[cold]
unsafe fn look(exec: &Exec) {
    let bytes = BYTES.load(Ordering::Relaxed);
    // SAFETY: as the caller promises; nobody returns meanwhile.
    let innermost = unsafe { Activations::of(exec) }.next();
    let depth = innermost.map_or(0, |innermost| exec.vm.guest_stack_high - innermost.exit);
    if bytes.wrapping_sub(exec.looked_at.get()) < FEW + depth / DEPTH_PART {
        return;
    }
    exec.looked_at.set(bytes);
    reclaim();
    let context = std::ptr::from_ref(exec) as usize;
    let mut code: Vec<Sought> = Vec::new();
    for held in &state().held {
        if held.holders.contains(&context) {
            code.push(Sought { code: held.retired.code.clone(), serial: held.serial, found: false });
        }
    }
    code.sort_unstable_by_key(|sought| sought.code.start);
    let (Some(first), Some(last)) = (code.first(), code.last()) else { return };
    // A return address may be the first byte after the code, when the call is its last instruction.
    let all = first.code.start..=last.code.end;
    let find = |word: usize| {
        if !all.contains(&word) {
            return;
        }
        let after = code.partition_point(|sought| sought.code.start <= word);
        // Where one unit ends and the next begins, either may be meant.
        for sought in code.iter_mut().take(after).rev().take(2) {
            sought.found |= word <= sought.code.end;
        }
    };
    // SAFETY: as the caller promises.
    if !unsafe { each_word(exec, find) } {
        return;
    }
    let gone: BTreeSet<u64> = code.iter().filter(|sought| !sought.found).map(|sought| sought.serial).collect();
    for held in &mut state().held {
        if gone.contains(&held.serial) {
            held.holders.retain(|&holder| holder != context);
        }
    }
    reclaim();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_known_as_long_as_they_are_there() {
        let options = crate::StoreOptions { stack_size: 1 << 16, epoch: Arc::default(), pool: crate::Pool::new(None) };
        let store = crate::Store::new(&options).unwrap();
        let context = store.exec() as usize;
        assert!(state().contexts.contains(&context));
        assert!(!state().active().contains(&context), "no call is under way");
        drop((store, options));
        assert!(!state().contexts.contains(&context), "the pool is gone, and with it what it kept");
    }
}
