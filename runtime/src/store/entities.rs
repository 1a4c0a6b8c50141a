//! Memories, tables and globals of a store.

use super::{Global, GlobalId, Known, MemoryId, Store, TableId};
use crate::error::Error;
use crate::late::LateId;
use crate::memory::Memory;
use crate::table::Table;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::{GlobalType, Limits, MemoryType, PAGE_SIZE, RefType, TableType, ValType};
use wasmo_abi::vm::{RawValue, VmGlobal};

/// Memories. Every method panics when the number is another store's.
impl Store {
    /// Makes a memory with its initial size, all zero.
    ///
    /// # Errors
    /// When the embedder refuses its size or the system its address space.
    pub fn new_memory(&mut self, ty: MemoryType) -> Result<MemoryId, Error> {
        self.ask_for_memory(ty)?;
        let (place, _) = self.host_memories.push(Memory::new(ty, &self.pool)?);
        Ok(self.link_memory(place, None))
    }

    /// Asks the embedder whether a memory of type `ty` may be made.
    pub(crate) fn ask_for_memory(&mut self, ty: MemoryType) -> Result<(), Error> {
        let size = ty.limits.min.saturating_mul(PAGE_SIZE);
        if self.may_grow_memory(0, size, ty) {
            return Ok(());
        }
        Err(Error::Limit(format!("the limits do not allow a memory of {size} bytes")))
    }

    /// Makes a memory known, whose owner the store, or an instance of it, is.
    pub(crate) fn link_memory(&mut self, mut place: NonNull<Memory>, owner: Option<LateId>) -> MemoryId {
        let list = &self.exec_ref().memories;
        // SAFETY: the memory lives, and nobody else uses it yet.
        unsafe { place.as_mut() }.set_next(list.load(Ordering::Relaxed));
        // Only now may the signal handler find it.
        list.store(place.as_ptr(), Ordering::Release);
        MemoryId(self.shell.memories.insert(Known { place, owner }))
    }

    fn may_grow_memory(&mut self, current: u64, desired: u64, ty: MemoryType) -> bool {
        let max = ty.limits.max.map(|pages| pages.saturating_mul(PAGE_SIZE));
        self.ask(|hooks| hooks.memory_growing(current, desired, max)).unwrap_or(true)
    }

    /// Of a memory that is gone, there is nothing left: see the methods that embedders call.
    fn find_memory(&self, memory: MemoryId) -> Option<&Memory> {
        // SAFETY: memories that the store knows live, and are only borrowed through it.
        self.shell.memories.get(memory.0).map(|known| unsafe { known.place.as_ref() })
    }

    /// # Panics
    /// When the memory is another store's, or gone; likewise below.
    pub(crate) fn memory_ref(&self, memory: MemoryId) -> &Memory {
        self.find_memory(memory).expect("an instance's memories are there")
    }

    pub(crate) fn memory_mut(&mut self, memory: MemoryId) -> &mut Memory {
        let mut place = self.shell.memories.get(memory.0).expect("an instance's memories are there").place;
        // SAFETY: as above, here exclusively. The signal handler reads the reservation's bounds meanwhile, which never
        // change.
        unsafe { place.as_mut() }
    }

    /// The type that a memory was made with; its minimum is the initial size.
    pub fn memory_type(&self, memory: MemoryId) -> MemoryType {
        self.find_memory(memory).map_or(MemoryType { limits: Limits { min: 0, max: Some(0) } }, Memory::ty)
    }

    /// A memory's size in pages.
    pub fn memory_pages(&self, memory: MemoryId) -> u64 {
        self.find_memory(memory).map_or(0, Memory::pages)
    }

    /// The address of a memory's first byte; it never changes.
    pub fn memory_base(&self, memory: MemoryId) -> *mut u8 {
        let Some(memory) = self.find_memory(memory) else { return NonNull::dangling().as_ptr() };
        // Who asks may write.
        memory.touch();
        memory.base()
    }

    /// A memory's size in bytes.
    #[allow(clippy::cast_possible_truncation, reason = "a memory is mapped, so its size is an address's")]
    pub fn memory_len(&self, memory: MemoryId) -> usize {
        self.find_memory(memory).map_or(0, |memory| memory.size() as usize)
    }

    /// Makes a memory `delta` pages larger. Answers its size before, or `None` when its type, the embedder, wasmo or
    /// the system does not allow it.
    pub fn memory_grow(&mut self, memory: MemoryId, delta: u64) -> Option<u64> {
        let place = self.find_memory(memory)?;
        let (pages, current, ty, desired) = (place.pages(), place.size(), place.ty(), place.grown(delta)?);
        if delta > 0 {
            if !self.may_grow_memory(current, desired, ty) {
                return None;
            }
            self.memory_mut(memory).grow_to(desired).ok()?;
        }
        Some(pages)
    }
}

/// Tables. Every method panics when the number is another store's. References are raw values:
/// [`super::FuncHandle::to_raw`], or any number for `externref`; 0 is null. They must be of the table's type and of
/// this store.
impl Store {
    /// Makes a table with its initial size, filled with `init`.
    ///
    /// # Errors
    /// When the embedder refuses its size, it is too large, or there is no memory for it.
    pub fn new_table(&mut self, ty: TableType, init: u64) -> Result<TableId, Error> {
        self.ask_for_table(ty)?;
        // SAFETY: the embedder gives references of its own store; see above.
        let table = unsafe { Table::new(ty, init, None, &self.pool) }?;
        let (place, _) = self.host_tables.push(table);
        Ok(self.link_table(place, None))
    }

    /// Asks the embedder whether a table of type `ty` may be made.
    pub(crate) fn ask_for_table(&mut self, ty: TableType) -> Result<(), Error> {
        let len = ty.limits.min;
        if self.may_grow_table(0, len, ty) {
            return Ok(());
        }
        Err(Error::Limit(format!("the limits do not allow a table of {len} elements")))
    }

    /// Makes a table known, whose owner the store, or an instance of it, is.
    pub(crate) fn link_table(&mut self, place: NonNull<Table>, owner: Option<LateId>) -> TableId {
        TableId(self.shell.tables.insert(Known { place, owner }))
    }

    fn may_grow_table(&mut self, current: u64, desired: u64, ty: TableType) -> bool {
        self.ask(|hooks| hooks.table_growing(current, desired, ty.limits.max)).unwrap_or(true)
    }

    fn table_place(&self, table: TableId) -> Option<NonNull<Table>> {
        self.shell.tables.get(table.0).map(|known| known.place)
    }

    /// As for memories.
    fn find_table(&self, table: TableId) -> Option<&Table> {
        // SAFETY: tables that the store knows live, and are only borrowed through it.
        self.table_place(table).map(|place| unsafe { place.as_ref() })
    }

    /// # Panics
    /// When the table is another store's, or gone; likewise below.
    pub(crate) fn table_ref(&self, table: TableId) -> &Table {
        self.find_table(table).expect("an instance's tables are there")
    }

    pub(crate) fn table_mut(&mut self, table: TableId) -> &mut Table {
        let mut place = self.table_place(table).expect("an instance's tables are there");
        // SAFETY: as above, here exclusively.
        unsafe { place.as_mut() }
    }

    /// The type that a table was made with; its minimum is the initial size.
    pub fn table_type(&self, table: TableId) -> TableType {
        let gone = TableType { element: RefType::Func, limits: Limits { min: 0, max: Some(0) } };
        self.find_table(table).map_or(gone, Table::ty)
    }

    /// The number of elements of a table.
    pub fn table_len(&self, table: TableId) -> u64 {
        self.find_table(table).map_or(0, Table::len)
    }

    /// The reference at `index`, if there is such an element.
    pub fn table_get(&self, table: TableId, index: u64) -> Option<u64> {
        self.find_table(table)?.get(index)
    }

    /// Writes the element at `index`.
    ///
    /// # Errors
    /// [`TrapCode::TableOutOfBounds`] when there is none.
    pub fn table_set(&mut self, table: TableId, index: u64, reference: u64) -> Result<(), TrapCode> {
        self.table_fill(table, index, reference, 1)
    }

    /// Makes a table `delta` elements larger, the new ones being `reference`. Answers the number before, or `None` when
    /// its type, the embedder, wasmo or the system does not allow it.
    pub fn table_grow(&mut self, table: TableId, delta: u64, reference: u64) -> Option<u64> {
        let place = self.find_table(table)?;
        let (len, ty, desired) = (place.len(), place.ty(), place.grown(delta)?);
        if delta > 0 {
            if !self.may_grow_table(len, desired, ty) {
                return None;
            }
            // SAFETY: the embedder gives references of its own store; see above.
            unsafe { self.table_mut(table).grow_to(desired, reference) }?;
        }
        Some(len)
    }

    /// Writes `reference` to `count` elements from `start`.
    ///
    /// # Errors
    /// [`TrapCode::TableOutOfBounds`] when they are not all there; then nothing is written. Likewise below.
    pub fn table_fill(&mut self, table: TableId, start: u64, reference: u64, count: u64) -> Result<(), TrapCode> {
        let mut place = self.table_place(table).ok_or(TrapCode::TableOutOfBounds)?;
        // SAFETY: the table lives, and the store is borrowed exclusively; the embedder gives references of its own store.
        unsafe { place.as_mut().fill(start, reference, count) }
    }

    /// Copies `count` elements of the table `from`, which may be the same and has the same element type, as if through
    /// a buffer.
    pub fn table_copy(
        &mut self,
        to: TableId,
        from: TableId,
        to_start: u64,
        from_start: u64,
        count: u64,
    ) -> Result<(), TrapCode> {
        let (Some(to), Some(from)) = (self.table_place(to), self.table_place(from)) else {
            return Err(TrapCode::TableOutOfBounds);
        };
        // SAFETY: both tables are the store's, which is borrowed exclusively.
        unsafe { Table::copy(to, from, to_start, from_start, count) }
    }
}

/// Globals. Every method panics when the number is another store's.
impl Store {
    /// Makes a global. `value` has the type that `ty` says.
    pub fn new_global(&mut self, ty: GlobalType, value: RawValue) -> GlobalId {
        let (place, _) = self.host_globals.push(VmGlobal(value));
        self.add_global(place, ty, None)
    }

    /// Makes a global whose content lies at `place`, which lives as long as the store.
    pub(crate) fn add_global(&mut self, place: NonNull<VmGlobal>, ty: GlobalType, owner: Option<LateId>) -> GlobalId {
        GlobalId(self.shell.globals.insert(Global { place, ty, owner }))
    }

    /// # Panics
    /// When the global is another store's, or gone.
    pub(crate) fn global_place(&self, global: GlobalId) -> NonNull<VmGlobal> {
        self.shell.globals.get(global.0).expect("an instance's globals are there").place
    }

    /// A global's type.
    pub fn global_type(&self, global: GlobalId) -> GlobalType {
        let gone = GlobalType { content: ValType::I32, mutable: false };
        self.shell.globals.get(global.0).map_or(gone, |global| global.ty)
    }

    /// A global's content.
    pub fn global_get(&self, global: GlobalId) -> RawValue {
        // SAFETY: the place lives as long as the store knows it; no guest runs while the host does.
        self.shell.globals.get(global.0).map_or(RawValue::default(), |global| unsafe { global.place.read().0 })
    }

    /// Sets a global's content. Whether it may change, and to what, is the caller's to know.
    pub fn global_set(&mut self, global: GlobalId, value: RawValue) {
        if let Some(global) = self.shell.globals.get(global.0) {
            // SAFETY: as above.
            unsafe { global.place.write(VmGlobal(value)) };
        }
    }
}
