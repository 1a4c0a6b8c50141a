//! The command line, as clap sees it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::units::{parse_duration, parse_size};

/// `wasmo --version`: the version, the git revision, and what compiles.
const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("WASMO_REVISION"), ", ", env!("WASMO_COMPILER"), ")");

/// Run WebAssembly at native speed.
#[derive(Debug, Parser)]
#[command(name = "wasmo", version = VERSION, max_term_width = 100)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program, or one function of a module.
    Run(RunArgs),
    /// Compile a module to a file that `wasmo run` runs at once, with or without a compiler.
    #[cfg(feature = "compiler")]
    Compile(CompileArgs),
    /// Show what a module holds: imports, exports, memories, tables, functions by size, sections; for what a compiled one was made; what a profile has counted.
    Inspect(InspectArgs),
    /// Check that modules are valid.
    #[cfg(feature = "compiler")]
    Validate(ValidateArgs),
    /// Run specification scripts, and name each line that fails.
    #[cfg(feature = "compiler")]
    Wast(WastArgs),
    /// What takes a compiler.
    #[cfg(not(feature = "compiler"))]
    #[command(name = "compile", aliases = ["validate", "wast"], hide = true, disable_help_flag = true)]
    NeedsCompiler(NeedsCompilerArgs),
    /// Show or empty the cache of compiled modules.
    Cache(CacheArgs),
    /// Print a script that completes wasmo's command line in a shell.
    Completions(CompletionsArgs),
}

const RUN_HELP: &str = "\
FILE is a module in the binary or the text format, or one that `wasmo compile` has made of these. A command (it exports `_start`) is run; of any other module, name a function \
with --invoke. Options of wasmo stand before FILE; everything after it belongs to the guest. What is compiled is kept in the user's cache \
(`wasmo cache --help`), and found there the next time; on a terminal, a process in the background may go on with that for a while (`wasmo cache optimize --help`).

Exit code: the guest's own; 134 after a trap; 130 after Ctrl-C; 2 for wrong usage; 1 for any other error.";

/// When code is compiled, and how well.
#[cfg(feature = "compiler")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TierArg {
    /// Functions are compiled as they are called, quickly at first, and optimised when they turn out to be hot
    Auto,
    /// Functions are compiled as they are called, quickly, and stay as they are
    LiftOff,
    /// Everything is compiled and optimised before it runs
    Optimized,
}

/// `wasmo run`.
#[derive(Debug, clap::Args)]
#[command(after_help = RUN_HELP, override_usage = "wasmo run [OPTIONS] FILE [ARGS]...")]
pub(crate) struct RunArgs {
    /// Let the guest use the directory HOST, under the name GUEST (HOST itself if not given). May be repeated.
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = parse_dir, value_hint = ValueHint::DirPath)]
    pub(crate) dirs: Vec<Dir>,

    /// Set a variable of the guest's environment; without a value, it gets wasmo's own. May be repeated.
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = parse_env)]
    pub(crate) env: Vec<(String, Option<String>)>,

    /// Call the exported function NAME with ARGS, which are read as its parameter types say, and print its results.
    #[arg(long, value_name = "NAME")]
    pub(crate) invoke: Option<String>,

    /// Instantiate the module FILE first, and let imports from NAME find its exports. May be repeated.
    #[arg(long = "preload", value_name = "NAME=FILE", value_parser = parse_preload, value_hint = ValueHint::FilePath)]
    pub(crate) preloads: Vec<(String, PathBuf)>,

    /// Stop the guest when it has run for this long, as 500ms, 10s, 2m, 1h.
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Stop the guest after it has executed about N operators.
    #[arg(long, value_name = "N")]
    pub(crate) fuel: Option<u64>,

    /// Keep WebAssembly's order of stores and traps exactly, at the price of a check at each access.
    #[arg(long)]
    pub(crate) strict_traps: bool,

    /// When the guest's code is compiled, and how well.
    #[cfg(feature = "compiler")]
    #[arg(long, value_name = "TIER", default_value = "auto")]
    pub(crate) tier: TierArg,

    /// Compile on N threads (1 to 256); if not given, on one for each core, but for the one that the guest runs on.
    #[cfg(feature = "compiler")]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) compile_threads: Option<u16>,

    /// Write a line to standard error whenever code of the guest is compiled or replaced.
    #[cfg(feature = "compiler")]
    #[arg(long)]
    pub(crate) trace_tiers: bool,

    /// Let the guest's code count what it does, and write that to OUT when it ends, however that is: a profile, for `wasmo compile --profile`. Such code is not
    /// optimised, and not kept in the cache.
    #[cfg(feature = "compiler")]
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath, conflicts_with = "tier")]
    pub(crate) profile: Option<PathBuf>,

    /// Write the names of functions, as they are compiled, to /tmp/perf-PID.map, where `perf report` looks for them.
    #[arg(long)]
    pub(crate) perf_map: bool,

    /// Tell a debugger (gdb) the names and frames of functions, as they are compiled.
    #[arg(short = 'g', long)]
    pub(crate) debug_info: bool,

    /// Let memories and tables together grow no further than this, as 64MiB, 1GiB, or a number of bytes.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_memory: Option<u64>,

    /// Let the guest have no more than N modules at a time that it adds to itself (`wasmo_jit`).
    #[arg(long, value_name = "N", conflicts_with = "no_jit")]
    pub(crate) jit_max_modules: Option<usize>,

    /// Let the modules that the guest adds to itself have no more bytes than this together, as 16MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "no_jit")]
    pub(crate) jit_max_bytes: Option<u64>,

    /// When the code of modules that the guest adds to itself is compiled, and how well.
    #[cfg(feature = "compiler")]
    #[arg(long, value_name = "TIER", default_value = "auto", conflicts_with_all = ["no_jit", "jit_opt_level"])]
    pub(crate) jit_tier: TierArg,

    /// Compile all of a module that the guest adds to itself before it is linked: 0 for code soon, 2 for fast code.
    #[arg(long, value_name = "LEVEL", value_parser = ["0", "2"], conflicts_with = "no_jit")]
    pub(crate) jit_opt_level: Option<String>,

    /// Do not let the guest add modules to itself; when it asks, it is told so.
    #[arg(long)]
    pub(crate) no_jit: bool,

    /// Compile even what was compiled before, and keep nothing (see `wasmo cache`).
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// Print, after the run, the time of each phase, the memory used, and whether the cache had the module.
    #[arg(long)]
    pub(crate) stats: bool,

    // One list rather than FILE and ARGS apart: clap looks for options of ours between two positional arguments, but not within
    // the last one.
    /// The module, and the guest's arguments.
    #[arg(required = true, trailing_var_arg = true, value_names = ["FILE", "ARGS"], value_hint = ValueHint::FilePath)]
    pub(crate) command: Vec<OsString>,
}

/// `wasmo wast`.
#[cfg(feature = "compiler")]
#[derive(Debug, clap::Args)]
pub(crate) struct WastArgs {
    /// Refuse modules with several memories, as scripts for WebAssembly 1.0 and 2.0 expect.
    #[arg(long)]
    pub(crate) no_multi_memory: bool,

    /// Scripts in the specification's format (.wast).
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

/// A command that this build does not have, and whatever follows it.
#[cfg(not(feature = "compiler"))]
#[derive(Debug, clap::Args)]
pub(crate) struct NeedsCompilerArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// `wasmo compile`.
#[cfg(feature = "compiler")]
#[derive(Debug, clap::Args)]
pub(crate) struct CompileArgs {
    /// The file to write; FILE with the ending .wasmo if not given.
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Compile for another kind of machine, as aarch64-unknown-linux-gnu.
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,

    /// Compile for a processor that LLVM knows by this name, as x86-64-v3; for the one of this machine (native); or for all of their kind that
    /// wasmo runs on (baseline). Without it, native here and baseline with --target.
    #[arg(long, value_name = "NAME|native|baseline")]
    pub(crate) cpu: Option<String>,

    /// How hard to try: 0 for code soon, 2 for fast code.
    #[arg(long, value_name = "LEVEL", default_value = "2", value_parser = ["0", "2"])]
    pub(crate) opt_level: String,

    /// Keep WebAssembly's order of stores and traps exactly, at the price of a check at each access.
    #[arg(long)]
    pub(crate) strict_traps: bool,

    /// Let the code count what it executes, as `wasmo run --fuel` needs it.
    #[arg(long)]
    pub(crate) fuel: bool,

    /// Compile on N threads (1 to 256); if not given, on one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) compile_threads: Option<u16>,

    /// Make the code for what the module did in earlier runs: PROFILE is what `wasmo run --profile` has written.
    #[arg(long, value_name = "PROFILE", value_hint = ValueHint::FilePath)]
    pub(crate) profile: Option<PathBuf>,

    /// A module in the binary or the text format.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

/// `wasmo inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// List all functions, not only the twenty largest (of a profile: the twenty in which most happened).
    #[arg(long)]
    pub(crate) all: bool,

    /// Show instead what PROFILE says of the module FILE, which has the names of the functions.
    #[cfg(feature = "compiler")]
    #[arg(long, value_name = "PROFILE", value_hint = ValueHint::FilePath)]
    pub(crate) profile: Option<PathBuf>,

    /// A module in the binary or the text format, a compiled one, or a profile of `wasmo run --profile`.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

/// `wasmo validate`.
#[cfg(feature = "compiler")]
#[derive(Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    /// Modules in the binary or the text format.
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

const CACHE_HELP: &str = "\
The cache is in WASMO_CACHE_DIR or, if that is not set, in the directory wasmo of the user's cache directory \
(XDG_CACHE_HOME, or ~/.cache). What was used longest ago is removed by itself. The directory may be deleted at any time.";

/// `wasmo cache`.
#[derive(Debug, clap::Args)]
#[command(after_help = CACHE_HELP)]
pub(crate) struct CacheArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

/// What can be done with the cache.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Print the directory that the cache is in.
    Path,
    /// List the compiled modules, the one used last first: size, time since its last use, file.
    List,
    /// Remove all compiled modules.
    Clear,
    /// Remove compiled modules by size and age.
    Prune(PruneArgs),
    /// Optimise, now, what was found to be warm in the runs of a program.
    #[cfg(feature = "compiler")]
    Optimize(OptimizeArgs),
}

#[cfg(feature = "compiler")]
const OPTIMIZE_HELP: &str = "\
On a terminal, `wasmo run` starts this by itself, in the background and with the lowest priority, when a program ends before what is warm in it could be optimised; with WASMO_BACKGROUND=1 \
in the environment it does so everywhere, with WASMO_BACKGROUND=0 never. The options must be those of the runs.";

/// `wasmo cache optimize`.
#[cfg(feature = "compiler")]
#[derive(Debug, clap::Args)]
#[command(after_help = OPTIMIZE_HELP)]
pub(crate) struct OptimizeArgs {
    /// For runs with --fuel.
    #[arg(long)]
    pub(crate) fuel: bool,

    /// For runs with --strict-traps.
    #[arg(long)]
    pub(crate) strict_traps: bool,

    /// Belong to no terminal, have the lowest priority, and leave it at that when another process is at it.
    #[arg(long, hide = true)]
    pub(crate) detached: bool,

    /// Functions of the next module that are warm as well, by their indices, as 1,2,3. May be repeated, for one module after the other.
    #[arg(long, hide = true, value_name = "FUNCTIONS", value_parser = parse_functions)]
    pub(crate) warm: Vec<Functions>,

    /// Modules that have been run before.
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

/// `wasmo cache prune`.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct PruneArgs {
    /// Remove what was used longest ago until the cache takes no more than this, as 64MiB, 1GiB, or a number of bytes.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,

    /// Remove what has not been used for this long, as 30m, 12h, 7d.
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub(crate) older_than: Option<Duration>,
}

/// `wasmo completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

/// Functions of a module.
#[cfg(feature = "compiler")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Functions(pub(crate) Vec<u32>);

#[cfg(feature = "compiler")]
fn parse_functions(text: &str) -> Result<Functions, String> {
    let numbers: Result<_, _> = text.split(',').map(str::parse).collect();
    numbers.map(Functions).map_err(|error: std::num::ParseIntError| error.to_string())
}

/// A directory that the guest may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dir {
    /// Where it is.
    pub(crate) host: PathBuf,
    /// What the guest calls it.
    pub(crate) guest: String,
}

fn parse_dir(text: &str) -> Result<Dir, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("a directory has a name: HOST or HOST::GUEST".to_owned());
    }
    Ok(Dir { host: PathBuf::from(host), guest: guest.to_owned() })
}

fn parse_env(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("a variable has a name: NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value))
}

fn parse_preload(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !file.is_empty() => Ok((name.to_owned(), PathBuf::from(file))),
        _ => Err("expected NAME=FILE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run_args(line: &[&str]) -> RunArgs {
        match Args::try_parse_from(line).expect("a right command line").command {
            Command::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_description_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_stop_at_the_file() {
        let args = run_args(&["wasmo", "run", "--stats", "f.wasm", "--dir", "x", "-c", "--", "--help"]);
        assert!(args.stats && args.dirs.is_empty());
        assert_eq!(args.command, ["f.wasm", "--dir", "x", "-c", "--", "--help"]);
    }

    #[test]
    fn directories_have_one_name_or_two() {
        let dir = |host: &str, guest: &str| Ok(Dir { host: PathBuf::from(host), guest: guest.to_owned() });
        assert_eq!(parse_dir("a/b"), dir("a/b", "a/b"));
        assert_eq!(parse_dir("a::/b::c"), dir("a", "/b::c"));
        assert!(parse_dir("::b").is_err() && parse_dir("a::").is_err() && parse_dir("").is_err());
    }

    #[test]
    fn variables_may_have_no_value() {
        assert_eq!(parse_env("A=b=c"), Ok(("A".to_owned(), Some("b=c".to_owned()))));
        assert_eq!(parse_env("A="), Ok(("A".to_owned(), Some(String::new()))));
        assert_eq!(parse_env("A"), Ok(("A".to_owned(), None)));
        assert!(parse_env("=b").is_err());
    }
}
