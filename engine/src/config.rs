//! [`Config`]: the choices an [`crate::Engine`] is made with.

use crate::PoolingConfig;
#[cfg(feature = "compiler")]
use crate::tier::{Tier, TierEvent, Tuning};
use wasmo_abi::tunables::Tunables;

/// How hard the compiler tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OptLevel {
    /// Code as soon as possible.
    None,
    /// Code as fast as possible.
    Speed,
}

/// How a profiler learns the names of code that lies in no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProfilingStrategy {
    /// Not at all.
    #[default]
    None,
    /// From `/tmp/perf-PID.map`, which `perf report` reads. It gets a line for each function whose code comes to be, and is not removed.
    PerfMap,
}

/// The choices an [`crate::Engine`] is made with. Start from [`Config::new`] and change what is to be different.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Config, Engine};
///
/// let mut config = Config::new();
/// config.consume_fuel(true).max_wasm_stack(1 << 20);
/// let engine = Engine::new(&config)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) tunables: Tunables,
    pub(crate) target: Option<String>,
    pub(crate) target_cpu: Option<String>,
    pub(crate) threads: usize,
    pub(crate) max_wasm_stack: usize,
    pub(crate) wasm_backtrace: bool,
    pub(crate) multi_memory: bool,
    pub(crate) pooling: Option<PoolingConfig>,
    /// How late modules are compiled before they are linked; in tiers when there is none.
    pub(crate) late_link_opt_level: Option<OptLevel>,
    #[cfg(feature = "compiler")]
    pub(crate) late_link_tier: Tier,
    pub(crate) profiler: ProfilingStrategy,
    pub(crate) debug_info: bool,
    #[cfg(feature = "compiler")]
    pub(crate) tier: Tier,
    #[cfg(feature = "compiler")]
    pub(crate) tuning: Tuning,
    #[cfg(feature = "compiler")]
    pub(crate) collect_profile: bool,
    #[cfg(feature = "compiler")]
    pub(crate) tier_observer: Option<TierObserver>,
}

/// Whom to tell what happens to functions.
#[cfg(feature = "compiler")]
pub(crate) type TierObserver = std::sync::Arc<dyn Fn(&TierEvent) + Send + Sync>;

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("tunables", &self.tunables)
            .field("target", &self.target)
            .field("target_cpu", &self.target_cpu)
            .field("threads", &self.threads)
            .field("max_wasm_stack", &self.max_wasm_stack)
            .field("wasm_backtrace", &self.wasm_backtrace)
            .field("multi_memory", &self.multi_memory)
            .finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The default choices: optimised code for this machine's processor, compiled on all cores; no polls, no fuel; 8 MiB of stack.
    pub fn new() -> Self {
        Self {
            tunables: Tunables::default(),
            target: None,
            target_cpu: None,
            threads: 0,
            max_wasm_stack: 8 << 20,
            wasm_backtrace: true,
            multi_memory: true,
            pooling: None,
            late_link_opt_level: None,
            #[cfg(feature = "compiler")]
            late_link_tier: Tier::Auto,
            profiler: ProfilingStrategy::None,
            debug_info: false,
            #[cfg(feature = "compiler")]
            tier: Tier::default(),
            #[cfg(feature = "compiler")]
            tuning: Tuning::default(),
            #[cfg(feature = "compiler")]
            collect_profile: false,
            #[cfg(feature = "compiler")]
            tier_observer: None,
        }
    }

    /// Order stores around traps exactly as the specification does, and never drop a load that would trap. Off by default: then
    /// after a trap the guest's memories may miss stores that came before it in the program, or have ones that came after it, and a load whose
    /// value nothing uses may not trap. Strict code has an explicit check for every access and is slower.
    pub fn strict_traps(&mut self, enable: bool) -> &mut Self {
        self.tunables.strict_traps = enable;
        self
    }

    /// Let loops and function entries look at the engine's epoch ([`crate::Engine::increment_epoch`]). Off by default. To stop a guest for good it
    /// is not needed: [`crate::Store::interrupt_handle`] and [`crate::Store::set_timeout`] cost nothing while the guest runs. Epochs let it go on afterwards.
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Self {
        self.tunables.epoch_interruption = enable;
        self
    }

    /// Count the operators that guests execute ([`crate::Store::set_fuel`]). Off by default.
    pub fn consume_fuel(&mut self, enable: bool) -> &mut Self {
        self.tunables.consume_fuel = enable;
        self
    }

    /// How hard the compiler tries; [`OptLevel::Speed`] by default.
    pub fn opt_level(&mut self, level: OptLevel) -> &mut Self {
        self.tunables.opt_level = match level {
            OptLevel::None => wasmo_abi::tunables::OptLevel::None,
            OptLevel::Speed => wasmo_abi::tunables::OptLevel::Speed,
        };
        self
    }

    /// Compile all of a module that is added to a live instance ([`crate::Instance::add_module`]) before it is linked, trying so hard, rather than in tiers as
    /// [`Config::late_link_tier`] says. Of both, the one that was called last counts.
    pub fn late_link_opt_level(&mut self, level: OptLevel) -> &mut Self {
        self.late_link_opt_level = Some(level);
        self
    }

    /// When functions of modules that are added to live instances ([`crate::Instance::add_module`]) are compiled, and how well; [`Tier::Auto`] by default, since somebody waits for
    /// them, whatever [`Config::tier`] says. [`Tier::Optimized`] is all of them before the module is linked.
    #[cfg(feature = "compiler")]
    pub fn late_link_tier(&mut self, tier: Tier) -> &mut Self {
        self.late_link_opt_level = (tier == Tier::Optimized).then_some(OptLevel::Speed);
        self.late_link_tier = tier;
        self
    }

    /// When functions are compiled, and how well; [`Tier::Optimized`] by default, which is all of them before anything runs. No difference to [`OptLevel::None`].
    #[cfg(feature = "compiler")]
    pub fn tier(&mut self, tier: Tier) -> &mut Self {
        self.tier = tier;
        self
    }

    /// The numbers by which functions change their tier.
    #[cfg(feature = "compiler")]
    pub fn tuning(&mut self, tuning: Tuning) -> &mut Self {
        self.tuning = tuning;
        self
    }

    /// Let modules count what they do, for [`crate::Module::profile`]. Off by default. Functions are then compiled as they are called, and never optimised, whatever else the
    /// configuration says of that; what was compiled before ([`crate::Module::deserialize`], [`crate::Cache`]) counts nothing.
    #[cfg(feature = "compiler")]
    pub fn collect_profile(&mut self, enable: bool) -> &mut Self {
        self.collect_profile = enable;
        self
    }

    /// Tell `observer` what happens to functions of modules in tiers. It is called on all threads that run guests or compile, and must not call into a store.
    #[cfg(feature = "compiler")]
    pub fn tier_observer(&mut self, observer: impl Fn(&TierEvent) + Send + Sync + 'static) -> &mut Self {
        self.tier_observer = Some(std::sync::Arc::new(observer));
        self
    }

    /// Compile for machines of this kind, such as `aarch64-unknown-linux-gnu`, rather than for this one. Modules for another kind cannot be used here, only
    /// written ([`crate::Engine::precompile_module`]). The processor is then the least that wasmo supports unless [`Config::target_cpu`] says otherwise.
    pub fn target(&mut self, target: &str) -> &mut Self {
        self.target = Some(target.to_owned());
        self
    }

    /// Compile for the processor `cpu` rather than for this machine's: a name that LLVM knows, as `x86-64-v3`; or `baseline`, the least that wasmo supports; or
    /// `native`, this machine's. Code for a processor that has what this one lacks cannot be used here, only written.
    pub fn target_cpu(&mut self, cpu: &str) -> &mut Self {
        self.target_cpu = Some(cpu.to_owned());
        self
    }

    /// The number of threads that compile a module; 0, the default, stands for one a core (and for modules in tiers, which compile while the guest runs, for one fewer).
    pub fn compilation_threads(&mut self, threads: usize) -> &mut Self {
        self.threads = threads;
        self
    }

    /// Whether a module is compiled on all cores (the default) or on one thread.
    pub fn parallel_compilation(&mut self, parallel: bool) -> &mut Self {
        self.compilation_threads(if parallel { 0 } else { 1 })
    }

    /// Bytes of stack that the guests of one store have between them; 8 MiB by default. A guest that needs more traps with
    /// [`crate::Trap::StackOverflow`]. Host functions run on the host's stack and do not count.
    pub fn max_wasm_stack(&mut self, size: usize) -> &mut Self {
        self.max_wasm_stack = size;
        self
    }

    /// Keep what stores leave for the next ones, whole instances among it, within limits; see [`PoolingConfig`]. Off by default: then an engine keeps some stacks and address spaces of memories,
    /// with up to 64 KiB of memory each, makes instances anew, and sets no limits.
    pub fn pooling(&mut self, pooling: PoolingConfig) -> &mut Self {
        self.pooling = Some(pooling);
        self
    }

    /// How a profiler learns which code is which function's; [`ProfilingStrategy::None`] by default. Code for all engines of a process goes to the same file.
    pub fn profiler(&mut self, strategy: ProfilingStrategy) -> &mut Self {
        self.profiler = strategy;
        self
    }

    /// Tell debuggers which code is which function's, and how its frames are left, by GDB's interface for compilers at run time; off by default. GDB looks for the
    /// interface among the program's symbols, so a program that was stripped of them does not have it.
    pub fn debug_info(&mut self, enable: bool) -> &mut Self {
        self.debug_info = enable;
        self
    }

    /// Whether errors of calls carry a [`crate::WasmBacktrace`]; on by default.
    pub fn wasm_backtrace(&mut self, enable: bool) -> &mut Self {
        self.wasm_backtrace = enable;
        self
    }

    /// Whether modules may have several memories; on by default. Without, they are valid or not by the rules of WebAssembly 2.0.
    pub fn wasm_multi_memory(&mut self, enable: bool) -> &mut Self {
        self.multi_memory = enable;
        self
    }
}
