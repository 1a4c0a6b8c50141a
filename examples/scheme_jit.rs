//! A host that drives a guest's JIT: `cargo run --release --example scheme_jit [PROGRAM.scm]`.
//!
//! The guest is a Scheme interpreter, built as a library (`guests/scheme-reactor`). The host has it run a program, asks it for a
//! WebAssembly module of what was called often, and links that into the running instance (`Instance::add_module`): the module imports the
//! guest's own memory and table, and its start function puts the new functions where the interpreter looks for them. Then the same program runs again.

use std::time::Instant;
use wasmo::{Config, Engine, Instance, Linker, Module, OptLevel, Result, Store, WasmParams, WasmResults, anyhow, bail};
use wasmo_wasi::{WasiCtx, WasiCtxBuilder};

const PROGRAM: &str = "(define (fib n)
  (if (< n 2)
      n
      (+ (fib (- n 1)) (fib (- n 2)))))

(fib 30)";

/// A guest with its store.
struct Guest {
    store: Store<WasiCtx>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine) -> Result<Self> {
        let library =
            Module::from_file(engine, concat!(env!("CARGO_MANIFEST_DIR"), "/guests/built/interp-reactor.wasm"))?;
        let mut linker = Linker::new(engine);
        wasmo_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
        let mut store = Store::new(engine, WasiCtxBuilder::new().inherit_stdio().build());
        let instance = linker.instantiate(&mut store, &library)?;
        let mut guest = Guest { store, instance };
        guest.call::<(), ()>("_initialize", ())?;
        Ok(guest)
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> Result<R> {
        self.instance.get_typed_func::<P, R>(&mut self.store, name)?.call(&mut self.store, params)
    }

    fn read(&mut self, address: u32, length: u32) -> Result<Vec<u8>> {
        let memory = self.instance.get_memory(&mut self.store, "memory").ok_or_else(|| anyhow!("no memory"))?;
        let mut bytes = vec![0; length as usize];
        memory.read(&self.store, address as usize, &mut bytes)?;
        Ok(bytes)
    }

    /// What the guest says about its last task.
    fn result(&mut self) -> Result<String> {
        let (address, length) = (self.call("result_data", ())?, self.call("result_size", ())?);
        Ok(String::from_utf8_lossy(&self.read(address, length)?).into_owned())
    }

    fn parse(&mut self, program: &str) -> Result<i32> {
        let length = u32::try_from(program.len())?;
        let address: u32 = self.call("allocate", length)?;
        let memory = self.instance.get_memory(&mut self.store, "memory").ok_or_else(|| anyhow!("no memory"))?;
        memory.write(&mut self.store, address as usize, program.as_bytes())?;
        let handle = self.call("parse", (address, length))?;
        self.call::<u32, ()>("free", address)?;
        if handle < 0 {
            bail!("{}", self.result()?);
        }
        Ok(handle)
    }

    /// Runs a program and prints its result and the time it took, in milliseconds, which is returned.
    fn eval(&mut self, label: &str, program: i32) -> Result<f64> {
        let start = Instant::now();
        let outcome: i32 = self.call("eval", program)?;
        let time = start.elapsed().as_secs_f64() * 1e3;
        let result = self.result()?;
        if outcome < 0 {
            bail!("{result}");
        }
        println!("{label:<12} {result} in {time:.2} ms");
        Ok(time)
    }

    /// The module that the guest makes of what was called often.
    fn jit_module(&mut self) -> Result<Option<Vec<u8>>> {
        let handle: i32 = self.call("jit_module", ())?;
        if handle < 0 {
            return Ok(None);
        }
        let (address, length) = (self.call("module_data", handle)?, self.call("module_size", handle)?);
        let bytes = self.read(address, length)?;
        self.call::<i32, ()>("free_module", handle)?;
        Ok(Some(bytes))
    }
}

fn main() -> Result<()> {
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => PROGRAM.to_owned(),
    };
    println!("{}\n", text.trim_end());
    // Only little of the guest's is compiled late, and it runs long.
    let engine = Engine::new(Config::new().late_link_opt_level(OptLevel::Speed))?;
    let mut guest = Guest::new(&engine)?;
    let program = guest.parse(&text)?;
    let before = guest.eval("interpreted", program)?;
    let Some(module) = guest.jit_module()? else {
        println!("Nothing was called often enough to be worth compiling.");
        return Ok(());
    };
    println!("generated    {} bytes of WebAssembly", module.len());
    let start = Instant::now();
    guest.instance.add_module(&mut guest.store, &module)?;
    println!("linked       in {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    let after = guest.eval("compiled", program)?;
    println!("             {:.1} times as fast", before / after);
    Ok(())
}
