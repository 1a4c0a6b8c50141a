//! [`WasmBacktrace`]: which functions of the guest were under way.
//!
//! The runtime walks the guest's stack when a call fails and hands over frames; names are looked up only when somebody asks.

use crate::AsContext;
use std::borrow::Cow;
use std::fmt;
use wasmo_runtime::{Backtrace, Frame};

/// How many frames a backtrace shows when it is printed, innermost first; an endless recursion has too many to be read.
const SHOWN: usize = 64;

/// The functions of the guest that were under way when a call failed, innermost first. It is the context of the errors that calls into a guest
/// return: `error.downcast_ref::<WasmBacktrace>()`.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, Instance, Module, Store, WasmBacktrace};
///
/// let engine = Engine::default();
/// let module = Module::new(
///     &engine,
///     r#"(module $m (func $inner unreachable) (func $outer (export "run") call $inner))"#,
/// )?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let error = instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ()).unwrap_err();
/// let backtrace = error.downcast_ref::<WasmBacktrace>().expect("a trap has a backtrace");
/// assert_eq!(backtrace.frames()[0].module_name(), Some("m"));
/// # Ok(())
/// # }
/// ```
pub struct WasmBacktrace {
    frames: Vec<FrameInfo>,
    omitted: u64,
}

impl WasmBacktrace {
    pub(crate) fn new(backtrace: Backtrace) -> Self {
        let frames = backtrace.frames.into_iter().map(|frame| FrameInfo { frame }).collect();
        Self { frames, omitted: backtrace.omitted }
    }

    /// The functions that are under way in `store` now; empty unless called from a host function that a guest has called.
    pub fn capture(store: impl AsContext) -> Self {
        Self::new(store.as_context().0.opaque.runtime().backtrace())
    }

    /// As [`WasmBacktrace::capture`], whatever [`crate::Config::wasm_backtrace`] says.
    pub fn force_capture(store: impl AsContext) -> Self {
        Self::capture(store)
    }

    /// The functions, innermost first.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// How many functions further out were under way besides [`WasmBacktrace::frames`]; counting them stops at a limit.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }
}

impl fmt::Display for WasmBacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error while executing at wasm backtrace:")?;
        for (position, frame) in self.frames.iter().take(SHOWN).enumerate() {
            write!(f, "\n  {position:>3}: {frame}")?;
        }
        let unshown = self.frames.len().saturating_sub(SHOWN) as u64 + self.omitted;
        if unshown > 0 {
            write!(f, "\n       and {unshown} more")?;
        }
        Ok(())
    }
}

impl fmt::Debug for WasmBacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One function of a [`WasmBacktrace`].
pub struct FrameInfo {
    frame: Frame,
}

impl FrameInfo {
    /// The index of the function in its module.
    pub fn func_index(&self) -> u32 {
        self.frame.func.0
    }

    /// The function's name as the module's name section has it, or the name under which it is exported.
    pub fn func_name(&self) -> Option<&str> {
        crate::module::func_name(&self.frame.module.info, self.frame.func)
    }

    /// [`FrameInfo::func_name`] as the programmer wrote it, when it is a mangled name of Rust's.
    pub fn demangled_name(&self) -> Option<Cow<'_, str>> {
        self.func_name().map(demangle)
    }

    /// The module's own name, if it has one.
    pub fn module_name(&self) -> Option<&str> {
        self.frame.module.info.name.as_deref()
    }

    /// Where in the module's bytes the operator stands that was executing. It is not known of a function whose call was replaced by the
    /// function called (which has a frame nevertheless).
    pub fn module_offset(&self) -> Option<usize> {
        self.frame.wasm_offset.and_then(|offset| usize::try_from(offset).ok())
    }

    /// Where the function's body begins in the module's bytes.
    pub fn func_start(&self) -> Option<usize> {
        let info = &self.frame.module.info;
        info.defined_func(self.frame.func)
            .and_then(|position| info.bodies.get(position))
            .map(|body| body.start as usize)
    }

    /// Where the operator stands that was executing, counted from the beginning of the function's body, if it is known.
    pub fn func_offset(&self) -> Option<usize> {
        self.module_offset()?.checked_sub(self.func_start()?)
    }
}

impl fmt::Display for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.module_offset() {
            Some(offset) => write!(f, "{offset:#8x} - ")?,
            None => f.write_str("       ? - ")?,
        }
        write!(f, "{}!", self.module_name().unwrap_or("<unknown>"))?;
        match self.demangled_name() {
            Some(name) => f.write_str(&name),
            None => write!(f, "<wasm function {}>", self.func_index()),
        }
    }
}

impl fmt::Debug for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameInfo")
            .field("module_name", &self.module_name())
            .field("func_index", &self.func_index())
            .field("func_name", &self.func_name())
            .field("module_offset", &self.module_offset())
            .finish()
    }
}

/// The name as the programmer wrote it. Rust's mangled names, old and new, are recognised; others are left as they are.
pub(crate) fn demangle(name: &str) -> Cow<'_, str> {
    match rustc_demangle::try_demangle(name) {
        // The alternate form leaves out the hash.
        Ok(demangled) => Cow::Owned(format!("{demangled:#}")),
        Err(_) => Cow::Borrowed(name),
    }
}
