//! `wasmo compile`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wasmo::{Config, Engine, OptLevel, Profile};

use crate::args::CompileArgs;
use crate::compiler;
use crate::output::INTERRUPTED;
use crate::progress::Progress;
use crate::replace::replace;
use crate::stop::Stop;

/// Compiles a module, and writes what comes out.
pub(crate) fn run(args: &CompileArgs) -> Result<ExitCode> {
    let output = output(args)?;
    check_output(&output)?;
    let binary = compiler::read_module(&args.file)?;
    let profile = args.profile.as_deref().map(|path| profile(path, &binary, &args.file)).transpose()?;
    let stop = Stop::on_ctrl_c()?;
    let engine = engine(args)?;
    let progress = Progress::new(&args.file, stop.clone());
    let artifact = match &profile {
        Some(profile) => engine.precompile_module_with_profile(&binary, profile, &progress),
        None => engine.precompile_module_with_observer(&binary, &progress),
    };
    drop(progress);
    if stop.requested().is_some() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let artifact = artifact.with_context(|| format!("cannot compile `{}`", args.file.display()))?;
    replace(&output, &artifact)?;
    Ok(ExitCode::SUCCESS)
}

/// The profile at `path`, which has to be one of the module `binary` from `file`.
fn profile(path: &Path, binary: &[u8], file: &Path) -> Result<Profile> {
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let profile = Profile::from_bytes(&bytes).with_context(|| format!("cannot use `{}`", path.display()))?;
    if !profile.is_of(binary) {
        bail!("`{}` is no profile of `{}`, but of another module", path.display(), file.display());
    }
    Ok(profile)
}

/// Where to write: what the command line says, or the module's name with our ending.
fn output(args: &CompileArgs) -> Result<PathBuf> {
    if let Some(output) = &args.output {
        return Ok(output.clone());
    }
    let output = args.file.with_extension("wasmo");
    if output == args.file {
        bail!("`{}` has the ending of a compiled module; name the file to write with -o", args.file.display());
    }
    Ok(output)
}

/// Before anything takes time: compiled modules are replaced, empty files are filled, but nothing else is overwritten. Who swaps the two
/// names of a command line must not lose the source.
fn check_output(path: &Path) -> Result<()> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        // Writing it will say what is wrong, if anything is.
        Err(_) => return Ok(()),
    };
    if !found.is_file() || found.len() == 0 {
        return Ok(());
    }
    let is_artifact =
        Engine::detect_precompiled_file(path).with_context(|| format!("cannot look at `{}`", path.display()))?;
    if is_artifact.is_none() {
        bail!(
            "`{}` is there, and is no compiled module; remove it first, or name another file with -o",
            path.display()
        );
    }
    Ok(())
}

/// An engine that compiles as the command line says.
fn engine(args: &CompileArgs) -> Result<Engine> {
    let mut config = Config::new();
    config.strict_traps(args.strict_traps).consume_fuel(args.fuel);
    config.opt_level(if args.opt_level == "0" { OptLevel::None } else { OptLevel::Speed });
    if let Some(threads) = args.compile_threads {
        config.compilation_threads(threads.into());
    }
    if let Some(target) = &args.target {
        config.target(target);
    }
    if let Some(cpu) = &args.cpu {
        config.target_cpu(cpu);
    }
    Engine::new(&config).context("cannot start the engine")
}
