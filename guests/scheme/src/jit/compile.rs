//! One procedure's instructions to one WebAssembly function.
//!
//! The function takes the address of its frame, the running closure and the arguments, and returns what [`Entry`] functions
//! return. Registers are local variables with the same numbers, from 2 on; local 0 is the frame's address, local 1 the closure
//! (register 0). A short procedure that is known at a call is compiled in line there, with local variables of its own. The frame in memory is laid out as the interpreter's, callee's frames start where the interpreter would start
//! them, and its limits are the interpreter's; but only what the collector must see is stored to it (see `flow`), so its words 0 and
//! 1 need not be closure and link.
//!
//! Registers and branches are right because `emit` made them and the interpreter relies on the same; the validator of the host
//! checks the rest, so that a mistake here is an error when the module is linked, or a wrong result, but not memory unsafety beyond the
//! guest's own.
//!
//! [`Entry`]: crate::proto::Entry

use super::batch::{Batch, Target};
use super::blocks::{Region, regions};
use super::encode::{Code, Local, Module, Plain, Type};
use super::flow::{self, Flow, Kind, State};
use super::operands::written;
use super::runtime::{Helper, Slow};
use crate::op::Op;
use crate::proto::Proto;
use crate::value::Value;
use std::collections::HashMap;

/// The most instructions of a procedure that is done in line.
const MAX_INLINE: usize = 24;
/// The most calls in one function that are done in line.
const MAX_INLINED: usize = 8;

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
    /// The first of the procedure's local variables: the address of its frame, then the closure, then registers.
    base: Local,
    /// Where the procedure returns to when it is done in line.
    inlined: Option<Inlined>,
    /// Local variables beyond those of the function's own procedure, in runs of one type, and how many there are of all.
    runs: Vec<(u32, Type)>,
    locals: u32,
    /// How many calls have been done in line.
    inlines: usize,
}

/// How a procedure that is done in line returns.
#[derive(Clone, Copy)]
struct Inlined {
    /// How many blocks are open within the one that it leaves.
    depth: u32,
    /// The variable that takes its result.
    result: Local,
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

/// Whether calls of `proto` can be done in line: it is short, and neither loops nor ends in a call that needs its place.
fn is_short(proto: &Proto) -> bool {
    proto.code.len() <= MAX_INLINE
        && !proto.code.iter().any(|op| matches!(op, Op::Loop { .. } | Op::TailCall { .. } | Op::TailCallGlobal { .. }))
}

/// The procedure of the batch that a call by `op` runs in line, and the register at which its frame begins.
fn short_callee(batch: &Batch<'_>, op: Op) -> Option<(usize, u16)> {
    let Op::CallGlobal { n, base, k } = op else { return None };
    let (_, Target::Function(function)) = batch.known_global(k, n)? else { return None };
    let index = batch.procedure(function);
    is_short(batch.proto(index)).then_some((index, base))
}

/// Compiles the procedure at `index` of the batch and adds it to `module`.
pub(super) fn compile(batch: &Batch<'_>, index: usize, module: &mut Module) {
    let proto = batch.proto(index);
    let reserve = proto.code.iter().filter_map(|&op| short_callee(batch, op)).map(|(callee, base)| {
        let callee = batch.proto(callee);
        usize::from(base) + callee.frame_with(callee.params)
    });
    proto.reserve.set(reserve.max().unwrap_or(0));
    let flow = flow::analyse(proto, &vec![Kind::Any; proto.params], batch.protos(), batch.constants());
    let registers = proto.frame.max(2);
    let declared = count(registers - 2 - proto.params);
    let registers = count(registers);
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
        base: 0,
        inlined: None,
        runs: vec![(declared, Type::I64), (1, Type::I32), (1, Type::I64)],
        locals: registers + 2,
        inlines: 0,
    };
    // Calls of itself in tail position come back to here.
    function.code.repeat();
    function.enter();
    function.instructions();
    // Code ends in a return or a jump, which the validator cannot know of the end of a block.
    function.code.op(Plain::Unreachable).op(Plain::End).op(Plain::Unreachable);
    let Function { code, runs, .. } = function;
    module.define(proto.name.clone(), ty, &runs, code);
}

impl Function<'_> {
    fn instructions(&mut self) {
        let proto = self.proto;
        let mut regions = regions(&proto.code).into_iter().peekable();
        for (index, &op) in proto.code.iter().enumerate() {
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
    }

    /// The procedure that the current instruction, a call, should do in line.
    pub fn in_line(&self) -> Option<usize> {
        if self.inlined.is_some() || self.inlines >= MAX_INLINED {
            return None;
        }
        short_callee(self.batch, self.proto.code[self.at]).map(|(index, _)| index)
    }

    /// Does a call of the procedure at `index` in line. Its frame is where that of a call would be, at [`Function::address`], and its result goes to
    /// register `base`.
    pub fn call_in_line(&mut self, index: usize, base: u16) {
        let proto = self.batch.proto(index);
        let result = self.local(base);
        let first = self.locals;
        let values = count(proto.frame.max(2) - 1);
        self.runs.extend([(1, Type::I32), (values, Type::I64)]);
        self.locals += 1 + values;
        self.inlines += 1;

        self.code.get(self.address).set(first);
        self.get(base).set(first + 1);
        let mut kinds = Vec::with_capacity(proto.params);
        for param in (2..).take(proto.params) {
            self.get(base + param).set(first + u32::from(param));
            kinds.push(self.state.kinds[usize::from(base + param)]);
        }
        self.code.block();
        let inlined = Some(Inlined { depth: self.code.depth(), result });
        let flow = flow::analyse(proto, &kinds, self.batch.protos(), self.batch.constants());

        let caller = (
            std::mem::replace(&mut self.proto, proto),
            std::mem::replace(&mut self.index, index),
            std::mem::replace(&mut self.flow, flow),
            self.state.clone(),
            self.at,
            std::mem::take(&mut self.open),
            std::mem::take(&mut self.guesses),
            std::mem::replace(&mut self.base, first),
        );
        self.inlined = inlined;
        self.instructions();
        self.inlined = None;
        (self.proto, self.index, self.flow, self.state, self.at, self.open, self.guesses, self.base) = caller;
        self.code.op(Plain::End);
    }

    /// The local variable of a register.
    pub fn local(&self, register: u16) -> Local {
        self.base + if register == 0 { 1 } else { u32::from(register) }
    }

    /// The local variable that holds the address of the frame.
    pub fn frame(&self) -> Local {
        self.base
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
        self.code.get(self.local(register))
    }

    /// Pops into a register.
    pub fn set(&mut self, register: u16) {
        self.code.set(self.local(register));
    }

    /// Pushes the low half of a register, its address when it holds one.
    pub fn get_address(&mut self, register: u16) -> &mut Code {
        self.code.get(self.local(register)).op(Plain::I32WrapI64)
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
        self.code.get(self.frame());
        if register > 0 {
            self.code.i32(word(register)).op(Plain::I32Add);
        }
        &mut self.code
    }

    /// Pops a value; when it is [`Value::FAILED`], the function returns it, else it goes to `register`.
    pub fn set_unless_failed(&mut self, register: u16) {
        self.code.tee(self.local(register));
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
        self.code.get(self.frame());
        self.get(register).store64(word(register));
    }

    /// The check on entering: room on the stack, a collection that was asked for.
    fn enter(&mut self) {
        let size = count(self.proto.reserved(self.proto.params) * 8);
        let limit = self.batch.addresses.stack_limit;
        self.code.get(self.frame()).i32(size).op(Plain::I32Add).i32(limit).load32(0).op(Plain::I32GtU).when();
        self.store(0);
        for register in (2..).take(self.proto.params) {
            self.store(register);
        }
        self.machine();
        let frame = self.frame();
        self.code.i32(self.batch.address_of(self.index)).get(frame);
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
            Op::Return { s } => match self.inlined {
                Some(inlined) => {
                    let label = self.code.depth() - inlined.depth;
                    self.get(s).set(inlined.result).br(label);
                }
                None => {
                    self.get(s).op(Plain::Return);
                }
            },
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

/// A number of words or bytes of a frame.
fn count(number: usize) -> u32 {
    u32::try_from(number).expect("the batch takes no larger frames")
}

fn as_distance(distance: i64) -> isize {
    isize::try_from(distance).expect("branches are at most 32 bits wide")
}
