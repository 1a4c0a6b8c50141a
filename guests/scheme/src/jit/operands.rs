//! What instructions read, write and where they lead, for the analyses in `flow`.

use crate::op::Op;
use crate::proto::{Proto, Source};

/// Where control goes after an instruction, beside the branch that [`branch`] tells.
pub(super) fn falls_through(op: Op) -> bool {
    !matches!(
        op,
        Op::Jump { .. } | Op::Loop { .. } | Op::Return { .. } | Op::TailCall { .. } | Op::TailCallGlobal { .. }
    )
}

/// The distance of a branch from the next instruction.
pub(super) fn branch(op: Op) -> Option<isize> {
    Some(match op {
        Op::Jump { to }
        | Op::Loop { to, .. }
        | Op::JumpIf { to, .. }
        | Op::JumpIfNot { to, .. }
        | Op::JumpNull { to, .. }
        | Op::JumpNotNull { to, .. }
        | Op::JumpPair { to, .. }
        | Op::JumpNotPair { to, .. } => to as isize,
        Op::JumpLess { to, .. }
        | Op::JumpLessEqual { to, .. }
        | Op::JumpNumEqual { to, .. }
        | Op::JumpNumDiffer { to, .. }
        | Op::JumpEq { to, .. }
        | Op::JumpDiffer { to, .. }
        | Op::JumpLessInt { to, .. }
        | Op::JumpNotLessInt { to, .. }
        | Op::JumpEqualInt { to, .. }
        | Op::JumpDifferInt { to, .. } => to.into(),
        _ => return None,
    })
}

/// The register that an instruction writes. [`Op::Clear`] writes none that is read again.
pub(super) fn written(op: Op) -> Option<u16> {
    Some(match op {
        Op::Move { d, .. }
        | Op::Const { d, .. }
        | Op::Int { d, .. }
        | Op::Global { d, .. }
        | Op::Captured { d, .. }
        | Op::NewBox { d, .. }
        | Op::Unbox { d, .. }
        | Op::Closure { d, .. }
        | Op::Add { d, .. }
        | Op::Sub { d, .. }
        | Op::Mul { d, .. }
        | Op::AddInt { d, .. }
        | Op::Quotient { d, .. }
        | Op::Remainder { d, .. }
        | Op::Modulo { d, .. }
        | Op::Less { d, .. }
        | Op::LessEqual { d, .. }
        | Op::NumEqual { d, .. }
        | Op::Eq { d, .. }
        | Op::Not { d, .. }
        | Op::Cons { d, .. }
        | Op::Car { d, .. }
        | Op::Cdr { d, .. }
        | Op::IsNull { d, .. }
        | Op::IsPair { d, .. }
        | Op::VectorRef { d, .. }
        | Op::CallPrimitive { d, .. } => d,
        Op::Call { base, .. } | Op::CallGlobal { base, .. } => base,
        _ => return None,
    })
}

/// Hands `read` every register that an instruction reads. Register 0 is the running closure.
pub(super) fn for_each_read(op: Op, protos: &[Box<Proto>], mut read: impl FnMut(u16)) {
    match op {
        Op::Move { s, .. }
        | Op::SetGlobal { s, .. }
        | Op::DefineGlobal { s, .. }
        | Op::NewBox { s, .. }
        | Op::CheckDefined { s, .. }
        | Op::Not { s, .. }
        | Op::Car { s, .. }
        | Op::Cdr { s, .. }
        | Op::IsNull { s, .. }
        | Op::IsPair { s, .. }
        | Op::JumpIf { s, .. }
        | Op::JumpIfNot { s, .. }
        | Op::JumpNull { s, .. }
        | Op::JumpNotNull { s, .. }
        | Op::JumpPair { s, .. }
        | Op::JumpNotPair { s, .. }
        | Op::Return { s } => read(s),
        Op::AddInt { a, .. }
        | Op::JumpLessInt { a, .. }
        | Op::JumpNotLessInt { a, .. }
        | Op::JumpEqualInt { a, .. }
        | Op::JumpDifferInt { a, .. } => read(a),
        Op::Add { a, b, .. }
        | Op::Sub { a, b, .. }
        | Op::Mul { a, b, .. }
        | Op::Quotient { a, b, .. }
        | Op::Remainder { a, b, .. }
        | Op::Modulo { a, b, .. }
        | Op::Less { a, b, .. }
        | Op::LessEqual { a, b, .. }
        | Op::NumEqual { a, b, .. }
        | Op::Eq { a, b, .. }
        | Op::Cons { a, b, .. }
        | Op::JumpLess { a, b, .. }
        | Op::JumpLessEqual { a, b, .. }
        | Op::JumpNumEqual { a, b, .. }
        | Op::JumpNumDiffer { a, b, .. }
        | Op::JumpEq { a, b, .. }
        | Op::JumpDiffer { a, b, .. } => [a, b].into_iter().for_each(read),
        Op::Captured { .. } => read(0),
        Op::Unbox { b, .. } => read(b),
        Op::SetBox { b, s } => [b, s].into_iter().for_each(read),
        Op::Closure { k, .. } => {
            for source in &protos[k as usize].captures {
                read(match *source {
                    Source::Register(register) => register,
                    Source::Captured(_) => 0,
                });
            }
        }
        Op::Patch { c, s, .. } => [c, s].into_iter().for_each(read),
        Op::VectorRef { v, i, .. } => [v, i].into_iter().for_each(read),
        Op::VectorSet { v, i, s } => [v, i, s].into_iter().for_each(read),
        Op::Call { n, base } | Op::TailCall { n, base } => {
            read(base);
            (0..u16::from(n)).for_each(|index| read(base + 2 + index));
        }
        Op::CallGlobal { n, base, .. } | Op::TailCallGlobal { n, base, .. } => {
            (0..u16::from(n)).for_each(|index| read(base + 2 + index));
        }
        Op::CallPrimitive { n, base, .. } => (0..u16::from(n)).for_each(|index| read(base + index)),
        Op::Const { .. }
        | Op::Int { .. }
        | Op::Global { .. }
        | Op::Clear { .. }
        | Op::Jump { .. }
        | Op::Loop { .. } => {}
    }
}
