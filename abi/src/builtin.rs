//! Run-time helpers that generated code calls.
//!
//! There are two kinds. *Leaf* helpers are functions of C's library called on the guest's stack: they never trap, never call back, and take no lock.
//! All others are [`VmHostCallback`]s reached through [`VmBuiltins::exit`], which moves to the host's stack: arguments and results travel in
//! an array of [`RawValue`]s, and a callback that answers 1 makes the guest trap.

use crate::vm::{ExitStub, RawValue, VmContext, VmHostCallback};

macro_rules! builtins {
    ($($(#[$doc:meta])* $name:ident $variant:ident;)*) => {
        /// The table of run-time helpers; [`crate::vm::VmExecContext::builtins`] points to it.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct VmBuiltins {
            /// Calls a [`VmHostCallback`] on the host's stack; returns only when it answers 0.
            pub exit: ExitStub,
            /// C's `memmove(to, from, bytes)`: leaf.
            pub memmove: extern "C" fn(*mut u8, *const u8, usize) -> *mut u8,
            /// C's `memset(to, byte, bytes)`: leaf.
            pub memset: extern "C" fn(*mut u8, i32, usize) -> *mut u8,
            $($(#[$doc])* pub $name: VmHostCallback<VmContext>,)*
        }

        /// Names a helper that is called through [`VmBuiltins::exit`], with the instance's `VMContext` as its context.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Builtin { $($(#[$doc])* $variant,)* }

        impl Builtin {
            /// Offset in bytes of the helper's pointer in [`VmBuiltins`].
            pub fn offset(self) -> usize {
                match self { $(Self::$variant => std::mem::offset_of!(VmBuiltins, $name),)* }
            }
        }
    };
}

builtins! {
    /// `memory.grow`: (memory index, delta in pages) → old size in pages, or −1 (as i32).
    memory_grow MemoryGrow;
    /// `memory.init`: (memory index, data index, destination, source, bytes); traps.
    memory_init MemoryInit;
    /// `data.drop`: (data index).
    data_drop DataDrop;
    /// `table.grow`: (table index, initial reference, delta) → old size, or −1 (as i32).
    table_grow TableGrow;
    /// `table.fill`: (table index, start, reference, count); traps.
    table_fill TableFill;
    /// `table.copy`: (destination table, source table, destination, source, count); traps.
    table_copy TableCopy;
    /// `table.init`: (table index, element index, destination, source, count); traps.
    table_init TableInit;
    /// `elem.drop`: (element index).
    elem_drop ElemDrop;
    /// The epoch deadline has passed: (); may set a new deadline and answer 0, or trap.
    new_epoch NewEpoch;
    /// Fuel is used up: (); may add fuel and answer 0, or trap.
    out_of_fuel OutOfFuel;
    /// A function that was not compiled yet is called: (position among the defined functions) → address of its code.
    compile Compile;
    /// Code asks for better code, because it has used up its budget or is to say where it is: (position among the defined functions, [`crate::tier::Asking`]) →
    /// address of code to go on with at this loop, or 0.
    tier_up TierUp;
}

const _: () = assert!(std::mem::size_of::<RawValue>() == 16);
