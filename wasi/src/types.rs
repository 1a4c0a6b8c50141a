//! The types of the preview 1 interface: flag sets, rights, and records with their byte layouts.
//!
//! Nothing here touches the host; this is the vocabulary that the functions of [`crate::preview1`]
//! share with the guest.

mod flags;
mod layout;
mod rights;

pub use flags::{
    DirPerms, EventRwFlags, FdFlags, FilePerms, FstFlags, LookupFlags, OFlags, RiFlags, SdFlags, SubclockFlags,
};
pub use layout::{Event, FdStat, FileStat, FileType, Subscription, SubscriptionKind, dirent, prestat_dir};
pub use rights::Rights;
