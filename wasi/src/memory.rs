//! [`GuestMemory`]: the guest's linear memory with every access checked.
//!
//! A pointer from a guest is a number and may be anything. Each method checks the whole range that it
//! is about to touch and fails with [`Errno::Fault`]; nothing here panics. Alignment is not required:
//! preview 1 programs have always got away with unaligned records.

use crate::errno::Errno;

/// The longest path a guest may pass, in bytes, as Linux has it (`PATH_MAX` less the final NUL).
const MAX_PATH: u32 = 4095;

/// The linear memory of the calling guest, borrowed for the length of one call.
#[derive(Debug)]
pub struct GuestMemory<'a> {
    bytes: &'a mut [u8],
}

impl<'a> GuestMemory<'a> {
    /// Wraps the whole memory.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes }
    }

    /// The `len` bytes at `ptr`.
    ///
    /// # Errors
    /// [`Errno::Fault`] if they are not all inside the memory.
    pub fn slice(&self, ptr: u32, len: u32) -> Result<&[u8], Errno> {
        let (start, end) = range(ptr, len)?;
        self.bytes.get(start..end).ok_or(Errno::Fault)
    }

    /// The `len` bytes at `ptr`, to be written.
    ///
    /// # Errors
    /// [`Errno::Fault`] if they are not all inside the memory.
    pub fn slice_mut(&mut self, ptr: u32, len: u32) -> Result<&mut [u8], Errno> {
        let (start, end) = range(ptr, len)?;
        self.bytes.get_mut(start..end).ok_or(Errno::Fault)
    }

    /// Checks that `len` bytes at `ptr` can be written later.
    ///
    /// Functions call it for the places of their results before they act, so that a wild pointer has
    /// no effect but the error.
    ///
    /// # Errors
    /// [`Errno::Fault`] if they are not all inside the memory.
    pub fn check(&self, ptr: u32, len: u32) -> Result<(), Errno> {
        self.slice(ptr, len).map(|_| ())
    }

    /// The `N` bytes at `ptr`.
    ///
    /// # Errors
    /// [`Errno::Fault`] if they are not all inside the memory.
    pub fn read<const N: usize>(&self, ptr: u32) -> Result<[u8; N], Errno> {
        self.slice(ptr, u32::try_from(N)?)?.try_into().map_err(|_| Errno::Fault)
    }

    /// Writes `value` at `ptr`.
    ///
    /// # Errors
    /// [`Errno::Fault`] if it does not fit inside the memory.
    pub fn write(&mut self, ptr: u32, value: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(value.len()).map_err(|_| Errno::Fault)?;
        self.slice_mut(ptr, len)?.copy_from_slice(value);
        Ok(())
    }

    /// Writes a 32-bit number at `ptr`.
    ///
    /// # Errors
    /// [`Errno::Fault`] if it does not fit inside the memory.
    pub fn write_u32(&mut self, ptr: u32, value: u32) -> Result<(), Errno> {
        self.write(ptr, &value.to_le_bytes())
    }

    /// Writes a 64-bit number at `ptr`.
    ///
    /// # Errors
    /// [`Errno::Fault`] if it does not fit inside the memory.
    pub fn write_u64(&mut self, ptr: u32, value: u64) -> Result<(), Errno> {
        self.write(ptr, &value.to_le_bytes())
    }

    /// The path of `len` bytes at `ptr`.
    ///
    /// # Errors
    /// [`Errno::Fault`] for a wild pointer, [`Errno::Nametoolong`] for more than 4,095 bytes,
    /// [`Errno::Ilseq`] for what is not UTF-8, [`Errno::Inval`] for an embedded NUL.
    pub fn path(&self, ptr: u32, len: u32) -> Result<&str, Errno> {
        let bytes = self.slice(ptr, len)?;
        if len > MAX_PATH {
            return Err(Errno::Nametoolong);
        }
        let path = std::str::from_utf8(bytes).map_err(|_| Errno::Ilseq)?;
        if path.contains('\0') {
            return Err(Errno::Inval);
        }
        Ok(path)
    }

    /// The whole memory.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The whole memory, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

/// Start and end of a range in host terms; the end of a 32-bit range may need 33 bits.
fn range(ptr: u32, len: u32) -> Result<(usize, usize), Errno> {
    let start = usize::try_from(ptr).map_err(|_| Errno::Fault)?;
    let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len)).ok_or(Errno::Fault)?;
    Ok((start, end))
}

#[cfg(test)]
mod tests {
    use super::GuestMemory;
    use crate::errno::Errno;

    #[test]
    fn ranges_end_at_the_end_of_the_memory() {
        let mut bytes = [0; 16];
        let mut memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.write_u64(8, 1), Ok(()));
        assert_eq!(memory.write_u64(9, 1), Err(Errno::Fault));
        assert_eq!(memory.write_u32(u32::MAX, 1), Err(Errno::Fault));
        assert_eq!(memory.slice(16, 0).map(<[u8]>::len), Ok(0));
        assert_eq!(memory.slice(17, 0), Err(Errno::Fault));
        assert_eq!(memory.slice(1, u32::MAX), Err(Errno::Fault));
        assert_eq!(memory.read::<8>(8), Ok([1, 0, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn paths_are_text_without_nul() {
        let mut bytes = *b"ab\0\xff....";
        let memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.path(0, 2), Ok("ab"));
        assert_eq!(memory.path(0, 3), Err(Errno::Inval));
        assert_eq!(memory.path(3, 1), Err(Errno::Ilseq));
        assert_eq!(memory.path(0, 9), Err(Errno::Fault));
    }
}
