//! Declarations of the C++ shim (`src/shim/*.cpp`), which does what LLVM's C API cannot.
//!
//! The functions are documented where they are defined; the wrappers that keep their rules are [`crate::emitter`], [`crate::orc`],
//! [`crate::pipeline`] and [`crate::target`].

use libc::{c_char, c_int, c_void};
use llvm_sys::error::LLVMErrorRef;
use llvm_sys::orc2::{LLVMOrcExecutionSessionRef, LLVMOrcJITDylibRef, LLVMOrcObjectLayerRef};
use llvm_sys::prelude::{LLVMMemoryBufferRef, LLVMModuleRef, LLVMValueRef};
use llvm_sys::target_machine::{LLVMCodeGenFileType, LLVMTargetMachineRef, LLVMTargetRef};

/// `session.cpp`: an ORC session and its object layer.
#[repr(C)]
pub(crate) struct WasmoSession {
    opaque: [u8; 0],
}

/// `emitter.cpp`: passes that make object files.
#[repr(C)]
pub(crate) struct WasmoEmitter {
    opaque: [u8; 0],
}

/// `epoch.cpp`: offsets in bytes of what an epoch poll reads.
#[repr(C)]
pub(crate) struct WasmoPollLayout {
    pub(crate) exec: u64,
    pub(crate) builtins: u64,
    pub(crate) epoch: u64,
    pub(crate) deadline: u64,
    pub(crate) exit: u64,
    pub(crate) new_epoch: u64,
}

/// `optimize.h`: whether what is being compiled is not wanted any more.
#[repr(C)]
pub(crate) struct WasmoStop {
    pub(crate) wanted: extern "C" fn(*const c_void) -> bool,
    pub(crate) context: *const c_void,
}

unsafe extern "C" {
    pub(crate) fn wasmo_session_new(places: *const u64, count: usize, out: *mut *mut WasmoSession) -> LLVMErrorRef;
    pub(crate) fn wasmo_session_end(session: *mut WasmoSession) -> LLVMErrorRef;
    pub(crate) fn wasmo_session_execution_session(session: *mut WasmoSession) -> LLVMOrcExecutionSessionRef;
    pub(crate) fn wasmo_session_object_layer(session: *mut WasmoSession) -> LLVMOrcObjectLayerRef;
    pub(crate) fn wasmo_session_remove_dylib(session: *mut WasmoSession, dylib: LLVMOrcJITDylibRef) -> LLVMErrorRef;
    pub(crate) fn wasmo_session_take_reports(session: *mut WasmoSession) -> *mut c_char;

    pub(crate) fn wasmo_optimize(
        module: LLVMModuleRef,
        machine: LLVMTargetMachineRef,
        light: bool,
        stop: WasmoStop,
        message: *mut *mut c_char,
    ) -> c_int;
    pub(crate) fn wasmo_emit(
        machine: LLVMTargetMachineRef,
        module: LLVMModuleRef,
        kind: LLVMCodeGenFileType,
        out: *mut LLVMMemoryBufferRef,
        message: *mut *mut c_char,
    ) -> c_int;
    pub(crate) fn wasmo_emitter_new(machine: LLVMTargetMachineRef) -> *mut WasmoEmitter;
    pub(crate) fn wasmo_emitter_free(emitter: *mut WasmoEmitter);
    pub(crate) fn wasmo_emitter_run(
        emitter: *mut WasmoEmitter,
        module: LLVMModuleRef,
        out: *mut LLVMMemoryBufferRef,
        message: *mut *mut c_char,
    ) -> c_int;
    pub(crate) fn wasmo_insert_epoch_polls(function: LLVMValueRef, layout: *const WasmoPollLayout);

    pub(crate) fn wasmo_set_options();
    pub(crate) fn wasmo_trap_unreachable(machine: LLVMTargetMachineRef);
    pub(crate) fn wasmo_cpu_has(
        target: LLVMTargetRef,
        triple: *const c_char,
        cpu: *const c_char,
        features: *const c_char,
        wanted: *const c_char,
    ) -> c_int;
    pub(crate) fn wasmo_cpu_extensions(
        target: LLVMTargetRef,
        triple: *const c_char,
        cpu: *const c_char,
        features: *const c_char,
    ) -> *mut c_char;
}
