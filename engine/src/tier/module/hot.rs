//! [`HotUnit`]: what is optimised together with a hot function.

use super::{RuntimeModule, Shared, Stage, entries};
use wasmo_codegen::{Callees, Guess, Neighbour};

/// See [`Shared::hot_unit`].
pub(super) struct HotUnit<'a> {
    /// The functions, by their positions; the hot one first.
    pub(super) functions: Vec<usize>,
    /// What their calls through tables are guessed to call.
    pub(super) callees: Callees,
    /// The instance that a late module was added to, with its functions that may be inlined.
    pub(super) neighbour: Option<Neighbour<'a>>,
}

impl Shared {
    /// The function at `position` and those that it calls, directly or through one another, and that are warm or small, so that they can be inlined; they are marked. Small ones are
    /// compiled once more with each function that calls them. With them come guesses of what their calls through tables call, which is called often likewise. Of the functions of
    /// a late module's host instance, small ones come with them, to be inlined; calls of others are direct.
    pub(super) fn hot_unit(&self, module: &RuntimeModule, position: usize) -> HotUnit<'_> {
        let (mut functions, mut guesses) = (vec![position], Callees::new());
        let (Some(entries), Ok(source)) = (entries(module), self.source.get()) else {
            return HotUnit { functions, callees: guesses, neighbour: None };
        };
        let host = self.host.get();
        let mut of_host = Vec::new();
        let (mut bytes, mut inlined) = (source.body_size(position), 0);
        let warm = self.tuning.budget - self.tuning.budget / self.tuning.warm_part.max(1);
        let mut next = 0;
        while let Some(&caller) = functions.get(next) {
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
                if functions.contains(&callee) || bytes + size > self.tuning.unit_bytes {
                    continue;
                }
                let small = size <= self.tuning.inlined_bytes && inlined + size <= self.tuning.inlined_unit_bytes;
                let mut state = self.state();
                match state.stages.get_mut(callee) {
                    Some(stage @ (Stage::LiftOff | Stage::Postponed)) if entries.budget(callee) <= warm => {
                        *stage = Stage::Hot;
                    }
                    Some(stage @ (Stage::LiftOff | Stage::Postponed)) if small => {
                        *stage = Stage::Hot;
                        inlined += size;
                    }
                    Some(Stage::Final) if small => inlined += size,
                    _ => continue,
                }
                drop(state);
                bytes += size;
                functions.push(callee);
            }
        }
        let mut budget = self.tuning.inlined_unit_bytes;
        let mut to_inline = Vec::new();
        for callee in of_host {
            let size = host.map_or(usize::MAX, |host| host.body_size(callee));
            if !to_inline.contains(&callee) && size <= self.tuning.inlined_bytes.min(budget) {
                budget -= size;
                to_inline.push(callee);
            }
        }
        HotUnit { functions, callees: guesses, neighbour: host.map(|host| host.neighbour(to_inline)) }
    }
}
