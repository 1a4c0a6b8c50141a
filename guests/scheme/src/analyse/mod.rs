//! From data to the resolved tree: names become variables, special forms become nodes.
//!
//! Scopes are one list of bindings, innermost last; each belongs to the procedure (the level) that
//! binds it. A reference across levels marks the variable as captured and adds it to the free
//! variables of every level in between. A named `let` is first read as a loop; when its name turns
//! out to be used as anything but the callee of a tail call, reading it is given up
//! ([`Failure::NotALoop`]) and starts again as a procedure. What the first try marked stays marked,
//! which may box a variable without need but is never wrong.

mod forms;
mod quasi;

use crate::error::Error;
use crate::inline;
use crate::object::Pair;
use crate::printer::{Style, print};
use crate::symbols::Symbols;
use crate::tree::{Lambda, Node, Var, VarRef};
use crate::value::Value;
use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

/// How deep expressions may be nested: the compiler recurses, and engines may have small stacks.
const MAX_DEPTH: usize = 150;
/// How many operands one call may have, so that counts fit the byte that instructions have for them.
const MAX_OPERANDS: usize = 200;

/// Why an expression could not be read.
enum Failure {
    Error(Error),
    /// The loop with this id is used as a procedure.
    NotALoop(u32),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

type Result<T> = std::result::Result<T, Failure>;

/// What a name stands for.
enum Meaning {
    Var(VarRef),
    /// A loop's name: its id, and how many variables it has.
    Loop(u32, usize),
}

/// A name in scope.
struct Binding {
    name: u32,
    meaning: Meaning,
    /// The index of the procedure that binds it.
    level: usize,
    /// Whether its definition comes before the code that is being read.
    ready: bool,
}

/// A procedure that is being read.
#[derive(Default)]
struct Level {
    free: Vec<VarRef>,
    /// The loops around the current expression, outermost first.
    loops: Vec<u32>,
}

/// Where an expression stands: the loops of its level from this index on have it as their last act.
#[derive(Clone, Copy)]
struct Position {
    loops_from: usize,
}

/// Reads top-level forms of one program.
pub struct Analyser<'a> {
    symbols: &'a mut Symbols,
    /// Global names that the program defines or assigns, which therefore are not inlined.
    redefined: &'a HashSet<u32>,
    next_id: &'a mut u32,
    bindings: Vec<Binding>,
    levels: Vec<Level>,
    /// Named `let` forms known not to be loops.
    not_loops: HashSet<Value>,
    depth: usize,
}

/// The elements of a proper list.
fn list(value: Value) -> Option<Vec<Value>> {
    let mut items = Vec::new();
    let mut rest = value;
    while let Some(pair) = Pair::of(rest) {
        items.push(pair.car());
        rest = pair.cdr();
    }
    (rest == Value::NULL).then_some(items)
}

impl<'a> Analyser<'a> {
    /// An analyser; `next_id` numbers variables across all forms of a machine.
    pub fn new(symbols: &'a mut Symbols, redefined: &'a HashSet<u32>, next_id: &'a mut u32) -> Self {
        Analyser {
            symbols,
            redefined,
            next_id,
            bindings: Vec::new(),
            levels: vec![Level::default()],
            not_loops: HashSet::new(),
            depth: 0,
        }
    }

    /// Reads a top-level form as a procedure without parameters.
    ///
    /// # Errors
    ///
    /// A message about the form that is wrong.
    pub fn top_level(mut self, form: Value) -> std::result::Result<Lambda, Error> {
        match self.expression(form, Position { loops_from: 0 }) {
            Ok(body) => {
                Ok(Lambda { name: "top level".into(), params: Vec::new(), rest: false, free: Vec::new(), body })
            }
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::NotALoop(_)) => Err(Error::new("internal error: a loop was left without its form")),
        }
    }

    fn error<T>(&self, message: &str, form: Value) -> Result<T> {
        let mut text = print(form, Style::Write, self.symbols);
        if text.len() > 80 {
            text = text.chars().take(77).collect::<String>() + "...";
        }
        Err(Failure::Error(Error::new(format!("{message}: {text}"))))
    }

    /// Where an operand stands: nothing returns what it returns.
    fn operand(&self) -> Position {
        Position { loops_from: self.level().loops.len() }
    }

    fn level(&self) -> &Level {
        self.levels.last().expect("the top level is never removed")
    }

    fn level_mut(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the top level is never removed")
    }

    fn fresh(&mut self, name: u32) -> VarRef {
        *self.next_id += 1;
        Rc::new(Var {
            id: *self.next_id,
            name,
            captured: Cell::new(false),
            assigned: Cell::new(false),
            early: Cell::new(false),
        })
    }

    fn bind(&mut self, var: &VarRef, ready: bool) {
        let level = self.levels.len() - 1;
        self.bindings.push(Binding { name: var.name, meaning: Meaning::Var(var.clone()), level, ready });
    }

    /// Runs `read` and drops the bindings it added, whether it succeeds or not.
    fn scoped<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (bindings, loops) = (self.bindings.len(), self.level().loops.len());
        let result = read(self);
        self.bindings.truncate(bindings);
        self.level_mut().loops.truncate(loops);
        result
    }

    fn lookup(&self, name: u32) -> Option<usize> {
        self.bindings.iter().rposition(|binding| binding.name == name)
    }

    /// The variable that `name` refers to here; none for a global.
    fn resolve(&mut self, name: u32) -> Result<Option<VarRef>> {
        let Some(index) = self.lookup(name) else { return Ok(None) };
        let binding = &self.bindings[index];
        let var = match &binding.meaning {
            Meaning::Var(var) => var.clone(),
            Meaning::Loop(id, _) => return Err(Failure::NotALoop(*id)),
        };
        if !binding.ready {
            var.early.set(true);
        }
        let home = binding.level;
        for level in &mut self.levels[home + 1..] {
            var.captured.set(true);
            if !level.free.iter().any(|free| free.id == var.id) {
                level.free.push(var.clone());
            }
        }
        Ok(Some(var))
    }

    fn expression(&mut self, form: Value, position: Position) -> Result<Node> {
        if let Some(name) = form.as_symbol() {
            return Ok(match self.resolve(name)? {
                Some(var) => Node::Local(var),
                None => Node::Global(name),
            });
        }
        let Some(pair) = Pair::of(form) else {
            if form == Value::NULL {
                return self.error("an empty list is no expression; quote it", form);
            }
            return Ok(Node::Const(form));
        };
        if self.depth >= MAX_DEPTH {
            return Err(Failure::Error(Error::new("expressions are nested too deeply")));
        }
        let Some(arguments) = list(pair.cdr()) else {
            return self.error("an expression must be a proper list", form);
        };
        self.depth += 1;
        let result = match pair.car().as_symbol() {
            Some(name) if self.lookup(name).is_none() => match self.special(name, form, &arguments, position) {
                Some(result) => result,
                None => self.call(pair.car(), &arguments, position),
            },
            _ => self.call(pair.car(), &arguments, position),
        };
        self.depth -= 1;
        result
    }

    fn operands(&mut self, forms: &[Value]) -> Result<Vec<Node>> {
        if forms.len() > MAX_OPERANDS {
            return Err(Failure::Error(Error::new(format!("more than {MAX_OPERANDS} operands in one expression"))));
        }
        forms.iter().map(|&form| self.expression(form, self.operand())).collect()
    }

    fn call(&mut self, callee: Value, arguments: &[Value], position: Position) -> Result<Node> {
        if let Some(name) = callee.as_symbol() {
            match self.lookup(name) {
                Some(index) => {
                    if let Binding { meaning: Meaning::Loop(id, arity), level, .. } = self.bindings[index] {
                        let here = level == self.levels.len() - 1
                            && self.level().loops[position.loops_from..].contains(&id)
                            && arity == arguments.len();
                        if !here {
                            return Err(Failure::NotALoop(id));
                        }
                        return Ok(Node::Continue(id, self.operands(arguments)?));
                    }
                }
                None if !self.redefined.contains(&name) => {
                    let operands = self.operands(arguments)?;
                    return Ok(self.primitive_call(name, operands));
                }
                None => {}
            }
        }
        let callee = self.expression(callee, self.operand())?;
        Ok(Node::Call(Box::new(callee), self.operands(arguments)?))
    }

    /// A call of a global that the program leaves alone.
    fn primitive_call(&self, name: u32, mut operands: Vec<Node>) -> Node {
        let text = self.symbols.name(name);
        if let Some(&(_, arity, inline)) = inline::TABLE.iter().find(|row| row.0 == text) {
            use inline::Inline::{Add, Mul, Sub};
            if operands.len() == arity {
                return Node::Inline(inline, operands);
            }
            // A short sum is a chain of sums; the limit keeps the tree shallow.
            if matches!(inline, Add | Sub | Mul) && (3..=6).contains(&operands.len()) {
                let mut rest = operands.drain(..);
                let first = rest.next().expect("there are at least three");
                return rest.fold(first, |left, right| Node::Inline(inline, vec![left, right]));
            }
        }
        match crate::primitives::find(text) {
            Some(index) if index != crate::primitives::APPLY => Node::Primitive(index, operands),
            _ => Node::Call(Box::new(Node::Global(name)), operands),
        }
    }

    /// Reads a procedure. `parameters` is a list of symbols, possibly dotted, or one symbol.
    fn lambda(&mut self, name: String, parameters: Value, body: &[Value], form: Value) -> Result<Rc<Lambda>> {
        let mut params = Vec::new();
        let mut left = parameters;
        while let Some(pair) = Pair::of(left) {
            let Some(symbol) = pair.car().as_symbol() else { return self.error("a parameter must be a symbol", form) };
            params.push(self.fresh(symbol));
            left = pair.cdr();
        }
        let rest = left != Value::NULL;
        if rest {
            let Some(symbol) = left.as_symbol() else { return self.error("a parameter must be a symbol", form) };
            params.push(self.fresh(symbol));
        }
        self.procedure(name, params, rest, body, form)
    }

    /// Reads a procedure whose parameters are the symbols `names`.
    fn lambda_of(&mut self, name: String, names: &[u32], body: &[Value], form: Value) -> Result<Rc<Lambda>> {
        let params = names.iter().map(|&name| self.fresh(name)).collect();
        self.procedure(name, params, false, body, form)
    }

    fn procedure(
        &mut self,
        name: String,
        params: Vec<VarRef>,
        rest: bool,
        body: &[Value],
        form: Value,
    ) -> Result<Rc<Lambda>> {
        if params.len() > MAX_OPERANDS {
            return self.error("too many parameters", form);
        }
        if params.iter().enumerate().any(|(index, one)| params[..index].iter().any(|other| other.name == one.name)) {
            return self.error("two parameters have the same name", form);
        }
        self.levels.push(Level::default());
        let body = self.scoped(|this| {
            for param in &params {
                this.bind(param, true);
            }
            this.body(body, Position { loops_from: 0 }, form)
        });
        let level = self.levels.pop().expect("pushed above");
        Ok(Rc::new(Lambda { name, params, rest, free: level.free, body: body? }))
    }
}
