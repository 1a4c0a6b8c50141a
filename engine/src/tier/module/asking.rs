//! What code asks for that counts how often it runs, and what it gets: code to go on in, or a new budget while better code is made.
//!
//! Lift-off code asks for code that is made soon ([`Stage::Soon`]), and such code, once it has run much longer, for code as good as it can be. A variant that begins at a loop is wanted only when code goes
//! on asking at that loop after the function has better code: then it is a call that lasts, while functions that are called often get to their new code without.

use super::{RuntimeModule, Shared, Stage, State, Variant, VariantKey, Wanted, entries};
use crate::tier::TierEvent;
use crate::tier::module::Busy;
use crate::tier::stack::on_large_stack;
use crate::tier::workers::{Heat, Urgency};
use std::sync::Arc;
use wasmo_abi::tier::Asking;

impl State {
    /// The variant to go on in, and whether it was made soon.
    fn variant(&self, position: usize, asking: Asking) -> Option<(usize, bool)> {
        let at = asking.at?;
        let soon = |soon| match self.variants.get(&(position, at, soon)) {
            Some(&Variant::At(code)) => Some((code, soon)),
            _ => None,
        };
        soon(false).or_else(|| if asking.soon { None } else { soon(true) })
    }
}

impl Shared {
    /// Whether optimised code is made soon at first, and better code later. Code that guests have generated is worth it at once.
    fn makes_soon(&self) -> bool {
        self.tuning.soon_asks > 0 && self.ration.is_none()
    }

    /// The next budget of a function whose code asks.
    pub(super) fn next_budget(&self, soon: bool) -> i32 {
        if soon { self.tuning.soon_budget } else { self.tuning.budget_while_waiting }
    }

    /// What is to be made for who asks, if anything is that is not under way.
    fn wanted(&self, state: &mut State, position: usize, asking: Asking) -> Option<Wanted> {
        let stage = *state.stages.get(position)?;
        let makes_soon = self.makes_soon();
        if asking.soon {
            // Code of an earlier run, which it has kept, is at the stage of lift-off code.
            let judged = matches!(stage, Stage::Soon | Stage::LiftOff);
            if judged {
                let asked = state.asked.entry(position).or_default();
                *asked = asked.saturating_add(1);
                if *asked < self.tuning.soon_asks {
                    return None;
                }
            }
            let missing = |at| !state.variants.contains_key(&(position, at, false));
            let at =
                asking.at.filter(|&at| missing(at) && (stage == Stage::Final || judged && self.tuning.synchronous));
            return (judged || at.is_some()).then_some(Wanted { position, whole: judged, at, soon: false });
        }
        let whole = matches!(stage, Stage::LiftOff | Stage::LiftingOff | Stage::Postponed);
        let lasts = matches!(stage, Stage::Soon | Stage::Improving | Stage::Final);
        // A variant leads to all that follows in the function: others would come too late for the same call.
        let awaited = |(key, variant): (&VariantKey, &Variant)| key.0 == position && *variant == Variant::Awaited;
        let is_served = makes_soon && asking.at.is_some() && state.variants.iter().any(awaited);
        let missing = |at| !is_served && !state.variants.contains_key(&(position, at, makes_soon));
        let at = asking.at.filter(|&at| missing(at) && (lasts || !makes_soon || self.tuning.synchronous));
        (whole || at.is_some()).then_some(Wanted { position, whole, at, soon: makes_soon })
    }

    pub(super) fn tier_up(self: &Arc<Self>, module: &RuntimeModule, position: usize, asking: Asking) -> Option<usize> {
        let entries = entries(module)?;
        let mut state = self.state();
        if let Some((code, soon)) = state.variant(position, asking) {
            drop(state);
            entries.set_budget(position, self.next_budget(soon || asking.soon));
            return Some(self.osr(module, asking, position, code));
        }
        let wanted = if self.optimizes { self.wanted(&mut state, position, asking) } else { None };
        let Some(wanted) = wanted else {
            if let Some(heat) = state.heats.get(&(position, asking.at)).or_else(|| state.heats.get(&(position, None))) {
                heat.ask();
            }
            // What is awaited comes soon; a function that is final and still counts is left at its next call.
            let best = asking.at.and_then(|at| state.variants.get(&(position, at, !asking.soon && self.makes_soon())));
            let is_final = state.stages.get(position) == Some(&Stage::Final);
            let settled = !self.optimizes
                || is_final && (best.is_some() || asking.at.is_none()) && !matches!(best, Some(Variant::Awaited));
            entries.set_budget(position, if settled { i32::MAX } else { self.next_budget(asking.soon) });
            return None;
        };
        if self.is_too_young() {
            if wanted.whole && !asking.soon {
                state.stages[position] = Stage::Postponed;
            }
            entries.set_budget(position, self.next_budget(asking.soon));
            return None;
        }
        if wanted.whole {
            state.stages[position] = if asking.soon { Stage::Improving } else { Stage::Hot };
        }
        if let Some(at) = wanted.at {
            state.variants.insert((position, at, wanted.soon), Variant::Awaited);
        }
        drop(state);
        entries.set_budget(position, self.next_budget(asking.soon));
        let (func, at) = (module.info.func_of_defined(position).0, asking.at.map(|at| at.0));
        self.report(&TierEvent::Hot { func, at });
        if self.tuning.synchronous {
            let _busy = Busy::begin()?;
            on_large_stack(|| self.optimize(module, wanted)).ok()?;
            let (code, _) = self.state().variant(position, asking)?;
            return Some(self.osr(module, asking, position, code));
        }
        self.submit(module, wanted, asking);
        None
    }

    /// Reports that code which asked goes on in `code`.
    fn osr(&self, module: &RuntimeModule, asking: Asking, position: usize, code: usize) -> usize {
        if let Some(at) = asking.at {
            self.report(&TierEvent::Osr { func: module.info.func_of_defined(position).0, at: at.0 });
        }
        code
    }

    /// Has a worker make what is wanted.
    fn submit(self: &Arc<Self>, module: &RuntimeModule, wanted: Wanted, asking: Asking) {
        let Wanted { position, whole, at, .. } = wanted;
        let heat = Heat::new();
        let mut state = self.state();
        for key in whole.then_some(None).into_iter().chain(at.map(Some)) {
            state.heats.insert((position, key), Arc::clone(&heat));
        }
        drop(state);
        let bytes = self.source.get().map_or(0, |source| source.body_size(position));
        let (this, weak, asked) = (Arc::downgrade(self), Arc::downgrade(module), Arc::clone(&heat));
        let task = move || {
            if let (Some(this), Some(module)) = (this.upgrade(), weak.upgrade())
                && let Some(wanted) = this.begin_hot(&asked, wanted)
            {
                this.optimize(&module, wanted);
            }
        };
        let urgency = if self.ration.is_some() {
            Urgency::Generated
        } else if asking.soon {
            Urgency::Better(heat, bytes)
        } else {
            Urgency::Hot(heat, bytes)
        };
        self.engine.tier_workers().submit(urgency, Box::new(task));
    }
}
