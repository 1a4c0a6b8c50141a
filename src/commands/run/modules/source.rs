//! [`Sources`]: modules of what is not compiled yet, or was compiled before and is in the cache.
//!
//! The cache never keeps a program from running: where it cannot be used, or something not be kept in it, a warning says so, once, and the module is
//! compiled. Nothing on the way of a hit asks for the compiler.

use std::cell::{OnceCell, RefCell};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use wasmo::cache::SourceHash;
use wasmo::{Cache, CacheConfig, Engine, Module};

use crate::args::{RunArgs, TierArg};
use crate::commands::cache::optimize;
use crate::commands::run::stats::{Cached, Phase, Stats};
use crate::input::Source;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::{compiler, output};

/// Makes modules of sources.
pub(super) struct Sources {
    stop: Stop,
    no_cache: bool,
    tier: TierArg,
    /// Modules that are compiled while they run, and of which the cache keeps what there is at the end.
    in_tiers: RefCell<Vec<(PathBuf, Module)>>,
    /// Opened for the first source; [`None`] where it cannot be used.
    cache: OnceCell<Option<Cache>>,
}

impl Sources {
    /// As the command line says; `stop` ends compilations.
    pub(super) fn new(args: &RunArgs, stop: &Stop) -> Self {
        Self {
            stop: stop.clone(),
            no_cache: args.no_cache || args.profile.is_some(),
            tier: args.tier,
            in_tiers: RefCell::default(),
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
        // Optimised code for all of it is the best that there is, whatever the tier, unless that is to be the lower one.
        let whole = || Module::from_cache(engine, cache, &key);
        if self.tier != TierArg::LiftOff
            && let Some(module) = stats.time(Phase::Load, whole)
        {
            stats.add_look(Cached::Hit);
            return Ok(module);
        }
        if self.tier != TierArg::Optimized {
            return self.in_tiers(engine, cache, path, hashed, stats);
        }
        stats.add_look(Cached::Miss);
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

    /// A module that is compiled while it runs, with what earlier runs have compiled of it.
    fn in_tiers(
        &self,
        engine: &Engine,
        cache: &Cache,
        path: &Path,
        hashed: Hashed,
        stats: &mut Stats,
    ) -> Result<Module> {
        let key = engine.cache_key_in_tiers(hashed.hash);
        let later = hashed.again(path)?;
        let found = stats.time(Phase::Load, || Module::from_cache_in_tiers(engine, cache, &key, later));
        let module = match found {
            Some(module) => {
                stats.add_look(Cached::Hit);
                module
            }
            None => {
                stats.add_look(Cached::Miss);
                let (hash, bytes) = stats.time(Phase::Read, || hashed.read(path))?;
                let key = engine.cache_key_in_tiers(hash);
                let compile = || {
                    let binary = compiler::to_binary(path, bytes)?;
                    let module = Module::new_in_tiers(engine, cache, &key, binary);
                    module.with_context(|| format!("cannot compile `{}`", path.display()))
                };
                stats.time(Phase::Compile, compile)?
            }
        };
        self.in_tiers.borrow_mut().push((path.to_owned(), module.clone()));
        Ok(module)
    }

    /// Keeps what the run has compiled for the next one, and, where that is wanted, has more of it optimised afterwards. Answers how many functions.
    pub(super) fn keep(&self, args: &RunArgs) -> usize {
        let optimizes = optimize::is_wanted();
        let mut warm = Vec::new();
        for (path, module) in self.in_tiers.borrow().iter() {
            if let Err(error) = module.keep() {
                warn("what was compiled is not kept in the cache", error);
                continue;
            }
            let functions = if optimizes { module.warm_functions() } else { Vec::new() };
            if !functions.is_empty() {
                warm.push((path.clone(), functions));
            }
        }
        match self.cache() {
            Some(cache) if !warm.is_empty() && optimize::start(args, cache, &warm) => {
                warm.iter().map(|(_, functions)| functions.len()).sum()
            }
            _ => 0,
        }
    }

    /// The cache, if it is wanted and can be used.
    pub(super) fn cache(&self) -> Option<&Cache> {
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
    origin: Origin,
}

/// Where a source comes from.
enum Origin {
    /// A pipe, from which these bytes came.
    Pipe(Vec<u8>),
    /// A file, with its bytes if they have been read.
    File(File, Option<Vec<u8>>),
}

impl Hashed {
    fn new(source: Source, cache: &Cache) -> io::Result<Self> {
        match source {
            Source::Bytes(bytes) => Ok(Self { hash: SourceHash::of(&bytes), origin: Origin::Pipe(bytes) }),
            Source::File(mut file) => {
                let found = cache.source(&mut file)?;
                Ok(Self { hash: found.hash, origin: Origin::File(file, found.bytes) })
            }
        }
    }

    /// What gets the module's binary later, any number of times.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    fn again(&self, path: &Path) -> Result<impl Fn() -> Result<Vec<u8>> + Send + Sync + use<>> {
        let path = path.to_owned();
        let source = match &self.origin {
            Origin::Pipe(bytes) => Origin::Pipe(bytes.clone()),
            Origin::File(file, _) => {
                let file = file.try_clone().with_context(|| format!("cannot read `{}`", path.display()))?;
                Origin::File(file, None)
            }
        };
        Ok(move || {
            let bytes = match &source {
                Origin::Pipe(bytes) => bytes.clone(),
                Origin::File(file, _) => {
                    let mut file = file;
                    file.seek(SeekFrom::Start(0)).with_context(|| format!("cannot read `{}`", path.display()))?;
                    Source::File(file.try_clone()?).read(&path)?
                }
            };
            compiler::to_binary(&path, bytes)
        })
    }

    /// The bytes and their hash, which is another one if the file has changed meanwhile.
    fn read(self, path: &Path) -> Result<(SourceHash, Vec<u8>)> {
        match self.origin {
            Origin::Pipe(bytes) | Origin::File(_, Some(bytes)) => Ok((self.hash, bytes)),
            Origin::File(file, None) => {
                let bytes = Source::File(file).read(path)?;
                Ok((SourceHash::of(&bytes), bytes))
            }
        }
    }
}

fn warn(what: &str, error: Error) {
    output::note(&format!("warning: {what}: {error:#}\n"));
}
