//! Programs that were compiled before, as commands: from the start of the process to its end, on wasmo and on Wasmtime, in turn.
//! wasmo is its own command; Wasmtime is the least program that does the same (`src/bin/wasmtime-run.rs`).

use crate::engine::{Compiler, WasmoEngine, WasmtimeEngine};
use crate::sample::Samples;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const HELLO: &str = r#"(module $hello
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 8) "Hello\n")
    (func $say_hello (export "_start")
        (i32.store (i32.const 0) (i32.const 8))
        (i32.store (i32.const 4) (i32.const 6))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"#;

/// Processes a round and engine: they are short.
const PROCESSES: usize = 20;

/// One program on both engines.
pub struct Artefact {
    /// The program.
    pub name: &'static str,
    /// Milliseconds of `wasmo run` of its file.
    pub wasmo: Samples,
    /// Milliseconds of `wasmo run` of the module, which is in the cache.
    pub wasmo_cache: Samples,
    /// Milliseconds of Wasmtime with its file.
    pub wasmtime: Samples,
}

/// What is run, and how.
struct Program {
    wasm: PathBuf,
    wasmo: PathBuf,
    wasmtime: PathBuf,
    args: &'static [&'static str],
}

/// Compiles to files in `folder`, and measures `rounds` rounds. Programs that were not fetched are left out.
pub fn measure(rounds: usize, folder: &Path) -> Result<Vec<Artefact>> {
    std::fs::create_dir_all(folder)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let command = root.join("target/release/wasmo");
    let peer = std::env::current_exe()?.with_file_name("wasmtime-run");
    for program in [&command, &peer] {
        if !program.exists() {
            eprintln!("{} is missing (make bench builds it), so artefacts are left out", program.display());
            return Ok(Vec::new());
        }
    }
    let hello = folder.join("hello.wasm");
    std::fs::write(&hello, wat(HELLO)?)?;
    let sources: [(&str, PathBuf, &[&str]); 2] =
        [("hello", hello, &[]), ("CPython -c 'print(1)'", root.join("target/real/python.wasm"), &["-c", "print(1)"])];
    let cache = folder.join("cache");
    let mut artefacts = Vec::new();
    for (name, wasm, args) in sources {
        if !wasm.exists() {
            eprintln!("{} is missing (scripts/fetch-real), so it is left out", wasm.display());
            continue;
        }
        eprint!("\r\x1b[Kcompiling {name} to files");
        let program = compile(&wasm, folder, args)?;
        let mut artefact =
            Artefact { name, wasmo: Samples::default(), wasmo_cache: Samples::default(), wasmtime: Samples::default() };
        // Into the cache, and all files into memory.
        run(&command, true, &program.wasm, args, &cache)?;
        for round in 0..rounds {
            eprint!("\r\x1b[K{name} as a command, round {}/{rounds}", round + 1);
            for _ in 0..PROCESSES {
                artefact.wasmo.push(run(&command, true, &program.wasmo, program.args, &cache)?);
                artefact.wasmo_cache.push(run(&command, true, &program.wasm, program.args, &cache)?);
                artefact.wasmtime.push(run(&peer, false, &program.wasmtime, program.args, &cache)?);
            }
        }
        artefacts.push(artefact);
    }
    eprint!("\r\x1b[K");
    Ok(artefacts)
}

/// The binary of a text.
pub fn wat(text: &str) -> Result<Vec<u8>> {
    let engine = WasmoEngine::new()?;
    let module = wasmo::Module::new(engine.engine(), text)?;
    Ok(module.binary().context("it was just compiled")?.to_vec())
}

fn compile(wasm: &Path, folder: &Path, args: &'static [&'static str]) -> Result<Program> {
    let bytes = std::fs::read(wasm)?;
    let name = wasm.file_name().context("a program has a name")?;
    let file = |ending: &str| folder.join(name).with_extension(ending);
    let program = Program { wasm: wasm.to_owned(), wasmo: file("wasmo"), wasmtime: file("cwasm"), args };
    std::fs::write(&program.wasmo, WasmoEngine::new()?.engine().precompile_module(&bytes)?)?;
    let engine = WasmtimeEngine::new(Compiler::Cranelift)?;
    std::fs::write(&program.wasmtime, engine.engine().precompile_module(&bytes)?)?;
    Ok(program)
}

/// Milliseconds from the start of a process to its end.
fn run(command: &Path, is_wasmo: bool, file: &Path, args: &[&str], cache: &Path) -> Result<f64> {
    let mut process = Command::new(command);
    process.args(is_wasmo.then_some("run")).arg(file).args(args).env("WASMO_CACHE_DIR", cache);
    process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let started = Instant::now();
    let status = process.status().with_context(|| format!("cannot start {}", command.display()))?;
    let time = started.elapsed();
    if !status.success() {
        bail!("{} {}: {status}", command.display(), file.display());
    }
    Ok(time.as_secs_f64() * 1e3)
}
