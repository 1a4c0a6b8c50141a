//! [`Import`]: what an import stands for at instantiation.

use super::{Extern, FuncHandle};
use crate::entry;
use std::ptr::{self, NonNull};
use wasmo_abi::vm::{VmContext, VmContextKind, VmExecContext, VmHostCallback, VmHostFunc};

/// A function of the host's that belongs to no store: what [`super::Store::new_host_func`] makes a function of.
#[derive(Clone, Copy, Debug)]
pub struct HostImport {
    callback: VmHostCallback<VmHostFunc>,
    data: *mut u8,
    /// See [`VmHostFunc::direct`].
    direct: *const u8,
    /// The code through which guests call `direct`; 0 when that is null.
    exit: usize,
}

// SAFETY: the pointers are not followed here, and given to the callbacks only; whoever instantiates promises that it is good there.
unsafe impl Send for HostImport {}
// SAFETY: as above.
unsafe impl Sync for HostImport {}

impl HostImport {
    /// The function `callback`, which is called with a record that has `data`.
    pub fn new(callback: VmHostCallback<VmHostFunc>, data: *mut u8) -> Self {
        Self { callback, data, direct: ptr::null(), exit: 0 }
    }

    /// The same, called by guests with its arguments in registers, without a thunk: `direct` is what [`VmHostFunc::direct`] says, `integers` the number of
    /// parameters that are integers or references. When these are too many ([`wasmo_abi::vm::DIRECT_INTEGERS`] less one), `direct` is not used.
    #[must_use]
    pub fn with_direct(self, direct: *const u8, integers: usize) -> Self {
        entry::exit_direct(integers).map_or(self, |exit| Self { direct, exit, ..self })
    }

    /// What a record and the code that calls it were made of.
    ///
    /// # Safety
    /// The record is that of a function of a store that lives, and `code` that function's.
    unsafe fn of_record(record: NonNull<VmHostFunc>, code: *const u8) -> Self {
        // SAFETY: records of host functions live as long as the store and are not written while guests may run.
        let VmHostFunc { callback, data, direct, .. } = unsafe { record.read() };
        Self { callback, data, direct, exit: if direct.is_null() { 0 } else { code as usize } }
    }

    /// The code through which guests call it, when they do so directly.
    pub(crate) fn direct_exit(self) -> Option<usize> {
        (self.exit != 0).then_some(self.exit)
    }

    /// The record that `caller` calls it with.
    pub(crate) fn record(self, exec: *mut VmExecContext, caller: *mut VmContext) -> VmHostFunc {
        let Self { callback, data, direct, .. } = self;
        VmHostFunc { kind: VmContextKind::HostFunc, exec, callback, data, caller, direct }
    }
}

/// What an import stands for.
#[derive(Clone, Copy, Debug)]
pub enum Import {
    /// An item of the store.
    Item(Extern),
    /// A function of the host's, of no store.
    Host(HostImport),
}

impl From<Extern> for Import {
    fn from(item: Extern) -> Self {
        Self::Item(item)
    }
}

impl From<FuncHandle> for Import {
    fn from(func: FuncHandle) -> Self {
        Self::Item(Extern::Func(func))
    }
}

impl Import {
    /// The item, if it is one of the store.
    pub(crate) fn item(&self) -> Option<Extern> {
        match self {
            Self::Item(item) => Some(*item),
            Self::Host(_) => None,
        }
    }

    /// The function, if it is the host's, whether the store has it or not.
    pub(crate) fn host(&self) -> Option<HostImport> {
        match self {
            Self::Host(host) => Some(*host),
            Self::Item(Extern::Func(func)) => {
                // SAFETY: the store has the function.
                func.host().map(|host| unsafe { HostImport::of_record(host, func.record().code) })
            }
            Self::Item(_) => None,
        }
    }

    /// Whether it is a function of the host's.
    pub(crate) fn is_host(&self) -> bool {
        match self {
            Self::Host(_) => true,
            Self::Item(Extern::Func(func)) => func.host().is_some(),
            Self::Item(_) => false,
        }
    }
}
