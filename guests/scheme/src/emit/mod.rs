//! From the resolved tree to instructions.
//!
//! Registers are handed out like a stack: `next` is the first free one, and everything below it is
//! written before code that could collect garbage runs. That is the invariant the machine's collector
//! relies on: at a safe point it takes all words below a known register as values. The destination of
//! an expression is either `next` itself or a register below it; the latter is written by the last
//! instruction of the expression only, so the old value stays readable until then.

mod branch;
mod call;
mod scope;

use crate::error::Error;
use crate::heap::Heap;
use crate::inline::Inline;
use crate::op::Op;
use crate::proto::{Proto, Source};
use crate::tree::{Lambda, Node, Then, VarRef};
use crate::value::Value;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

/// Where finished procedures and constants go: tables of the machine that outlive the program's code.
pub struct Output<'a> {
    /// Where closures that capture nothing are made, once and for all.
    pub heap: &'a mut Heap,
    /// All procedures; code refers to them by index.
    #[expect(clippy::vec_box, reason = "closures hold procedures' addresses, so they must not move")]
    pub protos: &'a mut Vec<Box<Proto>>,
    /// All constants; code refers to them by index.
    pub constants: &'a mut Vec<Value>,
    /// How many calls make a procedure hot.
    pub heat: u32,
}

/// What becomes of an expression's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// It goes to a register.
    Register(u16),
    /// The procedure returns it.
    Return,
    /// Nothing; the expression is there for its effect.
    Nothing,
}

/// A loop whose body is being emitted.
struct Label {
    start: usize,
    vars: Vec<(VarRef, u16)>,
    /// The first register that no round needs from the one before.
    top: u16,
}

/// The state of one procedure.
struct Function<'a, 'b> {
    output: &'a mut Output<'b>,
    code: Vec<Op>,
    registers: HashMap<u32, u16>,
    captured: HashMap<u32, u16>,
    labels: HashMap<u32, Label>,
    next: u16,
    frame: u16,
}

type Result<T> = std::result::Result<T, Error>;

/// Emits `lambda` and all procedures inside it; returns its index in `output.protos`.
///
/// # Errors
///
/// When a procedure needs more registers or longer branches than instructions can hold.
pub fn emit(lambda: &Rc<Lambda>, captures: Vec<Source>, output: &mut Output<'_>) -> Result<u32> {
    let mut function = Function {
        output,
        code: Vec::new(),
        registers: HashMap::new(),
        captured: HashMap::new(),
        labels: HashMap::new(),
        next: 2,
        frame: 2,
    };
    for param in &lambda.params {
        let register = function.reserve()?;
        function.registers.insert(param.id, register);
    }
    for (index, var) in (0u16..).zip(&lambda.free) {
        function.captured.insert(var.id, index);
    }
    for param in lambda.params.iter().filter(|param| param.is_boxed()) {
        let register = function.registers[&param.id];
        function.push(Op::NewBox { d: register, s: register });
    }
    function.node(&lambda.body, Target::Return)?;
    let Function { code, frame, .. } = function;
    let proto = Proto {
        name: lambda.name.clone(),
        params: lambda.params.len(),
        rest: lambda.rest,
        frame: usize::from(frame),
        code: code.into(),
        captures: captures.into(),
        heat: Cell::new(output.heat),
        entry: Cell::new(None),
        key: Cell::new(0),
        fast: Cell::new(0),
        reserve: Cell::new(0),
        is_rejected: Cell::new(false),
    };
    let index = index_of(output.protos.len())?;
    output.protos.push(Box::new(proto));
    Ok(index)
}

fn index_of(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| Error::new("the program is too large"))
}

impl Function<'_, '_> {
    fn push(&mut self, op: Op) {
        self.code.push(op);
    }

    /// Takes the next register.
    fn reserve(&mut self) -> Result<u16> {
        // Half of what 16 bits hold leaves room for a call's two extra words and its arguments.
        if self.next >= u16::MAX / 2 {
            return Err(Error::new("a procedure has too many variables"));
        }
        let register = self.next;
        self.next += 1;
        self.frame = self.frame.max(self.next + 2);
        Ok(register)
    }

    /// Runs `emit` and gives back the registers it took.
    fn scratch<T>(&mut self, emit: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let next = self.next;
        let result = emit(self);
        self.next = next;
        result
    }

    /// The value of `node` in a new register.
    fn temporary(&mut self, node: &Node) -> Result<u16> {
        let register = self.next;
        self.node(node, Target::Register(register))?;
        self.reserve()
    }

    /// The register that holds the value of `node`, a new one unless it is a plain variable.
    fn operand(&mut self, node: &Node) -> Result<u16> {
        match node {
            Node::Local(var) if !var.is_boxed() && !var.early.get() => match self.registers.get(&var.id) {
                Some(&register) => Ok(register),
                None => self.temporary(node),
            },
            _ => self.temporary(node),
        }
    }

    /// Whether emitting `node` takes one instruction that cannot collect garbage and writes its
    /// destination last.
    fn is_simple(node: &Node) -> bool {
        let is_atom = |node: &Node| matches!(node, Node::Const(_) | Node::Local(_) | Node::Global(_));
        match node {
            Node::Inline(inline, operands) => *inline != Inline::VectorSet && operands.iter().all(is_atom),
            _ => is_atom(node),
        }
    }

    /// Finishes an expression whose value an instruction can write to any register.
    fn deliver(&mut self, target: Target, op: impl FnOnce(u16) -> Op) {
        match target {
            Target::Register(d) => self.push(op(d)),
            Target::Return => {
                let d = self.next;
                self.frame = self.frame.max(d + 1);
                self.push(op(d));
                self.push(Op::Return { s: d });
            }
            Target::Nothing => {
                let d = self.next;
                self.frame = self.frame.max(d + 1);
                self.push(op(d));
            }
        }
    }

    /// Finishes an expression whose value is in register `s`.
    fn deliver_register(&mut self, target: Target, s: u16) {
        match target {
            Target::Register(d) if d == s => {}
            Target::Register(d) => self.push(Op::Move { d, s }),
            Target::Return => self.push(Op::Return { s }),
            Target::Nothing => {}
        }
    }

    fn constant(&mut self, value: Value, target: Target) -> Result<()> {
        if target == Target::Nothing {
            return Ok(());
        }
        let small = value.as_integer().and_then(|number| i32::try_from(number).ok());
        if let Some(i) = small {
            self.deliver(target, |d| Op::Int { d, i });
            return Ok(());
        }
        let k = self.constant_index(value)?;
        self.deliver(target, |d| Op::Const { d, k });
        Ok(())
    }

    fn constant_index(&mut self, value: Value) -> Result<u32> {
        let constants = &mut *self.output.constants;
        // The few values that every program uses share an entry; others are rarely repeated.
        let index = constants.iter().take(8).position(|&old| old == value).unwrap_or_else(|| {
            constants.push(value);
            constants.len() - 1
        });
        index_of(index)
    }

    /// What a form without a useful value returns.
    fn unspecified(&mut self, target: Target) -> Result<()> {
        self.constant(Value::UNSPECIFIED, target)
    }

    fn local(&mut self, var: &VarRef, target: Target) -> Result<()> {
        let is_plain = !var.is_boxed() && !var.early.get();
        if is_plain && target == Target::Nothing {
            return Ok(());
        }
        match (self.registers.get(&var.id), is_plain) {
            (Some(&register), true) => self.deliver_register(target, register),
            (None, true) => {
                let i = self.captured[&var.id];
                self.deliver(target, |d| Op::Captured { d, i });
            }
            (_, false) => {
                let value = self.next;
                self.frame = self.frame.max(value + 1);
                match (self.registers.get(&var.id), var.is_boxed()) {
                    (Some(&b), true) => self.push(Op::Unbox { d: value, b }),
                    (Some(&s), false) => self.push(Op::Move { d: value, s }),
                    (None, _) => {
                        let i = self.captured[&var.id];
                        self.push(Op::Captured { d: value, i });
                        self.push(Op::Unbox { d: value, b: value });
                    }
                }
                if var.early.get() {
                    self.push(Op::CheckDefined { s: value, k: var.name });
                }
                self.deliver_register(target, value);
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, target: Target) -> Result<()> {
        match node {
            Node::Const(value) => self.constant(*value, target),
            Node::Local(var) => self.local(var, target),
            Node::Global(k) => {
                self.deliver(target, |d| Op::Global { d, k: *k });
                Ok(())
            }
            Node::SetLocal(var, value) => {
                self.set_local(var, value)?;
                self.unspecified(target)
            }
            Node::SetGlobal(k, value) => {
                let s = self.scratch(|this| this.operand(value))?;
                self.push(Op::SetGlobal { s, k: *k });
                self.unspecified(target)
            }
            Node::DefineGlobal(k, value) => {
                let s = self.scratch(|this| this.operand(value))?;
                self.push(Op::DefineGlobal { s, k: *k });
                self.unspecified(target)
            }
            Node::If(parts) => {
                let [test, then, other] = &**parts;
                let to_other = self.branch(test, false)?;
                self.node(then, target)?;
                let to_end = (target != Target::Return).then(|| self.forward(Op::Jump { to: 0 }));
                self.land(to_other)?;
                self.node(other, target)?;
                self.land(to_end.into_iter().collect())
            }
            Node::Cond(clauses) => self.cond(clauses, target),
            Node::And(parts) => self.and(parts, target),
            Node::Or(parts) => self.or(parts, target),
            Node::Seq(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    self.node(part, if index + 1 == parts.len() { target } else { Target::Nothing })?;
                }
                Ok(())
            }
            Node::Let(vars, body) => self.scratch(|this| {
                for (var, value) in vars {
                    this.bind(var, value)?;
                }
                this.node(body, target)
            }),
            Node::Body(items, body) => self.scratch(|this| this.body(items, body, target)),
            Node::Loop(parts) => self.scratch(|this| this.repeat(parts, target)),
            Node::Continue(id, values) => self.scratch(|this| this.again(*id, values)),
            Node::Lambda(lambda) => self.closure(lambda, target),
            Node::Call(callee, arguments) => self.call(callee, arguments, target),
            Node::Inline(inline, operands) => self.inline(*inline, operands, target),
            Node::Primitive(p, operands) => self.primitive(*p, operands, target),
        }
    }

    /// `and` for its value: false parts give `#f`.
    fn and(&mut self, parts: &[Node], target: Target) -> Result<()> {
        let Some((last, first)) = parts.split_last() else { return self.constant(Value::TRUE, target) };
        let mut exits = Vec::new();
        for part in first {
            exits.extend(self.branch(part, false)?);
        }
        self.node(last, target)?;
        let to_end = (target != Target::Return).then(|| self.forward(Op::Jump { to: 0 }));
        self.land(exits)?;
        self.constant(Value::FALSE, target)?;
        self.land(to_end.into_iter().collect())
    }

    fn or(&mut self, parts: &[Node], target: Target) -> Result<()> {
        let Some((last, first)) = parts.split_last() else { return self.constant(Value::FALSE, target) };
        let mut exits = Vec::new();
        // The first parts share one register, which holds the value when one of them is true.
        let shared = self.next;
        for part in first {
            self.node(part, Target::Register(shared))?;
            self.frame = self.frame.max(shared + 1);
            exits.push(self.forward(Op::JumpIf { s: shared, to: 0 }));
        }
        self.node(last, target)?;
        let to_end = (target != Target::Return).then(|| self.forward(Op::Jump { to: 0 }));
        self.land(exits)?;
        self.deliver_register(target, shared);
        self.land(to_end.into_iter().collect())
    }

    fn cond(&mut self, clauses: &[(Node, Then)], target: Target) -> Result<()> {
        let mut to_end = Vec::new();
        let mut falls_through = true;
        for (test, then) in clauses {
            let exits = match then {
                Then::Body(body) => {
                    let exits = self.branch(test, false)?;
                    falls_through = !matches!(test, Node::Const(value) if value.is_true());
                    self.node(body, target)?;
                    exits
                }
                Then::Test | Then::Call(_) => {
                    let value = self.next;
                    self.node(test, Target::Register(value))?;
                    self.frame = self.frame.max(value + 1);
                    let exit = self.forward(Op::JumpIfNot { s: value, to: 0 });
                    match then {
                        Then::Call(receiver) => self.scratch(|this| {
                            this.reserve()?;
                            this.call_with(receiver, value, target)
                        })?,
                        _ => self.deliver_register(target, value),
                    }
                    vec![exit]
                }
            };
            if target != Target::Return {
                to_end.push(self.forward(Op::Jump { to: 0 }));
            }
            self.land(exits)?;
        }
        if falls_through || clauses.is_empty() {
            self.unspecified(target)?;
        }
        self.land(to_end)
    }
}
