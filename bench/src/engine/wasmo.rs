//! wasmo, through its embedding API.

use super::{Engine, Prepared, Run};
use crate::guest::{Guest, Output};
use anyhow::Result;
use std::time::{Duration, Instant};
use wasmo_wasi::{MemoryOutputPipe, WasiCtx, WasiCtxBuilder};

/// wasmo with its default configuration.
pub struct WasmoEngine {
    engine: wasmo::Engine,
}

impl WasmoEngine {
    /// An engine.
    pub fn new() -> Result<Self> {
        Ok(Self { engine: wasmo::Engine::new(&wasmo::Config::new())? })
    }

    /// The engine itself.
    pub fn engine(&self) -> &wasmo::Engine {
        &self.engine
    }
}

impl Engine for WasmoEngine {
    fn name(&self) -> &str {
        "wasmo"
    }

    fn settings(&self) -> String {
        "default configuration: optimised tier, host CPU".to_owned()
    }

    fn prepare(&self, guest: &Guest) -> Result<(Box<dyn Prepared>, Duration)> {
        let started = Instant::now();
        let module = wasmo::Module::from_binary(&self.engine, &guest.wasm)?;
        let compile = started.elapsed();
        let mut linker = wasmo::Linker::new(&self.engine);
        wasmo_wasi::add_to_linker(&mut linker, |wasi: &mut WasiCtx| wasi)?;
        Ok((Box::new(Program { module, linker }), compile))
    }
}

struct Program {
    module: wasmo::Module,
    linker: wasmo::Linker<WasiCtx>,
}

impl Prepared for Program {
    fn run(&self) -> Result<Run> {
        let stdout = MemoryOutputPipe::new(4096);
        let wasi = WasiCtxBuilder::new().arg("guest").stdout(stdout.clone()).build();
        let mut store = wasmo::Store::new(self.module.engine(), wasi);
        let started = Instant::now();
        let instance = self.linker.instantiate(&mut store, &self.module)?;
        let instantiate = started.elapsed();
        instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())?;
        Ok(Run { instantiate, output: Output::parse(&String::from_utf8_lossy(&stdout.contents()))? })
    }
}
