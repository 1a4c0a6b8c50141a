//! [`InTiers`]: one module whose functions are compiled while it runs. What code asks for that counts is in `asking`, what is done about hot functions in `hot`, what late modules know of their host instance in `host`.

mod asking;
mod host;
mod hot;

pub(crate) use host::Host;

use super::clock::Stopwatch;
use super::learner::{Learner, Outlook};
use super::sampler::Watched;
use super::source::LazySource;
use super::stack::on_large_stack;
use super::tuning::Tuning;
use super::workers::{Busy, Heat, Urgency};
use super::{Tier, TierEvent};
use crate::error::internal;
use crate::late_link::Ration;
use crate::{CompileError, CompileErrorKind, Engine, Profile, Result};
use hot::Wanted;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use wasmo_abi::artifact::checksum;
use wasmo_abi::table::Table;
use wasmo_abi::tier::{Asking, Learned, LoopIndex, Onward, Progress};
use wasmo_codegen::{NewCode, Observer, PlacedCode, Request, Source};
use wasmo_runtime::Failure;
use wasmo_runtime::code_memory::CodePiece;
use wasmo_runtime::module::NewUnit;
use wasmo_runtime::tier::{Compile, Entries};

/// When all functions of a module are compiled one after the other, a unit is full once their bodies have so many bytes.
const TOGETHER: usize = 16 << 10;

/// How far a function has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no code.
    #[default]
    New,
    /// A thread is making lift-off code of it.
    LiftingOff,
    /// It has lift-off code.
    LiftOff,
    /// It has lift-off code and is hot, but the run is too young for the compiler ([`Tuning::without_compiler`]).
    Postponed,
    /// It waits to be optimised.
    Hot,
    /// It is being optimised.
    Optimizing,
    /// It has optimised code that was made soon.
    Soon,
    /// It has such code, but a call that lasts waits in lift-off code for code that can be entered at its loops.
    Lasting,
    /// It has such code, and waits to be optimised as well as it can be.
    Improving,
    /// It is optimised, or nothing better than lift-off code can be made.
    Final,
}

/// How far the variant of a function has come that begins at a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// It is being made, or waits for that.
    Awaited,
    /// It is here.
    At(usize),
    /// It cannot be made.
    Failed,
}

/// How code of a function has asked for better code.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// How often, since it was made soon, in earlier runs, too.
    times: u32,
    /// Whether it did so in an earlier run: that was long enough for LLVM.
    long_ago: bool,
    /// How often it has asked since without having been entered again: from loops of one call.
    in_one_call: u32,
}

/// What changes as the module runs.
#[derive(Debug, Default)]
pub(super) struct State {
    stages: Vec<Stage>,
    /// By the function and the loop.
    variants: HashMap<(usize, LoopIndex), Variant>,
    asked: HashMap<usize, Asked>,
    /// For functions of which code was to be made soon that can be entered at its loops: whether it could.
    at_loops: HashMap<usize, bool>,
    /// How much code is wanted that waits to be made: of functions as a whole, and of variants.
    heats: HashMap<(usize, Option<LoopIndex>), Arc<Heat>>,
}

impl State {
    /// Of so many functions, none of which has code.
    pub(super) fn new(functions: usize) -> Self {
        Self { stages: vec![Stage::New; functions], ..Self::default() }
    }

    /// Of functions of which earlier runs have learned this.
    pub(super) fn resumed(learned: &Table<Learned>) -> Self {
        let stage = |row: Learned| match row.progress {
            Progress::New => Stage::New,
            Progress::LiftOff => Stage::LiftOff,
            Progress::Soon => Stage::Soon,
            Progress::Settled | Progress::Optimized => Stage::Final,
        };
        let asked = |(position, row): (usize, Learned)| {
            let was_found = row.progress == Progress::Soon && row.count > 0;
            was_found.then_some((position, Asked { times: row.count, long_ago: true, in_one_call: 0 }))
        };
        let asked = learned.iter().enumerate().filter_map(asked).collect();
        Self { stages: learned.iter().map(stage).collect(), asked, ..Self::default() }
    }
}

/// What the functions of one module have in common: the runtime's and the workers' view of it.
pub(crate) struct Shared {
    engine: Engine,
    source: LazySource,
    /// When the run began, if it goes on with what earlier runs have compiled.
    begun: Option<Instant>,
    tuning: Tuning,
    /// Whether anything is ever optimised.
    optimizes: bool,
    state: Mutex<State>,
    /// Some lift-off code is there that a guest may be waiting for.
    lifted_off: Condvar,
    /// Keeps what there is for the next run, if that is wanted.
    learner: Option<Learner>,
    /// When that was done last while the program ran.
    kept: Mutex<Option<Instant>>,
    /// Whether it is found out which code that was made soon runs.
    watched: Watched,
    /// What a late module may have compiled.
    ration: Option<Ration>,
    /// The instance that a late module was added to, once it is linked.
    host: OnceLock<Host>,
}

/// What was compiled, where it is executed.
struct Made {
    code: PlacedCode,
    piece: Arc<CodePiece>,
}

/// A module in tiers, as the runtime knows it.
pub(super) struct InTiers(pub(super) Arc<Shared>);

type RuntimeModule = Arc<wasmo_runtime::Module>;

fn entries(module: &RuntimeModule) -> Option<&Entries> {
    module.tiers.as_ref().map(|tiers| &tiers.entries)
}

impl Compile for InTiers {
    fn compile(&self, module: &RuntimeModule, position: usize) -> std::result::Result<usize, Failure> {
        self.0.compile(module, position).map_err(|error| Failure::Host(Box::new(error)))
    }

    fn tier_up(&self, module: &RuntimeModule, position: usize, asking: Asking) -> Option<Onward> {
        self.0.tier_up(module, position, asking)
    }

    fn freed(&self, bytes: usize) {
        self.0.report(&TierEvent::Freed { code: bytes });
    }
}

impl Shared {
    pub(super) fn new(
        engine: &Engine,
        tier: Tier,
        source: LazySource,
        state: State,
        learner: Option<Learner>,
        ration: Option<Ration>,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine: engine.clone(),
            begun: source.is_for_later().then(Instant::now),
            source,
            tuning: engine.config().tuning.clone(),
            optimizes: tier == Tier::Auto,
            state: Mutex::new(state),
            lifted_off: Condvar::new(),
            learner,
            kept: Mutex::default(),
            watched: Watched::default(),
            ration,
            host: OnceLock::new(),
        })
    }

    /// The module's binary.
    ///
    /// # Errors
    /// When it cannot be read, or is another one by now.
    pub(crate) fn binary(&self) -> Result<&[u8]> {
        Ok(self.source.get()?.bytes())
    }

    /// What the code of `module` has counted so far, if it counts.
    pub(crate) fn profile(&self, module: &RuntimeModule) -> Option<Profile> {
        let (entries, source) = (entries(module)?, self.source.get().ok()?);
        let info = source.info();
        let function = |address| entries.at_stub(address).map(|position| info.func_of_defined(position));
        let functions = source.counters()?.read(info, |word| entries.counter(word), function);
        Some(Profile { inner: wasmo_abi::profile::Profile { wasm: checksum(source.bytes()), functions } })
    }

    /// Keeps what there is of `module` for the next run, if that is wanted and there is new code.
    ///
    /// # Errors
    /// When the cache cannot be written, and internal ones.
    pub(crate) fn keep(&self, module: &RuntimeModule) -> Result<bool> {
        match &self.learner {
            Some(learner) => learner.keep(&self.engine, &self.source, &module.info, &self.outlooks(module)),
            None => Ok(false),
        }
    }

    /// There is new code: once all is quiet, what was learned is kept for the case that the program is killed, and what was replaced is freed if no call is under way by then.
    fn when_quiet(self: &Arc<Self>, module: &RuntimeModule) {
        // Late modules, of which there may be thousands, have nothing to keep.
        if self.learner.is_none() {
            return;
        }
        let (this, weak) = (Arc::downgrade(self), Arc::downgrade(module));
        let task = move || {
            let (Some(this), Some(module)) = (this.upgrade(), weak.upgrade()) else { return };
            wasmo_runtime::tier::reclaim();
            *this.kept() = Some(Instant::now());
            if let Err(error) = this.keep(&module) {
                tracing::warn!(%error, "what was compiled is not kept");
            }
        };
        let now = Instant::now();
        let earliest = self.kept().map_or(now, |kept| kept + self.tuning.kept_again);
        let whose = Arc::as_ptr(self) as usize;
        self.engine.tier_workers().when_quiet(whose, self.tuning.quiet, earliest, Box::new(task));
    }

    fn kept(&self) -> MutexGuard<'_, Option<Instant>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The functions, by position, that are warm and not optimised.
    pub(crate) fn warm(&self, module: &RuntimeModule) -> Vec<usize> {
        let learner = self.learner.as_ref().filter(|_| self.optimizes);
        learner.map_or_else(Vec::new, |learner| learner.warm(&self.outlooks(module), self.tuning.budget.unsigned_abs()))
    }

    /// What is to become of the functions that are not as good as they can be.
    fn outlooks(&self, module: &RuntimeModule) -> Vec<Outlook> {
        let Some(entries) = entries(module) else { return Vec::new() };
        let state = self.state();
        let outlook = |(position, stage): (usize, &Stage)| {
            let left = match stage {
                Stage::Final => return Outlook::Settled,
                Stage::New | Stage::LiftingOff | Stage::LiftOff => entries.budget(position).max(0).unsigned_abs(),
                _ => 0,
            };
            Outlook::Counts { left, found: state.asked.get(&position).map_or(0, |asked| asked.times) }
        };
        state.stages.iter().enumerate().map(outlook).collect()
    }

    /// Optimises these functions, as far as that was not done, and keeps them. What is not done after `limit`, in time of processors, stays as it is for good, unless others took the processors.
    ///
    /// # Errors
    /// As [`Shared::keep`].
    pub(crate) fn optimize_all(
        self: &Arc<Self>,
        module: &RuntimeModule,
        functions: &[usize],
        limit: Duration,
    ) -> Result<bool> {
        let workers = self.engine.tier_workers();
        for &position in functions {
            let (this, module) = (Arc::downgrade(self), Arc::downgrade(module));
            let task = move || {
                let (Some(this), Some(module)) = (this.upgrade(), module.upgrade()) else { return };
                // It may have been optimised with one that calls it.
                if [Stage::LiftOff, Stage::Soon].into_iter().any(|stage| this.take(position, stage, Stage::Hot)) {
                    this.optimize(&module, Wanted { position, whole: true, at: None, soon: None });
                }
            };
            let bytes = self.source.get().map_or(0, |source| source.body_size(position));
            workers.submit(Urgency::Hot(Heat::new(0), bytes), Box::new(task));
        }
        let settled = if workers.settle(limit) { functions } else { &[] };
        for &function in settled {
            let unfinished =
                [Stage::LiftOff, Stage::Hot, Stage::Optimizing, Stage::Soon, Stage::Lasting, Stage::Improving];
            let _ = unfinished.map(|stage| self.take(function, stage, Stage::Final));
        }
        self.keep(module)
    }

    /// Whether the run goes on with what earlier runs have compiled, has not needed the compiler so far, and is not old enough for it to be worth having for lift-off code.
    fn is_too_young(&self) -> bool {
        self.begun.is_some_and(|begun| begun.elapsed() < self.tuning.without_compiler) && !self.engine.has_used_llvm()
    }

    /// Whether the code of this function that was made soon has asked so often that it may as well be improved when there is an occasion.
    fn is_warm(&self, state: &State, position: usize) -> bool {
        let times = state.asked.get(&position).map_or(0, |asked| asked.times);
        times >= (self.tuning.soon_asks / self.tuning.warm_part.unsigned_abs().max(1)).max(1)
    }

    /// Moves a function from one stage to another, unless it is at a third.
    fn take(&self, position: usize, from: Stage, to: Stage) -> bool {
        match self.state().stages.get_mut(position) {
            Some(stage) if *stage == from => {
                *stage = to;
                true
            }
            _ => false,
        }
    }

    /// Has it found out from now on which code that was made soon runs.
    pub(super) fn sample(&self, module: &RuntimeModule) {
        let period = self.tuning.sample_period;
        if !period.is_zero() {
            self.engine.tier_sampler().watch(module, &self.watched, period);
        } else if let Some(entries) = entries(module) {
            entries.begin_sample();
        }
    }

    /// Makes code the newest of its functions.
    fn publish(&self, module: &RuntimeModule, tier: wasmo_abi::tier::Tier, soon: bool, new: Made) {
        let PlacedCode { unit, functions, osr, object, .. } = new.code;
        let variants: Vec<_> = osr.iter().map(|&(_, at, address)| (at, address)).collect();
        crate::listing::list_unit(&self.engine, module, &unit, tier, soon, &variants);
        // Variants are known to `State`, and code that was listed must not become other code.
        let stays = !osr.is_empty() || crate::listing::is_wanted(self.engine.config());
        let publish = || module.publish(NewUnit { code: unit, functions: &functions, stays, owner: new.piece });
        match &self.learner {
            Some(learner) => {
                let positions = functions.iter().map(|&(position, _)| position).collect();
                let progress = match tier {
                    _ if soon => Progress::Soon,
                    wasmo_abi::tier::Tier::LiftOff => Progress::LiftOff,
                    wasmo_abi::tier::Tier::Optimized => Progress::Optimized,
                };
                learner.publish(object, progress, positions, publish);
            }
            None => publish(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self, event: &TierEvent) {
        self.engine.tier_counters().count(event);
        if let Some(observer) = &self.engine.config().tier_observer {
            observer(event);
        }
    }

    /// Compiles a unit on this thread, which has a stack for it. A panic in the compiler is an error like others.
    fn make(&self, request: &Request<'_>) -> Result<Made> {
        let compiler = self.engine.compiler()?;
        let source = self.source.get()?;
        let started = Instant::now();
        if let Some(ration) = &self.ration {
            ration.check_time(request.tier)?;
        }
        let is_optimized = request.tier == wasmo_abi::tier::Tier::Optimized;
        let mut all = request.functions.iter().copied().chain(request.osr.iter().map(|&(position, _)| position));
        if is_optimized && all.any(|position| source.body_size(position) > self.tuning.optimized_bytes) {
            anyhow::bail!("it is too large to be optimised");
        }
        let (computed, limit) = (Stopwatch::of_thread(), self.tuning.optimizing_time);
        // It is asked before each pass, and the time of day costs less.
        let stop = || is_optimized && started.elapsed() > limit && computed.elapsed() > limit;
        let new = match catch_unwind(AssertUnwindSafe(|| compiler.compile_unit(source, request, &stop))) {
            Ok(result) => result.map_err(CompileError::from)?,
            Err(_) => return Err(internal("the compiler panicked")),
        };
        self.place(request.tier, started, new)
    }

    /// Puts new code to where it can be executed.
    fn place(&self, tier: wasmo_abi::tier::Tier, started: Instant, new: NewCode) -> Result<Made> {
        if let Some(ration) = &self.ration {
            ration.spend(tier, started.elapsed());
            ration.take(new.contents().len())?;
        }
        let piece = Arc::new(self.engine.code_memory().place(new.contents(), new.align())?);
        Ok(Made { code: new.at(piece.address()), piece })
    }

    /// Makes lift-off code of all functions at once if there is little to do, in the time that it takes to do so for one. Otherwise, and when it fails, they stay as they are: whoever calls one
    /// finds out why.
    pub(super) fn lift_off_small(&self, module: &RuntimeModule) {
        let (Ok(compiler), Ok(source)) = (self.engine.compiler(), self.source.get()) else { return };
        let functions: Vec<usize> = (0..source.info().bodies.len()).collect();
        let bytes: usize = functions.iter().map(|&function| source.body_size(function)).sum();
        if functions.is_empty() || bytes > self.tuning.small_module {
            return;
        }
        let started = Instant::now();
        let new = catch_unwind(AssertUnwindSafe(|| compiler.compile_quickly(source, &functions)));
        let Ok(Ok(Some(new))) = new else { return };
        let tier = wasmo_abi::tier::Tier::LiftOff;
        self.mark(&functions, Stage::LiftingOff);
        // Nobody knows the module yet.
        let made = self.place(tier, started, new);
        if let Err(error) = self.end_lift_off(module, &functions, made, started, false) {
            tracing::debug!(%error, "compiling a small module");
        }
    }

    /// Compiles all functions that have no code, on this thread, which has a stack for it.
    ///
    /// # Errors
    /// When they cannot be compiled, or `observer` does not want them any more.
    pub(crate) fn lift_off_all(&self, module: &RuntimeModule, observer: &dyn Observer) -> Result<()> {
        let source = self.source.get()?;
        let mut next = 0;
        loop {
            if observer.cancelled() {
                let message = "compilation was cancelled".to_owned();
                return Err(CompileError { kind: CompileErrorKind::Cancelled, offset: None, message }.into());
            }
            let (mut functions, mut bytes) = (Vec::new(), 0);
            let mut state = self.state();
            while let Some(stage) = state.stages.get_mut(next).filter(|_| bytes < TOGETHER) {
                if *stage == Stage::New {
                    *stage = Stage::LiftingOff;
                    functions.push(next);
                    bytes += source.body_size(next);
                }
                next += 1;
            }
            drop(state);
            if functions.is_empty() {
                return Ok(());
            }
            self.lift_off(module, &functions, false)?;
        }
    }

    /// Has lift-off code for the function at `position` made, or waits for whoever is making it.
    fn compile(self: &Arc<Self>, module: &RuntimeModule, position: usize) -> Result<usize> {
        let source = self.source.get()?;
        let mut alone = false;
        loop {
            let mut state = self.state();
            if let Some(code) = entries(module).and_then(|entries| entries.code(position)) {
                return Ok(code);
            }
            match state.stages.get(position) {
                Some(Stage::LiftingOff) => {
                    drop(self.lifted_off.wait(state).unwrap_or_else(PoisonError::into_inner));
                    continue;
                }
                Some(_) => {}
                None => anyhow::bail!("internal error: a function that the module does not have was called"),
            }
            let functions = self.batch(&mut state, source, position, alone);
            drop(state);
            let Some(_busy) = Busy::begin() else { anyhow::bail!("the process is exiting") };
            let compiled = on_large_stack(|| self.lift_off(module, &functions, true)).and_then(|made| made);
            self.engine.tier_workers().waited();
            self.when_quiet(module);
            match compiled {
                Ok(()) if self.tuning.ahead => self.look_ahead(module, &functions),
                Ok(()) => {}
                // Another function of the unit may be at fault.
                Err(_) if functions.len() > 1 => alone = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// The function at `position` and, unless it is to be `alone`, those that it calls, as far as they have no code and are small; they are marked as being compiled.
    fn batch(&self, state: &mut State, source: &Source, position: usize, alone: bool) -> Vec<usize> {
        let mut functions = vec![position];
        let mut bytes = source.body_size(position);
        for callee in source.callees(position) {
            if alone || functions.len() >= self.tuning.lift_off_functions {
                break;
            }
            let size = source.body_size(callee);
            let new = state.stages.get(callee) == Some(&Stage::New) && callee != position;
            if new && bytes + size <= self.tuning.lift_off_bytes {
                bytes += size;
                functions.push(callee);
            }
        }
        for &function in &functions {
            state.stages[function] = Stage::LiftingOff;
        }
        functions
    }

    /// Makes lift-off code of functions that are marked for it.
    fn lift_off(&self, module: &RuntimeModule, functions: &[usize], waited: bool) -> Result<()> {
        let started = Instant::now();
        let made = self.make(&Request::lift_off(functions.to_vec()));
        self.end_lift_off(module, functions, made, started, waited)
    }

    /// Publishes lift-off code of functions that are marked for it; without code they are as they were.
    fn end_lift_off(
        &self,
        module: &RuntimeModule,
        functions: &[usize],
        made: Result<Made>,
        started: Instant,
        waited: bool,
    ) -> Result<()> {
        let made = made.map(|new| {
            let code = new.code.unit.size;
            self.publish(module, wasmo_abi::tier::Tier::LiftOff, false, new);
            code
        });
        let mut state = self.state();
        for &function in functions {
            // It may have been called and have become hot meanwhile.
            if let Some(stage @ Stage::LiftingOff) = state.stages.get_mut(function) {
                *stage = if made.is_ok() { Stage::LiftOff } else { Stage::New };
            }
        }
        drop(state);
        self.lifted_off.notify_all();
        let code = made?;
        let func = functions.first().map_or(0, |&first| module.info.func_of_defined(first).0);
        let (functions, took) = (functions.len(), started.elapsed());
        self.report(&TierEvent::LiftOff { func, functions, code, took, waited });
        Ok(())
    }

    /// Has a worker compile what functions that were just compiled may call next.
    fn look_ahead(self: &Arc<Self>, module: &RuntimeModule, functions: &[usize]) {
        let Ok(source) = self.source.get() else { return };
        let workers = self.engine.tier_workers();
        let mut wanted: Vec<usize> = Vec::new();
        for &function in functions {
            let state = self.state();
            let new = |callee: &usize| state.stages.get(*callee) == Some(&Stage::New);
            let callees: Vec<usize> = source.callees(function).into_iter().filter(new).collect();
            drop(state);
            wanted.extend(callees.into_iter().filter(|callee| !wanted.contains(callee)).collect::<Vec<_>>());
        }
        // What is called first is to be taken first.
        for callee in wanted.into_iter().rev() {
            let (this, module) = (Arc::downgrade(self), Arc::downgrade(module));
            workers.submit(Urgency::Ahead, Box::new(move || compile_ahead(&this, &module, callee)));
        }
    }
}

/// Compiles the function at `position`, unless that has been done meanwhile.
fn compile_ahead(shared: &Weak<Shared>, module: &Weak<wasmo_runtime::Module>, position: usize) {
    let (Some(shared), Some(module)) = (shared.upgrade(), module.upgrade()) else { return };
    let mut state = shared.state();
    if state.stages.get(position) != Some(&Stage::New) {
        return;
    }
    let Ok(source) = shared.source.get() else { return };
    let functions = shared.batch(&mut state, source, position, false);
    drop(state);
    match shared.lift_off(&module, &functions, false) {
        Ok(()) => shared.look_ahead(&module, &functions),
        // Whoever calls it is told.
        Err(error) => tracing::debug!(%error, "compiling ahead"),
    }
}
