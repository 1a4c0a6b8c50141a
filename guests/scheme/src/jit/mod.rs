//! The JIT: procedures that are called often become WebAssembly functions, in a module that is linked to the running instance.
//!
//! The machine counts calls down in [`Proto::heat`] and comes here when a procedure has become hot. `batch` decides what is compiled
//! with it, `compile` (with `flow`, `blocks`, `arithmetic`, `data` and `calls`) makes functions of instructions, `encode` writes
//! the bytes, and this file adds what links them: for every procedure a function that the machine enters it by, and a start function that
//! puts all of them into the table and their places there into the procedures. Whoever links the module needs to do nothing but instantiate it with
//! the instance's memory and table.
//!
//! Who links is the embedder's choice ([`Machine::set_linker`]): a command links each module itself as soon as something is hot;
//! without a linker, hot procedures wait for [`Machine::take_module`]. Linking may happen while the machine runs, and when it fails,
//! everything goes on as before.

mod arithmetic;
mod batch;
mod blocks;
mod calls;
mod compile;
mod data;
mod encode;
mod flow;
mod operands;
pub(crate) mod runtime;

use crate::machine::Machine;
use crate::proto::Proto;
use crate::value::Value;
use batch::{Batch, Candidate};
use encode::{Code, Module, Plain, Type};
use std::mem::offset_of;

/// Links a module into this instance: returns the reason when it cannot.
pub type Linker = Box<dyn FnMut(&[u8]) -> Result<(), String>>;

/// How many calls make a procedure hot.
pub const THRESHOLD: u32 = 500;
/// A count that is not reached: what has become hot is not looked at again.
pub(crate) const NEVER: u32 = u32::MAX;

/// The JIT's part of a machine.
pub(crate) struct Jit {
    /// How many calls make a procedure hot; [`NEVER`] when nothing is compiled.
    pub threshold: u32,
    linker: Option<Linker>,
    hot: Vec<Candidate>,
    /// The closures in `hot`, which the collector must keep.
    pub samples: Vec<Value>,
    /// How many procedures have been compiled.
    pub compiled: usize,
}

impl Default for Jit {
    fn default() -> Self {
        Jit { threshold: NEVER, linker: None, hot: Vec::new(), samples: Vec::new(), compiled: 0 }
    }
}

impl Machine {
    /// Procedures are compiled when they have been called `threshold` times; none are before this is called.
    pub fn start_jit(&mut self, threshold: u32) {
        self.jit.threshold = threshold.max(1);
        for proto in self.protos.iter().filter(|proto| proto.entry.get().is_none()) {
            proto.heat.set(self.jit.threshold);
        }
    }

    /// Compiles nothing any more. What is compiled stays so.
    pub fn stop_jit(&mut self) {
        self.start_jit(NEVER);
        self.jit.hot.clear();
        self.jit.samples.clear();
    }

    /// From now on hot procedures are compiled at once and linked by this.
    pub fn set_linker(&mut self, linker: Linker) {
        self.jit.linker = Some(linker);
    }

    /// How many calls make a procedure hot.
    pub(crate) fn threshold(&self) -> u32 {
        self.jit.threshold
    }

    /// How many procedures have been compiled.
    pub fn compiled_procedures(&self) -> usize {
        self.jit.compiled
    }

    /// The procedure of the closure `callee` has been called as often as the threshold says.
    #[cold]
    pub(crate) fn procedure_is_hot(&mut self, callee: Value, proto: &Proto) {
        proto.heat.set(NEVER);
        if self.jit.threshold == NEVER {
            return;
        }
        self.jit.hot.push(Candidate { proto, sample: Some(callee) });
        self.jit.samples.push(callee);
        if let Some(mut linker) = self.jit.linker.take() {
            if let Some(module) = self.take_module()
                && linker(&module).is_err()
            {
                self.stop_jit();
            } else {
                self.jit.linker = Some(linker);
            }
        }
    }

    /// The module for what is hot and not compiled yet, if there is anything. It is compiled for this machine at this address, and takes
    /// effect when it is instantiated.
    pub fn take_module(&mut self) -> Option<Vec<u8>> {
        let hot = std::mem::take(&mut self.jit.hot);
        self.jit.samples.clear();
        let batch = Batch::new(self, &hot);
        if batch.len() == 0 {
            return None;
        }
        let (bytes, count) = (module(&batch), batch.len());
        for index in 0..count {
            // Whether it is linked or not, it is not compiled again.
            batch.proto(index).is_rejected.set(true);
        }
        let closures = batch.into_closures();
        self.constants.extend(closures);
        self.jit.compiled += count;
        Some(bytes)
    }
}

/// The module of a batch: for every procedure its function and the one to enter it by, then the start function.
fn module(batch: &Batch<'_>) -> Vec<u8> {
    let mut module = Module::default();
    for index in 0..batch.len() {
        compile::compile(batch, index, &mut module);
        define_entry(batch, index, &mut module);
    }
    define_start(batch, &mut module);
    module.finish()
}

/// An [`Entry`](crate::proto::Entry): passes what is in the frame on to the function.
fn define_entry(batch: &Batch<'_>, index: usize, module: &mut Module) {
    const FRAME: u32 = 1;
    let proto = batch.proto(index);
    let mut code = Code::default();
    code.get(FRAME).get(FRAME).load64(0);
    for param in (2..).take(proto.params) {
        code.get(FRAME).load64(compile::word(param));
    }
    code.call(batch.function(index));
    let ty = module.signature(&[Type::I32, Type::I32], &[Type::I64]);
    module.define(format!("{} (entry)", proto.name), ty, &[], code);
}

/// The patch function: makes room in the table, fills it, and tells the procedures.
fn define_start(batch: &Batch<'_>, module: &mut Module) {
    const BASE: u32 = 0;
    let functions = batch.function(batch.len());
    let mut code = Code::default();
    code.ref_null().i32(functions).table_grow().tee(BASE);
    // A table that cannot grow ends it here, before anything has changed.
    code.i32(u32::MAX).op(Plain::I32Eq).when().op(Plain::Unreachable).op(Plain::End);
    code.get(BASE).i32(0).i32(functions).table_init().elem_drop();
    for index in 0..batch.len() {
        let (address, proto) = (batch.address_of(index), batch.proto(index));
        let mut patch = |offset: usize, write: &mut dyn FnMut(&mut Code)| {
            code.i32(address);
            write(&mut code);
            code.store32(u32::try_from(offset).expect("a procedure is small"));
        };
        let function = batch.function(index);
        patch(offset_of!(Proto, fast), &mut |code| {
            code.get(BASE).i32(function).op(Plain::I32Add);
        });
        patch(offset_of!(Proto, entry), &mut |code| {
            code.get(BASE).i32(function + 1).op(Plain::I32Add);
        });
        // Rest arguments are collected to a list by the machine, so only it can call such a function.
        let key = if proto.rest { 0 } else { u32::try_from(proto.params + 1).expect("there are at most 200") };
        patch(offset_of!(Proto, key), &mut |code| {
            code.i32(key);
        });
        patch(offset_of!(Proto, heat), &mut |code| {
            code.i32(0);
        });
    }
    let ty = module.signature(&[], &[]);
    module.define("patch".into(), ty, &[(1, Type::I32)], code);
}
