//! [`Reservation`]: the address space of a memory.

use crate::error::Error;
use crate::sys::mmap::Mapping;
use std::ptr::NonNull;
use wasmo_abi::tunables::MEMORY_RESERVATION;

/// Address space for any 32-bit memory. What is open is readable and writable; everything else faults.
#[derive(Debug)]
pub(super) struct Reservation {
    mapping: Mapping,
}

impl Reservation {
    /// Reserves; nothing is open yet.
    pub(super) fn new() -> Result<Self, Error> {
        let failed = |source| Error::Os {
            what: format!("cannot reserve {MEMORY_RESERVATION} bytes of address space for a memory"),
            source,
        };
        let len = usize::try_from(MEMORY_RESERVATION).map_err(|_| failed(std::io::ErrorKind::OutOfMemory.into()))?;
        Ok(Self { mapping: Mapping::reserve(len).map_err(failed)? })
    }

    /// Opens `len` bytes from `start`, both multiples of the page size of WebAssembly, which is one of every machine's.
    pub(super) fn open(&mut self, start: u64, len: u64) -> Result<(), Error> {
        let failed = |source| Error::Os { what: format!("cannot make {len} bytes of a memory accessible"), source };
        let range = usize::try_from(start).ok().zip(usize::try_from(len).ok());
        let (start, size) = range.ok_or_else(|| failed(std::io::ErrorKind::OutOfMemory.into()))?;
        self.mapping.open(start, size).map_err(failed)
    }

    /// The first byte.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.mapping.base()
    }

    /// Whether `address` lies within.
    pub(super) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base().as_ptr() as usize) < self.mapping.len()
    }
}
