//! What the translator has to do with profiles: [`Counters`], where code that counts does so, and [`Guide`], whether it counts or takes advice.
//!
//! The counters of a module are words of 64 bits behind its [`VmEntry`](wasmo_abi::tier::VmEntry)s, in the order of the functions and, within each, of its operators. Several
//! threads may lose each other's counts, and nothing else comes of it: each word is read and written whole.

use crate::error::{Error, ErrorKind};
use crate::neighbour::Neighbour;
use crate::parse::ParsedModule;
use std::collections::BTreeMap;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::profile::{Counts, FunctionProfile, Profile, Site};
use wasmparser::Operator;

/// A module has no more counters than this, 1 GiB: they lie between its entries and the stubs, which reach the entries by distances of 32 bits.
const MAX_WORDS: u32 = 1 << 27;

/// Whether code counts, or is made with what was counted before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Guide<'a> {
    /// Neither.
    #[default]
    None,
    /// Code counts here.
    Count(&'a Counters),
    /// This was counted in earlier runs of the module.
    Use(&'a Profile),
    /// Calls through tables, by their offsets in the module, are likely to go there, some of them to this neighbour. Nothing else is known.
    Callees(&'a Callees, Option<&'a Neighbour<'a>>),
}

/// Where calls through tables are likely to go, by their offsets in the module. As with a profile, nothing in it has to be true.
pub type Callees = BTreeMap<u32, Guess>;

/// What a call through a table is likely to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// A function of the module, of the calling instance.
    Own(FuncIndex),
    /// A function of the neighbour's module, of that one instance.
    Neighbour(FuncIndex),
}

impl<'a> Guide<'a> {
    /// What was counted, where it is to be used.
    pub(crate) fn profile(self) -> Option<&'a Profile> {
        match self {
            Self::Use(profile) => Some(profile),
            Self::None | Self::Count(_) | Self::Callees(..) => None,
        }
    }

    /// The neighbour, if there is one.
    pub(crate) fn neighbour(self) -> Option<&'a Neighbour<'a>> {
        match self {
            Self::Callees(_, neighbour) => neighbour,
            Self::None | Self::Count(_) | Self::Use(_) => None,
        }
    }
}

/// What is counted at an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `if`, `br_if`: how often it was executed, and how often the condition held.
    Branch,
    /// How often the head was passed.
    Loop,
    /// `br_table`: each of so many targets, the default last.
    Table(u32),
    /// Calls through tables: [`Vote`].
    Call,
}

impl Kind {
    fn words(self) -> u32 {
        match self {
            Self::Branch => 2,
            Self::Loop => 1,
            Self::Table(targets) => targets,
            Self::Call => 4,
        }
    }
}

/// The words of a call through a table, in order. They are those of a majority vote (Boyer and Moore): whoever has more than half of all calls is the candidate in the end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Vote {
    /// How many calls there were.
    Total,
    /// The address of the code that is ahead; 0 for functions of others than the calling instance.
    Candidate,
    /// By how many calls it is ahead.
    Lead,
    /// How many calls of it there were since it has been the candidate.
    Hits,
}

/// Where one operator is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The operator's offset in the module's bytes.
    offset: u32,
    /// The first of its words.
    word: u32,
    kind: Kind,
}

/// Where the code of a module counts.
#[derive(Debug)]
pub struct Counters {
    /// For each defined function, its first word, which counts calls, and the position of its first operator in `places`.
    functions: Vec<(u32, usize)>,
    /// By ascending offset.
    places: Vec<Place>,
    words: u32,
}

impl Counters {
    /// Finds what there is to count in a module.
    ///
    /// # Errors
    /// When a body is malformed, or there is too much.
    pub(crate) fn find(parsed: &ParsedModule, bytes: &[u8]) -> Result<Self, Error> {
        let mut counters = Self { functions: Vec::new(), places: Vec::new(), words: 0 };
        for position in 0..parsed.info.bodies.len() {
            counters.functions.push((counters.words, counters.places.len()));
            counters.add(1)?;
            let malformed = |error: wasmparser::Error| Error::malformed(&error);
            let mut operators = parsed.body(position, bytes)?.get_operators_reader().map_err(malformed)?;
            while !operators.eof() {
                let (operator, offset) = operators.read_with_offset().map_err(malformed)?;
                let kind = match operator {
                    Operator::If { .. } | Operator::BrIf { .. } => Kind::Branch,
                    Operator::Loop { .. } => Kind::Loop,
                    Operator::BrTable { targets } => Kind::Table(targets.len().checked_add(1).ok_or_else(too_much)?),
                    Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. } => Kind::Call,
                    _ => continue,
                };
                let offset = u32::try_from(offset).map_err(|_| too_much())?;
                counters.places.push(Place { offset, word: counters.words, kind });
                counters.add(kind.words())?;
            }
        }
        Ok(counters)
    }

    fn add(&mut self, words: u32) -> Result<(), Error> {
        let words = self.words.checked_add(words).filter(|&words| words <= MAX_WORDS);
        self.words = words.ok_or_else(too_much)?;
        Ok(())
    }

    /// How many words the counters take.
    pub fn words(&self) -> usize {
        self.words as usize
    }

    /// The word that counts calls of the function at `position`.
    pub(crate) fn entry(&self, position: usize) -> Option<u32> {
        self.functions.get(position).map(|&(word, _)| word)
    }

    /// The first word of the operator at `offset`, if it is counted in this way.
    pub(crate) fn place(&self, offset: u32, kind: Kind) -> Option<u32> {
        let position = self.places.binary_search_by_key(&offset, |place| place.offset).ok()?;
        self.places.get(position).filter(|place| place.kind == kind).map(|place| place.word)
    }

    /// What was counted in functions that were called. `word` answers what a word holds; `function`, which function has its code, as others call it, at an address.
    pub fn read(
        &self,
        info: &ModuleInfo,
        word: impl Fn(usize) -> u64,
        function: impl Fn(usize) -> Option<FuncIndex>,
    ) -> Vec<FunctionProfile> {
        let word = |at: u32, further: u32| word(at as usize + further as usize);
        let mut functions = Vec::new();
        for (position, &(entry, start)) in self.functions.iter().enumerate() {
            let entries = word(entry, 0);
            if entries == 0 {
                continue;
            }
            let end = self.functions.get(position + 1).map_or(self.places.len(), |&(_, start)| start);
            let counts = |place: &Place| match place.kind {
                Kind::Branch => Counts::Branch { total: word(place.word, 0), taken: word(place.word, 1) },
                Kind::Loop => Counts::Loop { rounds: word(place.word, 0) },
                Kind::Table(targets) => {
                    Counts::Table { taken: (0..targets).map(|target| word(place.word, target)).collect() }
                }
                Kind::Call => {
                    let vote = |part: Vote| word(place.word, part as u32);
                    let candidate = usize::try_from(vote(Vote::Candidate)).ok();
                    let target = candidate.and_then(&function).map(|func| func.0);
                    Counts::Call { total: vote(Vote::Total), hits: vote(Vote::Hits), target }
                }
            };
            let places = self.places.get(start..end).unwrap_or_default();
            let sites = places.iter().map(|place| Site { offset: place.offset, counts: counts(place) });
            let sites = sites.filter(|site| site.counts.total() > 0).collect();
            functions.push(FunctionProfile { index: info.func_of_defined(position).0, entries, sites });
        }
        functions
    }
}

fn too_much() -> Error {
    Error::new(ErrorKind::Limit, "there is too much to count in the module")
}
