//! [`Slots`]: values that come and go, under keys that never mean another value.

use std::num::NonZeroU32;

/// Names a value of one [`Slots`]. The place of a value that is gone is used again, under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: NonZeroU32,
}

impl Key {
    /// The place of the value: of two values that are there at the same time, only one has it.
    pub(crate) fn index(self) -> u32 {
        self.index
    }
}

/// Owns values under [`Key`]s.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    /// Of the value that is there, or of the next one.
    generation: NonZeroU32,
    value: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Takes a value.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.value = Some(value);
            return Key { index, generation: slot.generation };
        }
        let index = crate::arena::number(self.slots.len());
        self.slots.push(Slot { generation: NonZeroU32::MIN, value: Some(value) });
        Key { index, generation: NonZeroU32::MIN }
    }

    /// The value that `key` names, unless it is gone.
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    /// As [`Slots::get`].
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// The value that is at the place `index`.
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value.as_ref()
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        // A place whose generations are used up stays empty.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(key.index);
        }
        Some(value)
    }

    /// The values, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    /// Takes all values out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.free.clear();
        self.slots.drain(..).filter_map(|slot| slot.value)
    }

    /// Forgets all values.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.free.clear();
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_means_another_value() {
        let mut slots = Slots::default();
        let (a, b) = (slots.insert('a'), slots.insert('b'));
        assert_eq!((slots.remove(a), slots.remove(a), slots.get(a)), (Some('a'), None, None));
        let c = slots.insert('c');
        assert_eq!((c.index(), c == a), (a.index(), false));
        assert_eq!((slots.get(a), slots.get(b), slots.get(c)), (None, Some(&'b'), Some(&'c')));
        assert_eq!((slots.len(), slots.iter().collect::<String>()), (2, "cb".into()));
    }

    #[test]
    fn a_place_is_given_up_with_its_last_generation() {
        let mut slots = Slots::default();
        slots.insert(0);
        slots.slots[0].generation = NonZeroU32::MAX;
        let last = Key { index: 0, generation: NonZeroU32::MAX };
        assert_eq!(slots.remove(last), Some(0));
        assert_eq!(slots.insert(1).index(), 1);
        assert_eq!(slots.get(last), None);
    }
}
