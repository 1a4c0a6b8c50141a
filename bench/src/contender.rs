//! Engines as commands, with nothing cached: what is measured from the start of a process, compilation included.
//!
//! wasmo is its own command, in each of its tiers; Wasmtime, which is a library, the least program that does the same (`src/bin/wasmtime-run.rs`), with either
//! of its compilers; V8 is `node` with its own WASI.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// One way to run a command.
#[derive(Clone)]
pub struct Contender {
    /// A short name.
    pub name: &'static str,
    program: PathBuf,
    args: Vec<&'static str>,
}

/// What a process took.
pub struct Took {
    /// Milliseconds from its start to its end.
    pub total: f64,
    /// Milliseconds from its own beginning to the guest's first instruction, where that was asked for and told.
    pub first: Option<f64>,
}

/// Runs the file that it is given, and says on request when the guest's first instruction was.
const NODE_SCRIPT: &str = r#"
const { WASI } = require("node:wasi");
const [file, ...args] = process.argv.slice(1);
const wasi = new WASI({ version: "preview1", args: [file, ...args], env: {}, returnOnExit: true });
const module = new WebAssembly.Module(require("node:fs").readFileSync(file));
const imports = wasi.getImportObject();
for (const { module: from, name } of WebAssembly.Module.imports(module))
    (imports[from] ??= {})[name] ??= () => { throw new Error(`${from} ${name} is not there`); };
const instance = new WebAssembly.Instance(module, imports);
if (process.env.BENCH_FIRST) process.stderr.write(`first run at ${performance.now()} ms\n`);
process.exitCode = wasi.start(instance);
"#;

/// The command that `make build` leaves.
pub fn wasmo_command() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/wasmo")
}

/// All that can be used here: wasmo in lift-off code only, in tiers, and optimised before it runs; Wasmtime's compilers; V8.
pub fn all() -> Result<Vec<Contender>> {
    let wasmo = wasmo_command();
    let wasmtime = std::env::current_exe()?.with_file_name("wasmtime-run");
    for program in [&wasmo, &wasmtime] {
        if !program.exists() {
            bail!("{} is missing: make bench builds it", program.display());
        }
    }
    let ours = |name, tier| Contender { name, program: wasmo.clone(), args: vec!["run", "--no-cache", "--tier", tier] };
    let theirs = |name| Contender { name, program: wasmtime.clone(), args: vec!["--compiler", name] };
    let mut contenders = vec![
        ours("wasmo lift-off", "lift-off"),
        ours("wasmo auto", "auto"),
        ours("wasmo optimized", "optimized"),
        theirs("cranelift"),
        theirs("winch"),
    ];
    let node = Contender { name: "V8", program: "node".into(), args: vec!["--no-warnings", "-e", NODE_SCRIPT, "--"] };
    let has_wasi = Command::new("node").args(["--no-warnings", "-e", "require('node:wasi')"]).output();
    if has_wasi.is_ok_and(|output| output.status.success()) {
        contenders.push(node);
    } else {
        eprintln!("there is no node with WASI, so V8 is left out");
    }
    Ok(contenders)
}

impl Contender {
    /// The process that runs `file`, with what it prints thrown away.
    pub fn command<S: AsRef<OsStr>>(&self, file: &Path, args: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(file).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Whether it is wasmo, in whatever tier.
    fn is_wasmo(&self) -> bool {
        self.name.starts_with("wasmo")
    }

    /// Runs `file` to its end, and asks when its first instruction was.
    pub fn run_asking<S: AsRef<OsStr>>(&self, file: &Path, args: &[S]) -> Result<Took> {
        let mut contender = self.clone();
        if self.is_wasmo() {
            contender.args.push("--stats");
        }
        let mut command = contender.command(file, args);
        command.env("BENCH_FIRST", "1");
        took(command)
    }
}

/// Runs a process to its end, which must be a good one.
pub fn took(mut command: Command) -> Result<Took> {
    command.stderr(Stdio::piped());
    let started = Instant::now();
    let output = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let total = started.elapsed().as_secs_f64() * 1e3;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{command:?}: {}\n{told}", output.status);
    }
    let first =
        told.lines().find_map(|line| line.strip_prefix("first run at")?.trim().strip_suffix(" ms")?.parse().ok());
    Ok(Took { total, first })
}
