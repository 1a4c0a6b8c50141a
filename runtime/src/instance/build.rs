//! Instantiation (core specification, 4.5.4), up to the start function.
//!
//! In order: the context and what it imports, memories, function records, globals, tables, active element segments, active
//! data segments. The store owns the instance from the first of these on, since memories and tables of the store lead to
//! its context, and since what is left of an instance whose last segment does not fit can still be called through a table.

use super::Instance;
use super::const_expr::evaluate;
use super::segment::SegmentError;
use crate::error::{Error, InstantiateError};
use crate::memory::Memory;
use crate::module::Module;
use crate::store::{Extern, GlobalId, InstanceId, Store};
use crate::vmcontext::Context;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;
use wasmo_abi::index::{
    DataIndex, ElemIndex, EntityIndex, FuncRefIndex, GlobalIndex, MemoryIndex, TableIndex, TypeIndex,
};
use wasmo_abi::layout::Place;
use wasmo_abi::module::{DataKind, ElemKind, EntityRef};
use wasmo_abi::tunables::MAX_GROWN_PAGES;
use wasmo_abi::vm::{RawValue, VmContext, VmContextKind, VmFuncRef, VmGlobal, VmMemory, VmMemorySlot, VmTable};

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
    fn global_place(&self, global: GlobalIndex) -> NonNull<VmGlobal> {
        let place = self.module.layout.global(global);
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
    /// When a memory or a table cannot be made, or the embedder refuses its size; and the trap of an active segment
    /// that does not fit, where what other segments wrote before remains.
    pub fn instantiate(&mut self, module: &Arc<Module>, imports: &[Extern]) -> Result<InstanceId, InstantiateError> {
        let info = &module.info;
        if imports.len() != info.imports.len() {
            let (given, wanted) = (imports.len(), info.imports.len());
            return Err(Error::Internal(format!("{given} imports were given where {wanted} are wanted")).into());
        }
        if module.code.entries.len() != info.bodies.len() {
            return Err(Error::Internal("the module's code and its description differ".into()).into());
        }
        let context = Context::new(&module.layout)?;
        let instance = Instance {
            id: InstanceId(0),
            store: NonNull::from(&mut *self),
            module: Arc::clone(module),
            context,
            memories: Vec::with_capacity(info.memories.len()),
            tables: Vec::with_capacity(info.tables.len()),
            globals: Vec::with_capacity(info.globals.len()),
            dropped_data: info.data.values().map(|_| Cell::new(false)).collect(),
            dropped_elems: info.elems.values().map(|_| Cell::new(false)).collect(),
            late_func_refs: RefCell::new(HashMap::new()),
        };
        // From here on the instance stays with the store, since tables and memories of the store refer to its context.
        // One that fails is reached by nobody, unless a segment of it was copied.
        let (mut place, number) = self.instances.push(instance);
        // SAFETY: nobody else knows the instance yet.
        let instance = unsafe { place.as_mut() };
        instance.id = InstanceId(number);
        let head = VmContext { kind: VmContextKind::Instance, exec: self.exec(), instance: place.as_ptr().cast() };
        // SAFETY: the context begins with its head.
        unsafe { instance.context.head().write(head) };
        self.fill_imports(instance, imports)?;
        self.fill_definitions(instance)?;
        // SAFETY: the exclusive borrow has ended; from here on instances are shared.
        let instance = unsafe { place.as_ref() };
        self.copy_segments(instance)?;
        Ok(instance.id)
    }

    fn fill_imports(&mut self, instance: &mut Instance, imports: &[Extern]) -> Result<(), Error> {
        let module = Arc::clone(&instance.module);
        let (info, layout) = (&module.info, &module.layout);
        for (position, &id) in module.type_ids.iter().enumerate() {
            // SAFETY: the layout has a number for each type.
            unsafe { instance.set::<u32>(layout.type_id(TypeIndex::from_position(position)), id) };
        }
        for (import, &given) in info.imports.iter().zip(imports) {
            match (import.entity, given) {
                (EntityRef::Func(func), Extern::Func(handle)) => {
                    let record = self.import_func(instance, func, handle)?;
                    // SAFETY: the layout has a record for each imported function.
                    unsafe { instance.set(layout.func_import(func), record) };
                }
                (EntityRef::Table(index), Extern::Table(table)) => {
                    let vm: *mut VmTable = self.table_ref(table).vm();
                    let (Place::Inline(offset) | Place::Pointer(offset)) = layout.table(index);
                    // SAFETY: the layout has a pointer for each imported table.
                    unsafe { instance.set(offset, vm) };
                    instance.tables.push(table);
                }
                (EntityRef::Memory(index), Extern::Memory(memory)) => {
                    let pages = self.memory_ref(memory).pages();
                    if pages > MAX_GROWN_PAGES && info.memories[index].limits.min <= MAX_GROWN_PAGES {
                        return Err(Error::Limit(format!(
                            "the import \"{}\" \"{}\" cannot be a memory of {pages} pages unless the module declares that it needs so many",
                            import.module, import.name
                        )));
                    }
                    let slot = self.memory_slot(memory);
                    // SAFETY: the layout has a slot for each memory.
                    unsafe { instance.set(layout.memory(index), slot) };
                    instance.memories.push(memory);
                }
                (EntityRef::Global(index), Extern::Global(global)) => {
                    let vm: *mut VmGlobal = self.global_place(global).as_ptr();
                    let (Place::Inline(offset) | Place::Pointer(offset)) = layout.global(index);
                    // SAFETY: the layout has a pointer for each imported global.
                    unsafe { instance.set(offset, vm) };
                    instance.globals.push(global);
                }
                _ => {
                    return Err(Error::Internal(format!(
                        "the import \"{}\" \"{}\" was given an item of another kind",
                        import.module, import.name
                    )));
                }
            }
        }
        Ok(())
    }

    fn fill_definitions(&mut self, instance: &mut Instance) -> Result<(), Error> {
        let module = Arc::clone(&instance.module);
        let (info, layout) = (&module.info, &module.layout);
        for (index, &ty) in info.memories.iter().skip(info.imported_memories) {
            let memory = self.new_memory(ty)?;
            let slot = self.memory_slot(memory);
            // SAFETY: the layout has a slot for each memory.
            unsafe { instance.set(layout.memory(index), slot) };
            instance.memories.push(memory);
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
            // SAFETY: the layout has a record for each defined table; the context lives as long as the store. The
            // validator compared the type of the value.
            let table = unsafe { self.add_table(ty, init, Some(instance.context.part::<VmTable>(offset))) }?;
            instance.tables.push(table);
        }
        Ok(())
    }

    fn memory_slot(&self, memory: crate::store::MemoryId) -> VmMemorySlot {
        let memory = self.memories.get(memory.0);
        let vm: *mut VmMemory = Memory::vm(memory);
        // SAFETY: memories live as long as the store.
        VmMemorySlot { base: unsafe { (*vm).base }, memory: vm }
    }

    fn copy_segments(&mut self, instance: &Instance) -> Result<(), InstantiateError> {
        let info = &instance.module.info;
        for (elem, segment) in info.elems.iter() {
            match &segment.kind {
                ElemKind::Active { table, offset } => {
                    let start = u64::from(evaluate(instance, offset)?.as_u32());
                    self.copy_elem(instance, *table, elem, start, segment.len() as u64)?;
                    instance.drop_elem(elem);
                }
                ElemKind::Declared => instance.drop_elem(elem),
                ElemKind::Passive => {}
            }
        }
        for (data, segment) in info.data.iter() {
            if let DataKind::Active { memory, offset } = &segment.kind {
                let start = u64::from(evaluate(instance, offset)?.as_u32());
                self.copy_data(instance, *memory, data, start, segment.bytes.len() as u64)?;
                instance.drop_data(data);
            }
        }
        Ok(())
    }

    fn copy_elem(
        &mut self,
        instance: &Instance,
        table: TableIndex,
        elem: ElemIndex,
        start: u64,
        count: u64,
    ) -> Result<(), InstantiateError> {
        instance.init_table(self, table, elem, start, 0, count).map_err(from_segment)
    }

    fn copy_data(
        &mut self,
        instance: &Instance,
        memory: MemoryIndex,
        data: DataIndex,
        start: u64,
        count: u64,
    ) -> Result<(), InstantiateError> {
        instance.init_memory(self, memory, data, start, 0, count).map_err(from_segment)
    }
}

fn from_segment(error: SegmentError) -> InstantiateError {
    match error {
        SegmentError::Trap(code) => InstantiateError::Trap(code),
        SegmentError::Error(error) => InstantiateError::Error(error),
    }
}
