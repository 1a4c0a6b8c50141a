//! [`Memory`]: a linear memory of a store.

use crate::error::runtime_error;
use crate::store::StoreId;
use crate::{AsContext, AsContextMut, MemoryType, Result, StoreContextMut};
use anyhow::{Context, anyhow, bail};
use std::fmt;
use wasmo_abi::types::PAGE_SIZE;
use wasmo_runtime::MemoryId;

/// A linear memory of a store. A handle: copying it copies no memory, and it lives as long as the store.
///
/// A memory never moves, but guests change and grow it, so slices of it borrow the store.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, Memory, MemoryType, Store};
///
/// let mut store = Store::new(&Engine::default(), ());
/// let memory = Memory::new(&mut store, MemoryType::new(1, Some(2)))?;
/// memory.write(&mut store, 65_530, b"abcdef")?;
/// assert!(memory.write(&mut store, 65_531, b"abcdef").is_err());
/// assert_eq!(memory.grow(&mut store, 1)?, 1);
/// assert_eq!(memory.data(&store)[65_530..65_537], *b"abcdef\0");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    store: StoreId,
    id: MemoryId,
}

/// An access outside of a memory by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryAccessError;

impl fmt::Display for MemoryAccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of bounds memory access")
    }
}

impl std::error::Error for MemoryAccessError {}

impl Memory {
    /// A new memory, filled with zeros.
    ///
    /// # Errors
    /// When the type is not valid; when the store's limits, or the system, do not allow it.
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Self> {
        let mut context = store.as_context_mut();
        let limits = ty.inner.limits;
        let pages = u64::from(u32::MAX) / PAGE_SIZE + 1;
        if limits.min > pages || limits.max.is_some_and(|max| max > pages || max < limits.min) {
            bail!("not a valid type: {ty}");
        }
        context.0.check_counts(0, 0, 1)?;
        let made = context.enter(|store| store.runtime_mut().new_memory(ty.inner));
        let id = made
            .map_err(|error| context.0.take_refusal().unwrap_or_else(|| runtime_error(error)))
            .with_context(|| format!("cannot create a {ty}"))?;
        context.opaque().counts.memories += 1;
        Ok(Self { store: context.opaque().id(), id })
    }

    pub(crate) fn new_handle(store: StoreId, id: MemoryId) -> Self {
        Self { store, id }
    }

    pub(crate) fn id(self) -> MemoryId {
        self.id
    }

    pub(crate) fn store(self) -> StoreId {
        self.store
    }

    /// The type it was made with.
    ///
    /// # Panics
    /// When the memory is of another store.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        let opaque = &store.as_context().0.opaque;
        opaque.assert_owns(self.store);
        MemoryType { inner: opaque.runtime().memory_type(self.id) }
    }

    /// The current size in pages of 64 KiB.
    ///
    /// # Panics
    /// When the memory is of another store.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.data_size(store) as u64 / PAGE_SIZE
    }

    /// The current size in bytes.
    ///
    /// # Panics
    /// When the memory is of another store.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        let opaque = &store.as_context().0.opaque;
        opaque.assert_owns(self.store);
        opaque.runtime().memory_len(self.id)
    }

    /// The size of a page in bytes.
    pub fn page_size(&self, _store: impl AsContext) -> u64 {
        PAGE_SIZE
    }

    /// Grows the memory by `delta` pages and answers its old size in pages.
    ///
    /// # Errors
    /// When its type, the store's limits, or the system do not allow it.
    ///
    /// # Panics
    /// When the memory is of another store; when the store's limiter has panicked, with that panic.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64> {
        let mut context = store.as_context_mut();
        context.opaque().assert_owns(self.store);
        let grown = context.enter(|store| store.runtime_mut().memory_grow(self.id, delta));
        match grown {
            Some(size) => Ok(size),
            None => Err(context.0.take_refusal().unwrap_or_else(|| anyhow!("failed to grow memory by {delta} pages"))),
        }
    }

    /// Copies the bytes from `offset` to `buffer`.
    ///
    /// # Errors
    /// When not all of them are in the memory; `buffer` is unchanged then.
    ///
    /// # Panics
    /// When the memory is of another store.
    pub fn read(&self, store: impl AsContext, offset: usize, buffer: &mut [u8]) -> Result<(), MemoryAccessError> {
        let context = store.as_context();
        let end = offset.checked_add(buffer.len()).ok_or(MemoryAccessError)?;
        buffer.copy_from_slice(self.data(context).get(offset..end).ok_or(MemoryAccessError)?);
        Ok(())
    }

    /// Copies `buffer` to `offset`.
    ///
    /// # Errors
    /// When it does not fit the memory; that is unchanged then.
    ///
    /// # Panics
    /// When the memory is of another store.
    pub fn write(&self, mut store: impl AsContextMut, offset: usize, buffer: &[u8]) -> Result<(), MemoryAccessError> {
        let mut context = store.as_context_mut();
        let end = offset.checked_add(buffer.len()).ok_or(MemoryAccessError)?;
        self.data_mut(&mut context).get_mut(offset..end).ok_or(MemoryAccessError)?.copy_from_slice(buffer);
        Ok(())
    }

    /// The bytes.
    ///
    /// # Panics
    /// When the memory is of another store.
    pub fn data<'a, T: 'static>(&self, store: impl Into<crate::StoreContext<'a, T>>) -> &'a [u8] {
        let opaque = &store.into().0.opaque;
        opaque.assert_owns(self.store);
        let runtime = opaque.runtime();
        // SAFETY: that many bytes are mapped at the base as long as the store lives, and nobody changes them while the store is borrowed: guests and
        // host functions need it mutably.
        unsafe { std::slice::from_raw_parts(runtime.memory_base(self.id), runtime.memory_len(self.id)) }
    }

    /// The bytes, to be changed.
    ///
    /// # Panics
    /// When the memory is of another store.
    pub fn data_mut<'a, T: 'static>(&self, store: impl Into<StoreContextMut<'a, T>>) -> &'a mut [u8] {
        self.data_and_store_mut(store).0
    }

    /// The bytes and the store's data, to be changed together.
    ///
    /// # Panics
    /// When the memory is of another store.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let inner = store.into().0;
        inner.opaque.assert_owns(self.store);
        let runtime = inner.opaque.runtime();
        // SAFETY: that many bytes are mapped at the base as long as the store lives; the store is borrowed mutably for `'a`, so nobody else reads or
        // changes them. They lie apart from the store's data.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(runtime.memory_base(self.id), runtime.memory_len(self.id)) };
        (bytes, inner.data_mut())
    }

    /// The address of the first byte. It never changes.
    ///
    /// # Panics
    /// When the memory is of another store.
    pub fn data_ptr(&self, store: impl AsContext) -> *mut u8 {
        let opaque = &store.as_context().0.opaque;
        opaque.assert_owns(self.store);
        opaque.runtime().memory_base(self.id)
    }
}
