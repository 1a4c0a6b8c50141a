//! [`VmContextLayout`]: where the parts of a `VMContext` lie whose number depends on the module.
//!
//! After the fixed head ([`crate::vm::VmContext`]) follow, in this order: type numbers, imported functions, memories, imported
//! tables (pointers), defined tables, imported globals (pointers), function references, defined globals. All offsets are in bytes from the
//! address of the head.

use crate::index::{EntityIndex, FuncIndex, FuncRefIndex, GlobalIndex, MemoryIndex, TableIndex, TypeIndex};
use crate::module::ModuleInfo;
use crate::vm::{VmContext, VmFuncImport, VmFuncRef, VmGlobal, VmMemorySlot, VmTable};
use std::mem::{align_of, size_of};

/// How a context holds a table or a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this offset lies the record itself.
    Inline(usize),
    /// At this offset lies a pointer to the record.
    Pointer(usize),
}

/// Where the parts of a `VMContext` lie.
#[derive(Clone, Debug)]
pub struct VmContextLayout {
    imported_tables: usize,
    imported_globals: usize,
    type_ids: usize,
    func_imports: usize,
    memories: usize,
    table_imports: usize,
    tables: usize,
    global_imports: usize,
    func_refs: usize,
    globals: usize,
    size: usize,
}

/// Alignment of a `VMContext`.
pub const CONTEXT_ALIGN: usize = align_of::<VmContext>();

impl VmContextLayout {
    /// The layout for instances of `module`.
    pub fn new(module: &ModuleInfo) -> Self {
        let mut offset = size_of::<VmContext>();
        let mut part = |count: usize, item: usize, align: usize| {
            let start = offset.next_multiple_of(align);
            offset = start + count * item;
            start
        };
        let pointer = size_of::<*mut u8>();
        let type_ids = part(module.types.len(), size_of::<u32>(), align_of::<u32>());
        let func_imports = part(module.imported_funcs, size_of::<VmFuncImport>(), pointer);
        let memories = part(module.memories.len(), size_of::<VmMemorySlot>(), pointer);
        let table_imports = part(module.imported_tables, pointer, pointer);
        let tables = part(module.tables.len() - module.imported_tables, size_of::<VmTable>(), pointer);
        let global_imports = part(module.imported_globals, pointer, pointer);
        let func_refs = part(module.escaping.len(), size_of::<VmFuncRef>(), pointer);
        let globals =
            part(module.globals.len() - module.imported_globals, size_of::<VmGlobal>(), align_of::<VmGlobal>());
        Self {
            imported_tables: module.imported_tables,
            imported_globals: module.imported_globals,
            type_ids,
            func_imports,
            memories,
            table_imports,
            tables,
            global_imports,
            func_refs,
            globals,
            size: offset.next_multiple_of(CONTEXT_ALIGN),
        }
    }

    /// The size of the whole context in bytes, a multiple of [`CONTEXT_ALIGN`].
    pub fn size(&self) -> usize {
        self.size
    }

    /// The `u32` that is the engine-wide number of a type.
    pub fn type_id(&self, ty: TypeIndex) -> usize {
        self.type_ids + ty.position() * size_of::<u32>()
    }

    /// The [`VmFuncImport`] of an imported function.
    pub fn func_import(&self, func: FuncIndex) -> usize {
        self.func_imports + func.position() * size_of::<VmFuncImport>()
    }

    /// The [`VmMemorySlot`] of a memory, defined or imported.
    pub fn memory(&self, memory: MemoryIndex) -> usize {
        self.memories + memory.position() * size_of::<VmMemorySlot>()
    }

    /// The [`VmTable`] of a table.
    pub fn table(&self, table: TableIndex) -> Place {
        match table.position().checked_sub(self.imported_tables) {
            Some(defined) => Place::Inline(self.tables + defined * size_of::<VmTable>()),
            None => Place::Pointer(self.table_imports + table.position() * size_of::<*mut u8>()),
        }
    }

    /// The [`VmGlobal`] of a global.
    pub fn global(&self, global: GlobalIndex) -> Place {
        match global.position().checked_sub(self.imported_globals) {
            Some(defined) => Place::Inline(self.globals + defined * size_of::<VmGlobal>()),
            None => Place::Pointer(self.global_imports + global.position() * size_of::<*mut u8>()),
        }
    }

    /// The [`VmFuncRef`] of an escaping function.
    pub fn func_ref(&self, func_ref: FuncRefIndex) -> usize {
        self.func_refs + func_ref.position() * size_of::<VmFuncRef>()
    }
}
