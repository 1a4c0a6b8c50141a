//! The resolved program: what `analyse` makes of data and `emit` makes code of. Every name has become a [`Var`], a global or a keyword; every special form one of a few nodes.

use crate::inline::Inline;
use crate::value::Value;
use std::cell::Cell;
use std::rc::Rc;

/// A local variable.
pub struct Var {
    /// Distinct for every variable of a machine.
    pub id: u32,
    /// The symbol it was named by.
    pub name: u32,
    /// Whether a procedure inside the variable's own refers to it.
    pub captured: Cell<bool>,
    /// Whether `set!` changes it.
    pub assigned: Cell<bool>,
    /// Whether code that comes before its definition refers to it.
    pub early: Cell<bool>,
}

impl Var {
    /// Whether the variable lives in a box: closures copy what they capture, so a variable that
    /// changes after it was captured needs a home outside.
    pub fn is_boxed(&self) -> bool {
        self.captured.get() && (self.assigned.get() || self.early.get())
    }
}

/// A variable, shared by all nodes that refer to it.
pub type VarRef = Rc<Var>;

/// A procedure.
pub struct Lambda {
    /// For messages.
    pub name: String,
    /// The parameters; the last takes the list of remaining arguments when `rest` is set.
    pub params: Vec<VarRef>,
    /// Whether more arguments than parameters may be given.
    pub rest: bool,
    /// Variables of enclosing procedures that this one or one inside it uses, in closure order.
    pub free: Vec<VarRef>,
    /// What it does.
    pub body: Node,
}

/// One item of a body with internal definitions.
pub enum Item {
    /// A definition of a value.
    Define(VarRef, Node),
    /// Definitions of procedures that may refer to each other.
    Procedures(Vec<(VarRef, Rc<Lambda>)>),
    /// An expression for its effect.
    Effect(Node),
}

/// What a clause of `cond` does once its test has succeeded.
pub enum Then {
    /// Evaluates this.
    Body(Node),
    /// Returns the test's value.
    Test,
    /// Calls this with the test's value.
    Call(Node),
}

/// An expression.
pub enum Node {
    /// A constant.
    Const(Value),
    /// A local variable's value.
    Local(VarRef),
    /// A global variable's value, by symbol.
    Global(u32),
    /// `set!` of a local variable.
    SetLocal(VarRef, Box<Node>),
    /// `set!` of a global variable.
    SetGlobal(u32, Box<Node>),
    /// `define` at the top level.
    DefineGlobal(u32, Box<Node>),
    /// `if`.
    If(Box<[Node; 3]>),
    /// `cond`; without a clause that succeeds the value is unspecified.
    Cond(Vec<(Node, Then)>),
    /// `and` of at least two.
    And(Vec<Node>),
    /// `or` of at least two.
    Or(Vec<Node>),
    /// `begin` of at least two.
    Seq(Vec<Node>),
    /// Variables bound one after the other, then a body.
    Let(Vec<(VarRef, Node)>, Box<Node>),
    /// Internal definitions, then a body. `early` variables exist, undefined, from the start.
    Body(Vec<Item>, Box<Node>),
    /// A named `let` or `do` whose name is only called, and only in tail position: a loop.
    Loop(Box<Loop>),
    /// A call of a loop's name: the next round of the loop with this id.
    Continue(u32, Vec<Node>),
    /// A procedure.
    Lambda(Rc<Lambda>),
    /// A call.
    Call(Box<Node>, Vec<Node>),
    /// A call of a primitive that has an instruction of its own.
    Inline(Inline, Vec<Node>),
    /// A call of another primitive whose name the program leaves alone, by index.
    Primitive(u16, Vec<Node>),
}

/// The parts of [`Node::Loop`].
pub struct Loop {
    /// What [`Node::Continue`] refers to.
    pub id: u32,
    /// The variables and their first values.
    pub vars: Vec<(VarRef, Node)>,
    /// What each round does.
    pub body: Node,
}
