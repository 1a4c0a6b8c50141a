//! The machine's main loop.
//!
//! A frame is a piece of the stack, laid out as `op` says; the callee's frame starts inside the
//! caller's, at the call's `base`. Word 1 of a frame is its link: the address of the instruction after
//! the call in the low 48 bits, the distance to the caller's frame in words above them. Its lowest
//! bit is zero, so the collector takes it for an integer. The first frame's link is zero.
//!
//! Safety rests on `emit`: registers are below [`Proto::frame`], captured values, constants and
//! procedures exist, branches stay inside the code, and code ends in a return or a jump. Safe points
//! are entering a procedure and going round a loop; see `heap` for the rule.

use crate::enter::Entered;
use crate::error::Error;
use crate::machine::Machine;
use crate::object::{Cell, Closure, Pair, Vector};
use crate::op::Op;
use crate::primitives;
use crate::printer::Style;
use crate::proto::Proto;
use crate::value::Value;
use std::ptr;

const DISTANCE_SHIFT: u32 = 48;

fn link_to(pc: *const Op, base: u16) -> Value {
    Value(pc.expose_provenance() as u64 | u64::from(base) << DISTANCE_SHIFT)
}

/// The address that `link_to` put into a link.
#[inline]
fn link_target(link: u64) -> *const Op {
    // It was an address on this machine, so nothing is lost where addresses have 32 bits.
    let address = (link & ((1 << DISTANCE_SHIFT) - 1)) as usize;
    ptr::with_exposed_provenance(address)
}

impl Machine {
    /// Runs a procedure without parameters.
    pub(crate) fn execute(&mut self, proto: usize) -> Result<Value, Error> {
        let proto: *const Proto = &raw const *self.protos[proto];
        let closure = self.heap.closure(proto, 0).value();
        // SAFETY: the stack has room for these words, and its start is where no frame is yet.
        unsafe {
            self.stack.write(closure);
            self.stack.add(1).write(Value::ZERO);
            self.run(self.stack, 0)
        }
    }

    /// Runs the procedure whose frame, with callee and `count` arguments, is at `fp`, until it returns.
    ///
    /// # Safety
    ///
    /// `fp` must be in the stack, with a callee at word 0, a zero link at word 1 and arguments from word 2 on; all words below
    /// must be valid values.
    pub(crate) unsafe fn run(&mut self, mut fp: *mut Value, count: usize) -> Result<Value, Error> {
        macro_rules! r {
            ($index:expr) => {
                // SAFETY: `emit` uses registers below the frame's size, which entering checked.
                *unsafe { &mut *fp.add(usize::from($index)) }
            };
        }
        let mut pc: *const Op;
        macro_rules! jump {
            ($to:expr) => {
                // SAFETY: branches lead to instructions of the same procedure.
                pc = unsafe { pc.offset($to as isize) }
            };
        }
        macro_rules! integers {
            ($name:literal, $a:expr, $b:expr) => {{
                let (a, b) = (r!($a), r!($b));
                if !a.both_integers(b) {
                    return Err(self.not_integers($name, a, b));
                }
                (a.raw(), b.raw())
            }};
        }
        macro_rules! integer {
            ($name:literal, $a:expr) => {{
                let a = r!($a);
                if !a.is_integer() {
                    return Err(self.not_integers($name, a, Value::ZERO));
                }
                a.raw()
            }};
        }
        // Raw words hold twice their integer: sums and differences of words are words, and the word's
        // overflow is the integer's.
        macro_rules! word {
            ($name:literal, $result:expr) => {
                match $result {
                    Some(raw) => Value(i64::cast_unsigned(raw)),
                    None => return Err(overflow($name)),
                }
            };
        }
        macro_rules! finish {
            ($value:expr) => {{
                let value: Value = $value;
                let link = r!(1u16).0;
                r!(0u16) = value;
                if link == 0 {
                    return Ok(value);
                }
                let distance = (link >> DISTANCE_SHIFT) as usize;
                pc = link_target(link);
                // SAFETY: the caller's frame starts that many words below.
                fp = unsafe { fp.sub(distance) };
            }};
        }
        macro_rules! enter {
            ($frame:expr, $count:expr) => {{
                let frame: *mut Value = $frame;
                // SAFETY: callee, link and arguments are in place at `frame`.
                match unsafe { self.enter(frame, $count) }? {
                    Entered::Code(start) => {
                        fp = frame;
                        pc = start;
                    }
                    Entered::Result(value) => {
                        fp = frame;
                        finish!(value)
                    }
                }
            }};
        }
        macro_rules! call {
            ($base:expr, $count:expr) => {{
                let base: u16 = $base;
                let count = usize::from($count);
                r!(base + 1) = link_to(pc, base);
                // SAFETY: the callee's frame starts inside this one.
                let frame = unsafe { fp.add(usize::from(base)) };
                // The common case in line: a closure of code that is not hot yet, with room for its frame.
                match Closure::of(r!(base)) {
                    Some(closure) => {
                        // SAFETY: procedures live as long as the machine.
                        let proto = unsafe { &*closure.proto() };
                        let end = frame.wrapping_add(proto.frame);
                        let heat = proto.heat.get();
                        if proto.params == count && !proto.rest && heat != 0 && end <= self.heap.stack_limit {
                            proto.heat.set(heat - 1);
                            fp = frame;
                            pc = proto.code.as_ptr();
                        } else {
                            enter!(frame, count)
                        }
                    }
                    None => enter!(frame, count),
                }
            }};
        }
        macro_rules! tail_call {
            ($base:expr, $count:expr) => {{
                let base: u16 = $base;
                let count = usize::from($count);
                r!(0u16) = r!(base);
                for index in 0..u16::from($count) {
                    r!(2 + index) = r!(base + 2 + index);
                }
                match Closure::of(r!(0u16)) {
                    Some(closure) => {
                        // SAFETY: procedures live as long as the machine.
                        let proto = unsafe { &*closure.proto() };
                        let end = fp.wrapping_add(proto.frame);
                        let heat = proto.heat.get();
                        if proto.params == count && !proto.rest && heat != 0 && end <= self.heap.stack_limit {
                            proto.heat.set(heat - 1);
                            pc = proto.code.as_ptr();
                        } else {
                            enter!(fp, count)
                        }
                    }
                    None => enter!(fp, count),
                }
            }};
        }
        macro_rules! global {
            ($k:expr) => {{
                // SAFETY: every symbol has a global before its code runs.
                let value = *unsafe { self.globals.get_unchecked($k as usize) };
                if value == Value::UNDEFINED {
                    return Err(self.undefined($k));
                }
                value
            }};
        }

        enter!(fp, count);
        loop {
            // SAFETY: `pc` is inside the running procedure's code.
            let op = unsafe { *pc };
            // SAFETY: no code ends in an instruction that goes on to the next.
            pc = unsafe { pc.add(1) };
            match op {
                Op::Move { d, s } => r!(d) = r!(s),
                // SAFETY: `emit` adds constants before the code that uses them.
                Op::Const { d, k } => r!(d) = *unsafe { self.constants.get_unchecked(k as usize) },
                Op::Int { d, i } => r!(d) = Value::small(i),
                Op::Global { d, k } => r!(d) = global!(k),
                Op::SetGlobal { s, k } => {
                    global!(k);
                    self.globals[k as usize] = r!(s);
                }
                Op::DefineGlobal { s, k } => self.globals[k as usize] = r!(s),
                Op::Captured { d, i } => {
                    let Some(closure) = Closure::of(r!(0u16)) else { return Err(broken()) };
                    // SAFETY: `emit` counts the values that a procedure captures.
                    r!(d) = unsafe { closure.captured(i) };
                }
                Op::NewBox { d, s } => r!(d) = self.heap.boxed(r!(s)),
                Op::Unbox { d, b } => match Cell::of(r!(b)) {
                    Some(cell) => r!(d) = cell.get(),
                    None => return Err(broken()),
                },
                Op::SetBox { b, s } => match Cell::of(r!(b)) {
                    Some(cell) => cell.set(r!(s)),
                    None => return Err(broken()),
                },
                Op::CheckDefined { s, k } => {
                    if r!(s) == Value::UNDEFINED {
                        return Err(self.undefined(k));
                    }
                }
                Op::Closure { d, k } => {
                    let closure = self.make_closure(k, fp);
                    r!(d) = closure;
                }
                Op::Patch { c, i, s } => {
                    let Some(closure) = Closure::of(r!(c)) else { return Err(broken()) };
                    let value = r!(s);
                    // SAFETY: `emit` counts the values that a procedure captures.
                    unsafe { closure.set_captured(i, value) };
                }
                Op::Clear { base } => {
                    r!(base) = Value::ZERO;
                    r!(base + 1) = Value::ZERO;
                }
                Op::Add { d, a, b } => {
                    let (a, b) = integers!("+", a, b);
                    r!(d) = word!("+", a.checked_add(b));
                }
                Op::Sub { d, a, b } => {
                    let (a, b) = integers!("-", a, b);
                    r!(d) = word!("-", a.checked_sub(b));
                }
                Op::Mul { d, a, b } => {
                    let (a, b) = integers!("*", a, b);
                    r!(d) = word!("*", (a >> 1).checked_mul(b));
                }
                Op::AddInt { d, a, i } => {
                    let a = integer!("+", a);
                    r!(d) = word!("+", a.checked_add(i64::from(i) << 1));
                }
                Op::Quotient { d, a, b } => r!(d) = primitives::quotient(self, r!(a), r!(b))?,
                Op::Remainder { d, a, b } => r!(d) = primitives::remainder(self, r!(a), r!(b))?,
                Op::Modulo { d, a, b } => r!(d) = primitives::modulo(self, r!(a), r!(b))?,
                Op::Less { d, a, b } => {
                    let (a, b) = integers!("comparison", a, b);
                    r!(d) = Value::boolean(a < b);
                }
                Op::LessEqual { d, a, b } => {
                    let (a, b) = integers!("comparison", a, b);
                    r!(d) = Value::boolean(a <= b);
                }
                Op::NumEqual { d, a, b } => {
                    let (a, b) = integers!("=", a, b);
                    r!(d) = Value::boolean(a == b);
                }
                Op::Eq { d, a, b } => r!(d) = Value::boolean(r!(a) == r!(b)),
                Op::Not { d, s } => r!(d) = Value::boolean(!r!(s).is_true()),
                Op::Cons { d, a, b } => r!(d) = self.heap.cons(r!(a), r!(b)),
                Op::Car { d, s } => match Pair::of(r!(s)) {
                    Some(pair) => r!(d) = pair.car(),
                    None => return Err(self.wrong_type("car", "a pair", r!(s))),
                },
                Op::Cdr { d, s } => match Pair::of(r!(s)) {
                    Some(pair) => r!(d) = pair.cdr(),
                    None => return Err(self.wrong_type("cdr", "a pair", r!(s))),
                },
                Op::IsNull { d, s } => r!(d) = Value::boolean(r!(s) == Value::NULL),
                Op::IsPair { d, s } => r!(d) = Value::boolean(Pair::of(r!(s)).is_some()),
                Op::VectorRef { d, v, i } => {
                    let (vector, index) = (r!(v), r!(i));
                    match Vector::of(vector).zip(index_of(index)).and_then(|(vector, index)| vector.get(index)) {
                        Some(element) => r!(d) = element,
                        None => return Err(self.bad_element("vector-ref", vector, index)),
                    }
                }
                Op::VectorSet { v, i, s } => {
                    let (vector, index) = (r!(v), r!(i));
                    let done =
                        Vector::of(vector).zip(index_of(index)).is_some_and(|(vector, index)| vector.set(index, r!(s)));
                    if !done {
                        return Err(self.bad_element("vector-set!", vector, index));
                    }
                }
                Op::Jump { to } => jump!(to),
                Op::Loop { top, to } => {
                    if self.heap.stack_limit.is_null() {
                        // SAFETY: words below `top` are the running procedure's live registers.
                        unsafe { self.collect(fp.add(usize::from(top))) }?;
                    }
                    jump!(to);
                }
                Op::JumpIf { s, to } => {
                    if r!(s).is_true() {
                        jump!(to);
                    }
                }
                Op::JumpIfNot { s, to } => {
                    if !r!(s).is_true() {
                        jump!(to);
                    }
                }
                Op::JumpNull { s, to } => {
                    if r!(s) == Value::NULL {
                        jump!(to);
                    }
                }
                Op::JumpNotNull { s, to } => {
                    if r!(s) != Value::NULL {
                        jump!(to);
                    }
                }
                Op::JumpPair { s, to } => {
                    if Pair::of(r!(s)).is_some() {
                        jump!(to);
                    }
                }
                Op::JumpNotPair { s, to } => {
                    if Pair::of(r!(s)).is_none() {
                        jump!(to);
                    }
                }
                Op::JumpLess { a, b, to } => {
                    let (a, b) = integers!("comparison", a, b);
                    if a < b {
                        jump!(to);
                    }
                }
                Op::JumpLessEqual { a, b, to } => {
                    let (a, b) = integers!("comparison", a, b);
                    if a <= b {
                        jump!(to);
                    }
                }
                Op::JumpNumEqual { a, b, to } => {
                    let (a, b) = integers!("=", a, b);
                    if a == b {
                        jump!(to);
                    }
                }
                Op::JumpNumDiffer { a, b, to } => {
                    let (a, b) = integers!("=", a, b);
                    if a != b {
                        jump!(to);
                    }
                }
                Op::JumpEq { a, b, to } => {
                    if r!(a) == r!(b) {
                        jump!(to);
                    }
                }
                Op::JumpDiffer { a, b, to } => {
                    if r!(a) != r!(b) {
                        jump!(to);
                    }
                }
                Op::JumpLessInt { a, i, to } => {
                    if integer!("comparison", a) < i64::from(i) << 1 {
                        jump!(to);
                    }
                }
                Op::JumpNotLessInt { a, i, to } => {
                    if integer!("comparison", a) >= i64::from(i) << 1 {
                        jump!(to);
                    }
                }
                Op::JumpEqualInt { a, i, to } => {
                    if integer!("=", a) == i64::from(i) << 1 {
                        jump!(to);
                    }
                }
                Op::JumpDifferInt { a, i, to } => {
                    if integer!("=", a) != i64::from(i) << 1 {
                        jump!(to);
                    }
                }
                Op::Call { n, base } => call!(base, n),
                Op::CallGlobal { n, base, k } => {
                    r!(base) = global!(k);
                    call!(base, n);
                }
                Op::TailCall { n, base } => tail_call!(base, n),
                Op::TailCallGlobal { n, base, k } => {
                    r!(base) = global!(k);
                    tail_call!(base, n);
                }
                Op::CallPrimitive { n, d, base, p } => {
                    // SAFETY: the registers hold the operands; primitives never write to the stack.
                    let operands = unsafe { std::slice::from_raw_parts(fp.add(usize::from(base)), usize::from(n)) };
                    r!(d) = primitives::apply(self, p, operands)?;
                }
                Op::Return { s } => finish!(r!(s)),
            }
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn not_integers(&self, name: &str, a: Value, b: Value) -> Error {
        self.wrong_type(name, "an integer", if a.is_integer() { b } else { a })
    }

    /// The error for an argument of the wrong type.
    #[cold]
    #[inline(never)]
    pub(crate) fn wrong_type(&self, name: &str, expected: &str, found: Value) -> Error {
        let mut text = self.text_of(found, Style::Write);
        if text.len() > 200 {
            text = text.chars().take(197).collect::<String>() + "...";
        }
        Error::new(format!("{name}: expected {expected}, got {text}"))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn bad_element(&self, name: &str, vector: Value, index: Value) -> Error {
        match Vector::of(vector) {
            None => self.wrong_type(name, "a vector", vector),
            Some(_) if !index.is_integer() => self.wrong_type(name, "an integer", index),
            Some(vector) => Error::new(format!(
                "{name}: index {} is outside a vector of length {}",
                self.text_of(index, Style::Write),
                vector.length()
            )),
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn undefined(&self, symbol: u32) -> Error {
        Error::new(format!("undefined variable: {}", self.symbols.name(symbol)))
    }
}

#[inline]
fn index_of(value: Value) -> Option<usize> {
    value.as_integer().and_then(|number| usize::try_from(number).ok())
}

/// The error for a result outside the 63 bits of an integer.
#[cold]
pub(crate) fn overflow(name: &str) -> Error {
    Error::new(format!("{name}: the result needs more than 63 bits"))
}

/// The error for code that breaks the promises of `emit`.
#[cold]
fn broken() -> Error {
    Error::new("internal error: a register holds what it must not")
}
