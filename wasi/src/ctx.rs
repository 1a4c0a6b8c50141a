//! [`WasiCtx`], all that one guest can reach of the host, and [`WasiCtxBuilder`], which makes it.
//!
//! A context starts with nothing: no arguments, no variables, an empty standard input, outputs that
//! are discarded, no directories. Everything else is given by name. Preopened descriptors are numbered
//! from 3: first the directories, then the sockets, each in the order in which they were added. Programs
//! look for directories until they meet a number that is none.

use crate::descriptor::{Descriptor, Object, OpenDir};
use crate::stream::{
    DiscardOutput, EmptyInput, InheritedStderr, InheritedStdin, InheritedStdout, StdinStream, StdoutStream,
};
use crate::table::FdTable;
use crate::types::{DirPerms, FdFlags, FilePerms, Rights};
use anyhow::Context as _;
use cap_std::fs::Dir;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What one guest sees of the host: arguments, environment, and open descriptors.
pub struct WasiCtx {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) table: FdTable,
}

impl WasiCtx {
    /// Starts a context; the same as [`WasiCtxBuilder::new`].
    #[must_use]
    pub fn builder() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }
}

impl std::fmt::Debug for WasiCtx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiCtx").field("args", &self.args).finish_non_exhaustive()
    }
}

/// Collects what a guest shall see of the host.
///
/// ```
/// use wasmo_wasi::{DirPerms, FilePerms, MemoryOutputPipe, WasiCtxBuilder};
///
/// # fn main() -> anyhow::Result<()> {
/// let output = MemoryOutputPipe::new(1 << 20);
/// let ctx = WasiCtxBuilder::new()
///     .args(["program", "--verbose"])
///     .env("LANG", "C.UTF-8")
///     .stdout(output.clone())
///     .preopened_dir(std::env::temp_dir(), "/tmp", DirPerms::all(), FilePerms::all())?
///     .build();
/// # drop(ctx);
/// # Ok(())
/// # }
/// ```
pub struct WasiCtxBuilder {
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Box<dyn StdinStream>,
    stdout: Box<dyn StdoutStream>,
    stderr: Box<dyn StdoutStream>,
    directories: Vec<Descriptor>,
    sockets: Vec<Descriptor>,
}

impl Default for WasiCtxBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for WasiCtxBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiCtxBuilder").field("args", &self.args).finish_non_exhaustive()
    }
}

impl WasiCtxBuilder {
    /// Starts with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            args: Vec::new(),
            env: Vec::new(),
            stdin: Box::new(EmptyInput),
            stdout: Box::new(DiscardOutput),
            stderr: Box::new(DiscardOutput),
            directories: Vec::new(),
            sockets: Vec::new(),
        }
    }

    /// Appends one argument. The first is the program's name.
    pub fn arg(&mut self, arg: impl AsRef<str>) -> &mut Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<str>>) -> &mut Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Appends the arguments of this process, its name included.
    pub fn inherit_args(&mut self) -> &mut Self {
        self.args.extend(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()));
        self
    }

    /// Sets one environment variable.
    pub fn env(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> &mut Self {
        let name = name.as_ref();
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets environment variables.
    pub fn envs(&mut self, variables: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> &mut Self {
        for (name, value) in variables {
            self.env(name, value);
        }
        self
    }

    /// Sets all environment variables of this process.
    pub fn inherit_env(&mut self) -> &mut Self {
        for (name, value) in std::env::vars_os() {
            self.env(name.to_string_lossy(), value.to_string_lossy());
        }
        self
    }

    /// Gives the guest a standard input.
    pub fn stdin(&mut self, stream: impl StdinStream) -> &mut Self {
        self.stdin = Box::new(stream);
        self
    }

    /// Gives the guest a standard output.
    pub fn stdout(&mut self, stream: impl StdoutStream) -> &mut Self {
        self.stdout = Box::new(stream);
        self
    }

    /// Gives the guest a standard error.
    pub fn stderr(&mut self, stream: impl StdoutStream) -> &mut Self {
        self.stderr = Box::new(stream);
        self
    }

    /// Gives the guest this process's standard input.
    pub fn inherit_stdin(&mut self) -> &mut Self {
        self.stdin(InheritedStdin)
    }

    /// Gives the guest this process's standard output.
    pub fn inherit_stdout(&mut self) -> &mut Self {
        self.stdout(InheritedStdout)
    }

    /// Gives the guest this process's standard error.
    pub fn inherit_stderr(&mut self) -> &mut Self {
        self.stderr(InheritedStderr)
    }

    /// Gives the guest all three standard streams of this process.
    pub fn inherit_stdio(&mut self) -> &mut Self {
        self.inherit_stdin().inherit_stdout().inherit_stderr()
    }

    /// Opens a directory of the host and shows it to the guest as `guest_path`.
    ///
    /// The guest cannot leave it: not by `..`, not by an absolute path, not by a symbolic link,
    /// whoever made that link.
    ///
    /// # Errors
    /// If `host_path` cannot be opened for reading or is not a directory.
    pub fn preopened_dir(
        &mut self,
        host_path: impl AsRef<Path>,
        guest_path: impl AsRef<str>,
        dir_perms: DirPerms,
        file_perms: FilePerms,
    ) -> anyhow::Result<&mut Self> {
        let (host_path, guest_path) = (host_path.as_ref(), guest_path.as_ref());
        let directory = rustix::fs::OFlags::DIRECTORY.bits().cast_signed();
        let file =
            std::fs::OpenOptions::new().read(true).custom_flags(directory).open(host_path).with_context(|| {
                format!("cannot open directory `{}` for the guest's `{guest_path}`", host_path.display())
            })?;
        self.directories.push(Descriptor {
            object: Object::Dir(OpenDir {
                dir: Dir::from_std_file(file),
                preopen: Some(guest_path.to_owned()),
                dir_perms,
                file_perms,
                reader: None,
            }),
            base: Rights::DIRECTORY,
            inheriting: Rights::DIRECTORY | Rights::REGULAR_FILE,
            flags: FdFlags::empty(),
        });
        Ok(self)
    }

    /// Gives the guest a listening socket, for `sock_accept`.
    pub fn preopened_listener(&mut self, socket: TcpListener) -> &mut Self {
        self.sockets.push(Descriptor {
            object: Object::Listener(socket),
            base: Rights::LISTENER,
            inheriting: Rights::CONNECTION,
            flags: FdFlags::empty(),
        });
        self
    }

    /// Gives the guest a connected socket, for `sock_recv`, `sock_send`, `fd_read` and `fd_write`.
    pub fn preopened_connection(&mut self, socket: TcpStream) -> &mut Self {
        self.sockets.push(Descriptor {
            object: Object::Connection(socket),
            base: Rights::CONNECTION,
            inheriting: Rights::empty(),
            flags: FdFlags::empty(),
        });
        self
    }

    /// The context, and leaves the builder empty as [`new`](Self::new) does.
    pub fn build(&mut self) -> WasiCtx {
        let Self { args, env, stdin, stdout, stderr, directories, sockets } = std::mem::take(self);
        let standard = |object, base| Descriptor { object, base, inheriting: Rights::empty(), flags: FdFlags::empty() };
        let mut descriptors = vec![
            standard(Object::Input(stdin), Rights::INPUT),
            standard(Object::Output(stdout), Rights::OUTPUT),
            standard(Object::Output(stderr), Rights::OUTPUT),
        ];
        descriptors.extend(directories);
        descriptors.extend(sockets);
        WasiCtx { args, env, table: descriptors.into_iter().collect() }
    }
}
