//! Segments: content that is copied into memories and tables, at instantiation or when the guest says so (core
//! specification, 4.6.8 and 4.6.9).
//!
//! A dropped segment is one without content. Bounds are checked before anything is written.

use super::Instance;
use super::const_expr::evaluate;
use crate::error::Error;
use crate::store::Store;
use wasmo_abi::index::{DataIndex, ElemIndex, EntityIndex, MemoryIndex, TableIndex};
use wasmo_abi::module::ElemItems;
use wasmo_abi::trap::TrapCode;

/// Either kind of reason for not copying a segment.
#[derive(Debug)]
pub(crate) enum SegmentError {
    Trap(TrapCode),
    Error(Error),
}

impl Instance {
    /// The content of a data segment, as far as it is not dropped.
    fn data(&self, data: DataIndex) -> Result<&[u8], SegmentError> {
        let missing = || SegmentError::Error(Error::Internal(format!("data segment {} does not exist", data.0)));
        let dropped = self.dropped_data.get(data.position()).ok_or_else(missing)?;
        if dropped.get() {
            return Ok(&[]);
        }
        let segment = self.module.info.data.get(data).ok_or_else(missing)?;
        self.module.bytes.get(segment.bytes.clone()).ok_or_else(missing)
    }

    /// Drops a data segment.
    pub(crate) fn drop_data(&self, data: DataIndex) {
        if let Some(dropped) = self.dropped_data.get(data.position()) {
            dropped.set(true);
        }
    }

    /// Drops an element segment.
    pub(crate) fn drop_elem(&self, elem: ElemIndex) {
        if let Some(dropped) = self.dropped_elems.get(elem.position()) {
            dropped.set(true);
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
        let missing = || Error::Internal(format!("element segment {} does not exist", elem.0));
        let dropped = self.dropped_elems.get(elem.position()).ok_or_else(|| SegmentError::Error(missing()))?.get();
        let segment = self.module.info.elems.get(elem).ok_or_else(|| SegmentError::Error(missing()))?;
        let len = if dropped { 0 } else { segment.len() };
        let range = slice(len, from, count).ok_or(SegmentError::Trap(TrapCode::TableOutOfBounds))?;
        let first = range.start;
        let reference = |position: usize| match &segment.items {
            ElemItems::Funcs(range) => {
                let func = self.module.info.elem_funcs.get(range.start + first + position);
                let func = func.and_then(|func| self.func(func));
                func.map(|func| func.to_raw()).ok_or_else(missing)
            }
            ElemItems::Exprs(exprs) => {
                evaluate(self, exprs.get(first + position).ok_or_else(missing)?).map(|value| value.as_u64())
            }
        };
        let table = store.table_mut(self.table(table));
        // SAFETY: the validator compared the types; the references are of this instance or of what it imports, and so
        // of the store.
        unsafe { table.write(to, count, reference) }.map_err(SegmentError::Error)?.map_err(SegmentError::Trap)
    }
}

/// The range of `count` items from `start`, if there are that many among `len`.
fn slice(len: usize, start: u64, count: u64) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(count).ok()?)?;
    (end <= len).then_some(start..end)
}
