//! Removing the instance of a late module.

use super::{Gone, LateId, frames};
use crate::error::Error;
use crate::instance::Instance;
use crate::store::Store;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use wasmo_abi::types::{RefType, ValType};

/// Why an instance stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveError {
    /// It is gone already, or never was there.
    Unknown,
    /// Its code is under way: on the guest's stack is a frame of it.
    Running,
    /// Other instances import from it: so many.
    Imported(usize),
}

impl fmt::Display for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such late module"),
            Self::Running => f.write_str("its code is running, or waits for a call to return"),
            Self::Imported(1) => f.write_str("another instance imports from it"),
            Self::Imported(count) => write!(f, "{count} other instances import from it"),
        }
    }
}

impl std::error::Error for RemoveError {}

impl From<RemoveError> for Error {
    fn from(error: RemoveError) -> Self {
        Self::Limit(error.to_string())
    }
}

impl Store {
    /// Removes the instance of a late module, with all memories, tables and globals that it defines. References to its functions are null from then on, wherever they are.
    ///
    /// # Errors
    /// When it must stay; then nothing happens.
    pub fn remove_late(&mut self, late: LateId) -> Result<(), RemoveError> {
        let resident = self.late.residents.get(late.0).ok_or(RemoveError::Unknown)?;
        if resident.importers > 0 {
            return Err(RemoveError::Imported(resident.importers));
        }
        let place = resident.instance;
        // SAFETY: the instance lives; it is shared until it is taken out below.
        let instance = unsafe { place.as_ref() };
        let ranges = instance.module().code_ranges();
        // SAFETY: the host runs.
        if unsafe { frames::running(self.exec_ref(), &ranges) } {
            return Err(RemoveError::Running);
        }
        let Range { start, end } = instance.context_range();
        self.forget_references(Gone { start, end });
        self.forget_entities(instance);
        self.late.residents.remove(late.0);
        // SAFETY: `Late::insert` made it from a box, and whoever knew the address has just forgotten it.
        let instance = *unsafe { Box::from_raw(place.as_ptr()) };
        self.late.unpin(&instance.exporters);
        self.exec_ref().users.leave(instance.module());
        let context = instance.into_context();
        let exec = self.exec;
        // SAFETY: the context lives as long as the store; the records in `context` were made null.
        unsafe { self.late.quarantine.take(exec.as_ref(), context) };
        Ok(())
    }

    /// Makes references in tables and globals null.
    fn forget_references(&mut self, gone: Gone) {
        for table in self.shell.tables.iter() {
            gone.leave_table(table.place);
        }
        for global in self.shell.globals.iter() {
            if global.ty.content == ValType::Ref(RefType::Func) {
                gone.leave_global(global.place);
            }
        }
    }

    /// Takes what the instance defines out of the store's lists.
    fn forget_entities(&mut self, instance: &Instance) {
        let own = instance.own_entities();
        for &memory in own.memories {
            if let Some(known) = self.shell.memories.remove(memory.0) {
                self.unlink_memory(known.place);
            }
        }
        for &table in own.tables {
            self.shell.tables.remove(table.0);
        }
        for &global in own.globals {
            self.shell.globals.remove(global.0);
        }
    }

    /// Takes a memory out of the list that the signal handler walks. That runs on this thread, and only while the guest does.
    fn unlink_memory(&mut self, memory: NonNull<crate::memory::Memory>) {
        let list = &self.exec_ref().memories;
        let mut next = list.load(Ordering::Relaxed);
        // SAFETY: memories in the list live; nobody else looks at it now.
        unsafe {
            if next == memory.as_ptr() {
                list.store(memory.as_ref().next().cast_mut(), Ordering::Release);
                return;
            }
            while let Some(mut before) = NonNull::new(next) {
                next = before.as_ref().next().cast_mut();
                if next == memory.as_ptr() {
                    before.as_mut().set_next(memory.as_ref().next().cast_mut());
                    return;
                }
            }
        }
    }
}
