//! What code asks for that counts how often it runs, and what it gets: code to go on in, or a new budget while better code is made.
//!
//! Lift-off code asks for code that is made soon ([`Stage::Soon`]), and goes on in it, which can be entered at each loop. Such code, once it has run much longer, asks for code as good as it can be; a variant
//! of that which begins at a loop is wanted only when the call lasts, while functions that are called often get to their new code without: when code goes on asking at that loop after the function has
//! better code, or when all that it asked for lately was from loops of one call. Then the variant even comes before the function.

use super::{Asked, RuntimeModule, Shared, Stage, State, Variant, Wanted, entries};
use crate::tier::TierEvent;
use crate::tier::module::Busy;
use crate::tier::stack::on_large_stack;
use crate::tier::workers::{Heat, Urgency};
use std::sync::Arc;
use wasmo_abi::tier::{Asking, LoopIndex, Onward};
use wasmo_runtime::tier::Entries;

impl Asked {
    /// Counts that code has asked, which had been entered `entered` times.
    fn count(&mut self, entered: u32) {
        self.times = self.times.saturating_add(1);
        self.in_one_call = if self.entered == entered { self.in_one_call.saturating_add(1) } else { 0 };
        self.entered = entered;
    }
}

impl State {
    /// Where code that asks at a loop goes on, if there is better code.
    fn onward(&self, entries: &Entries, position: usize, asking: Asking) -> Option<Onward> {
        let at = asking.at?;
        if let Some(&Variant::At(code)) = self.variants.get(&(position, at)) {
            return Some(Onward { code, at: None });
        }
        // The entry of such a function leads to this code as long as the state is locked, and nobody has it replaced and retired.
        let is_soon = matches!(self.stages.get(position), Some(Stage::Soon | Stage::Improving)) && !asking.soon;
        let code = entries.code(position).filter(|_| is_soon)?;
        Some(Onward { code, at: Some(at) })
    }

    /// Whether the variant that begins at this loop was never asked for.
    fn lacks(&self, position: usize, at: LoopIndex) -> bool {
        !self.variants.contains_key(&(position, at))
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

    /// What is to be made for lift-off code that asks, at a loop or when it was entered, if anything is that is not under way.
    fn wanted(&self, state: &State, position: usize, at: Option<LoopIndex>) -> Option<Wanted> {
        let stage = *state.stages.get(position)?;
        let whole = matches!(stage, Stage::LiftOff | Stage::LiftingOff | Stage::Postponed);
        let soon = self.makes_soon();
        if whole && soon {
            return Some(Wanted { position, whole, at: None, soon });
        }
        let at = at.filter(|&at| state.lacks(position, at) && (stage == Stage::Final || !soon));
        (whole || at.is_some()).then_some(Wanted { position, whole, at, soon: false })
    }

    /// What is to be made for code that was made soon and asks likewise. Such code had been entered `entered` times.
    fn wanted_better(&self, state: &mut State, position: usize, at: Option<LoopIndex>, entered: u32) -> Option<Wanted> {
        let stage = *state.stages.get(position)?;
        // When a unit that it was in could not be compiled, it is at the stage of lift-off code.
        let whole = matches!(stage, Stage::Soon | Stage::LiftOff);
        if whole {
            let asked = state.asked.entry(position).or_default();
            asked.count(entered);
            let (times, lasts) = (asked.times, asked.in_one_call >= self.tuning.soon_asks / 2);
            if times < self.tuning.soon_asks {
                return None;
            }
            // Nobody may ever call it again: the code that this call goes on in comes first.
            if let Some(at) = at.filter(|_| lasts && !self.tuning.synchronous) {
                match state.variants.get(&(position, at)) {
                    None => return Some(Wanted { position, whole: false, at: Some(at), soon: false }),
                    Some(Variant::Awaited) => return None,
                    Some(_) => {}
                }
            }
        }
        let here = stage == Stage::Final || whole && self.tuning.synchronous;
        let at = at.filter(|&at| here && state.lacks(position, at));
        (whole || at.is_some()).then_some(Wanted { position, whole, at, soon: false })
    }

    pub(super) fn tier_up(self: &Arc<Self>, module: &RuntimeModule, position: usize, asking: Asking) -> Option<Onward> {
        let entries = entries(module)?;
        let mut state = self.state();
        if let Some(onward) = state.onward(entries, position, asking) {
            drop(state);
            entries.set_budget(position, self.next_budget(onward.at.is_some() || asking.soon));
            return Some(self.osr(module, asking, position, onward));
        }
        let wanted = match asking {
            _ if !self.optimizes => None,
            Asking { soon: false, at } => self.wanted(&state, position, at),
            Asking { soon: true, at } => self.wanted_better(&mut state, position, at, entries.entered(position)),
        };
        let Some(wanted) = wanted else {
            if let Some(heat) = state.heats.get(&(position, asking.at)).or_else(|| state.heats.get(&(position, None))) {
                heat.ask();
            }
            // What is awaited comes soon; a function that is final and still counts is left at its next call.
            let best = asking.at.and_then(|at| state.variants.get(&(position, at)));
            let is_final = state.stages.get(position) == Some(&Stage::Final);
            let settled = !self.optimizes
                || is_final && (best.is_some() || asking.at.is_none()) && !matches!(best, Some(Variant::Awaited));
            entries.set_budget(position, if settled { i32::MAX } else { self.next_budget(asking.soon) });
            return None;
        };
        // What runs so long is worth it, or was worth it to an earlier run.
        if !asking.soon && self.is_too_young() {
            if wanted.whole {
                state.stages[position] = Stage::Postponed;
            }
            entries.set_budget(position, self.next_budget(asking.soon));
            return None;
        }
        if wanted.whole {
            state.stages[position] = if asking.soon { Stage::Improving } else { Stage::Hot };
        }
        if let Some(at) = wanted.at {
            state.variants.insert((position, at), Variant::Awaited);
        }
        drop(state);
        entries.set_budget(position, self.next_budget(asking.soon));
        let (func, at) = (module.info.func_of_defined(position).0, asking.at.map(|at| at.0));
        self.report(&TierEvent::Hot { func, at });
        if self.tuning.synchronous {
            let _busy = Busy::begin()?;
            on_large_stack(|| self.optimize(module, wanted)).ok()?;
            let onward = self.state().onward(entries, position, asking)?;
            return Some(self.osr(module, asking, position, onward));
        }
        self.submit(module, wanted, asking);
        None
    }

    /// Reports that code which asked goes on.
    fn osr(&self, module: &RuntimeModule, asking: Asking, position: usize, onward: Onward) -> Onward {
        if let Some(at) = asking.at {
            self.report(&TierEvent::Osr { func: module.info.func_of_defined(position).0, at: at.0 });
        }
        onward
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
