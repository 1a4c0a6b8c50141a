//! [`Cache`]: compiled modules on disk, found again by what they were compiled from.
//!
//! # Trust
//!
//! An entry is an artefact, and an artefact is native code: to load one is to run it. So what the cache gives must have been written by the user who
//! runs it, and by nobody else. Three things see to that, and a cache that lacks one of them is refused, with a text that says what to do:
//!
//! * The directory belongs to the user (the effective user of the process), and is closed to all others (mode 0700). So does, and is, every file that is
//!   read (0600); symbolic links are not followed.
//! * `secret` holds 32 random bytes, made when the cache is made. Every entry carries a seal: a keyed hash over its key and its
//!   header, which in turn holds the checksums of everything else in the entry. A file that somebody else put there, that was moved here from another
//!   user's cache, or that lies under the name of another entry, has the wrong seal, is removed, and compiled anew.
//! * The key of an entry is a hash of the module's bytes and of everything that changes its code, so that no other module can be found in its place.
//!
//! Not defended against are the user and root themselves, and whoever can write to the user's files: they can change what the user runs anyway. A file in the cache is
//! not checked again while it is mapped. The seal is no signature: it says nothing to other users or on other machines, and an artefact made by
//! `wasmo compile` has none; running one is trusting whoever made it.
//!
//! # How it is kept whole
//!
//! Files are written under another name and renamed, so no reader sees half of one, and a process may be killed at any moment (`directory`). Entries
//! are not forced to the disk: after a power failure one may be damaged, which its seal or its checksums show. Nothing needs a lock but tidying up, which one
//! process does at a time and the others leave to it (`evict`). A cache that cannot be written, because the disk is full or read-only, fails in
//! [`Cache::seal`] or [`Cache::insert`]; the program has its module anyway, and the next one compiles again.
//!
//! # What is where
//!
//! `secret`; `modules/KEY.wasmo`, the entries; `index/`, what is known of files that were read before (`index`); `tmp/`, files that are being
//! written; `lock`, which the process has locked that tidies up; `improving`, likewise; `CACHEDIR.TAG`. All of it is made by the first insertion. A hit costs about a dozen
//! system calls: directory, secret and entry are opened and looked at, and nothing is listed.

mod config;
mod directory;
mod error;
mod evict;
mod index;
mod key;
mod secret;
mod verified;

pub use config::CacheConfig;
pub use error::CacheError;
pub use evict::Pruned;
pub use key::{Key, SourceHash};
pub use secret::Seal;

use directory::{Directory, Existing};
use index::Known;
use secret::Secret;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A cache of compiled modules on disk; see the [module](self). Any number of threads and processes may use one at once. Cloning is cheap, and gives the
/// same cache.
#[derive(Clone, Debug)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    size_limit: u64,
    /// [`None`] until the cache exists.
    opened: Mutex<Option<Arc<Opened>>>,
}

/// A cache that exists.
#[derive(Debug)]
struct Opened {
    directory: Directory,
    secret: Secret,
}

/// A file of the cache that is the user's own. Its seal has not been looked at yet.
#[derive(Debug)]
pub struct Entry {
    /// The open file, readable.
    pub file: File,
    /// Where it is, for debuggers and messages. Another entry may be there by now.
    pub path: PathBuf,
}

/// An entry as [`Cache::list`] finds it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EntryInfo {
    /// Its key.
    pub key: Key,
    /// Its file.
    pub path: PathBuf,
    /// The file's size in bytes.
    pub size: u64,
    /// When it was last used, to the minute.
    pub last_used: SystemTime,
}

/// The source of a module, as [`Cache::source`] finds it.
#[derive(Debug)]
pub struct Source {
    /// The hash of the bytes.
    pub hash: SourceHash,
    /// The bytes, if they had to be read to find the hash.
    pub bytes: Option<Vec<u8>>,
}

impl Cache {
    /// The cache in its directory. Nothing is made yet if it does not exist.
    ///
    /// # Errors
    /// When there is no place for it, when it is not the user's own, and when others may use it.
    pub fn open(config: &CacheConfig) -> Result<Self, CacheError> {
        let path = config.path()?;
        let opened = Opened::existing(&path)?.map(Arc::new);
        Ok(Self { inner: Arc::new(Inner { path, size_limit: config.size_limit, opened: Mutex::new(opened) }) })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    fn state(&self) -> MutexGuard<'_, Option<Arc<Opened>>> {
        // What it guards is replaced as a whole, and so is right even after a panic.
        self.inner.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cache, if it exists by now.
    fn existing(&self) -> Result<Option<Arc<Opened>>, CacheError> {
        let mut state = self.state();
        if state.is_none() {
            *state = Opened::existing(&self.inner.path)?.map(Arc::new);
        }
        Ok(state.clone())
    }

    /// The cache, which is made if it does not exist.
    fn created(&self) -> Result<Arc<Opened>, CacheError> {
        let mut state = self.state();
        if let Some(opened) = &*state {
            return Ok(Arc::clone(opened));
        }
        let directory = Directory::create(&self.inner.path)?;
        let secret = Secret::create(&directory)?;
        let opened = Arc::new(Opened { directory, secret });
        *state = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// The hash of a file, from its beginning; `file` has been opened and not been read from. A large file that was hashed before and has not changed is not read; that it
    /// was hashed now is noted in the cache, which is made if it does not exist.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn source(&self, file: &mut File) -> io::Result<Source> {
        let opened = self.existing().unwrap_or_else(|error| {
            tracing::debug!("no index of sources: {error}");
            None
        });
        let metadata = file.metadata()?;
        let identity = index::Identity::of(&metadata);
        if let (Some(opened), Some(identity)) = (&opened, &identity)
            && let Some(hash) = index::find(&opened.directory, &opened.secret, identity, Known::Source)
        {
            return Ok(Source { hash: SourceHash::from_bytes(hash), bytes: None });
        }
        let mut bytes = Vec::new();
        // A hint, and only a hint: what a special file says of its size is nothing to rely on.
        if let Some(size) = usize::try_from(metadata.len()).ok().filter(|_| metadata.is_file()) {
            bytes.try_reserve_exact(size)?;
        }
        file.read_to_end(&mut bytes)?;
        let hash = SourceHash::of(&bytes);
        if let Some(identity) = identity
            && index::Identity::of(&file.metadata()?) == Some(identity)
        {
            match self.created() {
                Ok(opened) => {
                    index::record(&opened.directory, &opened.secret, &identity, Known::Source, hash.as_bytes());
                }
                Err(error) => tracing::debug!("no index of sources: {error}"),
            }
        }
        Ok(Source { hash, bytes: Some(bytes) })
    }

    /// The entry `key`, if there is one. Its seal is still to be looked at ([`Cache::verify`]).
    pub fn lookup(&self, key: &Key) -> Option<Entry> {
        let opened = self.existing().unwrap_or_else(|error| {
            tracing::debug!("no cache: {error}");
            None
        })?;
        let name = evict::entry_name(key);
        match opened.directory.open(&name) {
            Ok((file, metadata)) => {
                evict::touch(&file, &metadata);
                Some(Entry { file, path: opened.directory.path_of(&name) })
            }
            Err(error) if error.is_not_found() => None,
            Err(error) => {
                tracing::debug!("an entry is refused: {error}");
                self.remove(key);
                None
            }
        }
    }

    /// The seal for an entry `key` with this header. Makes the cache if it does not exist.
    ///
    /// # Errors
    /// When the cache cannot be made, or is not for this user alone.
    pub fn seal(&self, key: &Key, header: &[u8]) -> Result<Seal, CacheError> {
        Ok(self.created()?.secret.seal_entry(key, header))
    }

    /// Whether `seal` is what [`Cache::seal`] gives for this key and header.
    pub fn verify(&self, key: &Key, header: &[u8], seal: &Seal) -> bool {
        let opened = self.existing().ok().flatten();
        opened.is_some_and(|opened| secret::same(&opened.secret.seal_entry(key, header), seal))
    }

    /// Makes `content` the entry `key`; whoever looks it up sees all of it or nothing. What was used longest ago may have to go.
    ///
    /// # Errors
    /// When it cannot be written (a disk that is full or read-only, a quota, missing permissions), or is larger than the cache may be. Then
    /// the cache is as it was.
    pub fn insert(&self, key: &Key, content: &[u8]) -> Result<(), CacheError> {
        let (size, limit) = (content.len() as u64, self.inner.size_limit);
        // Tidying up would remove it at once.
        if size > limit - limit / 10 {
            return Err(CacheError::TooLarge { size, limit });
        }
        let opened = self.created()?;
        let directory = &opened.directory;
        if let Err(error) = directory.put(&evict::entry_name(key), content, Existing::Replaced) {
            if error.is_not_found() {
                // Somebody has removed all of the directory. It is made anew the next time, with another secret.
                *self.state() = None;
            }
            return Err(error);
        }
        // Whoever knows the key cannot choose it so that tidying up is never due.
        let mut random = [0; 8];
        let _ = directory::random(&mut random);
        if evict::due(directory, limit, size, u64::from_le_bytes(random))
            && let Err(error) = evict::tidy(directory, limit)
        {
            tracing::debug!("cannot tidy up the cache: {error}");
        }
        Ok(())
    }

    /// Makes the caller the one that improves entries, as long as the answer lives; [`None`] when another process is, or there is no cache.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn alone(&self) -> Result<Option<File>, CacheError> {
        match self.existing()? {
            Some(opened) => opened.directory.lock(directory::IMPROVING),
            None => Ok(None),
        }
    }

    /// Removes the entry `key`: it has turned out to be no good.
    pub fn remove(&self, key: &Key) {
        if let Ok(Some(opened)) = self.existing()
            && let Err(error) = opened.directory.remove(&evict::entry_name(key))
        {
            tracing::debug!("cannot remove an entry: {error}");
        }
    }

    /// All entries, the one that was used last first.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<EntryInfo>, CacheError> {
        let Some(opened) = self.existing()? else { return Ok(Vec::new()) };
        let items = evict::items(&opened.directory)?.into_iter();
        let mut entries: Vec<_> = items
            .filter_map(|item| {
                let key = item.key?;
                let path = opened.directory.path_of(&evict::entry_name(&key));
                Some(EntryInfo { key, path, size: item.size, last_used: item.last_used })
            })
            .collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.last_used));
        Ok(entries)
    }

    /// Removes everything but the secret. Programs that are running keep what they have loaded.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<Pruned, CacheError> {
        self.prune(Some(0), None)
    }

    /// Removes what has not been used for longer than `unused_for`, and then what was used longest ago until at most `max_size` bytes are taken.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn prune(&self, max_size: Option<u64>, unused_for: Option<Duration>) -> Result<Pruned, CacheError> {
        let Some(opened) = self.existing()? else { return Ok(Pruned::default()) };
        opened.directory.sweep()?;
        let before = unused_for.and_then(|age| SystemTime::now().checked_sub(age));
        let limit = max_size.unwrap_or(u64::MAX);
        evict::evict(&opened.directory, limit, limit, before)
    }
}

impl Opened {
    fn existing(path: &Path) -> Result<Option<Self>, CacheError> {
        let Some(directory) = Directory::existing(path)? else { return Ok(None) };
        let secret = Secret::existing(&directory)?;
        Ok(secret.map(|secret| Self { directory, secret }))
    }
}
