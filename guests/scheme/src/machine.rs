//! The machine: everything a program needs to run, and the way from text to results.

use crate::analyse::Analyser;
use crate::emit::{self, Output};
use crate::error::Error;
use crate::heap::Heap;
use crate::object::Pair;
use crate::primitives;
use crate::printer::{Style, print};
use crate::proto::Proto;
use crate::reader::Reader;
use crate::symbols::{Symbols, keyword};
use crate::value::Value;
use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashSet;
use std::io::Write;
use std::ptr;
use std::rc::Rc;

/// Words of the stack: 16 MiB, some 400,000 nested calls.
const STACK_WORDS: usize = 2 << 20;
/// Words of the stack that are filled at the start; the rest follows when it is needed, so that short
/// programs do not touch it.
const FIRST_WORDS: usize = 16 << 10;
/// How many bytes of output are kept before they are written.
const OUTPUT_BUFFER: usize = 16 << 10;

/// Procedures that are written in Scheme.
const PRELUDE: &str = include_str!("prelude.scm");

/// An interpreter with its heap, its stack and its global variables.
pub struct Machine {
    /// All objects.
    pub heap: Heap,
    /// All names.
    pub symbols: Symbols,
    /// Global variables by symbol.
    pub(crate) globals: Vec<Value>,
    pub(crate) constants: Vec<Value>,
    // Boxed because compiled frames and closures hold their addresses.
    #[expect(clippy::vec_box, reason = "procedures must not move when the list grows")]
    pub(crate) protos: Vec<Box<Proto>>,
    pub(crate) stack: *mut Value,
    /// How many words of the stack have been filled.
    pub(crate) stack_ready: usize,
    /// Data that has been read but not compiled yet.
    pending_forms: Vec<Value>,
    /// The error that compiled code leaves when it returns [`Value::FAILED`].
    pub pending: Option<Error>,
    /// The number of arguments of the tail call that compiled code asks for.
    pub tail_arguments: usize,
    next_id: u32,
    output: Vec<u8>,
    sink: Box<dyn Write>,
}

impl Machine {
    /// A machine with all primitives and the prelude, which writes what programs print to `sink`.
    ///
    /// # Panics
    ///
    /// When there is no memory for the stack.
    pub fn new(sink: Box<dyn Write>) -> Self {
        // SAFETY: the layout is not empty.
        let stack = unsafe { alloc(stack_layout()) }.cast::<Value>();
        assert!(!stack.is_null(), "no memory for the stack");
        let mut machine = Machine {
            heap: Heap::default(),
            symbols: Symbols::default(),
            globals: Vec::new(),
            constants: vec![Value::FALSE, Value::TRUE, Value::NULL, Value::UNSPECIFIED, Value::UNDEFINED],
            protos: Vec::new(),
            stack,
            stack_ready: 0,
            pending_forms: Vec::new(),
            pending: None,
            tail_arguments: 0,
            next_id: 0,
            output: Vec::with_capacity(OUTPUT_BUFFER),
            sink,
        };
        machine.extend_stack(FIRST_WORDS);
        for index in 0..primitives::count() {
            let symbol = machine.symbols.intern(primitives::name(index));
            machine.set_global(symbol, Value::primitive(index));
        }
        machine.run_program(PRELUDE).expect("the prelude is part of this crate and tested");
        machine
    }

    /// Runs all forms of `text`, and returns the value of the last.
    ///
    /// # Errors
    ///
    /// The first error; what was printed before it has been written.
    pub fn run_program(&mut self, text: &str) -> Result<Value, Error> {
        let result = self.run_forms(text);
        self.pending_forms.clear();
        match (result, self.flush()) {
            (Ok(_), Err(error)) => Err(error),
            (result, _) => result,
        }
    }

    fn run_forms(&mut self, text: &str) -> Result<Value, Error> {
        let mut reader = Reader::new(text);
        let mut redefined = HashSet::new();
        while let Some(form) = reader.next(&mut self.heap, &mut self.symbols)? {
            self.find_redefined(form, &mut redefined);
            self.pending_forms.push(form);
        }
        let mut last = Value::UNSPECIFIED;
        for index in 0..self.pending_forms.len() {
            let form = self.pending_forms[index];
            last = self.run_form(form, &redefined)?;
        }
        Ok(last)
    }

    /// Runs one top-level form.
    fn run_form(&mut self, form: Value, redefined: &HashSet<u32>) -> Result<Value, Error> {
        let analyser = Analyser::new(&mut self.symbols, redefined, &mut self.next_id);
        let lambda = Rc::new(analyser.top_level(form)?);
        let mut output = Output { protos: &mut self.protos, constants: &mut self.constants };
        let index = emit::emit(&lambda, Vec::new(), &mut output)?;
        self.globals.resize(self.symbols.count(), Value::UNDEFINED);
        self.execute(index as usize)
    }

    /// Collects the global names that a form defines or assigns anywhere: calls of primitives that the
    /// program redefines are not turned into instructions. Data that only looks like an assignment
    /// makes a call slower, never wrong.
    fn find_redefined(&self, form: Value, redefined: &mut HashSet<u32>) {
        let mut work = vec![form];
        while let Some(form) = work.pop() {
            let Some(pair) = Pair::of(form) else { continue };
            if let (Some(keyword::DEFINE | keyword::SET), Some(rest)) = (pair.car().as_symbol(), Pair::of(pair.cdr())) {
                let mut target = rest.car();
                if let Some(signature) = Pair::of(target) {
                    target = signature.car();
                }
                redefined.extend(target.as_symbol());
            }
            work.push(pair.car());
            work.push(pair.cdr());
        }
    }

    /// The text of a value as `display` or `write` shows it.
    pub fn text_of(&self, value: Value, style: Style) -> String {
        print(value, style, &self.symbols)
    }

    /// The index of the procedure `value`, for a JIT; none for anything but a closure.
    pub fn proto_of(&self, value: Value) -> Option<&Proto> {
        let closure = crate::object::Closure::of(value)?;
        // SAFETY: a closure's procedure is in `self.protos`, which never shrinks while `self` lives.
        Some(unsafe { &*closure.proto() })
    }

    /// The value of the global variable `name`, when it is defined.
    pub fn global(&mut self, name: &str) -> Option<Value> {
        let symbol = self.symbols.intern(name) as usize;
        self.globals.get(symbol).copied().filter(|&value| value != Value::UNDEFINED)
    }

    fn set_global(&mut self, symbol: u32, value: Value) {
        self.globals.resize(self.symbols.count(), Value::UNDEFINED);
        self.globals[symbol as usize] = value;
    }

    /// Appends to the program's output.
    ///
    /// # Errors
    ///
    /// When earlier output cannot be written.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Error> {
        self.output.extend_from_slice(text.as_bytes());
        if self.output.len() >= OUTPUT_BUFFER { self.flush() } else { Ok(()) }
    }

    /// Writes all output so far.
    ///
    /// # Errors
    ///
    /// When the host refuses it.
    pub fn flush(&mut self) -> Result<(), Error> {
        let result = self.sink.write_all(&self.output).and_then(|()| self.sink.flush());
        self.output.clear();
        result.map_err(|error| Error::new(format!("cannot write output: {error}")))
    }

    /// Fills the stack up to `words` words; false when that is more than it has.
    pub(crate) fn extend_stack(&mut self, words: usize) -> bool {
        if words > STACK_WORDS {
            return false;
        }
        let words = words.max(2 * self.stack_ready).min(STACK_WORDS);
        for index in self.stack_ready..words {
            // SAFETY: the stack has `STACK_WORDS` words.
            unsafe { self.stack.add(index).write(Value::ZERO) };
        }
        self.stack_ready = words;
        // SAFETY: as above, one past the last filled word.
        self.heap.stack_limit = unsafe { self.stack.add(words) };
        true
    }

    /// Collects garbage. Live words of the stack are those below `top`.
    ///
    /// # Safety
    ///
    /// Every value that is used afterwards must be in a global, a constant, a form that waits, or a
    /// word of the stack below `top`; all those words must be valid values.
    pub(crate) unsafe fn collect(&mut self, top: *const Value) -> Result<(), Error> {
        // SAFETY: `top` is a place in the stack, so both pointers are into one allocation.
        let live = unsafe { top.offset_from(self.stack) };
        let live = usize::try_from(live).expect("the top of the stack is not below its start");
        // SAFETY: words below `top` are filled, as the caller promises.
        let stack = unsafe { std::slice::from_raw_parts(self.stack, live) };
        // SAFETY: the caller's promise.
        unsafe { self.heap.collect(&[&self.globals, &self.constants, &self.pending_forms, stack]) };
        // SAFETY: the stack is filled up to there.
        self.heap.stack_limit = unsafe { self.stack.add(self.stack_ready) };
        if self.heap.collect_always {
            self.heap.stack_limit = ptr::null_mut();
        }
        if self.heap.is_full() { Err(Error::new("out of memory")) } else { Ok(()) }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`.
        unsafe { dealloc(self.stack.cast(), stack_layout()) };
    }
}

fn stack_layout() -> Layout {
    Layout::array::<Value>(STACK_WORDS).expect("16 MiB are a valid size")
}
