//! What is known about registers at every instruction: whether they are read again, what kind of value they hold, and
//! whether their word of the frame in memory holds it too.
//!
//! Compiled code keeps registers in local variables. At a safe point the collector keeps alive what the words of the stack below a known one
//! hold, so addresses that are read later must be in them by then. It moves nothing, so a variable needs no reload
//! afterwards. Other words may hold anything that was a value since the last collection, because the machine clears what lies
//! above at each.

use super::operands::{branch, falls_through, for_each_read, written};
use crate::op::Op;
use crate::proto::Proto;
use crate::value::Value;

/// What a register holds. The order is that of knowledge: a join takes the lesser.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// Any value.
    Any,
    /// No address, so nothing that the collector must see.
    Immediate,
    /// An integer.
    Integer,
}

/// What is known before an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub kinds: Vec<Kind>,
    /// Whether registers' words in memory hold their values.
    pub stored: Vec<bool>,
}

impl State {
    fn join(&mut self, other: &State) {
        for (kind, &theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            *kind = theirs.min(*kind);
        }
        for (stored, &theirs) in self.stored.iter_mut().zip(&other.stored) {
            *stored &= theirs;
        }
    }

    /// Register `d` gets a value of this kind.
    pub fn write(&mut self, d: u16, kind: Kind) {
        self.kinds[usize::from(d)] = kind;
        self.stored[usize::from(d)] = false;
    }

    fn learn(&mut self, register: u16) {
        self.kinds[usize::from(register)] = Kind::Integer;
    }

    /// Words from `top` on are a callee's, or cleared by a collection.
    pub fn lose(&mut self, top: u16) {
        self.stored[usize::from(top)..].fill(false);
    }

    /// The effect of an instruction that falls through or branches. Words that a call stores are not part of it.
    pub fn step(&mut self, op: Op, constants: &[Value]) {
        let kind_of = |state: &State, s: u16| state.kinds[usize::from(s)];
        match op {
            Op::Move { d, s } => {
                let kind = kind_of(self, s);
                self.write(d, kind);
            }
            Op::Const { d, k } => self.write(d, kind_of_constant(constants[k as usize])),
            Op::Int { d, .. } => self.write(d, Kind::Integer),
            Op::Add { d, a, b }
            | Op::Sub { d, a, b }
            | Op::Mul { d, a, b }
            | Op::Quotient { d, a, b }
            | Op::Remainder { d, a, b }
            | Op::Modulo { d, a, b } => {
                self.learn(a);
                self.learn(b);
                self.write(d, Kind::Integer);
            }
            Op::AddInt { d, a, .. } => {
                self.learn(a);
                self.write(d, Kind::Integer);
            }
            Op::Less { d, a, b } | Op::LessEqual { d, a, b } | Op::NumEqual { d, a, b } => {
                self.learn(a);
                self.learn(b);
                self.write(d, Kind::Immediate);
            }
            Op::Eq { d, .. } | Op::Not { d, .. } | Op::IsNull { d, .. } | Op::IsPair { d, .. } => {
                self.write(d, Kind::Immediate);
            }
            Op::JumpLess { a, b, .. }
            | Op::JumpLessEqual { a, b, .. }
            | Op::JumpNumEqual { a, b, .. }
            | Op::JumpNumDiffer { a, b, .. } => {
                self.learn(a);
                self.learn(b);
            }
            Op::JumpLessInt { a, .. }
            | Op::JumpNotLessInt { a, .. }
            | Op::JumpEqualInt { a, .. }
            | Op::JumpDifferInt { a, .. } => self.learn(a),
            Op::Loop { top, .. } => self.lose(top),
            Op::Call { base, .. } | Op::CallGlobal { base, .. } => {
                self.lose(base);
                self.write(base, Kind::Any);
            }
            Op::CallPrimitive { n, d, base, .. } => {
                for register in base..base + u16::from(n) {
                    self.stored[usize::from(register)] = true;
                }
                self.write(d, Kind::Any);
            }
            _ => {
                if let Some(d) = written(op) {
                    self.write(d, Kind::Any);
                }
            }
        }
    }

    /// The registers that must be stored before a safe point at which words below `top` are read; then they count as stored.
    pub fn spill(&mut self, top: u16, is_live: impl Fn(u16) -> bool) -> Vec<u16> {
        let is_missing = |register: &u16| {
            let index = usize::from(*register);
            self.kinds[index] == Kind::Any && !self.stored[index] && is_live(*register)
        };
        let spills: Vec<u16> = (0..top).filter(is_missing).collect();
        for &register in &spills {
            self.stored[usize::from(register)] = true;
        }
        spills
    }
}

fn kind_of_constant(value: Value) -> Kind {
    match value {
        _ if value.is_integer() => Kind::Integer,
        _ if value.is_address() => Kind::Any,
        _ => Kind::Immediate,
    }
}

/// The results for one procedure.
pub(super) struct Flow {
    /// The state before every instruction that can be reached from above or by a branch.
    pub before: Vec<Option<State>>,
    /// Registers read at or after an instruction, a row of bits for each.
    live: Vec<u64>,
    row: usize,
}

impl Flow {
    /// Whether anything from instruction `index` on reads `register` before it is written.
    pub fn is_live(&self, index: usize, register: u16) -> bool {
        let register = usize::from(register);
        self.live.get(index * self.row + register / 64).is_some_and(|bits| bits >> (register % 64) & 1 == 1)
    }
}

fn target(index: usize, op: Op) -> Option<usize> {
    branch(op).and_then(|distance| (index + 1).checked_add_signed(distance))
}

/// Analyses `proto`, whose arguments are of these kinds.
pub(super) fn analyse(proto: &Proto, arguments: &[Kind], protos: &[Box<Proto>], constants: &[Value]) -> Flow {
    let row = proto.frame.div_ceil(64).max(1);
    let live = liveness(proto, protos, row);
    let registers = proto.frame.max(2);
    let mut kinds = vec![Kind::Integer; registers];
    kinds[0] = Kind::Any;
    kinds[2..2 + proto.params].copy_from_slice(arguments);
    let entry = State { kinds, stored: vec![false; registers] };
    // What back branches bring to the starts of loops; empty at first, which promises too much.
    let mut carried: Vec<Option<State>> = vec![None; proto.code.len()];
    loop {
        let mut changed = false;
        let mut before: Vec<Option<State>> = vec![None; proto.code.len()];
        let mut state = Some(entry.clone());
        for (index, &op) in proto.code.iter().enumerate() {
            let arriving = [before[index].take(), carried[index].clone()];
            for other in arriving.into_iter().flatten() {
                merge(&mut state, &other);
            }
            before[index].clone_from(&state);
            let Some(mut after) = state.take() else { continue };
            if let Some(top) = stored_up_to(op) {
                after.spill(top, |register| {
                    let bits = live[(index + 1) * row + usize::from(register) / 64];
                    bits >> (usize::from(register) % 64) & 1 == 1
                });
            }
            after.step(op, constants);
            if let Some(target) = target(index, op) {
                if target > index {
                    merge(&mut before[target], &after);
                } else {
                    let old = carried[target].clone();
                    merge(&mut carried[target], &after);
                    changed |= old != carried[target];
                }
            }
            state = falls_through(op).then_some(after);
        }
        if !changed {
            return Flow { before, live, row };
        }
    }
}

/// The register up to which an instruction stores words on every path through it.
pub(super) fn stored_up_to(op: Op) -> Option<u16> {
    match op {
        Op::Call { base, .. } | Op::CallGlobal { base, .. } => Some(base),
        _ => None,
    }
}

fn merge(state: &mut Option<State>, other: &State) {
    match state {
        Some(state) => state.join(other),
        None => *state = Some(other.clone()),
    }
}

fn liveness(proto: &Proto, protos: &[Box<Proto>], row: usize) -> Vec<u64> {
    let code = &proto.code;
    let mut live = vec![0u64; (code.len() + 1) * row];
    loop {
        let mut changed = false;
        for (index, &op) in code.iter().enumerate().rev() {
            let mut bits = vec![0u64; row];
            if falls_through(op) {
                bits.copy_from_slice(&live[(index + 1) * row..(index + 2) * row]);
            }
            if let Some(target) = target(index, op) {
                for (bits, &theirs) in bits.iter_mut().zip(&live[target * row..(target + 1) * row]) {
                    *bits |= theirs;
                }
            }
            if let Some(d) = written(op) {
                bits[usize::from(d) / 64] &= !(1 << (d % 64));
            }
            for_each_read(op, protos, |register| bits[usize::from(register) / 64] |= 1 << (register % 64));
            let old = &mut live[index * row..(index + 1) * row];
            if old != bits {
                // Only a back branch can have read what this changes.
                changed = true;
                old.copy_from_slice(&bits);
            }
        }
        if !changed || !code.iter().any(|op| matches!(op, Op::Loop { .. })) {
            return live;
        }
    }
}
