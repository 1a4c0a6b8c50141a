//! [`Activations`]: the calls into the guest of a store that are under way, innermost first, while the host runs.

use super::Registers;
use crate::entry::{EntryFrame, ExitFrame};
use crate::exec::Exec;
use std::mem::{align_of, size_of};

/// A call into the guest that is under way and waits for the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation {
    /// Where the guest's stack stands: the address of its exit frame.
    pub(crate) exit: usize,
    /// Where it stood when the call began.
    pub(crate) end: usize,
    /// The entry frame on the host's stack.
    pub(crate) entry: usize,
}

/// See the module's documentation.
pub(crate) struct Activations<'a> {
    exec: &'a Exec,
    /// The entry frame of the next one, or 0.
    frame: usize,
}

impl<'a> Activations<'a> {
    /// Those of a store whose host runs.
    ///
    /// # Safety
    /// Nobody writes to the guest's stack, or returns below an entry frame, while the result is used.
    pub(crate) unsafe fn of(exec: &'a Exec) -> Self {
        Self { exec, frame: exec.entry_frame() }
    }
}

impl Iterator for Activations<'_> {
    type Item = Activation;

    fn next(&mut self) -> Option<Activation> {
        if self.frame == 0 {
            return None;
        }
        // SAFETY: the host runs on top of this entry frame, which nobody writes to; likewise those before.
        let entry = unsafe { (self.frame as *const EntryFrame).read() };
        // SAFETY: as above.
        let end = unsafe { self.exec.activation_within(entry.outer) }.guest_sp;
        let activation = Activation { exit: entry.exit_sp, end, entry: self.frame };
        self.frame = entry.outer;
        Some(activation)
    }
}

/// The registers of the guest's innermost function that left at the exit frame at `address`.
///
/// # Safety
/// As [`read_stack`].
pub(crate) unsafe fn exit_registers(exec: &Exec, address: usize) -> Option<Registers> {
    // SAFETY: as the caller promises.
    unsafe { read_stack::<ExitFrame>(exec, address) }.map(|frame| Registers {
        pc: frame.return_address,
        sp: address + size_of::<ExitFrame>(),
        fp: frame.fp,
        lr: 0,
    })
}

/// Reads from the guest's stack, if that is where `address` lies.
///
/// # Safety
/// Every content is a valid `T`, and nobody is writing to the stack.
pub(crate) unsafe fn read_stack<T: Copy>(exec: &Exec, address: usize) -> Option<T> {
    let end = address.checked_add(size_of::<T>())?;
    if address < exec.vm.guest_stack_low || end > exec.vm.guest_stack_high || !address.is_multiple_of(align_of::<T>()) {
        return None;
    }
    // SAFETY: the range lies within the stack, which is mapped, and is aligned.
    Some(unsafe { (address as *const T).read() })
}
