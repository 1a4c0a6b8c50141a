//! Variables, bodies, loops and closures.

use super::{Function, Label, Result, Target, emit};
use crate::error::Error;
use crate::op::Op;
use crate::proto::Source;
use crate::tree::{Item, Lambda, Loop, Node, VarRef};
use crate::value::Value;
use std::rc::Rc;

impl Function<'_, '_> {
    /// Binds `var` to a new register that holds the value of `node`.
    pub(super) fn bind(&mut self, var: &VarRef, node: &Node) -> Result<u16> {
        let register = self.temporary(node)?;
        if var.is_boxed() {
            self.push(Op::NewBox { d: register, s: register });
        }
        self.registers.insert(var.id, register);
        Ok(register)
    }

    /// Binds `var` to a new register that holds the undefined value or a box with it.
    fn bind_undefined(&mut self, var: &VarRef) -> Result<()> {
        self.bind(var, &Node::Const(Value::UNDEFINED)).map(|_| ())
    }

    pub(super) fn set_local(&mut self, var: &VarRef, value: &Node) -> Result<()> {
        let register = self.registers.get(&var.id).copied();
        if let Some(d) = register
            && !var.is_boxed()
        {
            if Self::is_simple(value) {
                return self.node(value, Target::Register(d));
            }
            let s = self.scratch(|this| this.operand(value))?;
            self.push(Op::Move { d, s });
            return Ok(());
        }
        self.scratch(|this| {
            let s = this.operand(value)?;
            match register {
                Some(b) => this.push(Op::SetBox { b, s }),
                None => {
                    let b = this.reserve()?;
                    let i = this.captured[&var.id];
                    this.push(Op::Captured { d: b, i });
                    this.push(Op::SetBox { b, s });
                }
            }
            Ok(())
        })
    }

    /// Gives `var`, bound before when it is `early`, the value in the last register taken.
    fn define(&mut self, var: &VarRef, value: &Node) -> Result<()> {
        if var.early.get() { self.set_local(var, value) } else { self.bind(var, value).map(|_| ()) }
    }

    pub(super) fn body(&mut self, items: &[Item], body: &Node, target: Target) -> Result<()> {
        for item in items {
            match item {
                Item::Define(var, _) if var.early.get() => self.bind_undefined(var)?,
                Item::Procedures(group) => {
                    for (var, _) in group.iter().filter(|(var, _)| var.early.get()) {
                        self.bind_undefined(var)?;
                    }
                }
                _ => {}
            }
        }
        for item in items {
            match item {
                Item::Define(var, value) => self.define(var, value)?,
                Item::Procedures(group) => self.procedures(group)?,
                Item::Effect(effect) => self.node(effect, Target::Nothing)?,
            }
        }
        self.node(body, target)
    }

    /// Makes the closures of a group. A closure captures the registers of neighbours that are made
    /// after it (or itself) before they are written; it is patched once they are. Nothing in between
    /// can collect garbage.
    fn procedures(&mut self, group: &[(VarRef, Rc<Lambda>)]) -> Result<()> {
        for (var, _) in group {
            if var.is_boxed() && !var.early.get() {
                self.bind_undefined(var)?;
            }
        }
        // Every member that lives in a plain register has it before the first closure is made.
        for (var, _) in group {
            if !self.registers.contains_key(&var.id) {
                let register = self.reserve()?;
                self.push(Op::Int { d: register, i: 0 });
                self.registers.insert(var.id, register);
            }
        }
        for (var, lambda) in group {
            let register = self.registers[&var.id];
            if var.is_boxed() {
                self.scratch(|this| {
                    let s = this.temporary(&Node::Lambda(lambda.clone()))?;
                    this.push(Op::SetBox { b: register, s });
                    Ok(())
                })?;
            } else {
                self.closure(lambda, Target::Register(register))?;
            }
        }
        for (index, (var, lambda)) in group.iter().enumerate() {
            if var.is_boxed() {
                continue;
            }
            let c = self.registers[&var.id];
            for (i, free) in (0u16..).zip(&lambda.free) {
                let is_later = group[index..].iter().any(|(other, _)| other.id == free.id && !other.is_boxed());
                if is_later {
                    let s = self.registers[&free.id];
                    self.push(Op::Patch { c, i, s });
                }
            }
        }
        self.patch_boxed(group)
    }

    /// Patches closures that live in boxes: they too may have captured a neighbour's plain register
    /// before it was written.
    fn patch_boxed(&mut self, group: &[(VarRef, Rc<Lambda>)]) -> Result<()> {
        for (index, (var, lambda)) in group.iter().enumerate().filter(|(_, (var, _))| var.is_boxed()) {
            let b = self.registers[&var.id];
            for (i, free) in (0u16..).zip(&lambda.free) {
                if group[index..].iter().any(|(other, _)| other.id == free.id && !other.is_boxed()) {
                    let s = self.registers[&free.id];
                    self.scratch(|this| {
                        let c = this.reserve()?;
                        this.push(Op::Unbox { d: c, b });
                        this.push(Op::Patch { c, i, s });
                        Ok(())
                    })?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn closure(&mut self, lambda: &Rc<Lambda>, target: Target) -> Result<()> {
        if target == Target::Nothing {
            return Ok(());
        }
        if lambda.free.len() > usize::from(u16::MAX / 2) {
            return Err(Error::new("a procedure captures too many variables"));
        }
        let source = |var: &VarRef| match self.registers.get(&var.id) {
            Some(&register) => Source::Register(register),
            None => Source::Captured(self.captured[&var.id]),
        };
        let captures = lambda.free.iter().map(source).collect();
        let k = emit(lambda, captures, self.output)?;
        if lambda.free.is_empty() {
            // All closures of it are the same.
            let proto = &raw const *self.output.protos[k as usize];
            let closure = self.output.heap.closure(proto, 0).value();
            return self.constant(closure, target);
        }
        self.deliver(target, |d| Op::Closure { d, k });
        Ok(())
    }

    pub(super) fn repeat(&mut self, parts: &Loop, target: Target) -> Result<()> {
        let mut vars = Vec::with_capacity(parts.vars.len());
        for (var, init) in &parts.vars {
            vars.push((var.clone(), self.temporary(init)?));
        }
        // Only now do the names mean these registers: an initial value may use a variable of the
        // same loop's earlier entry.
        for (var, register) in &vars {
            self.registers.insert(var.id, *register);
            if var.is_boxed() {
                self.push(Op::NewBox { d: *register, s: *register });
            }
        }
        self.labels.insert(parts.id, Label { start: self.code.len(), vars, top: self.next });
        self.node(&parts.body, target)
    }

    /// The next round: new values, then the jump.
    pub(super) fn again(&mut self, id: u32, values: &[Node]) -> Result<()> {
        let label = &self.labels[&id];
        let (start, top, vars) = (label.start, label.top, label.vars.clone());
        let mut moves = Vec::new();
        for (index, ((var, register), value)) in vars.iter().zip(values).enumerate() {
            if matches!(value, Node::Local(same) if same.id == var.id && !var.is_boxed()) {
                continue;
            }
            let is_needed = values[index + 1..].iter().any(|later| mentions(later, var.id));
            if Self::is_simple(value) && !is_needed && !var.is_boxed() {
                self.node(value, Target::Register(*register))?;
            } else {
                moves.push((var, *register, self.temporary(value)?));
            }
        }
        for (var, d, s) in moves {
            self.push(if var.is_boxed() { Op::NewBox { d, s } } else { Op::Move { d, s } });
        }
        let to = distance(self.code.len(), start)?;
        self.push(Op::Loop { top, to });
        Ok(())
    }
}

/// The operand of a branch at `from` to `target`.
pub(super) fn distance(from: usize, target: usize) -> Result<i32> {
    let position = |index: usize| i32::try_from(index).map_err(|_| Error::new("a procedure is too long"));
    Ok(position(target)? - position(from)? - 1)
}

/// Whether evaluating `node` may read the variable with this id. Everything but simple expressions
/// counts as reading it.
fn mentions(node: &Node, id: u32) -> bool {
    match node {
        Node::Const(_) | Node::Global(_) => false,
        Node::Local(var) => var.id == id,
        Node::Inline(_, operands) => operands.iter().any(|operand| mentions(operand, id)),
        _ => true,
    }
}
