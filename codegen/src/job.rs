//! [`Job`]: the compilation of one module's partitions to objects, on threads of its own.
//!
//! Each partition has an LLVM context to itself, which is freed as soon as its object is made, so that the IR of only as many partitions as there are
//! threads is alive.
//!
//! A module's mistakes are found by the translator; of several, the one that stands first is reported, whichever thread found it. What LLVM cannot
//! compile, and a panic in a compiling thread, come back as errors of kind `Internal`.

use crate::compiler::{Compiler, Observer};
use crate::diagnostics::Diagnostics;
use crate::error::{Error, ErrorKind};
use crate::ir::{self, Ir};
use crate::object::Object;
use crate::parse::ParsedModule;
use crate::partition::{self, Partition};
use crate::phases::{Phase, Phases};
use crate::pipeline::{Effort, Failure, Pipeline};
use crate::profile::Guide;
use crate::target::Target;
use crate::thunks;
use crate::translate;
use inkwell::context::Context;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::Module;
use inkwell::targets::TargetMachine;
use std::any::Any;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use wasmo_abi::tunables::OptLevel;

/// Stack of a compiling thread in bytes: LLVM recurses along the depth of expressions, which is the guest's choice. Only what is used is committed.
pub(crate) const STACK_SIZE: usize = 256 << 20;

/// The compilation of one module.
pub(crate) struct Job<'a> {
    pub(crate) compiler: &'a Compiler,
    pub(crate) parsed: &'a ParsedModule,
    pub(crate) bytes: &'a [u8],
    pub(crate) observer: &'a dyn Observer,
    pub(crate) phases: &'a Phases,
    /// Whether code counts, or is made with what was counted.
    pub(crate) guide: Guide<'a>,
}

/// What the threads of one job share.
struct Shared<'a> {
    partitions: &'a [Partition],
    next: AtomicUsize,
    done: AtomicU64,
    total: u64,
    objects: Mutex<Vec<(usize, Object)>>,
    error: Mutex<Option<Error>>,
}

impl Shared<'_> {
    fn fail(&self, error: Error) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        *first = partition::first(first.take(), error);
    }

    /// Where the first mistake so far stands; `Some(0)` when it stands nowhere.
    fn failed_at(&self) -> Option<usize> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.as_ref().map(|error| error.offset.unwrap_or(0))
    }
}

impl Job<'_> {
    /// Compiles the partitions, in the order given, to objects in the order of the module.
    pub(crate) fn run(&self, partitions: &[Partition]) -> Result<Vec<Object>, Error> {
        let total: usize = partitions.iter().map(|partition| partition.bytes).sum();
        let shared = Shared {
            partitions,
            next: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            total: total as u64,
            objects: Mutex::new(Vec::with_capacity(partitions.len())),
            error: Mutex::new(None),
        };
        std::thread::scope(|scope| {
            let spawn = |_| {
                let thread = std::thread::Builder::new().name("wasmo-compile".to_owned()).stack_size(STACK_SIZE);
                thread.spawn_scoped(scope, || self.work(&shared))
            };
            let threads: Vec<_> = (0..self.compiler.threads.min(partitions.len())).map(spawn).collect();
            for thread in threads {
                match thread.map(std::thread::ScopedJoinHandle::join) {
                    Ok(Ok(())) => {}
                    Ok(Err(panic)) => shared.fail(panicked(&*panic)),
                    Err(error) => {
                        shared.fail(Error::new(ErrorKind::Limit, format!("no thread to compile on: {error}")))
                    }
                }
            }
        });
        if let Some(error) = shared.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        if self.observer.cancelled() {
            return Err(cancelled());
        }
        let mut objects = shared.objects.into_inner().unwrap_or_else(PoisonError::into_inner);
        objects.sort_by_key(|&(start, _)| start);
        Ok(objects.into_iter().map(|(_, object)| object).collect())
    }

    /// Runs `work` on a thread with a stack that is large enough for LLVM.
    pub(crate) fn with_stack<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_SIZE).spawn_scoped(scope, work);
            let thread =
                thread.map_err(|error| Error::new(ErrorKind::Limit, format!("no thread to compile on: {error}")))?;
            thread.join().unwrap_or_else(|panic| Err(panicked(&*panic)))
        })
    }

    /// Takes partitions until there are no more.
    fn work(&self, shared: &Shared<'_>) {
        while let Some(partition) = shared.partitions.get(shared.next.fetch_add(1, Ordering::Relaxed)) {
            if self.observer.cancelled() {
                shared.fail(cancelled());
                return;
            }
            // After a mistake, only what stands before it is of interest, since a mistake there would be the first.
            if shared.failed_at().is_some_and(|offset| offset <= partition.start) {
                continue;
            }
            let stop = || shared.failed_at().is_some() || self.observer.cancelled();
            match self.object(partition, stop) {
                Ok(Some(object)) => {
                    let mut objects = shared.objects.lock().unwrap_or_else(PoisonError::into_inner);
                    objects.push((partition.start, object));
                }
                Ok(None) => {}
                Err(error) => shared.fail(error),
            }
            let bytes = partition.bytes as u64;
            let done = shared.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.observer.progress(done, shared.total);
        }
    }

    /// Compiles one partition on this thread; `None` when `stop` said so meanwhile.
    pub(crate) fn object(&self, partition: &Partition, stop: impl Fn() -> bool) -> Result<Option<Object>, Error> {
        let started = Instant::now();
        let target = self.compiler.target.get()?;
        let pipeline = Pipeline::new(self.compiler.tunables, partition.effort);
        let buffer: Option<MemoryBuffer<'static>> = self.with_module(partition, |module, machine| {
            if stop() {
                return Ok(None);
            }
            self.phases.time(Phase::Optimize, || pipeline.run(module, machine, &stop))?;
            if let Some(neighbour) = self.guide.neighbour() {
                let failed = |error: Error| Failure { message: error.to_string(), fatal: false };
                translate::neighbour::settle(module, neighbour).map_err(failed)?;
            }
            if stop() {
                return Ok(None);
            }
            self.phases.time(Phase::Emit, || target.emitters().emit(module, machine)).map(Some)
        })?;
        tracing::trace!(
            start = partition.start,
            bytes = partition.bytes,
            functions = partition.functions.len(),
            effort = ?partition.effort,
            elapsed = ?started.elapsed(),
            "partition"
        );
        let object = buffer.map(|buffer| self.phases.time(Phase::Read, || Object::new(buffer.as_slice().to_vec())));
        object.transpose()
    }

    /// Translates a partition, and does `work` with its IR.
    pub(crate) fn with_module<T>(
        &self,
        partition: &Partition,
        work: impl FnOnce(&Module<'_>, &TargetMachine) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        // With it, LLVM is there.
        let target = self.compiler.target.get()?;
        let diagnostics = Diagnostics::default();
        let context = Context::create();
        diagnostics.collect(&context);
        let machine = target.machine(partition.effort)?;
        let module = match self.phases.time(Phase::Translate, || self.translate(&context, partition, target, &machine))
        {
            Ok(module) => module,
            Err(error) => {
                target.give_back(machine, partition.effort);
                return Err(error);
            }
        };
        let result = work(&module, &machine);
        if matches!(&result, Err(Failure { fatal: true, .. })) {
            // LLVM stopped in the midst of its work on these, so not even their destructors can be run.
            std::mem::forget(module);
            std::mem::forget(machine);
            std::mem::forget(context);
            return Ok(result?);
        }
        target.give_back(machine, partition.effort);
        diagnostics.check()?;
        Ok(result?)
    }

    fn translate<'ctx>(
        &self,
        context: &'ctx Context,
        partition: &Partition,
        target: &Target,
        machine: &TargetMachine,
    ) -> Result<Module<'ctx>, Error> {
        let options = ir::Options {
            tunables: self.compiler.tunables,
            tier: partition.tier,
            quick: partition.effort == Effort::LiftOff,
            soon: (partition.effort == Effort::Soon).then_some(partition.soon),
            arch: target.arch(),
            fused_multiply_add: target.has_fused_multiply_add(),
            triple: target.triple().to_owned(),
        };
        let module = if partition.thunks.is_empty() {
            let profile = self.guide.profile();
            let inlines = self.compiler.tunables.opt_level == OptLevel::Speed && partition.effort == Effort::Full;
            let copies = match partition.tier {
                _ if !inlines => Vec::new(),
                None => partition::copies(partition, self.parsed, self.bytes, profile)?,
                // Whoever wants the unit knows what is called often.
                Some(_) => partition.copies.clone(),
            };
            let part = translate::Partition {
                functions: &partition.functions,
                copies: &copies,
                osr: &partition.osr,
                guide: self.guide,
            };
            translate::module_partition(context, self.parsed, self.bytes, part, &options)?
        } else {
            let ir = Ir::new(context, "thunks", &options);
            for &ty in &partition.thunks {
                thunks::build(&ir, ty, &self.parsed.info.types[ty])?;
            }
            ir.finish()
        };
        module.set_data_layout(&machine.get_target_data().get_data_layout());
        Ok(module)
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "compilation was cancelled")
}

/// The error for a panic of ours.
fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Error::internal(format!("panic: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compiler::CompiledModule;
    use crate::parse::parse_full;
    use crate::target::TargetOptions;
    use crate::unit::Soon;
    use wasmo_abi::tier::{VmEntry, all_entries};
    use wasmo_abi::tunables::Tunables;
    use wasmo_abi::vm::{RawValue, VmContext, VmContextKind, VmExecContext};

    /// Modules large enough for the light effort take too long for a test, so it is chosen here.
    #[test]
    fn code_of_either_effort_computes_the_same() {
        // A loop, a switch, calls, 64-bit and floating-point arithmetic: instructions that are selected in both ways.
        let text = r#"(module
            (func $mix (param i64 f64 i32) (result i64)
                (block (block (block (br_table 0 1 2 (i32.and (local.get 2) (i32.const 3))))
                    (return (i64.mul (local.get 0) (i64.const 31))))
                    (return (i64.rotl (local.get 0) (i64.extend_i32_u (local.get 2)))))
                (i64.xor (local.get 0) (i64.trunc_sat_f64_s (f64.mul (local.get 1) (f64.const 1.5)))))
            (func (export "run") (param $n i32) (result i64) (local $x i64)
                (local.set $x (i64.const 1))
                (loop $again
                    (local.set $x (call $mix
                        (i64.add (local.get $x) (i64.const 7))
                        (f64.sqrt (f64.convert_i32_u (local.get $n)))
                        (local.get $n)))
                    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (local.get $x)))"#;
        let bytes = wat::parse_str(text).expect("the text is well-formed");
        let parsed = parse_full(&bytes).expect("the module is valid");
        let mut expected = 1_u64;
        for n in (1..=1000_u32).rev() {
            let sum = expected.wrapping_add(7);
            #[allow(clippy::cast_possible_truncation, reason = "the value is small")]
            let float = (f64::from(n).sqrt() * 1.5) as u64;
            expected = match n & 3 {
                0 => sum.wrapping_mul(31),
                1 => sum.rotate_left(n),
                _ => sum ^ float,
            };
        }
        let compiler = Compiler::new(Tunables::default(), TargetOptions::default()).expect("this machine is supported");
        let soon = [Soon::Whole, Soon::AtLoops].map(|soon| (Effort::Soon, soon));
        for (effort, soon) in
            soon.into_iter().chain([Effort::Light, Effort::Full].map(|effort| (effort, Soon::default())))
        {
            let mut partitions = partition::divide(&parsed, &bytes, None);
            for partition in &mut partitions {
                (partition.effort, partition.soon) = (effort, soon);
            }
            let phases = Phases::default();
            let job = Job {
                compiler: &compiler,
                parsed: &parsed,
                bytes: &bytes,
                observer: &(),
                phases: &phases,
                guide: Guide::None,
            };
            let objects = job.run(&partitions).expect("the module compiles");
            let code = compiler.link(&parsed.info, CompiledModule { objects }).expect("the module links");
            let thunks =
                code.thunks(parsed.info.func_type_index(parsed.info.func_of_defined(1))).expect("it is exported");
            // The functions look at nothing but the entries, where code that is made soon finds whether it is to ask, and whether they are to begin at a loop.
            let entries: Vec<_> = (0..all_entries(2)).map(|_| VmEntry::new(0, i32::MAX)).collect();
            // SAFETY: zeros are null pointers, numbers, and values that are not read.
            let mut exec: Box<VmExecContext> = unsafe { Box::new_zeroed().assume_init() };
            let mut context = VmContext {
                kind: VmContextKind::Instance,
                exec: &raw mut *exec,
                instance: std::ptr::null_mut(),
                entries: entries.as_ptr(),
            };
            let mut values = [RawValue::from_u32(1000)];
            (thunks.enter)(
                code.entry(1).expect("there are two functions") as *const u8,
                &raw mut context,
                values.as_mut_ptr(),
            );
            assert_eq!(values[0].as_u64(), expected, "{effort:?} {soon:?}");
        }
    }
}
