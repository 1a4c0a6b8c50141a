//! The command, which links its modules by itself while its program runs: in the middle of loops and of recursion.

use wasmo::late_link::{self, JitLimits};
use wasmo::{Engine, Linker, Module, Store};
use wasmo_wasi::{I32Exit, MemoryInputPipe, MemoryOutputPipe, WasiCtx, WasiCtxBuilder};

/// The compiled command.
pub struct Command {
    engine: Engine,
    module: Module,
    linker: Linker<WasiCtx>,
}

impl Command {
    pub fn new(engine: Engine) -> wasmo::Result<Self> {
        let module = Module::from_file(&engine, concat!(env!("CARGO_MANIFEST_DIR"), "/guests/built/interp.wasm"))?;
        let mut linker = Linker::new(&engine);
        wasmo_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
        late_link::add_to_linker(&mut linker, JitLimits::default())?;
        Ok(Command { engine, module, linker })
    }

    /// What a program prints, the error it ends in, and its exit code.
    pub fn run(&self, program: &str, arguments: &[&str]) -> wasmo::Result<(String, String, i32)> {
        let (output, errors) = (MemoryOutputPipe::new(1 << 20), MemoryOutputPipe::new(1 << 16));
        let ctx = WasiCtxBuilder::new()
            .args(std::iter::once(&"interp").chain(arguments))
            .stdin(MemoryInputPipe::new(program))
            .stdout(output.clone())
            .stderr(errors.clone())
            .build();
        let mut store = Store::new(&self.engine, ctx);
        let instance = self.linker.instantiate(&mut store, &self.module)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        let code = match start.call(&mut store, ()) {
            Ok(()) => 0,
            Err(error) => error.downcast_ref::<I32Exit>().map(|exit| exit.0).ok_or(error)?,
        };
        Ok((String::from_utf8(output.contents())?, String::from_utf8(errors.contents())?, code))
    }
}
