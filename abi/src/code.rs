//! What the compiler hands to the runtime: addresses of linked code, and the tables that explain an address.

use crate::index::{FuncIndex, TypeIndex};
use crate::offsets::WasmOffsets;
use crate::table::{Bytes, Row, Table};
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
    pub functions: Table<FunctionRange>,
    /// Which operators of the module the code belongs to.
    pub wasm_offsets: WasmOffsets,
    /// The unit's call frame information.
    pub unwind: UnwindTable,
}

/// Where one function's code lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRange {
    /// Offset of the first byte in the unit.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// The function, or `None` for a thunk.
    pub func: Option<FuncIndex>,
}

impl Row for FunctionRange {
    const SIZE: usize = 12;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        let func = Some(words(2)).filter(|&func| func != u32::MAX);
        Self { offset: words(0), size: words(1), func: func.map(FuncIndex) }
    }

    fn write(self, word: impl FnMut(u32)) {
        [self.offset, self.size, self.func.map_or(u32::MAX, |func| func.0)].into_iter().for_each(word);
    }
}

/// Call frame information in the format of an `.eh_frame` section (DWARF 5, 6.4), relocated for sections at the addresses given here; where the code really
/// lies makes no difference to it.
#[derive(Clone, Debug, Default)]
pub struct UnwindTable {
    /// The bytes of the section.
    pub eh_frame: Bytes,
    /// The address that it is relocated for.
    pub eh_frame_address: u64,
    /// The address that the unit's first byte is taken to have.
    pub text_address: u64,
    /// A `.eh_frame_hdr` section, which finds a function's description by bisection, and the address it is relocated for.
    pub index: Option<(Bytes, u64)>,
}

/// A module's code, linked and ready to run.
pub struct ModuleCode {
    /// Where the code of the defined functions lies, in order: distances from `base` in bytes.
    pub entries: Table<u32>,
    /// See `entries`.
    pub base: usize,
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

    /// The address of the code of the defined function at `position` among the defined ones.
    pub fn entry(&self, position: usize) -> Option<usize> {
        self.entries.get(position).map(|distance| self.base + distance as usize)
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
