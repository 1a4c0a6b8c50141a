//! What the tests have in common.
//!
//! Tests that take their modules from [`compiled`] can also run where there is no compiler: they are run once on a machine with one, where with `WASMO_TEST_MODULES`
//! (a directory) and `WASMO_TEST_TARGET` set in the environment they leave each module compiled for that target, and then, built without the engine's feature
//! `compiler`, on another, which finds the modules by `WASMO_TEST_MODULES` too.

#![allow(dead_code, reason = "not every test file uses everything")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasmo::{Engine, Error, Extern, Instance, Module, Result, Store, Trap, WasmBacktrace};

/// Where the module with this text, for an engine of this configuration, is kept compiled.
fn compiled_before(engine: &Engine, text: &str) -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os("WASMO_TEST_MODULES")?).join("engine");
    let mut hasher = DefaultHasher::new();
    (format!("{:?}", engine.config()), text).hash(&mut hasher);
    Some(directory.join(format!("{:016x}.wasmo", hasher.finish())))
}

/// The module with this text.
#[cfg(feature = "compiler")]
pub fn compiled(engine: &Engine, text: impl AsRef<str>) -> Result<Module> {
    let text = text.as_ref();
    if let Some(path) = compiled_before(engine, text) {
        let target = std::env::var("WASMO_TEST_TARGET")?;
        let artifact = Engine::new(engine.config().clone().target(&target))?.precompile_module(text.as_bytes())?;
        std::fs::create_dir_all(path.parent().expect("it is in a directory"))?;
        std::fs::write(path, artifact)?;
    }
    Module::new(engine, text)
}

/// Starts this test program once more. Where it is emulated, the system may not know how to start another of its kind: `WASMO_TEST_EMULATOR` is the command that does, with its arguments.
pub fn this_program() -> Command {
    let program = std::env::current_exe().expect("this process has an executable");
    let emulator = std::env::var("WASMO_TEST_EMULATOR").unwrap_or_default();
    let mut words = emulator.split_whitespace();
    let Some(emulator) = words.next() else { return Command::new(program) };
    let mut command = Command::new(emulator);
    command.args(words).arg(program);
    command
}

/// The module with this text.
#[cfg(not(feature = "compiler"))]
pub fn compiled(engine: &Engine, text: impl AsRef<str>) -> Result<Module> {
    let path = compiled_before(engine, text.as_ref()).expect("WASMO_TEST_MODULES says where modules are");
    // SAFETY: the directory is that of the tests.
    unsafe { Module::deserialize_file(engine, path) }
}

/// An instance of a module without imports, in a store of its own.
pub fn instance(text: &str) -> Result<(Store<()>, Instance)> {
    instance_with(&Engine::default(), (), text, |_| Vec::new())
}

/// An instance of a module in a store of its own, with the imports that `imports` makes there.
pub fn instance_with<T: 'static>(
    engine: &Engine,
    data: T,
    text: &str,
    imports: impl FnOnce(&mut Store<T>) -> Vec<Extern>,
) -> Result<(Store<T>, Instance)> {
    let module = compiled(engine, text)?;
    let mut store = Store::new(engine, data);
    let imports = imports(&mut store);
    let instance = Instance::new(&mut store, &module, &imports)?;
    Ok((store, instance))
}

/// Calls an export without parameters and results.
pub fn run<T: 'static>(store: &mut Store<T>, instance: Instance, name: &str) -> Result<()> {
    instance.get_typed_func::<(), ()>(&mut *store, name)?.call(store, ())
}

/// The trap that an error is.
pub fn trap(error: &Error) -> Trap {
    *error.downcast_ref::<Trap>().unwrap_or_else(|| panic!("not a trap: {error:?}"))
}

/// The names in the backtrace of an error, innermost first; `?` for functions without names.
pub fn names(error: &Error) -> Vec<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap_or_else(|| panic!("no backtrace: {error:?}"));
    backtrace.frames().iter().map(|frame| frame.demangled_name().unwrap_or("?".into()).into_owned()).collect()
}

/// `whole` with damage of one kind or another: cut off, a stretch of it turned over, or one bit; always the same sequence, each with the random number that it was made by.
pub fn damaged(whole: &[u8]) -> impl Iterator<Item = (Vec<u8>, u64)> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = usize::try_from(random % whole.len() as u64).expect("it is within the file");
        let mut bytes = whole.to_vec();
        match random >> 60 {
            0..3 => bytes.truncate(at),
            3..6 => bytes[at..].iter_mut().take(64).for_each(|byte| *byte = !*byte),
            _ => bytes[at] ^= 1 << (random >> 56 & 7),
        }
        (bytes, random)
    })
}

/// Writes a file that only its owner may use, as the cache's are.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes)?;
    Ok(std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?)
}
