//! [`Instance`]: a module together with what it imports and defines.
//!
//! `build` makes one; `const_expr` computes initial values; `segment` copies segments into memories and tables;
//! `recycle` makes one as new again and gives it to another store.

mod build;
mod const_expr;
mod func_records;
mod recycle;
pub(crate) mod segment;

use crate::arena::Arena;
use crate::func_ref::FuncHandle;
use crate::late::LateId;
use crate::memory::Memory;
use crate::module::Module;
use crate::pool::Share;
use crate::store::{Extern, GlobalId, InstanceId, MemoryId, Store, TableId};
use crate::table::Table;
use crate::vmcontext::Context;
use recycle::Initial;
use segment::Dropped;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;
use wasmo_abi::index::{EntityIndex, FuncIndex, FuncRefIndex, GlobalIndex, MemoryIndex, TableIndex};
use wasmo_abi::module::EntityRef;
use wasmo_abi::vm::{VmContext, VmFuncImport, VmFuncRef, VmHostFunc};

/// An instance of a module. Its context, its memories and tables, and what it knows of the host's functions keep their addresses.
#[derive(Debug)]
pub struct Instance {
    pub(crate) id: InstanceId,
    /// The store that owns the instance.
    pub(crate) store: NonNull<Store>,
    /// `None` only while no store has the instance.
    module: Option<Arc<Module>>,
    context: Context,
    memories: Vec<MemoryId>,
    tables: Vec<TableId>,
    globals: Vec<GlobalId>,
    /// The memories that the instance defines.
    pub(crate) own_memories: Arena<Memory>,
    /// The tables that the instance defines.
    own_tables: Arena<Table>,
    /// The host's functions that the instance imports, by the import's index; what stands there for others is not used. Its buffer never moves.
    host_funcs: Vec<VmHostFunc>,
    data: Dropped,
    elems: Dropped,
    /// Records that were made for functions without a slot in the context.
    pub(crate) late_func_refs: RefCell<HashMap<FuncIndex, FuncHandle>>,
    /// What brings the instance back to how it was made, when it is fit for another store.
    initial: Option<Initial>,
    /// The late module that it is of, if it is.
    pub(crate) late: Option<LateId>,
    /// The late modules that it imports from, once for each import.
    pub(crate) exporters: Vec<LateId>,
    /// Of a late module: the records of the functions that it imports, by the import's index.
    import_refs: Vec<NonNull<VmFuncRef>>,
    /// Of a late module: see `late_func_refs`.
    own_func_refs: RefCell<Arena<VmFuncRef>>,
    share: Share,
}

/// What an instance defines.
pub(crate) struct OwnEntities<'a> {
    pub(crate) memories: &'a [MemoryId],
    pub(crate) tables: &'a [TableId],
    pub(crate) globals: &'a [GlobalId],
}

impl Instance {
    /// The module.
    pub fn module(&self) -> &Arc<Module> {
        self.module.as_ref().expect("a store's instance has its module")
    }

    /// The address of the instance's `VMContext`.
    pub fn context(&self) -> *mut VmContext {
        self.context.head().as_ptr()
    }

    /// The function `func`, if it escapes: it is exported, in an element segment, or taken by `ref.func`.
    /// [`Store::func`] gives any function.
    pub fn func(&self, func: FuncIndex) -> Option<FuncHandle> {
        let module = self.module();
        let slot = module.info.func(func)?.func_ref?;
        // SAFETY: the layout has a record for each slot.
        let record = unsafe { self.context.part::<VmFuncRef>(module.layout.func_ref(slot)) };
        match self.late {
            None => Some(FuncHandle::permanent(record)),
            // SAFETY: what a late module imports lives at least as long as it.
            Some(_) if module.info.defined_func(func).is_none() => unsafe {
                FuncHandle::from_raw(self.import_refs.get(func.position())?.as_ptr() as u64)
            },
            Some(late) => Some(FuncHandle::late(record, late)),
        }
    }

    /// A record for a function without a slot, made now; it lives as long as the instance of a late module.
    pub(crate) fn new_func_record(&self, func: FuncIndex) -> NonNull<VmFuncRef> {
        let (record, _) = self.own_func_refs.borrow_mut().push(crate::func_ref::NULL_ELEMENT);
        // SAFETY: the record was just made and nobody else knows it.
        unsafe { record.write(self.func_record(func, record.as_ptr())) };
        record
    }

    /// What it defines, by the store's keys.
    pub(crate) fn own_entities(&self) -> OwnEntities<'_> {
        let info = &self.module().info;
        OwnEntities {
            memories: self.memories.get(info.imported_memories..).unwrap_or_default(),
            tables: self.tables.get(info.imported_tables..).unwrap_or_default(),
            globals: self.globals.get(info.imported_globals..).unwrap_or_default(),
        }
    }

    /// The addresses of its context.
    pub(crate) fn context_range(&self) -> std::ops::Range<usize> {
        self.context.range()
    }

    /// Takes the instance, which nobody uses any more, apart; its records mean null from here on.
    pub(crate) fn into_context(self) -> Context {
        let module = self.module();
        for position in 0..module.info.escaping.len() {
            let offset = module.layout.func_ref(FuncRefIndex::from_position(position));
            // SAFETY: the layout has a record for each slot.
            unsafe { self.context.part::<VmFuncRef>(offset).write(crate::func_ref::NULL_ELEMENT) };
        }
        self.context
    }

    /// The table `table`.
    ///
    /// # Panics
    /// When the module has no such table; likewise below.
    pub fn table(&self, table: TableIndex) -> TableId {
        self.tables[table.position()]
    }

    /// The memory `memory`.
    pub fn memory(&self, memory: MemoryIndex) -> MemoryId {
        self.memories[memory.position()]
    }

    /// The global `global`.
    pub fn global(&self, global: GlobalIndex) -> GlobalId {
        self.globals[global.position()]
    }

    /// Anything that can be exported; `None` for a function that does not escape and for what the module does not have.
    pub fn entity(&self, entity: EntityRef) -> Option<Extern> {
        match entity {
            EntityRef::Func(func) => self.func(func).map(Extern::Func),
            EntityRef::Table(table) => self.tables.get(table.position()).copied().map(Extern::Table),
            EntityRef::Memory(memory) => self.memories.get(memory.position()).copied().map(Extern::Memory),
            EntityRef::Global(global) => self.globals.get(global.position()).copied().map(Extern::Global),
        }
    }

    /// The export with the name `name`.
    pub fn export(&self, name: &str) -> Option<Extern> {
        let export = self.module().info.exports.iter().find(|export| *export.name == *name)?;
        self.entity(export.entity)
    }

    /// A record for `func`, as its slot holds it or would hold it; `own` is the address it will have.
    pub(crate) fn func_record(&self, func: FuncIndex, own: *const VmFuncRef) -> VmFuncRef {
        let module = self.module();
        let type_id = module.type_id(module.info.func_type_index(func));
        match module.info.defined_func(func) {
            Some(position) => VmFuncRef {
                type_id,
                code: module.code.entry(position).expect("instantiation has compared their number") as *const u8,
                context: self.context().cast(),
                func_ref: own,
            },
            None => {
                // SAFETY: the layout has a record for each imported function, filled before any record is asked for.
                let import = unsafe { self.context.part::<VmFuncImport>(module.layout.func_import(func)).read() };
                let func_ref = self.import_refs.get(func.position()).map_or(own, |record| record.as_ptr().cast_const());
                VmFuncRef { type_id, code: import.code, context: import.context, func_ref }
            }
        }
    }
}
