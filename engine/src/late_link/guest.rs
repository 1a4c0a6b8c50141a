//! The functions of the import module `wasmo_jit`, through which guests add modules to themselves.
//!
//! | function | parameters | answer |
//! |---|---|---|
//! | `add_module` | `ptr`, `len`: the module's bytes | its handle, linked |
//! | `add_module_async` | as above | its handle, not yet linked |
//! | `poll` | `handle` | 1 linked, 0 not yet |
//! | `remove_module` | `handle` | 0 |
//! | `last_error` | `ptr`, `cap`: where to put the text | the text's full length in bytes |
//!
//! All are `i32`. A negative answer is a [`JitErrorCode`]. Pointers are into the memory that the caller exports as `memory`. What must end the guest ends it
//! here as well: an interruption, the end of its fuel, the error of a host function that a start function has called.

use super::code::JitErrorCode;
use super::compile::AVAILABLE;
use super::limits::JitLimits;
use super::link::{self, Failure, Polled};
use crate::{AsContextMut, Caller, Error, Extern, Instance, Linker, Memory, Result};
use wasmo_runtime::{InstanceId, RemoveError};

/// The import module.
const MODULE: &str = "wasmo_jit";

/// Why a request of the guest's failed: an answer to the guest, or an end for it.
enum Refusal {
    Answer(JitErrorCode, String),
    End(Error),
}

impl From<JitErrorCode> for Refusal {
    fn from(code: JitErrorCode) -> Self {
        Self::Answer(code, code.to_string())
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure.code() {
            Some(code) => Self::Answer(code, format!("{:#}", failure.error)),
            None => Self::End(failure.error),
        }
    }
}

/// Gives the guest its answer, and keeps the text of a failure for `last_error`.
fn answer<T: 'static>(mut caller: Caller<'_, T>, outcome: std::result::Result<i32, Refusal>) -> Result<i32> {
    match outcome {
        Ok(answer) => Ok(answer),
        Err(Refusal::Answer(code, text)) => {
            caller.as_context_mut().opaque().late.set_last_error(text);
            Ok(code.to_i32())
        }
        Err(Refusal::End(error)) => Err(error),
    }
}

/// The caller's memory.
fn memory<T: 'static>(caller: &mut Caller<'_, T>) -> std::result::Result<Memory, Refusal> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    memory.ok_or_else(|| Refusal::Answer(JitErrorCode::BadPointer, "the caller exports no memory `memory`".into()))
}

/// The instance to which the caller's modules are added. Late modules call as the instance that they belong to.
fn host<T: 'static>(caller: &Caller<'_, T>) -> std::result::Result<InstanceId, Refusal> {
    let instance = caller.instance().map(Instance::id);
    instance.ok_or_else(|| {
        Refusal::Answer(JitErrorCode::BadPointer, "`wasmo_jit` was not called by an instance that imports it".into())
    })
}

/// A copy of `len` bytes at `ptr` of the caller's memory.
fn bytes<T: 'static>(caller: &mut Caller<'_, T>, ptr: u32, len: u32) -> std::result::Result<Vec<u8>, Refusal> {
    let memory = memory(caller)?;
    let data = memory.data(&*caller);
    let slice = data.get(ptr as usize..).and_then(|rest| rest.get(..len as usize));
    slice.map(<[u8]>::to_vec).ok_or_else(|| {
        let text =
            format!("{len} bytes at {ptr:#x} do not lie in the caller's memory, which has {:#x} bytes", data.len());
        Refusal::Answer(JitErrorCode::BadPointer, text)
    })
}

/// Adds a module, or begins to when `background`.
fn add_module<T: 'static>(
    caller: &mut Caller<'_, T>,
    limits: &JitLimits,
    ptr: u32,
    len: u32,
    background: bool,
) -> std::result::Result<i32, Refusal> {
    if !AVAILABLE {
        return Err(Refusal::Answer(JitErrorCode::Disabled, "this build of wasmo has no compiler".into()));
    }
    let host = host(caller)?;
    let binary = bytes(caller, ptr, len)?;
    let mut context = caller.as_context_mut();
    let handle = if background {
        link::add_async(context.opaque(), host, &binary, Some(limits))?
    } else {
        link::add(&mut context, host, &binary, Some(limits))?
    };
    i32::try_from(handle).map_err(|_| JitErrorCode::Internal.into())
}

fn unknown(handle: u32) -> Refusal {
    Refusal::Answer(JitErrorCode::BadHandle, format!("there is no late module {handle}"))
}

fn poll<T: 'static>(caller: &mut Caller<'_, T>, handle: u32) -> std::result::Result<i32, Refusal> {
    let host = host(caller)?;
    match link::poll(&mut caller.as_context_mut(), host, handle) {
        Polled::NotYet => Ok(0),
        Polled::Linked => Ok(1),
        Polled::Failed(failure) => Err(failure.into()),
        Polled::HadFailed(code, text) => Err(Refusal::Answer(code, text)),
        Polled::Unknown => Err(unknown(handle)),
    }
}

fn remove_module<T: 'static>(caller: &mut Caller<'_, T>, handle: u32) -> std::result::Result<i32, Refusal> {
    let host = host(caller)?;
    let removed = link::remove(caller.as_context_mut().opaque(), host, handle);
    removed.map(|()| 0).map_err(|error| {
        let code = match error {
            RemoveError::Unknown => return unknown(handle),
            RemoveError::Running => JitErrorCode::Running,
            RemoveError::Imported(_) => JitErrorCode::Imported,
        };
        Refusal::Answer(code, format!("late module {handle} cannot be removed: {error}"))
    })
}

/// Writes as much of the last failure's text as fits.
fn last_error<T: 'static>(caller: &mut Caller<'_, T>, ptr: u32, cap: u32) -> std::result::Result<i32, Refusal> {
    let memory = memory(caller)?;
    let text = caller.as_context_mut().opaque().late.last_error().to_owned();
    let written = text.len().min(cap as usize);
    let data = memory.data_mut(&mut *caller);
    let place = data.get_mut(ptr as usize..).and_then(|rest| rest.get_mut(..written));
    let place = place.ok_or(JitErrorCode::BadPointer)?;
    place.copy_from_slice(&text.as_bytes()[..written]);
    i32::try_from(text.len()).map_err(|_| JitErrorCode::Internal.into())
}

/// Lets guests add modules to themselves: defines the import module `wasmo_jit`, within `limits`.
///
/// # Errors
/// When the linker has one of the names already.
pub fn add_to_linker<T: 'static>(linker: &mut Linker<T>, limits: JitLimits) -> Result<()> {
    for (name, background) in [("add_module", false), ("add_module_async", true)] {
        let limits = limits.clone();
        linker.func_wrap(MODULE, name, move |mut caller: Caller<'_, T>, ptr: u32, len: u32| {
            let outcome = add_module(&mut caller, &limits, ptr, len, background);
            answer(caller, outcome)
        })?;
    }
    linker.func_wrap(MODULE, "poll", |mut caller: Caller<'_, T>, handle: u32| {
        let outcome = poll(&mut caller, handle);
        answer(caller, outcome)
    })?;
    linker.func_wrap(MODULE, "remove_module", |mut caller: Caller<'_, T>, handle: u32| {
        let outcome = remove_module(&mut caller, handle);
        answer(caller, outcome)
    })?;
    define_last_error(linker)
}

/// As [`add_to_linker`], but every request is answered with [`JitErrorCode::Disabled`], and `last_error` says `reason`. A guest that can do without late linking
/// runs in this way without being changed.
///
/// # Errors
/// When the linker has one of the names already.
pub fn add_disabled_to_linker<T: 'static>(linker: &mut Linker<T>, reason: &str) -> Result<()> {
    for (name, params) in [("add_module", 2), ("add_module_async", 2), ("poll", 1), ("remove_module", 1)] {
        let reason = reason.to_owned();
        let refuse =
            move |caller: Caller<'_, T>| answer(caller, Err(Refusal::Answer(JitErrorCode::Disabled, reason.clone())));
        if params == 1 {
            linker.func_wrap(MODULE, name, move |caller: Caller<'_, T>, _: u32| refuse(caller))?;
        } else {
            linker.func_wrap(MODULE, name, move |caller: Caller<'_, T>, _: u32, _: u32| refuse(caller))?;
        }
    }
    define_last_error(linker)
}

fn define_last_error<T: 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.func_wrap(MODULE, "last_error", |mut caller: Caller<'_, T>, ptr: u32, cap: u32| {
        let outcome = last_error(&mut caller, ptr, cap);
        answer(caller, outcome)
    })?;
    Ok(())
}
