//! Conditions: comparisons and tests become branches without making a boolean first.

use super::scope::distance;
use super::{Function, Result};
use crate::error::Error;
use crate::inline::Inline;
use crate::op::Op;
use crate::tree::Node;
use crate::value::Value;

/// The place of a branch whose target is not known yet.
pub(super) type Exit = usize;

impl Function<'_, '_> {
    /// Emits a branch to be aimed by [`Function::land`].
    pub(super) fn forward(&mut self, op: Op) -> Exit {
        self.push(op);
        self.code.len() - 1
    }

    /// Aims `exits` at the next instruction.
    pub(super) fn land(&mut self, exits: Vec<Exit>) -> Result<()> {
        let target = self.code.len();
        for exit in exits {
            let far = distance(exit, target)?;
            let near = i16::try_from(far);
            match &mut self.code[exit] {
                Op::Jump { to }
                | Op::JumpIf { to, .. }
                | Op::JumpIfNot { to, .. }
                | Op::JumpNull { to, .. }
                | Op::JumpNotNull { to, .. }
                | Op::JumpPair { to, .. }
                | Op::JumpNotPair { to, .. } => *to = far,
                Op::JumpLess { to, .. }
                | Op::JumpLessEqual { to, .. }
                | Op::JumpNumEqual { to, .. }
                | Op::JumpNumDiffer { to, .. }
                | Op::JumpEq { to, .. }
                | Op::JumpDiffer { to, .. }
                | Op::JumpLessInt { to, .. }
                | Op::JumpNotLessInt { to, .. }
                | Op::JumpEqualInt { to, .. }
                | Op::JumpDifferInt { to, .. } => {
                    *to = near.map_err(|_| Error::new("a procedure is too long"))?;
                }
                _ => unreachable!("only `forward` makes exits, from branches"),
            }
        }
        Ok(())
    }

    /// Emits code that branches when `test` is true (`sense`) or false, and goes on otherwise.
    pub(super) fn branch(&mut self, test: &Node, sense: bool) -> Result<Vec<Exit>> {
        match test {
            Node::Const(value) if value.is_true() == sense => Ok(vec![self.forward(Op::Jump { to: 0 })]),
            Node::Const(_) => Ok(Vec::new()),
            Node::Inline(Inline::Not, operands) => self.branch(&operands[0], !sense),
            Node::Inline(inline, operands) => match self.scratch(|this| this.compare(*inline, operands, sense))? {
                Some(op) => Ok(vec![self.forward(op)]),
                None => self.branch_value(test, sense),
            },
            Node::And(parts) => self.branch_chain(parts, sense, false),
            Node::Or(parts) => self.branch_chain(parts, sense, true),
            _ => self.branch_value(test, sense),
        }
    }

    /// A branch on `and` or `or`; `decisive` is the truth of a part that settles the whole.
    fn branch_chain(&mut self, parts: &[Node], sense: bool, decisive: bool) -> Result<Vec<Exit>> {
        let mut settled = Vec::new();
        let mut exits = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if index + 1 == parts.len() {
                exits.extend(self.branch(part, sense)?);
            } else {
                settled.extend(self.branch(part, decisive)?);
            }
        }
        if decisive == sense {
            exits.extend(settled);
        } else {
            self.land(settled)?;
        }
        Ok(exits)
    }

    fn branch_value(&mut self, test: &Node, sense: bool) -> Result<Vec<Exit>> {
        let s = self.scratch(|this| this.operand(test))?;
        Ok(vec![self.forward(if sense { Op::JumpIf { s, to: 0 } } else { Op::JumpIfNot { s, to: 0 } })])
    }

    /// The branch for a comparison, after code for its operands; none when there is no such branch.
    fn compare(&mut self, inline: Inline, operands: &[Node], sense: bool) -> Result<Option<Op>> {
        use Inline::{Eq, Greater, GreaterEqual, IsNull, IsPair, IsZero, Less, LessEqual, NumEqual};
        let to = 0;
        let small = |node: &Node| match node {
            Node::Const(value) => value.as_integer().and_then(|number| i16::try_from(number).ok()),
            _ => None,
        };
        Ok(Some(match (inline, operands) {
            (IsNull | IsPair, [operand]) => {
                let s = self.operand(operand)?;
                match (inline, sense) {
                    (IsNull, true) => Op::JumpNull { s, to: 0 },
                    (IsNull, false) => Op::JumpNotNull { s, to: 0 },
                    (_, true) => Op::JumpPair { s, to: 0 },
                    (_, false) => Op::JumpNotPair { s, to: 0 },
                }
            }
            (IsZero, [operand]) => {
                let a = self.operand(operand)?;
                if sense { Op::JumpEqualInt { a, i: 0, to } } else { Op::JumpDifferInt { a, i: 0, to } }
            }
            (Eq, [left, right]) => {
                let (a, b) = (self.operand(left)?, self.operand(right)?);
                if sense { Op::JumpEq { a, b, to } } else { Op::JumpDiffer { a, b, to } }
            }
            (NumEqual, [left, right]) => match (small(left), small(right)) {
                (None, Some(i)) | (Some(i), None) => {
                    let a = self.operand(if small(left).is_none() { left } else { right })?;
                    if sense { Op::JumpEqualInt { a, i, to } } else { Op::JumpDifferInt { a, i, to } }
                }
                _ => {
                    let (a, b) = (self.operand(left)?, self.operand(right)?);
                    if sense { Op::JumpNumEqual { a, b, to } } else { Op::JumpNumDiffer { a, b, to } }
                }
            },
            (Less | GreaterEqual, [left, right]) => {
                let wanted = (inline == Less) == sense;
                match small(right) {
                    Some(i) => {
                        let a = self.operand(left)?;
                        if wanted { Op::JumpLessInt { a, i, to } } else { Op::JumpNotLessInt { a, i, to } }
                    }
                    None => {
                        let (a, b) = (self.operand(left)?, self.operand(right)?);
                        if wanted { Op::JumpLess { a, b, to } } else { Op::JumpLessEqual { a: b, b: a, to } }
                    }
                }
            }
            (Greater | LessEqual, [left, right]) => {
                let wanted = (inline == LessEqual) == sense;
                match small(right).and_then(|i| i.checked_add(1)) {
                    // left <= i is left < i + 1 for integers.
                    Some(i) => {
                        let a = self.operand(left)?;
                        if wanted { Op::JumpLessInt { a, i, to } } else { Op::JumpNotLessInt { a, i, to } }
                    }
                    None => {
                        let (a, b) = (self.operand(left)?, self.operand(right)?);
                        if wanted { Op::JumpLessEqual { a, b, to } } else { Op::JumpLess { a: b, b: a, to } }
                    }
                }
            }
            _ => return Ok(None),
        }))
    }

    /// A comparison of integers, or none of the two booleans, as a value.
    pub(super) fn comparison_value(inline: Inline, d: u16, a: u16, b: u16) -> Option<Op> {
        Some(match inline {
            Inline::Less => Op::Less { d, a, b },
            Inline::Greater => Op::Less { d, a: b, b: a },
            Inline::LessEqual => Op::LessEqual { d, a, b },
            Inline::GreaterEqual => Op::LessEqual { d, a: b, b: a },
            Inline::NumEqual | Inline::IsZero => Op::NumEqual { d, a, b },
            Inline::Eq => Op::Eq { d, a, b },
            _ => return None,
        })
    }

    /// The integer that `node` is, when an instruction can hold it.
    pub(super) fn small_integer(node: &Node) -> Option<i16> {
        match node {
            Node::Const(value) => Value::as_integer(*value).and_then(|number| i16::try_from(number).ok()),
            _ => None,
        }
    }
}
