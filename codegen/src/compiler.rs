//! [`Compiler`]: from a module's bytes to live code.
//!
//! [`Compiler::compile`] divides the module ([`crate::partition`]) and has the partitions compiled to objects ([`crate::job`]);
//! [`Compiler::link`] makes code of them ([`crate::orc`]).

use crate::error::Error;
use crate::image::link::Counts;
use crate::image::{self, LinkedImage};
use crate::job::Job;
use crate::object::Object;
use crate::orc::{self, Session};
use crate::parse::{ParsedModule, parse_full};
use crate::partition;
use crate::phases::{Phase, Phases};
use crate::pipeline::{Effort, Pipeline};
use crate::profile::Guide;
use crate::target::{LazyTarget, TargetOptions};
use inkwell::targets::FileType;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use wasmo_abi::code::ModuleCode;
use wasmo_abi::cpu::CpuFeatures;
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::profile::Profile;
use wasmo_abi::tunables::Tunables;

/// Watches a compilation. Called from several threads at a time.
pub trait Observer: Sync {
    /// `done` of `total` bytes of function bodies are compiled.
    fn progress(&self, done: u64, total: u64) {
        let _ = (done, total);
    }

    /// Whether to stop; asked often, some times for each partition.
    fn cancelled(&self) -> bool {
        false
    }
}

/// An observer that looks the other way.
impl Observer for () {}

/// What [`Compiler::print`] prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Print {
    /// The translator's IR.
    Ir,
    /// The IR after all passes.
    OptimizedIr,
    /// Assembly.
    Assembly,
}

/// A compiled module that is not linked yet.
#[derive(Debug)]
pub struct CompiledModule {
    /// The objects of its partitions.
    pub objects: Vec<Object>,
}

/// Compiles modules for one machine and one choice of [`Tunables`], and owns the linker for their code. Thread-safe.
#[derive(Debug)]
pub struct Compiler {
    pub(crate) tunables: Tunables,
    pub(crate) target: LazyTarget,
    pub(crate) threads: usize,
    /// The linker for code that this process runs; made when it is first needed.
    session: Mutex<Option<Arc<Session>>>,
}

impl Compiler {
    /// A compiler. For the processor that this process runs on, LLVM is not needed before something is compiled that takes it.
    ///
    /// # Errors
    /// `Unsupported` when no code can be made for the target, or its CPU is unknown or unfit, and where LLVM is missing.
    pub fn new(tunables: Tunables, target: TargetOptions) -> Result<Self, Error> {
        let threads = match target.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            threads => threads,
        };
        let target = LazyTarget::new(target, tunables.opt_level)?;
        Ok(Self { tunables, target, threads, session: Mutex::new(None) })
    }

    /// The target's name, such as `x86_64-unknown-linux-gnu`: the same for all names that mean the same.
    pub fn triple(&self) -> &'static str {
        self.target.arch().triple()
    }

    /// The instruction set extensions that code may use; no other that not every processor of the architecture has.
    ///
    /// # Errors
    /// `Unsupported` when LLVM, which knows them, cannot be loaded.
    pub fn cpu_features(&self) -> Result<CpuFeatures, Error> {
        Ok(self.target.get()?.extensions())
    }

    /// Whether something was compiled that took LLVM, or is being compiled.
    pub fn has_used_llvm(&self) -> bool {
        self.target.made().is_some()
    }

    /// Whether this process can run code that is made here.
    ///
    /// # Errors
    /// `Unsupported`, with the reason why it cannot.
    pub fn check_host(&self) -> Result<(), Error> {
        self.target.check_host()
    }

    /// The linker for code that this process runs.
    pub(crate) fn session(&self) -> Result<Arc<Session>, Error> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        // With it, LLVM is there.
        self.target.get()?.check_host()?;
        Ok(Arc::clone(session.insert(Session::new()?)))
    }

    /// Validates and compiles all functions of the module in `bytes`, which [`crate::parse()`] has described as `info`.
    ///
    /// # Errors
    /// The first mistake in a function body, `Cancelled`, or `Internal`.
    pub fn compile(&self, info: &ModuleInfo, bytes: &[u8], observer: &dyn Observer) -> Result<CompiledModule, Error> {
        self.compile_with_profile(info, bytes, None, observer)
    }

    /// As [`Compiler::compile`], for what `profile` says that the module does. A profile of another module, or one that is not true, makes slower code and nothing worse.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub fn compile_with_profile(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        profile: Option<&Profile>,
        observer: &dyn Observer,
    ) -> Result<CompiledModule, Error> {
        let started = Instant::now();
        let parsed = parse_again(info, bytes)?;
        let guide = profile.map_or(Guide::None, Guide::Use);
        let mut partitions = partition::divide(&parsed, bytes, profile);
        // The longest work first, so that no thread is left with it at the end.
        partitions.sort_by_key(|partition| {
            (partition.effort != Effort::Full, std::cmp::Reverse(partition.bytes), partition.start)
        });
        let phases = Phases::logged();
        let job = Job { compiler: self, parsed: &parsed, bytes, observer, phases: &phases, guide };
        let objects = job.run(&partitions)?;
        tracing::debug!(
            functions = parsed.info.bodies.len(),
            partitions = partitions.len(),
            elapsed = ?started.elapsed(),
            translate = ?phases.spent(Phase::Translate),
            optimize = ?phases.spent(Phase::Optimize),
            emit = ?phases.spent(Phase::Emit),
            read = ?phases.spent(Phase::Read),
            "compiled"
        );
        Ok(CompiledModule { objects })
    }

    /// Links a compiled module for this process to run.
    ///
    /// # Errors
    /// `Unsupported` when this process cannot run the code, `Limit` when there is no address space for it, `Internal` when the objects are not those of the module, or the linker fails.
    pub fn link(&self, info: &ModuleInfo, compiled: CompiledModule) -> Result<ModuleCode, Error> {
        let started = Instant::now();
        let (imported, defined) = (info.imported_funcs, info.bodies.len());
        let code = orc::link::link(&self.session()?, &compiled.objects, info.types.len(), imported, defined)?;
        tracing::debug!(elapsed = ?started.elapsed(), bytes = code.code_size(), "linked");
        Ok(code)
    }

    /// Links a compiled module for an artefact: see [`crate::image`].
    ///
    /// # Errors
    /// `Internal` when the objects are not those of the module, `Limit` when there is too much code.
    pub fn image(&self, info: &ModuleInfo, compiled: &CompiledModule) -> Result<LinkedImage, Error> {
        let started = Instant::now();
        let counts = Counts { types: info.types.len(), imported: info.imported_funcs, defined: info.bodies.len() };
        let image = image::link::link(self.target.arch(), &compiled.objects, counts)?;
        tracing::debug!(elapsed = ?started.elapsed(), bytes = image.text_size(), "linked to an image");
        Ok(image)
    }

    /// The code of a whole module as text.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub fn print(&self, info: &ModuleInfo, bytes: &[u8], what: Print) -> Result<String, Error> {
        self.print_with_profile(info, bytes, None, what)
    }

    /// As [`Compiler::print`], of code that is made with a profile.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub fn print_with_profile(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        profile: Option<&Profile>,
        what: Print,
    ) -> Result<String, Error> {
        let parsed = parse_again(info, bytes)?;
        let guide = profile.map_or(Guide::None, Guide::Use);
        let phases = Phases::default();
        let job = Job { compiler: self, parsed: &parsed, bytes, observer: &(), phases: &phases, guide };
        let whole = partition::undivided(&parsed.info);
        job.with_stack(|| {
            job.with_module(&whole, |module, machine| {
                let pipeline = Pipeline::new(self.tunables, whole.effort);
                if what != Print::Ir {
                    pipeline.run(module, machine, &|| false)?;
                }
                if what != Print::Assembly {
                    return Ok(module.print_to_string().to_string());
                }
                let text = pipeline.emit(module, machine, FileType::Assembly)?;
                Ok(String::from_utf8_lossy(text.as_slice()).into_owned())
            })
        })
    }
}

/// What validating bodies takes is not part of a [`ModuleInfo`]; finding it again costs a small part of compiling.
fn parse_again(info: &ModuleInfo, bytes: &[u8]) -> Result<ParsedModule, Error> {
    let parsed = parse_full(bytes)?;
    if parsed.info.bodies != info.bodies {
        return Err(Error::internal("the module's bytes are not those that were parsed"));
    }
    Ok(parsed)
}
