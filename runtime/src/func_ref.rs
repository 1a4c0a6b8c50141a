//! [`FuncHandle`]: a function of a store, as the host holds it.

use std::ptr::NonNull;
use wasmo_abi::vm::{NULL_TYPE_ID, VmContextKind, VmFuncRef, VmHostFunc};

/// A function of a store, of a guest or of the host. It is good for as long as the store lives, and with that store
/// only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FuncHandle(pub(crate) NonNull<VmFuncRef>);

// SAFETY: a handle is followed only by the store it belongs to (see `from_raw`), on the thread that has the store; the
// record is only written by `Store::set_exit_thunk`, which has the store to itself.
unsafe impl Send for FuncHandle {}
// SAFETY: as above.
unsafe impl Sync for FuncHandle {}

impl FuncHandle {
    /// The function as a `funcref` value: what [`wasmo_abi::vm::RawValue`]s and tables hold. Never 0.
    pub fn to_raw(self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// The function that a `funcref` value means; `None` for null.
    ///
    /// # Safety
    /// The value is null or came from a store that lives, and the handle is used with that store only.
    #[allow(clippy::cast_possible_truncation, reason = "the value was made from an address")]
    pub unsafe fn from_raw(raw: u64) -> Option<Self> {
        NonNull::new(raw as usize as *mut VmFuncRef).map(Self)
    }

    /// The record.
    pub(crate) fn record(self) -> VmFuncRef {
        // SAFETY: the store that the handle belongs to lives (see `from_raw`), and only `Store::set_exit_thunk` writes
        // records that are handed out, which needs the store mutably.
        unsafe { self.0.read() }
    }

    /// The context, if the function is the host's.
    pub(crate) fn host(self) -> Option<NonNull<VmHostFunc>> {
        let context = NonNull::new(self.record().context)?;
        // SAFETY: both kinds of context begin with their kind and live as long as the store.
        let kind = unsafe { context.cast::<VmContextKind>().read() };
        (kind == VmContextKind::HostFunc).then(|| context.cast())
    }
}

/// The table element that means the null reference.
pub(crate) const NULL_ELEMENT: VmFuncRef = VmFuncRef {
    type_id: NULL_TYPE_ID,
    code: std::ptr::null(),
    context: std::ptr::null_mut(),
    func_ref: std::ptr::null(),
};

/// The table element for a `funcref` value.
///
/// # Safety
/// As [`FuncHandle::from_raw`].
pub(crate) unsafe fn element(reference: u64) -> VmFuncRef {
    // SAFETY: as the caller promises.
    unsafe { FuncHandle::from_raw(reference) }.map_or(NULL_ELEMENT, FuncHandle::record)
}
