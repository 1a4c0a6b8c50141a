//! [`Table`]: a vector of references (core specification, 4.2.7).
//!
//! The elements of a `funcref` table are copies of [`VmFuncRef`]s, so that an indirect call reads the table and nothing
//! else; their `func_ref` leads back to the record that they were copied from, which is the reference's value. The
//! elements of an `externref` table are the values themselves.
//!
//! Generated code reads base and length from the table's [`VmTable`] and writes elements through it, so this code
//! reaches the elements through the base pointer, too; the vector owns them.
//!
//! A table knows whether the runtime has written to it since it was last [settled](Table::settle). Generated code notes in the execution context
//! that it has written to some table ([`wasmo_abi::vm::VmExecContext::tables_written`]).

use crate::error::Error;
use crate::func_ref;
use crate::pool::{Kind, Pool, Share};
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::{RefType, TableType};
use wasmo_abi::vm::{VmFuncRef, VmTable};

/// The most elements of a table, whatever its type says: 320 MB of functions.
pub(crate) const MAX_ELEMENTS: u64 = 10_000_000;

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    /// What generated code knows: in an instance's context, or a record of its own.
    vm: NonNull<VmTable>,
    /// The record of its own, for tables that no instance defines.
    _own: Option<Box<VmTable>>,
    elements: Elements,
    ty: TableType,
    written: Cell<bool>,
    share: Share,
}

#[derive(Debug)]
enum Elements {
    Func(Vec<VmFuncRef>),
    Extern(Vec<u64>),
}

/// Makes a vector `len` long, if the system has the memory.
fn extend<T: Copy>(elements: &mut Vec<T>, len: usize, value: T) -> Option<*mut u8> {
    elements.try_reserve(len - elements.len()).ok()?;
    elements.resize(len, value);
    Some(elements.as_mut_ptr().cast())
}

impl Table {
    /// A table of type `ty` with its initial size, filled with `init`. `place` is where generated code expects its
    /// record, or `None` for one of its own.
    ///
    /// # Safety
    /// `init` is a reference of the right type, of the store that the table is for. `place` stays valid for as long as
    /// the table.
    pub(crate) unsafe fn new(
        ty: TableType,
        init: u64,
        place: Option<NonNull<VmTable>>,
        pool: &Arc<Pool>,
    ) -> Result<Self, Error> {
        let len = ty.limits.min;
        if len > pool.table_elements() {
            let max = pool.table_elements();
            return Err(Error::Limit(format!("a table of {len} elements is larger than the pool's, which have {max}")));
        }
        let share = Share::take(pool, Kind::Table)?;
        let mut own = None;
        let vm = place
            .unwrap_or_else(|| NonNull::from(&mut **own.insert(Box::new(VmTable { base: ptr::null_mut(), len: 0 }))));
        let elements = match ty.element {
            RefType::Func => Elements::Func(Vec::new()),
            RefType::Extern => Elements::Extern(Vec::new()),
        };
        let mut table = Self { vm, _own: own, elements, ty, written: Cell::new(false), share };
        if len > MAX_ELEMENTS {
            return Err(Error::Limit(format!("a table cannot have {len} elements; the most is {MAX_ELEMENTS}")));
        }
        // SAFETY: as the caller promises.
        unsafe { table.grow_to(len, init) }
            .ok_or_else(|| Error::Limit(format!("there is no memory for a table of {len} elements")))?;
        Ok(table)
    }

    /// The part that generated code knows.
    pub(crate) fn vm(&self) -> *mut VmTable {
        self.vm.as_ptr()
    }

    /// The type it was made with.
    pub(crate) fn ty(&self) -> TableType {
        self.ty
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> u64 {
        // SAFETY: the record lives as long as the table.
        unsafe { (*self.vm.as_ptr()).len }
    }

    /// The number of elements that it would have `delta` larger; `None` when that is too many.
    pub(crate) fn grown(&self, delta: u64) -> Option<u64> {
        let most = MAX_ELEMENTS.min(self.share.pool().table_elements());
        let cap = self.ty.limits.max.map_or(most, |max| max.min(most));
        self.len().checked_add(delta).filter(|&len| len <= cap || delta == 0)
    }

    /// Makes the table `len` long, not shorter than it is; `None` when there is no memory for it.
    ///
    /// # Safety
    /// `reference` has the table's type and belongs to its store.
    pub(crate) unsafe fn grow_to(&mut self, len: u64, reference: u64) -> Option<()> {
        let size = usize::try_from(len).ok()?;
        self.written.set(true);
        let base = match &mut self.elements {
            // SAFETY: as the caller promises.
            Elements::Func(elements) => extend(elements, size, unsafe { func_ref::element(reference) })?,
            Elements::Extern(elements) => extend(elements, size, reference)?,
        };
        // SAFETY: the record lives as long as the table, and nobody else writes to it.
        unsafe { self.vm.write(VmTable { base, len }) };
        Some(())
    }

    /// Takes what the table holds for its initial content.
    pub(crate) fn settle(&mut self) {
        self.written.set(false);
    }

    /// Whether the runtime has written to the table, or made it longer, since it was settled.
    pub(crate) fn is_written(&self) -> bool {
        self.written.get()
    }

    /// Makes the table as it was when it was new; `None` when there is no memory for it.
    ///
    /// # Safety
    /// As [`Table::new`].
    pub(crate) unsafe fn refill(&mut self, init: u64) -> Option<()> {
        let len = self.ty.limits.min;
        let grown = self.len() > len;
        match &mut self.elements {
            // What a table has grown to is not kept.
            Elements::Func(elements) if grown => *elements = Vec::new(),
            Elements::Extern(elements) if grown => *elements = Vec::new(),
            Elements::Func(elements) => elements.clear(),
            Elements::Extern(elements) => elements.clear(),
        }
        // SAFETY: as the caller promises.
        unsafe { self.grow_to(len, init) }
    }

    /// The address of the element at `index`, which exists, as an element of type `T`.
    fn element<T>(&self, index: usize) -> *mut T {
        // SAFETY: the record lives as long as the table; the caller looked at the length.
        unsafe { (*self.vm.as_ptr()).base.cast::<T>().add(index) }
    }

    /// The index as a position, if `count` elements are there.
    fn check(&self, start: u64, count: u64) -> Result<usize, TrapCode> {
        match start.checked_add(count) {
            Some(end) if end <= self.len() => usize::try_from(start).map_err(|_| TrapCode::TableOutOfBounds),
            _ => Err(TrapCode::TableOutOfBounds),
        }
    }

    /// The reference at `index`.
    pub(crate) fn get(&self, index: u64) -> Option<u64> {
        let index = self.check(index, 1).ok()?;
        Some(match &self.elements {
            // SAFETY: the element exists, and generated code writes whole elements only.
            Elements::Func(_) => unsafe { (*self.element::<VmFuncRef>(index)).func_ref as u64 },
            // SAFETY: as above.
            Elements::Extern(_) => unsafe { *self.element::<u64>(index) },
        })
    }

    /// Writes `reference` to `count` elements from `start`.
    ///
    /// # Safety
    /// As [`Table::grow_to`].
    pub(crate) unsafe fn fill(&mut self, start: u64, reference: u64, count: u64) -> Result<(), TrapCode> {
        let start = self.check(start, count)?;
        self.written.set(true);
        // The number fits, since it is at most the length of a vector.
        let count = usize::try_from(count).map_err(|_| TrapCode::TableOutOfBounds)?;
        match &self.elements {
            Elements::Func(_) => {
                // SAFETY: as the caller promises.
                let element = unsafe { func_ref::element(reference) };
                for index in start..start + count {
                    // SAFETY: the element exists.
                    unsafe { self.element::<VmFuncRef>(index).write(element) };
                }
            }
            Elements::Extern(_) => {
                for index in start..start + count {
                    // SAFETY: the element exists.
                    unsafe { self.element::<u64>(index).write(reference) };
                }
            }
        }
        Ok(())
    }

    /// Makes all elements null whose functions have the context at `context`.
    pub(crate) fn remove_functions(&mut self, context: usize) {
        if !matches!(self.elements, Elements::Func(_)) {
            return;
        }
        for index in 0..usize::try_from(self.len()).unwrap_or(0) {
            let element = self.element::<VmFuncRef>(index);
            // SAFETY: the element exists, and generated code writes whole elements only.
            unsafe {
                if (*element).context as usize == context {
                    self.written.set(true);
                    element.write(func_ref::NULL_ELEMENT);
                }
            }
        }
    }

    /// Where the `count` elements from `start` lie, which are functions: for who writes them, with records that are complete, of the table's store.
    pub(crate) fn functions_at(&mut self, start: u64, count: u64) -> Result<NonNull<VmFuncRef>, TrapCode> {
        let start = self.check(start, count)?;
        self.written.set(true);
        match &self.elements {
            Elements::Func(_) => Ok(NonNull::new(self.element(start)).unwrap_or(NonNull::dangling())),
            // The validator has compared the types; nothing can be written then.
            Elements::Extern(_) => Err(TrapCode::TableOutOfBounds),
        }
    }

    /// Copies `count` elements of `from`, which may be the same table, from `from_start` to `to_start`, as if through a
    /// buffer.
    ///
    /// # Safety
    /// Both tables live, belong to one store and have elements of one type; nobody has a reference to either.
    pub(crate) unsafe fn copy(
        to: NonNull<Self>,
        from: NonNull<Self>,
        to_start: u64,
        from_start: u64,
        count: u64,
    ) -> Result<(), TrapCode> {
        // SAFETY: as the caller promises; two shared borrows may be of the same table.
        let (to, from) = unsafe { (to.as_ref(), from.as_ref()) };
        let from_start = from.check(from_start, count)?;
        let to_start = to.check(to_start, count)?;
        to.written.set(true);
        let count = usize::try_from(count).map_err(|_| TrapCode::TableOutOfBounds)?;
        // SAFETY: the elements exist, and `copy` allows for an overlap.
        unsafe {
            match (&to.elements, &from.elements) {
                (Elements::Func(_), Elements::Func(_)) => {
                    ptr::copy(from.element::<VmFuncRef>(from_start), to.element(to_start), count);
                }
                (Elements::Extern(_), Elements::Extern(_)) => {
                    ptr::copy(from.element::<u64>(from_start), to.element(to_start), count);
                }
                // The caller promises that this cannot be; nothing is copied.
                _ => return Err(TrapCode::TableOutOfBounds),
            }
        }
        Ok(())
    }

    /// Writes references from `start` on.
    ///
    /// # Safety
    /// As [`Table::grow_to`], for each of them.
    pub(crate) unsafe fn write(
        &mut self,
        start: u64,
        count: u64,
        mut references: impl FnMut(usize) -> Result<u64, Error>,
    ) -> Result<Result<(), TrapCode>, Error> {
        if let Err(trap) = self.check(start, count) {
            return Ok(Err(trap));
        }
        for position in 0..count {
            let reference = references(usize::try_from(position).unwrap_or(usize::MAX))?;
            // SAFETY: as the caller promises.
            if let Err(trap) = unsafe { self.fill(start + position, reference, 1) } {
                return Ok(Err(trap));
            }
        }
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmo_abi::types::Limits;

    fn table(min: u64, max: Option<u64>) -> Table {
        let ty = TableType { element: RefType::Extern, limits: Limits { min, max } };
        // SAFETY: any number is an externref.
        unsafe { Table::new(ty, 5, None, &Pool::new(None)) }.unwrap()
    }

    #[test]
    fn elements_are_bounded_by_the_length() {
        let mut table = table(3, None);
        assert_eq!((table.get(0), table.get(2), table.get(3), table.get(u64::MAX)), (Some(5), Some(5), None, None));
        // SAFETY: any number is an externref.
        unsafe {
            assert_eq!(table.fill(1, 9, 2), Ok(()));
            assert_eq!(table.fill(1, 8, 3), Err(TrapCode::TableOutOfBounds));
            assert_eq!(table.fill(u64::MAX, 8, 2), Err(TrapCode::TableOutOfBounds));
            assert_eq!(table.fill(3, 8, 0), Ok(()));
            assert_eq!(table.fill(4, 8, 0), Err(TrapCode::TableOutOfBounds));
        }
        assert_eq!((table.get(0), table.get(1), table.get(2)), (Some(5), Some(9), Some(9)));
    }

    #[test]
    fn growth_is_capped() {
        let mut limited = table(1, Some(4));
        assert_eq!((limited.grown(3), limited.grown(4), limited.grown(u64::MAX)), (Some(4), None, None));
        // SAFETY: any number is an externref.
        unsafe { limited.grow_to(4, 6) }.unwrap();
        assert_eq!((limited.len(), limited.get(0), limited.get(3)), (4, Some(5), Some(6)));
        assert_eq!(table(0, None).grown(MAX_ELEMENTS + 1), None);
        let ty = TableType { element: RefType::Func, limits: Limits { min: u64::from(u32::MAX), max: None } };
        // SAFETY: null is a reference.
        assert!(matches!(unsafe { Table::new(ty, 0, None, &Pool::new(None)) }, Err(Error::Limit(_))));
    }

    #[test]
    fn copies_may_overlap() {
        let mut table = table(5, None);
        for index in 0..5 {
            // SAFETY: any number is an externref.
            unsafe { table.fill(index, index, 1) }.unwrap();
        }
        let address = NonNull::from(&mut table);
        // SAFETY: the table lives, and the mutable borrow is over.
        unsafe { Table::copy(address, address, 1, 0, 4) }.unwrap();
        assert_eq!((0..5).filter_map(|index| table.get(index)).collect::<Vec<_>>(), [0, 0, 1, 2, 3]);
        let address = NonNull::from(&mut table);
        // SAFETY: as above.
        assert!(unsafe { Table::copy(address, address, 2, 0, 4) }.is_err());
    }
}
