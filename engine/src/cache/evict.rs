//! Keeping the cache within its limit: what was used longest ago goes first.
//!
//! The time of the last use is a file's time of modification, set anew by [`touch`]. The rooms are only looked through after an insertion, and then
//! rarely ([`due`]), by one process at a time. Files that others have open or mapped stay theirs when they lose their name.

use super::directory::{Directory, INDEX, MODULES, TIDYING};
use super::{CacheError, Key, index};
use std::fs::{File, Metadata};
use std::time::{Duration, SystemTime};

/// How long a last use is recent enough not to be noted again.
const TOUCH_AFTER: Duration = Duration::from_secs(60);

/// The longest time between two tidyings, as long as anything is inserted.
const TIDY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// One in so many parts of the limit, once inserted, makes tidying up due, on average.
const PARTS: u64 = 20;

/// What a file takes at least.
const BLOCK: u64 = 4096;

/// The ending of an entry's name.
const ENTRY_ENDING: &str = ".wasmo";

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The number of modules.
    pub modules: u64,
    /// The room that is free again, in bytes.
    pub bytes: u64,
}

/// A file that may be removed.
pub(super) struct Item {
    name: String,
    /// [`None`] for a record of the index.
    pub(super) key: Option<Key>,
    /// In bytes.
    pub(super) size: u64,
    pub(super) last_used: SystemTime,
}

impl Item {
    fn room_taken(&self) -> u64 {
        self.size.next_multiple_of(BLOCK)
    }
}

/// The name of an entry's file.
pub(super) fn entry_name(key: &Key) -> String {
    format!("{MODULES}/{key}{ENTRY_ENDING}")
}

/// Notes that a file was used just now. Where that is impossible (a read-only disk), nothing can be evicted either.
pub(super) fn touch(file: &File, metadata: &Metadata) {
    let now = SystemTime::now();
    // A time in the future is of a clock that has been set back.
    let recent = metadata.modified().is_ok_and(|last| now.duration_since(last).is_ok_and(|age| age < TOUCH_AFTER));
    if !recent {
        let _ = file.set_modified(now);
    }
}

/// Everything that counts: entries, and records of the index. Files whose names are not of our making are not ours to remove.
pub(super) fn items(directory: &Directory) -> Result<Vec<Item>, CacheError> {
    let entries = directory.files(MODULES)?.into_iter().filter_map(|file| {
        let key = Key::from_text(file.name.strip_suffix(ENTRY_ENDING)?)?;
        Some(Item { name: entry_name(&key), key: Some(key), size: file.size, last_used: file.modified })
    });
    let records = directory.files(INDEX)?.into_iter().filter(|file| index::is_record(&file.name)).map(|file| Item {
        name: format!("{INDEX}/{}", file.name),
        key: None,
        size: file.size,
        last_used: file.modified,
    });
    Ok(entries.chain(records).collect())
}

/// Removes what was last used before `before`, and then, if the rest takes more than `limit`, what was used longest ago until at most
/// `target` bytes are taken.
pub(super) fn evict(
    directory: &Directory,
    limit: u64,
    target: u64,
    before: Option<SystemTime>,
) -> Result<Pruned, CacheError> {
    let mut items = items(directory)?;
    items.sort_by_key(|item| item.last_used);
    let old = items.partition_point(|item| before.is_some_and(|before| item.last_used < before));
    let taken: u64 = items.iter().skip(old).map(Item::room_taken).sum();
    let mut excess = if taken > limit { taken - target.min(taken) } else { 0 };
    let mut pruned = Pruned::default();
    for (position, item) in items.iter().enumerate() {
        if position >= old {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(item.room_taken());
        }
        if directory.remove(&item.name)? {
            pruned.modules += u64::from(item.key.is_some());
            pruned.bytes += item.room_taken();
        }
    }
    Ok(pruned)
}

/// Whether it is time to tidy up, now that `inserted` bytes came in. Without any count that processes would have to share, every byte
/// has the same chance to make it due.
pub(super) fn due(directory: &Directory, limit: u64, inserted: u64, random: u64) -> bool {
    let step = (limit / PARTS).max(1);
    if inserted >= step || random % step < inserted {
        return true;
    }
    let age = directory.last_tidied().and_then(|last| SystemTime::now().duration_since(last).ok());
    age.is_none_or(|age| age >= TIDY_AFTER)
}

/// Tidies up, unless another process is at it.
pub(super) fn tidy(directory: &Directory, limit: u64) -> Result<(), CacheError> {
    let Some(lock) = directory.lock(TIDYING)? else { return Ok(()) };
    directory.sweep()?;
    evict(directory, limit, limit - limit / 10, None)?;
    lock.set_modified(SystemTime::now()).map_err(|error| CacheError::io("write", directory.path(), error))
}
