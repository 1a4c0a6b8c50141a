//! [`FdTable`]: the guest's descriptors by number.
//!
//! A new descriptor gets the lowest number that is free, as on Unix. Every entry but the standard
//! streams holds a host descriptor, so the host's limit on open files bounds the table.

use crate::descriptor::{Descriptor, OpenDir};
use crate::errno::Errno;
use crate::types::Rights;

/// The guest's descriptors.
#[derive(Default)]
pub(crate) struct FdTable {
    slots: Vec<Option<Descriptor>>,
}

impl FdTable {
    /// Adds a descriptor and returns its number.
    pub(crate) fn insert(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        let free = self.slots.iter_mut().enumerate().find(|(_, slot)| slot.is_none());
        let index = match free {
            Some((index, slot)) => {
                *slot = Some(descriptor);
                index
            }
            None => {
                self.slots.push(Some(descriptor));
                self.slots.len() - 1
            }
        };
        u32::try_from(index).map_err(|_| Errno::Mfile)
    }

    /// The descriptor with this number.
    pub(crate) fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        usize::try_from(fd).ok().and_then(|index| self.slots.get(index)).and_then(Option::as_ref).ok_or(Errno::Badf)
    }

    /// The descriptor with this number, to be changed.
    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.slot(fd)?.as_mut().ok_or(Errno::Badf)
    }

    /// The directory with this number, if it has all of `rights`.
    pub(crate) fn dir(&self, fd: u32, rights: Rights) -> Result<&OpenDir, Errno> {
        let descriptor = self.get(fd)?;
        let dir = descriptor.as_dir()?;
        descriptor.require(rights)?;
        Ok(dir)
    }

    /// Removes the descriptor with this number.
    pub(crate) fn remove(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        self.slot(fd)?.take().ok_or(Errno::Badf)
    }

    /// Moves the descriptor `from` to the number `to`, whose descriptor is closed. Both must be open.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(to)?;
        let moved = self.remove(from)?;
        *self.slot(to)? = Some(moved);
        Ok(())
    }

    fn slot(&mut self, fd: u32) -> Result<&mut Option<Descriptor>, Errno> {
        usize::try_from(fd).ok().and_then(|index| self.slots.get_mut(index)).ok_or(Errno::Badf)
    }
}

impl FromIterator<Descriptor> for FdTable {
    fn from_iter<I: IntoIterator<Item = Descriptor>>(descriptors: I) -> Self {
        Self { slots: descriptors.into_iter().map(Some).collect() }
    }
}
