//! [`Exec`]: a store's execution context, as generated code sees it, and what the stubs and the signal handler add to
//! it.
//!
//! It is allocated on its own and reached through raw pointers only, since generated code, the stubs, the signal
//! handler and the store all write to it, each in its own fields.

use crate::entry::{Activation, EntryFrame};
use crate::memory::Memory;
use crate::store::Store;
use crate::thread::Slot;
use crate::tier::retired::Users;
use crate::trap::Registers;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering};
use wasmo_abi::vm::VmExecContext;

/// A store's execution context. `vm` comes first, so that both have the same address.
#[repr(C)]
pub(crate) struct Exec {
    /// What generated code knows.
    pub(crate) vm: VmExecContext,
    /// The store; set when it has its place.
    pub(crate) store: Cell<*mut Store>,
    /// The embedder's pointer: see [`Store::set_data`].
    pub(crate) data: Cell<*mut u8>,
    /// Where the thread is known on which a call was last under way; null before the first of them.
    pub(crate) slot: AtomicPtr<Slot>,
    /// The guest was unwound, and the host still looks at its frames, though the call is not under way any more.
    pub(crate) unwinding: AtomicBool,
    /// The modules in tiers that the store has instances of: only their code can be under way in it.
    pub(crate) users: Users,
    /// How much code had been replaced when it was last looked for on the guest's stack: see [`crate::tier::retired`].
    pub(crate) looked_at: Cell<usize>,
    /// What [`EntryFrame::exit_sp`] was when the guest was last unwound. Written by the stubs.
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
}

impl Exec {
    /// The entry frame of the innermost activation, or 0.
    pub(crate) fn entry_frame(&self) -> usize {
        self.vm.host_sp.load(Ordering::Relaxed)
    }

    /// Whether the guest was ever entered for the store that has the context.
    pub(crate) fn entered(&self) -> bool {
        !self.slot.load(Ordering::Relaxed).is_null()
    }

    /// The activation within that of the entry frame `outer`, or the first when that is 0.
    ///
    /// # Safety
    /// The entry frame is one of this context whose call is under way, and the host is running within it.
    pub(crate) unsafe fn activation_within(&self, outer: usize) -> Activation {
        let guest_sp = match outer {
            0 => self.vm.guest_stack_high,
            // SAFETY: nobody writes to the frame while the host runs on top of it.
            _ => unsafe { (*(outer as *const EntryFrame)).exit_sp },
        };
        Activation::below(guest_sp, outer)
    }

    /// Whether `sp` is a stack pointer of the guest. The guard counts too, since a function that needs a large frame
    /// moves the pointer before it touches the frame; and so does the end, where the pointer stands before the first
    /// push.
    pub(crate) fn on_guest_stack(&self, sp: usize) -> bool {
        (self.guard_low..=self.vm.guest_stack_high).contains(&sp)
    }

    /// Whether `address` lies in a memory of the store, the reserved part included.
    pub(crate) fn in_memory(&self, address: usize) -> bool {
        let mut next = self.memories.load(Ordering::Acquire).cast_const();
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
