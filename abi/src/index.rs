//! Typed indices into the index spaces of a module (WebAssembly core specification, 2.5.1), and the vector they index.
//!
//! Indices of imports come first in each space, as in the specification. An index of one space cannot be used for another.

use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// What the typed indices have in common.
pub trait EntityIndex: Copy + Eq {
    /// The index that stands at position `position`.
    ///
    /// # Panics
    /// When `position` does not fit 32 bits; the validator admits no module with that many entities.
    fn from_position(position: usize) -> Self;

    /// The position of this index in its space.
    fn position(self) -> usize;
}

macro_rules! indices {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u32);

        impl EntityIndex for $name {
            fn from_position(position: usize) -> Self {
                Self(u32::try_from(position).expect("an index space holds at most 2^32 entities"))
            }
            fn position(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

indices! {
    /// A type of the module's type section.
    TypeIndex,
    /// A function: imported ones first.
    FuncIndex,
    /// A table: imported ones first.
    TableIndex,
    /// A memory: imported ones first.
    MemoryIndex,
    /// A global: imported ones first.
    GlobalIndex,
    /// An element segment.
    ElemIndex,
    /// A data segment.
    DataIndex,
    /// A slot of the `VMContext`'s array of function references: one for each function that escapes.
    FuncRefIndex,
}

/// A vector indexed by a typed index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IndexVec<K, V> {
    items: Vec<V>,
    #[serde(skip)]
    key: PhantomData<K>,
}

impl<K, V> Default for IndexVec<K, V> {
    fn default() -> Self {
        Self { items: Vec::new(), key: PhantomData }
    }
}

impl<K: EntityIndex, V> IndexVec<K, V> {
    /// An empty vector.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `value` and answers its index.
    pub fn push(&mut self, value: V) -> K {
        let index = K::from_position(self.items.len());
        self.items.push(value);
        index
    }

    /// The value at `index`, if there is one.
    pub fn get(&self, index: K) -> Option<&V> {
        self.items.get(index.position())
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The values with their indices, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (K, &V)> + DoubleEndedIterator {
        self.items.iter().enumerate().map(|(position, value)| (K::from_position(position), value))
    }

    /// The values, in order.
    pub fn values(&self) -> std::slice::Iter<'_, V> {
        self.items.iter()
    }

    /// The values as a slice.
    pub fn as_slice(&self) -> &[V] {
        &self.items
    }
}

impl<K: EntityIndex, V> Index<K> for IndexVec<K, V> {
    type Output = V;

    fn index(&self, index: K) -> &V {
        &self.items[index.position()]
    }
}

impl<K: EntityIndex, V> IndexMut<K> for IndexVec<K, V> {
    fn index_mut(&mut self, index: K) -> &mut V {
        &mut self.items[index.position()]
    }
}

impl<K, V> FromIterator<V> for IndexVec<K, V> {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        Self { items: values.into_iter().collect(), key: PhantomData }
    }
}
