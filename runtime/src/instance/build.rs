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
use wasmo_abi::index::{EntityIndex, FuncIndex, FuncRefIndex, GlobalIndex, TypeIndex};
use wasmo_abi::layout::Place;
use wasmo_abi::module::{DataKind, ElemKind, EntityRef};
use wasmo_abi::tunables::MAX_GROWN_PAGES;
use wasmo_abi::vm::{
    RawValue, VmContext, VmContextKind, VmFuncImport, VmFuncRef, VmGlobal, VmHostFunc, VmMemory, VmMemorySlot, VmTable,
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
        let info = &module.info;
        if imports.len() != info.imports.len() {
            let (given, wanted) = (imports.len(), info.imports.len());
            return Err(Error::Internal(format!("{given} imports were given where {wanted} are wanted")).into());
        }
        if module.code.entries.len() != info.bodies.len() {
            return Err(Error::Internal("the module's code and its description differ".into()).into());
        }
        let alike =
            self.pool.keeps_instances() && module.imports_functions_only() && imports.iter().all(Import::is_host);
        if alike && let Some(instance) = module.idle.pop() {
            return Ok(self.revive(instance, module, imports)?);
        }
        self.build(module, imports, alike)
    }

    /// Makes an instance from nothing. `alike`: all of the module's instances that are made in this way are alike.
    fn build(&mut self, module: &Arc<Module>, imports: &[Import], alike: bool) -> Result<InstanceId, InstantiateError> {
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
            share: Share::take(&self.pool, Kind::Instance)?,
        };
        // From here on the instance stays with the store, since tables and memories of the store refer to its context.
        // One that fails is reached by nobody, unless a segment of it was copied.
        let (mut place, number) = self.shell.instances.push(instance);
        // SAFETY: nobody else knows the instance yet.
        let instance = unsafe { place.as_mut() };
        instance.id = InstanceId(number);
        let head = VmContext { kind: VmContextKind::Instance, exec: self.exec(), instance: place.as_ptr().cast() };
        // SAFETY: the context begins with its head.
        unsafe { instance.context.head().write(head) };
        self.fill_imports(instance, module, imports)?;
        self.fill_definitions(instance, module)?;
        // SAFETY: the exclusive borrow has ended; from here on instances are shared.
        let instance = unsafe { place.as_ref() };
        self.copy_segments(instance, module)?;
        if alike {
            // SAFETY: no code of the instance has run, so still nobody else uses it.
            unsafe { place.as_mut() }.settle();
        }
        Ok(InstanceId(number))
    }

    fn fill_imports(&mut self, instance: &mut Instance, module: &Module, imports: &[Import]) -> Result<(), Error> {
        let (info, layout) = (&module.info, &module.layout);
        for (position, &id) in module.type_ids.iter().enumerate() {
            // SAFETY: the layout has a number for each type.
            unsafe { instance.set::<u32>(layout.type_id(TypeIndex::from_position(position)), id) };
        }
        for (import, given) in info.imports.iter().zip(imports) {
            match (import.entity, given.item()) {
                (EntityRef::Func(func), item) => {
                    let record = match (given.host(), item) {
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
            instance.memories.push(self.link_memory(place));
        }
        for (slot, func) in info.escaping.iter().enumerate() {
            let offset = layout.func_ref(FuncRefIndex::from_position(slot));
            // SAFETY: the layout has a record for each slot.
            let place = unsafe { instance.context.part::<VmFuncRef>(offset) };
            let record = instance.func_record(func, place.as_ptr());
            // SAFETY: as above.
            unsafe { instance.set(offset, record) };
        }
        for ((index, &ty), init) in info.globals.iter().skip(info.imported_globals).zip(&info.global_inits) {
            let value = evaluate(instance, init)?;
            let place = instance.global_place(index);
            // SAFETY: the record lies in the context, and no code runs yet.
            unsafe { place.write(VmGlobal(value)) };
            let global: GlobalId = self.add_global(place, ty);
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
            instance.tables.push(self.link_table(place));
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
        let thunks = module.code.thunks(module.info.func_type_index(func));
        let thunks = thunks.ok_or_else(|| {
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
        Ok(VmFuncImport { code: thunks.exit as *const u8, context: context.cast_mut().cast() })
    }
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
