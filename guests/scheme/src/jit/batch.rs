//! What is compiled together, and where compiled code finds what it needs of the machine.
//!
//! A late module is linked to one instance's memory, so it holds addresses as constants: of the machine, which does not move, of a few of
//! its fields, and of procedures, which live as long as it.

use crate::machine::Machine;
use crate::object::{Cell, Closure};
use crate::op::Op;
use crate::proto::Proto;
use crate::value::Value;
use std::cell::RefCell;

/// The most instructions of one procedure; more would take long to compile.
const MAX_CODE: usize = 4000;
/// The most words of one procedure's frame.
const MAX_FRAME: usize = 1000;
/// The most procedures of one module.
const MAX_PROCEDURES: usize = 64;

/// A procedure to compile, and one of its closures when there is one at hand.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub proto: *const Proto,
    pub sample: Option<Value>,
}

/// A function that a call can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// One of the same module.
    Function(u32),
    /// One that was linked before, by its place in the table.
    Slot(u32),
}

/// Addresses of the machine's fields.
pub(super) struct Addresses {
    pub machine: u32,
    /// The end of the stack for the check on entering; null asks for a collection.
    pub stack_limit: u32,
    /// The first global variable. They do not move.
    pub globals: u32,
    /// The first free cell for a pair.
    pub free_pairs: u32,
    pub tail_arguments: u32,
}

/// An address as generated code has it.
#[expect(clippy::cast_possible_truncation, reason = "addresses have 32 bits where generated code can run")]
pub(super) fn address<T>(place: *const T) -> u32 {
    place.expose_provenance() as u32
}

/// Procedures that become one module.
pub(super) struct Batch<'a> {
    machine: &'a Machine,
    candidates: Vec<Candidate>,
    pub addresses: Addresses,
    /// Closures whose addresses the code compares with.
    closures: RefCell<Vec<Value>>,
}

impl<'a> Batch<'a> {
    /// `roots`, and what they call or make, as far as it is worth compiling and has been called at least once.
    pub fn new(machine: &'a Machine, roots: &[Candidate]) -> Self {
        let addresses = Addresses {
            machine: address(machine),
            stack_limit: address(&raw const machine.heap.stack_limit),
            globals: address(machine.globals.as_ptr()),
            free_pairs: address(machine.heap.free_pairs()),
            tail_arguments: address(&raw const machine.tail_arguments),
        };
        let mut batch = Batch { machine, candidates: Vec::new(), addresses, closures: RefCell::default() };
        for &root in roots {
            batch.add(root, true);
        }
        let mut next = 0;
        while let Some(&candidate) = batch.candidates.get(next) {
            next += 1;
            // SAFETY: procedures live as long as the machine.
            for &op in &unsafe { &*candidate.proto }.code {
                for found in batch.mentioned(op, candidate.sample) {
                    batch.add(found, false);
                }
            }
        }
        batch
    }

    fn add(&mut self, candidate: Candidate, is_root: bool) {
        // SAFETY: procedures live as long as the machine.
        let proto = unsafe { &*candidate.proto };
        let is_wanted = (is_root || proto.heat.get() < self.machine.threshold())
            && proto.entry.get().is_none()
            && !proto.is_rejected.get()
            && proto.code.len() <= MAX_CODE
            && proto.frame <= MAX_FRAME
            && self.candidates.len() < MAX_PROCEDURES;
        if is_wanted && self.place(candidate.proto).is_none() {
            self.candidates.push(candidate);
        }
    }

    /// The procedures that an instruction may call or make closures of.
    fn mentioned(&self, op: Op, sample: Option<Value>) -> Vec<Candidate> {
        let of_value = |value: Value| {
            let value = Cell::of(value).map_or(value, Cell::get);
            Closure::of(value).map(|closure| Candidate { proto: closure.proto(), sample: Some(value) })
        };
        let found = match op {
            Op::CallGlobal { k, .. } | Op::TailCallGlobal { k, .. } | Op::Global { k, .. } => {
                of_value(self.machine.globals[k as usize])
            }
            Op::Const { k, .. } => of_value(self.machine.constants[k as usize]),
            Op::Closure { k, .. } => {
                Some(Candidate { proto: &raw const *self.machine.protos[k as usize], sample: None })
            }
            Op::Captured { i, .. } => sample.and_then(|sample| captured(sample, i)).and_then(of_value),
            _ => None,
        };
        found.into_iter().collect()
    }

    fn place(&self, proto: *const Proto) -> Option<usize> {
        self.candidates.iter().position(|candidate| candidate.proto == proto)
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    pub fn proto(&self, index: usize) -> &'a Proto {
        // SAFETY: procedures live as long as the machine, which is borrowed for 'a.
        unsafe { &*self.candidates[index].proto }
    }

    pub fn address_of(&self, index: usize) -> u32 {
        address(self.candidates[index].proto)
    }

    /// The index of the function for the procedure at `index`; the function that the machine enters it by is the next one.
    pub fn function(&self, index: usize) -> u32 {
        u32::try_from(2 * index).expect("a batch is small")
    }

    /// The index of the procedure whose function this is.
    pub fn procedure(&self, function: u32) -> usize {
        function as usize / 2
    }

    pub fn protos(&self) -> &'a [Box<Proto>] {
        &self.machine.protos
    }

    pub fn constants(&self) -> &'a [Value] {
        &self.machine.constants
    }

    /// A value that a closure of the procedure at `index` has captured, from a look at one.
    pub fn captured(&self, index: usize, i: u16) -> Option<Value> {
        captured(self.candidates[index].sample?, i)
    }

    /// The function for calls of `proto` with `n` arguments.
    pub fn target(&self, proto: *const Proto, n: u8) -> Option<Target> {
        // SAFETY: procedures live as long as the machine.
        let known = unsafe { &*proto };
        if known.rest || known.params != usize::from(n) {
            return None;
        }
        match self.place(proto) {
            Some(index) => Some(Target::Function(self.function(index))),
            None => (known.key.get() != 0).then(|| Target::Slot(known.fast.get())),
        }
    }

    /// The closure that global `k` holds now, and the function for calling it with `n` arguments.
    pub fn known_global(&self, k: u32, n: u8) -> Option<(Value, Target)> {
        let value = self.machine.globals[k as usize];
        let target = self.target(Closure::of(value)?.proto(), n)?;
        self.closures.borrow_mut().push(value);
        Some((value, target))
    }

    /// Whether a collection is always asked for.
    pub fn collects_always(&self) -> bool {
        self.machine.heap.collects_always
    }

    /// The closures that must stay alive as long as the code.
    pub fn into_closures(self) -> Vec<Value> {
        self.closures.into_inner()
    }
}

fn captured(sample: Value, i: u16) -> Option<Value> {
    let closure = Closure::of(sample)?;
    // SAFETY: procedures live as long as the machine.
    let proto = unsafe { &*closure.proto() };
    // SAFETY: the closure was made with that many values.
    (usize::from(i) < proto.captures.len()).then(|| unsafe { closure.captured(i) })
}
