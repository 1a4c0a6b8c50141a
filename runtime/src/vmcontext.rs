//! [`Context`]: the memory of one `VMContext`, and typed access to its parts.
//!
//! Where a part lies is [`VmContextLayout`]'s knowledge; whose layout it is is the owner's: a context is made for a
//! module and only ever used with that module's layout.

use std::alloc::{self, Layout};
use std::ptr::NonNull;
use wasmo_abi::layout::{CONTEXT_ALIGN, VmContextLayout};
use wasmo_abi::vm::VmContext;

use crate::error::Error;

/// Owns the memory of a `VMContext`.
#[derive(Debug)]
pub(crate) struct Context {
    base: NonNull<u8>,
    size: usize,
}

impl Context {
    /// A context with the layout `layout`, all zero.
    pub(crate) fn new(layout: &VmContextLayout) -> Result<Self, Error> {
        let size = layout.size();
        let refused = || Error::Limit(format!("there is no memory for an instance's context of {size} bytes"));
        let allocation = Layout::from_size_align(size, CONTEXT_ALIGN).map_err(|_| refused())?;
        // SAFETY: a context is never empty: it begins with its head.
        let base = NonNull::new(unsafe { alloc::alloc_zeroed(allocation) }).ok_or_else(refused)?;
        Ok(Self { base, size })
    }

    /// The head, which is the context's address.
    pub(crate) fn head(&self) -> NonNull<VmContext> {
        self.base.cast()
    }

    /// The addresses that it has.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        let start = self.base.as_ptr() as usize;
        start..start + self.size
    }

    /// The address of the part at `offset`.
    ///
    /// # Safety
    /// The layout says that a `T` lies there.
    pub(crate) unsafe fn part<T>(&self, offset: usize) -> NonNull<T> {
        debug_assert!(offset + size_of::<T>() <= self.size, "the part lies within the context");
        // SAFETY: the layout's offsets lie within the size it gave.
        unsafe { self.base.add(offset).cast() }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, whose parts were checked there.
        unsafe { alloc::dealloc(self.base.as_ptr(), Layout::from_size_align_unchecked(self.size, CONTEXT_ALIGN)) };
    }
}
