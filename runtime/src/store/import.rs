//! [`Import`]: what an import stands for at instantiation.

use super::{Extern, FuncHandle};
use wasmo_abi::vm::{VmContext, VmContextKind, VmExecContext, VmHostCallback, VmHostFunc};

/// A function of the host's that belongs to no store: what [`super::Store::new_host_func`] makes a function of.
#[derive(Clone, Copy, Debug)]
pub struct HostImport {
    callback: VmHostCallback<VmHostFunc>,
    data: *mut u8,
}

// SAFETY: the pointer is not followed here, and given to the callback only; whoever instantiates promises that it is good there.
unsafe impl Send for HostImport {}
// SAFETY: as above.
unsafe impl Sync for HostImport {}

impl HostImport {
    /// The function `callback`, which is called with a record that has `data`.
    pub fn new(callback: VmHostCallback<VmHostFunc>, data: *mut u8) -> Self {
        Self { callback, data }
    }

    /// The record that `caller` calls it with.
    pub(crate) fn record(self, exec: *mut VmExecContext, caller: *mut VmContext) -> VmHostFunc {
        let Self { callback, data } = self;
        VmHostFunc { kind: VmContextKind::HostFunc, exec, callback, data, caller }
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
                // SAFETY: records of host functions live as long as the store, which has the function.
                func.host().map(|host| unsafe { HostImport::new(host.as_ref().callback, host.as_ref().data) })
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
