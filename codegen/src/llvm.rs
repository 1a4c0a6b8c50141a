//! [`load`]: LLVM comes into the process when something is to be compiled, and not before.
//!
//! LLVM's library takes longer to load (140 MB, 200,000 relocations, thousands of constructors) than a small guest to run, and whoever runs artefacts only should
//! not pay for it. So no program is linked with it: each function of LLVM's C API, and of the shim, is a stub that the build script has
//! made, which jumps to where its slot says. `load` fills the slots.
//!
//! Hazard: a call before `load` jumps to address 0. All that reaches LLVM needs a [`crate::target::Target`], whose constructor calls `load` first.
//!
//! LLVM is loaded on whatever thread needs it first, and another may have the process exit meanwhile: `shim/exit.cpp` sees to it that no destructors of LLVM's are run then.

use crate::error::{Error, ErrorKind};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The shim: a shared library that depends on LLVM's, and finds it where it was when wasmo was built, or where the system keeps libraries.
const SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libwasmo_shim.so"));

/// The names of the functions, each with a zero byte at its end, in the order of their slots.
const FUNCTIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/functions"));

/// How many functions there are.
const COUNT: usize = include!(concat!(env!("OUT_DIR"), "/functions.count"));

unsafe extern "C" {
    /// Where the stubs jump to: of the build script's making, [`COUNT`] of them, zero at first.
    #[link_name = "wasmo_llvm_slots"]
    safe static SLOTS: [AtomicPtr<libc::c_void>; COUNT];
}

/// What came of loading LLVM, once it was needed.
static LOADED: OnceLock<Result<(), String>> = OnceLock::new();

/// Loads LLVM, if it is not there yet. Threads may call it at the same time; after it has succeeded, LLVM may be called.
///
/// # Errors
/// `Unsupported` when the library cannot be loaded, or is not the one that wasmo was built for; then it will not be tried again.
pub(crate) fn load() -> Result<(), Error> {
    LOADED
        .get_or_init(|| {
            let started = std::time::Instant::now();
            let result = fill();
            tracing::debug!(elapsed = ?started.elapsed(), "LLVM loaded");
            result
        })
        .as_ref()
        .copied()
        .map_err(|why| unsupported(why))
}

/// Why LLVM could not be loaded, once it was needed.
pub fn llvm_failure() -> Option<Error> {
    LOADED.get()?.as_ref().err().map(|why| unsupported(why))
}

fn unsupported(why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("LLVM 22, which compiles, cannot be loaded: {why}"))
}

/// Whether LLVM's library lies where it was when wasmo was built. If not, it may be where the system keeps libraries: loading it tells.
pub(crate) fn is_expected() -> bool {
    std::path::Path::new(crate::LLVM_LIBRARY).exists()
}

fn fill() -> Result<(), String> {
    let file = in_memory(SHIM).map_err(|error| format!("no file in memory: {error}"))?;
    // A debugger opens it, too, and now or whenever it is attached: so the path is one for all processes, and the file stays open.
    let process = std::fs::read_link("/proc/self").map_err(|error| format!("/proc/self: {error}"))?;
    let path = format!("/proc/{}/fd/{}", process.display(), file.into_raw_fd());
    let path = CString::new(path).map_err(|error| error.to_string())?;
    // What the shim defines comes before what others define: see `shim/exit.cpp`. Sanitizers, which are others as well, refuse that.
    let deep = if is_sanitized() { 0 } else { libc::RTLD_DEEPBIND };
    // SAFETY: the library is ours, and its constructors and LLVM's may run at any time. It stays loaded for ever.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL | deep) };
    if library.is_null() {
        return Err(last_error());
    }
    for (name, slot) in FUNCTIONS.split_inclusive(|byte| *byte == 0).zip(&SLOTS) {
        let name = CStr::from_bytes_with_nul(name).map_err(|error| error.to_string())?;
        // SAFETY: the library is loaded, the name ends in a zero byte.
        let function = unsafe { libc::dlsym(library, name.as_ptr()) };
        if function.is_null() {
            return Err(last_error());
        }
        slot.store(function, Ordering::Release);
    }
    Ok(())
}

/// Whether a sanitizer's runtime is in the process.
fn is_sanitized() -> bool {
    // SAFETY: the names end in zero bytes.
    let is_there = |name: &CStr| !unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.is_null();
    [c"__asan_init", c"__tsan_init", c"__msan_init"].into_iter().any(is_there)
}

/// A file without a name that holds `bytes`, and from which code may be loaded.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let create = |flags| {
        // SAFETY: the name ends in a zero byte.
        let fd = unsafe { libc::memfd_create(c"wasmo-shim".as_ptr(), flags) };
        // SAFETY: the descriptor was just made, and nobody else has it.
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { File::from_raw_fd(fd) }) }
    };
    // Kernels before 6.3 do not know MFD_EXEC, and need no telling.
    let mut file = create(libc::MFD_CLOEXEC | libc::MFD_EXEC).or_else(|_| create(libc::MFD_CLOEXEC))?;
    file.write_all(bytes)?;
    Ok(file)
}

/// What the dynamic linker has to say.
fn last_error() -> String {
    // SAFETY: the answer is null or a text that holds until this thread's next call of the dynamic linker.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the dynamic linker gives no reason".to_owned();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Adds the paths of libraries that are not in the file system to the list at `data`.
    ///
    /// # Safety
    /// `info` is what the dynamic linker says of a library, and `data` a `Vec<String>` that nobody else uses.
    unsafe extern "C" fn add_path(info: *mut libc::dl_phdr_info, _: usize, data: *mut libc::c_void) -> libc::c_int {
        // SAFETY: as the caller says; a library's name ends in a zero byte.
        let (name, paths) = unsafe { (CStr::from_ptr((*info).dlpi_name), &mut *data.cast::<Vec<String>>()) };
        paths.extend(name.to_str().ok().filter(|name| name.contains("/fd/")).map(str::to_owned));
        0
    }

    #[test]
    fn other_processes_find_the_shim() {
        load().unwrap();
        let mut paths = Vec::<String>::new();
        // SAFETY: it is called with the list, and only until this returns.
        unsafe { libc::dl_iterate_phdr(Some(add_path), (&raw mut paths).cast()) };
        let [path] = &paths[..] else { panic!("{paths:?}") };
        let read = Command::new("cat").arg(path).output().unwrap();
        assert!(read.stdout == SHIM, "{path}: {} bytes, {}", read.stdout.len(), String::from_utf8_lossy(&read.stderr));
    }
}
