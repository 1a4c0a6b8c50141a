//! A host of the Scheme library: it runs programs and links the modules that the guest makes.

use wasmo::{Config, Engine, Instance, Linker, Module, Result, Store, WasmParams, WasmResults, ensure};
use wasmo_wasi::{MemoryOutputPipe, WasiCtx, WasiCtxBuilder};

/// The compiled library, to be instantiated any number of times.
pub struct Host {
    engine: Engine,
    module: Module,
    linker: Linker<WasiCtx>,
}

/// One instance.
pub struct Guest {
    store: Store<WasiCtx>,
    instance: Instance,
    output: MemoryOutputPipe,
}

impl Host {
    /// Compiles the library.
    pub fn new(config: &Config) -> Result<Host> {
        let engine = Engine::new(config)?;
        let library = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/built/interp-reactor.wasm");
        let module = Module::from_file(&engine, library)?;
        let mut linker = Linker::new(&engine);
        wasmo_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
        Ok(Host { engine, module, linker })
    }

    /// A new instance that makes modules of procedures that have been called `calls` times.
    pub fn guest(&self, calls: u32) -> Result<Guest> {
        let output = MemoryOutputPipe::new(1 << 20);
        let mut store = Store::new(&self.engine, WasiCtxBuilder::new().stdout(output.clone()).build());
        let instance = self.linker.instantiate(&mut store, &self.module)?;
        let mut guest = Guest { store, instance, output };
        guest.call::<(), ()>("_initialize", ())?;
        guest.call::<u32, ()>("set_threshold", calls)?;
        Ok(guest)
    }
}

impl Guest {
    /// Calls an exported function.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> Result<R> {
        self.instance.get_typed_func::<P, R>(&mut self.store, name)?.call(&mut self.store, params)
    }

    fn read(&mut self, address: u32, length: u32) -> Result<Vec<u8>> {
        let memory = self.instance.get_memory(&mut self.store, "memory").expect("the library exports it");
        let mut bytes = vec![0; length as usize];
        memory.read(&self.store, address as usize, &mut bytes)?;
        Ok(bytes)
    }

    fn result(&mut self) -> Result<String> {
        let (address, length) = (self.call("result_data", ())?, self.call("result_size", ())?);
        Ok(String::from_utf8(self.read(address, length)?)?)
    }

    /// Has a program read; a handle for [`Guest::eval`].
    pub fn parse(&mut self, program: &str) -> Result<i32> {
        let length = u32::try_from(program.len())?;
        let address: u32 = self.call("allocate", length)?;
        ensure!(address != 0, "the guest has no memory");
        let memory = self.instance.get_memory(&mut self.store, "memory").expect("the library exports it");
        memory.write(&mut self.store, address as usize, program.as_bytes())?;
        let handle = self.call("parse", (address, length))?;
        self.call::<u32, ()>("free", address)?;
        if handle < 0 {
            let error = self.result()?;
            wasmo::bail!("{error}");
        }
        Ok(handle)
    }

    /// Runs a program; what it printed since the last look, and its result or error.
    pub fn eval(&mut self, program: i32) -> Result<String> {
        let outcome: i32 = self.call("eval", program)?;
        let result = self.result()?;
        let printed = String::from_utf8(self.output.contents())?;
        Ok(format!("{printed}\n{} {result}", if outcome == 0 { "result" } else { "error" }))
    }

    /// Links what is hot into the guest; how many bytes that was, if there was anything.
    pub fn link(&mut self) -> Result<Option<usize>> {
        let handle: i32 = self.call("jit_module", ())?;
        if handle < 0 {
            return Ok(None);
        }
        let (address, length) = (self.call("module_data", handle)?, self.call("module_size", handle)?);
        let bytes = self.read(address, length)?;
        self.call::<i32, ()>("free_module", handle)?;
        self.instance.add_module(&mut self.store, &bytes)?;
        Ok(Some(bytes.len()))
    }
}
