//! What profilers and debuggers are told of code: the names of its functions, as backtraces have them, and what tier they are in.
//!
//! A module's code is listed when the module is made ([`list_module`]), and code that is made while it runs just before it can be called ([`list_unit`]). What was told to a debugger
//! is taken back when the module goes, before its code is freed; what was told to a profiler stays.

use crate::backtrace::demangle;
use crate::module::func_name;
use crate::{Config, Engine, ProfilingStrategy};
use std::sync::Arc;
use wasmo_abi::code::{CodeUnit, FunctionRange};
use wasmo_abi::index::FuncIndex;
use wasmo_abi::module::ModuleInfo;
use wasmo_runtime::Module;
use wasmo_runtime::debug::{Symbol, gdb, perf_map};

/// The length in bytes at which a name is cut off: guests choose their names.
const LONGEST: usize = 500;

/// Whether anybody wants to know.
pub(crate) fn is_wanted(config: &Config) -> bool {
    config.profiler != ProfilingStrategy::None || config.debug_info
}

/// Lists the code that a module has from the beginning.
pub(crate) fn list_module(engine: &Engine, module: &Arc<Module>) {
    if is_wanted(engine.config()) {
        for unit in &module.code.units {
            list(engine, module, unit, |_| String::new());
        }
    }
}

/// Lists code that was made since, `soon` or as well as can be. `variants` are the loops at which some of its functions begin, and the addresses of these.
#[cfg(feature = "compiler")]
pub(crate) fn list_unit(
    engine: &Engine,
    module: &Arc<Module>,
    unit: &CodeUnit,
    tier: wasmo_abi::tier::Tier,
    soon: bool,
    variants: &[(wasmo_abi::tier::LoopIndex, usize)],
) {
    use wasmo_abi::tier::Tier;
    if is_wanted(engine.config()) {
        list(engine, module, unit, |address| match (tier, variants.iter().find(|&&(_, variant)| variant == address)) {
            (_, Some((at, _))) => format!(" [optimized from loop {}]", at.0),
            (Tier::LiftOff, None) => " [lift-off]".to_owned(),
            (Tier::Optimized, None) if soon => " [soon]".to_owned(),
            (Tier::Optimized, None) => " [optimized]".to_owned(),
        });
    }
}

/// Lists what is in `unit`; `suffix` says what to add to the name of a function with code at an address.
fn list(engine: &Engine, module: &Arc<Module>, unit: &CodeUnit, suffix: impl Fn(usize) -> String) {
    let symbol = |range: FunctionRange| {
        let address = unit.start + range.offset as usize;
        let name = match range.func {
            Some(func) => name(&module.info, func) + &suffix(address),
            None => "wasmo thunk".to_owned(),
        };
        Symbol { name, address, size: range.size as usize }
    };
    let mut symbols: Vec<Symbol> = unit.functions.iter().map(symbol).collect();
    if symbols.is_empty() && unit.size > 0 {
        symbols.push(Symbol { name: "wasmo stubs".to_owned(), address: unit.start, size: unit.size });
    }
    if engine.config().profiler == ProfilingStrategy::PerfMap
        && let Err(error) = perf_map::add(&symbols)
    {
        tracing::warn!(%error, "functions are missing in {}", perf_map::path().display());
    }
    if engine.config().debug_info {
        module.attach(gdb::register(unit, &symbols));
    }
}

/// The name of a function, on one line.
fn name(info: &ModuleInfo, func: FuncIndex) -> String {
    let function = match func_name(info, func) {
        Some(name) => demangle(name).into_owned(),
        None => format!("<wasm function {}>", func.0),
    };
    let name = format!("{}!{function}", info.name.as_deref().unwrap_or("wasm"));
    let end = (0..=LONGEST.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    name[..end].chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
