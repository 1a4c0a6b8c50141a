//! [`Backtrace`]: which functions of the guest were under way.
//!
//! The walk starts at a trap's registers or at an exit frame (see `crate::entry`) and goes through all activations of
//! the store, those of the host between them left out. The stack is the guest's, so its content is believed only as far
//! as it leads upwards, within the stack and to known code.

use super::Registers;
use super::activations::{Activations, exit_registers, read_stack};
use crate::code::{self, Location};
use crate::entry::{self, InStub, in_stub};
use crate::exec::Exec;
use crate::helper::in_leaf;
use crate::module::Module;
use std::sync::Arc;
use wasmo_abi::index::FuncIndex;

/// One function of the guest that was under way.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The module that the function belongs to.
    pub module: Arc<Module>,
    /// The function.
    pub func: FuncIndex,
    /// Offset in the module's bytes of the operator that was executing, when it is known.
    pub wasm_offset: Option<u32>,
}

/// The guest's functions that were under way, innermost first; the host's functions between them are left out.
#[derive(Clone, Debug, Default)]
pub struct Backtrace {
    /// The innermost frames, at most [`MAX_FRAMES`].
    pub frames: Vec<Frame>,
    /// How many frames further out there were; of a very deep stack only the first 10,000 or so are counted.
    pub omitted: u64,
}

/// Where a backtrace begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// The guest waits for the host.
    Waiting,
    /// The last activation was unwound because of a trap with these registers.
    Trap(Registers),
    /// The last activation was unwound at the exit frame at this address, or, when it had not begun, where it would have.
    Exit(usize),
}

/// The most frames that a backtrace holds.
pub const MAX_FRAMES: usize = 100;

/// The most steps of a walk: a stack that was used up may hold a million frames, all alike.
const MAX_STEPS: usize = 10_000;

impl Backtrace {
    fn push(&mut self, frame: Frame) {
        if self.frames.len() < MAX_FRAMES {
            self.frames.push(frame);
        } else {
            self.omitted += 1;
        }
    }

    fn push_location(&mut self, location: &Location) {
        let Some(func) = location.func else { return };
        let module = &location.module;
        let mut wasm_offset = location.wasm_offset;
        if let Some((inner_module, inner, offset)) = wasm_offset.and_then(|offset| module.operator_at(offset))
            && (inner != func || !Arc::ptr_eq(&inner_module, module))
        {
            // Where a body was inlined, the operator lies in another function than the code; both were under way.
            self.push(Frame { module: inner_module, func: inner, wasm_offset: Some(offset) });
            wasm_offset = None;
        }
        self.push(Frame { module: Arc::clone(module), func, wasm_offset });
    }

    /// Takes the backtrace of a guest whose last activation was unwound and began at `start`.
    ///
    /// # Safety
    /// Nothing has run on the guest's stack since, and the host has not returned below the call that was unwound.
    pub(crate) unsafe fn take(exec: &Exec, start: Start) -> Self {
        let mut trace = Self::default();
        let mut steps = MAX_STEPS;
        let read = |address: usize| {
            // SAFETY: as the caller promises.
            unsafe { read_stack::<usize>(exec, address) }
        };
        let exit = |address: usize| {
            // SAFETY: as the caller promises.
            unsafe { exit_registers(exec, address) }
        };
        // The context is as it was before that activation.
        // SAFETY: the host runs on top of the entry frame, which nobody writes to.
        let end = unsafe { exec.activation_within(exec.entry_frame()) }.guest_sp;
        match start {
            Start::Waiting => {}
            Start::Trap(registers) => {
                // A guest that was stopped in a stub or in a leaf helper is in the function that has called it.
                let (registers, exact) = match in_stub(registers.pc) {
                    Some(InStub::Framed) => (exit(registers.sp), false),
                    Some(InStub::Frameless) => (entry::caller(registers, read), false),
                    None if in_leaf(registers.pc) => (entry::caller(registers, read), false),
                    None => (Some(registers), true),
                };
                if let Some(registers) = registers {
                    trace.walk(registers, end, exact, &mut steps, &read);
                }
            }
            Start::Exit(address) => {
                // Where the guest was stopped before it had begun, there is no exit.
                if let Some(registers) = exit(address).filter(|_| address < end) {
                    trace.walk(registers, end, false, &mut steps, &read);
                }
            }
        }
        // SAFETY: the host runs, and returns to none of the calls meanwhile.
        for activation in unsafe { Activations::of(exec) } {
            let Some(registers) = exit(activation.exit).filter(|_| steps > 0) else { break };
            trace.walk(registers, activation.end, false, &mut steps, &read);
        }
        trace
    }

    /// Walks one activation, up to the address `end`. `exact`: the first program counter is that of an instruction
    /// under way, not a return address.
    fn walk(
        &mut self,
        mut at: Registers,
        end: usize,
        mut exact: bool,
        steps: &mut usize,
        read: &impl Fn(usize) -> Option<usize>,
    ) {
        // On AArch64, a function that was entered directly and has no frame traps with the stack pointer that it was entered with.
        while *steps > 0 && (at.sp < end || (at.sp == end && exact)) {
            *steps -= 1;
            // A return address may be the first byte of something else when the call was the last instruction.
            let Some(pc) = at.pc.checked_sub(usize::from(!exact)) else { return };
            // Thunks that the embedder had compiled for functions of its own are of no module; the walk ends there.
            let Some(location) = code::find(pc) else { return };
            if exact {
                at = settled(at, &location, end, read);
            }
            exact = false;
            self.push_location(&location);
            let caller = location.step(at, read);
            match caller {
                // The chain leads upwards; only a function that has no frame yet, and so its return address in a register,
                // may have its caller's stack pointer.
                Some(caller) if caller.sp > at.sp || (caller.sp == at.sp && at.lr != 0) => at = caller,
                _ => return,
            }
        }
    }
}

/// The registers `at`, with which the function at `location` was stopped, as call frame information describes them. Just after a call it may not
/// ([`entry::before_pop`]): then what it says leads nowhere.
fn settled(at: Registers, location: &Location, end: usize, read: &impl Fn(usize) -> Option<usize>) -> Registers {
    let leads_on = |at: &Registers| {
        let known = |pc: usize| pc.checked_sub(1).is_some_and(|pc| code::find(pc).is_some());
        location.step(*at, read).is_some_and(|caller| caller.sp == end || (caller.sp < end && known(caller.pc)))
    };
    let Some(lower) = entry::before_pop(at) else { return at };
    // SAFETY: the guest was stopped at this instruction.
    let choices = if unsafe { entry::makes_up_at(at.pc) } { [lower, at] } else { [at, lower] };
    choices.into_iter().find(leads_on).unwrap_or(at)
}
