//! `wasmo cache optimize`: between two runs of a program, what was warm in the last ones is optimised.
//!
//! `wasmo run` does not wait for that. At its end it starts this command as a process of its own ([`start`]), where somebody sits at a terminal ([`is_wanted`]). It has nothing of its parent
//! but the cache: no terminal, no open files, no working directory, the lowest priority. One such process is enough for a cache; what it does not come to is left to the next.

use std::io::{IsTerminal, stderr};
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use wasmo::cache::SourceHash;
use wasmo::{Cache, CacheConfig, Config, Engine, Module, Tier};

use crate::args::{Functions, OptimizeArgs, RunArgs};
use crate::compiler;
use crate::input::{self, Input};

/// The variable that says whether something may outlive the command: always when it is 1, never when it is 0.
const BACKGROUND: &str = "WASMO_BACKGROUND";

/// How much time of processors it may take. What is not optimised by then is not tried again.
const LIMIT: Duration = Duration::from_secs(60);

/// The most functions that a process is told of; those that ran most often come first.
const MOST_FUNCTIONS: usize = 8192;

/// Whether [`start`] is to be called: as the variable says, else where standard error is a terminal. Who types commands runs a program again a little later, on a machine that has nothing else to do;
/// a script, a service or a test may wait for the last process, remove the cache's directory behind it, or measure what runs next.
pub(crate) fn is_wanted() -> bool {
    match std::env::var(BACKGROUND).as_deref() {
        Ok("0") => false,
        Ok("1") => true,
        _ => stderr().is_terminal(),
    }
}

/// Starts it for files and functions in them that were warm in a run with `args`, which has just ended. Answers whether it could.
pub(crate) fn start(args: &RunArgs, cache: &Cache, modules: &[(PathBuf, Vec<u32>)]) -> bool {
    let Ok(program) = std::env::current_exe() else { return false };
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
    command.arg("--");
    for (path, _) in modules {
        let Ok(path) = path::absolute(path) else { return false };
        command.arg(path);
    }
    // A directory that somebody works in cannot be unmounted.
    command.env(CacheConfig::DIRECTORY_VARIABLE, cache.path()).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
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

/// Leaves everything behind that the process has from its parent and that others may wait for, and their turn to them.
fn detach() {
    // SAFETY: nothing of this process has files open but the standard ones, and no thread but this runs; the other calls change only how the system treats the process.
    unsafe {
        libc::setsid();
        libc::close_range(3, libc::c_uint::MAX, 0);
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &libc::sched_param { sched_priority: 0 });
    }
    // Some systems give each session its share, whatever the priorities in it; that of this one is to be the least.
    let _ = std::fs::write("/proc/self/autogroup", "19");
}
