//! [`Quarantine`]: contexts of instances that are gone, to which locals and operands of running functions may still refer.
//!
//! Such a reference is in a frame of the guest's stack, or in a register that some function of the host has saved on the host's stack since the guest called it. Both
//! stacks are searched, word by word, for anything that looks like an address in one of the contexts; those that are not found are freed. So that the search costs a
//! removal little, it waits until there are some, twice as many as it could not free the last time. While no call is under way, nothing is kept.

use crate::exec::Exec;
use crate::trap::search::each_word;
use crate::vmcontext::Context;

/// As many contexts are kept without looking whether they must be.
const FEW: usize = 256;

/// As many bytes of them.
const SMALL: usize = 256 << 10;

/// Contexts that are kept.
#[derive(Debug)]
pub(crate) struct Quarantine {
    contexts: Vec<Context>,
    bytes: usize,
    /// The next search is when there are more than these.
    patience: (usize, usize),
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { contexts: Vec::new(), bytes: 0, patience: (FEW, SMALL) }
    }
}

impl Quarantine {
    /// Takes the context of an instance that is gone, and frees what need not be kept.
    ///
    /// # Safety
    /// The host runs, on the thread on which the guest's calls are under way, if there are any. Records in the context mean null, and nothing but frames refers to it.
    pub(super) unsafe fn take(&mut self, exec: &Exec, context: Context) {
        if exec.entry_frame() == 0 {
            *self = Self::default();
            return;
        }
        self.bytes += context.range().len();
        self.contexts.push(context);
        if self.contexts.len() > self.patience.0 || self.bytes > self.patience.1 {
            // SAFETY: as the caller promises.
            unsafe { self.search(exec) };
            self.patience = (FEW.max(self.contexts.len() * 2), SMALL.max(self.bytes * 2));
        }
    }

    /// The number of contexts that are kept.
    pub(super) fn len(&self) -> usize {
        self.contexts.len()
    }

    /// Frees the contexts to which neither stack refers.
    ///
    /// # Safety
    /// As [`Quarantine::take`].
    unsafe fn search(&mut self, exec: &Exec) {
        self.contexts.sort_unstable_by_key(|context| context.range().start);
        let mut found = vec![false; self.contexts.len()];
        let (low, high) = match (self.contexts.first(), self.contexts.last()) {
            (Some(first), Some(last)) => (first.range().start, last.range().end),
            _ => return,
        };
        let look = |word: usize| {
            if !(low..high).contains(&word) {
                return;
            }
            let place = self.contexts.partition_point(|context| context.range().start <= word);
            let candidate = place.checked_sub(1).and_then(|place| Some((place, self.contexts.get(place)?)));
            if let Some((place, context)) = candidate
                && context.range().contains(&word)
                && let Some(found) = found.get_mut(place)
            {
                *found = true;
            }
        };
        // SAFETY: as the caller promises.
        if !unsafe { each_word(exec, look) } {
            return;
        }
        let mut keep = found.iter();
        self.contexts.retain(|_| *keep.next().unwrap_or(&true));
        self.bytes = self.contexts.iter().map(|context| context.range().len()).sum();
    }
}
