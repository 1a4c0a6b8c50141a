//! [`CacheConfig`]: where a cache is, and how large it may become.

use super::CacheError;
use std::path::PathBuf;

/// Where a cache is, and how large it may become.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheConfig {
    /// The directory; if [`None`], `$WASMO_CACHE_DIR`, else `$XDG_CACHE_HOME/wasmo`, else `~/.cache/wasmo`. It is made when it is needed.
    pub directory: Option<PathBuf>,
    /// How many bytes the cache may take. It may take a little more for a while; what was used longest ago is then removed until nine tenths are taken.
    pub size_limit: u64,
}

impl CacheConfig {
    /// The limit unless another is set: 2 GiB.
    pub const DEFAULT_SIZE_LIMIT: u64 = 2 << 30;

    /// The environment variable that says where the cache is, unless [`Self::directory`] does.
    pub const DIRECTORY_VARIABLE: &str = "WASMO_CACHE_DIR";

    /// The cache of the user, with the default limit.
    pub fn new() -> Self {
        Self { directory: None, size_limit: Self::DEFAULT_SIZE_LIMIT }
    }

    /// The cache in this directory.
    pub fn directory(&mut self, directory: impl Into<PathBuf>) -> &mut Self {
        self.directory = Some(directory.into());
        self
    }

    /// The number of bytes that the cache may take.
    pub fn size_limit(&mut self, bytes: u64) -> &mut Self {
        self.size_limit = bytes;
        self
    }

    /// Where the cache is, or is to be made.
    ///
    /// # Errors
    /// When no directory is set and the user has no home directory.
    pub fn path(&self) -> Result<PathBuf, CacheError> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        let path = match self.directory.clone().or_else(|| variable(Self::DIRECTORY_VARIABLE)) {
            Some(path) => path,
            // The base directory specification: relative paths are to be ignored.
            None => match variable("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
                Some(base) => base.join("wasmo"),
                None => {
                    let home = std::env::home_dir().filter(|path| path.is_absolute());
                    home.ok_or(CacheError::NoDirectory)?.join(".cache/wasmo")
                }
            },
        };
        // The process may change its directory later.
        std::path::absolute(&path).map_err(|error| CacheError::io("find", &path, error))
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self::new()
    }
}
