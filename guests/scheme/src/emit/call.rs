//! Calls of procedures and primitives.

use super::{Function, Result, Target};
use crate::error::Error;
use crate::inline::Inline;
use crate::op::Op;
use crate::tree::Node;
use crate::value::Value;

impl Function<'_, '_> {
    /// A call: the callee's frame starts at the first free register.
    pub(super) fn call(&mut self, callee: &Node, arguments: &[Node], target: Target) -> Result<()> {
        self.scratch(|this| {
            let base = this.next;
            // While arguments are computed, a collection would see the callee's two words below them.
            let may_collect =
                arguments.iter().any(|argument| !Self::is_simple(argument) && !matches!(argument, Node::Lambda(_)));
            match callee {
                Node::Global(_) if may_collect => this.push(Op::Clear { base }),
                Node::Global(_) => {}
                _ => {
                    this.node(callee, Target::Register(base))?;
                    if may_collect {
                        this.push(Op::Int { d: base + 1, i: 0 });
                    }
                }
            }
            this.reserve()?;
            this.reserve()?;
            for argument in arguments {
                this.temporary(argument)?;
            }
            this.finish_call(callee, base, arguments.len(), target)
        })
    }

    /// A call with one argument, already in a register.
    pub(super) fn call_with(&mut self, callee: &Node, argument: u16, target: Target) -> Result<()> {
        self.scratch(|this| {
            let base = this.next;
            if !matches!(callee, Node::Global(_)) {
                this.node(callee, Target::Register(base))?;
            }
            this.reserve()?;
            this.reserve()?;
            let register = this.reserve()?;
            this.push(Op::Move { d: register, s: argument });
            this.finish_call(callee, base, 1, target)
        })
    }

    fn finish_call(&mut self, callee: &Node, base: u16, count: usize, target: Target) -> Result<()> {
        let n = u8::try_from(count).map_err(|_| Error::new("a call has too many arguments"))?;
        match (callee, target) {
            (Node::Global(k), Target::Return) => self.push(Op::TailCallGlobal { n, base, k: *k }),
            (Node::Global(k), _) => self.push(Op::CallGlobal { n, base, k: *k }),
            (_, Target::Return) => self.push(Op::TailCall { n, base }),
            _ => self.push(Op::Call { n, base }),
        }
        if target != Target::Return {
            self.deliver_register(target, base);
        }
        Ok(())
    }

    /// A primitive that has no instruction of its own: its operands in neighbouring registers.
    pub(super) fn primitive(&mut self, p: u16, operands: &[Node], target: Target) -> Result<()> {
        self.scratch(|this| {
            let base = this.next;
            for operand in operands {
                this.temporary(operand)?;
            }
            let n = u8::try_from(operands.len()).map_err(|_| Error::new("a call has too many arguments"))?;
            this.deliver(target, |d| Op::CallPrimitive { n, d, base, p });
            Ok(())
        })
    }

    /// A primitive with an instruction of its own.
    pub(super) fn inline(&mut self, inline: Inline, operands: &[Node], target: Target) -> Result<()> {
        self.scratch(|this| {
            match (inline, operands) {
                (Inline::Add, [left, right]) if Self::small_integer(right).is_some() => {
                    let i = Self::small_integer(right).unwrap_or_default();
                    let a = this.operand(left)?;
                    this.deliver(target, |d| Op::AddInt { d, a, i });
                    return Ok(());
                }
                (Inline::Add, [left, right]) if Self::small_integer(left).is_some() => {
                    let i = Self::small_integer(left).unwrap_or_default();
                    let a = this.operand(right)?;
                    this.deliver(target, |d| Op::AddInt { d, a, i });
                    return Ok(());
                }
                (Inline::Sub, [left, right]) => {
                    if let Some(i) = Self::small_integer(right).and_then(i16::checked_neg) {
                        let a = this.operand(left)?;
                        this.deliver(target, |d| Op::AddInt { d, a, i });
                        return Ok(());
                    }
                }
                _ => {}
            }
            let mut registers = [0u16; 3];
            for (register, operand) in registers.iter_mut().zip(operands) {
                *register = this.operand(operand)?;
            }
            if inline == Inline::IsZero {
                registers[1] = this.temporary(&Node::Const(Value::ZERO))?;
            }
            let [a, b, c] = registers;
            if inline == Inline::VectorSet {
                this.push(Op::VectorSet { v: a, i: b, s: c });
                return this.unspecified(target);
            }
            this.deliver(target, |d| match inline {
                Inline::Add => Op::Add { d, a, b },
                Inline::Sub => Op::Sub { d, a, b },
                Inline::Mul => Op::Mul { d, a, b },
                Inline::Quotient => Op::Quotient { d, a, b },
                Inline::Remainder => Op::Remainder { d, a, b },
                Inline::Modulo => Op::Modulo { d, a, b },
                Inline::Not => Op::Not { d, s: a },
                Inline::Cons => Op::Cons { d, a, b },
                Inline::Car => Op::Car { d, s: a },
                Inline::Cdr => Op::Cdr { d, s: a },
                Inline::IsNull => Op::IsNull { d, s: a },
                Inline::IsPair => Op::IsPair { d, s: a },
                Inline::VectorRef => Op::VectorRef { d, v: a, i: b },
                _ => Self::comparison_value(inline, d, a, b).expect("the rest of the table is comparisons"),
            });
            Ok(())
        })
    }
}
