//! One procedure's instructions to one WebAssembly function.
//!
//! The function takes the address of its frame, the running closure and the arguments, and returns what [`Entry`] functions
//! return. Registers are local variables with the same numbers, from 2 on; local 0 is the frame's address, local 1 the closure
//! (register 0). The frame in memory is laid out as the interpreter's, callee's frames start where the interpreter would start
//! them, and its limits are the interpreter's; but only what the collector must see is stored to it (see `flow`), so its words 0 and
//! 1 need not be closure and link.
//!
//! Registers and branches are right because `emit` made them and the interpreter relies on the same; the validator of the host
//! checks the rest, so that a mistake here is an error when the module is linked, or a wrong result, but not memory unsafety beyond the
//! guest's own.
//!
//! [`Entry`]: crate::proto::Entry

use super::batch::Batch;
use super::blocks::{Region, regions};
use super::encode::{Code, Local, Module, Plain, Type};
use super::flow::{self, Flow, Kind, State};
use super::operands::written;
use super::runtime::{Helper, Slow};
use crate::op::Op;
use crate::proto::Proto;
use crate::value::Value;
use std::collections::HashMap;

/// The local variable that holds the address of the frame.
pub(super) const FRAME: Local = 0;
const CLOSURE: Local = 1;

/// The state of one function.
pub(super) struct Function<'a> {
    pub batch: &'a Batch<'a>,
    pub module: &'a mut Module,
    pub proto: &'a Proto,
    /// This function's place in the batch.
    pub index: usize,
    pub code: Code,
    pub state: State,
    flow: Flow,
    /// The instruction that is being compiled.
    at: usize,
    /// Open regions, with the number of blocks around each.
    open: Vec<(Region, u32)>,
    /// The procedures that registers' values are closures of, as far as a look at a live closure's captured values can tell.
    pub guesses: HashMap<u16, *const Proto>,
    /// A variable for an address.
    pub address: Local,
    /// A variable for a value.
    pub scratch: Local,
}

/// The local variable of a register.
pub(super) fn local(register: u16) -> Local {
    if register == 0 { CLOSURE } else { register.into() }
}

/// The offset of a register's word from the start of the frame.
pub(super) fn word(register: u16) -> u32 {
    u32::from(register) * 8
}

/// The type of the functions for procedures with this many parameters.
pub(super) fn signature(module: &mut Module, params: usize) -> u32 {
    let mut types = vec![Type::I64; params + 2];
    types[0] = Type::I32;
    module.signature(&types, &[Type::I64])
}

/// Compiles the procedure at `index` of the batch and adds it to `module`.
pub(super) fn compile(batch: &Batch<'_>, index: usize, module: &mut Module) {
    let proto = batch.proto(index);
    let flow = flow::analyse(proto, batch.protos(), batch.constants());
    let registers = u32::try_from(proto.frame.max(2)).expect("the batch takes no larger frames");
    let ty = signature(module, proto.params);
    let mut function = Function {
        batch,
        module,
        proto,
        index,
        code: Code::default(),
        state: State { kinds: Vec::new(), stored: Vec::new() },
        flow,
        at: 0,
        open: Vec::new(),
        guesses: HashMap::new(),
        address: registers,
        scratch: registers + 1,
    };
    function.body();
    let code = function.code;
    let declared = proto.frame.max(2) - 2 - proto.params;
    let declared = u32::try_from(declared).expect("a part of `registers`");
    module.define(proto.name.clone(), ty, &[(declared, Type::I64), (1, Type::I32), (1, Type::I64)], code);
}

impl Function<'_> {
    fn body(&mut self) {
        // Calls of itself in tail position come back to here.
        self.code.repeat();
        self.enter();
        let mut regions = regions(&self.proto.code).into_iter().peekable();
        for (index, &op) in self.proto.code.iter().enumerate() {
            while self.open.last().is_some_and(|(region, _)| region.end == index) {
                self.code.op(Plain::End);
                self.open.pop();
                self.guesses.clear();
            }
            while let Some(region) = regions.next_if(|region| region.start == index) {
                if region.is_loop {
                    self.code.repeat();
                    self.guesses.clear();
                } else {
                    self.code.block();
                }
                self.open.push((region, self.code.depth()));
            }
            self.at = index;
            let Some(state) = self.flow.before[index].clone() else { continue };
            self.state = state;
            self.instruction(op);
            if let Some(d) = written(op)
                && !matches!(op, Op::Captured { .. } | Op::Unbox { .. })
            {
                self.guesses.remove(&d);
            }
        }
        for _ in 0..self.open.len() {
            self.code.op(Plain::End);
        }
        // Code ends in a return or a jump, which the validator cannot know of the end of a block.
        self.code.op(Plain::Unreachable).op(Plain::End).op(Plain::Unreachable);
    }

    /// The label of the block or loop that a branch of the current instruction goes to.
    fn label(&self, distance: isize) -> u32 {
        let target = (self.at + 1).wrapping_add_signed(distance);
        let found =
            self.open.iter().rev().find(|(region, _)| region.target() == target && region.is_loop == (distance < 0));
        let (_, depth) = found.expect("`regions` has one for every branch");
        self.code.depth() - depth
    }

    /// Branches when the `i32` on the stack is not zero.
    pub fn branch_if(&mut self, distance: impl Into<i64>) {
        let label = self.label(as_distance(distance.into()));
        self.code.br_if(label);
    }

    fn branch(&mut self, distance: i32) {
        let label = self.label(as_distance(distance.into()));
        self.code.br(label);
    }

    /// The label of the start of the function.
    pub fn start_label(&self) -> u32 {
        self.code.depth() - 1
    }

    /// Pushes a register.
    pub fn get(&mut self, register: u16) -> &mut Code {
        self.code.get(local(register))
    }

    /// Pops into a register.
    pub fn set(&mut self, register: u16) {
        self.code.set(local(register));
    }

    /// Pushes the low half of a register, its address when it holds one.
    pub fn get_address(&mut self, register: u16) -> &mut Code {
        self.code.get(local(register)).op(Plain::I32WrapI64)
    }

    pub fn is_integer(&self, register: u16) -> bool {
        self.state.kinds[usize::from(register)] == Kind::Integer
    }

    /// Whether `register` is read after the current instruction.
    pub fn is_needed(&self, register: u16) -> bool {
        self.flow.is_live(self.at + 1, register)
    }

    /// Calls a function of the interpreter with what is on the stack.
    pub fn helper(&mut self, helper: Helper) -> &mut Code {
        let ty = self.module.signature(helper.params(), &[Type::I64]);
        // The host can see that the index is constant, and make it a guarded direct call.
        self.code.i32(helper.index()).call_indirect(ty)
    }

    /// Returns what a function of the interpreter returns. A tail call, so that a path without other calls needs no frame.
    pub fn return_helper(&mut self, helper: Helper) {
        let ty = self.module.signature(helper.params(), &[Type::I64]);
        self.code.i32(helper.index()).return_call_indirect(ty);
    }

    /// Pushes the machine's address, the first argument of every helper.
    pub fn machine(&mut self) -> &mut Code {
        self.code.i32(self.batch.addresses.machine)
    }

    /// Pushes the frame's address plus a register's offset.
    pub fn word_address(&mut self, register: u16) -> &mut Code {
        self.code.get(FRAME);
        if register > 0 {
            self.code.i32(word(register)).op(Plain::I32Add);
        }
        &mut self.code
    }

    /// Pops a value; when it is [`Value::FAILED`], the function returns it, else it goes to `register`.
    pub fn set_unless_failed(&mut self, register: u16) {
        self.code.tee(local(register));
        self.return_if_failed();
    }

    /// Pops a value, and returns it when it is [`Value::FAILED`].
    fn return_if_failed(&mut self) {
        self.code.i64(Value::FAILED.0).op(Plain::I64Eq).when().i64(Value::FAILED.0).op(Plain::Return).op(Plain::End);
    }

    /// Calls the general form of an operation and pushes its result.
    pub fn slow(&mut self, slow: Slow, a: u16, b: u16) {
        self.operands(slow, a, b);
        self.helper(Helper::Binary);
    }

    /// Returns the error of the general form of an operation.
    pub fn return_error(&mut self, slow: Slow, a: u16, b: u16) {
        self.operands(slow, a, b);
        self.return_helper(Helper::Binary);
    }

    fn operands(&mut self, slow: Slow, a: u16, b: u16) {
        self.machine();
        self.code.i32(slow as u32);
        self.get(a);
        self.get(b);
    }

    /// Stores what the collector must find in words below `top` while the current instruction's callee runs.
    pub fn spill(&mut self, top: u16) {
        self.spill_for(top, self.at + 1);
    }

    /// Does so for registers that are live at instruction `index`.
    fn spill_for(&mut self, top: u16, index: usize) {
        let flow = &self.flow;
        for register in self.state.spill(top, |register| flow.is_live(index, register)) {
            self.store(register);
        }
    }

    /// Stores a register to its word of the frame.
    pub fn store(&mut self, register: u16) {
        self.code.get(FRAME);
        self.get(register).store64(word(register));
    }

    /// The check on entering: room on the stack, a collection that was asked for.
    fn enter(&mut self) {
        let size =
            u32::try_from(self.proto.frame_with(self.proto.params) * 8).expect("the batch takes no larger frames");
        let limit = self.batch.addresses.stack_limit;
        self.code.get(FRAME).i32(size).op(Plain::I32Add).i32(limit).load32(0).op(Plain::I32GtU).when();
        self.store(0);
        for register in (2..).take(self.proto.params) {
            self.store(register);
        }
        self.machine();
        self.code.i32(self.batch.address_of(self.index)).get(FRAME);
        if self.batch.collects_always() {
            // The limit stays null, so the function cannot be entered again.
            let scratch = self.scratch;
            self.helper(Helper::Prepare).tee(scratch);
            self.code.i64(Value::UNDEFINED.0).op(Plain::I64Ne).when().get(scratch).op(Plain::Return).op(Plain::End);
        } else {
            self.return_helper(Helper::Enter);
        }
        self.code.op(Plain::End);
    }

    /// The check of a loop: a collection that was asked for. All of its stores are on the path that is rarely taken, which
    /// leaves what is known on the other one as it is.
    fn poll(&mut self, top: u16) {
        self.code.i32(self.batch.addresses.stack_limit).load32(0).op(Plain::I32Eqz).when();
        let before = self.state.clone();
        // What the next round reads is what is live here.
        self.spill_for(top, self.at);
        self.state = before;
        self.machine();
        self.word_address(top);
        self.helper(Helper::Collect);
        self.return_if_failed();
        self.code.op(Plain::End);
    }

    fn instruction(&mut self, op: Op) {
        if let Some(d) = written(op)
            && !self.is_needed(d)
            && matches!(op, Op::Move { .. } | Op::Const { .. } | Op::Int { .. } | Op::Captured { .. })
        {
            return;
        }
        match op {
            Op::Move { d, s } => {
                self.get(s);
                self.set(d);
            }
            Op::Const { d, k } => {
                // Constants are roots of the collector as long as the machine lives.
                self.code.i64(self.batch.constants()[k as usize].0);
                self.set(d);
            }
            Op::Int { d, i } => {
                self.code.i64(Value::small(i).0);
                self.set(d);
            }
            Op::Clear { .. } => {}
            Op::Jump { to } => self.branch(to),
            Op::Loop { top, to } => {
                self.poll(top);
                self.branch(to);
            }
            Op::Return { s } => {
                self.get(s).op(Plain::Return);
            }
            Op::Call { .. }
            | Op::CallGlobal { .. }
            | Op::TailCall { .. }
            | Op::TailCallGlobal { .. }
            | Op::CallPrimitive { .. } => self.call(op),
            Op::Add { .. }
            | Op::Sub { .. }
            | Op::Mul { .. }
            | Op::AddInt { .. }
            | Op::Quotient { .. }
            | Op::Remainder { .. }
            | Op::Modulo { .. }
            | Op::Less { .. }
            | Op::LessEqual { .. }
            | Op::NumEqual { .. }
            | Op::JumpLess { .. }
            | Op::JumpLessEqual { .. }
            | Op::JumpNumEqual { .. }
            | Op::JumpNumDiffer { .. }
            | Op::JumpLessInt { .. }
            | Op::JumpNotLessInt { .. }
            | Op::JumpEqualInt { .. }
            | Op::JumpDifferInt { .. } => self.arithmetic(op),
            _ => self.data(op),
        }
    }
}

fn as_distance(distance: i64) -> isize {
    isize::try_from(distance).expect("branches are at most 32 bits wide")
}
