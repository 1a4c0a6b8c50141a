//! The error codes of WASI preview 1 and the way host errors become them.
//!
//! [`Errno`] is what every function of [`crate::preview1`] fails with. A guest sees it as the number
//! in its discriminant. Host errors arrive as [`rustix::io::Errno`] or as [`std::io::Error`]; a code
//! that preview 1 has no name for becomes [`Errno::Io`].
//!
//! Hazard: cap-std reports a path that leads out of a directory as a `PermissionDenied` without an
//! operating system code. It becomes [`Errno::Perm`], while the kernel's own `EACCES` stays
//! [`Errno::Acces`], so the two can be told apart.

use std::io;

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        /// An error code of WASI preview 1 (`errno` in the witx files), success excepted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Errno {
            $(#[doc = $text] $name = $value,)*
        }

        impl Errno {
            /// What the code means, in a few words.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The error with this number, if there is one. Zero is success and no error.
            #[must_use]
            pub const fn from_raw(raw: u16) -> Option<Self> {
                match raw { $($value => Some(Self::$name),)* _ => None }
            }
        }
    };
}

errnos! {
    TooBig = 1, "argument list too long";
    Acces = 2, "permission denied";
    Addrinuse = 3, "address in use";
    Addrnotavail = 4, "address not available";
    Afnosupport = 5, "address family not supported";
    Again = 6, "resource unavailable, or operation would block";
    Already = 7, "connection already in progress";
    Badf = 8, "bad file descriptor";
    Badmsg = 9, "bad message";
    Busy = 10, "device or resource busy";
    Canceled = 11, "operation canceled";
    Child = 12, "no child processes";
    Connaborted = 13, "connection aborted";
    Connrefused = 14, "connection refused";
    Connreset = 15, "connection reset";
    Deadlk = 16, "resource deadlock would occur";
    Destaddrreq = 17, "destination address required";
    Dom = 18, "argument out of domain of function";
    Dquot = 19, "disk quota exceeded";
    Exist = 20, "file exists";
    Fault = 21, "bad address";
    Fbig = 22, "file too large";
    Hostunreach = 23, "host is unreachable";
    Idrm = 24, "identifier removed";
    Ilseq = 25, "illegal byte sequence";
    Inprogress = 26, "operation in progress";
    Intr = 27, "interrupted function";
    Inval = 28, "invalid argument";
    Io = 29, "input/output error";
    Isconn = 30, "socket is connected";
    Isdir = 31, "is a directory";
    Loop = 32, "too many levels of symbolic links";
    Mfile = 33, "file descriptor value too large";
    Mlink = 34, "too many links";
    Msgsize = 35, "message too large";
    Multihop = 36, "multihop attempted";
    Nametoolong = 37, "filename too long";
    Netdown = 38, "network is down";
    Netreset = 39, "connection aborted by network";
    Netunreach = 40, "network unreachable";
    Nfile = 41, "too many files open in system";
    Nobufs = 42, "no buffer space available";
    Nodev = 43, "no such device";
    Noent = 44, "no such file or directory";
    Noexec = 45, "executable file format error";
    Nolck = 46, "no locks available";
    Nolink = 47, "link has been severed";
    Nomem = 48, "not enough space";
    Nomsg = 49, "no message of the desired type";
    Noprotoopt = 50, "protocol not available";
    Nospc = 51, "no space left on device";
    Nosys = 52, "function not supported";
    Notconn = 53, "the socket is not connected";
    Notdir = 54, "not a directory";
    Notempty = 55, "directory not empty";
    Notrecoverable = 56, "state not recoverable";
    Notsock = 57, "not a socket";
    Notsup = 58, "not supported";
    Notty = 59, "inappropriate i/o control operation";
    Nxio = 60, "no such device or address";
    Overflow = 61, "value too large to be stored";
    Ownerdead = 62, "previous owner died";
    Perm = 63, "operation not permitted";
    Pipe = 64, "broken pipe";
    Proto = 65, "protocol error";
    Protonosupport = 66, "protocol not supported";
    Prototype = 67, "protocol wrong type for socket";
    Range = 68, "result too large";
    Rofs = 69, "read-only file system";
    Spipe = 70, "invalid seek";
    Srch = 71, "no such process";
    Stale = 72, "stale file handle";
    Timedout = 73, "connection timed out";
    Txtbsy = 74, "text file busy";
    Xdev = 75, "cross-device link";
    Notcapable = 76, "capabilities insufficient";
}

impl Errno {
    /// The number that a guest sees, 1 to 76.
    #[must_use]
    pub const fn raw(self) -> u16 {
        self as u16
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (WASI errno {})", self.message(), self.raw())
    }
}

impl std::error::Error for Errno {}

macro_rules! from_host {
    ($($host:ident => $wasi:ident,)*) => {
        impl From<rustix::io::Errno> for Errno {
            fn from(host: rustix::io::Errno) -> Self {
                match host {
                    $(rustix::io::Errno::$host => Self::$wasi,)*
                    _ => Self::Io,
                }
            }
        }
    };
}

from_host! {
    TOOBIG => TooBig, ACCESS => Acces, ADDRINUSE => Addrinuse, ADDRNOTAVAIL => Addrnotavail,
    AFNOSUPPORT => Afnosupport, AGAIN => Again, ALREADY => Already, BADF => Badf, BADMSG => Badmsg,
    BUSY => Busy, CANCELED => Canceled, CHILD => Child, CONNABORTED => Connaborted,
    CONNREFUSED => Connrefused, CONNRESET => Connreset, DEADLK => Deadlk,
    DESTADDRREQ => Destaddrreq, DOM => Dom, DQUOT => Dquot, EXIST => Exist, FAULT => Fault,
    FBIG => Fbig, HOSTUNREACH => Hostunreach, IDRM => Idrm, ILSEQ => Ilseq,
    INPROGRESS => Inprogress, INTR => Intr, INVAL => Inval, IO => Io, ISCONN => Isconn,
    ISDIR => Isdir, LOOP => Loop, MFILE => Mfile, MLINK => Mlink, MSGSIZE => Msgsize,
    MULTIHOP => Multihop, NAMETOOLONG => Nametoolong, NETDOWN => Netdown, NETRESET => Netreset,
    NETUNREACH => Netunreach, NFILE => Nfile, NOBUFS => Nobufs, NODEV => Nodev, NOENT => Noent,
    NOEXEC => Noexec, NOLCK => Nolck, NOLINK => Nolink, NOMEM => Nomem, NOMSG => Nomsg,
    NOPROTOOPT => Noprotoopt, NOSPC => Nospc, NOSYS => Nosys, NOTCONN => Notconn,
    NOTDIR => Notdir, NOTEMPTY => Notempty, NOTRECOVERABLE => Notrecoverable,
    NOTSOCK => Notsock, NOTSUP => Notsup, NOTTY => Notty, NXIO => Nxio, OVERFLOW => Overflow,
    OWNERDEAD => Ownerdead, PERM => Perm, PIPE => Pipe, PROTO => Proto,
    PROTONOSUPPORT => Protonosupport, PROTOTYPE => Prototype, RANGE => Range, ROFS => Rofs,
    SPIPE => Spipe, SRCH => Srch, STALE => Stale, TIMEDOUT => Timedout, TXTBSY => Txtbsy,
    XDEV => Xdev,
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        if let Some(host) = rustix::io::Errno::from_io_error(&error) {
            return host.into();
        }
        match error.kind() {
            io::ErrorKind::NotFound => Self::Noent,
            io::ErrorKind::PermissionDenied => Self::Perm,
            io::ErrorKind::AlreadyExists => Self::Exist,
            io::ErrorKind::WouldBlock => Self::Again,
            io::ErrorKind::InvalidInput => Self::Inval,
            io::ErrorKind::InvalidData => Self::Ilseq,
            io::ErrorKind::TimedOut => Self::Timedout,
            io::ErrorKind::StorageFull | io::ErrorKind::WriteZero => Self::Nospc,
            io::ErrorKind::Interrupted => Self::Intr,
            io::ErrorKind::Unsupported => Self::Notsup,
            io::ErrorKind::OutOfMemory => Self::Nomem,
            io::ErrorKind::BrokenPipe => Self::Pipe,
            io::ErrorKind::NotADirectory => Self::Notdir,
            io::ErrorKind::IsADirectory => Self::Isdir,
            io::ErrorKind::NotSeekable => Self::Spipe,
            _ => Self::Io,
        }
    }
}

impl From<std::num::TryFromIntError> for Errno {
    /// A number that does not fit the field it is to be stored in.
    fn from(_: std::num::TryFromIntError) -> Self {
        Self::Overflow
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;
    use std::io;

    #[test]
    fn numbers_and_names_agree() {
        for raw in 1..=76 {
            assert_eq!(Errno::from_raw(raw).map(Errno::raw), Some(raw));
        }
        assert_eq!(Errno::from_raw(0), None);
        assert_eq!(Errno::from_raw(77), None);
        assert_eq!(Errno::Notcapable.raw(), 76);
        assert_eq!(Errno::Fault.raw(), 21);
    }

    #[test]
    fn host_errors_keep_their_meaning() {
        let os = |code: rustix::io::Errno| Errno::from(io::Error::from(code));
        assert_eq!(os(rustix::io::Errno::ACCESS), Errno::Acces);
        assert_eq!(os(rustix::io::Errno::NOTEMPTY), Errno::Notempty);
        assert_eq!(os(rustix::io::Errno::HWPOISON), Errno::Io);
        let escape = io::Error::new(io::ErrorKind::PermissionDenied, "outside");
        assert_eq!(Errno::from(escape), Errno::Perm);
    }
}
