//! For guests that generate code: safe wrappers of the functions that a guest imports from `wasmo_jit`.
//!
//! A guest writes a WebAssembly module into its memory and has it linked into the instance that runs. The module's imports from
//! `env` are what the guest exports: its memory, its table of functions (`__indirect_function_table`), functions and globals. The
//! module's start function is its patch function: it puts new functions into the table and their places there where the guest looks for them.
//! A guest must therefore be linked with `--export-table`, and with `--growable-table` for modules that grow the table.
//!
//! ```no_run
//! let module: Vec<u8> = Vec::new(); // generated
//! match wasmo_jit::add_module(&module) {
//!     Ok(module) => module.keep(),
//!     Err(error) => eprintln!("not linked: {error}"),
//! }
//! ```
//!
//! Off WebAssembly, every call fails with [`Error`] that says so, so guests can be tested natively.

use std::fmt;

#[cfg(target_family = "wasm")]
mod host {
    #[link(wasm_import_module = "wasmo_jit")]
    unsafe extern "C" {
        pub safe fn poll(handle: i32) -> i32;
        pub safe fn remove_module(handle: i32) -> i32;
        pub fn add_module(bytes: *const u8, length: usize) -> i32;
        pub fn add_module_async(bytes: *const u8, length: usize) -> i32;
        pub fn last_error(text: *mut u8, capacity: usize) -> i32;
    }
}

#[cfg(not(target_family = "wasm"))]
mod host {
    //! The host that can link nothing. Its functions have the signatures of the imported ones.

    const NO_HOST: &[u8] = b"this program does not run in WebAssembly";

    pub fn poll(_: i32) -> i32 {
        -1
    }

    pub fn remove_module(_: i32) -> i32 {
        -1
    }

    pub unsafe fn add_module(_: *const u8, _: usize) -> i32 {
        -1
    }

    pub unsafe fn add_module_async(_: *const u8, _: usize) -> i32 {
        -1
    }

    /// # Safety
    ///
    /// `text` must be the address of `capacity` writable bytes.
    pub unsafe fn last_error(text: *mut u8, capacity: usize) -> i32 {
        // SAFETY: the caller's promise, and no more than the message has.
        unsafe { text.copy_from_nonoverlapping(NO_HOST.as_ptr(), capacity.min(NO_HOST.len())) };
        i32::try_from(NO_HOST.len()).unwrap_or(i32::MAX)
    }
}

/// Why the host did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The host's number for the kind of failure, positive.
    pub code: u32,
    /// What the host says about it.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (error {})", self.message, self.code)
    }
}

impl std::error::Error for Error {}

/// The handle in a host's answer, or the error that it stands for.
fn answer(answer: i32) -> Result<i32, Error> {
    if answer >= 0 { Ok(answer) } else { Err(Error { code: answer.unsigned_abs(), message: last_error() }) }
}

/// The text of the last failure.
pub fn last_error() -> String {
    let mut text = vec![0; 256];
    loop {
        // SAFETY: the vector has that many writable bytes.
        let length = unsafe { host::last_error(text.as_mut_ptr(), text.len()) };
        let length = usize::try_from(length).unwrap_or(0);
        if length <= text.len() {
            text.truncate(length);
            return String::from_utf8_lossy(&text).into_owned();
        }
        text.resize(length, 0);
    }
}

/// Compiles and links `module`. Its start function has run when this returns.
///
/// The module's code can do to the guest whatever code of the guest can: a wrong address in it is the guest's own undoing, and
/// cannot harm the host.
///
/// # Errors
///
/// When the host does not link modules, when it reaches one of its limits, when the module is invalid, wants what the guest does
/// not export, or when its start function traps.
pub fn add_module(module: &[u8]) -> Result<Module, Error> {
    // SAFETY: the slice is readable for as long as the call lasts.
    answer(unsafe { host::add_module(module.as_ptr(), module.len()) }).map(|handle| Module { handle })
}

/// Starts to compile `module` in the background; [`Pending::poll`] links it. The bytes are copied before this returns.
///
/// # Errors
///
/// When the host does not link modules, or reaches one of its limits.
pub fn add_module_async(module: &[u8]) -> Result<Pending, Error> {
    // SAFETY: the slice is readable for as long as the call lasts.
    answer(unsafe { host::add_module_async(module.as_ptr(), module.len()) }).map(|handle| Pending { handle })
}

/// A module that is part of the instance. Dropping it removes it.
#[derive(Debug)]
#[must_use = "dropping a module removes it; call keep for one that stays"]
pub struct Module {
    handle: i32,
}

impl Module {
    /// The host's number for it. Later modules import what it exports from `late.N`.
    pub fn handle(&self) -> i32 {
        self.handle
    }

    /// Leaves the module in the instance for good.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// Removes the module; what still refers to its functions refers to nothing then.
    ///
    /// # Errors
    ///
    /// When one of its functions has not returned yet; the module stays as it was.
    pub fn remove(self) -> Result<(), (Module, Error)> {
        match answer(host::remove_module(self.handle)) {
            Ok(_) => {
                self.keep();
                Ok(())
            }
            Err(error) => Err((self, error)),
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // One of its functions may be running: then the module stays, which a drop cannot report.
        host::remove_module(self.handle);
    }
}

/// A module that is being compiled. Dropping it gives it up.
#[derive(Debug)]
#[must_use = "a module is linked by polling"]
pub struct Pending {
    handle: i32,
}

/// How far a module is.
#[derive(Debug)]
pub enum Progress {
    /// It is part of the instance.
    Linked(Module),
    /// It is still being compiled.
    Pending(Pending),
}

impl Pending {
    /// Links the module if it is compiled by now.
    ///
    /// # Errors
    ///
    /// As for [`add_module`].
    pub fn poll(self) -> Result<Progress, Error> {
        match answer(host::poll(self.handle))? {
            0 => Ok(Progress::Pending(self)),
            _ => {
                let handle = self.handle;
                std::mem::forget(self);
                Ok(Progress::Linked(Module { handle }))
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        host::remove_module(self.handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_guest_gets_an_error() {
        let error = add_module(b"\0asm").expect_err("there is no host");
        assert_eq!(error.to_string(), "this program does not run in WebAssembly (error 1)");
        assert!(add_module_async(&[]).is_err());
    }
}
