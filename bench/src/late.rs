//! Adding a module to a program that runs: what it takes from bytes to functions that are in the program's table, on wasmo, Wasmtime and V8, in turn.
//!
//! The modules are such as a compiler in a guest makes: functions of 500 bytes with loads, stores, branches and indirect calls, and a start function that makes room in
//! the table, fills it and writes down where. No two have the same bytes, since V8 recognises those that it has seen. V8 compiles functions when they are first called, and wasmo may; so the first call
//! is a figure of its own, to be added. wasmo and Wasmtime are libraries in this process, V8 is a process of its own.

use crate::sample::Samples;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Microseconds.
pub struct Late {
    /// The engine.
    pub engine: &'static str,
    /// How many functions the modules have.
    pub functions: usize,
    /// Their size in bytes.
    pub bytes: usize,
    /// From bytes to an instance whose start function has run.
    pub link: Samples,
    /// The first call of one of its functions.
    pub call: Samples,
    /// Taking it away again, where that can be done.
    pub remove: Samples,
}

/// What modules are added to.
const HOST: &str = r#"(module
    (memory (export "memory") 1)
    (table (export "__indirect_function_table") 16 funcref))"#;

/// Numbers of functions; two of them make a module of 1 KB.
const SIZES: [usize; 4] = [1, 2, 10, 100];

/// How many modules of `functions` functions are added in a round: enough for a median, and no more of the large ones than that takes.
fn batch(functions: usize) -> usize {
    (100 / functions).clamp(3, 20)
}

/// A module with `functions` functions; `seed` makes it different from all others.
fn module(functions: usize, seed: usize) -> Result<Vec<u8>> {
    let mut text = String::from(
        r#"(module
        (import "env" "memory" (memory 1))
        (import "env" "__indirect_function_table" (table $table 0 funcref))
        (type $f (func (param i32 i32) (result i32)))
        (export "run" (func $f0))"#,
    );
    for number in 0..functions {
        let constant = seed * 131 + number;
        write!(text, "(func $f{number} (type $f) (local i32 i32 i32) (local.set 2 (i32.const {constant}))")?;
        for step in 0..9 {
            let (load, store, factor) = (step * 8, step * 8 + 4, 77 + step);
            write!(
                text,
                "(block (br_if 0 (i32.lt_s (local.get 0) (i32.const {step})))
                    (local.set 3 (i32.load offset={load} (local.get 1)))
                    (i32.store offset={store} (local.get 1) (i32.add (local.get 3) (local.get 2)))
                    (local.set 4 (call_indirect $table (type $f) (local.get 3) (local.get 4) (i32.const {step})))
                    (local.set 2 (i32.xor (local.get 2) (i32.mul (local.get 4) (i32.const {factor})))))"
            )?;
        }
        text += "(local.get 2))";
    }
    let names: String = (0..functions).map(|number| format!(" $f{number}")).collect();
    write!(
        text,
        "(elem $new func {names})
        (func $patch (local i32)
            (local.set 0 (table.grow $table (ref.null func) (i32.const {functions})))
            (table.init $table $new (local.get 0) (i32.const 0) (i32.const {functions}))
            (i32.store (i32.const 8) (local.get 0)))
        (start $patch))"
    )?;
    Ok(wat::parse_str(text)?)
}

fn micros(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e6
}

fn with_wasmo(engine: &wasmo::Engine, modules: &[Vec<u8>], figures: &mut Late) -> Result<()> {
    let mut store = wasmo::Store::new(engine, ());
    let instance = wasmo::Instance::new(&mut store, &wasmo::Module::new(engine, HOST)?, &[])?;
    for bytes in modules {
        let started = Instant::now();
        let late = instance.add_module(&mut store, bytes)?;
        figures.link.push(micros(started));
        let run = late.get_typed_func::<(i32, i32), i32>(&mut store, "run")?;
        let started = Instant::now();
        run.call(&mut store, (-1, 0))?;
        figures.call.push(micros(started));
        let started = Instant::now();
        late.remove(&mut store)?;
        figures.remove.push(micros(started));
    }
    Ok(())
}

fn with_wasmtime(engine: &wasmtime::Engine, modules: &[Vec<u8>], figures: &mut Late) -> Result<()> {
    let mut store = wasmtime::Store::new(engine, ());
    let host = wasmtime::Instance::new(&mut store, &wasmtime::Module::new(engine, HOST)?, &[])?;
    let memory = host.get_export(&mut store, "memory").context("it is exported")?;
    let table = host.get_export(&mut store, "__indirect_function_table").context("it is exported")?;
    for bytes in modules {
        let started = Instant::now();
        let module = wasmtime::Module::from_binary(engine, bytes)?;
        let late = wasmtime::Instance::new(&mut store, &module, &[memory.clone(), table.clone()])?;
        figures.link.push(micros(started));
        let run = late.get_typed_func::<(i32, i32), i32>(&mut store, "run")?;
        let started = Instant::now();
        run.call(&mut store, (-1, 0))?;
        figures.call.push(micros(started));
    }
    Ok(())
}

/// Reads modules from files and prints microseconds: one line each, linking and the first call.
const SCRIPT: &str = r#"
const fs = require("node:fs");
const [folder, count] = process.argv.slice(1);
const files = [];
for (let i = 0; i < Number(count); i++) files.push(fs.readFileSync(`${folder}/${i}.wasm`));
const memory = new WebAssembly.Memory({ initial: 1 });
const table = new WebAssembly.Table({ initial: 16, element: "anyfunc" });
const imports = { env: { memory, __indirect_function_table: table } };
const lines = [];
for (const bytes of files) {
    const a = process.hrtime.bigint();
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
    const b = process.hrtime.bigint();
    instance.exports.run(-1, 0);
    const c = process.hrtime.bigint();
    lines.push(`${Number(b - a) / 1000} ${Number(c - b) / 1000}`);
}
console.log(lines.join("\n"));
"#;

/// Nothing is measured when there is no `node`.
fn with_v8(folder: &Path, modules: &[Vec<u8>], figures: &mut Late) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for (number, bytes) in modules.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.wasm")), bytes)?;
    }
    let mut node = Command::new("node");
    node.args(["--no-warnings", "-e", SCRIPT, "--"]).arg(folder).arg(modules.len().to_string());
    let Ok(output) = node.output() else { return Ok(()) };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut numbers = line.split(' ').filter_map(|number| number.parse().ok());
        if let (Some(link), Some(call)) = (numbers.next(), numbers.next()) {
            figures.link.push(link);
            figures.call.push(call);
        }
    }
    Ok(())
}

/// What adds modules.
enum Engine {
    Wasmo(wasmo::Engine),
    Wasmtime(wasmtime::Engine),
    V8,
}

/// The engines by name.
fn engines() -> Result<Vec<(&'static str, Engine)>> {
    // Without this, functions are compiled when they are first called.
    let at_once = |level| wasmo::Engine::new(wasmo::Config::new().late_link_opt_level(level));
    let wasmtime = |strategy| wasmtime::Engine::new(wasmtime::Config::new().strategy(strategy));
    Ok(vec![
        ("wasmo", Engine::Wasmo(wasmo::Engine::default())),
        ("wasmo, all at once", Engine::Wasmo(at_once(wasmo::OptLevel::None)?)),
        ("wasmo, optimised at once", Engine::Wasmo(at_once(wasmo::OptLevel::Speed)?)),
        ("cranelift", Engine::Wasmtime(wasmtime(wasmtime::Strategy::Cranelift)?)),
        ("winch", Engine::Wasmtime(wasmtime(wasmtime::Strategy::Winch)?)),
        ("V8", Engine::V8),
    ])
}

/// Measures `rounds` rounds; files for other processes go to `folder`.
pub fn measure(rounds: usize, folder: &Path) -> Result<Vec<Late>> {
    let engines = engines()?;
    let mut all = Vec::new();
    let mut seed = 0;
    for functions in SIZES {
        let bytes = module(functions, 0)?.len();
        let mut figures: Vec<Late> = engines
            .iter()
            .map(|&(engine, _)| Late {
                engine,
                functions,
                bytes,
                link: Samples::default(),
                call: Samples::default(),
                remove: Samples::default(),
            })
            .collect();
        for round in 0..rounds {
            eprint!("\r\x1b[Klate linking, {functions} functions: round {}/{rounds}", round + 1);
            for ((_, engine), figures) in engines.iter().zip(&mut figures) {
                let mut modules = Vec::with_capacity(batch(functions));
                for _ in 0..batch(functions) {
                    seed += 1;
                    modules.push(module(functions, seed)?);
                }
                match engine {
                    Engine::Wasmo(engine) => with_wasmo(engine, &modules, figures)?,
                    Engine::Wasmtime(engine) => with_wasmtime(engine, &modules, figures)?,
                    Engine::V8 => with_v8(folder, &modules, figures)?,
                }
            }
        }
        figures.retain(|figures| !figures.link.median().is_nan());
        all.extend(figures);
    }
    eprint!("\r\x1b[K");
    Ok(all)
}
