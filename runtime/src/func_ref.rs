//! [`FuncHandle`]: a function of a store, as the host holds it.
//!
//! Functions of late modules may go while the host holds a handle; so such a handle also says which late module it is of, and the store compares
//! before it follows the handle. References that guests hold are addresses of records; those of functions that are gone lead to records that mean null
//! ([`crate::late`]).

use crate::instance::Instance;
use crate::late::LateId;
use std::ptr::NonNull;
use wasmo_abi::vm::{NULL_TYPE_ID, VmContext, VmContextKind, VmFuncRef, VmHostFunc};

/// A function of a store, of a guest or of the host. It is good for as long as the function lives, and with that store
/// only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FuncHandle {
    record: NonNull<VmFuncRef>,
    late: Option<LateId>,
}

// SAFETY: a handle is followed only by the store it belongs to (see `from_raw`), on the thread that has the store; the
// record is only written by `Store::set_exit_thunk`, which has the store to itself.
unsafe impl Send for FuncHandle {}
// SAFETY: as above.
unsafe impl Sync for FuncHandle {}

impl FuncHandle {
    /// A function that lives as long as its store, by its record.
    pub(crate) fn permanent(record: NonNull<VmFuncRef>) -> Self {
        Self { record, late: None }
    }

    /// A function of a late module, by its record.
    pub(crate) fn late(record: NonNull<VmFuncRef>, late: LateId) -> Self {
        Self { record, late: Some(late) }
    }

    /// The late module that the function belongs to.
    pub(crate) fn late_id(self) -> Option<LateId> {
        self.late
    }

    /// The function as a `funcref` value: what [`wasmo_abi::vm::RawValue`]s and tables hold. Never 0. The function lives: see
    /// [`crate::Store::func_to_raw`].
    pub fn to_raw(self) -> u64 {
        self.record.as_ptr() as u64
    }

    /// The function that a `funcref` value means; `None` for null, and for a function that is gone.
    ///
    /// # Safety
    /// The value is null or came from a store that lives, and the handle is used with that store only.
    #[allow(clippy::cast_possible_truncation, reason = "the value was made from an address")]
    pub unsafe fn from_raw(raw: u64) -> Option<Self> {
        let given = NonNull::new(raw as usize as *mut VmFuncRef)?;
        // SAFETY: the value leads to a record, as the caller promises; it may stand for one of another instance, and for none when its function is gone.
        let record = NonNull::new(unsafe { given.as_ref() }.func_ref.cast_mut())?;
        // SAFETY: a record that another leads to lives.
        let context = NonNull::new(unsafe { record.as_ref() }.context)?;
        // SAFETY: both kinds of context begin with their kind and live as long as the functions that have them.
        let late = match unsafe { context.cast::<VmContextKind>().read() } {
            VmContextKind::HostFunc => None,
            // SAFETY: an instance's context leads to its record.
            VmContextKind::Instance => unsafe {
                (*context.cast::<VmContext>().as_ref().instance.cast::<Instance>()).late
            },
        };
        Some(Self { record, late })
    }

    /// Where the record lies, for who changes it or keeps it.
    pub(crate) fn record_place(self) -> NonNull<VmFuncRef> {
        self.record
    }

    /// The record. The function lives: see [`crate::Store::is_live`].
    pub(crate) fn record(self) -> VmFuncRef {
        // SAFETY: the store that the handle belongs to lives (see `from_raw`), and so does the function; only `Store::set_exit_thunk` writes
        // records of live functions that are handed out, which needs the store mutably.
        unsafe { self.record.read() }
    }

    /// Where the record lies. The function lives.
    #[inline]
    pub(crate) fn record_ptr(self) -> *const VmFuncRef {
        self.record.as_ptr()
    }

    /// The context, if the function is the host's. The function lives.
    pub(crate) fn host(self) -> Option<NonNull<VmHostFunc>> {
        let context = NonNull::new(self.record().context)?;
        // SAFETY: both kinds of context begin with their kind and live as long as the functions that have them.
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
