//! [`Settings`]: what the guest's code does besides its work. The command line decides; of code that is compiled already, the code does, and the command
//! line must not ask for more.

use std::path::Path;

use anyhow::{Context, Result, bail};
#[cfg(feature = "compiler")]
use wasmo::Tier;
use wasmo::{Config, Engine, OptLevel, ProfilingStrategy, Store};

use crate::args::RunArgs;
#[cfg(feature = "compiler")]
use crate::args::TierArg;
use crate::input::Input;
#[cfg(feature = "compiler")]
use crate::output::note;

/// How the engine and the store are to be made.
pub(super) struct Settings {
    config: Config,
    /// Fuel for the guest, where its code counts it.
    fuel: Option<u64>,
    /// Whether the code looks at the epoch, which no option of ours changes.
    epochs: bool,
}

impl Settings {
    /// For running `file`, in which `input` was found.
    ///
    /// # Errors
    ///
    /// When the code lacks what the command line asks for.
    pub(super) fn new(args: &RunArgs, file: &Path, input: &Input) -> Result<Self> {
        let mut config = Config::new();
        config.consume_fuel(args.fuel.is_some()).strict_traps(args.strict_traps).debug_info(args.debug_info);
        if args.perf_map {
            config.profiler(ProfilingStrategy::PerfMap);
        }
        #[cfg(feature = "compiler")]
        tiers(args, &mut config);
        if let Some(level) = &args.jit_opt_level {
            config.late_link_opt_level(if level == "0" { OptLevel::None } else { OptLevel::Speed });
        }
        let Input::Artifact(artifact) = input else { return Ok(Self { config, fuel: args.fuel, epochs: false }) };
        let info = &artifact.info;
        let wanted = [
            (args.strict_traps && !info.strict_traps(), "--strict-traps"),
            (args.fuel.is_some() && !info.consume_fuel(), "--fuel"),
        ];
        if let Some((_, option)) = wanted.into_iter().find(|(is_missing, _)| *is_missing) {
            bail!("`{}` was compiled without {option}; give the option to `wasmo compile` as well", file.display());
        }
        config
            .strict_traps(info.strict_traps())
            .consume_fuel(info.consume_fuel())
            .epoch_interruption(info.epoch_interruption())
            .opt_level(info.opt_level());
        let fuel = args.fuel.or(info.consume_fuel().then_some(u64::MAX));
        Ok(Self { config, fuel, epochs: info.epoch_interruption() })
    }

    /// The engine.
    pub(super) fn engine(&self) -> Result<Engine> {
        Engine::new(&self.config).context("cannot start the engine")
    }

    /// Lets the guest in `store` run as far as it may.
    pub(super) fn apply<T: 'static>(&self, store: &mut Store<T>) -> Result<()> {
        if let Some(fuel) = self.fuel {
            store.set_fuel(fuel)?;
        }
        if self.epochs {
            // The epoch is never increased, so any deadline will do.
            store.set_epoch_deadline(1);
        }
        Ok(())
    }
}

/// When code is compiled, and who is told.
#[cfg(feature = "compiler")]
fn tiers(args: &RunArgs, config: &mut Config) {
    let tier = |tier| match tier {
        TierArg::Auto => Tier::Auto,
        TierArg::LiftOff => Tier::LiftOff,
        TierArg::Optimized => Tier::Optimized,
    };
    config.tier(tier(args.tier)).late_link_tier(tier(args.jit_tier));
    config.collect_profile(args.profile.is_some());
    if let Some(threads) = args.compile_threads {
        config.compilation_threads(threads.into());
    }
    if args.trace_tiers {
        let start = std::time::Instant::now();
        config.tier_observer(move |event| {
            note(&format!("{:>10.3} ms {event}\n", start.elapsed().as_secs_f64() * 1000.0))
        });
    }
}
