//! Compiling CPython: CPU time, time and peak memory, each compilation in a process of its own.

use crate::engine::{Compiler, WasmoEngine, WasmtimeEngine};
use crate::sample::Samples;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What compiling took.
pub struct Compile {
    /// The engine.
    pub engine: &'static str,
    /// Seconds of CPU, all threads.
    pub cpu: Samples,
    /// Seconds.
    pub wall: Samples,
    /// Peak memory in MiB.
    pub memory: Samples,
}

const ENGINES: [&str; 3] = ["wasmo", "cranelift", "winch"];

/// Compiles CPython on each engine, `rounds` times in turn; nothing when the program was not fetched.
pub fn measure(rounds: usize) -> Result<Vec<Compile>> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/real/python.wasm");
    if !python.exists() {
        eprintln!("{} is missing (scripts/fetch-real), so compiling CPython is left out", python.display());
        return Ok(Vec::new());
    }
    let mut compiles = ENGINES.map(|engine| Compile {
        engine,
        cpu: Samples::default(),
        wall: Samples::default(),
        memory: Samples::default(),
    });
    for _ in 0..rounds {
        for compile in &mut compiles {
            eprint!("\r\x1b[Kcompiling CPython on {}", compile.engine);
            let output =
                Command::new(std::env::current_exe()?).args(["compile", compile.engine]).arg(&python).output()?;
            if !output.status.success() {
                bail!("{} cannot compile CPython: {}", compile.engine, String::from_utf8_lossy(&output.stderr));
            }
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [cpu, wall, memory] = figures[..] else { bail!("not three figures: {text:?}") };
            compile.cpu.push(cpu);
            compile.wall.push(wall);
            compile.memory.push(memory);
        }
    }
    eprint!("\r\x1b[K");
    Ok(compiles.into())
}

/// Compiles `file` on `engine` in this process and prints the three figures.
pub fn here(engine: &str, file: &Path) -> Result<()> {
    let wasm = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let started = Instant::now();
    match engine {
        "wasmo" => drop(wasmo::Module::from_binary(WasmoEngine::new()?.engine(), &wasm)?),
        "cranelift" => drop(wasmtime::Module::from_binary(WasmtimeEngine::new(Compiler::Cranelift)?.engine(), &wasm)?),
        "winch" => drop(wasmtime::Module::from_binary(WasmtimeEngine::new(Compiler::Winch)?.engine(), &wasm)?),
        _ => bail!("no engine is named {engine}: {}", ENGINES.join(", ")),
    }
    let wall = started.elapsed().as_secs_f64();
    // SAFETY: an all-zero `rusage` is a valid one, and `getrusage` writes to no more than it.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    println!("{} {wall} {}", seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss as f64 / 1024.0);
    Ok(())
}
