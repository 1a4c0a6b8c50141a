//! [`Arena`]: values that live as long as their store, at addresses that do not change.
//!
//! Generated code and other records hold these addresses, so values are reached through raw pointers and never moved or
//! freed alone.

use std::ptr::NonNull;

/// Owns values at stable addresses.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    items: Vec<NonNull<T>>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T> Arena<T> {
    /// Takes a value and answers its address and its number, counted from 0.
    pub(crate) fn push(&mut self, value: T) -> (NonNull<T>, u32) {
        let number = u32::try_from(self.items.len()).expect("a store holds fewer than 2^32 entities of a kind");
        let item = NonNull::from(Box::leak(Box::new(value)));
        self.items.push(item);
        (item, number)
    }

    /// The address of the value with number `number`.
    ///
    /// # Panics
    /// When the arena gave out no such number: it belongs to another store.
    pub(crate) fn get(&self, number: u32) -> NonNull<T> {
        self.items[number as usize]
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

impl<T> Drop for Arena<T> {
    fn drop(&mut self) {
        for item in self.items.drain(..) {
            // SAFETY: `push` made it from a box, and with the store go all who know the address.
            drop(unsafe { Box::from_raw(item.as_ptr()) });
        }
    }
}
