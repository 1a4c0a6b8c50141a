//! How the `*_filestat_set_times` functions say which times to set.

use crate::Errno;
use crate::types::FstFlags;
use cap_fs_ext::SystemTimeSpec;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use std::time::{Duration, SystemTime};

/// What to do with one of a file's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Keep,
    Now,
    /// Nanoseconds since 1970.
    At(u64),
}

/// What to do with a file's access and modification times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    accessed: Change,
    modified: Change,
}

impl Times {
    /// Decodes the arguments of a guest.
    ///
    /// # Errors
    /// [`Errno::Inval`] for undefined flags, and if a time shall be set both to a value and to now.
    pub(super) fn from_guest(accessed: u64, modified: u64, flags: u32) -> Result<Self, Errno> {
        let flags = FstFlags::from_guest(flags)?;
        let change = |at: FstFlags, now: FstFlags, value| match (flags.contains(at), flags.contains(now)) {
            (true, true) => Err(Errno::Inval),
            (true, false) => Ok(Change::At(value)),
            (false, true) => Ok(Change::Now),
            (false, false) => Ok(Change::Keep),
        };
        Ok(Self {
            accessed: change(FstFlags::ATIM, FstFlags::ATIM_NOW, accessed)?,
            modified: change(FstFlags::MTIM, FstFlags::MTIM_NOW, modified)?,
        })
    }

    /// As `futimens` wants them.
    pub(super) fn timestamps(self) -> Result<Timestamps, Errno> {
        Ok(Timestamps { last_access: self.accessed.timespec()?, last_modification: self.modified.timespec()? })
    }

    /// As cap-std wants them: access time, modification time.
    pub(super) fn specs(self) -> (Option<SystemTimeSpec>, Option<SystemTimeSpec>) {
        (self.accessed.spec(), self.modified.spec())
    }
}

impl Change {
    fn timespec(self) -> Result<Timespec, Errno> {
        Ok(match self {
            Self::Keep => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            Self::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
            Self::At(time) => {
                let time = Duration::from_nanos(time);
                Timespec { tv_sec: i64::try_from(time.as_secs())?, tv_nsec: time.subsec_nanos().into() }
            }
        })
    }

    fn spec(self) -> Option<SystemTimeSpec> {
        match self {
            Self::Keep => None,
            Self::Now => Some(SystemTimeSpec::SymbolicNow),
            Self::At(time) => {
                let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(time);
                Some(SystemTimeSpec::Absolute(cap_std::time::SystemTime::from_std(time)))
            }
        }
    }
}
