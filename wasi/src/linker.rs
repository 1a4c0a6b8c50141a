//! Gives the functions of [`preview1`] and of [`snapshot0`] to guests: [`add_to_linker`], [`add_snapshot0_to_linker`].
//!
//! This is the only file that knows the engine. One table lists every function with its parameters as WebAssembly types; a
//! macro makes a host function of each row. A host function finds the memory that the calling instance exports, calls its
//! namesake in [`preview1`] or [`snapshot0`], and returns the error's number, or 0.

use crate::{Errno, GuestMemory, WasiCtx, preview1, snapshot0};
use wasmo::{Caller, Extern, Linker, Memory, bail};

/// The name of the module that guests import these functions from.
pub const MODULE: &str = "wasi_snapshot_preview1";

/// The name of the module that guests of snapshot 0 import from.
pub const MODULE_SNAPSHOT0: &str = "wasi_unstable";

/// Hands the table of functions to another macro. Parameters that are pointers, lengths, descriptors or flags are `u32`.
macro_rules! with_functions {
    ($use:ident $(, $context:ident)*) => {
        $use! {
            $($context),*;
            args_get(argv: u32, argv_buf: u32);
            args_sizes_get(argc: u32, argv_buf_size: u32);
            clock_res_get(id: u32, result: u32);
            clock_time_get(id: u32, precision: u64, result: u32);
            environ_get(environ: u32, environ_buf: u32);
            environ_sizes_get(environc: u32, environ_buf_size: u32);
            fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
            fd_allocate(fd: u32, offset: u64, len: u64);
            fd_close(fd: u32);
            fd_datasync(fd: u32);
            fd_fdstat_get(fd: u32, result: u32);
            fd_fdstat_set_flags(fd: u32, flags: u32);
            fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
            fd_filestat_get(fd: u32, result: u32);
            fd_filestat_set_size(fd: u32, size: u64);
            fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32);
            fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nread: u32);
            fd_prestat_dir_name(fd: u32, path: u32, path_len: u32);
            fd_prestat_get(fd: u32, result: u32);
            fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nwritten: u32);
            fd_read(fd: u32, iovs: u32, iovs_len: u32, nread: u32);
            fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, bufused: u32);
            fd_renumber(fd: u32, to: u32);
            fd_seek(fd: u32, offset: i64, whence: u32, newoffset: u32);
            fd_sync(fd: u32);
            fd_tell(fd: u32, result: u32);
            fd_write(fd: u32, iovs: u32, iovs_len: u32, nwritten: u32);
            path_create_directory(fd: u32, path: u32, path_len: u32);
            path_filestat_get(fd: u32, flags: u32, path: u32, path_len: u32, result: u32);
            path_filestat_set_times(
                fd: u32, flags: u32, path: u32, path_len: u32, accessed: u64, modified: u64, fst_flags: u32
            );
            path_link(
                old_fd: u32, old_flags: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32, new_path_len: u32
            );
            path_open(
                fd: u32, dirflags: u32, path: u32, path_len: u32, oflags: u32, base: u64, inheriting: u64, fdflags: u32,
                result: u32
            );
            path_readlink(fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, bufused: u32);
            path_remove_directory(fd: u32, path: u32, path_len: u32);
            path_rename(fd: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32, new_path_len: u32);
            path_symlink(old_path: u32, old_path_len: u32, fd: u32, new_path: u32, new_path_len: u32);
            path_unlink_file(fd: u32, path: u32, path_len: u32);
            poll_oneoff(subscriptions: u32, events: u32, count: u32, nevents: u32);
            proc_raise(signal: u32);
            random_get(buf: u32, buf_len: u32);
            sched_yield();
            sock_accept(fd: u32, flags: u32, result: u32);
            sock_recv(fd: u32, ri_data: u32, ri_data_len: u32, ri_flags: u32, ro_datalen: u32, ro_flags: u32);
            sock_send(fd: u32, si_data: u32, si_data_len: u32, si_flags: u32, so_datalen: u32);
            sock_shutdown(fd: u32, how: u32);
        }
    };
}

/// Defines in a linker what the table lists.
macro_rules! define {
    ($linker:ident, $get:ident, $module:ident, $functions:ident; $($name:ident($($param:ident: $ty:ty),*);)*) => {
        $($linker.func_wrap(
            $module,
            stringify!($name),
            move |mut caller: Caller<'_, T> $(, $param: $ty)*| -> wasmo::Result<u32> {
                let name = ($module, stringify!($name));
                call(&mut caller, $get, name, |ctx, memory| $functions::$name(ctx, memory $(, $param)*))
            },
        )?;)*
        $linker.func_wrap($module, "proc_exit", move |mut caller: Caller<'_, T>, status: u32| -> wasmo::Result<()> {
            let ctx = $get(caller.data_mut());
            match $functions::proc_exit(ctx, &mut GuestMemory::new(&mut []), status)? {}
        })?;
    };
}

/// Defines all functions of preview 1 in a linker, under the module name [`MODULE`]. `get` finds the context in a store's
/// data.
///
/// A guest's pointers mean the memory that it exports as `memory`.
///
/// ```
/// use wasmo::{Engine, Linker, Module, Store};
/// use wasmo_wasi::{I32Exit, MemoryOutputPipe, WasiCtx, WasiCtxBuilder, add_to_linker};
///
/// # fn main() -> wasmo::Result<()> {
/// let engine = Engine::default();
/// let mut linker = Linker::<WasiCtx>::new(&engine);
/// add_to_linker(&mut linker, |ctx| ctx)?;
///
/// let module = Module::new(&engine, r#"(module
///     (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
///     (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
///     (memory (export "memory") 1)
///     (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
///     (func (export "_start")
///         (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
///         (call $exit (i32.const 3))))"#)?;
/// let output = MemoryOutputPipe::new(1024);
/// let mut store = Store::new(&engine, WasiCtxBuilder::new().stdout(output.clone()).build());
/// let instance = linker.instantiate(&mut store, &module)?;
/// let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
/// let error = start.call(&mut store, ()).unwrap_err();
/// assert_eq!(error.downcast_ref(), Some(&I32Exit(3)));
/// assert_eq!(output.contents(), b"hello\n");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the linker already has a function of one of these names and does not allow replacing it.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
) -> wasmo::Result<()> {
    with_functions!(define, linker, get, MODULE, preview1);
    Ok(())
}

/// Defines all functions of snapshot 0 in a linker, under the module name [`MODULE_SNAPSHOT0`]; otherwise as [`add_to_linker`]. Both may be
/// defined in one linker.
///
/// # Errors
/// As [`add_to_linker`].
pub fn add_snapshot0_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
) -> wasmo::Result<()> {
    with_functions!(define, linker, get, MODULE_SNAPSHOT0, snapshot0);
    Ok(())
}

/// Calls a function with the context and the caller's memory, and turns its result into a number.
fn call<T: 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasiCtx,
    name: (&'static str, &'static str),
    function: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>) -> Result<(), Errno>,
) -> wasmo::Result<u32> {
    let (bytes, data) = memory(caller, name)?.data_and_store_mut(caller);
    let result = function(get(data), &mut GuestMemory::new(bytes));
    tracing::trace!(name = name.1, ?result, "a WASI call");
    Ok(result.map_or_else(|error| error.raw().into(), |()| 0))
}

/// The memory that the calling instance exports.
fn memory<T: 'static>(
    caller: &mut Caller<'_, T>,
    (module, name): (&'static str, &'static str),
) -> wasmo::Result<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => bail!("the guest calls `{module}.{name}` but exports no memory with the name `memory`"),
    }
}
