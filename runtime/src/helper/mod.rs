//! The helpers that generated code calls ([`wasmo_abi::builtin`]).
//!
//! All but the leaf ones are called through [`crate::entry::EXIT`] on the host's stack, with the instance's context and
//! an array in which the arguments come and the result goes. Each is a plain function that may fail ([`Helper`]);
//! [`callback`] turns it into what code calls. Nothing unwinds out of it: a panic, which can only come from the
//! embedder's hooks or be a bug of ours, ends the guest with [`Failure::Panic`].

mod limits;
mod memory;
mod table;
mod tier;

use crate::entry;
use crate::error::Failure;
use crate::instance::Instance;
use crate::instance::segment::SegmentError;
use crate::store::Store;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmo_abi::builtin::VmBuiltins;
use wasmo_abi::vm::{RawValue, VmContext};

unsafe extern "C" {
    /// C's own. Generated code checks the bounds of both ranges before it calls.
    safe fn memmove(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8;
    /// C's own. Generated code checks the bounds of the range before it calls.
    safe fn memset(to: *mut u8, byte: i32, bytes: usize) -> *mut u8;
}

/// The one table, for all stores.
static TABLE: VmBuiltins = VmBuiltins {
    exit: entry::EXIT,
    memmove,
    memset,
    memory_grow: callback::<memory::Grow>,
    memory_init: callback::<memory::Init>,
    data_drop: callback::<memory::DropData>,
    table_grow: callback::<table::Grow>,
    table_fill: callback::<table::Fill>,
    table_copy: callback::<table::Copy>,
    table_init: callback::<table::Init>,
    elem_drop: callback::<table::DropElem>,
    new_epoch: callback::<limits::NewEpoch>,
    out_of_fuel: callback::<limits::OutOfFuel>,
    compile: callback::<tier::Compile>,
    tier_up: callback::<tier::TierUp>,
};

/// The table of helpers.
pub(crate) fn table() -> *const VmBuiltins {
    &raw const TABLE
}

/// How far code of a leaf helper may be from where it begins: farther than any goes, and not so far that code of another library is meant.
const LEAF: usize = 4096;

/// Whether the instruction at `pc`, which works on a guest's stack, is one of a leaf helper. In C's libraries, these are written so that they need no stack.
pub(crate) fn in_leaf(pc: usize) -> bool {
    [TABLE.memmove as *const () as usize, TABLE.memset as *const () as usize]
        .iter()
        .any(|start| pc.abs_diff(*start) < LEAF)
}

/// A helper.
trait Helper {
    /// How many values it takes.
    const ARGUMENTS: usize;
    /// Whether it answers a value.
    const ANSWERS: bool;

    /// Does the work for `instance` of `store`. `arguments` has [`Helper::ARGUMENTS`] values.
    fn run(store: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure>;
}

extern "C" fn callback<H: Helper>(context: *mut VmContext, values: *mut RawValue) -> u32 {
    // SAFETY: generated code passes the context of the running instance, whose record and store live. The call under
    // way has lent the store to what it runs (see `Store::call`), and no other helper or host function runs.
    let (instance, store) = unsafe {
        let instance = &*(*context).instance.cast::<Instance>();
        (instance, &mut *instance.store.as_ptr())
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let arguments = if H::ARGUMENTS == 0 {
            &[]
        } else {
            // SAFETY: generated code passes as many values as the helper takes, on its own frame.
            unsafe { std::slice::from_raw_parts(values, H::ARGUMENTS) }
        };
        H::run(store, instance, arguments)
    }));
    match outcome {
        Ok(Ok(answer)) => {
            if H::ANSWERS {
                // SAFETY: the array has room for the answer.
                unsafe { values.write(answer) };
            }
            0
        }
        Ok(Err(failure)) => {
            store.fail(failure);
            1
        }
        Err(payload) => {
            store.fail(Failure::Panic(payload));
            1
        }
    }
}

impl From<SegmentError> for Failure {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Trap(code) => Self::Trap(code),
            SegmentError::Error(error) => Self::Error(error),
        }
    }
}

/// What a growing helper answers.
fn size_or_failure(size: Option<u64>) -> RawValue {
    // Sizes of 32-bit memories and of tables fit; -1 says that nothing grew.
    RawValue::from_u32(size.and_then(|size| u32::try_from(size).ok()).unwrap_or(u32::MAX))
}
