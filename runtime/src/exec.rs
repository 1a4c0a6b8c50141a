//! [`Exec`]: a store's execution context, as generated code sees it, and what the stubs and the signal handler add to
//! it.
//!
//! It is allocated on its own and reached through raw pointers only, since generated code, the stubs, the signal
//! handler and the store all write to it, each in its own fields.

use crate::memory::Memory;
use crate::store::Store;
use crate::trap::Registers;
use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, AtomicU8};
use wasmo_abi::vm::VmExecContext;

/// A store's execution context. `vm` comes first, so that both have the same address.
#[repr(C)]
pub(crate) struct Exec {
    /// What generated code knows.
    pub(crate) vm: VmExecContext,
    /// The store; set when it has its place.
    pub(crate) store: Cell<*mut Store>,
    /// What [`VmExecContext::guest_sp`] was when the guest was last unwound. Written by the stubs.
    pub(crate) unwound_from: Cell<usize>,
    /// Lowest address of the guard below the guest's stack.
    pub(crate) guard_low: usize,
    /// The registers of the guest at the last trap, written by the signal handler.
    pub(crate) trap_registers: Cell<Registers>,
    /// The [`wasmo_abi::trap::TrapCode`] of the last trap, written by the signal handler.
    pub(crate) trap_code: AtomicU8,
    /// The last memory made; through [`Memory::next`] it leads to all the others. The signal handler walks the list, so
    /// it only ever grows at its head, by one store.
    pub(crate) memories: AtomicPtr<Memory>,
    /// How many calls into the guest are under way.
    pub(crate) depth: Cell<u32>,
    /// Whether the guest was ever entered.
    pub(crate) entered: Cell<bool>,
}

impl Exec {
    /// Whether `sp` is a stack pointer of the guest. The guard counts too, since a function that needs a large frame
    /// moves the pointer before it touches the frame; and so does the end, where the pointer stands before the first
    /// push.
    pub(crate) fn on_guest_stack(&self, sp: usize) -> bool {
        (self.guard_low..=self.vm.guest_stack_high).contains(&sp)
    }

    /// Whether `address` lies in a memory of the store, the reserved part included.
    pub(crate) fn in_memory(&self, address: usize) -> bool {
        let mut next = self.memories.load(std::sync::atomic::Ordering::Acquire).cast_const();
        while !next.is_null() {
            // SAFETY: memories live as long as their store, whose context this is.
            let memory = unsafe { &*next };
            if memory.reserves(address) {
                return true;
            }
            next = memory.next();
        }
        false
    }
}
