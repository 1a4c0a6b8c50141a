//! The index: what is known of files that were read before, so that a large module that has not changed is neither read nor hashed again: the hash of a source, and of an
//! artefact that it was found to be whole (`verified`).
//!
//! A record belongs to a file's device and inode, and holds if size, time of modification and time of change are what they were. The
//! time of change is the kernel's; no program sets it to what it likes. Two precautions, for where it says too little:
//!
//! * A file that changed less than [`SETTLED`] ago is not recorded: it may change again within one tick of the clock that stamps it. (Entries of the cache are: they are
//!   written before they have their name, and never changed.)
//! * A time of change in whole seconds is none: images of file systems (squashfs, say) have fixed times, and several may be
//!   mounted at the same device one after another.
//!
//! What remains: a program that has the file mapped, writes to it after we have read it, and has been doing so for longer than [`SETTLED`]. The kernel
//! stamps the first write to a page only, until the page has gone to the disk.
//!
//! Records are sealed, as entries are: who could write one could have another module run than the one that was asked for.

use super::directory::{Directory, Existing, INDEX};
use super::secret::{Secret, same};
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// Smaller files are hashed sooner than looked up.
pub(super) const WORTHWHILE: u64 = 128 << 10;

/// How long ago a file must have changed to be recorded. More than the coarsest clock that stamps files (FAT's has two seconds).
const SETTLED: Duration = Duration::from_secs(3);

/// What a record says of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    /// The hash of a source.
    Source,
    /// That an artefact is whole.
    Whole,
}

impl Known {
    /// The version of the format, which every record begins with.
    fn magic(self) -> [u8; 8] {
        match self {
            Self::Source => *b"wasmoix1",
            Self::Whole => *b"wasmowh1",
        }
    }
}

/// Magic number and identity.
const HEAD: usize = 8 + 7 * 8;
pub(super) const HASH: usize = 32;
const SEAL: usize = 32;
const RECORD: usize = HEAD + HASH + SEAL;

/// What tells one state of a file from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// The identity of a plain file that is worth a record.
    pub(super) fn of(metadata: &Metadata) -> Option<Self> {
        (metadata.is_file() && metadata.len() >= WORTHWHILE).then(|| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether the file's times will tell if it changes after `now`.
    fn settled(&self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u32::try_from(nanoseconds)) else { return false };
        let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds));
        // A time in the future is one that we know nothing about.
        let age = changed.and_then(|changed| now.duration_since(changed).ok());
        nanoseconds != 0 && age.is_some_and(|age| age >= SETTLED)
    }

    fn head(&self, known: Known) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        let fields = [
            known.magic(),
            self.device.to_le_bytes(),
            self.inode.to_le_bytes(),
            self.size.to_le_bytes(),
            self.modified.0.to_le_bytes(),
            self.modified.1.to_le_bytes(),
            self.changed.0.to_le_bytes(),
            self.changed.1.to_le_bytes(),
        ];
        for (place, field) in head.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field);
        }
        head
    }

    /// The name of the file's record. A file that changes gets a new record in the place of the old.
    fn name(&self) -> String {
        format!("{INDEX}/{:016x}{:016x}", self.device, self.inode)
    }
}

/// Whether a file in the room is a record, by its name.
pub(super) fn is_record(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What was recorded of a file that has not changed since.
pub(super) fn find(directory: &Directory, secret: &Secret, identity: &Identity, known: Known) -> Option<[u8; HASH]> {
    let name = identity.name();
    let (mut file, metadata) = directory.open(&name).ok()?;
    let mut record = [0; RECORD];
    file.read_exact(&mut record).ok()?;
    let (sealed, seal) = record.split_last_chunk::<SEAL>()?;
    let (head, hash) = sealed.split_last_chunk::<HASH>()?;
    if head != identity.head(known) || !same(&secret.seal_index(sealed), seal) {
        return None;
    }
    super::evict::touch(&file, &metadata);
    Some(*hash)
}

/// Records a hash of a file that was `identity` before and after it was read, unless it has just changed. Nothing is lost when that fails.
pub(super) fn record(directory: &Directory, secret: &Secret, identity: &Identity, known: Known, hash: &[u8; HASH]) {
    if identity.settled(SystemTime::now()) {
        record_at_once(directory, secret, identity, known, hash);
    }
}

/// Likewise of a file that nobody changes any more.
pub(super) fn record_at_once(
    directory: &Directory,
    secret: &Secret,
    identity: &Identity,
    known: Known,
    hash: &[u8; HASH],
) {
    let mut record = Vec::with_capacity(RECORD);
    record.extend_from_slice(&identity.head(known));
    record.extend_from_slice(hash);
    record.extend_from_slice(&secret.seal_index(&record));
    if let Err(error) = directory.put(&identity.name(), &record, Existing::Replaced) {
        tracing::debug!("cannot record a hash: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(changed: (i64, i64)) -> Identity {
        Identity { device: 1, inode: 2, size: 3, modified: (4, 5), changed }
    }

    #[test]
    fn only_settled_files_are_recorded() {
        let now = SystemTime::UNIX_EPOCH + Duration::new(100, 500);
        assert!(identity((97, 1)).settled(now));
        assert!(!identity((97, 501)).settled(now), "too young");
        assert!(!identity((200, 1)).settled(now), "in the future");
        assert!(!identity((50, 0)).settled(now), "a fixed time");
        assert!(!identity((-50, 1)).settled(now), "before 1970");
    }

    #[test]
    fn heads_tell_identities_apart() {
        let one = identity((1, 2));
        let others = [
            Identity { device: 9, ..one },
            Identity { inode: 9, ..one },
            Identity { size: 9, ..one },
            Identity { modified: (9, 5), ..one },
            Identity { modified: (4, 9), ..one },
            Identity { changed: (9, 2), ..one },
            Identity { changed: (1, 9), ..one },
        ];
        assert_ne!(one.head(Known::Whole), one.head(Known::Source));
        for other in others {
            assert_ne!(other.head(Known::Source), one.head(Known::Source), "{other:?}");
        }
    }
}
