//! The machine that code is compiled for: which CPU, and the LLVM target machines that emit code for it.
//!
//! # How code may refer to code
//!
//! All code of an engine lies within one slab of 2 GiB ([`crate::orc`]), so the small code model with position-independent relocations fits: a call
//! or a reference to a constant is one 32-bit displacement, whichever objects the two ends are in. Nothing refers to an absolute address:
//! those of the slab are above 2 GiB, and code that holds none can be written to a file and mapped anywhere.

use crate::error::{Error, ErrorKind};
use crate::ir::context::Arch;
use crate::llvm;
use crate::pipeline::Effort;
use crate::shim;
use inkwell::OptimizationLevel;
use inkwell::targets::{
    CodeModel, InitializationConfig, RelocMode, Target as LlvmTarget, TargetMachine, TargetMachineOptions, TargetTriple,
};
use llvm_sys::target_machine::LLVMSetTargetMachineFastISel;
use std::ffi::CString;
use std::sync::{Mutex, Once, PoisonError};
use wasmo_abi::tunables::OptLevel;

/// Which CPU to compile for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// The one that this process runs on, with all its extensions.
    #[default]
    Host,
    /// One that LLVM knows by this name, such as `x86-64-v3` or `znver4`. This process must be able to run its code.
    Named(String),
}

/// For which machine, and on how many threads, to compile.
#[derive(Clone, Debug, Default)]
pub struct TargetOptions {
    /// The CPU that code is compiled for.
    pub cpu: Cpu,
    /// How many threads compile one module; 0 means one for each core.
    pub threads: usize,
}

/// The extensions of x86-64-v2 that generated code relies on: rounding (SSE 4.1), byte shuffles (SSSE 3), population count.
#[cfg(target_arch = "x86_64")]
const FLOOR: (&str, &str) = ("x86-64-v2", "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+sahf");
/// Every AArch64 CPU has what generated code relies on.
#[cfg(target_arch = "aarch64")]
const FLOOR: (&str, &str) = ("ARMv8", "+neon");

/// A machine to compile for. Thread-safe; hands out one [`TargetMachine`] to each thread that asks.
pub(crate) struct Target {
    target: LlvmTarget,
    triple: TargetTriple,
    cpu: String,
    features: String,
    level: OptimizationLevel,
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
    /// `Unsupported` when LLVM cannot be loaded or does not know the CPU, when it lacks what generated code needs, or when it has what this process's CPU lacks.
    pub(crate) fn new(cpu: &Cpu, opt_level: OptLevel) -> Result<Self, Error> {
        llvm::load()?;
        static OPTIONS: Once = Once::new();
        // SAFETY: LLVM reads its options while it compiles, which no thread of ours does before a target exists.
        OPTIONS.call_once(|| unsafe { shim::wasmo_set_options() });
        LlvmTarget::initialize_native(&InitializationConfig::default()).map_err(Error::internal)?;
        let triple = TargetMachine::get_default_triple();
        let target = LlvmTarget::from_triple(&triple).map_err(|error| Error::internal(error.to_string()))?;
        let (cpu, features) = match cpu {
            Cpu::Host => {
                (TargetMachine::get_host_cpu_name().to_string(), TargetMachine::get_host_cpu_features().to_string())
            }
            Cpu::Named(name) => (name.clone(), String::new()),
        };
        let level = match opt_level {
            OptLevel::None => OptimizationLevel::None,
            OptLevel::Speed => OptimizationLevel::Default,
        };
        let this = Self { target, triple, cpu, features, level, idle: Mutex::new(Vec::new()) };
        this.check_floor()?;
        this.check_host()?;
        Ok(this)
    }

    /// The architecture.
    pub(crate) fn arch(&self) -> Arch {
        if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 }
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

    fn check_floor(&self) -> Result<(), Error> {
        let (name, features) = FLOOR;
        match self.has(features)? {
            Some(true) => Ok(()),
            Some(false) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("the CPU {} lacks some of {features}; wasmo needs at least {name}", self.cpu),
            )),
            None => Err(Error::new(ErrorKind::Unsupported, format!("LLVM knows no CPU named {:?}", self.cpu))),
        }
    }

    /// Code for another CPU must still run here.
    fn check_host(&self) -> Result<(), Error> {
        let host = TargetMachine::get_host_cpu_features().to_string();
        for missing in host.split(',').filter_map(|feature| feature.strip_prefix('-')) {
            if self.has(&format!("+{missing}"))? == Some(true) {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("the CPU {} has the extension {missing}, which this machine lacks", self.cpu),
                ));
            }
        }
        Ok(())
    }

    /// Whether the CPU has all of a list of features; `None` when LLVM does not know the CPU.
    fn has(&self, wanted: &str) -> Result<Option<bool>, Error> {
        let c_string = |text: &str| {
            CString::new(text).map_err(|error| Error::new(ErrorKind::Unsupported, format!("{text:?}: {error}")))
        };
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
            .set_level(self.level)
            .set_reloc_mode(RelocMode::PIC)
            .set_code_model(CodeModel::Small);
        let machine = self.target.create_target_machine_from_options(&self.triple, options);
        let machine =
            machine.ok_or_else(|| Error::internal(format!("LLVM makes no target machine for {}", self.cpu)))?;
        // SAFETY: the machine is live and used by this thread alone.
        unsafe { shim::wasmo_trap_unreachable(machine.as_mut_ptr()) };
        if effort == Effort::Light {
            // SAFETY: the machine is live and used by this thread alone.
            unsafe { LLVMSetTargetMachineFastISel(machine.as_mut_ptr(), 1) };
        }
        Ok(machine)
    }

    /// Gives a machine back for the next thread. One that LLVM failed on fatally must not come here.
    pub(crate) fn give_back(&self, machine: TargetMachine, effort: Effort) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((effort, Idle(machine)));
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("cpu", &self.cpu()).field("features", &self.features()).finish_non_exhaustive()
    }
}
