//! [`Arena`]: values that live as long as their owner, at addresses that do not change.
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
        self.adopt(Box::new(value))
    }

    /// As [`Arena::push`], for a value that keeps the address that it has.
    pub(crate) fn adopt(&mut self, value: Box<T>) -> (NonNull<T>, u32) {
        let number = number(self.items.len());
        let item = NonNull::from(Box::leak(value));
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

    /// The addresses of all values, in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = NonNull<T>> + '_ {
        self.items.iter().copied()
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes the values out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Box<T>> + '_ {
        // SAFETY: `adopt` made it from a box; with the owner, or by leaving it, go all who know the address.
        self.items.drain(..).map(|item| unsafe { Box::from_raw(item.as_ptr()) })
    }
}

/// The number of what comes after `len` others.
pub(crate) fn number(len: usize) -> u32 {
    u32::try_from(len).expect("a store holds fewer than 2^32 entities of a kind")
}

impl<T> Drop for Arena<T> {
    fn drop(&mut self) {
        self.drain().for_each(drop);
    }
}
