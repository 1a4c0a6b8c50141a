//! The records of preview 1, laid out byte by byte as a guest sees them.
//!
//! Every record is little-endian with natural alignment; the size and the offsets in each doc comment
//! are those of the witx files. Padding is written as zero, so that no host byte leaks into the guest.

use super::{EventRwFlags, FdFlags, Rights, SubclockFlags};
use crate::errno::Errno;

/// `filetype`: what kind of file a descriptor or a directory entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FileType {
    /// None of the others, or not known; pipes are here, preview 1 has no code for them.
    Unknown = 0,
    /// A block device.
    BlockDevice = 1,
    /// A character device.
    CharacterDevice = 2,
    /// A directory.
    Directory = 3,
    /// A regular file.
    RegularFile = 4,
    /// A datagram socket.
    SocketDgram = 5,
    /// A stream socket.
    SocketStream = 6,
    /// A symbolic link.
    SymbolicLink = 7,
}

impl From<rustix::fs::FileType> for FileType {
    fn from(host: rustix::fs::FileType) -> Self {
        match host {
            rustix::fs::FileType::RegularFile => Self::RegularFile,
            rustix::fs::FileType::Directory => Self::Directory,
            rustix::fs::FileType::Symlink => Self::SymbolicLink,
            rustix::fs::FileType::CharacterDevice => Self::CharacterDevice,
            rustix::fs::FileType::BlockDevice => Self::BlockDevice,
            rustix::fs::FileType::Socket => Self::SocketStream,
            _ => Self::Unknown,
        }
    }
}

/// Puts `field` at `offset` of a record under construction.
///
/// Offsets are constants of this file and always inside the record; one that is not would be dropped
/// and is caught by the tests below.
fn put<const N: usize>(record: &mut [u8], offset: usize, field: [u8; N]) {
    if let Some(place) = record.get_mut(offset..offset + N) {
        place.copy_from_slice(&field);
    }
}

/// Takes the `N` bytes at `offset` of a record that a guest wrote.
fn take<const N: usize>(record: &[u8], offset: usize) -> [u8; N] {
    record.get(offset..offset + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

/// `fdstat` (24 bytes): type at 0, flags at 2, base rights at 8, inheriting rights at 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdStat {
    /// The kind of file.
    pub file_type: FileType,
    /// How it does input and output.
    pub flags: FdFlags,
    /// What may be done with it.
    pub base: Rights,
    /// What may be done with what is opened through it.
    pub inheriting: Rights,
}

impl FdStat {
    /// The record in guest byte order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 24] {
        let mut record = [0; 24];
        put(&mut record, 0, [self.file_type as u8]);
        put(&mut record, 2, self.flags.bits().to_le_bytes());
        put(&mut record, 8, self.base.bits().to_le_bytes());
        put(&mut record, 16, self.inheriting.bits().to_le_bytes());
        record
    }
}

/// `filestat` (64 bytes): device at 0, inode at 8, type at 16, links at 24, size at 32, and the
/// access, modification and status change times at 40, 48 and 56.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// The device that holds the file.
    pub device: u64,
    /// Its number on that device.
    pub inode: u64,
    /// Its kind.
    pub file_type: FileType,
    /// The number of hard links to it.
    pub links: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last read, in nanoseconds since 1970; times before that read as 0.
    pub accessed: u64,
    /// When its data was last changed, likewise.
    pub modified: u64,
    /// When its data or attributes were last changed, likewise.
    pub changed: u64,
}

impl FileStat {
    /// The record in guest byte order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 64] {
        let mut record = [0; 64];
        put(&mut record, 0, self.device.to_le_bytes());
        put(&mut record, 8, self.inode.to_le_bytes());
        put(&mut record, 16, [self.file_type as u8]);
        put(&mut record, 24, self.links.to_le_bytes());
        put(&mut record, 32, self.size.to_le_bytes());
        put(&mut record, 40, self.accessed.to_le_bytes());
        put(&mut record, 48, self.modified.to_le_bytes());
        put(&mut record, 56, self.changed.to_le_bytes());
        record
    }
}

/// `prestat` (8 bytes) of a directory: the tag 0 at 0, the length of its name at 4.
#[must_use]
pub fn prestat_dir(name_len: u32) -> [u8; 8] {
    let mut record = [0; 8];
    put(&mut record, 4, name_len.to_le_bytes());
    record
}

/// `dirent` (24 bytes): next cookie at 0, inode at 8, name length at 16, type at 20. The name follows.
#[must_use]
pub fn dirent(next: u64, inode: u64, name_len: u32, file_type: FileType) -> [u8; 24] {
    let mut record = [0; 24];
    put(&mut record, 0, next.to_le_bytes());
    put(&mut record, 8, inode.to_le_bytes());
    put(&mut record, 16, name_len.to_le_bytes());
    put(&mut record, 20, [file_type as u8]);
    record
}

/// `subscription` (48 bytes): user data at 0, tag at 8, and from 16 on either a clock (id at 16,
/// timeout at 24, precision at 32, flags at 40) or a descriptor (at 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What the guest wants to find in the event.
    pub userdata: u64,
    /// What it waits for.
    pub kind: SubscriptionKind,
}

/// What a [`Subscription`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionKind {
    /// The clock reaches a point in time.
    Clock {
        /// The clock's number.
        id: u32,
        /// Nanoseconds, from now or on the clock.
        timeout: u64,
        /// How `timeout` is meant.
        flags: SubclockFlags,
    },
    /// The descriptor can be read without waiting.
    FdRead(u32),
    /// The descriptor can be written without waiting.
    FdWrite(u32),
}

impl Subscription {
    /// Decodes the record.
    ///
    /// # Errors
    /// [`Errno::Inval`] for an unknown tag or unknown flags.
    pub fn from_bytes(record: &[u8; 48]) -> Result<Self, Errno> {
        let userdata = u64::from_le_bytes(take(record, 0));
        let [tag] = take(record, 8);
        let word = u32::from_le_bytes(take(record, 16));
        let kind = match tag {
            0 => SubscriptionKind::Clock {
                id: word,
                timeout: u64::from_le_bytes(take(record, 24)),
                flags: SubclockFlags::from_guest(u16::from_le_bytes(take(record, 40)).into())?,
            },
            1 => SubscriptionKind::FdRead(word),
            2 => SubscriptionKind::FdWrite(word),
            _ => return Err(Errno::Inval),
        };
        Ok(Self { userdata, kind })
    }
}

impl SubscriptionKind {
    /// `eventtype`: the tag of the subscription and of its event.
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self {
            Self::Clock { .. } => 0,
            Self::FdRead(_) => 1,
            Self::FdWrite(_) => 2,
        }
    }
}

/// `event` (32 bytes): user data at 0, error at 8, type at 10, bytes available at 16, flags at 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The user data of the subscription.
    pub userdata: u64,
    /// What went wrong with this subscription, if something did.
    pub error: Option<Errno>,
    /// The tag of the subscription.
    pub tag: u8,
    /// How many bytes can be read or written; 0 for clocks.
    pub bytes: u64,
    /// The state of the peer; empty for clocks.
    pub flags: EventRwFlags,
}

impl Event {
    /// The size of the record.
    pub const SIZE: u32 = 32;

    /// The record in guest byte order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut record = [0; 32];
        put(&mut record, 0, self.userdata.to_le_bytes());
        put(&mut record, 8, self.error.map_or(0, Errno::raw).to_le_bytes());
        put(&mut record, 10, [self.tag]);
        put(&mut record, 16, self.bytes.to_le_bytes());
        put(&mut record, 24, self.flags.bits().to_le_bytes());
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_witx_files_put_them() {
        let stat = FdStat {
            file_type: FileType::RegularFile,
            flags: FdFlags::APPEND | FdFlags::SYNC,
            base: Rights::FD_READ,
            inheriting: Rights::SOCK_ACCEPT,
        };
        let bytes = stat.to_bytes();
        assert_eq!(bytes[..4], [4, 0, 17, 0]);
        assert_eq!(bytes[8], 2);
        assert_eq!(bytes[16..20], [0, 0, 0, 0x20]);

        let entry = dirent(7, 9, 3, FileType::SymbolicLink);
        assert_eq!((entry[0], entry[8], entry[16], entry[20]), (7, 9, 3, 7));

        let stat = FileStat {
            device: 1,
            inode: 2,
            file_type: FileType::Directory,
            links: 3,
            size: 4,
            accessed: 5,
            modified: 6,
            changed: 7,
        };
        let bytes = stat.to_bytes();
        for (offset, value) in [(0, 1), (8, 2), (16, 3), (24, 3), (32, 4), (40, 5), (48, 6), (56, 7)] {
            assert_eq!(bytes[offset], value, "at {offset}");
        }

        let event = Event { userdata: 1, error: Some(Errno::Badf), tag: 2, bytes: 3, flags: EventRwFlags::HANGUP };
        let bytes = event.to_bytes();
        for (offset, value) in [(0, 1), (8, 8), (10, 2), (16, 3), (24, 1)] {
            assert_eq!(bytes[offset], value, "at {offset}");
        }
        assert_eq!(prestat_dir(5), [0, 0, 0, 0, 5, 0, 0, 0]);
    }

    #[test]
    fn a_subscription_is_decoded_or_refused() {
        let mut record = [0; 48];
        record[0] = 5;
        record[16] = 1;
        record[24] = 100;
        record[40] = 1;
        assert_eq!(
            Subscription::from_bytes(&record),
            Ok(Subscription {
                userdata: 5,
                kind: SubscriptionKind::Clock { id: 1, timeout: 100, flags: SubclockFlags::ABSTIME },
            })
        );
        record[40] = 2;
        assert_eq!(Subscription::from_bytes(&record), Err(Errno::Inval));
        record[8] = 2;
        assert_eq!(Subscription::from_bytes(&record).map(|s| s.kind), Ok(SubscriptionKind::FdWrite(1)));
        record[8] = 3;
        assert_eq!(Subscription::from_bytes(&record), Err(Errno::Inval));
    }
}
