//! [`Session`] and [`Dylib`]: safe wrappers of an ORC session and of one JITDylib in it.
//!
//! Both are thread-safe, as ORC is: the session has a lock of its own. Errors that ORC has no caller for are collected by the session and added to
//! the next failure's message, because that is where the cause of a failed link is.

use crate::error::{Error, ErrorKind};
use crate::pipeline::{c_string, take_message};
use crate::shim::{self, WasmoSession};
use llvm_sys::error::{LLVMDisposeErrorMessage, LLVMErrorRef, LLVMGetErrorMessage};
use llvm_sys::orc2::{
    LLVMOrcCJITDylibSearchOrderElement, LLVMOrcCLookupSetElement, LLVMOrcCSymbolMapPairs,
    LLVMOrcExecutionSessionCreateBareJITDylib, LLVMOrcExecutionSessionIntern, LLVMOrcExecutionSessionLookup,
    LLVMOrcExecutionSessionRef, LLVMOrcJITDylibLookupFlags, LLVMOrcJITDylibRef, LLVMOrcLookupKind,
    LLVMOrcObjectLayerAddObjectFile, LLVMOrcObjectLayerRef, LLVMOrcReleaseSymbolStringPoolEntry,
    LLVMOrcRetainSymbolStringPoolEntry, LLVMOrcSymbolLookupFlags, LLVMOrcSymbolStringPoolEntryRef,
};
use std::collections::HashMap;
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use wasmo_abi::placement::near;

/// Bytes of address space that a session takes, where they can be had.
const SLAB: usize = 2 << 30;

/// An ORC session: a linker, and the memory for the code of one compiler.
pub(crate) struct Session {
    raw: *mut WasmoSession,
    /// Numbers for the names of dylibs, which ORC wants to be unique.
    dylibs: AtomicU64,
}

// SAFETY: ExecutionSession and ObjectLinkingLayer may be used from any thread, by several at a time; the shim's own state is locked.
unsafe impl Send for Session {}
// SAFETY: as for `Send`.
unsafe impl Sync for Session {}

impl Session {
    /// A session without code.
    ///
    /// # Errors
    /// `Limit` when there is no address space for code.
    pub(crate) fn new() -> Result<Arc<Self>, Error> {
        let mut raw = null_mut();
        // This function is linked to the code that calls guests.
        let places: Vec<u64> = near(Self::new as *const () as usize, SLAB).map(|place| place as u64).collect();
        // SAFETY: the places are as many, and `raw` is a place for the result.
        check(unsafe { shim::wasmo_session_new(places.as_ptr(), places.len(), &raw mut raw) })
            .map_err(|message| Error::new(ErrorKind::Limit, message))?;
        Ok(Arc::new(Self { raw, dylibs: AtomicU64::new(0) }))
    }

    fn execution_session(&self) -> LLVMOrcExecutionSessionRef {
        // SAFETY: `raw` is live until drop.
        unsafe { shim::wasmo_session_execution_session(self.raw) }
    }

    fn object_layer(&self) -> LLVMOrcObjectLayerRef {
        // SAFETY: `raw` is live until drop.
        unsafe { shim::wasmo_session_object_layer(self.raw) }
    }

    /// A new, empty dylib.
    pub(crate) fn dylib(self: &Arc<Self>) -> Result<Dylib, Error> {
        let name = c_string(&format!("module{}", self.dylibs.fetch_add(1, Ordering::Relaxed)))?;
        // SAFETY: the session is live, the name a C string that no dylib has yet.
        let raw = unsafe { LLVMOrcExecutionSessionCreateBareJITDylib(self.execution_session(), name.as_ptr()) };
        Ok(Dylib { session: Arc::clone(self), raw })
    }

    /// An internal error for `message`, with what ORC reported meanwhile.
    fn error(&self, message: &str) -> Error {
        // SAFETY: `raw` is live.
        let reports = take_message(unsafe { shim::wasmo_session_take_reports(self.raw) });
        match reports {
            Some(reports) => Error::internal(format!("linking: {message}: {reports}")),
            None => Error::internal(format!("linking: {message}")),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: nobody has the session any more, since every dylib holds a reference to it.
        if let Err(message) = check(unsafe { shim::wasmo_session_end(self.raw) }) {
            tracing::error!(%message, "ending the linker's session");
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The symbols and the code of one module. Dropping it frees the code.
pub(crate) struct Dylib {
    session: Arc<Session>,
    raw: LLVMOrcJITDylibRef,
}

// SAFETY: ORC guards a dylib with the session's lock.
unsafe impl Send for Dylib {}
// SAFETY: as for `Send`.
unsafe impl Sync for Dylib {}

impl Dylib {
    /// Adds an object file; it is linked when one of its symbols is looked up, directly or through another object.
    pub(crate) fn add(&self, object: &[u8]) -> Result<(), Error> {
        // SAFETY: the buffer is copied from `object`, and owned by the layer from the call on.
        let result = unsafe {
            let buffer = llvm_sys::core::LLVMCreateMemoryBufferWithMemoryRangeCopy(
                object.as_ptr().cast(),
                object.len(),
                c"partition".as_ptr(),
            );
            check(LLVMOrcObjectLayerAddObjectFile(self.session.object_layer(), self.raw, buffer))
        };
        result.map_err(|message| self.session.error(&message))
    }

    /// The addresses of `names`, in order, once everything that they need is linked.
    pub(crate) fn lookup(&self, names: &[String]) -> Result<Vec<usize>, Error> {
        let session = self.session.execution_session();
        let mut symbols = Symbols { entries: Vec::with_capacity(names.len()) };
        for name in names {
            let name = c_string(name)?;
            // SAFETY: the session is live, the name a C string.
            symbols.entries.push(unsafe { LLVMOrcExecutionSessionIntern(session, name.as_ptr()) });
        }
        let required = |&name: &LLVMOrcSymbolStringPoolEntryRef| {
            // SAFETY: the entry is live; the lookup takes over the reference that is added here.
            unsafe { LLVMOrcRetainSymbolStringPoolEntry(name) };
            LLVMOrcCLookupSetElement {
                Name: name,
                LookupFlags: LLVMOrcSymbolLookupFlags::LLVMOrcSymbolLookupFlagsRequiredSymbol,
            }
        };
        let mut set: Vec<_> = symbols.entries.iter().map(required).collect();
        let mut order = LLVMOrcCJITDylibSearchOrderElement {
            JD: self.raw,
            JDLookupFlags: LLVMOrcJITDylibLookupFlags::LLVMOrcJITDylibLookupFlagsMatchAllSymbols,
        };
        // ORC may finish the work in another thread that is linking at the same time.
        let (sender, receiver) = sync_channel::<Answer>(1);
        let context = Box::into_raw(Box::new(sender)).cast();
        // SAFETY: order and set are live for the call, which copies them; `answer` is called exactly once, with `context`.
        unsafe {
            LLVMOrcExecutionSessionLookup(
                session,
                LLVMOrcLookupKind::LLVMOrcLookupKindStatic,
                &raw mut order,
                1,
                set.as_mut_ptr(),
                set.len(),
                answer,
                context,
            );
        }
        let addresses = receiver
            .recv()
            .map_err(|_| self.session.error("the linker gave no answer"))?
            .map_err(|message| self.session.error(&message))?;
        let address = |entry: &LLVMOrcSymbolStringPoolEntryRef| addresses.get(&(*entry as usize)).copied();
        let found: Option<Vec<usize>> = symbols.entries.iter().map(address).collect();
        found.ok_or_else(|| self.session.error("a symbol has no address"))
    }
}

impl Drop for Dylib {
    fn drop(&mut self) {
        // SAFETY: the session is live; the dylib is not used again.
        if let Err(message) = check(unsafe { shim::wasmo_session_remove_dylib(self.session.raw, self.raw) }) {
            tracing::error!(%message, "freeing code");
        }
    }
}

impl std::fmt::Debug for Dylib {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dylib").finish_non_exhaustive()
    }
}

/// References to interned names, released when dropped.
struct Symbols {
    entries: Vec<LLVMOrcSymbolStringPoolEntryRef>,
}

impl Drop for Symbols {
    fn drop(&mut self) {
        for &entry in &self.entries {
            // SAFETY: each entry holds one reference of ours.
            unsafe { LLVMOrcReleaseSymbolStringPoolEntry(entry) };
        }
    }
}

/// Addresses by interned name, or what went wrong.
type Answer = Result<HashMap<usize, usize>, String>;

/// Receives the result of a lookup.
extern "C" fn answer(error: LLVMErrorRef, pairs: LLVMOrcCSymbolMapPairs, count: usize, context: *mut libc::c_void) {
    // SAFETY: `context` is the box that `lookup` made for this one call.
    let sender = unsafe { Box::from_raw(context.cast::<SyncSender<Answer>>()) };
    let result = check(error).map(|()| {
        if count == 0 {
            return HashMap::new();
        }
        // SAFETY: without an error, ORC passes `count` pairs.
        let pairs = unsafe { std::slice::from_raw_parts(pairs, count) };
        pairs.iter().filter_map(|pair| Some((pair.Name as usize, usize::try_from(pair.Sym.Address).ok()?))).collect()
    });
    // The receiver waits for as long as the session answers; were it gone, nobody would want the answer.
    let _ = sender.send(result);
}

/// The message of an error, which is consumed.
fn check(error: LLVMErrorRef) -> Result<(), String> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours, and consumed by the first call; the message is live until disposed of.
    unsafe {
        let message = LLVMGetErrorMessage(error);
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        LLVMDisposeErrorMessage(message);
        Err(text)
    }
}
