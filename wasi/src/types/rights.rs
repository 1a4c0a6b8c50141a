//! The rights of descriptors.
//!
//! Every descriptor holds a set of rights that say what may be done with it (base), and a set that
//! bounds the rights of what is opened through it (inheriting). Rights only ever shrink: by
//! `fd_fdstat_set_rights`, and by `path_open`, which gives what was asked for and makes sense for the
//! kind of file. What the embedder allows is another matter and is kept in
//! [`DirPerms`](super::DirPerms) and [`FilePerms`](super::FilePerms).

use super::flags::flags;

flags! {
    /// `rights`: what may be done with a descriptor. Each flag names the function it allows.
    Rights: u64 {
        /// `fd_datasync`, and `path_open` with `DSYNC`.
        FD_DATASYNC = 1 << 0;
        /// `fd_read`, `fd_pread`, `sock_recv`.
        FD_READ = 1 << 1;
        /// `fd_seek`; also implies `fd_tell`.
        FD_SEEK = 1 << 2;
        /// `fd_fdstat_set_flags`.
        FD_FDSTAT_SET_FLAGS = 1 << 3;
        /// `fd_sync`, and `path_open` with `RSYNC` or `SYNC`.
        FD_SYNC = 1 << 4;
        /// `fd_tell`, and `fd_seek` where it does not move.
        FD_TELL = 1 << 5;
        /// `fd_write`, `fd_pwrite`, `sock_send`.
        FD_WRITE = 1 << 6;
        /// `fd_advise`.
        FD_ADVISE = 1 << 7;
        /// `fd_allocate`.
        FD_ALLOCATE = 1 << 8;
        /// `path_create_directory`.
        PATH_CREATE_DIRECTORY = 1 << 9;
        /// `path_open` with `CREAT`.
        PATH_CREATE_FILE = 1 << 10;
        /// `path_link`, as the directory of the existing file.
        PATH_LINK_SOURCE = 1 << 11;
        /// `path_link`, as the directory of the new link.
        PATH_LINK_TARGET = 1 << 12;
        /// `path_open`.
        PATH_OPEN = 1 << 13;
        /// `fd_readdir`.
        FD_READDIR = 1 << 14;
        /// `path_readlink`.
        PATH_READLINK = 1 << 15;
        /// `path_rename`, as the old directory.
        PATH_RENAME_SOURCE = 1 << 16;
        /// `path_rename`, as the new directory.
        PATH_RENAME_TARGET = 1 << 17;
        /// `path_filestat_get`.
        PATH_FILESTAT_GET = 1 << 18;
        /// `path_open` with `TRUNC`.
        PATH_FILESTAT_SET_SIZE = 1 << 19;
        /// `path_filestat_set_times`.
        PATH_FILESTAT_SET_TIMES = 1 << 20;
        /// `fd_filestat_get`.
        FD_FILESTAT_GET = 1 << 21;
        /// `fd_filestat_set_size`.
        FD_FILESTAT_SET_SIZE = 1 << 22;
        /// `fd_filestat_set_times`.
        FD_FILESTAT_SET_TIMES = 1 << 23;
        /// `path_symlink`.
        PATH_SYMLINK = 1 << 24;
        /// `path_remove_directory`.
        PATH_REMOVE_DIRECTORY = 1 << 25;
        /// `path_unlink_file`.
        PATH_UNLINK_FILE = 1 << 26;
        /// `poll_oneoff` on the descriptor.
        POLL_FD_READWRITE = 1 << 27;
        /// `sock_shutdown`.
        SOCK_SHUTDOWN = 1 << 28;
        /// `sock_accept`.
        SOCK_ACCEPT = 1 << 29;
    }
}

impl Rights {
    /// What can be done with a directory.
    pub const DIRECTORY: Self = Self(
        Self::FD_DATASYNC.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_SYNC.0
            | Self::PATH_CREATE_DIRECTORY.0
            | Self::PATH_CREATE_FILE.0
            | Self::PATH_LINK_SOURCE.0
            | Self::PATH_LINK_TARGET.0
            | Self::PATH_OPEN.0
            | Self::FD_READDIR.0
            | Self::PATH_READLINK.0
            | Self::PATH_RENAME_SOURCE.0
            | Self::PATH_RENAME_TARGET.0
            | Self::PATH_FILESTAT_GET.0
            | Self::PATH_FILESTAT_SET_SIZE.0
            | Self::PATH_FILESTAT_SET_TIMES.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::PATH_SYMLINK.0
            | Self::PATH_REMOVE_DIRECTORY.0
            | Self::PATH_UNLINK_FILE.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// What can be done with a file that has a position.
    pub const REGULAR_FILE: Self = Self(
        Self::FD_DATASYNC.0
            | Self::FD_READ.0
            | Self::FD_SEEK.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_SYNC.0
            | Self::FD_TELL.0
            | Self::FD_WRITE.0
            | Self::FD_ADVISE.0
            | Self::FD_ALLOCATE.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FILESTAT_SET_SIZE.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// What can be done with a terminal opened by path. Programs take a character device without
    /// the rights to seek and tell for a terminal.
    pub const TERMINAL: Self = Self::REGULAR_FILE.difference(Self::FD_SEEK.union(Self::FD_TELL));

    /// What can be done with standard input.
    pub const INPUT: Self =
        Self(Self::FD_READ.0 | Self::FD_FDSTAT_SET_FLAGS.0 | Self::FD_FILESTAT_GET.0 | Self::POLL_FD_READWRITE.0);

    /// What can be done with standard output and standard error.
    pub const OUTPUT: Self =
        Self(Self::FD_WRITE.0 | Self::FD_FDSTAT_SET_FLAGS.0 | Self::FD_FILESTAT_GET.0 | Self::POLL_FD_READWRITE.0);

    /// What can be done with a connected socket.
    pub const CONNECTION: Self = Self(Self::INPUT.0 | Self::OUTPUT.0 | Self::SOCK_SHUTDOWN.0);

    /// What can be done with a listening socket.
    pub const LISTENER: Self = Self(
        Self::SOCK_ACCEPT.0
            | Self::FD_READ.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_FILESTAT_GET.0
            | Self::POLL_FD_READWRITE.0,
    );
}
