//! [`Folder`]: a folder with files, to run `wasmo` in; [`Answer`]: what came back.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
#[cfg(feature = "compiler")]
use std::{
    fs::File,
    io::Write,
    os::fd::{FromRawFd, OwnedFd},
    ptr,
};

use tempfile::TempDir;

/// No command of these tests takes this long, on a busy machine and without optimisation; one that does hangs.
const HANGS: Duration = Duration::from_secs(120);

/// A folder that exists as long as its test runs, and a cache for it beside it.
pub struct Folder {
    files: TempDir,
    cache: TempDir,
}

impl Folder {
    /// A folder with these files, as (name, content).
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = || tempfile::tempdir().expect("a folder for the test");
        let folder = Self { files: folder(), cache: folder() };
        for (name, content) in files {
            folder.write(name, content.as_bytes());
        }
        folder
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path().join(name), content).expect("the folder can be written");
    }

    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// Where commands keep what they have compiled.
    pub fn cache(&self) -> PathBuf {
        self.cache.path().join("cache")
    }

    /// `wasmo` with these arguments, to be started here. It has no input, a cache of its own, and leaves no other process behind.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasmo"));
        command.args(args).current_dir(self.path()).env("WASMO_CACHE_DIR", self.cache()).stdin(Stdio::null());
        command.env_remove("WASMO_BACKGROUND");
        command
    }

    /// Runs `wasmo` with these arguments.
    #[track_caller]
    pub fn wasmo(&self, args: &[&str]) -> Answer {
        finish(self.command(args))
    }

    /// Runs `wasmo` with these arguments and this input.
    #[cfg(feature = "compiler")]
    #[track_caller]
    pub fn wasmo_with_input(&self, args: &[&str], input: &str) -> Answer {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("wasmo starts");
        let mut pipe = child.stdin.take().expect("the input is a pipe");
        pipe.write_all(input.as_bytes()).expect("wasmo takes its input");
        drop(pipe);
        Answer::new(wait(child))
    }
}

/// Runs a command that has been made ready.
#[track_caller]
pub fn finish(mut command: Command) -> Answer {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts");
    Answer::new(wait(child))
}

/// Runs a command whose standard error is a terminal.
#[cfg(feature = "compiler")]
#[track_caller]
pub fn finish_on_terminal(mut command: Command) -> Answer {
    let (mut ours, mut theirs) = (-1, -1);
    // SAFETY: the two are written, and nothing is read but them.
    let opened = unsafe { libc::openpty(&raw mut ours, &raw mut theirs, ptr::null_mut(), ptr::null(), ptr::null()) };
    assert_eq!(opened, 0, "there is a terminal to be had: {}", std::io::Error::last_os_error());
    // SAFETY: both have just been opened, and nobody else knows them.
    let (mut ours, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    let child = command.stdout(Stdio::piped()).stderr(theirs).spawn().expect("wasmo starts");
    // It has the other end of the terminal, too.
    drop(command);
    let shown = thread::spawn(move || {
        let mut bytes = Vec::new();
        // Linux answers with an error when nobody has the terminal open any more.
        let _ = ours.read_to_end(&mut bytes);
        bytes
    });
    let mut output = wait(child);
    output.stderr = shown.join().expect("the terminal was read");
    Answer::new(output)
}

/// Collects what a process writes, and ends it when it hangs.
#[track_caller]
pub fn wait(mut child: Child) -> Output {
    let collect = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes).expect("a pipe can be read");
            }
            bytes
        })
    };
    let stdout = collect(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = collect(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the process is ours") {
            break status;
        }
        if start.elapsed() > HANGS {
            child.kill().expect("the process is ours");
            panic!("wasmo hangs");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let join = |thread: thread::JoinHandle<_>| thread.join().expect("the pipe was read");
    Output { status, stdout: join(stdout), stderr: join(stderr) }
}

/// What came back. Every check shows all of it when it fails.
pub struct Answer {
    pub output: Output,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    fn new(output: Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        // A panic of ours is a bug whatever else is asked.
        assert!(!stderr.contains("panicked at"), "{stderr}");
        Self { output, stdout, stderr }
    }

    fn shown(&self) -> String {
        format!("\nstatus {:?}\nstdout: {}\nstderr: {}", self.output.status, self.stdout, self.stderr)
    }

    /// The exit code, and all of standard output.
    #[track_caller]
    pub fn gives(&self, code: i32, stdout: &str) -> &Self {
        assert_eq!((self.output.status.code(), self.stdout.as_str()), (Some(code), stdout), "{}", self.shown());
        self
    }

    /// The exit code, whatever is on standard output.
    #[track_caller]
    pub fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.output.status.code(), Some(code), "{}", self.shown());
        self
    }

    /// Each of these is somewhere on standard error.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not on standard error{}", self.shown());
        }
        self
    }

    /// Each of these is somewhere on standard output.
    #[track_caller]
    pub fn shows(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stdout.contains(part), "{part:?} is not on standard output{}", self.shown());
        }
        self
    }

    /// Nothing is on standard error.
    #[track_caller]
    pub fn quietly(&self) -> &Self {
        assert!(self.stderr.is_empty(), "{}", self.shown());
        self
    }
}
