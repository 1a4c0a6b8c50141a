//! From the translator's IR to object code: which passes run, in which order.
//!
//! [`Pipeline::run`] is the whole order in one function. It requires a module whose functions are complete; it establishes a module that
//! [`Pipeline::emit`] turns into one object with a single text section.

use crate::error::Error;
use crate::object::SymbolKind;
use crate::shim::{self, WasmoPollLayout, WasmoStop};
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::{Linkage, Module};
use inkwell::targets::{FileType, TargetMachine};
use inkwell::values::AsValueRef;
use llvm_sys::target_machine::LLVMCodeGenFileType;
use std::ffi::{CStr, CString, c_void};
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use wasmo_abi::builtin::{Builtin, VmBuiltins};
use wasmo_abi::tunables::{OptLevel, Tunables};
use wasmo_abi::vm::{VmContext, VmExecContext};

/// The passes for one configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pipeline {
    tunables: Tunables,
    effort: Effort,
}

/// Says whether what is being compiled is not wanted any more.
pub(crate) type Stop<'a> = &'a dyn Fn() -> bool;

/// Asks a [`Stop`], which `context` points to. One that panics is asked again where the panic can be told.
extern "C" fn is_stopped(context: *const c_void) -> bool {
    // SAFETY: `Pipeline::optimize` has made it of a `Stop` that lives as long as LLVM asks.
    let stop = unsafe { *context.cast::<Stop<'_>>() };
    catch_unwind(AssertUnwindSafe(stop)).unwrap_or(true)
}

/// How much time a function is worth, when code is optimised at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Effort {
    /// None: the translator's code as it is, instructions selected one by one.
    LiftOff,
    /// A quarter of the time: no loop is optimised, and instructions are selected one by one.
    Light,
    /// As light, and registers are given away with less care, too; the code can be asked where it is, since better code is to follow.
    Soon,
    /// All that LLVM can do.
    Full,
}

impl Effort {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::Full as usize + 1;
}

/// Why a module could not be compiled. LLVM's failures are bugs of ours, or of LLVM.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What LLVM said.
    pub(crate) message: String,
    /// LLVM was left in the middle of its work: module, context and target machine must be leaked.
    pub(crate) fatal: bool,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::internal(format!("LLVM: {}", failure.message))
    }
}

impl Pipeline {
    pub(crate) fn new(tunables: Tunables, effort: Effort) -> Self {
        Self { tunables, effort }
    }

    /// Runs all passes over the IR of `module`. Once `stop` says that nobody wants the code, it comes to an end soon, and what is left is correct, and no more.
    pub(crate) fn run(self, module: &Module<'_>, machine: &TargetMachine, stop: Stop<'_>) -> Result<(), Failure> {
        if self.tunables.opt_level == OptLevel::Speed && self.effort != Effort::LiftOff {
            self.optimize(module, machine, stop)?;
        }
        // From here on nothing looks at a loop again, so that polls hinder no other pass.
        if self.tunables.epoch_interruption {
            insert_epoch_polls(module);
        }
        keep_in_one_section(module);
        Ok(())
    }

    /// LLVM's own order of passes, with ours in it (`shim/optimize.cpp`). Compared with O2, O3 gave the same code for the same time on
    /// numeric kernels.
    fn optimize(self, module: &Module<'_>, machine: &TargetMachine, stop: Stop<'_>) -> Result<(), Failure> {
        let mut message = null_mut();
        let stop = WasmoStop { wanted: is_stopped, context: (&raw const stop).cast() };
        // SAFETY: module and machine are live for the call and used by this thread alone; so is what `stop` leads to.
        let status = unsafe {
            let light = self.effort != Effort::Full;
            shim::wasmo_optimize(module.as_mut_ptr(), machine.as_mut_ptr(), light, stop, &raw mut message)
        };
        outcome(status, message)
    }

    /// Turns the IR into an object file, or into assembly.
    pub(crate) fn emit(
        self,
        module: &Module<'_>,
        machine: &TargetMachine,
        file_type: FileType,
    ) -> Result<MemoryBuffer<'static>, Failure> {
        let kind = match file_type {
            FileType::Object => LLVMCodeGenFileType::LLVMObjectFile,
            FileType::Assembly => LLVMCodeGenFileType::LLVMAssemblyFile,
        };
        let mut buffer = null_mut();
        let mut message = null_mut();
        // SAFETY: module and machine are live for the call and used by this thread alone.
        let status = unsafe {
            shim::wasmo_emit(machine.as_mut_ptr(), module.as_mut_ptr(), kind, &raw mut buffer, &raw mut message)
        };
        outcome(status, message)?;
        // SAFETY: LLVM filled in a new buffer, which belongs to the caller.
        Ok(unsafe { MemoryBuffer::new(buffer) })
    }
}

/// Reads the result of a call into `protect.cpp`.
pub(crate) fn outcome(status: i32, message: *mut libc::c_char) -> Result<(), Failure> {
    if status == 0 {
        return Ok(());
    }
    Err(Failure { message: take_message(message).unwrap_or_default(), fatal: status == 2 })
}

/// Takes over a message that the shim allocated; `None` for null.
pub(crate) fn take_message(message: *mut libc::c_char) -> Option<String> {
    if message.is_null() {
        return None;
    }
    // SAFETY: the shim's messages are strings from `strdup`, which are ours to free.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        llvm_sys::core::LLVMDisposeMessage(message);
        Some(text)
    }
}

fn insert_epoch_polls(module: &Module<'_>) {
    let layout = WasmoPollLayout {
        exec: offset_of!(VmContext, exec) as u64,
        builtins: offset_of!(VmExecContext, builtins) as u64,
        epoch: offset_of!(VmExecContext, epoch) as u64,
        deadline: offset_of!(VmExecContext, epoch_deadline) as u64,
        exit: offset_of!(VmBuiltins, exit) as u64,
        new_epoch: Builtin::NewEpoch.offset() as u64,
    };
    for function in module.get_functions() {
        // Thunks have no loops, and no instance's context to call the helper with; copies for inlining are not emitted.
        let emitted = function.count_basic_blocks() > 0 && function.get_linkage() != Linkage::AvailableExternally;
        let of_wasm = |name: &str| SymbolKind::parse(name).and_then(SymbolKind::func).is_some();
        if emitted && function.get_name().to_str().is_ok_and(of_wasm) {
            // SAFETY: the function is a live definition, used by this thread alone; the layout outlives the call.
            unsafe { shim::wasmo_insert_epoch_polls(function.as_value_ref(), &raw const layout) };
        }
    }
}

/// Lets all functions go to `.text`. LLVM finds out that a function always traps, calls it cold, and would move it to a section of its own, while
/// the tables of [`wasmo_abi::code::CodeUnit`] describe one section.
fn keep_in_one_section(module: &Module<'_>) {
    let kinds = ["cold", "hot"].map(inkwell::attributes::Attribute::get_named_enum_kind_id);
    for function in module.get_functions().filter(|function| function.count_basic_blocks() > 0) {
        for kind in kinds {
            function.remove_enum_attribute(inkwell::attributes::AttributeLoc::Function, kind);
        }
    }
}

/// `text` for LLVM's C API.
///
/// # Errors
/// `Internal` when it contains a zero byte, which no name of ours does.
pub(crate) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|error| Error::internal(format!("{text:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Diagnostics;
    use crate::target::{LazyTarget, TargetOptions};
    use inkwell::context::Context;

    /// Emits an object of a module with one function that has this body; answers the diagnostics too.
    fn emit(declaration: &str, instruction: &str) -> (Result<(), Failure>, Result<(), Error>) {
        let text = format!("{declaration}\ndefine void @f() {{\n  {instruction}\n  ret void\n}}\n");
        let target = LazyTarget::new(TargetOptions::default(), OptLevel::Speed).expect("this machine is supported");
        let machine = target.get().expect("LLVM is there").machine(Effort::Full).expect("this machine is supported");
        let diagnostics = Diagnostics::default();
        let context = Context::create();
        diagnostics.collect(&context);
        let buffer = MemoryBuffer::create_from_memory_range_copy(text.as_bytes(), "test");
        let module = context.create_module_from_ir(buffer).expect("the text is well-formed");
        module.set_triple(&machine.get_triple());
        let result = Pipeline::new(Tunables::default(), Effort::Full).emit(&module, &machine, FileType::Object);
        let result = result.map(drop);
        if matches!(&result, Err(Failure { fatal: true, .. })) {
            std::mem::forget(module);
            std::mem::forget(machine);
            std::mem::forget(context);
        }
        (result, diagnostics.check())
    }

    #[test]
    fn what_llvm_complains_of_is_an_error() {
        let (_, complaints) = emit("", "call void asm sideeffect \"no instruction!\", \"\"()");
        assert!(complaints.expect_err("the assembly is wrong").message.contains("LLVM"));
        let (result, complaints) = emit("", "call void asm sideeffect \"nop\", \"\"()");
        assert!(result.is_ok() && complaints.is_ok());
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_llvm_gives_up_on_is_an_error() {
        let (result, _) = emit("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)");
        let failure = result.expect_err("the processor has no such instruction");
        assert!(failure.fatal && failure.message.contains("annot select"), "{failure:?}");
        // LLVM is still usable.
        assert!(emit("", "").0.is_ok());
    }
}
