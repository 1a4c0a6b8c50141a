//! Instances that can go before their store does: those of late modules.
//!
//! Everything else in a store lives as long as the store, so generated code and records hold plain addresses. What may hold an address of such an
//! instance is therefore bounded, and dealt with when it goes ([`remove`]):
//!
//! * frames of its code: it stays while there is one ([`frames`]);
//! * other instances that import from it: it stays while one lives. It imports functions as addresses of code and context, without records of its own, so that
//!   host functions that it calls see its host instance as their caller;
//! * elements of tables, globals: they become null;
//! * references in locals and operands of frames that go on: they lead to records in its context, which from then on mean null, and whose memory is kept
//!   ([`quarantine`]) until no stack holds an address in it;
//! * handles of the host: those of functions say which late module they are of ([`LateId`]), those of memories, tables and globals are keys that are never used
//!   again, and the store compares.

mod frames;
mod quarantine;
mod remove;

pub use remove::RemoveError;

use crate::instance::Instance;
use crate::slots::{Key, Slots};
use crate::store::{Extern, InstanceId, Store};
use crate::table::Table;
use quarantine::Quarantine;
use std::ptr::NonNull;
use wasmo_abi::vm::VmGlobal;

/// The instance of a late module, for as long as it lives. No other ever has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LateId(pub(crate) Key);

/// Set in the numbers of late modules' instances; the rest is their place.
const LATE: u32 = 1 << 31;

impl InstanceId {
    fn of_late(late: LateId) -> Self {
        Self(LATE | late.0.index())
    }

    /// The place among the late modules' instances, if it is one.
    fn late_place(self) -> Option<u32> {
        (self.0 & LATE != 0).then_some(self.0 & !LATE)
    }
}

/// An instance, and how many live ones import from it.
#[derive(Debug)]
struct Resident {
    /// From a box.
    instance: NonNull<Instance>,
    importers: usize,
}

/// A store's instances of late modules.
#[derive(Debug, Default)]
pub(crate) struct Late {
    residents: Slots<Resident>,
    quarantine: Quarantine,
}

impl Late {
    /// Takes an instance; answers its place in memory.
    pub(crate) fn insert(&mut self, instance: Instance) -> NonNull<Instance> {
        let mut place = NonNull::from(Box::leak(Box::new(instance)));
        let late = LateId(self.residents.insert(Resident { instance: place, importers: 0 }));
        // SAFETY: nobody else knows the instance yet.
        let instance = unsafe { place.as_mut() };
        (instance.late, instance.id) = (Some(late), InstanceId::of_late(late));
        place
    }

    /// The instance with this number, if it is one of these.
    pub(crate) fn instance(&self, id: InstanceId) -> Option<NonNull<Instance>> {
        Some(self.residents.at(id.late_place()?)?.instance)
    }

    /// Whether the late module's instance is there.
    pub(crate) fn has(&self, late: LateId) -> bool {
        self.residents.get(late.0).is_some()
    }

    /// One more live instance imports from these.
    pub(crate) fn pin(&mut self, exporters: &[LateId]) {
        for exporter in exporters {
            if let Some(resident) = self.residents.get_mut(exporter.0) {
                resident.importers += 1;
            }
        }
    }

    /// One that did is gone.
    fn unpin(&mut self, exporters: &[LateId]) {
        for exporter in exporters {
            if let Some(resident) = self.residents.get_mut(exporter.0) {
                resident.importers -= 1;
            }
        }
    }

    /// The store is going.
    pub(crate) fn clear(&mut self) {
        for resident in self.residents.drain() {
            // SAFETY: `insert` made it from a box; with the store go all who know the address.
            drop(unsafe { Box::from_raw(resident.instance.as_ptr()) });
        }
        self.quarantine = Quarantine::default();
    }
}

impl Store {
    /// Whether the function that a handle of this store means is there.
    #[inline]
    pub fn is_live(&self, func: crate::FuncHandle) -> bool {
        func.late_id().is_none_or(|late| self.late.has(late))
    }

    /// Whether an item of this store is there.
    pub fn has(&self, item: Extern) -> bool {
        match item {
            Extern::Func(func) => self.is_live(func),
            Extern::Memory(memory) => self.shell.memories.get(memory.0).is_some(),
            Extern::Table(table) => self.shell.tables.get(table.0).is_some(),
            Extern::Global(global) => self.shell.globals.get(global.0).is_some(),
        }
    }

    /// The late module that an item is of.
    pub(crate) fn exporter(&self, item: Extern) -> Option<LateId> {
        match item {
            Extern::Func(func) => func.late_id(),
            Extern::Memory(memory) => self.shell.memories.get(memory.0)?.owner,
            Extern::Table(table) => self.shell.tables.get(table.0)?.owner,
            Extern::Global(global) => self.shell.globals.get(global.0)?.owner,
        }
    }

    /// The late module that an instance is of.
    pub fn late_id(&self, instance: InstanceId) -> Option<LateId> {
        // SAFETY: instances live as long as the store has them.
        self.late.instance(instance).and_then(|instance| unsafe { instance.as_ref() }.late)
    }

    /// The number of late modules' instances, and of contexts that are kept because somebody may still refer to them.
    pub fn late_counts(&self) -> (usize, usize) {
        (self.late.residents.len(), self.late.quarantine.len())
    }
}

/// What is of an instance that goes.
#[derive(Clone, Copy, Debug)]
struct Gone {
    /// Its context: first address, and the one past the last.
    start: usize,
    end: usize,
}

impl Gone {
    fn has(self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// Makes references to its functions null. Elements of tables are copies of records, and name the context.
    fn leave_table(self, mut table: NonNull<Table>) {
        // SAFETY: tables of a store live; nobody uses it meanwhile.
        unsafe { table.as_mut() }.remove_functions(self.start);
    }

    /// Likewise.
    fn leave_global(self, place: NonNull<VmGlobal>) {
        // SAFETY: globals of a store live, and no guest runs while the host does. The caller has looked at the type, so it is a reference.
        unsafe {
            let value = place.read().0;
            if usize::try_from(value.as_u64()).is_ok_and(|address| self.has(address)) {
                place.write(VmGlobal(wasmo_abi::vm::RawValue::from_u64(0)));
            }
        }
    }
}
