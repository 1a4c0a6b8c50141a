//! What the guest may do with `wasmo_jit`, through which it adds modules to itself.

use anyhow::Result;
use wasmo::{JitLimits, Linker, late_link};

use crate::args::RunArgs;

/// Defines `wasmo_jit` as the command line says. A guest that imports it finds it in any case, and learns from its answers that it is switched off.
pub(super) fn add_to_linker<T: 'static>(linker: &mut Linker<T>, args: &RunArgs) -> Result<()> {
    if args.no_jit {
        return late_link::add_disabled_to_linker(linker, "late linking is switched off (wasmo run --no-jit)");
    }
    let mut limits = JitLimits::default();
    if let Some(modules) = args.jit_max_modules {
        limits.modules = modules;
    }
    if let Some(bytes) = args.jit_max_bytes {
        limits.wasm_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    late_link::add_to_linker(linker, limits)
}
