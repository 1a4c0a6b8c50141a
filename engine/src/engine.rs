//! [`Engine`]: what modules and stores share.

use crate::{Config, Result};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use wasmo_runtime::{Pool, TypeRegistry};

#[cfg(feature = "compiler")]
use {
    crate::tier::Workers,
    std::collections::HashMap,
    std::sync::{Mutex, OnceLock, PoisonError},
    wasmo_abi::code::Thunks,
    wasmo_codegen::Compiler,
};

/// What modules and stores share: the configuration, the compiler, and the types of functions. Most programs have one. Cloning is cheap and
/// gives the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<EngineInner>,
}

struct EngineInner {
    config: Config,
    types: TypeRegistry,
    epoch: Arc<AtomicU64>,
    pool: Arc<Pool>,
    /// Made when something is first compiled; LLVM is loaded when that first takes it.
    #[cfg(feature = "compiler")]
    compiler: OnceLock<Compiler>,
    /// What compiles in the background; made when something is to be.
    #[cfg(feature = "compiler")]
    tier_workers: OnceLock<Workers>,
    /// What finds out which of their code runs.
    #[cfg(feature = "compiler")]
    tier_sampler: crate::tier::Sampler,
    /// What modules in tiers did so far.
    #[cfg(feature = "compiler")]
    tiers: crate::tier::Stats,
    /// Thunks for types that no module had any for when they were needed, by the types' numbers.
    #[cfg(feature = "compiler")]
    thunks: Mutex<HashMap<u32, crate::tier::OwnedThunks>>,
    /// Where late modules are compiled.
    #[cfg(feature = "compiler")]
    workers: crate::late_link::Workers,
    /// Where their code is.
    #[cfg(feature = "compiler")]
    code_memory: Arc<wasmo_runtime::code_memory::CodeMemory>,
}

// What changes in an engine (types, thunks, the epoch) changes in one step, after everything that may panic.
impl std::panic::UnwindSafe for Engine {}
impl std::panic::RefUnwindSafe for Engine {}

impl Engine {
    /// An engine of this configuration.
    ///
    /// # Errors
    /// When the machine is not supported, or the file for [`crate::ProfilingStrategy::PerfMap`] cannot be written. That the configuration names a processor that LLVM does not know comes out when something is compiled.
    pub fn new(config: &Config) -> Result<Self> {
        if config.profiler == crate::ProfilingStrategy::PerfMap {
            wasmo_runtime::debug::perf_map::open()?;
        }
        Ok(Self {
            inner: Arc::new(EngineInner {
                config: config.clone(),
                types: TypeRegistry::new(),
                epoch: Arc::new(AtomicU64::new(0)),
                pool: Pool::new(config.pooling.map(|pooling| pooling.limits)),
                #[cfg(feature = "compiler")]
                compiler: OnceLock::new(),
                #[cfg(feature = "compiler")]
                tier_workers: OnceLock::new(),
                #[cfg(feature = "compiler")]
                tier_sampler: crate::tier::Sampler::default(),
                #[cfg(feature = "compiler")]
                tiers: crate::tier::Stats::default(),
                #[cfg(feature = "compiler")]
                thunks: Mutex::default(),
                #[cfg(feature = "compiler")]
                workers: crate::late_link::Workers::default(),
                #[cfg(feature = "compiler")]
                code_memory: Arc::default(),
            }),
        })
    }

    /// The configuration that the engine was made with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Adds one to the epoch. Guests compiled with [`Config::epoch_interruption`] whose deadline has come act on it soon after. May be called from any
    /// thread, and from a signal handler.
    pub fn increment_epoch(&self) {
        self.inner.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether both are the same engine. Modules and stores can only be used together when theirs are.
    pub fn same(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
    }

    /// A handle that does not keep the engine alive, for a thread that increments the epoch as long as there is somebody to care.
    pub fn weak(&self) -> EngineWeak {
        EngineWeak { inner: Arc::downgrade(&self.inner) }
    }

    pub(crate) fn types(&self) -> &TypeRegistry {
        &self.inner.types
    }

    pub(crate) fn epoch(&self) -> &Arc<AtomicU64> {
        &self.inner.epoch
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.inner.pool
    }

    /// The compiler, made now if nothing was compiled before.
    ///
    /// # Errors
    /// When LLVM is missing, or does not know the processor that the configuration names, or this machine's processor is not supported.
    #[cfg(feature = "compiler")]
    pub(crate) fn compiler(&self) -> Result<&Compiler> {
        use wasmo_codegen::{Cpu, TargetOptions};
        if let Some(compiler) = self.inner.compiler.get() {
            return Ok(compiler);
        }
        let config = &self.inner.config;
        let cpu = match config.target_cpu.as_deref() {
            Some("native") => Cpu::Host,
            Some("baseline") => Cpu::Baseline,
            Some(name) => Cpu::Named(name.to_owned()),
            None if config.target.is_some() => Cpu::Baseline,
            None => Cpu::Host,
        };
        let options = TargetOptions { triple: config.target.clone(), cpu, threads: config.threads };
        let compiler = Compiler::new(config.tunables, options).map_err(crate::CompileError::from)?;
        // Of two threads that come here at the same time, the second takes the compiler of the first.
        Ok(self.inner.compiler.get_or_init(|| compiler))
    }

    /// Whether LLVM has compiled something for this engine, or does so now. As long as it has not, it need not be in the process: functions are compiled without it until they are hot, unless
    /// [`Config::tier`] says that all of a module is optimised before it runs.
    #[cfg(feature = "compiler")]
    pub fn has_used_llvm(&self) -> bool {
        self.inner.compiler.get().is_some_and(Compiler::has_used_llvm)
    }

    /// Why LLVM cannot be loaded, once this process needed it: functions stay in the code that is made without it then, however hot they are. Where there is no LLVM, making a module fails;
    /// this is about a library that turns out to be damaged.
    #[cfg(feature = "compiler")]
    pub fn llvm_failure() -> Option<crate::Error> {
        wasmo_codegen::llvm_failure().map(|error| crate::CompileError::from(error).into())
    }

    /// The threads that compile late modules.
    #[cfg(feature = "compiler")]
    pub(crate) fn workers(&self) -> &crate::late_link::Workers {
        &self.inner.workers
    }

    /// Where late modules' code goes.
    #[cfg(feature = "compiler")]
    pub(crate) fn code_memory(&self) -> &Arc<wasmo_runtime::code_memory::CodeMemory> {
        &self.inner.code_memory
    }

    /// The threads that compile in the background. Having work done there is what makes the compiler, and not on the calling thread.
    #[cfg(feature = "compiler")]
    pub(crate) fn tier_workers(&self) -> &Workers {
        // One core is the guest's, who compiles as well when it waits for a function.
        let others = |cores: std::num::NonZeroUsize| cores.get().saturating_sub(1).max(1);
        let threads = || match self.inner.config.threads {
            0 => std::thread::available_parallelism().map_or(1, others),
            threads => threads,
        };
        self.inner.tier_workers.get_or_init(|| Workers::new(threads()))
    }

    #[cfg(feature = "compiler")]
    pub(crate) fn tier_sampler(&self) -> &crate::tier::Sampler {
        &self.inner.tier_sampler
    }

    #[cfg(feature = "compiler")]
    pub(crate) fn tier_counters(&self) -> &crate::tier::Stats {
        &self.inner.tiers
    }

    /// What the modules in tiers of this engine did so far ([`Config::tier`]).
    #[cfg(feature = "compiler")]
    pub fn tier_stats(&self) -> crate::TierStats {
        self.inner.tiers.get()
    }

    /// The thunks of a type, for functions whose modules have none. They live as long as the engine.
    ///
    /// # Errors
    /// When they cannot be compiled.
    #[cfg(feature = "compiler")]
    pub(crate) fn thunks(&self, type_id: u32) -> Result<Thunks> {
        let mut known = self.inner.thunks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owned) = known.get(&type_id) {
            return Ok(owned.thunks);
        }
        let ty = self.types().get(type_id);
        let owned = crate::tier::thunks_of_type(self, &ty)?;
        let thunks = owned.thunks;
        known.insert(type_id, owned);
        Ok(thunks)
    }

    /// Without a compiler there are only the thunks of modules.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "compiler"))]
    pub(crate) fn thunks(&self, type_id: u32) -> Result<wasmo_abi::code::Thunks> {
        anyhow::bail!(
            "functions of type {} cannot be called: no module has the code for it, and there is no compiler",
            self.types().get(type_id)
        )
    }
}

impl Default for Engine {
    /// An engine of the default configuration.
    ///
    /// # Panics
    /// When the machine is not supported.
    fn default() -> Self {
        Self::new(&Config::default()).expect("the default configuration suits every supported machine")
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// A handle on an [`Engine`] that does not keep it alive.
#[derive(Clone)]
pub struct EngineWeak {
    inner: Weak<EngineInner>,
}

impl EngineWeak {
    /// The engine, while anybody else keeps it.
    pub fn upgrade(&self) -> Option<Engine> {
        self.inner.upgrade().map(|inner| Engine { inner })
    }
}

impl fmt::Debug for EngineWeak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineWeak")
    }
}
