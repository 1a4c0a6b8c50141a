//! GDB's interface for compilers at run time (GDB's manual, "JIT Compilation Interface"): a list of ELF objects in memory, and a function in which GDB has a breakpoint
//! and which is called when the list has changed. LLDB reads the same list.
//!
//! The names of both are fixed, and other engines in the same process may have them too. So they are weak symbols; then all share one list, and must not change it at
//! the same time: only wasmo's own changes are in turn.

use super::{Symbol, elf};
use std::ptr::{NonNull, null_mut, slice_from_raw_parts_mut};
use std::sync::{Mutex, PoisonError};
use wasmo_abi::code::CodeUnit;

/// One object of the list. GDB knows this layout.
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    /// From a box.
    object: *mut u8,
    object_size: usize,
}

/// The list. GDB knows this layout.
#[repr(C)]
struct Descriptor {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

const NOTHING: u32 = 0;
const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

std::arch::global_asm!(
    ".pushsection .data.wasmo_jit_debug, \"aw\"",
    ".balign 8",
    ".weak __jit_debug_descriptor",
    ".type __jit_debug_descriptor, @object",
    ".size __jit_debug_descriptor, 24",
    "__jit_debug_descriptor:",
    ".4byte 1, 0",
    ".8byte 0, 0",
    ".popsection",
    ".pushsection .text.wasmo_jit_debug, \"ax\"",
    ".balign 16",
    ".weak __jit_debug_register_code",
    ".type __jit_debug_register_code, @function",
    "__jit_debug_register_code:",
    "ret",
    ".size __jit_debug_register_code, . - __jit_debug_register_code",
    ".popsection",
);

unsafe extern "C" {
    static mut __jit_debug_descriptor: Descriptor;
    fn __jit_debug_register_code();
}

/// In turn.
static CHANGING: Mutex<()> = Mutex::new(());

/// Code that GDB knows of, as long as this lives.
pub struct Registration {
    entry: NonNull<Entry>,
}

// SAFETY: the entry is touched by those who hold the lock only.
unsafe impl Send for Registration {}
// SAFETY: nothing can be done with a reference.
unsafe impl Sync for Registration {}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registration")
    }
}

/// Tells GDB what is in `unit`: `symbols`, and how to go from its frames to their callers.
pub fn register(unit: &CodeUnit, symbols: &[Symbol]) -> Registration {
    let bytes = Box::leak(elf::object(unit, symbols).into_boxed_slice());
    let (object, object_size) = (bytes.as_mut_ptr(), bytes.len());
    let entry = Entry { next: null_mut(), previous: null_mut(), object, object_size };
    let entry = NonNull::from(Box::leak(Box::new(entry)));
    let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the lock is held; entries in the list are alive, since they are taken out before they are freed, and this one is ours.
    unsafe {
        let descriptor = &raw mut __jit_debug_descriptor;
        let first = (*descriptor).first;
        (*entry.as_ptr()).next = first;
        if let Some(first) = first.as_mut() {
            first.previous = entry.as_ptr();
        }
        (*descriptor).first = entry.as_ptr();
        tell(entry, REGISTER);
    }
    Registration { entry }
}

/// Stops in GDB, if there is one.
///
/// # Safety
/// The lock is held, and the entry is or was in the list.
unsafe fn tell(entry: NonNull<Entry>, action: u32) {
    // SAFETY: nobody else writes to the descriptor; the function does nothing.
    unsafe {
        let descriptor = &raw mut __jit_debug_descriptor;
        (*descriptor).relevant = entry.as_ptr();
        (*descriptor).action = action;
        __jit_debug_register_code();
        (*descriptor).action = NOTHING;
        (*descriptor).relevant = null_mut();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the lock is held; the entry is in the list, and so are its neighbours; `register` made it and its object from boxes.
        unsafe {
            let Entry { next, previous, object, object_size } = *self.entry.as_ptr();
            match previous.as_mut() {
                Some(previous) => previous.next = next,
                None => __jit_debug_descriptor.first = next,
            }
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
            tell(self.entry, UNREGISTER);
            drop(Box::from_raw(self.entry.as_ptr()));
            drop(Box::from_raw(slice_from_raw_parts_mut(object, object_size)));
        }
    }
}
