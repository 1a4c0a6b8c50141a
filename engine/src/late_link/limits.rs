//! [`JitLimits`]: what guests may use for late modules.

use std::time::Duration;

/// What the guests of a store may use for late modules that they add themselves, all of them together; what the host adds counts, but is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JitLimits {
    /// The most late modules at a time; 65,536 by default.
    pub modules: usize,
    /// The most bytes that the late modules of a time may have together, as WebAssembly; 256 MiB by default.
    pub wasm_bytes: usize,
    /// The most bytes of machine code of the late modules of a time together; 512 MiB by default.
    pub code_bytes: usize,
    /// The longest that compiling one module may take; 10 seconds by default.
    pub compile_time: Duration,
}

impl Default for JitLimits {
    fn default() -> Self {
        Self { modules: 1 << 16, wasm_bytes: 256 << 20, code_bytes: 512 << 20, compile_time: Duration::from_secs(10) }
    }
}
