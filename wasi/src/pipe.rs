//! Standard streams in memory, for tests and for embedders that want a guest's output as bytes.
//!
//! Both ends of a [`MemoryOutputPipe`] are the same value: clone it, give one clone to the guest, and
//! read the other with [`MemoryOutputPipe::contents`] at any time.

use crate::stream::{StdinStream, StdoutStream};
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Standard input that yields given bytes, then ends.
#[derive(Clone, Debug)]
pub struct MemoryInputPipe {
    rest: io::Cursor<Vec<u8>>,
}

impl MemoryInputPipe {
    /// A pipe that holds `bytes`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { rest: io::Cursor::new(bytes.into()) }
    }
}

impl StdinStream for MemoryInputPipe {
    fn read(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.rest.read_vectored(buffers)
    }

    fn available(&self) -> usize {
        let position = usize::try_from(self.rest.position()).unwrap_or(usize::MAX);
        self.rest.get_ref().len().saturating_sub(position)
    }
}

/// Standard output or standard error that collects what is written, up to a capacity.
///
/// When it is full, the guest's writes fail with [`Errno::Nospc`](crate::Errno::Nospc), so a guest
/// that prints without end cannot exhaust the host's memory.
#[derive(Clone, Debug)]
pub struct MemoryOutputPipe {
    capacity: usize,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl MemoryOutputPipe {
    /// An empty pipe that takes up to `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, bytes: Arc::default() }
    }

    /// A copy of what has been written so far.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        self.lock().clone()
    }

    /// What was written, without copying, once this is the last clone; `None` while there are others.
    #[must_use]
    pub fn try_into_inner(self) -> Option<Vec<u8>> {
        Arc::into_inner(self.bytes).map(|bytes| bytes.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The bytes. A panic elsewhere cannot leave a byte vector half changed, so poison is ignored.
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StdoutStream for MemoryOutputPipe {
    fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut bytes = self.lock();
        let mut written = 0;
        for buffer in buffers {
            let room = self.capacity.saturating_sub(bytes.len());
            let part = buffer.get(..room.min(buffer.len())).unwrap_or_default();
            bytes.extend_from_slice(part);
            written += part.len();
        }
        if written == 0 && buffers.iter().any(|buffer| !buffer.is_empty()) {
            return Err(rustix::io::Errno::NOSPC.into());
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pipe_refuses_more() {
        let mut pipe = MemoryOutputPipe::new(5);
        let reader = pipe.clone();
        assert_eq!(pipe.write(&[IoSlice::new(b"abc"), IoSlice::new(b"def")]).unwrap(), 5);
        assert_eq!(reader.contents(), b"abcde");
        assert_eq!(pipe.write(&[IoSlice::new(b"f")]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(reader.clone().try_into_inner().is_none());
        drop((pipe, reader.clone()));
        assert_eq!(reader.try_into_inner(), Some(b"abcde".to_vec()));
    }

    #[test]
    fn input_ends() {
        let mut pipe = MemoryInputPipe::new("hello");
        assert_eq!(pipe.available(), 5);
        let (mut a, mut b) = ([0; 2], [0; 8]);
        let read = pipe.read(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap();
        assert_eq!((read, &a, &b[..3]), (5, b"he", b"llo".as_slice()));
        assert_eq!(pipe.read(&mut [IoSliceMut::new(&mut a)]).unwrap(), 0);
    }
}
