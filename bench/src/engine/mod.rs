//! What the bench asks of an engine, and the engines: the native program, wasmo, Wasmtime (Cranelift and Winch, as a library), and V8 where
//! `node` is installed.

mod native;
mod node;
mod wasmo;
mod wasmtime;

pub use self::wasmo::WasmoEngine;
pub use self::wasmtime::{Compiler, WasmtimeEngine};

use crate::guest::{Guest, Output};
use anyhow::Result;
use std::time::Duration;

/// The name of the engine that ratios are given to.
pub const NATIVE: &str = "native";

/// Something that runs guests.
pub trait Engine {
    /// A short name.
    fn name(&self) -> &str;
    /// What it was told: version, flags.
    fn settings(&self) -> String;
    /// Makes a guest ready, and answers how long compiling took.
    fn prepare(&self, guest: &Guest) -> Result<(Box<dyn Prepared>, Duration)>;
}

/// A guest that an engine has compiled.
pub trait Prepared {
    /// Instantiates and runs it once.
    fn run(&self) -> Result<Run>;
}

/// One run.
pub struct Run {
    /// Time to instantiate.
    pub instantiate: Duration,
    /// What the guest printed.
    pub output: Output,
}

/// Every engine that can be used here, the native program first.
pub fn all() -> Result<Vec<Box<dyn Engine>>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![
        Box::new(native::Native::default_target()),
        Box::new(native::Native::this_cpu()),
        Box::new(WasmoEngine::new()?),
        Box::new(WasmtimeEngine::new(Compiler::Cranelift)?),
        Box::new(WasmtimeEngine::new(Compiler::Winch)?),
    ];
    engines.extend(node::Node::find().map(|node| Box::new(node) as Box<dyn Engine>));
    Ok(engines)
}
