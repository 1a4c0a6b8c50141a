//! The records that generated code and the runtime share in memory.
//!
//! Generated code reads them at the offsets of their fields (`offset_of!`), so a field moved here moves everywhere. All pointers are plain
//! addresses to this crate; the runtime owns what they point to and says how long it lives.
//!
//! * [`VmContext`] is the fixed head of an instance's context; the parts whose number depends on the module follow it
//!   (see [`crate::layout`]). Code reaches everything else from it.
//! * [`VmExecContext`] belongs to a store: stacks, deadlines, fuel, spill area.
//! * [`VmFuncRef`] is a function as a value; a table element is a copy of it.

use crate::builtin::VmBuiltins;
use crate::tier::VmEntry;
use crate::tunables::MAX_VALUES;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

/// A value as it travels between the host and generated code: 16 bytes, little-endian, the unused ones of any content.
///
/// `i32`, `f32` are in the lowest 4 bytes, `i64`, `f64`, references in the lowest 8, lane 0 of `v128` lowest.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawValue(pub [u64; 2]);

impl RawValue {
    /// From 32 bits.
    pub const fn from_u32(bits: u32) -> Self {
        Self([bits as u64, 0])
    }
    /// From 64 bits.
    pub const fn from_u64(bits: u64) -> Self {
        Self([bits, 0])
    }
    /// From 128 bits.
    #[allow(clippy::cast_possible_truncation, reason = "the two halves of the value are meant")]
    pub const fn from_u128(bits: u128) -> Self {
        Self([bits as u64, (bits >> 64) as u64])
    }
    /// The lowest 32 bits.
    #[allow(clippy::cast_possible_truncation, reason = "the lowest 32 bits are meant")]
    pub const fn as_u32(self) -> u32 {
        self.0[0] as u32
    }
    /// The lowest 64 bits.
    pub const fn as_u64(self) -> u64 {
        self.0[0]
    }
    /// All bits.
    pub const fn as_u128(self) -> u128 {
        self.0[0] as u128 | ((self.0[1] as u128) << 64)
    }
}

/// A function that the host gives to code: called on the host's stack with its context and an array of arguments, which it overwrites
/// with the results. Answers 0 to go on, 1 to unwind the guest to where the host entered it (the reason is left with the store).
pub type VmHostCallback<C> = extern "C" fn(context: *mut C, values: *mut RawValue) -> u32;

/// The stub behind [`VmBuiltins::exit`]: (execution context, callback, its context, values).
pub type ExitStub = extern "C" fn(*mut VmExecContext, VmHostCallback<u8>, *mut u8, *mut RawValue);

/// The thunk through which the host enters functions of one type: (code, context of that code, values). It loads the arguments
/// from `values`, calls `code` in the wasm convention, and stores the results to `values`. It runs on the guest's stack.
pub type EnterThunk = extern "C" fn(*const u8, *mut VmContext, *mut RawValue);

/// Distinguishes the contexts that code may be called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum VmContextKind {
    /// A [`VmContext`].
    Instance = 0x7761_736d,
    /// A [`VmHostFunc`].
    HostFunc = 0x686f_7374,
}

/// The fixed head of an instance's context.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct VmContext {
    /// Always [`VmContextKind::Instance`].
    pub kind: VmContextKind,
    /// The store's execution context; never changes.
    pub exec: *mut VmExecContext,
    /// The runtime's own record of the instance; generated code does not look at it.
    pub instance: *mut u8,
    /// The functions of a module in tiers; null for all others.
    pub entries: *const VmEntry,
}

/// The context of a host function as one importer sees it. `kind` and `exec` lie where they do in [`VmContext`].
#[repr(C, align(16))]
#[derive(Debug)]
pub struct VmHostFunc {
    /// Always [`VmContextKind::HostFunc`].
    pub kind: VmContextKind,
    /// The store's execution context; never changes.
    pub exec: *mut VmExecContext,
    /// What the exit thunk calls, with this record as the context.
    pub callback: VmHostCallback<VmHostFunc>,
    /// What `callback` works on; the engine's.
    pub data: *mut u8,
    /// The instance that imported the function, or null when the host handed it out itself.
    pub caller: *mut VmContext,
    /// Code in the C convention that does what `callback` does with its arguments in registers: those of the wasm function, then this record. It
    /// returns the result, if there is one, and does not return when it fails. Null when the type does not allow it (see
    /// [`DIRECT_INTEGERS`]); then all callers come through the exit thunk.
    pub direct: *const u8,
}

/// How many integers (and references) and how many floats a function may take so that all of them travel in registers on every architecture, in
/// the wasm convention as in C's.
pub const DIRECT_INTEGERS: usize = 6;
/// See [`DIRECT_INTEGERS`].
pub const DIRECT_FLOATS: usize = 8;
/// How many integers (and references), and how many floats, a function may return in the wasm convention so that all of them travel in registers on
/// every architecture.
pub const DIRECT_RESULTS: usize = 4;

const _: () = assert!(std::mem::offset_of!(VmContext, exec) == std::mem::offset_of!(VmHostFunc, exec));
const _: () = assert!(std::mem::offset_of!(VmContext, kind) == std::mem::offset_of!(VmHostFunc, kind));

/// A function as a value. `funcref` is a pointer to one; a table element is a copy of one, with `type_id` [`NULL_TYPE_ID`] and
/// `func_ref` null for the null reference.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct VmFuncRef {
    /// The engine-wide number of its type.
    pub type_id: u32,
    /// The code, in the wasm convention.
    pub code: *const u8,
    /// The context to call it with: a [`VmContext`] or a [`VmHostFunc`].
    pub context: *mut u8,
    /// The record that this one is, or is a copy of.
    pub func_ref: *const VmFuncRef,
}

/// A type number that no type has.
pub const NULL_TYPE_ID: u32 = u32::MAX;

const _: () = assert!(std::mem::size_of::<VmFuncRef>() == 32);

/// An imported function: what to call, with which context.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct VmFuncImport {
    /// The code, in the wasm convention.
    pub code: *const u8,
    /// The context to call it with.
    pub context: *mut u8,
}

/// A linear memory. `base` never changes, `size` only grows.
#[repr(C)]
#[derive(Debug)]
pub struct VmMemory {
    /// The first byte.
    pub base: *mut u8,
    /// The current size in bytes.
    pub size: u64,
}

/// How a context refers to a memory, its own or imported.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct VmMemorySlot {
    /// A copy of [`VmMemory::base`].
    pub base: *mut u8,
    /// The memory.
    pub memory: *mut VmMemory,
}

/// A table. Elements of `funcref` tables are [`VmFuncRef`]s (32 bytes), those of `externref` tables are 8 bytes.
#[repr(C)]
#[derive(Debug)]
pub struct VmTable {
    /// The first element; may change when the table grows.
    pub base: *mut u8,
    /// The number of elements.
    pub len: u64,
}

/// A global's content. Smaller types are in the lowest bytes.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct VmGlobal(pub RawValue);

/// What belongs to a store and is the same for all its instances.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct VmExecContext {
    /// The helpers.
    pub builtins: *const VmBuiltins,
    /// The entry frame of the call into the guest that began last, on the host's stack: exits go there. 0 when no call is under way.
    pub host_sp: AtomicUsize,
    /// Lowest usable address of the guest's stack; below it lie guard pages.
    pub guest_stack_low: usize,
    /// Address past the highest byte of the guest's stack.
    pub guest_stack_high: usize,
    /// Not 0: the guest is to be interrupted when the host call under way returns.
    pub interrupt: AtomicU32,
    /// Not 0: generated code has written to a table since the store was made (what the runtime writes, it knows itself).
    pub tables_written: u32,
    /// The engine's epoch counter.
    pub epoch: *const AtomicU64,
    /// The epoch at which [`crate::builtin::Builtin::NewEpoch`] is called.
    pub epoch_deadline: u64,
    /// Set when code that can be entered at its loops, too, is to be entered at one: the loop's number and 1. The code makes it 0 again, which it is otherwise.
    pub resume_at: AtomicU32,
    /// Fuel used so far, counted up from a negative budget: at 0 or more, [`crate::builtin::Builtin::OutOfFuel`] is called.
    pub fuel: i64,
    /// Arguments and results that do not fit registers. Live only from just before a call or return to just after it.
    pub spill: [MaybeUninit<RawValue>; MAX_VALUES],
}
