//! [`CacheError`]: why the cache cannot be used, or something not be kept in it. None of them keeps a program from running: it goes on without.

use std::io;
use std::path::{Path, PathBuf};

/// Why the cache cannot be used, or something not be kept in it. The texts say what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Nothing says where the cache is to be.
    #[error("there is no place for the cache: the user has no home directory; set WASMO_CACHE_DIR")]
    NoDirectory,
    /// A file or directory that must be the user's own is somebody else's.
    #[error(
        "`{}` belongs to user {owner} and not to user {user}, who runs this; set WASMO_CACHE_DIR to a directory of your own",
        path.display()
    )]
    NotOurs {
        /// What belongs to somebody else.
        path: PathBuf,
        /// The user to whom it belongs.
        owner: u32,
        /// The user of this process.
        user: u32,
    },
    /// Others than the user may use the directory, or read a file that must be secret.
    #[error("others may use `{}` (mode {mode:03o}); {advice}", path.display())]
    Exposed {
        /// What is exposed.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What to do.
        advice: String,
    },
    /// A file of the cache's is not what it has to be.
    #[error("`{}` is damaged; delete it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// An entry would take more than all the room there is.
    #[error("{size} bytes do not fit into a cache of {limit} bytes")]
    TooLarge {
        /// The size of the entry in bytes.
        size: u64,
        /// The size that the cache may have in bytes.
        limit: u64,
    },
    /// The operating system refuses.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl CacheError {
    pub(super) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// Whether something did not exist.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
