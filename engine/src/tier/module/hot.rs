//! What is done about a hot function: what is optimised together with it ([`HotUnit`]), and that it is.

use super::{RuntimeModule, Shared, Stage, Variant, entries};
use crate::tier::TierEvent;
use crate::tier::workers::Heat;
use std::sync::Arc;
use std::time::Instant;
use wasmo_abi::tier::LoopIndex;
use wasmo_codegen::{Callees, Guess, Neighbour, Request, Soon};

/// What is to be made of a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Its position among the defined ones.
    pub(super) position: usize,
    /// Whether its entry is to lead to new code.
    pub(super) whole: bool,
    /// The loop at which a variant of it is to begin.
    pub(super) at: Option<LoopIndex>,
    /// When it is to be there soon rather than as good as it can be: how it is to be entered and left. Such code is made of whole functions only.
    pub(super) soon: Option<Soon>,
}

/// See [`Shared::hot_unit`].
struct HotUnit<'a> {
    /// The functions, by their positions; the hot one first.
    functions: Vec<usize>,
    /// What is there to be inlined.
    copies: Vec<usize>,
    /// What their calls through tables are guessed to call.
    callees: Callees,
    /// The instance that a late module was added to, with its functions that may be inlined.
    neighbour: Option<Neighbour<'a>>,
}

impl HotUnit<'_> {
    /// A function alone.
    fn of_one(position: usize) -> Self {
        Self { functions: vec![position], copies: Vec::new(), callees: Callees::new(), neighbour: None }
    }
}

impl Shared {
    /// What was asked for with this heat waits no more. Answers what is still wanted of it: a variant only if its loop still runs in worse code, since otherwise nobody would come to it, and whoever comes to
    /// the loop again asks again; and of what is there already, something better only if it still runs.
    pub(super) fn begin_hot(&self, heat: &Heat, wanted: Wanted) -> Option<Wanted> {
        let Wanted { position, whole, at, .. } = wanted;
        let mut state = self.state();
        for key in [(position, None), (position, at)] {
            if state.heats.get(&key).is_some_and(|known| std::ptr::eq(&**known, heat)) {
                state.heats.remove(&key);
            }
        }
        // Whether a call lasts may have turned out meanwhile.
        let soon = wanted.soon.map(|_| self.how_soon(&state, position));
        let is_recent = heat.is_recent();
        // It has code already, and nobody waits for better code any more.
        let is_over = |stage: &&mut Stage| match stage {
            Stage::Lasting => !is_recent || soon != Some(Soon::AtLoops),
            Stage::Improving => !is_recent && whole,
            _ => false,
        };
        if let Some(stage) = state.stages.get_mut(position).filter(is_over) {
            *stage = Stage::Soon;
            return None;
        }
        if is_recent {
            return Some(Wanted { soon, ..wanted });
        }
        if let Some(at) = at {
            state.variants.remove(&(position, at));
        }
        whole.then_some(Wanted { at: None, soon, ..wanted })
    }

    /// Makes what is wanted: when there is time, with what the function calls often.
    pub(super) fn optimize(self: &Arc<Self>, module: &RuntimeModule, wanted: Wanted) {
        let Wanted { position, whole, at, soon } = wanted;
        let started = Instant::now();
        let HotUnit { mut functions, copies, callees, neighbour } =
            if soon.is_some() { HotUnit::of_one(position) } else { self.hot_unit(module, position) };
        // Of a unit that cannot be compiled, so many functions are tried again.
        let least = usize::from(whole);
        if !whole {
            functions.remove(0);
        }
        let osr: Vec<_> = at.map(|at| (position, at)).into_iter().collect();
        let tier = wasmo_abi::tier::Tier::Optimized;
        self.mark(&functions, Stage::Optimizing);
        let mut request =
            Request { tier, soon, functions: functions.clone(), copies, osr: osr.clone(), callees, neighbour };
        let mut made = self.make(&request);
        if made.is_err() && (functions.len() > least || !request.copies.is_empty() || request.neighbour.is_some()) {
            request.neighbour = None;
            request.copies.clear();
            self.mark(&functions.split_off(least.min(functions.len())), Stage::LiftOff);
            request.functions.clone_from(&functions);
            made = self.make(&request);
        }
        if made.is_err() && soon == Some(Soon::AtLoops) {
            request.soon = Some(Soon::Whole);
            made = self.make(&request);
        }
        let mut state = self.state();
        match soon {
            Some(Soon::AtLoops) => drop(state.at_loops.insert(position, request.soon == soon)),
            Some(Soon::Whole) => drop(state.at_loops.remove(&position)),
            None => {}
        }
        let next = if soon.is_some() && made.is_ok() { Stage::Soon } else { Stage::Final };
        for &function in &functions {
            if let Some(stage) = state.stages.get_mut(function) {
                *stage = next;
            }
        }
        let (code, failed) = match made {
            Ok(new) => {
                let code = new.code.unit.size;
                for &(position, at, address) in &new.code.osr {
                    state.variants.insert((position, at), Variant::At(address));
                }
                // While the state is locked: whoever finds the functions to be final finds their code as well.
                self.publish(module, tier, soon.is_some(), new);
                (code, false)
            }
            Err(error) => {
                tracing::warn!(func = module.info.func_of_defined(position).0, %error, "a function stays in lift-off code");
                for &(position, at) in &osr {
                    state.variants.insert((position, at), Variant::Failed);
                }
                (0, true)
            }
        };
        drop(state);
        if soon.is_some() {
            self.sample(module);
        }
        wasmo_runtime::tier::reclaim();
        self.when_quiet(module);
        let func = module.info.func_of_defined(position).0;
        if failed {
            self.report(&TierEvent::Kept { func });
            return;
        }
        let (functions, at, took) = (functions.len(), at.map(|at| at.0), started.elapsed());
        self.report(&match soon {
            Some(_) => TierEvent::Soon { func, code, took },
            None => TierEvent::Optimized { func, functions, at, code, took },
        });
    }

    pub(super) fn mark(&self, functions: &[usize], stage: Stage) {
        let mut state = self.state();
        for &function in functions {
            if let Some(place) = state.stages.get_mut(function) {
                *place = stage;
            }
        }
    }

    /// The function at `position` and those that it calls, directly or through one another: warm ones, which are marked, are compiled with it, and small ones are there to be inlined.
    /// With them come guesses of what their calls through tables call, which is called often likewise. Of the functions of
    /// a late module's host instance, small ones come with them, to be inlined; calls of others are direct.
    fn hot_unit(&self, module: &RuntimeModule, position: usize) -> HotUnit<'_> {
        let (mut functions, mut copies, mut guesses) = (vec![position], Vec::new(), Callees::new());
        let (Some(entries), Ok(source)) = (entries(module), self.source.get()) else {
            return HotUnit::of_one(position);
        };
        let host = self.host.get();
        let mut of_host = Vec::new();
        let (mut bytes, mut inlined) = (source.body_size(position), 0);
        let warm = self.tuning.budget - self.tuning.budget / self.tuning.warm_part.max(1);
        let (mut callers, mut next) = (vec![position], 0);
        while let Some(&caller) = callers.get(next) {
            next += 1;
            let mut callees = source.callees(caller);
            for call in source.calls_through_tables(caller) {
                let code = entries.last_callee(call);
                if let Some(callee) = entries.at_stub(code) {
                    guesses.insert(call, Guess::Own(module.info.func_of_defined(callee)));
                    callees.push(callee);
                } else if let Some((func, callee)) = host.and_then(|host| host.function_at(code)) {
                    guesses.insert(call, Guess::Neighbour(func));
                    of_host.push(callee);
                }
            }
            if let Some(host) = host.filter(|host| host.is_imported_from()) {
                of_host.extend(source.imported_callees(caller).into_iter().filter_map(|func| host.imported(func)));
            }
            for callee in callees {
                let size = source.body_size(callee);
                if callers.contains(&callee) || bytes + size > self.tuning.unit_bytes {
                    continue;
                }
                let small = size <= self.tuning.inlined_bytes && inlined + size <= self.tuning.inlined_unit_bytes;
                let mut state = self.state();
                let warm_soon = self.is_warm(&state, callee);
                match state.stages.get_mut(callee) {
                    Some(stage @ (Stage::LiftOff | Stage::Postponed)) if entries.budget(callee) <= warm => {
                        *stage = Stage::Hot;
                        functions.push(callee);
                    }
                    Some(stage @ Stage::Soon) if warm_soon => {
                        *stage = Stage::Improving;
                        functions.push(callee);
                    }
                    Some(Stage::LiftOff | Stage::Postponed | Stage::Soon | Stage::Final) if small => {
                        inlined += size;
                        copies.push(callee);
                    }
                    _ => continue,
                }
                drop(state);
                bytes += size;
                callers.push(callee);
            }
        }
        let mut budget = self.tuning.inlined_unit_bytes;
        let mut to_inline = Vec::new();
        for callee in of_host {
            let size = host.map_or(usize::MAX, |host| host.body_size(callee));
            if !to_inline.contains(&callee) && size <= self.tuning.inlined_host_bytes.min(budget) {
                budget -= size;
                to_inline.push(callee);
            }
        }
        HotUnit { functions, copies, callees: guesses, neighbour: host.map(|host| host.neighbour(to_inline)) }
    }
}
