//! [`Emitters`]: a target's machines with the passes that make object files of small modules, kept for the next module.
//!
//! Emitters are kept by machine: whoever has a machine for the moment has its emitter, and one that LLVM failed on fatally is leaked with its machine. An emitter is replaced after
//! [`USES`] modules, so that whatever LLVM's passes keep from one module to the next stays little.

use crate::pipeline::{Failure, outcome};
use crate::shim::{self, WasmoEmitter};
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::Module;
use inkwell::targets::TargetMachine;
use std::collections::HashMap;
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, PoisonError};

/// Modules that an emitter serves.
const USES: u32 = 256;

/// Passes that are set up for one machine.
#[derive(Debug)]
struct Emitter {
    passes: NonNull<WasmoEmitter>,
    uses: u32,
}

// SAFETY: an emitter has no ties to a thread; whoever uses it has taken it out of the map.
unsafe impl Send for Emitter {}

impl Drop for Emitter {
    fn drop(&mut self) {
        // SAFETY: it was made by the shim, and is freed once, before its machine.
        unsafe { shim::wasmo_emitter_free(self.passes.as_ptr()) };
    }
}

/// The emitters of a target's machines, by the machine's address.
#[derive(Debug, Default)]
pub(crate) struct Emitters {
    kept: Mutex<HashMap<usize, Emitter>>,
}

impl Emitters {
    /// Forgets what was kept for a machine at this address that is no more.
    pub(crate) fn lose(&self, machine: &TargetMachine) {
        let lost = self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&(machine.as_mut_ptr() as usize));
        std::mem::forget(lost);
    }

    /// Makes an object file of `module` as `machine` does.
    pub(crate) fn emit(&self, module: &Module<'_>, machine: &TargetMachine) -> Result<MemoryBuffer<'static>, Failure> {
        let key = machine.as_mut_ptr() as usize;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let mut emitter = match kept {
            Some(emitter) => emitter,
            None => {
                // SAFETY: the machine is live, used by this thread alone, and outlives its emitter: see `Target`.
                let passes = NonNull::new(unsafe { shim::wasmo_emitter_new(machine.as_mut_ptr()) });
                let message = || "the target makes no object files".to_owned();
                let passes = passes.ok_or_else(|| Failure { message: message(), fatal: false })?;
                Emitter { passes, uses: 0 }
            }
        };
        let (mut buffer, mut message) = (null_mut(), null_mut());
        // SAFETY: emitter, module and machine are live for the call and used by this thread alone.
        let status = unsafe {
            shim::wasmo_emitter_run(emitter.passes.as_ptr(), module.as_mut_ptr(), &raw mut buffer, &raw mut message)
        };
        match outcome(status, message) {
            Ok(()) => {}
            Err(failure) => {
                if failure.fatal {
                    std::mem::forget(emitter);
                }
                return Err(failure);
            }
        }
        emitter.uses += 1;
        if emitter.uses < USES {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(key, emitter);
        }
        // SAFETY: LLVM filled in a new buffer, which belongs to the caller.
        Ok(unsafe { MemoryBuffer::new(buffer) })
    }
}
