//! The Scheme interpreter as a reactor: a library of exported functions that a host drives. What it imports is WASI only.
//!
//! The host calls `_initialize` once. Then it writes a program's text to memory from [`allocate`] (given back to `free`), has it read by [`parse`] and run
//! by [`eval`], which can be repeated; what either has to say is the text at [`result_data`]. What is called often becomes hot meanwhile.
//! [`jit_module`] makes a WebAssembly module of that, which the host reads ([`module_data`], [`module_size`]), links into this instance with
//! its memory and table, and gives back ([`free_module`]).
//!
//! There is one machine, made at the first call. Handles are indices into lists of it, so a wrong one is an error and never harm.

use scheme::{Error, Machine, Program, Style, Value};
use std::cell::RefCell;

/// The machine and what the host holds handles of.
struct Library {
    machine: Box<Machine>,
    programs: Vec<Program>,
    modules: Vec<Option<Vec<u8>>>,
    result: String,
}

thread_local! {
    static LIBRARY: RefCell<Library> = RefCell::new(Library {
        machine: {
            let mut machine = Machine::new(Box::new(std::io::stdout()));
            machine.start_jit(scheme::jit::THRESHOLD);
            machine
        },
        programs: Vec::new(),
        modules: Vec::new(),
        result: String::new(),
    });
}

fn with_library<T>(work: impl FnOnce(&mut Library) -> T) -> T {
    LIBRARY.with_borrow_mut(work)
}

/// An index as a handle; -1 for one beyond what handles can tell apart.
fn handle(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(-1)
}

unsafe extern "C" {
    safe fn malloc(size: usize) -> *mut u8;
    /// Runs the initialisers of the C library; made by the linker.
    fn __wasm_call_ctors();
}

/// What a reactor's host calls first, and once.
#[unsafe(no_mangle)]
pub extern "C" fn _initialize() {
    // SAFETY: the host calls this before anything else.
    unsafe { __wasm_call_ctors() }
}

/// `size` bytes of memory for the host to write to; null when there are none. `free`, which the C library exports, gives
/// them back.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(size: usize) -> *mut u8 {
    malloc(size)
}

/// Reads and compiles a program's text to instructions; returns a handle for [`eval`], or -1 and leaves the error's text as result.
///
/// # Safety
///
/// `length` bytes at `text` must be readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn parse(text: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    let text = unsafe { std::slice::from_raw_parts(text, length) };
    with_library(|library| {
        let parsed = match std::str::from_utf8(text) {
            Ok(text) => library.machine.parse(text),
            Err(_) => Err(Error::new("the program's text is not UTF-8")),
        };
        match parsed {
            Ok(program) => {
                library.result.clear();
                library.programs.push(program);
                handle(library.programs.len() - 1)
            }
            Err(error) => {
                library.result = error.to_string();
                -1
            }
        }
    })
}

/// Runs a program from its start; what its last form returns is the result, nothing for a definition. Returns 0, or -1 with the
/// error's text as result.
#[unsafe(no_mangle)]
pub extern "C" fn eval(program: i32) -> i32 {
    with_library(|library| {
        let Some(program) = usize::try_from(program).ok().and_then(|index| library.programs.get(index)) else {
            library.result = "there is no such program".into();
            return -1;
        };
        match library.machine.run_parsed(program) {
            Ok(Value::UNSPECIFIED) => library.result.clear(),
            Ok(value) => library.result = library.machine.text_of(value, Style::Write),
            Err(error) => {
                library.result = error.to_string();
                return -1;
            }
        }
        0
    })
}

/// Where the text is that the last [`parse`] or [`eval`] left, until the next.
#[unsafe(no_mangle)]
pub extern "C" fn result_data() -> *const u8 {
    with_library(|library| library.result.as_ptr())
}

/// How many bytes that text has.
#[unsafe(no_mangle)]
pub extern "C" fn result_size() -> usize {
    with_library(|library| library.result.len())
}

/// Makes a module of what is hot and not compiled yet; returns a handle, or -1 when there is nothing. The module takes effect when
/// it is linked, and there is no harm in not linking it.
#[unsafe(no_mangle)]
pub extern "C" fn jit_module() -> i32 {
    with_library(|library| {
        let Some(module) = library.machine.take_module() else { return -1 };
        library.modules.push(Some(module));
        handle(library.modules.len() - 1)
    })
}

/// How many calls make a procedure hot, from now on.
#[unsafe(no_mangle)]
pub extern "C" fn set_threshold(calls: u32) {
    with_library(|library| library.machine.start_jit(calls));
}

/// Collects garbage at every opportunity from now on, which finds values that nothing keeps alive. For tests.
#[unsafe(no_mangle)]
pub extern "C" fn collect_always() {
    with_library(|library| library.machine.heap.collect_always());
}

fn with_module<T: Default>(module: i32, look: impl FnOnce(&Vec<u8>) -> T) -> T {
    with_library(|library| {
        let module = usize::try_from(module).ok().and_then(|index| library.modules.get(index)?.as_ref());
        module.map(look).unwrap_or_default()
    })
}

/// Where a module's bytes are; 0 for a handle of none.
#[unsafe(no_mangle)]
pub extern "C" fn module_data(module: i32) -> usize {
    with_module(module, |bytes| bytes.as_ptr().expose_provenance())
}

/// How many bytes a module has.
#[unsafe(no_mangle)]
pub extern "C" fn module_size(module: i32) -> usize {
    with_module(module, Vec::len)
}

/// Gives a module's bytes back.
#[unsafe(no_mangle)]
pub extern "C" fn free_module(module: i32) {
    with_library(|library| {
        if let Some(place) = usize::try_from(module).ok().and_then(|index| library.modules.get_mut(index)) {
            *place = None;
        }
    });
}
