//! Names of the symbols in compiled objects.
//!
//! LLVM gives some names a meaning of their own (`malloc`, `memcpy`), so a name from the guest never becomes a symbol.

use crate::index::{FuncIndex, TypeIndex};
use crate::tier::LoopIndex;

/// The symbol of a defined function. Linking convention: `swifttailcc`, context in `swiftself`.
pub fn func(func: FuncIndex) -> String {
    format!("wasm_f{}", func.0)
}

/// The symbol of a variant of a defined function that begins at the head of a loop. Linking convention: as [`func`], without parameters; variables and operands are
/// handed over in the spill area.
pub fn osr(func: FuncIndex, at: LoopIndex) -> String {
    format!("wasm_o{}_{}", func.0, at.0)
}

/// The symbol of a copy of a defined function that is for the other functions of its unit only, so that LLVM may have changed what it takes and returns.
pub fn copy(func: FuncIndex) -> String {
    format!("wasm_c{}", func.0)
}

/// The symbol under which a function of another module is known in a unit that may inline it. No object has it.
pub fn neighbour(func: FuncIndex) -> String {
    format!("wasm_n{}", func.0)
}

/// The symbol of the thunk through which the host enters functions of a type: see [`crate::vm::EnterThunk`].
pub fn enter(ty: TypeIndex) -> String {
    format!("wasm_enter{}", ty.0)
}

/// The symbol of the thunk through which code leaves for host functions of a type: it has the type's own wasm convention.
pub fn exit(ty: TypeIndex) -> String {
    format!("wasm_exit{}", ty.0)
}

/// The function that a symbol of [`func`] names.
pub fn parse_func(symbol: &str) -> Option<FuncIndex> {
    symbol.strip_prefix("wasm_f")?.parse().ok().map(FuncIndex)
}

/// The function that a symbol of [`copy`] names, or that of a copy of this copy, to whose name LLVM has added something.
pub fn parse_copy(symbol: &str) -> Option<FuncIndex> {
    let name = symbol.strip_prefix("wasm_c")?;
    name.split_once('.').map_or(name, |(name, _)| name).parse().ok().map(FuncIndex)
}

/// The function that a symbol of [`neighbour`] names.
pub fn parse_neighbour(symbol: &str) -> Option<FuncIndex> {
    symbol.strip_prefix("wasm_n")?.parse().ok().map(FuncIndex)
}

/// The function and the loop that a symbol of [`osr`] names.
pub fn parse_osr(symbol: &str) -> Option<(FuncIndex, LoopIndex)> {
    let (func, at) = symbol.strip_prefix("wasm_o")?.split_once('_')?;
    Some((FuncIndex(func.parse().ok()?), LoopIndex(at.parse().ok()?)))
}
