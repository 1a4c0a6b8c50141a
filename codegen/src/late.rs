//! Whole modules, compiled and linked on the calling thread, with little ado: for modules that come while a program runs, mostly small ones.
//!
//! The result is an image ([`crate::image`]) that can be copied to wherever code may be executed, and freed by itself: neither LLVM's linker nor its symbol table knows of
//! it. There are no thunks in it, since an engine needs those of a type once.

use crate::compiler::{Compiler, Observer};
use crate::error::{Error, ErrorKind};
use crate::image::link::Counts;
use crate::image::{self, LinkedImage};
use crate::job::{Job, STACK_SIZE};
use crate::parse::parse_full;
use crate::partition::{self, Partition};
use crate::phases::{Phase, Phases};
use crate::pipeline::Effort;
use crate::profile::Guide;
use std::time::Instant;
use wasmo_abi::module::{Body, ModuleInfo};

impl Compiler {
    /// The stack that a thread needs to call [`Compiler::compile_alone`], in bytes. Only what is used is committed.
    pub const STACK_SIZE: usize = STACK_SIZE;

    /// How many threads compile at the same time.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Validates, compiles and links all functions of the module in `bytes` on the calling thread; `optimize`: for code that runs fast, rather than soon.
    ///
    /// # Errors
    /// When the module is malformed, invalid, or uses features that wasmo does not have; `Cancelled`; `Limit`; `Internal`.
    pub fn compile_alone(
        &self,
        bytes: &[u8],
        optimize: bool,
        observer: &dyn Observer,
    ) -> Result<(ModuleInfo, LinkedImage), Error> {
        let started = Instant::now();
        let cancelled = || Error::new(ErrorKind::Cancelled, "compilation was cancelled");
        if observer.cancelled() {
            return Err(cancelled());
        }
        let parsed = parse_full(bytes)?;
        let parsed_in = started.elapsed();
        let info = &parsed.info;
        let partitions = if optimize {
            let mut partitions = partition::divide(&parsed, bytes, None);
            partitions.retain(|partition| partition.thunks.is_empty());
            partitions
        } else {
            let whole = Partition { effort: Effort::LiftOff, ..partition::undivided(info) };
            if info.bodies.is_empty() { Vec::new() } else { vec![whole] }
        };
        let phases = Phases::logged();
        let job = Job { compiler: self, parsed: &parsed, bytes, observer, phases: &phases, guide: Guide::None };
        let mut objects = Vec::with_capacity(partitions.len());
        for partition in &partitions {
            objects.push(job.object(partition, || observer.cancelled())?.ok_or_else(cancelled)?);
        }
        let compiled_in = started.elapsed();
        let counts = Counts { types: info.types.len(), imported: info.imported_funcs, defined: info.bodies.len() };
        let image = image::link::link(self.target.arch(), &objects, counts)?;
        tracing::debug!(
            functions = info.bodies.len(),
            bytes = info.bodies.iter().map(Body::size).sum::<usize>(),
            elapsed = ?started.elapsed(),
            parse = ?parsed_in,
            translate = ?phases.spent(Phase::Translate),
            optimize = ?phases.spent(Phase::Optimize),
            emit = ?phases.spent(Phase::Emit),
            read = ?phases.spent(Phase::Read),
            link = ?started.elapsed().saturating_sub(compiled_in),
            "compiled alone"
        );
        Ok((parsed.info, image))
    }
}
