//! What code asks for that may be replaced by better code, and what it gets: code to go on in, or a new budget while better code is made.
//!
//! Lift-off code asks when it has used up its budget, for code that is made soon ([`Stage::Soon`]). Such code asks when it is found to run ([`crate::tier::sampler`]); once it has been found often enough, code as good as
//! it can be is made. Functions that are called often get to their new code without more ado. For a call that lasts, which goes on asking from its loops, there is code that is entered there: when it is in lift-off
//! code, the code that is made soon is made so that it can be entered and left at each loop; when it is in that, a variant of the best code that begins at this loop, and even comes before the function.

use super::{Asked, RuntimeModule, Shared, Stage, State, Variant, Wanted, entries};
use crate::tier::TierEvent;
use crate::tier::module::Busy;
use crate::tier::stack::on_large_stack;
use crate::tier::workers::{Heat, Urgency};
use std::sync::Arc;
use wasmo_abi::module::Body;
use wasmo_abi::tier::{Asking, LoopIndex, Onward};
use wasmo_codegen::Soon;
use wasmo_runtime::tier::Entries;

impl Asked {
    /// Counts that code has asked; `same_call`: from a loop, and the function has not been entered since it did so last.
    fn count(&mut self, asking: Asking, same_call: impl FnOnce() -> bool) {
        self.times = self.times.saturating_add(u32::from(asking.soon));
        if asking.at.is_some() {
            self.in_one_call = if same_call() { self.in_one_call.saturating_add(1) } else { 0 };
        }
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
        let has_entrance = is_soon && self.at_loops.get(&position) == Some(&true);
        let code = entries.code(position).filter(|_| has_entrance)?;
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

    /// How code is to be made soon of a function, for what its lift-off code has asked for so far: whether from loops of a call that lasts.
    pub(super) fn how_soon(&self, state: &State, position: usize) -> Soon {
        let lasts = |asked: &Asked| asked.in_one_call >= self.tuning.lasting_asks;
        if state.asked.get(&position).is_some_and(lasts) { Soon::AtLoops } else { Soon::Whole }
    }

    /// What is to be made for lift-off code that asks, at a loop or when it was entered, if anything is that is not under way.
    fn wanted(&self, state: &State, position: usize, at: Option<LoopIndex>) -> Option<Wanted> {
        let stage = *state.stages.get(position)?;
        let whole = matches!(stage, Stage::LiftOff | Stage::LiftingOff | Stage::Postponed);
        if self.makes_soon() {
            // A call that lasts has nothing from code that cannot be entered at its loops.
            let soon = at.map_or(Soon::Whole, |_| self.how_soon(state, position));
            let instead = stage == Stage::Soon && soon == Soon::AtLoops && !state.at_loops.contains_key(&position);
            if whole || instead {
                return Some(Wanted { position, whole: true, at: None, soon: Some(soon) });
            }
        }
        let at = at.filter(|&at| state.lacks(position, at) && (stage == Stage::Final || !self.makes_soon()));
        (whole || at.is_some()).then_some(Wanted { position, whole, at, soon: None })
    }

    /// What is to be made for code that was made soon and asks likewise.
    fn wanted_better(
        &self,
        module: &RuntimeModule,
        state: &State,
        position: usize,
        at: Option<LoopIndex>,
    ) -> Option<Wanted> {
        let stage = *state.stages.get(position)?;
        // When a unit that it was in could not be compiled, it is at the stage of lift-off code.
        let whole = matches!(stage, Stage::Soon | Stage::LiftOff);
        if whole {
            let Asked { times, long_ago, in_one_call } = state.asked.get(&position).copied().unwrap_or_default();
            let bytes = module.info.bodies.get(position).map_or(0, Body::size);
            let enough = bytes / self.tuning.bytes_an_ask.max(1) + self.tuning.soon_asks as usize;
            if !long_ago && (times as usize) < enough {
                return None;
            }
            // Nobody may ever call it again: the code that this call goes on in comes first.
            let lasts = in_one_call >= self.tuning.soon_asks / 2 && !self.tuning.synchronous;
            if let Some(at) = at.filter(|_| lasts) {
                match state.variants.get(&(position, at)) {
                    None => return Some(Wanted { position, whole: false, at: Some(at), soon: None }),
                    Some(Variant::Awaited) => return None,
                    Some(_) => {}
                }
            }
        }
        let here = stage == Stage::Final || whole && self.tuning.synchronous;
        let at = at.filter(|&at| here && state.lacks(position, at));
        (whole || at.is_some()).then_some(Wanted { position, whole, at, soon: None })
    }

    pub(super) fn tier_up(self: &Arc<Self>, module: &RuntimeModule, position: usize, asking: Asking) -> Option<Onward> {
        let entries = entries(module)?;
        if asking.soon && !self.tuning.sample_period.is_zero() {
            entries.end_sample();
            self.sample(module);
        }
        let mut state = self.state();
        if let Some(onward) = state.onward(entries, position, asking) {
            drop(state);
            self.next_budget(entries, position, asking);
            return Some(self.osr(module, asking, position, onward));
        }
        state.asked.entry(position).or_default().count(asking, || entries.is_same_call(position));
        let wanted = match asking {
            _ if !self.optimizes => None,
            Asking { soon: false, at } => self.wanted(&state, position, at),
            Asking { soon: true, at } => self.wanted_better(module, &state, position, at),
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
            if settled && !asking.soon {
                entries.set_budget(position, i32::MAX);
            } else {
                self.next_budget(entries, position, asking);
            }
            return None;
        };
        // What runs so long is worth it, or was worth it to an earlier run.
        if !asking.soon && self.is_too_young() {
            if wanted.whole && state.stages[position] != Stage::Soon {
                state.stages[position] = Stage::Postponed;
            }
            self.next_budget(entries, position, asking);
            return None;
        }
        if wanted.whole {
            state.stages[position] = match state.stages[position] {
                Stage::Soon if wanted.soon.is_some() => Stage::Lasting,
                _ if asking.soon => Stage::Improving,
                _ => Stage::Hot,
            };
        }
        if let Some(at) = wanted.at {
            state.variants.insert((position, at), Variant::Awaited);
        }
        drop(state);
        self.next_budget(entries, position, asking);
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

    /// Gives a function whose lift-off code asks a new budget.
    fn next_budget(&self, entries: &Entries, position: usize, asking: Asking) {
        if !asking.soon {
            entries.set_budget(position, self.tuning.budget_while_waiting);
        }
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
        let mut state = self.state();
        let times = state.asked.get(&position).map_or(0, |asked| asked.times);
        let heat = Heat::new(times);
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
