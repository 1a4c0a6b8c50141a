//! `quasiquote`.

use super::{Analyser, Result, list};
use crate::object::Pair;
use crate::primitives;
use crate::symbols::keyword;
use crate::tree::Node;
use crate::value::Value;

impl Analyser<'_> {
    /// An expression that makes `datum` with its unquoted parts filled in; `level` counts nesting.
    pub(super) fn quasiquote(&mut self, datum: Value, level: usize) -> Result<Node> {
        if self.depth >= super::MAX_DEPTH {
            return self.error("a template is nested too deeply", Value::NULL);
        }
        self.depth += 1;
        let result = self.template(datum, level);
        self.depth -= 1;
        result
    }

    fn template(&mut self, datum: Value, level: usize) -> Result<Node> {
        let Some(pair) = Pair::of(datum) else { return Ok(Node::Const(datum)) };
        match (pair.car().as_symbol(), list(pair.cdr()).as_deref()) {
            (Some(keyword::UNQUOTE), Some(&[inner])) if level == 1 => self.expression(inner, self.operand()),
            (Some(mark @ (keyword::UNQUOTE | keyword::QUASIQUOTE)), Some(&[inner])) => {
                let level = if mark == keyword::UNQUOTE { level - 1 } else { level + 1 };
                let inner = self.quasiquote(inner, level)?;
                Ok(call("list", vec![Node::Const(Value::symbol(mark)), inner]))
            }
            _ => self.template_list(datum, level),
        }
    }

    /// A list as `(append (list a b) spliced … tail)`, in pieces so that long lists do not nest.
    fn template_list(&mut self, datum: Value, level: usize) -> Result<Node> {
        let mut pieces = Vec::new();
        let mut run = Vec::new();
        let mut rest = datum;
        let flush = |run: &mut Vec<Node>, pieces: &mut Vec<Node>| {
            if !run.is_empty() {
                pieces.push(call("list", std::mem::take(run)));
            }
        };
        while let Some(pair) = Pair::of(rest) {
            // `(a . ,b)` reads as `(a unquote b)`: the tail itself is unquoted.
            if pair.car().as_symbol() == Some(keyword::UNQUOTE) && rest != datum {
                break;
            }
            let spliced = Pair::of(pair.car())
                .filter(|inner| inner.car().as_symbol() == Some(keyword::UNQUOTE_SPLICING))
                .filter(|_| level == 1)
                .and_then(|inner| Pair::of(inner.cdr()));
            match spliced {
                Some(inner) => {
                    flush(&mut run, &mut pieces);
                    pieces.push(self.expression(inner.car(), self.operand())?);
                }
                None => {
                    run.push(self.quasiquote(pair.car(), level)?);
                    if run.len() == 100 {
                        flush(&mut run, &mut pieces);
                    }
                }
            }
            if pieces.len() > 100 {
                return self.error("a template is too long", Value::NULL);
            }
            rest = pair.cdr();
        }
        flush(&mut run, &mut pieces);
        pieces.push(self.quasiquote(rest, level)?);
        Ok(call("append", pieces))
    }
}

fn call(name: &str, operands: Vec<Node>) -> Node {
    let index = primitives::find(name).expect("the names used above are primitives");
    Node::Primitive(index, operands)
}
