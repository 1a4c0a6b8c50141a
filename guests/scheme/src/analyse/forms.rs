//! The special forms.

use super::{Analyser, Binding, Failure, Meaning, Position, Result, list};
use crate::inline::Inline;
use crate::object::Pair;
use crate::symbols::keyword;
use crate::tree::{Item, Loop, Node, Then, VarRef};
use crate::value::Value;

const UNSPECIFIED: Node = Node::Const(Value::UNSPECIFIED);

impl Analyser<'_> {
    /// Reads the special form that `name` starts; none when it starts no special form.
    pub(super) fn special(
        &mut self,
        name: u32,
        form: Value,
        parts: &[Value],
        position: Position,
    ) -> Option<Result<Node>> {
        Some(match (name, parts) {
            (keyword::QUOTE, [datum]) => Ok(Node::Const(*datum)),
            (keyword::QUASIQUOTE, [datum]) => self.quasiquote(*datum, 1),
            (keyword::LAMBDA, [parameters, body @ ..]) => {
                self.lambda("lambda".into(), *parameters, body, form).map(Node::Lambda)
            }
            (keyword::DEFINE, _) => self.define_global(form, parts),
            (keyword::SET, [target, value]) => self.set(*target, *value, form),
            (keyword::IF, [test, rest @ ..]) if matches!(rest.len(), 1 | 2) => {
                self.conditional(*test, rest[0], rest.get(1), position)
            }
            (keyword::COND, clauses) => self.cond(clauses, position, form),
            (keyword::CASE, [key, clauses @ ..]) => self.case(*key, clauses, position, form),
            (keyword::AND, parts) => self.chain(parts, position, Value::TRUE, Node::And),
            (keyword::OR, parts) => self.chain(parts, position, Value::FALSE, Node::Or),
            (keyword::WHEN, [test, body @ ..]) => self.when(*test, body, true, position, form),
            (keyword::UNLESS, [test, body @ ..]) => self.when(*test, body, false, position, form),
            (keyword::BEGIN, parts) => self.chain(parts, position, Value::UNSPECIFIED, Node::Seq),
            (keyword::LET, [name, bindings, body @ ..]) if name.as_symbol().is_some() => {
                self.named_let(*name, *bindings, body, position, form)
            }
            (keyword::LET, [bindings, body @ ..]) => self.binding_form(*bindings, body, false, position, form),
            (keyword::LET_STAR, [bindings, body @ ..]) => self.binding_form(*bindings, body, true, position, form),
            (keyword::LETREC | keyword::LETREC_STAR, [bindings, body @ ..]) => {
                self.letrec(*bindings, body, position, form)
            }
            (keyword::DO, [bindings, end, body @ ..]) => self.do_loop(*bindings, *end, body, position, form),
            (keyword::QUOTE..=keyword::ARROW, _) => self.error("this special form is malformed", form),
            _ => return None,
        })
    }

    /// `and`, `or` and `begin`: all but the last part are operands.
    fn chain(
        &mut self,
        parts: &[Value],
        position: Position,
        empty: Value,
        node: fn(Vec<Node>) -> Node,
    ) -> Result<Node> {
        let Some((&last, first)) = parts.split_last() else { return Ok(Node::Const(empty)) };
        let mut nodes = Vec::with_capacity(parts.len());
        for &part in first {
            nodes.push(self.expression(part, self.operand())?);
        }
        nodes.push(self.expression(last, position)?);
        Ok(if first.is_empty() { nodes.remove(0) } else { node(nodes) })
    }

    fn conditional(&mut self, test: Value, then: Value, other: Option<&Value>, position: Position) -> Result<Node> {
        let test = self.expression(test, self.operand())?;
        let then = self.expression(then, position)?;
        let other = match other {
            Some(&other) => self.expression(other, position)?,
            None => UNSPECIFIED,
        };
        Ok(Node::If(Box::new([test, then, other])))
    }

    fn when(&mut self, test: Value, body: &[Value], sense: bool, position: Position, form: Value) -> Result<Node> {
        let test = self.expression(test, self.operand())?;
        let body = self.sequence(body, position, form)?;
        Ok(Node::If(Box::new(if sense { [test, body, UNSPECIFIED] } else { [test, UNSPECIFIED, body] })))
    }

    fn sequence(&mut self, parts: &[Value], position: Position, form: Value) -> Result<Node> {
        if parts.is_empty() {
            return self.error("a body must not be empty", form);
        }
        self.chain(parts, position, Value::UNSPECIFIED, Node::Seq)
    }

    fn set(&mut self, target: Value, value: Value, form: Value) -> Result<Node> {
        let Some(name) = target.as_symbol() else { return self.error("set! needs a symbol", form) };
        let value = Box::new(self.expression(value, self.operand())?);
        Ok(match self.resolve(name)? {
            Some(var) => {
                var.assigned.set(true);
                Node::SetLocal(var, value)
            }
            None => Node::SetGlobal(name, value),
        })
    }

    /// The name and the value's form of a `define`: `(name value)` or `((name . parameters) body …)`.
    fn definition(&self, form: Value, parts: &[Value]) -> Result<(u32, Definition)> {
        if let [target, rest @ ..] = parts {
            if let (Some(name), [value]) = (target.as_symbol(), rest) {
                return Ok((name, Definition::Value(*value)));
            }
            if let Some(pair) = Pair::of(*target)
                && let Some(name) = pair.car().as_symbol()
            {
                return Ok((name, Definition::Procedure { parameters: pair.cdr(), body: rest.to_vec() }));
            }
        }
        self.error("this definition is malformed", form)
    }

    fn define_global(&mut self, form: Value, parts: &[Value]) -> Result<Node> {
        if self.levels.len() > 1 || !self.bindings.is_empty() {
            return self.error("a definition must be at the top level or at the start of a body", form);
        }
        let (name, definition) = self.definition(form, parts)?;
        let value = self.defined(name, &definition, form)?;
        Ok(Node::DefineGlobal(name, Box::new(value)))
    }

    fn defined(&mut self, name: u32, definition: &Definition, form: Value) -> Result<Node> {
        match definition {
            Definition::Value(value) => self.named_value(name, *value),
            Definition::Procedure { parameters, body } => {
                let name = self.symbols.name(name).to_owned();
                self.lambda(name, *parameters, body, form).map(Node::Lambda)
            }
        }
    }

    /// The parts of a `lambda` expression: parameters and body.
    fn as_lambda(&self, value: Value) -> Option<(Value, Vec<Value>)> {
        let pair = Pair::of(value)?;
        if pair.car().as_symbol() != Some(keyword::LAMBDA) || self.lookup(keyword::LAMBDA).is_some() {
            return None;
        }
        let rest = Pair::of(pair.cdr())?;
        Some((rest.car(), list(rest.cdr())?))
    }

    /// Reads the value of a variable; a procedure takes the variable's name.
    fn named_value(&mut self, name: u32, value: Value) -> Result<Node> {
        if let Some((parameters, body)) = self.as_lambda(value) {
            let name = self.symbols.name(name).to_owned();
            return self.lambda(name, parameters, &body, value).map(Node::Lambda);
        }
        self.expression(value, self.operand())
    }

    fn cond(&mut self, clauses: &[Value], position: Position, form: Value) -> Result<Node> {
        let mut read = Vec::with_capacity(clauses.len());
        for (index, &clause) in clauses.iter().enumerate() {
            let parts = list(clause).unwrap_or_default();
            read.push(match parts.as_slice() {
                [] => return self.error("a clause must be a list", form),
                [test, body @ ..] if test.as_symbol() == Some(keyword::ELSE) => {
                    if index + 1 != clauses.len() {
                        return self.error("else must be the last clause", form);
                    }
                    (Node::Const(Value::TRUE), Then::Body(self.sequence(body, position, form)?))
                }
                [test] => (self.expression(*test, self.operand())?, Then::Test),
                [test, arrow, receiver] if arrow.as_symbol() == Some(keyword::ARROW) => {
                    let test = self.expression(*test, self.operand())?;
                    (test, Then::Call(self.expression(*receiver, self.operand())?))
                }
                [test, body @ ..] => {
                    let test = self.expression(*test, self.operand())?;
                    (test, Then::Body(self.sequence(body, position, form)?))
                }
            });
        }
        Ok(Node::Cond(read))
    }

    /// `case` is a `cond` whose tests compare the key, held in a variable, with each datum.
    fn case(&mut self, key: Value, clauses: &[Value], position: Position, form: Value) -> Result<Node> {
        let key = self.expression(key, self.operand())?;
        let var = self.fresh(keyword::CASE);
        let mut read = Vec::with_capacity(clauses.len());
        for (index, &clause) in clauses.iter().enumerate() {
            let Some(pair) = Pair::of(clause) else { return self.error("a clause must be a list", form) };
            let Some(body) = list(pair.cdr()) else { return self.error("a clause must be a list", form) };
            let test = if pair.car().as_symbol() == Some(keyword::ELSE) && index + 1 == clauses.len() {
                Node::Const(Value::TRUE)
            } else {
                let Some(data) = list(pair.car()) else { return self.error("a clause needs a list of data", form) };
                let mut tests: Vec<Node> = data
                    .into_iter()
                    .map(|datum| Node::Inline(Inline::Eq, vec![Node::Local(var.clone()), Node::Const(datum)]))
                    .collect();
                match tests.len() {
                    0 => Node::Const(Value::FALSE),
                    1 => tests.remove(0),
                    _ => Node::Or(tests),
                }
            };
            read.push((test, Then::Body(self.sequence(&body, position, form)?)));
        }
        Ok(Node::Let(vec![(var, key)], Box::new(Node::Cond(read))))
    }

    /// The names and the values' forms of `let` and its relatives.
    fn bindings_of(&self, bindings: Value, form: Value) -> Result<Vec<(u32, Value)>> {
        let mut read = Vec::new();
        for binding in list(bindings).unwrap_or_else(|| vec![bindings]) {
            match list(binding).as_deref() {
                Some([name, value]) if name.as_symbol().is_some() => {
                    read.push((name.as_symbol().unwrap_or_default(), *value));
                }
                _ => return self.error("a binding must be a symbol and a value", form),
            }
        }
        Ok(read)
    }

    /// `let` and, where each value sees the variables before it, `let*`.
    fn binding_form(
        &mut self,
        bindings: Value,
        body: &[Value],
        sequential: bool,
        position: Position,
        form: Value,
    ) -> Result<Node> {
        let bindings = self.bindings_of(bindings, form)?;
        self.scoped(|this| {
            let mut vars: Vec<(VarRef, Node)> = Vec::with_capacity(bindings.len());
            for (name, value) in bindings {
                let value = this.named_value(name, value)?;
                let var = this.fresh(name);
                if sequential {
                    this.bind(&var, true);
                }
                vars.push((var, value));
            }
            if !sequential {
                for (var, _) in &vars {
                    this.bind(var, true);
                }
            }
            let body = this.body(body, position, form)?;
            Ok(if vars.is_empty() { body } else { Node::Let(vars, Box::new(body)) })
        })
    }

    /// `letrec` is a body whose definitions are its bindings.
    fn letrec(&mut self, bindings: Value, body: &[Value], position: Position, form: Value) -> Result<Node> {
        let definitions =
            self.bindings_of(bindings, form)?.into_iter().map(|(name, value)| (name, Definition::Value(value)));
        let parts = definitions.map(Part::Definition).collect();
        self.scoped(|this| this.definitions(parts, body, position, form))
    }

    fn named_let(
        &mut self,
        name: Value,
        bindings: Value,
        body: &[Value],
        position: Position,
        form: Value,
    ) -> Result<Node> {
        let bindings = self.bindings_of(bindings, form)?;
        let symbol = name.as_symbol().unwrap_or_default();
        let mut inits = Vec::with_capacity(bindings.len());
        for &(_, value) in &bindings {
            inits.push(self.expression(value, self.operand())?);
        }
        let names: Vec<u32> = bindings.iter().map(|binding| binding.0).collect();
        if !self.not_loops.contains(&form) {
            let label = self.fresh(symbol).id;
            let read = self.scoped(|this| {
                let level = this.levels.len() - 1;
                let meaning = Meaning::Loop(label, names.len());
                this.bindings.push(Binding { name: symbol, meaning, level, ready: true });
                this.loop_body(label, &names, position, |this, position| this.body(body, position, form))
            });
            match read {
                Ok((vars, body)) => {
                    let vars = vars.into_iter().zip(inits).collect();
                    return Ok(Node::Loop(Box::new(Loop { id: label, vars, body })));
                }
                Err(Failure::NotALoop(id)) if id == label => {
                    self.not_loops.insert(form);
                }
                Err(other) => return Err(other),
            }
        }
        // ((letrec ((name (lambda (variables) body))) name) inits), with the call inside the scope.
        self.scoped(|this| {
            let var = this.fresh(symbol);
            this.bind(&var, true);
            let parameters = names;
            let lambda = {
                let text = this.symbols.name(symbol).to_owned();
                this.lambda_of(text, &parameters, body, form)?
            };
            let call = Node::Call(Box::new(Node::Local(var.clone())), inits);
            Ok(Node::Body(vec![Item::Procedures(vec![(var, lambda)])], Box::new(call)))
        })
    }

    /// Reads what a loop repeats, with its variables in scope.
    fn loop_body(
        &mut self,
        label: u32,
        names: &[u32],
        position: Position,
        read: impl FnOnce(&mut Self, Position) -> Result<Node>,
    ) -> Result<(Vec<VarRef>, Node)> {
        let vars: Vec<VarRef> = names.iter().map(|&name| self.fresh(name)).collect();
        for var in &vars {
            self.bind(var, true);
        }
        self.level_mut().loops.push(label);
        Ok((vars, read(self, position)?))
    }

    fn do_loop(
        &mut self,
        bindings: Value,
        end: Value,
        body: &[Value],
        position: Position,
        form: Value,
    ) -> Result<Node> {
        let (mut names, mut inits, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for binding in list(bindings).unwrap_or_else(|| vec![bindings]) {
            let parts = list(binding).unwrap_or_default();
            let (&[name, init] | &[name, init, _]) = parts.as_slice() else {
                return self.error("a binding of do is a symbol, a value and perhaps a step", form);
            };
            let Some(symbol) = name.as_symbol() else { return self.error("a binding needs a symbol", form) };
            inits.push(self.expression(init, self.operand())?);
            steps.push(parts.get(2).copied().unwrap_or(name));
            names.push(symbol);
        }
        let Some((test, result)) = list(end).and_then(|end| Some((*end.first()?, end[1..].to_vec()))) else {
            return self.error("do needs a test", form);
        };
        let label = self.fresh(keyword::DO).id;
        let (vars, body) = self.scoped(|this| {
            this.loop_body(label, &names, position, |this, position| {
                let test = this.expression(test, this.operand())?;
                let result = this.chain(&result, position, Value::UNSPECIFIED, Node::Seq)?;
                let mut round = Vec::with_capacity(body.len() + 1);
                for &part in body {
                    round.push(this.expression(part, this.operand())?);
                }
                let next = Node::Continue(label, this.operands(&steps)?);
                round.push(next);
                let round = if round.len() == 1 { round.remove(0) } else { Node::Seq(round) };
                Ok(Node::If(Box::new([test, result, round])))
            })
        })?;
        let vars = vars.into_iter().zip(inits).collect();
        Ok(Node::Loop(Box::new(Loop { id: label, vars, body })))
    }

    /// A body: definitions and expressions, the last an expression.
    pub(super) fn body(&mut self, forms: &[Value], position: Position, form: Value) -> Result<Node> {
        let mut parts = Vec::new();
        let mut split = 0;
        for (index, &part) in forms.iter().enumerate() {
            let definition = Pair::of(part)
                .filter(|pair| pair.car().as_symbol() == Some(keyword::DEFINE))
                .filter(|_| self.lookup(keyword::DEFINE).is_none());
            if let Some(pair) = definition {
                let Some(rest) = list(pair.cdr()) else { return self.error("this definition is malformed", part) };
                let (name, definition) = self.definition(part, &rest)?;
                parts.extend(forms[split..index].iter().map(|&effect| Part::Effect(effect)));
                parts.push(Part::Definition((name, definition)));
                split = index + 1;
            }
        }
        if parts.is_empty() {
            return self.sequence(forms, position, form);
        }
        self.scoped(|this| this.definitions(parts, &forms[split..], position, form))
    }

    /// Definitions that see each other, and what follows them. Neighbouring procedures form a group
    /// whose closures are made together, so that calls among them need no box.
    fn definitions(&mut self, parts: Vec<Part>, body: &[Value], position: Position, form: Value) -> Result<Node> {
        let base = self.bindings.len();
        for part in &parts {
            if let Part::Definition((name, _)) = part {
                if self.bindings[base..].iter().any(|binding| binding.name == *name) {
                    return self.error("a name is defined twice in one body", form);
                }
                let var = self.fresh(*name);
                self.bind(&var, false);
            }
        }
        let mut items = Vec::new();
        let mut next = base;
        let mut parts = parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            let (name, definition) = match part {
                Part::Effect(effect) => {
                    items.push(Item::Effect(self.expression(effect, self.operand())?));
                    continue;
                }
                Part::Definition(definition) => definition,
            };
            if !self.is_procedure(&definition) {
                let value = self.defined(name, &definition, form)?;
                items.push(Item::Define(self.defined_var(next), value));
                self.bindings[next].ready = true;
                next += 1;
                continue;
            }
            let mut group = vec![(name, definition)];
            while let Some(Part::Definition((_, definition))) = parts.peek()
                && self.is_procedure(definition)
            {
                if let Some(Part::Definition(definition)) = parts.next() {
                    group.push(definition);
                }
            }
            for binding in &mut self.bindings[next..next + group.len()] {
                binding.ready = true;
            }
            let mut procedures = Vec::with_capacity(group.len());
            for (name, definition) in group {
                let var = self.defined_var(next);
                next += 1;
                if let Node::Lambda(lambda) = self.defined(name, &definition, form)? {
                    procedures.push((var, lambda));
                }
            }
            items.push(Item::Procedures(procedures));
        }
        let body = self.sequence(body, position, form)?;
        Ok(Node::Body(items, Box::new(body)))
    }

    fn is_procedure(&self, definition: &Definition) -> bool {
        match definition {
            Definition::Procedure { .. } => true,
            Definition::Value(value) => self.as_lambda(*value).is_some(),
        }
    }

    fn defined_var(&self, index: usize) -> VarRef {
        match &self.bindings[index].meaning {
            Meaning::Var(var) => var.clone(),
            Meaning::Loop(..) => unreachable!("bodies bind variables"),
        }
    }
}

/// What a `define` gives its name.
enum Definition {
    Value(Value),
    Procedure { parameters: Value, body: Vec<Value> },
}

/// A definition or, between definitions, an expression.
enum Part {
    Definition((u32, Definition)),
    Effect(Value),
}
