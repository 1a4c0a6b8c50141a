//! Segments: content that is copied into memories and tables, at instantiation or when the guest says so (core
//! specification, 4.6.8 and 4.6.9).
//!
//! A dropped segment is one without content. Bounds are checked before anything is written.

use super::Instance;
use super::const_expr::evaluate;
use crate::error::Error;
use crate::memory::Memory;
use crate::store::Store;
use crate::table::Table;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use wasmo_abi::index::{DataIndex, ElemIndex, EntityIndex, MemoryIndex, TableIndex};
use wasmo_abi::module::{DataKind, ElemItems, ElemKind};
use wasmo_abi::trap::TrapCode;

/// Either kind of reason for not copying a segment.
#[derive(Debug)]
pub(crate) enum SegmentError {
    Trap(TrapCode),
    Error(Error),
}

/// Which segments of a kind are dropped.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// How many of the first segments instantiation has dealt with. Those among them that are not passive are dropped.
    passed: Cell<usize>,
    /// Those that the guest has dropped, a bit for each; shorter than there are segments when the last ones are not.
    by_guest: RefCell<Vec<u64>>,
}

impl Dropped {
    /// Instantiation has dealt with one more segment.
    pub(super) fn pass(&self) {
        self.passed.set(self.passed.get() + 1);
    }

    fn has(&self, position: usize, passive: bool) -> bool {
        let word = self.by_guest.borrow().get(position / 64).copied().unwrap_or(0);
        !passive && position < self.passed.get() || word >> (position % 64) & 1 != 0
    }

    /// `position` is that of a segment of the module.
    fn drop(&self, position: usize) {
        let mut words = self.by_guest.borrow_mut();
        if words.len() <= position / 64 {
            words.resize(position / 64 + 1, 0);
        }
        words[position / 64] |= 1 << (position % 64);
    }

    /// Takes back what the guest has dropped.
    pub(super) fn forget_guest(&mut self) {
        self.by_guest.get_mut().clear();
    }
}

impl Instance {
    /// The content of a data segment, as far as it is not dropped. One that the module does not have is one that an artefact has left out, since its image
    /// stands for it: code was validated.
    fn data(&self, data: DataIndex) -> Result<&[u8], SegmentError> {
        let Some(segment) = self.module().info.data.get(data) else { return Ok(&[]) };
        if self.data.has(data.position(), matches!(segment.kind, DataKind::Passive)) {
            return Ok(&[]);
        }
        self.data_bytes(data)
    }

    /// The content of a data segment, whether it is dropped or not.
    pub(super) fn data_bytes(&self, data: DataIndex) -> Result<&[u8], SegmentError> {
        let missing = || SegmentError::Error(Error::Internal(format!("data segment {} does not exist", data.0)));
        let segment = self.module().info.data.get(data).ok_or_else(missing)?;
        self.module().bytes.get(segment.bytes.clone()).ok_or_else(missing)
    }

    /// Drops a data segment.
    pub(crate) fn drop_data(&self, data: DataIndex) {
        if self.module().info.data.get(data).is_some() {
            self.data.drop(data.position());
        }
    }

    /// Drops an element segment.
    pub(crate) fn drop_elem(&self, elem: ElemIndex) {
        if self.module().info.elems.get(elem).is_some() {
            self.elems.drop(elem.position());
        }
    }

    /// Copies `count` bytes from `from` of a data segment to `to` in a memory of `store`, which is the instance's.
    pub(crate) fn init_memory(
        &self,
        store: &mut Store,
        memory: MemoryIndex,
        data: DataIndex,
        to: u64,
        from: u64,
        count: u64,
    ) -> Result<(), SegmentError> {
        let out_of_bounds = || SegmentError::Trap(TrapCode::MemoryOutOfBounds);
        let content = self.data(data)?;
        let content =
            slice(content.len(), from, count).and_then(|range| content.get(range)).ok_or_else(out_of_bounds)?;
        store.memory_mut(self.memory(memory)).write(to, content).ok_or_else(out_of_bounds)
    }

    /// Copies `count` references from `from` of an element segment to `to` in a table of `store`, which is the
    /// instance's.
    pub(crate) fn init_table(
        &self,
        store: &mut Store,
        table: TableIndex,
        elem: ElemIndex,
        to: u64,
        from: u64,
        count: u64,
    ) -> Result<(), SegmentError> {
        let missing = || SegmentError::Error(no_elem(elem));
        let segment = self.module().info.elems.get(elem).ok_or_else(missing)?;
        let dropped = self.elems.has(elem.position(), matches!(segment.kind, ElemKind::Passive));
        let len = if dropped { 0 } else { segment.len() };
        let range = slice(len, from, count).ok_or(SegmentError::Trap(TrapCode::TableOutOfBounds))?;
        self.write_elems(store.table_mut(self.table(table)), elem, to, range)
    }

    /// Writes the references at `range` of an element segment, dropped or not, to `to` in a table of the instance's store.
    pub(super) fn write_elems(
        &self,
        table: &mut Table,
        elem: ElemIndex,
        to: u64,
        range: Range<usize>,
    ) -> Result<(), SegmentError> {
        let missing = || no_elem(elem);
        let info = &self.module().info;
        let segment = info.elems.get(elem).ok_or_else(|| SegmentError::Error(missing()))?;
        let first = range.start;
        if let (ElemItems::Funcs(funcs), None) = (&segment.items, self.late) {
            return self.write_funcs(table, funcs.start + first..funcs.start + range.end, to);
        }
        let reference = |position: usize| match &segment.items {
            ElemItems::Funcs(range) => {
                let func = info.elem_funcs.get(range.start + first + position);
                let func = func.and_then(|func| self.func(func));
                func.map(|func| func.to_raw()).ok_or_else(missing)
            }
            ElemItems::Exprs(exprs) => {
                evaluate(self, exprs.get(first + position).ok_or_else(missing)?).map(|value| value.as_u64())
            }
        };
        // SAFETY: the validator compared the types; the references are of this instance or of what it imports, and so
        // of the store.
        unsafe { table.write(to, range.len() as u64, reference) }
            .map_err(SegmentError::Error)?
            .map_err(SegmentError::Trap)
    }

    /// Writes the content of a data segment, dropped or not, to `to` in a memory.
    pub(super) fn write_data(&self, memory: &mut Memory, data: DataIndex, to: u64) -> Result<(), SegmentError> {
        memory.write(to, self.data_bytes(data)?).ok_or(SegmentError::Trap(TrapCode::MemoryOutOfBounds))
    }
}

fn no_elem(elem: ElemIndex) -> Error {
    Error::Internal(format!("element segment {} does not exist", elem.0))
}

/// The range of `count` items from `start`, if there are that many among `len`.
fn slice(len: usize, start: u64, count: u64) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(count).ok()?)?;
    (end <= len).then_some(start..end)
}
