//! `wasmo run`.
//!
//! [`run`] is the whole course: load or compile, instantiate, call. [`settings`] says how, [`modules`] loads
//! and compiles; what a guest's end means for us is decided in one place, [`finish`].

mod budget;
mod invoke;
mod jit;
mod modules;
#[cfg(feature = "compiler")]
mod profile;
mod settings;
mod stats;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error, Result, bail};
use wasmo::{ExternType, Instance, Linker, Module, Store, Trap, WasmBacktrace};
use wasmo_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder};

use self::budget::Budget;
use self::modules::Modules;
use self::settings::Settings;
use self::stats::{Phase, Stats};
use crate::args::RunArgs;
#[cfg(feature = "compiler")]
use crate::args::TierArg;
use crate::output::{FAILED, INTERRUPTED, TRAPPED, note};
use crate::stop::{Reason, Stop, timeout_text};
use crate::{input, output};

/// Frames of a backtrace that are shown, innermost first: a recursion without end has a hundred thousand that are the same.
const SHOWN_FRAMES: usize = 24;

/// The host's side of the guest.
struct Host {
    wasi: WasiCtx,
    budget: Budget,
}

/// Runs a program, or calls a function of a module.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode> {
    let Some((file, guest_args)) = args.command.split_first() else { bail!("no FILE was given") };
    let file = PathBuf::from(file);
    let guest_args = guest_args
        .iter()
        .map(|arg| {
            arg.to_str().map(str::to_owned).with_context(|| format!("the argument {arg:?} is not a text in UTF-8"))
        })
        .collect::<Result<Vec<_>>>()?;

    let mut stats = Stats::new(args.stats);
    let stop = Stop::on_ctrl_c()?;
    let outcome = execute(args, &file, &guest_args, &stop, &mut stats);
    if args.stats {
        note(&stats.to_string());
    }
    let code = finish(args, &file, &stop, outcome)?;
    #[cfg(feature = "compiler")]
    if args.tier != TierArg::Optimized {
        // What is being compiled in the background is of no use any more, and not to be waited for.
        output::leave(code);
    }
    Ok(ExitCode::from(code))
}

fn execute(args: &RunArgs, file: &Path, guest_args: &[String], stop: &Stop, stats: &mut Stats) -> Result<()> {
    let input = stats.time(Phase::Read, || input::open(file))?;
    let settings = Settings::new(args, file, &input)?;
    #[cfg(feature = "compiler")]
    let profile = args.profile.as_deref().map(|path| profile::Output::new(path, file, &input)).transpose()?;
    let engine = settings.engine()?;
    let loader = Modules::new(engine.clone(), args, stop);
    let preloads = args.preloads.iter().map(|(name, file)| {
        let input = stats.time(Phase::Read, || input::open(file))?;
        Ok((name, loader.load(file, input, stats)?))
    });
    let preloads = preloads.collect::<Result<Vec<_>>>()?;
    let module = loader.load(file, input, stats)?;

    let host = Host { wasi: wasi(args, file, guest_args)?, budget: Budget::new(args.max_memory) };
    let mut store = Store::new(&engine, host);
    store.limiter(|host| &mut host.budget);
    settings.apply(&mut store)?;
    let mut linker = Linker::new(&engine);
    // Functions that nobody imports are not defined: there are a hundred, and a short program is over in the time that takes.
    let modules = || preloads.iter().map(|(_, module)| module).chain([&module]);
    let is_imported = |name| modules().flat_map(Module::imports).any(|import| import.module() == name);
    if is_imported(wasmo_wasi::MODULE) {
        wasmo_wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)?;
    }
    if is_imported(wasmo_wasi::MODULE_SNAPSHOT0) {
        wasmo_wasi::add_snapshot0_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)?;
    }
    jit::add_to_linker(&mut linker, args)?;

    stop.watch(store.interrupt_handle());
    let _timer = args.timeout.map(|limit| stop.after(limit));
    let result = (|| {
        for (name, module) in &preloads {
            let instance = instantiate(&mut store, &linker, module, &format!("the module `{name}`"), stats)?;
            linker.instance(&mut store, name, instance)?;
        }
        let instance = instantiate(&mut store, &linker, &module, &format!("`{}`", file.display()), stats)?;
        call(&mut store, instance, &module, args, file, guest_args, stats)
    })();
    let later = stats.time(Phase::Keep, || loader.keep(args));
    stats.set_later(later);
    #[cfg(feature = "compiler")]
    let result = match profile.map_or(Ok(()), |profile| profile.write(&module)) {
        Err(error) if result.is_ok() => Err(error),
        Err(error) => {
            note(&format!("warning: there is no profile: {error:#}\n"));
            result
        }
        Ok(()) => result,
    };
    #[cfg(feature = "compiler")]
    {
        stats.set_tiers(engine.tier_stats());
        if let Some(error) = wasmo::Engine::llvm_failure() {
            note(&format!("warning: nothing could be optimised: {error:#}\n"));
        }
    }
    let failed = result.as_ref().is_err_and(|error| error.downcast_ref() != Some(&I32Exit(0)));
    if failed && store.data().budget.refused() {
        note(&format!("note: {}\n", store.data().budget));
    }
    result
}

/// What the guest sees of this machine.
fn wasi(args: &RunArgs, file: &Path, guest_args: &[String]) -> Result<WasiCtx> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio().arg(file.to_string_lossy()).args(guest_args);
    for (name, value) in &args.env {
        match value {
            Some(value) => {
                wasi.env(name, value);
            }
            None => match std::env::var(name) {
                Ok(value) => {
                    wasi.env(name, value);
                }
                Err(std::env::VarError::NotPresent) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot pass the variable {name} on")),
            },
        }
    }
    for dir in &args.dirs {
        wasi.preopened_dir(&dir.host, &dir.guest, DirPerms::all(), FilePerms::all())?;
    }
    Ok(wasi.build())
}

/// Instantiates a module, and lets a reactor initialise itself. `what` names the module in errors.
fn instantiate(
    store: &mut Store<Host>,
    linker: &Linker<Host>,
    module: &Module,
    what: &str,
    stats: &mut Stats,
) -> Result<Instance> {
    let instance = stats.time(Phase::Instantiate, || linker.instantiate(&mut *store, module));
    let instance = instance.with_context(|| format!("cannot instantiate {what}"))?;
    if let Some(initialize) = instance.get_func(&mut *store, "_initialize") {
        let initialize = initialize.typed::<(), ()>(&*store).with_context(|| format!("`_initialize` of {what}"))?;
        stats
            .time(Phase::Run, || initialize.call(&mut *store, ()))
            .with_context(|| format!("`_initialize` of {what} failed"))?;
    }
    Ok(instance)
}

/// Calls what the command line names, or `_start`.
fn call(
    store: &mut Store<Host>,
    instance: Instance,
    module: &Module,
    args: &RunArgs,
    file: &Path,
    guest_args: &[String],
    stats: &mut Stats,
) -> Result<()> {
    if let Some(name) = &args.invoke {
        let Some(func) = instance.get_func(&mut *store, name) else {
            bail!("`{}` exports no function `{name}`; {}", file.display(), functions(module));
        };
        let (params, mut results) = invoke::prepare(name, &func.ty(&*store), guest_args)?;
        stats
            .time(Phase::Run, || func.call(&mut *store, &params, &mut results))
            .with_context(|| format!("`{name}` failed"))?;
        return output::print(&invoke::show(&results));
    }
    let Some(start) = instance.get_func(&mut *store, "_start") else {
        if module.start_function().is_some() {
            return Ok(());
        }
        bail!("`{}` has no `_start` to run; name a function with --invoke ({})", file.display(), functions(module));
    };
    let start = start.typed::<(), ()>(&*store).context("`_start` must have neither parameters nor results")?;
    stats.time(Phase::Run, || start.call(&mut *store, ()))
}

/// The exported functions, for a message.
fn functions(module: &Module) -> String {
    const SHOWN: usize = 20;
    let is_func = |ty: &ExternType| matches!(ty, ExternType::Func(_));
    let names: Vec<_> =
        module.exports().filter(|export| is_func(&export.ty())).map(|export| export.name().to_owned()).collect();
    match names.len() {
        0 => "it exports no function".to_owned(),
        n if n > SHOWN => format!("it exports {}, and {} more", names[..SHOWN].join(", "), n - SHOWN),
        _ => format!("it exports {}", names.join(", ")),
    }
}

/// What the guest's end means for us: its exit code is ours, traps are shown with their backtraces, Ctrl-C needs no words.
fn finish(args: &RunArgs, file: &Path, stop: &Stop, outcome: Result<()>) -> Result<u8> {
    let error = match outcome {
        Ok(()) => return Ok(0),
        Err(error) => error,
    };
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Ok(exit.process_exit_code());
    }
    if stop.requested() == Some(Reason::CtrlC) {
        return Ok(INTERRUPTED);
    }
    let Some(trap) = error.downcast_ref::<Trap>() else {
        let Some(backtrace) = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string) else { return Err(error) };
        // The backtrace is one of the error's causes, and would hide those that say what went wrong.
        let causes = error.chain().map(ToString::to_string).filter(|cause| *cause != backtrace);
        let causes: String = causes.map(|cause| format!("  because: {cause}\n")).collect();
        note(&format!("error: `{}` failed in a host call\n{causes}{}", file.display(), self::backtrace(&error)));
        return Ok(FAILED);
    };
    let why = match (trap, args.timeout) {
        (Trap::Interrupt, Some(limit)) if stop.requested() == Some(Reason::Timeout) => timeout_text(limit),
        (Trap::OutOfFuel, _) => format!("{} (--fuel)", trap.message()),
        _ => trap.message().to_owned(),
    };
    note(&format!("error: `{}` trapped: {why}\n{}", file.display(), backtrace(&error)));
    Ok(TRAPPED)
}

/// The frames that the error was raised in, innermost first.
fn backtrace(error: &Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let mut text = String::from("wasm backtrace:\n");
    for (number, frame) in backtrace.frames().iter().take(SHOWN_FRAMES).enumerate() {
        text.push_str(&format!("  {number:>3}: {frame}\n"));
    }
    let hidden = backtrace.omitted() + backtrace.frames().len().saturating_sub(SHOWN_FRAMES) as u64;
    if hidden > 0 {
        text.push_str(&format!("       and {hidden} more\n"));
    }
    text
}
