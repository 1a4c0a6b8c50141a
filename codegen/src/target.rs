//! The machine that code is compiled for: architecture, CPU, and the LLVM target machines that emit code for it.
//!
//! [`triple`] knows the architectures, [`features`] which instructions code may use; [`lazy`] puts off what takes LLVM.
//!
//! # How code may refer to code
//!
//! All code of an engine lies within one slab of 2 GiB ([`crate::orc`]), so the small code model with position-independent relocations fits: a call
//! or a reference to a constant is one 32-bit displacement, whichever objects the two ends are in. Nothing refers to an absolute address:
//! those of the slab are above 2 GiB, and code that holds none can be written to a file and mapped anywhere.

mod features;
mod lazy;
mod triple;

pub(crate) use features::floor;
pub(crate) use lazy::LazyTarget;

use crate::emitter::Emitters;
use crate::error::{Error, ErrorKind};
use crate::ir::context::Arch;
use crate::llvm;
use crate::pipeline::{Effort, take_message};
use crate::shim;
use inkwell::OptimizationLevel;
use inkwell::targets::{CodeModel, RelocMode, Target as LlvmTarget, TargetMachine, TargetMachineOptions, TargetTriple};
use llvm_sys::target_machine::{LLVMSetTargetMachineFastISel, LLVMSetTargetMachineGlobalISel};
use std::ffi::CString;
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use wasmo_abi::cpu::CpuFeatures;
use wasmo_abi::tunables::OptLevel;

/// Which CPU to compile for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// The one that this process runs on, with all its extensions. Only for the architecture that it has.
    #[default]
    Host,
    /// The least that generated code needs, which nearly every processor of the architecture has: x86-64-v2, or any AArch64.
    Baseline,
    /// One that LLVM knows by this name, such as `x86-64-v3` or `znver4`.
    Named(String),
}

/// For which machine, and on how many threads, to compile.
#[derive(Clone, Debug, Default)]
pub struct TargetOptions {
    /// The target's name, such as `aarch64-unknown-linux-gnu`; `None` for the machine that this process runs on.
    pub triple: Option<String>,
    /// The CPU that code is compiled for.
    pub cpu: Cpu,
    /// How many threads compile one module; 0 means one for each core.
    pub threads: usize,
}

/// A machine to compile for. Thread-safe; hands out one [`TargetMachine`] to each thread that asks.
pub(crate) struct Target {
    arch: Arch,
    target: LlvmTarget,
    triple: TargetTriple,
    cpu: String,
    features: String,
    extensions: CpuFeatures,
    fused_multiply_add: bool,
    level: OptimizationLevel,
    /// Set once it is known that this process can run the code: to ask LLVM for each extension takes longer than to compile a small module.
    runs_here: OnceLock<()>,
    /// Freed before the machines, in this order.
    emitters: Emitters,
    /// Machines that no thread uses at the moment: making one costs as much as compiling a small function.
    idle: Mutex<Vec<(Effort, Idle)>>,
}

/// A target machine that no thread uses.
struct Idle(TargetMachine);

// SAFETY: a target machine has no ties to the thread that made it; LLVM only asks that two threads do not use it at the same time, and an idle one
// is used by none.
unsafe impl Send for Idle {}

// SAFETY: `LlvmTarget` is an entry of LLVM's immutable registry of targets, the triple is not written after construction, and the machines are
// behind a lock.
unsafe impl Send for Target {}
// SAFETY: as for `Send`.
unsafe impl Sync for Target {}

impl Target {
    /// Looks the CPU up.
    ///
    /// # Errors
    /// `Unsupported` when LLVM cannot be loaded or does not know the CPU, or it lacks what generated code needs.
    fn new(arch: Arch, cpu: &Cpu, opt_level: OptLevel) -> Result<Self, Error> {
        llvm::load()?;
        static OPTIONS: Once = Once::new();
        // SAFETY: LLVM reads its options while it compiles, which no thread of ours does before a target exists.
        OPTIONS.call_once(|| unsafe { shim::wasmo_set_options() });
        let host = Arch::host();
        arch.initialize();
        let triple = TargetTriple::create(arch.triple());
        let target = LlvmTarget::from_triple(&triple).map_err(|error| Error::internal(error.to_string()))?;
        let is_host = *cpu == Cpu::Host;
        let (cpu, features) = match cpu {
            Cpu::Host if host == Some(arch) => {
                (TargetMachine::get_host_cpu_name().to_string(), TargetMachine::get_host_cpu_features().to_string())
            }
            Cpu::Host => {
                let message = format!("this machine's CPU is none of {}; name one", arch.triple());
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            Cpu::Baseline => (arch.baseline().to_owned(), String::new()),
            Cpu::Named(name) => (name.clone(), String::new()),
        };
        let level = match opt_level {
            OptLevel::None => OptimizationLevel::None,
            OptLevel::Speed => OptimizationLevel::Default,
        };
        let idle = Mutex::new(Vec::new());
        let runs_here = if is_host { OnceLock::from(()) } else { OnceLock::new() };
        let mut this = Self {
            arch,
            target,
            triple,
            cpu,
            features,
            extensions: CpuFeatures::default(),
            fused_multiply_add: false,
            level,
            runs_here,
            emitters: Emitters::default(),
            idle,
        };
        this.check_floor()?;
        this.restrict()?;
        // Every AArch64 can.
        this.fused_multiply_add = arch == Arch::Aarch64 || this.has("+fma")? == Some(true);
        Ok(this)
    }

    /// The architecture.
    pub(crate) fn arch(&self) -> Arch {
        self.arch
    }

    /// LLVM's name of the target.
    pub(crate) fn triple(&self) -> &str {
        self.triple.as_str().to_str().unwrap_or_default()
    }

    /// The CPU's name, as LLVM calls it.
    pub(crate) fn cpu(&self) -> &str {
        &self.cpu
    }

    /// The extensions beyond those that the CPU's name implies, as LLVM writes them.
    pub(crate) fn features(&self) -> &str {
        &self.features
    }

    /// The extensions that code may use.
    pub(crate) fn extensions(&self) -> CpuFeatures {
        self.extensions
    }

    /// Whether the processor multiplies and adds in one instruction that rounds once.
    pub(crate) fn has_fused_multiply_add(&self) -> bool {
        self.fused_multiply_add
    }

    /// Sees to it that code uses no extension that a processor cannot be asked for.
    fn restrict(&mut self) -> Result<(), Error> {
        let all = self.all_extensions()?;
        let restriction = features::restriction(self.arch, all.split(','));
        if !restriction.is_empty() {
            let separator = if self.features.is_empty() { "" } else { "," };
            self.features = format!("{}{separator}{restriction}", self.features);
        }
        let left = self.all_extensions()?;
        if !features::restriction(self.arch, left.split(',')).is_empty() {
            return Err(Error::internal(format!("extensions of {} cannot be switched off: {left}", self.cpu)));
        }
        let left: Vec<&str> = left.split(',').collect();
        self.extensions = CpuFeatures::from_names(features::askable(self.arch), |name| left.contains(&name));
        Ok(())
    }

    /// The names of all extensions in force, separated by commas.
    fn all_extensions(&self) -> Result<String, Error> {
        let (cpu, features) = (c_string(&self.cpu)?, c_string(&self.features)?);
        // SAFETY: all arguments are valid for the call, the strings end in a zero byte.
        let names = unsafe {
            shim::wasmo_cpu_extensions(self.target.as_mut_ptr(), self.triple.as_ptr(), cpu.as_ptr(), features.as_ptr())
        };
        take_message(names).ok_or_else(|| Error::internal(format!("LLVM cannot describe the CPU {}", self.cpu)))
    }

    fn check_floor(&self) -> Result<(), Error> {
        let (name, features) = (self.arch.baseline(), self.arch.floor());
        match self.has(features)? {
            Some(true) => Ok(()),
            Some(false) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("the CPU {} lacks some of {features}; wasmo needs at least {name}", self.cpu),
            )),
            None => Err(Error::new(ErrorKind::Unsupported, format!("LLVM knows no CPU named {:?}", self.cpu))),
        }
    }

    /// Whether code can be run by this process.
    ///
    /// # Errors
    /// `Unsupported` when it is for another architecture, or the CPU has what this process's CPU lacks.
    pub(crate) fn check_host(&self) -> Result<(), Error> {
        if self.runs_here.get().is_some() {
            return Ok(());
        }
        if Arch::host() != Some(self.arch) {
            let message = format!("code for {} cannot be run by this process", self.arch.triple());
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let host = TargetMachine::get_host_cpu_features().to_string();
        for missing in host.split(',').filter_map(|feature| feature.strip_prefix('-')) {
            if self.has(&format!("+{missing}"))? == Some(true) {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("the CPU {} has the extension {missing}, which this machine lacks", self.cpu),
                ));
            }
        }
        self.runs_here.get_or_init(|| ());
        Ok(())
    }

    /// Whether the CPU has all of a list of features; `None` when LLVM does not know the CPU.
    fn has(&self, wanted: &str) -> Result<Option<bool>, Error> {
        let (cpu, features, wanted) = (c_string(&self.cpu)?, c_string(&self.features)?, c_string(wanted)?);
        // SAFETY: all arguments are valid for the call, the strings end in a zero byte.
        let answer = unsafe {
            shim::wasmo_cpu_has(
                self.target.as_mut_ptr(),
                self.triple.as_ptr(),
                cpu.as_ptr(),
                features.as_ptr(),
                wanted.as_ptr(),
            )
        };
        Ok(match answer {
            1 => Some(true),
            0 => Some(false),
            _ => None,
        })
    }

    /// A target machine for the calling thread: one given back earlier, or a new one.
    pub(crate) fn machine(&self, effort: Effort) -> Result<TargetMachine, Error> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = idle.iter().position(|&(for_effort, _)| for_effort == effort) {
            let (_, Idle(machine)) = idle.swap_remove(position);
            return Ok(machine);
        }
        drop(idle);
        let options = TargetMachineOptions::new()
            .set_cpu(&self.cpu)
            .set_features(&self.features)
            .set_level(match effort {
                Effort::LiftOff => OptimizationLevel::None,
                Effort::Soon => OptimizationLevel::Less,
                Effort::Light | Effort::Full => self.level,
            })
            .set_reloc_mode(RelocMode::PIC)
            .set_code_model(CodeModel::Small);
        let machine = self.target.create_target_machine_from_options(&self.triple, options);
        let machine =
            machine.ok_or_else(|| Error::internal(format!("LLVM makes no target machine for {}", self.cpu)))?;
        // One that was lost in a panic may have been at this address.
        self.emitters.lose(&machine);
        // SAFETY: the machine is live and used by this thread alone.
        unsafe { shim::wasmo_trap_unreachable(machine.as_mut_ptr()) };
        // LLVM would take its global instruction selector for unoptimised code on AArch64. That one lives with the machine and holds on to the last debug location it
        // saw, whose context is gone when a machine is used again.
        // SAFETY: the machine is live and used by this thread alone.
        unsafe { LLVMSetTargetMachineGlobalISel(machine.as_mut_ptr(), 0) };
        if effort != Effort::Full {
            // SAFETY: the machine is live and used by this thread alone.
            unsafe { LLVMSetTargetMachineFastISel(machine.as_mut_ptr(), 1) };
        }
        Ok(machine)
    }

    /// What makes object files of small modules.
    pub(crate) fn emitters(&self) -> &Emitters {
        &self.emitters
    }

    /// Gives a machine back for the next thread. One that LLVM failed on fatally must not come here.
    pub(crate) fn give_back(&self, machine: TargetMachine, effort: Effort) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((effort, Idle(machine)));
    }
}

/// `text`, a name that the embedder has given, for LLVM's C API.
fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|error| Error::new(ErrorKind::Unsupported, format!("{text:?}: {error}")))
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("cpu", &self.cpu()).field("features", &self.features()).finish_non_exhaustive()
    }
}
