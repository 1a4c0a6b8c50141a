//! What can stand behind descriptors 0, 1 and 2: the traits [`StdinStream`] and [`StdoutStream`], the
//! host's own standard streams, files, and nothing at all.
//!
//! A stream has no position. One that is backed by a host descriptor says so with `host_fd`, and is
//! polled through it; one that is not counts as always ready. The host's streams are used below the
//! buffers of `std::io`, because `poll` knows nothing of bytes that `std` has already taken.

use rustix::fd::{AsFd, BorrowedFd};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};

/// A source of bytes for standard input.
pub trait StdinStream: Send + Sync + 'static {
    /// Reads what there is, waiting for at least one byte; 0 is the end. `buffers` hold at least one
    /// byte.
    ///
    /// # Errors
    /// Any error; the guest gets the [`Errno`](crate::Errno) it converts to.
    fn read(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;

    /// The host descriptor that tells when bytes can be read.
    fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// How many bytes can be read without waiting, where there is no host descriptor to ask.
    fn available(&self) -> usize {
        0
    }
}

/// A sink of bytes for standard output and standard error.
pub trait StdoutStream: Send + Sync + 'static {
    /// Writes as much as it can, waiting for room for at least one byte.
    ///
    /// # Errors
    /// Any error; the guest gets the [`Errno`](crate::Errno) it converts to.
    fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// The host descriptor that tells when bytes can be written.
    fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// The standard input of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct InheritedStdin;

impl StdinStream for InheritedStdin {
    fn read(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(rustix::io::readv(rustix::stdio::stdin(), buffers)?)
    }

    fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(rustix::stdio::stdin())
    }
}

/// The standard output of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct InheritedStdout;

impl StdoutStream for InheritedStdout {
    fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(rustix::stdio::stdout(), buffers)?)
    }

    fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(rustix::stdio::stdout())
    }
}

/// The standard error of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct InheritedStderr;

impl StdoutStream for InheritedStderr {
    fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(rustix::stdio::stderr(), buffers)?)
    }

    fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(rustix::stdio::stderr())
    }
}

impl StdinStream for File {
    fn read(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(rustix::io::readv(&*self, buffers)?)
    }

    fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl StdoutStream for File {
    fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(&*self, buffers)?)
    }

    fn host_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

/// Standard input that is at its end from the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyInput;

impl StdinStream for EmptyInput {
    fn read(&mut self, _: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(0)
    }
}

/// Standard output that forgets what is written to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscardOutput;

impl StdoutStream for DiscardOutput {
    fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(buffers.iter().map(|buffer| buffer.len()).sum())
    }
}
