//! [`Shell`]: the parts of a store that the next store can use.

use super::{Global, Known, Store};
use crate::arena::Arena;
use crate::error::Error;
use crate::exec::Exec;
use crate::helper;
use crate::instance::Instance;
use crate::interrupt::Shared;
use crate::memory::Memory;
use crate::slots::Slots;
use crate::stack::GuestStack;
use crate::table::Table;
use crate::tier::retired;
use crate::trap::Registers;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use wasmo_abi::tunables::MAX_VALUES;
use wasmo_abi::vm::VmExecContext;

/// What any store has, whatever the guest: the execution context, the guest's stack, what handles share, and the room in some lists, which are empty
/// while no store has the shell.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(super) exec: NonNull<Exec>,
    pub(super) stack: GuestStack,
    pub(super) shared: Arc<Shared>,
    pub(crate) instances: Arena<Instance>,
    /// All memories by number: those of instances, and those that the host has made.
    pub(crate) memories: Slots<Known<Memory>>,
    /// All tables, likewise.
    pub(crate) tables: Slots<Known<Table>>,
    pub(crate) globals: Slots<Global>,
}

// SAFETY: the shell owns its context, and its lists are empty when it goes from one store, and thread, to another.
unsafe impl Send for Shell {}

impl Shell {
    /// A shell with a guest stack of at least `stack_size` bytes.
    pub(super) fn new(stack_size: usize) -> Result<Self, Error> {
        let stack = GuestStack::new(stack_size)?;
        let exec = Exec {
            vm: VmExecContext {
                builtins: helper::table(),
                host_sp: AtomicUsize::new(0),
                guest_stack_low: stack.low(),
                guest_stack_high: stack.high(),
                interrupt: AtomicU32::new(0),
                tables_written: 0,
                epoch: ptr::null(),
                epoch_deadline: u64::MAX,
                resume_at: AtomicU32::new(0),
                fuel: 0,
                spill: [MaybeUninit::uninit(); MAX_VALUES],
            },
            store: Cell::new(ptr::null_mut()),
            data: Cell::new(ptr::null_mut()),
            slot: AtomicPtr::new(ptr::null_mut()),
            unwinding: AtomicBool::new(false),
            users: retired::Users::default(),
            looked_at: Cell::new(0),
            unwound_from: Cell::new(0),
            guard_low: stack.guard_low(),
            trap_registers: Cell::new(Registers::default()),
            trap_code: AtomicU8::new(0),
            memories: AtomicPtr::new(ptr::null_mut()),
        };
        let exec = NonNull::from(Box::leak(Box::new(exec)));
        let shared = Shared::new(exec);
        retired::enter(exec);
        let instances = Arena::default();
        Ok(Self {
            exec,
            stack,
            shared,
            instances,
            memories: Slots::default(),
            tables: Slots::default(),
            globals: Slots::default(),
        })
    }

    /// Whether a guest stack of `size` bytes is what it has.
    pub(super) fn suits(&self, size: usize) -> bool {
        self.stack.suits(size)
    }

    /// Gives it to `store`.
    pub(super) fn enter(&self, store: *mut Store, epoch: &Arc<AtomicU64>) {
        // SAFETY: the context lives as long as the shell, and no guest runs.
        unsafe {
            let exec = self.exec.as_ptr();
            (*exec).store.set(store);
            (&raw mut (*exec).vm.epoch).write(Arc::as_ptr(epoch));
        }
    }

    /// Makes it fit for another store, after the one that had it; `None` when that is not possible. `whole`: nothing of what the guest left on its stack
    /// stays.
    pub(super) fn reset(mut self, whole: bool) -> Option<Self> {
        // Handles of the store before must not reach the next one; and one that is at work has left the context when they are closed.
        if Arc::get_mut(&mut self.shared).is_none() {
            self.shared.close();
            self.shared = Shared::new(self.exec);
        }
        let exec = self.exec.as_ptr();
        // SAFETY: the context lives as long as the shell; the store is going, so no guest runs, and no handle leads to the context. Who looks for replaced code reads
        // fields that are made for it.
        unsafe {
            if (*exec).entered() && !self.stack.reset(whole) {
                return None;
            }
            (*exec).store.set(ptr::null_mut());
            (*exec).data.set(ptr::null_mut());
            (*exec).users.clear();
            (*exec).slot.store(ptr::null_mut(), Ordering::Relaxed);
            (*exec).vm.interrupt.store(0, Ordering::Relaxed);
            (*exec).vm.tables_written = 0;
            (*exec).vm.epoch = ptr::null();
            (*exec).vm.epoch_deadline = u64::MAX;
            (*exec).vm.fuel = 0;
            (*exec).memories.store(ptr::null_mut(), Ordering::Relaxed);
        }
        self.memories.clear();
        self.tables.clear();
        self.globals.clear();
        Some(self)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.shared.close();
        retired::leave(self.exec);
        // SAFETY: made from a box in `new`; the handles and who looks for replaced code were just parted from it, and no guest runs.
        drop(unsafe { Box::from_raw(self.exec.as_ptr()) });
    }
}
