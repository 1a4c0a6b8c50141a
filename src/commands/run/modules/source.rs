//! [`Sources`]: modules of what is not compiled yet, or was compiled before and is in the cache.
//!
//! The cache never keeps a program from running: where it cannot be used, or something not be kept in it, a warning says so, once, and the module is
//! compiled. Nothing on the way of a hit asks for the compiler.

use std::cell::OnceCell;
use std::io;
use std::path::Path;

use anyhow::{Context, Error, Result};
use wasmo::cache::SourceHash;
use wasmo::{Cache, CacheConfig, Engine, Module};

use crate::args::{RunArgs, TierArg};
use crate::commands::run::stats::{Cached, Phase, Stats};
use crate::input::Source;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::{compiler, output};

/// Makes modules of sources.
pub(super) struct Sources {
    stop: Stop,
    no_cache: bool,
    /// Modules are compiled while they run, so that there is nothing to keep.
    in_tiers: bool,
    /// Opened for the first source; [`None`] where it cannot be used.
    cache: OnceCell<Option<Cache>>,
}

impl Sources {
    /// As the command line says; `stop` ends compilations.
    pub(super) fn new(args: &RunArgs, stop: &Stop) -> Self {
        Self {
            stop: stop.clone(),
            no_cache: args.no_cache,
            in_tiers: args.tier != TierArg::Optimized,
            cache: OnceCell::new(),
        }
    }

    /// The module in the file at `path`, which nobody has read from.
    ///
    /// # Errors
    ///
    /// When it cannot be read or compiled.
    pub(super) fn module(&self, engine: &Engine, path: &Path, source: Source, stats: &mut Stats) -> Result<Module> {
        let Some(cache) = self.cache() else {
            let bytes = stats.time(Phase::Read, || source.read(path))?;
            return stats.time(Phase::Compile, || compiler::compile(engine, path, bytes, &self.stop));
        };
        let hashed = stats.time(Phase::Read, || Hashed::new(source, cache));
        let hashed = hashed.with_context(|| format!("cannot read `{}`", path.display()))?;
        let key = engine.cache_key(hashed.hash);
        if let Some(module) = stats.time(Phase::Load, || Module::from_cache(engine, cache, &key)) {
            stats.add_look(Cached::Hit);
            return Ok(module);
        }
        stats.add_look(Cached::Miss);
        if self.in_tiers {
            let (_, bytes) = stats.time(Phase::Read, || hashed.read(path))?;
            return stats.time(Phase::Compile, || compiler::compile(engine, path, bytes, &self.stop));
        }
        let (hash, bytes) = stats.time(Phase::Read, || hashed.read(path))?;
        let key = engine.cache_key(hash);
        stats.time(Phase::Compile, || {
            let binary = compiler::to_binary(path, bytes)?;
            let progress = Progress::new(path, self.stop.clone());
            let compiled = Module::new_into_cache(engine, cache, &key, &binary, &progress);
            drop(progress);
            let (module, kept) = compiled.with_context(|| format!("cannot compile `{}`", path.display()))?;
            if let Err(error) = kept {
                warn("what was compiled is not kept in the cache", error.into());
            }
            Ok(module)
        })
    }

    /// The cache, if it is wanted and can be used.
    fn cache(&self) -> Option<&Cache> {
        if self.no_cache {
            return None;
        }
        let open = || {
            let cache = Cache::open(&CacheConfig::new());
            cache.map_err(|error| warn("the cache is not used", error.into())).ok()
        };
        self.cache.get_or_init(open).as_ref()
    }
}

/// A source whose hash is known.
struct Hashed {
    hash: SourceHash,
    /// Its bytes, or the file to read them from if they have not been read.
    source: Source,
}

impl Hashed {
    fn new(source: Source, cache: &Cache) -> io::Result<Self> {
        let mut file = match source {
            Source::Bytes(ref bytes) => return Ok(Self { hash: SourceHash::of(bytes), source }),
            Source::File(file) => file,
        };
        let found = cache.source(&mut file)?;
        let source = found.bytes.map_or(Source::File(file), Source::Bytes);
        Ok(Self { hash: found.hash, source })
    }

    /// The bytes and their hash, which is another one if the file has changed meanwhile.
    fn read(self, path: &Path) -> Result<(SourceHash, Vec<u8>)> {
        match self.source {
            Source::Bytes(bytes) => Ok((self.hash, bytes)),
            file => {
                let bytes = file.read(path)?;
                Ok((SourceHash::of(&bytes), bytes))
            }
        }
    }
}

fn warn(what: &str, error: Error) {
    output::note(&format!("warning: {what}: {error:#}\n"));
}
