//! Wasmtime as a library, with either of its compilers.

use super::{Engine, Prepared, Run};
use crate::guest::{Guest, Output};
use anyhow::Result;
use std::time::{Duration, Instant};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

/// Wasmtime's compilers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// The optimising one.
    Cranelift,
    /// The baseline one.
    Winch,
}

/// Wasmtime.
pub struct WasmtimeEngine {
    engine: wasmtime::Engine,
    compiler: Compiler,
}

impl WasmtimeEngine {
    /// An engine with `compiler`, else with the default configuration.
    pub fn new(compiler: Compiler) -> Result<Self> {
        let mut config = wasmtime::Config::new();
        config.strategy(match compiler {
            Compiler::Cranelift => wasmtime::Strategy::Cranelift,
            Compiler::Winch => wasmtime::Strategy::Winch,
        });
        Ok(Self { engine: wasmtime::Engine::new(&config)?, compiler })
    }

    /// The engine itself.
    pub fn engine(&self) -> &wasmtime::Engine {
        &self.engine
    }
}

impl Engine for WasmtimeEngine {
    fn name(&self) -> &str {
        match self.compiler {
            Compiler::Cranelift => "cranelift",
            Compiler::Winch => "winch",
        }
    }

    fn settings(&self) -> String {
        format!("Wasmtime 48.0.8, {}, else the default configuration", self.name())
    }

    fn prepare(&self, guest: &Guest) -> Result<(Box<dyn Prepared>, Duration)> {
        let started = Instant::now();
        let module = wasmtime::Module::from_binary(&self.engine, &guest.wasm)?;
        let compile = started.elapsed();
        let mut linker = wasmtime::Linker::new(&self.engine);
        wasmtime_wasi::p1::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi)?;
        Ok((Box::new(Program { module, linker }), compile))
    }
}

struct Program {
    module: wasmtime::Module,
    linker: wasmtime::Linker<WasiP1Ctx>,
}

impl Prepared for Program {
    fn run(&self) -> Result<Run> {
        let stdout = MemoryOutputPipe::new(4096);
        let wasi = WasiCtxBuilder::new().arg("guest").stdout(stdout.clone()).build_p1();
        let mut store = wasmtime::Store::new(self.module.engine(), wasi);
        let started = Instant::now();
        let instance = self.linker.instantiate(&mut store, &self.module)?;
        let instantiate = started.elapsed();
        instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())?;
        drop(store);
        Ok(Run { instantiate, output: Output::parse(&String::from_utf8_lossy(&stdout.contents()))? })
    }
}
