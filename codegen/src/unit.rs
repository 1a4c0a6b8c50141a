//! Code for some functions of a module at a time, while the module runs.
//!
//! A [`Source`] is a module of which nothing is compiled yet. [`Compiler::compile_unit`] compiles what a [`Request`] asks for, in one piece that refers to no other
//! piece: its functions reach those of others through the module's entries ([`wasmo_abi::tier`]). So pieces may come in any order, several for the same
//! function, and each is freed alone.

use crate::baseline;
use crate::compiler::Compiler;
use crate::error::{Error, ErrorKind};
use crate::image::PartialArtifact;
use crate::image::link::{LinkedObject, link_object};
use crate::job::Job;
use crate::neighbour::Neighbour;
use crate::object::{Object, SymbolKind};
use crate::parse::{ParsedModule, parse_full};
use crate::partition::{Partition, thunk_types};
use crate::phases::Phases;
use crate::pipeline::Effort;
use crate::profile::{Callees, Counters, Guide};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmo_abi::code::CodeUnit;
use wasmo_abi::index::{FuncIndex, IndexVec, TypeIndex};
use wasmo_abi::layout::VmContextLayout;
use wasmo_abi::module::{Body, ModuleInfo};
use wasmo_abi::table::Bytes;
use wasmo_abi::tier::{Learned, LoopIndex, Progress, Tier};
use wasmo_abi::types::FuncType;
use wasmparser::{FuncValidatorAllocations, Operator};

/// Functions with bodies of more bytes than this are optimised with less effort: the time that LLVM takes grows faster than they do.
const LARGE_FUNCTION: usize = 24 << 10;

/// Functions are validated in portions of so many, on several threads.
const VALIDATED_AT_ONCE: usize = 64;

/// A module whose functions are compiled one after the other.
#[derive(Debug)]
pub struct Source {
    parsed: ParsedModule,
    layout: VmContextLayout,
    bytes: Bytes,
    /// Whether all bodies were found to be valid.
    validated: AtomicBool,
    /// Where lift-off code counts, if it is to count for a profile.
    counters: Option<Counters>,
}

/// How code that is made soon is entered and left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Soon {
    /// At its beginning, and when it returns.
    #[default]
    Whole,
    /// At each of its loops, too, for a call that lasts. It is slower for that, and takes longer to make.
    AtLoops,
}

/// What to compile.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// How.
    pub tier: Tier,
    /// When optimised code is wanted soon rather than as good as it can be: how it is to be entered and left. Such code says where it is when it is asked to ([`wasmo_abi::tier::sample_entry`]).
    pub soon: Option<Soon>,
    /// Functions, by their positions among the defined ones.
    pub functions: Vec<usize>,
    /// Functions (likewise) of which optimised code has copies of its own, so that they can be inlined.
    pub copies: Vec<usize>,
    /// Functions (likewise) of which a variant is wanted that begins at this loop.
    pub osr: Vec<(usize, LoopIndex)>,
    /// Where calls through tables are likely to go, for optimised code.
    pub callees: Callees,
    /// An instance of another module whose functions optimised code may call directly.
    pub neighbour: Option<Neighbour<'a>>,
}

impl Request<'_> {
    /// Lift-off code of these functions.
    pub fn lift_off(functions: Vec<usize>) -> Self {
        Self {
            tier: Tier::LiftOff,
            soon: None,
            functions,
            copies: Vec::new(),
            osr: Vec::new(),
            callees: Callees::new(),
            neighbour: None,
        }
    }
}

/// What was compiled, to be copied to wherever code may be executed.
#[derive(Debug)]
pub struct NewCode {
    linked: LinkedObject,
    object: Arc<Object>,
    /// The functions, by their positions among the defined ones, and their offsets in the machine code.
    functions: Vec<(usize, usize)>,
    /// Likewise the variants.
    osr: Vec<(usize, LoopIndex, usize)>,
    /// The thunks' types, and the offsets of both thunks of each.
    thunks: Vec<(TypeIndex, usize, usize)>,
}

/// What was compiled, where it is.
#[derive(Debug)]
pub struct PlacedCode {
    /// The code, and the tables that explain it.
    pub unit: CodeUnit,
    /// Where the functions are, by their positions among the defined ones.
    pub functions: Vec<(usize, usize)>,
    /// Where the variants are.
    pub osr: Vec<(usize, LoopIndex, usize)>,
    /// The thunks' types, and where the *enter* and the *exit* thunk of each are.
    pub thunks: Vec<(TypeIndex, usize, usize)>,
    /// What was linked, for [`crate::image::PartialArtifact::add`].
    pub object: Arc<Object>,
}

impl NewCode {
    /// What is to be copied: constants, and the machine code.
    pub fn contents(&self) -> &[u8] {
        &self.linked.contents
    }

    /// What the address of the copy must be a multiple of: a power of two.
    pub fn align(&self) -> usize {
        self.linked.align
    }

    /// What is where, when the copy is at `address`.
    pub fn at(self, address: usize) -> PlacedCode {
        let start = address + self.linked.text;
        let object = self.object;
        let unit = CodeUnit {
            start,
            size: self.linked.contents.len() - self.linked.text,
            functions: object.functions().into_iter().collect(),
            wasm_offsets: object.wasm_offsets.iter().copied().collect(),
            unwind: object.unwind.clone(),
        };
        let functions = self.functions.into_iter().map(|(position, offset)| (position, start + offset)).collect();
        let osr = self.osr.into_iter().map(|(position, at, offset)| (position, at, start + offset)).collect();
        let thunks = self.thunks.into_iter().map(|(ty, enter, exit)| (ty, start + enter, start + exit)).collect();
        PlacedCode { unit, functions, osr, thunks, object }
    }
}

impl Source {
    /// Parses the module in `bytes`. Bodies are only located: see [`Source::validate`].
    ///
    /// # Errors
    /// When the module is malformed, invalid, or uses features that wasmo does not have.
    pub fn new(bytes: Bytes) -> Result<Self, Error> {
        Ok(Self::of(parse_full(&bytes)?, bytes, None))
    }

    /// As [`Source::new`], for a module whose lift-off code counts for a profile.
    ///
    /// # Errors
    /// As [`Source::new`], when a body is malformed, and when there is too much to count.
    pub fn counting(bytes: Bytes) -> Result<Self, Error> {
        let parsed = parse_full(&bytes)?;
        let counters = Some(Counters::find(&parsed, &bytes)?);
        Ok(Self::of(parsed, bytes, counters))
    }

    fn of(parsed: ParsedModule, bytes: Bytes, counters: Option<Counters>) -> Self {
        let layout = VmContextLayout::new(&parsed.info);
        Self { parsed, layout, bytes, validated: AtomicBool::new(false), counters }
    }

    /// Where lift-off code counts, if it does so for a profile.
    pub fn counters(&self) -> Option<&Counters> {
        self.counters.as_ref()
    }

    /// What is known of the module.
    pub fn info(&self) -> &ModuleInfo {
        &self.parsed.info
    }

    /// The module's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Validates all bodies, on up to `threads` threads.
    ///
    /// # Errors
    /// The first mistake.
    pub fn validate(&self, threads: usize) -> Result<(), Error> {
        let next = AtomicUsize::new(0);
        let first: Mutex<Option<Error>> = Mutex::new(None);
        let count = self.parsed.funcs.len();
        let work = || {
            let mut allocations = FuncValidatorAllocations::default();
            loop {
                let start = next.fetch_add(VALIDATED_AT_ONCE, Ordering::Relaxed);
                if start >= count {
                    return;
                }
                for position in start..count.min(start + VALIDATED_AT_ONCE) {
                    match self.parsed.validate_body(position, &self.bytes, allocations) {
                        Ok(given_back) => allocations = given_back,
                        Err(error) => {
                            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                            *first = crate::partition::first(first.take(), error);
                            return;
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(count.div_ceil(VALIDATED_AT_ONCE)) {
                // Where there is no thread to be had, this one does all the work.
                let _ = std::thread::Builder::new().name("wasmo-validate".to_owned()).spawn_scoped(scope, work);
            }
            work();
        });
        match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => {
                self.validated.store(true, Ordering::Release);
                Ok(())
            }
        }
    }

    /// The functions that the one at `position` calls directly and that the module defines, in the order of the first calls.
    pub fn callees(&self, position: usize) -> Vec<usize> {
        let mut callees = Vec::new();
        let body = self.parsed.body(position, &self.bytes).map(|body| body.get_operators_reader());
        let Ok(Ok(operators)) = body else { return callees };
        for operator in operators.into_iter().map_while(Result::ok) {
            let (Operator::Call { function_index } | Operator::ReturnCall { function_index }) = operator else {
                continue;
            };
            match self.parsed.info.defined_func(FuncIndex(function_index)) {
                Some(callee) if !callees.contains(&callee) => callees.push(callee),
                _ => {}
            }
        }
        callees
    }

    /// The imported functions that the one at `position` calls directly, each once.
    pub fn imported_callees(&self, position: usize) -> BTreeSet<FuncIndex> {
        let body = self.parsed.body(position, &self.bytes).map(|body| body.get_operators_reader());
        let Ok(Ok(operators)) = body else { return BTreeSet::new() };
        let call = |operator: Operator<'_>| match operator {
            Operator::Call { function_index } => Some(FuncIndex(function_index)),
            _ => None,
        };
        let calls = operators.into_iter().map_while(Result::ok).filter_map(call);
        calls.filter(|&func| self.parsed.info.defined_func(func).is_none()).collect()
    }

    /// What the translator reads bodies from.
    pub(crate) fn parsed(&self) -> &ParsedModule {
        &self.parsed
    }

    /// The offsets in the module of the calls through tables in the function at `position`.
    pub fn calls_through_tables(&self, position: usize) -> Vec<u32> {
        let mut calls = Vec::new();
        let body = self.parsed.body(position, &self.bytes).map(|body| body.get_operators_reader());
        let Ok(Ok(operators)) = body else { return calls };
        for (operator, offset) in operators.into_iter_with_offsets().map_while(Result::ok) {
            let is_one = matches!(operator, Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. });
            calls.extend(u32::try_from(offset).ok().filter(|_| is_one));
        }
        calls
    }

    /// The size of the body of the function at `position`, in bytes; 0 when there is none.
    pub fn body_size(&self, position: usize) -> usize {
        self.parsed.info.bodies.get(position).map_or(0, Body::size)
    }
}

impl Compiler {
    /// Compiles and links some functions of a module, on the calling thread, unless `stop` says meanwhile that it takes too long.
    ///
    /// # Errors
    /// The first mistake in one of the functions, `Limit` when there is too much code, `Cancelled` when it took too long, or `Internal`.
    pub fn compile_unit(
        &self,
        source: &Source,
        request: &Request<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<NewCode, Error> {
        let quick = request.tier == Tier::LiftOff && request.osr.is_empty();
        let object = if quick { self.baseline(source, &request.functions)? } else { None };
        let object = match object {
            Some(object) => object,
            None => self.with_llvm(source, request, stop)?,
        };
        self.linked(source.info(), Arc::new(object))
    }

    /// Makes lift-off code of functions, by their positions among the defined ones, as far as that takes next to no time and stack: without LLVM. `None` when it cannot be had.
    ///
    /// # Errors
    /// As [`Compiler::compile_unit`].
    pub fn compile_quickly(&self, source: &Source, functions: &[usize]) -> Result<Option<NewCode>, Error> {
        let object = self.baseline(source, functions)?;
        object.map(|object| self.linked(source.info(), Arc::new(object))).transpose()
    }

    fn linked(&self, info: &ModuleInfo, object: Arc<Object>) -> Result<NewCode, Error> {
        let linked = link_object(self.target.arch(), &object)?;
        let position = |func: FuncIndex| {
            info.defined_func(func).ok_or_else(|| Error::internal("an object defines an imported function"))
        };
        let (mut functions, mut osr) = (Vec::new(), Vec::new());
        let (mut enters, mut exits) = (BTreeMap::new(), BTreeMap::new());
        for symbol in &object.symbols {
            let offset = symbol.offset as usize;
            match symbol.kind {
                SymbolKind::Func(func) => functions.push((position(func)?, offset)),
                SymbolKind::Osr(func, at) => osr.push((position(func)?, at, offset)),
                SymbolKind::Copy(_) => {}
                SymbolKind::Enter(ty) => drop(enters.insert(ty, offset)),
                SymbolKind::Exit(ty) => drop(exits.insert(ty, offset)),
            }
        }
        let thunks = enters.into_iter().filter_map(|(ty, enter)| Some((ty, enter, *exits.get(&ty)?))).collect();
        Ok(NewCode { linked, object, functions, osr, thunks })
    }

    /// Lift-off code without LLVM; `None` when that cannot be had.
    fn baseline(&self, source: &Source, functions: &[usize]) -> Result<Option<Object>, Error> {
        if source.counters.is_some() || !baseline::supports(&self.tunables) {
            return Ok(None);
        }
        let input = baseline::Input {
            parsed: &source.parsed,
            layout: &source.layout,
            bytes: &source.bytes,
            validated: source.validated.load(Ordering::Acquire),
        };
        let mut functions = functions.to_vec();
        functions.sort_unstable();
        functions.dedup();
        baseline::compile(self.target.arch(), input, &functions)
    }

    fn with_llvm(&self, source: &Source, request: &Request<'_>, stop: &dyn Fn() -> bool) -> Result<Object, Error> {
        let bytes: usize = request.functions.iter().map(|&position| source.body_size(position)).sum();
        let large = |&position: &usize| source.body_size(position) > LARGE_FUNCTION;
        let all = request.functions.iter().copied().chain(request.osr.iter().map(|&(position, _)| position));
        let effort = match request.tier {
            Tier::LiftOff => Effort::LiftOff,
            Tier::Optimized if request.soon.is_some() => Effort::Soon,
            Tier::Optimized if all.clone().any(|position| large(&position)) => Effort::Light,
            Tier::Optimized => Effort::Full,
        };
        let [functions, copies] = [&request.functions, &request.copies].map(|positions| {
            let mut positions = positions.clone();
            positions.sort_unstable();
            positions.dedup();
            positions
        });
        let start = all.filter_map(|position| source.info().bodies.get(position)).map(|body| body.start as usize).min();
        let partition = Partition {
            effort,
            functions,
            copies,
            osr: request.osr.clone(),
            tier: Some(request.tier),
            soon: request.soon.unwrap_or_default(),
            thunks: Vec::new(),
            bytes,
            start: start.unwrap_or(0),
        };
        let guide = match &source.counters {
            Some(counters) if request.tier == Tier::LiftOff => Guide::Count(counters),
            _ if request.tier == Tier::Optimized => Guide::Callees(&request.callees, request.neighbour.as_ref()),
            _ => Guide::None,
        };
        let phases = Phases::default();
        let job =
            Job { compiler: self, parsed: &source.parsed, bytes: &source.bytes, observer: &(), phases: &phases, guide };
        let given_up = || Error::new(ErrorKind::Cancelled, "it takes too long to compile");
        job.object(&partition, stop)?.ok_or_else(given_up)
    }

    /// The objects with the thunks of these types of a module: one that is made without LLVM, and one, if there are types with vectors, that LLVM makes.
    fn thunk_objects(&self, parsed: &ParsedModule, types: Vec<TypeIndex>) -> Result<Vec<Arc<Object>>, Error> {
        let known = &parsed.info.types;
        let (quick, others): (Vec<_>, Vec<_>) =
            types.into_iter().partition(|&ty| baseline::thunks::supports(&known[ty]));
        let mut objects = Vec::with_capacity(2);
        if !quick.is_empty() {
            let types = quick.into_iter().map(|ty| (ty, &known[ty]));
            objects.push(Arc::new(baseline::thunks::compile(self.target.arch(), types)?));
        }
        if !others.is_empty() {
            let phases = Phases::default();
            let job = Job { compiler: self, parsed, bytes: &[], observer: &(), phases: &phases, guide: Guide::None };
            let partition = Partition { effort: Effort::LiftOff, thunks: others, ..Partition::default() };
            objects.extend(job.run(&[partition])?.into_iter().map(Arc::new));
        }
        Ok(objects)
    }

    /// An artefact with lift-off code of all functions of the module in `source`, which will not be replaced.
    ///
    /// # Errors
    /// As [`Compiler::compile_unit`].
    pub fn lift_off_artifact(&self, source: &Source) -> Result<Vec<u8>, Error> {
        let info = source.info();
        let thunks = self.thunk_objects(&source.parsed, thunk_types(info))?;
        let whole = PartialArtifact::new(self, source, &thunks)?;
        let settled = Learned { progress: Progress::Settled, count: 0 };
        let mut objects = Vec::with_capacity(info.bodies.len());
        // Each alone, as if it had been called.
        for position in 0..info.bodies.len() {
            objects.push(self.compile_unit(source, &Request::lift_off(vec![position]), &|| false)?.object);
        }
        let learned = objects.iter().map(|_| settled).collect();
        whole.add(self, info, &objects)?.write(info, &learned)
    }

    /// The thunks that a module needs, to be copied to where code may be executed. LLVM makes those of types with vectors only.
    ///
    /// # Errors
    /// As [`Compiler::compile_unit`].
    pub fn module_thunks(&self, source: &Source) -> Result<Vec<NewCode>, Error> {
        let objects = self.thunk_objects(&source.parsed, thunk_types(source.info()))?;
        objects.into_iter().map(|object| self.linked(source.info(), object)).collect()
    }

    /// The thunks of a type, for functions of which no module has thunks. They are those of type 0.
    ///
    /// # Errors
    /// As [`Compiler::compile_unit`], and as [`Compiler::check_host`].
    pub fn thunks(&self, ty: &FuncType) -> Result<NewCode, Error> {
        self.check_host()?;
        let info = ModuleInfo { types: IndexVec::from_iter([ty.clone()]), ..ModuleInfo::default() };
        let parsed = ParsedModule { info, funcs: Vec::new() };
        let mut objects = self.thunk_objects(&parsed, vec![TypeIndex(0)])?;
        let object = objects.pop().ok_or_else(|| Error::internal("the thunks were not compiled"))?;
        self.linked(&parsed.info, object)
    }
}
