//! [`Diagnostics`]: what LLVM's passes and back end complain of while they go on.
//!
//! Without a handler LLVM prints such messages, and ends the process after an error.

use crate::error::Error;
use inkwell::context::Context;
use llvm_sys::LLVMDiagnosticSeverity;
use llvm_sys::core::{
    LLVMContextSetDiagnosticHandler, LLVMDisposeMessage, LLVMGetDiagInfoDescription, LLVMGetDiagInfoSeverity,
};
use llvm_sys::prelude::LLVMDiagnosticInfoRef;
use std::cell::RefCell;
use std::ffi::CStr;

/// The errors of one LLVM context. It must outlive the context, as its declaration before the context's sees to.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    errors: Box<RefCell<Vec<String>>>,
}

impl Diagnostics {
    /// Has the errors of `context` collected here.
    pub(crate) fn collect(&self, context: &Context) {
        let errors: *const RefCell<Vec<String>> = &raw const *self.errors;
        // SAFETY: the context is live, and calls the handler in the thread that uses it, with `errors`, which is boxed and so stays where it is.
        unsafe { LLVMContextSetDiagnosticHandler(context.raw(), Some(handle), errors.cast_mut().cast()) };
    }

    /// Whether nothing went wrong so far.
    ///
    /// # Errors
    /// `Internal` with all that LLVM complained of.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let errors = self.errors.borrow();
        if errors.is_empty() { Ok(()) } else { Err(Error::internal(format!("LLVM: {}", errors.join("; ")))) }
    }
}

extern "C" fn handle(info: LLVMDiagnosticInfoRef, errors: *mut libc::c_void) {
    // SAFETY: LLVM passes a live record.
    if unsafe { LLVMGetDiagInfoSeverity(info) } != LLVMDiagnosticSeverity::LLVMDSError {
        return;
    }
    // SAFETY: the record is live; the description is a string of its own, which is ours to free; `errors` is the collector's.
    unsafe {
        let description = LLVMGetDiagInfoDescription(info);
        let text = CStr::from_ptr(description).to_string_lossy().into_owned();
        LLVMDisposeMessage(description);
        (*errors.cast::<RefCell<Vec<String>>>()).borrow_mut().push(text);
    }
}
