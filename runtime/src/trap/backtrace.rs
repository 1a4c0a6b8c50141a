//! Backtraces.
use crate::module::Module;
use std::sync::Arc;
use wasmo_abi::index::FuncIndex;

/// One function of the guest that was under way.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The module that the function belongs to.
    pub module: Arc<Module>,
    /// The function.
    pub func: FuncIndex,
    /// Offset in the module's bytes of the operator that was executing, when it is known.
    pub wasm_offset: Option<u32>,
}

/// The guest's functions that were under way, innermost first; the host's functions between them are left out.
#[derive(Clone, Debug, Default)]
pub struct Backtrace {
    /// The innermost frames, and, when some were left out, they are the first of them.
    pub frames: Vec<Frame>,
    /// How many frames further out were left out; counting stops at a limit.
    pub omitted: u64,
}
