//! [`Ration`]: what one late module in tiers may still have compiled.
//!
//! Such a module is compiled while it runs, some of it on threads in the background, so that what it uses is counted here and not in the [`super::registry`].

use super::limits::JitLimits;
use crate::{CompileError, CompileErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use wasmo_abi::tier::Tier;

/// Code and compile time of one module; with it goes what it has taken.
#[derive(Debug)]
pub(crate) struct Ration {
    /// The bytes of machine code of all late modules of the store.
    all: Arc<AtomicUsize>,
    own: AtomicUsize,
    limits: Limits,
    /// Nanoseconds of compile time so far.
    lift_off: AtomicU64,
    optimized: AtomicU64,
}

/// Of the limits of who adds the module, those that hold while it runs.
#[derive(Clone, Copy, Debug)]
struct Limits {
    code_bytes: usize,
    compile_time: Duration,
}

impl Ration {
    /// The ration of a new module in a store whose late modules have `all` bytes of code. The host has no limits.
    pub(crate) fn new(all: &Arc<AtomicUsize>, limits: Option<&JitLimits>) -> Self {
        let none = Limits { code_bytes: usize::MAX, compile_time: Duration::MAX };
        let of = |limits: &JitLimits| Limits { code_bytes: limits.code_bytes, compile_time: limits.compile_time };
        Self {
            all: Arc::clone(all),
            own: AtomicUsize::new(0),
            limits: limits.map_or(none, of),
            lift_off: AtomicU64::new(0),
            optimized: AtomicU64::new(0),
        }
    }

    fn spent(&self, tier: Tier) -> &AtomicU64 {
        match tier {
            Tier::LiftOff => &self.lift_off,
            Tier::Optimized => &self.optimized,
        }
    }

    /// Whether there is time left to compile.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn check_time(&self, tier: Tier) -> Result<(), CompileError> {
        let limit = self.limits.compile_time;
        if Duration::from_nanos(self.spent(tier).load(Ordering::Relaxed)) <= limit {
            return Ok(());
        }
        Err(refused(format!("compilation was cancelled: the late module takes too long (the limit is {limit:?})")))
    }

    /// Notes that so much time went by.
    pub(crate) fn spend(&self, tier: Tier, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let add = |spent: u64| Some(spent.saturating_add(time));
        let _always = self.spent(tier).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes so many bytes of code.
    ///
    /// # Errors
    /// When there are not so many left; then none are taken, and there is no more time for optimised code.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), CompileError> {
        let limit = self.limits.code_bytes;
        let within = |used: usize| used.checked_add(bytes).filter(|&used| used <= limit);
        match self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within) {
            Ok(_) => {
                self.own.fetch_add(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(used) => {
                self.spend(Tier::Optimized, Duration::MAX);
                let used = used.saturating_add(bytes);
                Err(refused(format!("too many bytes of late modules' machine code: {used} (the limit is {limit})")))
            }
        }
    }
}

impl Drop for Ration {
    fn drop(&mut self) {
        self.all.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

fn refused(message: String) -> CompileError {
    CompileError { kind: CompileErrorKind::Limit, offset: None, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_has_taken_goes_with_it() {
        let all = Arc::new(AtomicUsize::new(0));
        let limits = JitLimits { code_bytes: 100, compile_time: Duration::from_secs(1), ..JitLimits::default() };
        let (a, b) = (Ration::new(&all, Some(&limits)), Ration::new(&all, Some(&limits)));
        a.take(60).unwrap();
        assert!(b.check_time(Tier::Optimized).is_ok());
        let refused = b.take(41).unwrap_err().to_string();
        assert!(refused.contains("101 (the limit is 100)"), "{refused}");
        assert!(b.check_time(Tier::Optimized).is_err());
        b.take(40).unwrap();
        drop(a);
        assert_eq!(all.load(Ordering::Relaxed), 40);
        b.spend(Tier::LiftOff, Duration::from_secs(1));
        assert!(b.check_time(Tier::LiftOff).is_ok());
        b.spend(Tier::LiftOff, Duration::from_nanos(1));
        assert!(b.check_time(Tier::LiftOff).is_err());
        drop(b);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
