//! The machine: everything a program needs to run, and the way from text to results.

use crate::analyse::Analyser;
use crate::emit::{self, Output};
use crate::error::Error;
use crate::heap::Heap;
use crate::jit::{Jit, runtime::NATIVE_ROOM};
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
/// More words than a frame can have.
const LARGEST_FRAME: usize = 1 << 16;
/// How many symbols there may be. The variables take memory only as there are symbols.
const MAX_GLOBALS: usize = 1 << 20;
/// How many bytes of output are kept before they are written.
const OUTPUT_BUFFER: usize = 16 << 10;

/// Procedures that are written in Scheme.
const PRELUDE: &str = include_str!("prelude.scm");

/// A program that has been read and compiled to instructions: its top-level forms.
pub struct Program {
    protos: Vec<usize>,
}

/// An interpreter with its heap, its stack and its global variables. It is always in a box of its own, out of which it must not
/// be moved: compiled code holds its address.
pub struct Machine {
    /// All objects.
    pub heap: Heap,
    /// All names.
    pub symbols: Symbols,
    /// Global variables by symbol. They never move, because compiled code holds their addresses.
    pub(crate) globals: Vec<Value>,
    pub(crate) constants: Vec<Value>,
    // Boxed because compiled frames and closures hold their addresses.
    #[expect(clippy::vec_box, reason = "procedures must not move when the list grows")]
    pub(crate) protos: Vec<Box<Proto>>,
    pub(crate) stack: *mut Value,
    /// How many words of the stack hold values; all of those have been live since the last collection began.
    pub(crate) stack_ready: usize,
    /// Data that has been read but not compiled yet.
    pending_forms: Vec<Value>,
    /// The error that compiled code leaves when it returns [`Value::FAILED`].
    pub pending: Option<Error>,
    /// The number of arguments of the tail call that compiled code asks for.
    pub tail_arguments: usize,
    /// While the interpreter runs: how many words of the stack compiled code may use when it is entered.
    pub(crate) native_room: usize,
    /// While compiled code runs: where its room on the stack ends. Beyond everything while the interpreter runs.
    pub(crate) native_end: *mut Value,
    pub(crate) jit: Jit,
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
    pub fn new(sink: Box<dyn Write>) -> Box<Self> {
        // SAFETY: the layout is not empty.
        let stack = unsafe { alloc(stack_layout()) }.cast::<Value>();
        assert!(!stack.is_null(), "no memory for the stack");
        let mut machine = Box::new(Machine {
            heap: Heap::default(),
            symbols: Symbols::default(),
            globals: Vec::with_capacity(MAX_GLOBALS),
            constants: vec![Value::FALSE, Value::TRUE, Value::NULL, Value::UNSPECIFIED, Value::UNDEFINED],
            protos: Vec::new(),
            stack,
            stack_ready: 0,
            pending_forms: Vec::new(),
            pending: None,
            tail_arguments: 0,
            native_room: NATIVE_ROOM,
            native_end: ptr::without_provenance_mut(usize::MAX),
            jit: Jit::default(),
            next_id: 0,
            output: Vec::with_capacity(OUTPUT_BUFFER),
            sink,
        });
        machine.extend_stack(FIRST_WORDS);
        for index in 0..primitives::count() {
            let symbol = machine.symbols.intern(primitives::name(index));
            machine.grow_globals().expect("there are fewer primitives than symbols may be");
            machine.globals[symbol as usize] = Value::primitive(index);
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
            let proto = self.compile_form(form, &redefined)?;
            last = self.execute(proto)?;
        }
        Ok(last)
    }

    /// Reads and compiles all forms of `text`, to be run by [`Machine::run_parsed`].
    ///
    /// # Errors
    ///
    /// The first form that is malformed; nothing has been run then.
    pub fn parse(&mut self, text: &str) -> Result<Program, Error> {
        let mut reader = Reader::new(text);
        let mut redefined = HashSet::new();
        let mut forms = Vec::new();
        // Nothing here can collect garbage; constants of the forms are kept by the machine from then on.
        while let Some(form) = reader.next(&mut self.heap, &mut self.symbols)? {
            self.find_redefined(form, &mut redefined);
            forms.push(form);
        }
        let protos = forms.into_iter().map(|form| self.compile_form(form, &redefined)).collect::<Result<_, _>>()?;
        Ok(Program { protos })
    }

    /// Runs a program from its start, any number of times: what is compiled stays so. Returns the value of its last form.
    ///
    /// # Errors
    ///
    /// The first error; what was printed before it has been written.
    pub fn run_parsed(&mut self, program: &Program) -> Result<Value, Error> {
        let run = |machine: &mut Machine| {
            program.protos.iter().try_fold(Value::UNSPECIFIED, |_, &proto| machine.execute(proto))
        };
        match (run(self), self.flush()) {
            (Ok(_), Err(error)) => Err(error),
            (result, _) => result,
        }
    }

    /// Compiles one top-level form to a procedure.
    fn compile_form(&mut self, form: Value, redefined: &HashSet<u32>) -> Result<usize, Error> {
        let analyser = Analyser::new(&mut self.symbols, redefined, &mut self.next_id);
        let lambda = Rc::new(analyser.top_level(form)?);
        let mut output = Output {
            heap: &mut self.heap,
            protos: &mut self.protos,
            constants: &mut self.constants,
            heat: self.jit.threshold,
        };
        let index = emit::emit(&lambda, Vec::new(), &mut output)?;
        self.grow_globals()?;
        Ok(index as usize)
    }

    /// Makes a global variable for every symbol.
    fn grow_globals(&mut self) -> Result<(), Error> {
        if self.symbols.count() > self.globals.capacity() {
            return Err(Error::new("the program has too many symbols"));
        }
        self.globals.resize(self.symbols.count(), Value::UNDEFINED);
        Ok(())
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
        self.reset_limit();
        true
    }

    /// Sets the limit that procedures compare with when they are entered, which takes back a collection that was asked for.
    fn reset_limit(&mut self) {
        // SAFETY: the stack is filled up to there.
        let end = unsafe { self.stack.add(self.stack_ready) };
        self.heap.stack_limit = end.min(self.native_end);
    }

    /// Says where the room for compiled code ends, and keeps the limit below that.
    pub(crate) fn set_native_end(&mut self, end: *mut Value) {
        self.native_end = end;
        if !self.heap.stack_limit.is_null() {
            self.reset_limit();
        }
    }

    /// Prepares for the procedure `proto` with `count` arguments at `frame`: collects if that was asked for, and makes room.
    ///
    /// # Safety
    ///
    /// Callee, link and arguments must be in place at `frame`, and all words below must be valid values.
    pub(crate) unsafe fn prepare(&mut self, frame: *mut Value, count: usize, proto: &Proto) -> Result<(), Error> {
        if self.heap.stack_limit.is_null() {
            // SAFETY: everything up to the last argument is in use, nothing above it is.
            unsafe { self.collect(frame.add(2 + count)) }?;
        }
        // SAFETY: `frame` is a place in the stack.
        let used = unsafe { frame.offset_from(self.stack) }.cast_unsigned();
        let end = used + proto.reserved(count);
        if end > self.stack_ready && !self.extend_stack(end) {
            return Err(Error::new(format!("recursion too deep in {}", proto.name)));
        }
        Ok(())
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
        unsafe {
            self.heap.collect(&[&self.globals, &self.constants, &self.pending_forms, &self.jit.samples, stack]);
        }
        // Compiled code leaves words of its frames as they are. So none may hold what is older than this collection, which
        // did not look at the words above.
        self.stack_ready = self.stack_ready.min(live + LARGEST_FRAME);
        for index in live..self.stack_ready {
            // SAFETY: the stack has that many words.
            unsafe { self.stack.add(index).write(Value::ZERO) };
        }
        self.reset_limit();
        if self.heap.collects_always {
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
