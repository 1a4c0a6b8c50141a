//! [`Backtrace`]: which functions of the guest were under way.
//!
//! The walk starts at a trap's registers or at an exit frame (see [`crate::entry`]) and goes through all activations of the store, those of
//! the host between them left out. The stack is the guest's, so its content is believed only as far as it leads upwards, within
//! the stack and to known code.

use super::Registers;
use crate::code::{self, Location};
use crate::entry::ExitFrame;
use crate::exec::Exec;
use crate::module::Module;
use std::mem::{align_of, size_of};
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
        let wasm_offset = location.wasm_offset;
        let module = &location.module;
        // Where a body was inlined, the operator lies in another function than the code; both were under way.
        let inlined = wasm_offset.and_then(|offset| module.func_at(offset)).filter(|&inner| inner != func);
        match inlined {
            Some(inner) => {
                self.push(Frame { module: Arc::clone(module), func: inner, wasm_offset });
                self.push(Frame { module: Arc::clone(module), func, wasm_offset: None });
            }
            None => self.push(Frame { module: Arc::clone(module), func, wasm_offset }),
        }
    }

    /// Takes the backtrace of a guest that was unwound, or waits for the host, with `guest_sp` as its last activation's end (`exits` to the host there) or,
    /// when `trapped` is given, with a last activation in the middle of its work.
    ///
    /// # Safety
    /// Nothing has run on the guest's stack since.
    pub(crate) unsafe fn take(exec: &Exec, trapped: Option<Registers>, guest_sp: usize) -> Self {
        let mut trace = Self::default();
        let mut steps = MAX_STEPS;
        let read = |address: usize| {
            // SAFETY: as the caller promises.
            unsafe { read_stack::<usize>(exec, address) }
        };
        let mut end = guest_sp;
        if let Some(registers) = trapped {
            trace.walk(registers, end, true, &mut steps, &read);
        }
        while end < exec.vm.guest_stack_high && steps > 0 {
            // SAFETY: as the caller promises.
            let Some(frame) = (unsafe { read_stack::<ExitFrame>(exec, end) }) else { break };
            // The chain leads upwards; anything else is damage.
            if frame.activation_end <= end {
                break;
            }
            let registers =
                Registers { pc: frame.return_address, sp: end + size_of::<ExitFrame>(), fp: frame.fp, lr: 0 };
            end = frame.activation_end;
            trace.walk(registers, end, false, &mut steps, &read);
        }
        trace
    }

    /// Walks one activation, up to the address `end`. `exact`: the first program counter is that of an instruction under way, not a
    /// return address.
    fn walk(
        &mut self,
        mut at: Registers,
        end: usize,
        mut exact: bool,
        steps: &mut usize,
        read: &impl Fn(usize) -> Option<usize>,
    ) {
        while *steps > 0 && at.sp < end {
            *steps -= 1;
            // A return address may be the first byte of something else when the call was the last instruction.
            let Some(pc) = at.pc.checked_sub(usize::from(!exact)) else { return };
            exact = false;
            let caller = match code::find(pc) {
                Some(location) => {
                    self.push_location(&location);
                    location.step(at, read)
                }
                // Thunks that the host had compiled for itself are not registered; they keep a frame pointer.
                None => frame_pointer_step(at, read),
            };
            match caller {
                Some(caller) if caller.sp > at.sp => at = caller,
                _ => return,
            }
        }
    }
}

/// Finds the caller of a function that keeps a frame pointer.
fn frame_pointer_step(at: Registers, read: &impl Fn(usize) -> Option<usize>) -> Option<Registers> {
    let word = size_of::<usize>();
    let pc = read(at.fp.checked_add(word)?)?;
    Some(Registers { pc, sp: at.fp.checked_add(2 * word)?, fp: read(at.fp)?, lr: 0 })
}

/// Reads from the guest's stack, if that is where `address` lies.
///
/// # Safety
/// Every content is a valid `T`, and nobody is writing to the stack.
unsafe fn read_stack<T: Copy>(exec: &Exec, address: usize) -> Option<T> {
    let end = address.checked_add(size_of::<T>())?;
    if address < exec.vm.guest_stack_low || end > exec.vm.guest_stack_high || !address.is_multiple_of(align_of::<T>()) {
        return None;
    }
    // SAFETY: the range lies within the stack, which is mapped, and is aligned.
    Some(unsafe { (address as *const T).read() })
}
