//! Artefacts that were found to be whole, so that a process that starts does not compute the checksum of a large program that the one before it has computed: of CPython's, it takes a
//! seventh of a short run.
//!
//! What is recorded (in the `index`, which tells states of a file apart) is a hash of the artefact's header, which holds the checksums, and of the number that the system gave
//! itself when it was started: what a process has written may be on the disk in part only after a power failure, though the file's times have not changed.

use super::Cache;
#[cfg(feature = "compiler")]
use super::Key;
use super::index::{self, Known};
use std::fs::{File, Metadata};

/// What these hashes are for.
const CONTEXT: &str = "wasmo cache 1: artefacts that are whole";

impl Cache {
    /// Whether the artefact in `file`, which begins with `header`, was found to be whole since the system was started, and has not changed.
    pub(crate) fn knows_whole(&self, file: &File, header: &[u8]) -> bool {
        let known = || {
            let opened = self.existing().ok()??;
            let identity = index::Identity::of(&file.metadata().ok()?)?;
            let found = index::find(&opened.directory, &opened.secret, &identity, Known::Whole)?;
            Some(found == hash(header, &boot()?))
        };
        known().unwrap_or(false)
    }

    /// Records that the artefact in `file`, which begins with `header`, is whole, unless there is no cache, or the file has changed since it was as `before` says. Nothing is lost
    /// when that fails.
    pub(crate) fn record_whole(&self, file: &File, before: &Metadata, header: &[u8]) {
        let Ok(Some(opened)) = self.existing() else { return };
        if let Some(identity) = index::Identity::of(before)
            && file.metadata().is_ok_and(|now| index::Identity::of(&now) == Some(identity))
            && let Some(boot) = boot()
        {
            index::record(&opened.directory, &opened.secret, &identity, Known::Whole, &hash(header, &boot));
        }
    }

    /// Records that the entry `key` is whole, since this process has just written it, with this header.
    #[cfg(feature = "compiler")]
    pub(crate) fn record_written(&self, key: &Key, header: &[u8]) {
        let Some(entry) = self.lookup(key) else { return };
        let Ok(Some(opened)) = self.existing() else { return };
        // If somebody has replaced the entry meanwhile, it has another header, and the record says nothing.
        let identity = entry.file.metadata().ok().and_then(|metadata| index::Identity::of(&metadata));
        if let (Some(identity), Some(boot)) = (identity, boot()) {
            index::record_at_once(&opened.directory, &opened.secret, &identity, Known::Whole, &hash(header, &boot));
        }
    }
}

fn hash(header: &[u8], boot: &[u8]) -> [u8; index::HASH] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&(header.len() as u64).to_le_bytes()).update(header).update(boot);
    *hasher.finalize().as_bytes()
}

/// The number that the system gave itself when it was started, where it has one.
fn boot() -> Option<Vec<u8>> {
    std::fs::read("/proc/sys/kernel/random/boot_id").ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{CacheConfig, SourceHash};
    use std::io::Write;
    use std::time::Duration;

    #[cfg(feature = "compiler")]
    #[test]
    fn an_entry_is_known_to_be_whole_by_who_wrote_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = CacheConfig::new();
        config.directory(folder.path().join("cache"));
        let cache = Cache::open(&config).expect("a cache");
        let key = Key::new(SourceHash::of(b"module"), b"parts");
        cache.record_written(&key, b"header");
        cache.insert(&key, &vec![7; 1 << 20]).expect("there is room");
        let known = |header: &[u8]| cache.knows_whole(&cache.lookup(&key).expect("it is there").file, header);
        assert!(!known(b"header"));
        cache.record_written(&key, b"header");
        assert!(known(b"header"));
        assert!(!known(b"another"));
        cache.insert(&key, &vec![7; 1 << 20]).expect("there is room");
        assert!(!known(b"header"), "it is another file");
    }

    #[test]
    fn what_is_known_of_a_file_is_forgotten_when_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file =
            File::options().read(true).write(true).create_new(true).open(folder.path().join("a")).expect("a file");
        file.write_all(&vec![7; 1 << 20]).expect("there is room");
        let mut config = CacheConfig::new();
        config.directory(folder.path().join("cache"));
        let cache = Cache::open(&config).expect("a cache");

        cache.record_whole(&file, &file.metadata().expect("it is open"), b"header");
        assert!(!cache.knows_whole(&file, b"header"), "there is no cache");
        cache.created().expect("it can be made");
        cache.record_whole(&file, &file.metadata().expect("it is open"), b"header");
        assert!(!cache.knows_whole(&file, b"header"), "the file has changed just now");

        std::thread::sleep(Duration::from_millis(3100));
        cache.record_whole(&file, &file.metadata().expect("it is open"), b"header");
        assert!(cache.knows_whole(&file, b"header"));
        assert!(!cache.knows_whole(&file, b"HEADER"));
        assert!(Cache::open(&config).expect("a cache").knows_whole(&file, b"header"), "the next process finds it");
        assert_ne!(
            hash(b"header", b"now"),
            hash(b"header", b"later"),
            "nothing is known of what was before the system was started"
        );

        let mut source = File::open(folder.path().join("a")).expect("it is there");
        let found = cache.source(&mut source).expect("it can be read");
        assert_eq!(
            found.hash,
            SourceHash::of(&vec![7; 1 << 20]),
            "what is known of an artefact is no hash of a source"
        );
        assert!(!cache.knows_whole(&file, b"header"), "the last record counts");
        cache.record_whole(&file, &file.metadata().expect("it is open"), b"header");

        let before = file.metadata().expect("it is open");
        file.write_all(b"8").expect("there is room");
        assert!(!cache.knows_whole(&file, b"header"), "the file has changed");
        std::thread::sleep(Duration::from_millis(3100));
        cache.record_whole(&file, &before, b"header");
        assert!(!cache.knows_whole(&file, b"header"), "it has changed since it was looked at");
    }
}
