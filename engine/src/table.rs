//! [`Table`]: a table of a store.

use crate::error::trap_error;
use crate::store::{StoreId, StoreOpaque};
use crate::{AsContext, AsContextMut, Ref, RefType, Result, TableType};
use anyhow::{Context, anyhow, bail};
use wasmo_runtime::TableId;

/// A table of a store. A handle: copying it copies no table, and it lives as long as the store.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, Func, Ref, RefType, Store, Table, TableType};
///
/// let mut store = Store::new(&Engine::default(), ());
/// let table = Table::new(&mut store, TableType::new(RefType::FUNCREF, 2, None), Ref::Func(None))?;
/// let func = Func::wrap(&mut store, || 7_i32);
/// table.set(&mut store, 1, func.into())?;
/// assert!(table.get(&mut store, 0).expect("in bounds").is_null());
/// assert_eq!(table.get(&mut store, 1).expect("in bounds").unwrap_func(), Some(&func));
/// assert!(table.get(&mut store, 2).is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    store: StoreId,
    id: TableId,
}

/// The reference as a table of elements `element` holds it.
fn element_to_raw(store: &mut StoreOpaque, value: Ref, element: RefType) -> Result<u64> {
    let found = value.ref_type();
    if found != element {
        bail!("type mismatch: an element should be {element}, but is {found}");
    }
    value.to_raw(store)
}

impl Table {
    /// A new table whose elements are all `init`.
    ///
    /// # Errors
    /// When the type is not valid, or not that of `init`; when the store's limits, or the system, do not allow it.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Ref) -> Result<Self> {
        let mut context = store.as_context_mut();
        if ty.maximum().is_some_and(|max| max < ty.minimum()) {
            bail!("not a valid type: {ty}");
        }
        let init = element_to_raw(context.opaque(), init, ty.element())?;
        context.0.check_counts(0, 1, 0)?;
        let made = context.enter(|store| store.runtime_mut().new_table(ty.inner, init));
        let id = made
            .map_err(|error| context.0.take_refusal().unwrap_or_else(|| crate::error::runtime_error(error)))
            .with_context(|| format!("cannot create a {ty}"))?;
        context.opaque().counts.tables += 1;
        Ok(Self { store: context.opaque().id(), id })
    }

    pub(crate) fn new_handle(store: StoreId, id: TableId) -> Self {
        Self { store, id }
    }

    pub(crate) fn id(self) -> TableId {
        self.id
    }

    pub(crate) fn store(self) -> StoreId {
        self.store
    }

    /// The type it was made with.
    ///
    /// # Panics
    /// When the table is of another store.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        let opaque = &store.as_context().0.opaque;
        opaque.assert_owns(self.store);
        TableType { inner: opaque.runtime().table_type(self.id) }
    }

    /// The current size in elements.
    ///
    /// # Panics
    /// When the table is of another store.
    pub fn size(&self, store: impl AsContext) -> u64 {
        let opaque = &store.as_context().0.opaque;
        opaque.assert_owns(self.store);
        opaque.runtime().table_len(self.id)
    }

    /// The element at `index`, or `None` when that is outside of the table.
    ///
    /// # Panics
    /// When the table is of another store.
    pub fn get(&self, store: impl AsContextMut, index: u64) -> Option<Ref> {
        let opaque = &store.as_context().0.opaque;
        opaque.assert_owns(self.store);
        let raw = opaque.runtime().table_get(self.id, index)?;
        let element = RefType::from_abi(opaque.runtime().table_type(self.id).element);
        // SAFETY: the table's elements are references of this type and store.
        Some(unsafe { Ref::from_raw(raw, element, opaque) })
    }

    /// Sets the element at `index`.
    ///
    /// # Errors
    /// When `index` is outside of the table, or `value` is not of the elements' type.
    ///
    /// # Panics
    /// When the table is of another store.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Ref) -> Result<()> {
        let element = self.ty(&store).element();
        let mut context = store.as_context_mut();
        let raw = element_to_raw(context.opaque(), value, element)?;
        context.opaque().runtime_mut().table_set(self.id, index, raw).map_err(trap_error)
    }

    /// Adds `delta` elements, all `init`, and answers the old size.
    ///
    /// # Errors
    /// When the table's type, the store's limits, or the system do not allow it; when `init` is not of the elements' type.
    ///
    /// # Panics
    /// When the table is of another store; when the store's limiter has panicked, with that panic.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, init: Ref) -> Result<u64> {
        let element = self.ty(&store).element();
        let mut context = store.as_context_mut();
        let init = element_to_raw(context.opaque(), init, element)?;
        let grown = context.enter(|store| store.runtime_mut().table_grow(self.id, delta, init));
        match grown {
            Some(size) => Ok(size),
            None => {
                Err(context.0.take_refusal().unwrap_or_else(|| anyhow!("failed to grow table by {delta} elements")))
            }
        }
    }

    /// Sets `len` elements from `start` on to `value`.
    ///
    /// # Errors
    /// When not all of them are in the table, which is unchanged then, or `value` is not of the elements' type.
    ///
    /// # Panics
    /// When the table is of another store.
    pub fn fill(&self, mut store: impl AsContextMut, start: u64, value: Ref, len: u64) -> Result<()> {
        let element = self.ty(&store).element();
        let mut context = store.as_context_mut();
        let raw = element_to_raw(context.opaque(), value, element)?;
        context.opaque().runtime_mut().table_fill(self.id, start, raw, len).map_err(trap_error)
    }

    /// Copies `len` elements from `from_start` in `from` to `to_start` in `to`, which may be the same table and overlap.
    ///
    /// # Errors
    /// When not all of them are in the tables, which are unchanged then, or the elements' types differ.
    ///
    /// # Panics
    /// When a table is of another store.
    pub fn copy(
        mut store: impl AsContextMut,
        to: &Self,
        to_start: u64,
        from: &Self,
        from_start: u64,
        len: u64,
    ) -> Result<()> {
        let (to_type, from_type) = (to.ty(&store).element(), from.ty(&store).element());
        if to_type != from_type {
            bail!("type mismatch: cannot copy elements of type {from_type} to a table of {to_type}");
        }
        let mut context = store.as_context_mut();
        let runtime = context.opaque().runtime_mut();
        runtime.table_copy(to.id, from.id, to_start, from_start, len).map_err(trap_error)
    }
}
