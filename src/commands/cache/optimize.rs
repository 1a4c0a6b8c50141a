//! `wasmo cache optimize`: between two runs of a program, what was warm in the last ones is optimised.
//!
//! `wasmo run` does not wait for that. Where it is allowed to ([`BACKGROUND`]; a process that outlives the command, and the limits it was given, is not what everybody expects),
//! it starts this command as a process of its own ([`start`]), which has nothing of its parent but the cache: no terminal, no open files, the lowest priority. One such process is enough for a cache; what it does not come to is left to the next.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use wasmo::cache::SourceHash;
use wasmo::{Cache, CacheConfig, Config, Engine, Module, Tier};

use crate::args::{Functions, OptimizeArgs, RunArgs};
use crate::compiler;
use crate::input::{self, Input};

/// The variable that allows what outlives the command, when it is 1.
const BACKGROUND: &str = "WASMO_BACKGROUND";

/// How long it may take. What is not optimised by then is not tried again.
const LIMIT: Duration = Duration::from_secs(60);

/// The most functions that a process is told of; those that ran most often come first.
const MOST_FUNCTIONS: usize = 8192;

/// Whether [`start`] may be called.
pub(crate) fn is_allowed() -> bool {
    std::env::var_os(BACKGROUND).is_some_and(|value| value == "1")
}

/// Starts it for files and functions in them that were warm in a run with `args`, which has just ended. That it cannot be started makes no difference to anybody.
pub(crate) fn start(args: &RunArgs, modules: &[(PathBuf, Vec<u32>)]) {
    let Ok(program) = std::env::current_exe() else { return };
    let mut command = Command::new(program);
    command.args(["cache", "optimize", "--detached"]);
    if args.fuel.is_some() {
        command.arg("--fuel");
    }
    if args.strict_traps {
        command.arg("--strict-traps");
    }
    for (_, functions) in modules {
        let functions: Vec<_> = functions.iter().take(MOST_FUNCTIONS).map(u32::to_string).collect();
        command.args(["--warm", &functions.join(",")]);
    }
    command.arg("--").args(modules.iter().map(|(path, _)| path));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Where there is no process to be had, the next run is as this one.
    let _ = command.spawn();
}

/// Optimises what is warm; answers what is to be printed.
///
/// # Errors
///
/// When a file cannot be read or has not been run, or the result cannot be kept.
pub(crate) fn run(args: &OptimizeArgs) -> Result<String> {
    if args.detached {
        detach();
    }
    let cache = Cache::open(&CacheConfig::new()).context("cannot use the cache")?;
    let mut config = Config::new();
    config.tier(Tier::Auto).consume_fuel(args.fuel).strict_traps(args.strict_traps);
    if args.detached {
        config.compilation_threads(1);
    }
    let Some(_alone) = cache.alone().context("cannot use the cache")? else {
        if args.detached {
            return Ok(String::new());
        }
        bail!("there is no cache, or another process is optimising what is in it");
    };
    let warm = args.warm.iter().map(|Functions(functions)| &functions[..]).chain(std::iter::repeat(&[][..]));
    args.files.iter().zip(warm).map(|(file, warm)| optimize(&config, &cache, file, warm)).collect()
}

/// Optimises the functions in `warm`, and what else is warm of one module; answers a line.
fn optimize(config: &Config, cache: &Cache, path: &Path, warm: &[u32]) -> Result<String> {
    let Input::Source(source) = input::open(path)? else {
        bail!("`{}` is a compiled module, of which all is optimised", path.display());
    };
    let engine = Engine::new(config).context("cannot start the engine")?;
    let bytes = source.read(path)?;
    let key = engine.cache_key_in_tiers(SourceHash::of(&bytes));
    let again = path.to_owned();
    let read = move || compiler::to_binary(&again, bytes.clone());
    let Some(module) = Module::from_cache_in_tiers(&engine, cache, &key, read) else {
        bail!("`{}` has not been run with these options, or all of it was compiled then", path.display());
    };
    let functions = [warm, &module.warm_functions()].concat();
    module.optimize(&functions, LIMIT).context("what was optimised is not kept in the cache")?;
    let stats = engine.tier_stats();
    let (new, old, time) = (stats.optimized_functions, stats.kept_optimized, stats.optimized_time.as_secs_f64());
    Ok(format!("`{}`: {new} functions optimised in {time:.1} s, {old} before\n", path.display()))
}

/// Leaves everything behind that the process has from its parent and that others may wait for.
fn detach() {
    // SAFETY: nothing of this process has files open but the standard ones, and no thread but this runs; the other calls change only how the system treats the process.
    unsafe {
        libc::setsid();
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
        libc::close_range(3, libc::c_uint::MAX, 0);
    }
}
