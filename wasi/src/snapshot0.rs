//! The functions of `wasi_unstable`, the snapshot 0 of 2019 that preview 1 replaced. Programs of its time still import it.
//!
//! All are those of [`preview1`](crate::preview1) but four. The numbers of `whence` stood in another order; the count of links had
//! 32 bits, which makes `filestat` 56 bytes long; and a subscription to a clock had one more field in front, which makes
//! `subscription` 56 bytes long. The explicit items below take precedence over what is reexported.

pub use crate::preview1::*;

use crate::preview1;
use crate::types::{FileStat, Subscription};
use crate::{Errno, GuestMemory, WasiCtx};

/// As [`preview1::fd_seek`], with other numbers for `whence`: from where the position is (0), from the end (1), from the start (2).
///
/// # Errors
/// As [`preview1::fd_seek`].
pub fn fd_seek(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    newoffset: u32,
) -> Result<(), Errno> {
    let whence = match whence {
        0 => 1,
        1 => 2,
        2 => 0,
        unknown => unknown,
    };
    preview1::fd_seek(ctx, memory, fd, offset, whence, newoffset)
}

/// As [`preview1::fd_filestat_get`], with 56 bytes at `result`.
///
/// # Errors
/// As [`preview1::fd_filestat_get`]; [`Errno::Overflow`] for more than 4,294,967,295 links.
pub fn fd_filestat_get(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, result: u32) -> Result<(), Errno> {
    let stat = preview1::descriptor_stat(ctx, fd)?;
    memory.write(result, &filestat(stat)?)
}

/// As [`preview1::path_filestat_get`], with 56 bytes at `result`.
///
/// # Errors
/// As [`preview1::path_filestat_get`]; [`Errno::Overflow`] for more than 4,294,967,295 links.
pub fn path_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    result: u32,
) -> Result<(), Errno> {
    let stat = preview1::path_stat(ctx, fd, flags, memory.path(path, path_len)?)?;
    memory.write(result, &filestat(stat)?)
}

/// As [`preview1::poll_oneoff`], with subscriptions of 56 bytes.
///
/// # Errors
/// As [`preview1::poll_oneoff`].
pub fn poll_oneoff(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
) -> Result<(), Errno> {
    preview1::poll_records(ctx, memory, subscriptions, events, count, nevents, subscription)
}

/// `filestat` (56 bytes): as in preview 1, but the links are the 32 bits at 20, and what follows them begins at 24.
fn filestat(stat: FileStat) -> Result<[u8; 56], Errno> {
    let wide = stat.to_bytes();
    let mut record = [0; 56];
    record[..20].copy_from_slice(&wide[..20]);
    record[20..24].copy_from_slice(&u32::try_from(stat.links)?.to_le_bytes());
    record[24..].copy_from_slice(&wide[32..]);
    Ok(record)
}

/// `subscription` (56 bytes): as in preview 1, but the fields of a clock begin at 24, behind a name that the guest gives it.
fn subscription(record: &[u8; 56]) -> Result<Subscription, Errno> {
    const CLOCK: u8 = 0;
    let from = if record[8] == CLOCK { 24 } else { 16 };
    let mut narrow = [0; 48];
    narrow[..16].copy_from_slice(&record[..16]);
    narrow[16..].copy_from_slice(&record[from..from + 32]);
    Subscription::from_bytes(&narrow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FileType, SubclockFlags, SubscriptionKind};

    #[test]
    fn records_stand_as_the_old_witx_files_put_them() {
        let stat = FileStat {
            device: 1,
            inode: 2,
            file_type: FileType::Directory,
            links: 9,
            size: 4,
            accessed: 5,
            modified: 6,
            changed: 7,
        };
        let bytes = filestat(stat).unwrap();
        for (offset, value) in [(0, 1), (8, 2), (16, 3), (20, 9), (24, 4), (32, 5), (40, 6), (48, 7)] {
            assert_eq!(bytes[offset], value, "at {offset}");
        }
        assert_eq!(filestat(FileStat { links: 1 << 32, ..stat }), Err(Errno::Overflow));

        let mut record = [0; 56];
        (record[0], record[16], record[24], record[32], record[48]) = (5, 77, 1, 100, 1);
        let kind = SubscriptionKind::Clock { id: 1, timeout: 100, flags: SubclockFlags::ABSTIME };
        assert_eq!(subscription(&record), Ok(Subscription { userdata: 5, kind }));
        record[8] = 1;
        assert_eq!(subscription(&record).map(|read| read.kind), Ok(SubscriptionKind::FdRead(77)));
        record[8] = 3;
        assert_eq!(subscription(&record), Err(Errno::Inval));
    }
}
