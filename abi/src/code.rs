//! What the compiler hands to the runtime: addresses of linked code, and the tables that explain an address.

use crate::index::{FuncIndex, TypeIndex};
use crate::vm::EnterThunk;
use std::any::Any;
use std::sync::Arc;

/// The thunks of one function type; see [`crate::symbol`].
#[derive(Clone, Copy, Debug)]
pub struct Thunks {
    /// Through which the host enters functions of the type.
    pub enter: EnterThunk,
    /// Through which code leaves for host functions of the type: address of code in the wasm convention that expects a
    /// [`crate::vm::VmHostFunc`] as its context.
    pub exit: usize,
}

/// One run of machine code that was compiled together, with the tables for it. Offsets are in bytes from `start`.
#[derive(Debug)]
pub struct CodeUnit {
    /// Address of the first byte.
    pub start: usize,
    /// Size in bytes.
    pub size: usize,
    /// The functions in it, by ascending offset, without overlap; `None` for thunks.
    pub functions: Vec<FunctionRange>,
    /// By ascending code offset: from there to the next entry, code belongs to the wasm operator at this offset in the module.
    pub wasm_offsets: Vec<WasmOffset>,
    /// The unit's `.eh_frame` section, with addresses relative as [`UnwindTable`] says.
    pub unwind: UnwindTable,
}

/// Where one function's code lies.
#[derive(Clone, Copy, Debug)]
pub struct FunctionRange {
    /// Offset of the first byte in the unit.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// The function, or `None` for a thunk.
    pub func: Option<FuncIndex>,
}

/// One row of the table from code to wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasmOffset {
    /// Offset in the unit from which the row holds.
    pub code: u32,
    /// Offset in the module's bytes, or `u32::MAX` for code that belongs to no operator.
    pub wasm: u32,
}

/// Call frame information in the format of an `.eh_frame` section (DWARF 5, 6.4), relocated as if the section began at address
/// [`UnwindTable::SECTION_ADDRESS`] and the unit at address 0.
#[derive(Clone, Debug, Default)]
pub struct UnwindTable {
    /// The bytes of the section.
    pub eh_frame: Vec<u8>,
}

impl UnwindTable {
    /// The address that the section is taken to begin at: beyond any unit, and within reach of the 32-bit displacements by which the section refers
    /// to the unit.
    pub const SECTION_ADDRESS: u64 = 1 << 30;
}

/// A module's code, linked and ready to run.
pub struct ModuleCode {
    /// Address of each defined function's code, in order.
    pub entries: Vec<usize>,
    /// Thunks for the types of imported and of escaping functions; `None` for types that no such function has.
    pub thunks: Vec<Option<Thunks>>,
    /// All code of the module, by ascending address.
    pub units: Vec<CodeUnit>,
    /// Frees the code when dropped.
    pub owner: Arc<dyn Any + Send + Sync>,
}

impl ModuleCode {
    /// The thunks of a type, if the module has them.
    pub fn thunks(&self, ty: TypeIndex) -> Option<Thunks> {
        self.thunks.get(ty.0 as usize).copied().flatten()
    }

    /// The number of bytes of machine code.
    pub fn code_size(&self) -> usize {
        self.units.iter().map(|unit| unit.size).sum()
    }
}

impl std::fmt::Debug for ModuleCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModuleCode")
            .field("functions", &self.entries.len())
            .field("code_size", &self.code_size())
            .finish()
    }
}
