//! [`Learner`]: what one module in tiers has learned, and where that is kept for the next run.
//!
//! It collects the objects of all code that is published, with which the partial artefact ([`PartialArtifact`]) grows that the run began with, if there was one. So
//! the objects stay in memory beside the code that was linked from them: what keeping costs while the module runs.
//!
//! A profile is part of the artefact: what is left of the budget of each function in lift-off code. Functions of the next run begin with that. So do those who optimise
//! between two runs: a program of short runs is at its end before what is hot in it can be optimised.

use super::source::LazySource;
use crate::cache::{Cache, Key};
use crate::cached::{is_sealed, put};
use crate::{CompileError, Engine, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use wasmo_abi::artifact::{Header, Part};
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::table::Table;
use wasmo_abi::tier::{Learned, Progress};
use wasmo_codegen::Object;
use wasmo_codegen::image::PartialArtifact;
use wasmo_runtime::artifact::Artifact;

/// See the module.
pub(super) struct Learner {
    cache: Cache,
    key: Key,
    /// Locked while somebody keeps something.
    keeping: Mutex<()>,
    state: Mutex<State>,
}

struct State {
    base: Base,
    /// A row for each function, as it was last kept.
    kept: Vec<Learned>,
    /// What was published since `base`, in order.
    pieces: Vec<Piece>,
    /// How many of these were kept.
    kept_pieces: usize,
}

/// What the pieces are added to.
#[derive(Clone)]
enum Base {
    /// The module's thunks.
    Thunks(Vec<Arc<Object>>),
    /// What earlier runs have compiled.
    Artifact(Arc<Artifact>),
}

/// Code that was published.
#[derive(Clone)]
struct Piece {
    object: Arc<Object>,
    /// How far it brings its functions.
    progress: Progress,
    functions: Vec<usize>,
}

/// What is to become of the code of a function that counts, if it has any. It must be found out before [`Learner::keep`] is called, so that what is final was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It goes on counting, from here: [`Learned::count`].
    Counts {
        /// If it is lift-off code.
        left: u32,
        /// If it was made soon.
        found: u32,
    },
    /// It stays.
    Settled,
}

/// A function is warm when it has used up one in so many parts of its budget. It is optimised when there is time for that, after the run
/// ([`crate::Module::optimize`]).
const WARM_PART: u32 = 16;

impl Learner {
    /// Of a module of `functions` functions of which nothing is known yet.
    pub(super) fn new(cache: &Cache, key: &Key, thunks: Vec<Arc<Object>>, functions: usize) -> Self {
        Self::with(cache, key, Base::Thunks(thunks), vec![Learned::default(); functions])
    }

    /// Of a module that goes on with what is in `artifact`.
    pub(super) fn resumed(cache: &Cache, key: &Key, artifact: &Arc<Artifact>, learned: &Table<Learned>) -> Self {
        Self::with(cache, key, Base::Artifact(Arc::clone(artifact)), learned.iter().collect())
    }

    fn with(cache: &Cache, key: &Key, base: Base, kept: Vec<Learned>) -> Self {
        let state = State { base, kept, pieces: Vec::new(), kept_pieces: 0 };
        Self { cache: cache.clone(), key: *key, keeping: Mutex::default(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What it guards is complete after each step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes code by calling `publish`, and remembers it. Of code that two threads publish for the same function, the same is the newest here as for those who call it.
    pub(super) fn publish(
        &self,
        object: Arc<Object>,
        progress: Progress,
        functions: Vec<usize>,
        publish: impl FnOnce(),
    ) {
        let mut state = self.state();
        publish();
        if !functions.is_empty() {
            state.pieces.push(Piece { object, progress, functions });
        }
    }

    /// The functions that are not optimised as well as they can be, and warm, the warmest first.
    pub(super) fn warm(&self, outlooks: &[Outlook], budget: u32) -> Vec<usize> {
        let rows = self.state().rows(outlooks);
        let is_warm = |row: &Learned| match row.progress {
            Progress::LiftOff => row.count <= budget - budget / WARM_PART,
            Progress::Soon => true,
            Progress::New | Progress::Settled | Progress::Optimized => false,
        };
        let mut warm: Vec<_> = rows.iter().enumerate().filter(|(_, row)| is_warm(row)).collect();
        warm.sort_by_key(|(_, row)| match row.progress {
            Progress::Soon => (false, u32::MAX - row.count),
            _ => (true, row.count),
        });
        warm.into_iter().map(|(position, _)| position).collect()
    }

    /// Keeps what there is, if there is new code, and if the cache has not got more meanwhile from somebody else. Answers whether it did.
    ///
    /// # Errors
    /// When the cache cannot be written, and internal ones.
    pub(super) fn keep(
        &self,
        engine: &Engine,
        source: &LazySource,
        info: &ModuleInfo,
        outlooks: &[Outlook],
    ) -> Result<bool> {
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        let rows = state.rows(outlooks);
        if state.kept_pieces == state.pieces.len() {
            return Ok(false);
        }
        let (base, pieces) = (state.base.clone(), state.pieces.clone());
        drop(state);
        if self.others_have_more(&base, &rows) {
            return Ok(false);
        }
        let started = Instant::now();
        let compiler = engine.compiler()?;
        let whole = match &base {
            Base::Thunks(thunks) => PartialArtifact::new(compiler, source.get()?, thunks),
            // Otherwise the next file would say that all is well with what is damaged.
            Base::Artifact(artifact) if !artifact.is_explained() => return Ok(false),
            Base::Artifact(artifact) => PartialArtifact::read(artifact.header(), |part| artifact.part(part)),
        };
        let objects: Vec<_> = pieces.iter().map(|piece| Arc::clone(&piece.object)).collect();
        let table: Table<Learned> = rows.iter().copied().collect();
        let bytes = whole.and_then(|whole| whole.add(compiler, info, &objects)?.write(info, &table));
        let mut bytes = bytes.map_err(CompileError::from)?;
        let linked = started.elapsed();
        put(&self.cache, &self.key, &mut bytes)??;
        tracing::debug!(bytes = bytes.len(), pieces = pieces.len(), ?linked, elapsed = ?started.elapsed(), "kept");

        let mut state = self.state();
        state.kept = rows;
        state.kept_pieces = pieces.len();
        if let Some(artifact) = self.written(&bytes) {
            // What the objects are needed for is there now.
            state.base = Base::Artifact(artifact);
            state.pieces.drain(..pieces.len());
            state.kept_pieces = 0;
        }
        Ok(true)
    }

    /// The artefact in the cache, if it is the one in `bytes`.
    fn written(&self, bytes: &[u8]) -> Option<Arc<Artifact>> {
        let header = Header::decode(bytes).ok()?;
        let artifact = Artifact::open(self.cache.lookup(&self.key)?.file).ok()?;
        (*artifact.header() == header).then(|| Arc::new(artifact))
    }

    /// Whether the cache has something else than `base`, with more code than there is according to `rows`.
    fn others_have_more(&self, base: &Base, rows: &[Learned]) -> bool {
        let Some(entry) = self.cache.lookup(&self.key) else { return false };
        let Ok(artifact) = Artifact::open(entry.file) else { return false };
        let artifact = Arc::new(artifact);
        if matches!(base, Base::Artifact(base) if base.header() == artifact.header()) {
            return false;
        }
        // Whether its content is what its header says does not matter: it is counted, not used.
        let theirs = Table::<Learned>::from_bytes(artifact.part(Part::Learned));
        let theirs = theirs.filter(|theirs| theirs.len() == rows.len());
        is_sealed(&self.cache, &self.key, &artifact)
            && theirs.is_some_and(|theirs| worth(theirs.iter()) > worth(rows.iter().copied()))
    }
}

impl State {
    /// What there is to hand on.
    fn rows(&self, outlooks: &[Outlook]) -> Vec<Learned> {
        let mut rows = self.kept.clone();
        for piece in &self.pieces {
            for &position in &piece.functions {
                if let Some(row) = rows.get_mut(position) {
                    row.progress = piece.progress;
                }
            }
        }
        for (row, outlook) in rows.iter_mut().zip(outlooks) {
            match (row.progress, outlook) {
                (Progress::LiftOff, &Outlook::Counts { left, .. }) => row.count = left,
                (Progress::Soon, &Outlook::Counts { found, .. }) => row.count = found,
                (Progress::LiftOff | Progress::Soon, Outlook::Settled) => {
                    *row = Learned { progress: Progress::Settled, count: 0 };
                }
                (Progress::New | Progress::Settled | Progress::Optimized, _) => row.count = 0,
            }
        }
        rows
    }
}

/// How much is in an artefact of which this was learned.
fn worth(rows: impl Iterator<Item = Learned>) -> usize {
    rows.map(|row| match row.progress {
        Progress::New => 0,
        Progress::LiftOff | Progress::Settled => 1,
        Progress::Soon => 2,
        Progress::Optimized => 3,
    })
    .sum()
}
