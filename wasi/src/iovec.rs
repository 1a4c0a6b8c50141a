//! Scatter and gather: the `iovec` and `ciovec` arrays of the reading and writing functions.
//!
//! An array is walked once. Every buffer in it is checked, wherever the transfer will stop, and the sum
//! of all lengths must fit 32 bits, because the number of bytes transferred is returned in 32 bits.
//! At most [`MAX_BUFFERS`] buffers that are not empty take part in one call, as many as the host
//! takes; the guest sees a short transfer, which it must expect anyway. So no allocation grows with
//! what the guest asks for.

use crate::errno::Errno;
use crate::memory::GuestMemory;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

/// The host's `IOV_MAX`.
const MAX_BUFFERS: usize = 1024;

/// The size of an `iovec` record: pointer at 0, length at 4.
const RECORD: u32 = 8;

/// The buffers that take part in one call, none empty, all inside the memory.
#[derive(Debug)]
pub(crate) struct Buffers(Vec<Range<usize>>);

impl Buffers {
    /// Reads and checks the array of `count` records at `ptr`.
    ///
    /// # Errors
    /// [`Errno::Fault`] if the array or a buffer is outside the memory, [`Errno::Inval`] if the lengths
    /// add up to more than 32 bits hold.
    pub(crate) fn read(memory: &GuestMemory<'_>, ptr: u32, count: u32) -> Result<Self, Errno> {
        let len = count.checked_mul(RECORD).ok_or(Errno::Fault)?;
        let array = memory.slice(ptr, len)?;
        let (records, _) = array.as_chunks::<8>();
        let mut total = 0u32;
        let mut buffers = Vec::with_capacity(records.len().min(MAX_BUFFERS));
        for &[p0, p1, p2, p3, l0, l1, l2, l3] in records {
            let len = u32::from_le_bytes([l0, l1, l2, l3]);
            total = total.checked_add(len).ok_or(Errno::Inval)?;
            let start = u32::from_le_bytes([p0, p1, p2, p3]);
            memory.check(start, len)?;
            if len != 0 && buffers.len() < MAX_BUFFERS {
                let start = usize::try_from(start).map_err(|_| Errno::Fault)?;
                let len = usize::try_from(len).map_err(|_| Errno::Fault)?;
                buffers.push(start..start + len);
            }
        }
        Ok(Self(buffers))
    }

    /// The buffers as slices to write from.
    pub(crate) fn gather<'m>(&self, memory: &'m GuestMemory<'_>) -> Vec<IoSlice<'m>> {
        self.0.iter().filter_map(|range| memory.bytes().get(range.clone())).map(IoSlice::new).collect()
    }

    /// The buffers as slices to read into.
    ///
    /// Buffers that overlap cannot all be borrowed; then only the first is used and the guest sees a
    /// short read.
    pub(crate) fn scatter<'m>(&self, memory: &'m mut GuestMemory<'_>) -> Vec<IoSliceMut<'m>> {
        let mut sorted: Vec<(usize, Range<usize>)> = self.0.iter().cloned().enumerate().collect();
        sorted.sort_unstable_by_key(|(_, range)| range.start);
        let overlap = sorted.windows(2).any(|pair| matches!(pair, [(_, a), (_, b)] if a.end > b.start));
        if overlap {
            sorted.retain(|(index, _)| *index == 0);
        }
        let mut slices: Vec<(usize, IoSliceMut<'m>)> = Vec::with_capacity(sorted.len());
        let mut rest = memory.bytes_mut();
        let mut position = 0;
        for (index, range) in sorted {
            let Some((_, tail)) = rest.split_at_mut_checked(range.start - position) else { break };
            let Some((buffer, tail)) = tail.split_at_mut_checked(range.len()) else { break };
            slices.push((index, IoSliceMut::new(buffer)));
            position = range.end;
            rest = tail;
        }
        slices.sort_unstable_by_key(|(index, _)| *index);
        slices.into_iter().map(|(_, slice)| slice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(records: &[(u32, u32)]) -> Vec<u8> {
        records.iter().flat_map(|(p, l)| [p.to_le_bytes(), l.to_le_bytes()].concat()).collect()
    }

    fn read(bytes: &mut [u8], records: &[(u32, u32)]) -> Result<Buffers, Errno> {
        let array = array(records);
        bytes[..array.len()].copy_from_slice(&array);
        Buffers::read(&GuestMemory::new(bytes), 0, u32::try_from(records.len())?)
    }

    #[test]
    fn buffers_keep_their_order_in_any_order_of_addresses() {
        let mut bytes = [0; 64];
        let buffers = read(&mut bytes, &[(40, 2), (0, 0), (32, 3)]).unwrap();
        let mut memory = GuestMemory::new(&mut bytes);
        let lengths: Vec<usize> = buffers.scatter(&mut memory).iter().map(|s| s.len()).collect();
        assert_eq!(lengths, [2, 3]);
        buffers.scatter(&mut memory)[0].copy_from_slice(b"xy");
        assert_eq!(&bytes[40..42], b"xy");
    }

    #[test]
    fn overlapping_buffers_give_a_short_read() {
        let mut bytes = [0; 64];
        let buffers = read(&mut bytes, &[(40, 8), (32, 9)]).unwrap();
        let mut memory = GuestMemory::new(&mut bytes);
        assert_eq!(buffers.gather(&memory).len(), 2);
        let slices = buffers.scatter(&mut memory);
        assert_eq!(slices.iter().map(|s| s.len()).collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn wild_and_overflowing_arrays_are_refused() {
        let mut bytes = [0; 64];
        assert_eq!(read(&mut bytes, &[(60, 5)]).unwrap_err(), Errno::Fault);
        assert_eq!(read(&mut bytes, &[(0, 64), (0, u32::MAX)]).unwrap_err(), Errno::Inval);
        let memory = GuestMemory::new(&mut bytes);
        assert_eq!(Buffers::read(&memory, 0, 9).unwrap_err(), Errno::Fault);
        assert_eq!(Buffers::read(&memory, 0, u32::MAX).unwrap_err(), Errno::Fault);
    }

    #[test]
    fn empty_buffers_do_not_use_up_the_limit() {
        let mut bytes = vec![0; 0x1_0000];
        let mut records = vec![(0, 0); 2000];
        records.push((0x8000, 4));
        let buffers = read(&mut bytes, &records).unwrap();
        assert_eq!(buffers.0.first(), Some(&(0x8000..0x8004)));
        assert_eq!(buffers.0.len(), 1);
    }
}
