//! The flag sets of preview 1, and the permissions that an embedder gives to a preopened directory.
//!
//! Every set is a newtype over its bits. What a guest passes is an `i32`, so a set is made with
//! `from_guest`, which refuses bits that preview 1 does not define.

use crate::errno::Errno;

macro_rules! flags {
    ($($(#[$meta:meta])* $name:ident: $repr:ty {
        $($(#[$flag_meta:meta])* $flag:ident = $value:expr;)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name($repr);

        impl $name {
            $($(#[$flag_meta])* pub const $flag: Self = Self($value);)*

            /// No flag.
            #[must_use]
            pub const fn empty() -> Self {
                Self(0)
            }

            /// Every flag that is defined.
            #[must_use]
            pub const fn all() -> Self {
                Self(0 $(| $value)*)
            }

            /// The bits, as they stand in guest memory.
            #[must_use]
            pub const fn bits(self) -> $repr {
                self.0
            }

            /// The set with these bits, or `None` if one of them is undefined.
            #[must_use]
            pub const fn from_bits(bits: $repr) -> Option<Self> {
                if bits & !Self::all().0 == 0 { Some(Self(bits)) } else { None }
            }

            /// Whether every flag of `other` is set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether some flag of `other` is set.
            #[must_use]
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// The flags of both.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// These flags without those of `other`.
            #[must_use]
            pub const fn difference(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }

        impl std::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: Self) {
                *self = self.union(other);
            }
        }

        impl std::ops::BitAnd for $name {
            type Output = Self;
            fn bitand(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
        }
    )*};
}

pub(crate) use flags;

flags! {
    /// What may be done with a preopened directory and the directories below it.
    DirPerms: u8 {
        /// Look at the directory: list it, open and examine what it holds.
        READ = 1;
        /// Change the directory: create, rename, remove, and set times.
        MUTATE = 2;
    }

    /// What may be done with the files below a preopened directory.
    FilePerms: u8 {
        /// Read them.
        READ = 1;
        /// Write them.
        WRITE = 2;
    }

    /// `fdflags`: how a descriptor does its input and output.
    FdFlags: u16 {
        /// Every write goes to the end of the file.
        APPEND = 1;
        /// Data is on the device before a write returns.
        DSYNC = 2;
        /// An operation that would wait fails with [`Errno::Again`].
        NONBLOCK = 4;
        /// Reads are synchronised as `SYNC` does for writes.
        RSYNC = 8;
        /// Data and attributes are on the device before a write returns.
        SYNC = 16;
    }

    /// `oflags`: what `path_open` does besides opening.
    OFlags: u16 {
        /// Create the file if it does not exist.
        CREAT = 1;
        /// Fail if it is not a directory.
        DIRECTORY = 2;
        /// With `CREAT`: fail if the file exists.
        EXCL = 4;
        /// Empty the file.
        TRUNC = 8;
    }

    /// `lookupflags`: how a path is resolved.
    LookupFlags: u32 {
        /// Follow a symbolic link in the last component.
        SYMLINK_FOLLOW = 1;
    }

    /// `fstflags`: which times to set, and whether to the current time.
    FstFlags: u16 {
        /// Set the access time to the value given.
        ATIM = 1;
        /// Set the access time to the current time.
        ATIM_NOW = 2;
        /// Set the modification time to the value given.
        MTIM = 4;
        /// Set the modification time to the current time.
        MTIM_NOW = 8;
    }

    /// `subclockflags`: how a clock subscription states its timeout.
    SubclockFlags: u16 {
        /// The timeout is a point in time on the clock, not a duration.
        ABSTIME = 1;
    }

    /// `eventrwflags`: the state of the peer.
    EventRwFlags: u16 {
        /// The peer has closed or disconnected.
        HANGUP = 1;
    }

    /// `riflags`: how `sock_recv` receives.
    RiFlags: u16 {
        /// Leave the data in the queue.
        PEEK = 1;
        /// Wait until the buffers are full.
        WAITALL = 2;
    }

    /// `sdflags`: which directions `sock_shutdown` closes.
    SdFlags: u8 {
        /// No more receiving.
        RD = 1;
        /// No more sending.
        WR = 2;
    }
}

macro_rules! from_guest {
    ($($name:ident as $repr:ty),* $(,)?) => {$(
        impl $name {
            /// The set that a guest passed as an `i32`.
            ///
            /// # Errors
            /// [`Errno::Inval`] if a bit is set that preview 1 does not define.
            pub fn from_guest(bits: u32) -> Result<Self, Errno> {
                <$repr>::try_from(bits).ok().and_then(Self::from_bits).ok_or(Errno::Inval)
            }
        }
    )*};
}

from_guest! {
    FdFlags as u16, OFlags as u16, LookupFlags as u32, FstFlags as u16, SubclockFlags as u16,
    RiFlags as u16, SdFlags as u8,
}

impl FdFlags {
    /// The flags that ask for synchronous input and output.
    pub(crate) const SYNCHRONOUS: Self = Self::DSYNC.union(Self::RSYNC).union(Self::SYNC);
}

#[cfg(test)]
mod tests {
    use super::{FdFlags, LookupFlags, OFlags};
    use crate::errno::Errno;

    #[test]
    fn undefined_bits_are_refused() {
        assert_eq!(OFlags::from_guest(15), Ok(OFlags::all()));
        assert_eq!(OFlags::from_guest(16), Err(Errno::Inval));
        assert_eq!(OFlags::from_guest(0x1_0001), Err(Errno::Inval));
        assert_eq!(LookupFlags::from_guest(2), Err(Errno::Inval));
        assert_eq!(FdFlags::from_guest(31), Ok(FdFlags::all()));
    }
}
