//! Instantiation (core specification, 4.5.4), up to the start function.
//!
//! In order: the context and what it imports, memories, function records, globals, tables, active element segments, active
//! data segments. The store owns the instance from the first of these on, since memories and tables of the store lead to
//! its context, and since what is left of an instance whose last segment does not fit can still be called through a table.

use super::Instance;
use super::const_expr::evaluate;
use super::segment::{Dropped, SegmentError};
use crate::arena::Arena;
use crate::error::{Error, InstantiateError};
use crate::late::LateId;
use crate::memory::Memory;
use crate::module::Module;
use crate::pool::{Kind, Share};
use crate::store::{Extern, GlobalId, HostImport, Import, InstanceId, Store};
use crate::table::Table;
use crate::vmcontext::Context;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;
use wasmo_abi::index::{EntityIndex, FuncIndex, GlobalIndex, TypeIndex};
use wasmo_abi::layout::Place;
use wasmo_abi::module::{DataKind, ElemKind, EntityRef};
use wasmo_abi::tunables::MAX_GROWN_PAGES;
use wasmo_abi::vm::{
    RawValue, VmContext, VmContextKind, VmFuncImport, VmGlobal, VmHostFunc, VmMemory, VmMemorySlot, VmTable,
};

impl Instance {
    /// Writes the part at `offset` of the context.
    ///
    /// # Safety
    /// The layout says that a `T` lies there, and no code of the instance runs yet.
    unsafe fn set<T>(&self, offset: usize, value: T) {
        // SAFETY: as the caller promises.
        unsafe { self.context.part::<T>(offset).write(value) };
    }

    /// The record of a global.
    pub(super) fn global_place(&self, global: GlobalIndex) -> NonNull<VmGlobal> {
        let place = self.module().layout.global(global);
        // SAFETY: the layout has the record there, or a pointer to it, which instantiation set before it asks.
        unsafe {
            match place {
                Place::Inline(offset) => self.context.part(offset),
                Place::Pointer(offset) => self.context.part::<NonNull<VmGlobal>>(offset).read(),
            }
        }
    }

    /// The value of a global.
    pub(super) fn global_value(&self, global: GlobalIndex) -> RawValue {
        // SAFETY: the record lives as long as the store.
        unsafe { self.global_place(global).read().0 }
    }
}

impl Store {
    /// Makes an instance of `module`. `imports` has one item for each of the module's imports, in order, whose type the
    /// caller has compared. The start function is left to the caller: see [`wasmo_abi::module::ModuleInfo::start`] and
    /// [`Store::func`].
    ///
    /// # Errors
    /// When a memory or a table cannot be made, or the embedder or the pool refuses its size; and the trap of an active
    /// segment that does not fit, where what other segments wrote before remains.
    pub fn instantiate(&mut self, module: &Arc<Module>, imports: &[Import]) -> Result<InstanceId, InstantiateError> {
        check_counts(module, imports)?;
        self.check_live(imports)?;
        let alike =
            self.pool.keeps_instances() && module.imports_functions_only() && imports.iter().all(Import::is_host);
        if alike
            && let Some(instance) = module.idle.pop()
            && instance.calls_alike(&module.info, imports)
        {
            return Ok(self.revive(instance, module, imports)?);
        }
        self.build(module, imports, if alike { Kept::Alike } else { Kept::Anyhow })
    }

    /// Makes the instance of a late module: the first that imports from it keeps it, and [`Store::remove_late`] takes it away. Otherwise as [`Store::instantiate`]; but what
    /// is left of an instance that fails is removed, and host functions that it imports see as their caller the instance that they were exported by.
    ///
    /// # Errors
    /// As [`Store::instantiate`].
    pub fn instantiate_late(
        &mut self,
        module: &Arc<Module>,
        imports: &[Import],
    ) -> Result<(InstanceId, LateId), InstantiateError> {
        check_counts(module, imports)?;
        self.check_live(imports)?;
        let id = self.build(module, imports, Kept::Removable)?;
        let late = self.late_id(id).ok_or_else(|| Error::Internal("a late module's instance is missing".into()))?;
        Ok((id, late))
    }

    /// Makes an instance from nothing.
    fn build(&mut self, module: &Arc<Module>, imports: &[Import], kept: Kept) -> Result<InstanceId, InstantiateError> {
        let info = &module.info;
        let instance = Instance {
            id: InstanceId(0),
            store: NonNull::from(&mut *self),
            module: Some(Arc::clone(module)),
            context: Context::new(&module.layout)?,
            memories: Vec::with_capacity(info.memories.len()),
            tables: Vec::with_capacity(info.tables.len()),
            globals: Vec::with_capacity(info.globals.len()),
            own_memories: Arena::default(),
            own_tables: Arena::default(),
            host_funcs: Vec::with_capacity(info.imported_funcs),
            data: Dropped::default(),
            elems: Dropped::default(),
            late_func_refs: RefCell::new(HashMap::new()),
            initial: None,
            late: None,
            exporters: Vec::new(),
            import_refs: Vec::new(),
            own_func_refs: RefCell::default(),
            share: Share::take(&self.pool, Kind::Instance)?,
        };
        // From here on the instance stays with the store, since tables and memories of the store refer to its context.
        // One that fails is reached by nobody, unless a segment of it was copied.
        let mut place = if kept == Kept::Removable {
            self.late.insert(instance)
        } else {
            let (mut place, number) = self.shell.instances.push(instance);
            // SAFETY: nobody else knows the instance yet.
            unsafe { place.as_mut() }.id = InstanceId(number);
            place
        };
        // SAFETY: nobody else knows the instance yet.
        let instance = unsafe { place.as_mut() };
        let (id, late) = (instance.id, instance.late);
        self.exec_ref().users.enter(module);
        let head = VmContext {
            kind: VmContextKind::Instance,
            exec: self.exec(),
            instance: place.as_ptr().cast(),
            entries: module.entries(),
        };
        // SAFETY: the context begins with its head.
        unsafe { instance.context.head().write(head) };
        if let Err(error) = self.fill(place, module, imports) {
            if let Some(late) = late {
                // No code of it has run, so that nothing stands against it.
                let _gone = self.remove_late(late);
            }
            return Err(error);
        }
        if kept == Kept::Alike {
            // SAFETY: no code of the instance has run, so still nobody else uses it.
            unsafe { place.as_mut() }.settle();
        }
        Ok(id)
    }

    /// Gives an instance what it imports and defines.
    fn fill(
        &mut self,
        mut place: NonNull<Instance>,
        module: &Module,
        imports: &[Import],
    ) -> Result<(), InstantiateError> {
        // SAFETY: nobody else knows the instance yet.
        let instance = unsafe { place.as_mut() };
        self.fill_imports(instance, module, imports)?;
        self.fill_definitions(instance, module)?;
        // SAFETY: the exclusive borrow has ended; from here on instances are shared.
        let instance = unsafe { place.as_ref() };
        self.copy_segments(instance, module)
    }

    /// Whether what is to be imported is there; an item of a late module that is gone is not.
    fn check_live(&self, imports: &[Import]) -> Result<(), Error> {
        if imports.iter().filter_map(Import::item).all(|item| self.has(item)) {
            return Ok(());
        }
        Err(Error::Limit("an import is of a late module that was removed".into()))
    }

    fn fill_imports(&mut self, instance: &mut Instance, module: &Module, imports: &[Import]) -> Result<(), Error> {
        let (info, layout) = (&module.info, &module.layout);
        for (position, &id) in module.type_ids.iter().enumerate() {
            // SAFETY: the layout has a number for each type.
            unsafe { instance.set::<u32>(layout.type_id(TypeIndex::from_position(position)), id) };
        }
        for (import, given) in info.imports.iter().zip(imports) {
            if let Some(exporter) = given.item().and_then(|item| self.exporter(item)) {
                self.late.pin(&[exporter]);
                instance.exporters.push(exporter);
            }
            match (import.entity, given.item()) {
                (EntityRef::Func(func), item) => {
                    let record = match (given.host(), item) {
                        (_, Some(Extern::Func(handle))) if instance.late.is_some() => {
                            instance.import_refs.push(handle.record_place());
                            let record = handle.record();
                            VmFuncImport { code: record.code, context: record.context }
                        }
                        (Some(host), _) => instance.import_host(module, func, host, self.exec())?,
                        (None, Some(Extern::Func(handle))) => {
                            let record = handle.record();
                            VmFuncImport { code: record.code, context: record.context }
                        }
                        (None, _) => return Err(other_kind(&import.module, &import.name)),
                    };
                    // SAFETY: the layout has a record for each imported function.
                    unsafe { instance.set(layout.func_import(func), record) };
                }
                (EntityRef::Table(index), Some(Extern::Table(table))) => {
                    let vm: *mut VmTable = self.table_ref(table).vm();
                    let (Place::Inline(offset) | Place::Pointer(offset)) = layout.table(index);
                    // SAFETY: the layout has a pointer for each imported table.
                    unsafe { instance.set(offset, vm) };
                    instance.tables.push(table);
                }
                (EntityRef::Memory(index), Some(Extern::Memory(memory))) => {
                    let pages = self.memory_ref(memory).pages();
                    if pages > MAX_GROWN_PAGES && info.memories[index].limits.min <= MAX_GROWN_PAGES {
                        return Err(Error::Limit(format!(
                            "the import \"{}\" \"{}\" cannot be a memory of {pages} pages unless the module declares that it needs so many",
                            import.module, import.name
                        )));
                    }
                    let slot = memory_slot(NonNull::from(self.memory_ref(memory)));
                    // SAFETY: the layout has a slot for each memory.
                    unsafe { instance.set(layout.memory(index), slot) };
                    instance.memories.push(memory);
                }
                (EntityRef::Global(index), Some(Extern::Global(global))) => {
                    let vm: *mut VmGlobal = self.global_place(global).as_ptr();
                    let (Place::Inline(offset) | Place::Pointer(offset)) = layout.global(index);
                    // SAFETY: the layout has a pointer for each imported global.
                    unsafe { instance.set(offset, vm) };
                    instance.globals.push(global);
                }
                _ => return Err(other_kind(&import.module, &import.name)),
            }
        }
        Ok(())
    }

    fn fill_definitions(&mut self, instance: &mut Instance, module: &Module) -> Result<(), Error> {
        let (info, layout) = (&module.info, &module.layout);
        for (index, &ty) in info.memories.iter().skip(info.imported_memories) {
            self.ask_for_memory(ty)?;
            let (place, _) = instance.own_memories.push(Memory::new(ty, &self.pool)?);
            let slot = memory_slot(place);
            // SAFETY: the layout has a slot for each memory.
            unsafe { instance.set(layout.memory(index), slot) };
            instance.memories.push(self.link_memory(place, instance.late));
        }
        instance.fill_func_records(module);
        for ((index, &ty), init) in info.globals.iter().skip(info.imported_globals).zip(&info.global_inits) {
            let value = evaluate(instance, init)?;
            let place = instance.global_place(index);
            // SAFETY: the record lies in the context, and no code runs yet.
            unsafe { place.write(VmGlobal(value)) };
            let global: GlobalId = self.add_global(place, ty, instance.late);
            instance.globals.push(global);
        }
        for ((index, &ty), init) in info.tables.iter().skip(info.imported_tables).zip(&info.table_inits) {
            let init = evaluate(instance, init)?.as_u64();
            let (Place::Inline(offset) | Place::Pointer(offset)) = layout.table(index);
            self.ask_for_table(ty)?;
            // SAFETY: the layout has a record for each defined table; the context lives as long as the instance. The
            // validator compared the type of the value.
            let table = unsafe { Table::new(ty, init, Some(instance.context.part::<VmTable>(offset)), &self.pool) }?;
            let (place, _) = instance.own_tables.push(table);
            instance.tables.push(self.link_table(place, instance.late));
        }
        Ok(())
    }

    fn copy_segments(&mut self, instance: &Instance, module: &Module) -> Result<(), InstantiateError> {
        let info = &module.info;
        for (elem, segment) in info.elems.iter() {
            if let ElemKind::Active { table, offset } = &segment.kind {
                let start = u64::from(evaluate(instance, offset)?.as_u32());
                let table = self.table_mut(instance.table(*table));
                instance.write_elems(table, elem, start, 0..segment.len()).map_err(from_segment)?;
            }
            instance.elems.pass();
        }
        // Images come into their places only now, since until here it can be seen that no segment has been copied.
        let images = module.images();
        for (position, mut memory) in instance.own_memories.iter().enumerate() {
            if let Some(image) = images.get(position) {
                // SAFETY: memories live as long as their instance, and nobody else uses them yet.
                unsafe { memory.as_mut() }.map(image)?;
            }
        }
        for (data, segment) in info.data.iter() {
            if let DataKind::Active { memory, offset } = &segment.kind
                && info.defined_memory(*memory).and_then(|position| images.get(position)).is_none()
            {
                let start = u64::from(evaluate(instance, offset)?.as_u32());
                instance.write_data(self.memory_mut(instance.memory(*memory)), data, start).map_err(from_segment)?;
            }
            instance.data.pass();
        }
        Ok(())
    }
}

impl Instance {
    /// What the instance calls when it calls the imported function `func`. Each importer has its own record, so that the host
    /// function learns who called.
    pub(super) fn import_host(
        &mut self,
        module: &Module,
        func: FuncIndex,
        host: HostImport,
        exec: *mut wasmo_abi::vm::VmExecContext,
    ) -> Result<VmFuncImport, Error> {
        let thunk = || module.code.thunks(module.info.func_type_index(func)).map(|thunks| thunks.exit);
        let code = host.direct_exit().or_else(thunk).ok_or_else(|| {
            Error::Internal(format!("the module has no code to call its imported function {}", func.0))
        })?;
        let record = host.record(exec, self.context());
        let (position, capacity) = (func.position(), self.host_funcs.capacity());
        assert!(position < capacity, "there is a place for each imported function");
        while self.host_funcs.len() <= position {
            self.host_funcs.push(host.record(exec, self.context()));
        }
        self.host_funcs[position] = record;
        let context: *const VmHostFunc = &raw const self.host_funcs[position];
        Ok(VmFuncImport { code: code as *const u8, context: context.cast_mut().cast() })
    }
}

/// How long a new instance is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// As long as its store; another store may have it then, since all of the module's instances that are made in this way are alike.
    Alike,
    /// As long as its store.
    Anyhow,
    /// Until it is removed.
    Removable,
}

/// Whether there are as many imports as the module wants, and as much code.
fn check_counts(module: &Module, imports: &[Import]) -> Result<(), Error> {
    let (given, wanted) = (imports.len(), module.info.imports.len());
    if given != wanted {
        return Err(Error::Internal(format!("{given} imports were given where {wanted} are wanted")));
    }
    if module.code.entries.len() != module.info.bodies.len() {
        return Err(Error::Internal("the module's code and its description differ".into()));
    }
    Ok(())
}

fn memory_slot(memory: NonNull<Memory>) -> VmMemorySlot {
    let vm: *mut VmMemory = Memory::vm(memory);
    // SAFETY: the memory lives: who calls has it from its owner.
    VmMemorySlot { base: unsafe { (*vm).base }, memory: vm }
}

fn other_kind(module: &str, name: &str) -> Error {
    Error::Internal(format!("the import \"{module}\" \"{name}\" was given an item of another kind"))
}

fn from_segment(error: SegmentError) -> InstantiateError {
    match error {
        SegmentError::Trap(code) => InstantiateError::Trap(code),
        SegmentError::Error(error) => InstantiateError::Error(error),
    }
}
