//! Loading without computing a checksum that a cache knows to be right.

use crate::cache::Cache;
use wasmo_abi::artifact;
use wasmo_runtime::Error;
use wasmo_runtime::artifact::Artifact;

/// Artefacts with a smaller hot half are checked sooner than looked up.
const WORTH_KNOWING: u64 = 1 << 20;

/// Loads a module from `artifact`, whose checksum is not computed where `cache` knows that it is right.
pub(crate) fn load_known<T>(
    cache: &Cache,
    artifact: &Artifact,
    load: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    if artifact.header().hot_size < WORTH_KNOWING || artifact.is_verified() {
        return load();
    }
    let Some(header) = artifact::sealed_bytes(artifact.head()) else { return load() };
    if cache.knows_whole(artifact.file(), &header) {
        // SAFETY: the record has the seal of this user's cache, and says that the file is as its header's checksums say; it has not changed since.
        unsafe { artifact.assume_verified() };
        return load();
    }
    let before = artifact.file().metadata();
    let loaded = load();
    if artifact.is_verified()
        && let Ok(before) = before
    {
        cache.record_whole(artifact.file(), &before, &header);
    }
    loaded
}
