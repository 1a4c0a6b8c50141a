//! Memories, tables and globals of a store.

use super::{Global, GlobalId, MemoryId, Store, TableId};
use crate::arena::number;
use crate::error::Error;
use crate::memory::Memory;
use crate::table::Table;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::{GlobalType, MemoryType, PAGE_SIZE, TableType};
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
        Ok(self.link_memory(place))
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
    pub(crate) fn link_memory(&mut self, mut place: NonNull<Memory>) -> MemoryId {
        let list = &self.exec_ref().memories;
        // SAFETY: the memory lives, and nobody else uses it yet.
        unsafe { place.as_mut() }.set_next(list.load(Ordering::Relaxed));
        // Only now may the signal handler find it.
        list.store(place.as_ptr(), Ordering::Release);
        self.shell.memories.push(place);
        MemoryId(number(self.shell.memories.len() - 1))
    }

    fn may_grow_memory(&mut self, current: u64, desired: u64, ty: MemoryType) -> bool {
        let max = ty.limits.max.map(|pages| pages.saturating_mul(PAGE_SIZE));
        self.ask(|hooks| hooks.memory_growing(current, desired, max)).unwrap_or(true)
    }

    pub(crate) fn memory_ref(&self, memory: MemoryId) -> &Memory {
        // SAFETY: memories live as long as the store, and are only borrowed through it.
        unsafe { self.shell.memories[memory.0 as usize].as_ref() }
    }

    pub(crate) fn memory_mut(&mut self, memory: MemoryId) -> &mut Memory {
        // SAFETY: as above, here exclusively. The signal handler reads the reservation's bounds meanwhile, which never
        // change.
        unsafe { self.shell.memories[memory.0 as usize].as_mut() }
    }

    /// The type that a memory was made with; its minimum is the initial size.
    pub fn memory_type(&self, memory: MemoryId) -> MemoryType {
        self.memory_ref(memory).ty()
    }

    /// A memory's size in pages.
    pub fn memory_pages(&self, memory: MemoryId) -> u64 {
        self.memory_ref(memory).pages()
    }

    /// The address of a memory's first byte; it never changes.
    pub fn memory_base(&self, memory: MemoryId) -> *mut u8 {
        let memory = self.memory_ref(memory);
        // Who asks may write.
        memory.touch();
        memory.base()
    }

    /// A memory's size in bytes.
    #[allow(clippy::cast_possible_truncation, reason = "a memory is mapped, so its size is an address's")]
    pub fn memory_len(&self, memory: MemoryId) -> usize {
        self.memory_ref(memory).size() as usize
    }

    /// Makes a memory `delta` pages larger. Answers its size before, or `None` when its type, the embedder, wasmo or
    /// the system does not allow it.
    pub fn memory_grow(&mut self, memory: MemoryId, delta: u64) -> Option<u64> {
        let place = self.memory_ref(memory);
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
        Ok(self.link_table(place))
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
    pub(crate) fn link_table(&mut self, place: NonNull<Table>) -> TableId {
        self.shell.tables.push(place);
        TableId(number(self.shell.tables.len() - 1))
    }

    fn may_grow_table(&mut self, current: u64, desired: u64, ty: TableType) -> bool {
        self.ask(|hooks| hooks.table_growing(current, desired, ty.limits.max)).unwrap_or(true)
    }

    pub(crate) fn table_ref(&self, table: TableId) -> &Table {
        // SAFETY: tables live as long as the store, and are only borrowed through it.
        unsafe { self.shell.tables[table.0 as usize].as_ref() }
    }

    pub(crate) fn table_mut(&mut self, table: TableId) -> &mut Table {
        // SAFETY: as above, here exclusively.
        unsafe { self.shell.tables[table.0 as usize].as_mut() }
    }

    /// The type that a table was made with; its minimum is the initial size.
    pub fn table_type(&self, table: TableId) -> TableType {
        self.table_ref(table).ty()
    }

    /// The number of elements of a table.
    pub fn table_len(&self, table: TableId) -> u64 {
        self.table_ref(table).len()
    }

    /// The reference at `index`, if there is such an element.
    pub fn table_get(&self, table: TableId, index: u64) -> Option<u64> {
        self.table_ref(table).get(index)
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
        let place = self.table_ref(table);
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
        // SAFETY: the embedder gives references of its own store; see above.
        unsafe { self.table_mut(table).fill(start, reference, count) }
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
        // SAFETY: both tables are the store's, which is borrowed exclusively.
        unsafe {
            Table::copy(
                self.shell.tables[to.0 as usize],
                self.shell.tables[from.0 as usize],
                to_start,
                from_start,
                count,
            )
        }
    }
}

/// Globals. Every method panics when the number is another store's.
impl Store {
    /// Makes a global. `value` has the type that `ty` says.
    pub fn new_global(&mut self, ty: GlobalType, value: RawValue) -> GlobalId {
        let (place, _) = self.host_globals.push(VmGlobal(value));
        self.add_global(place, ty)
    }

    /// Makes a global whose content lies at `place`, which lives as long as the store.
    pub(crate) fn add_global(&mut self, place: NonNull<VmGlobal>, ty: GlobalType) -> GlobalId {
        self.shell.globals.push(Global { place, ty });
        GlobalId(number(self.shell.globals.len() - 1))
    }

    pub(crate) fn global_place(&self, global: GlobalId) -> NonNull<VmGlobal> {
        self.shell.globals[global.0 as usize].place
    }

    /// A global's type.
    pub fn global_type(&self, global: GlobalId) -> GlobalType {
        self.shell.globals[global.0 as usize].ty
    }

    /// A global's content.
    pub fn global_get(&self, global: GlobalId) -> RawValue {
        // SAFETY: the place lives as long as the store; no guest runs while the host does.
        unsafe { self.global_place(global).read().0 }
    }

    /// Sets a global's content. Whether it may change, and to what, is the caller's to know.
    pub fn global_set(&mut self, global: GlobalId, value: RawValue) {
        // SAFETY: as above.
        unsafe { self.global_place(global).write(VmGlobal(value)) };
    }
}
