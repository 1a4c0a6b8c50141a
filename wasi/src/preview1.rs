//! The 46 functions of `wasi_snapshot_preview1`, independent of any engine.
//!
//! Every function takes the context, the guest's memory, and then its parameters as WebAssembly
//! passes them: 32-bit and 64-bit numbers, pointers being numbers too. The result is success or an
//! [`Errno`](crate::Errno); further results go to places in memory that the last parameters point to.
//! The one exception is [`proc_exit`], which always fails, with [`I32Exit`](crate::I32Exit).
//!
//! Errors common to all: [`Errno::Fault`](crate::Errno::Fault) for a pointer outside the memory,
//! [`Errno::Badf`](crate::Errno::Badf) for a descriptor that is not open,
//! [`Errno::Notcapable`](crate::Errno::Notcapable) for one that lacks the right. No argument makes a
//! function panic. A function that fails has changed neither the host nor, except where it had begun to
//! write a list, the memory.

mod args;
mod clock;
mod fd;
mod fd_io;
mod fd_stat;
mod misc;
mod path;
mod path_open;
mod poll;
mod readdir;
mod sock;
mod times;

pub use args::{args_get, args_sizes_get, environ_get, environ_sizes_get};
pub use clock::{clock_res_get, clock_time_get};
pub use fd::{
    fd_close, fd_fdstat_get, fd_fdstat_set_flags, fd_fdstat_set_rights, fd_prestat_dir_name, fd_prestat_get,
    fd_renumber,
};
pub use fd_io::{fd_pread, fd_pwrite, fd_read, fd_seek, fd_tell, fd_write};
pub(crate) use fd_stat::descriptor_stat;
pub use fd_stat::{
    fd_advise, fd_allocate, fd_datasync, fd_filestat_get, fd_filestat_set_size, fd_filestat_set_times, fd_sync,
};
pub use misc::{proc_exit, proc_raise, random_get, sched_yield};
pub(crate) use path::path_stat;
pub use path::{
    path_create_directory, path_filestat_get, path_filestat_set_times, path_link, path_readlink, path_remove_directory,
    path_rename, path_symlink, path_unlink_file,
};
pub use path_open::path_open;
pub use poll::poll_oneoff;
pub(crate) use poll::poll_records;
pub use readdir::fd_readdir;
pub use sock::{sock_accept, sock_recv, sock_send, sock_shutdown};
