//! How a module is divided for compilation.
//!
//! A partition is what LLVM sees at once: large enough that functions are inlined into their neighbours, small enough that all cores have
//! work to the end and that little IR is alive at a time. The division depends on the module alone, never on the number of threads, so that the
//! same module always gives the same code.
//!
//! A large module is a large program, in which little of the code takes most of the time, and whose producer has optimised it. There the full
//! effort is kept for small functions with innermost loops that call nothing: what the loop passes and vectorisers can improve. Where a profile says which functions
//! take the time, it is kept for those.

use crate::error::Error;
use crate::parse::ParsedModule;
use crate::pipeline::Effort;
use crate::unit::Soon;
use std::collections::BTreeSet;
use wasmo_abi::index::{FuncIndex, TypeIndex};
use wasmo_abi::module::{Body, EntityRef, ModuleInfo};
use wasmo_abi::profile::Profile;
use wasmo_abi::tier::{LoopIndex, Tier};
use wasmparser::Operator;

/// A partition is full once its bodies have this many bytes.
const TARGET_BYTES: usize = 64 << 10;

/// Functions with bodies of at most this many bytes are copied into other partitions that call them, for inlining.
const COPY_BYTES: usize = 100;

/// Modules with more bytes of function bodies than this are large.
const LARGE_MODULE: usize = 2 << 20;

/// The size of function bodies, in bytes, up to which a large module's are worth the full effort.
const WORTHY_BYTES: usize = 512;

/// As [`COPY_BYTES`], of functions that a profile says are called.
const CALLED_COPY_BYTES: usize = 400;

/// Of all that happens in a large module, functions in which this part in a thousand happens are worth the full effort.
const HOT_PER_MILLE: u128 = 999;

/// A part of a module that is compiled to one object: functions, or thunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// How much time is spent on it.
    pub(crate) effort: Effort,
    /// The functions, by their positions among the defined ones, ascending.
    pub(crate) functions: Vec<usize>,
    /// Functions of a module in tiers, likewise, that are there to be inlined into these, or at least to be called by them only.
    pub(crate) copies: Vec<usize>,
    /// Loops at which variants of functions begin, which are compiled too.
    pub(crate) osr: Vec<(usize, LoopIndex)>,
    /// What the code is for, when the module is in tiers.
    pub(crate) tier: Option<Tier>,
    /// How it is entered and left if it is made soon.
    pub(crate) soon: Soon,
    /// The types whose thunks are compiled.
    pub(crate) thunks: Vec<TypeIndex>,
    /// Size of the functions' bodies in bytes.
    pub(crate) bytes: usize,
    /// Where in the module the first body begins.
    pub(crate) start: usize,
}

impl Default for Partition {
    fn default() -> Self {
        Self {
            effort: Effort::Full,
            functions: Vec::new(),
            copies: Vec::new(),
            osr: Vec::new(),
            tier: None,
            soon: Soon::default(),
            thunks: Vec::new(),
            bytes: 0,
            start: 0,
        }
    }
}

/// Divides a module. No partition is empty; a module without functions and thunks has none.
pub(crate) fn divide(parsed: &ParsedModule, bytes: &[u8], profile: Option<&Profile>) -> Vec<Partition> {
    let info = &parsed.info;
    let large = info.bodies.iter().map(Body::size).sum::<usize>() > LARGE_MODULE;
    let hot = profile.map(|profile| hot(info, profile));
    let effort = |position: usize| {
        if let Some(hot) = &hot {
            return if large && !hot.contains(&position) { Effort::Light } else { Effort::Full };
        }
        let worthy = |body: Body| body.size() <= WORTHY_BYTES && has_leaf_loop(parsed, position, bytes);
        if large && !info.bodies.get(position).is_some_and(worthy) { Effort::Light } else { Effort::Full }
    };
    let mut partitions = divide_into(info, TARGET_BYTES, effort);
    let thunks = thunk_types(info);
    if !thunks.is_empty() {
        let start = info.bodies.last().map_or(0, |body| body.end as usize);
        partitions.push(Partition { thunks, start, ..Partition::default() });
    }
    partitions
}

/// The functions, by position, in which nearly everything happens that a profile has seen.
fn hot(info: &ModuleInfo, profile: &Profile) -> BTreeSet<usize> {
    let mut functions: Vec<_> = profile.functions.iter().map(|function| (function.weight(), function.index)).collect();
    functions.sort_unstable_by(|a, b| b.cmp(a));
    let total: u128 = functions.iter().map(|&(weight, _)| u128::from(weight)).sum();
    let mut before = 0;
    let hot = functions.into_iter().take_while(|&(weight, _)| {
        let hot = before * 1000 < total * HOT_PER_MILLE;
        before += u128::from(weight);
        hot
    });
    hot.filter_map(|(_, index)| info.defined_func(FuncIndex(index))).collect()
}

/// Whether a function has a loop that contains neither a loop nor a call. False for malformed bodies, which the translator complains of.
fn has_leaf_loop(parsed: &ParsedModule, position: usize, bytes: &[u8]) -> bool {
    let Ok(Ok(operators)) = parsed.body(position, bytes).map(|body| body.get_operators_reader()) else { return false };
    // For each open frame: whether it is a loop, and whether it is a leaf so far.
    let mut frames: Vec<(bool, bool)> = Vec::new();
    for operator in operators {
        match operator {
            Ok(Operator::Loop { .. }) => frames.push((true, true)),
            Ok(Operator::Block { .. } | Operator::If { .. }) => frames.push((false, true)),
            Ok(Operator::Call { .. } | Operator::CallIndirect { .. }) => {
                if let Some(frame) = frames.last_mut() {
                    frame.1 = false;
                }
            }
            Ok(Operator::End) => match (frames.pop(), frames.last_mut()) {
                (Some((true, true)), _) => return true,
                (Some((_, false)), Some(outer)) => outer.1 = false,
                _ => {}
            },
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}

/// The functions of other partitions that `partition` calls, or nearly always calls through a table, and that are small enough to be inlined, ascending.
///
/// # Errors
/// When a body is malformed.
pub(crate) fn copies(
    partition: &Partition,
    parsed: &ParsedModule,
    bytes: &[u8],
    profile: Option<&Profile>,
) -> Result<Vec<usize>, Error> {
    let info = &parsed.info;
    let malformed = |error: wasmparser::Error| Error::malformed(&error);
    let mut copies = BTreeSet::new();
    for &position in &partition.functions {
        let counted = profile.and_then(|profile| profile.function(info.func_of_defined(position)));
        let mut operators = parsed.body(position, bytes)?.get_operators_reader().map_err(malformed)?;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset().map_err(malformed)?;
            let site = || counted?.site(u32::try_from(offset).ok()?)?.dominant_target();
            let callee = match operator {
                Operator::Call { function_index } => Some(FuncIndex(function_index)),
                Operator::CallIndirect { .. } => site().map(|(target, ..)| target),
                _ => None,
            };
            let Some((func, callee)) = callee.and_then(|func| Some((func, info.defined_func(func)?))) else { continue };
            let most = match profile {
                None => COPY_BYTES,
                Some(profile) if profile.function(func).is_some() => CALLED_COPY_BYTES,
                Some(_) => 0,
            };
            let small = info.bodies.get(callee).is_some_and(|body| body.size() <= most);
            if small && partition.functions.binary_search(&callee).is_err() {
                copies.insert(callee);
            }
        }
    }
    Ok(copies.into_iter().collect())
}

/// All functions of a module as one partition.
pub(crate) fn undivided(info: &ModuleInfo) -> Partition {
    divide_into(info, usize::MAX, |_| Effort::Full).pop().unwrap_or_default()
}

/// Fills a partition for each effort, in the order of the functions.
fn divide_into(info: &ModuleInfo, target: usize, effort: impl Fn(usize) -> Effort) -> Vec<Partition> {
    let mut full: Vec<Partition> = Vec::new();
    let mut open = [const { None::<Partition> }; Effort::COUNT];
    for (position, body) in info.bodies.iter().enumerate() {
        let effort = effort(position);
        let place = &mut open[effort as usize];
        let partition =
            place.get_or_insert_with(|| Partition { effort, start: body.start as usize, ..Partition::default() });
        partition.functions.push(position);
        partition.bytes += body.size();
        if partition.bytes >= target {
            full.extend(place.take());
        }
    }
    full.extend(open.into_iter().flatten());
    full
}

/// The types of functions that the host may call or that may be the host's: escaping and imported ones.
pub(crate) fn thunk_types(info: &ModuleInfo) -> Vec<TypeIndex> {
    let imported = info.imports.iter().filter_map(|import| match import.entity {
        EntityRef::Func(func) => Some(func),
        _ => None,
    });
    let escaping = info.escaping.iter();
    let start = info.start.into_iter();
    let types: BTreeSet<u32> =
        imported.chain(escaping).chain(start).filter_map(|func| Some(info.func(func)?.ty.0)).collect();
    types.into_iter().map(TypeIndex).collect()
}

/// The error that stands first in the module, of those that have a place; so that it does not depend on which thread was faster.
pub(crate) fn first(a: Option<Error>, b: Error) -> Option<Error> {
    let place = |error: &Error| error.offset.unwrap_or(usize::MAX);
    match a {
        Some(a) if place(&a) <= place(&b) => Some(a),
        _ => Some(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn info(lengths: &[u32]) -> ModuleInfo {
        let mut start = 100;
        let bodies = lengths.iter().map(|length| {
            start += length;
            Body { start: start - length, end: start }
        });
        ModuleInfo { bodies: bodies.collect(), ..ModuleInfo::default() }
    }

    #[test]
    fn a_partition_ends_with_the_function_that_fills_it() {
        let partitions = divide_into(&info(&[10, 10, 50, 1, 1]), 20, |_| Effort::Full);
        let functions: Vec<_> = partitions.iter().map(|partition| partition.functions.clone()).collect();
        assert_eq!(functions, [vec![0, 1], vec![2], vec![3, 4]]);
        assert_eq!(partitions.iter().map(|partition| partition.start).collect::<Vec<_>>(), [100, 120, 170]);
        assert_eq!(partitions.iter().map(|partition| partition.bytes).sum::<usize>(), 72);
    }

    #[test]
    fn efforts_are_kept_apart() {
        let effort = |position| if position % 2 == 0 { Effort::Full } else { Effort::Light };
        let partitions = divide_into(&info(&[10, 10, 10, 10, 10]), 20, effort);
        let functions: Vec<_> =
            partitions.iter().map(|partition| (partition.effort, &partition.functions[..])).collect();
        assert_eq!(functions, [(Effort::Full, &[0, 2][..]), (Effort::Light, &[1, 3]), (Effort::Full, &[4])]);
    }

    #[test]
    fn a_leaf_loop_contains_neither_loop_nor_call() {
        let leaf = |body: &str| {
            let bytes = wat::parse_str(format!("(module (func $f {body}))")).expect("the text is well-formed");
            has_leaf_loop(&crate::parse::parse_full(&bytes).expect("the module is valid"), 0, &bytes)
        };
        assert!(leaf("(loop (br 0))"));
        assert!(leaf("(call $f) (loop (call $f) (block (loop (block))))"));
        assert!(!leaf("(block (call $f))"));
        assert!(!leaf("(loop (block (call $f)))"));
        assert!(!leaf("(loop (loop (call $f)))"));
    }

    #[test]
    fn an_empty_module_has_no_partition() {
        assert!(divide_into(&info(&[]), 20, |_| Effort::Full).is_empty());
        assert_eq!(undivided(&info(&[])), Partition::default());
    }

    #[test]
    fn the_error_with_the_smallest_offset_wins() {
        let error = |offset| Error { kind: ErrorKind::Invalid, offset, message: String::new() };
        let pick = |a, b| first(Some(error(a)), error(b)).and_then(|error| error.offset);
        assert_eq!(pick(Some(3), Some(2)), Some(2));
        assert_eq!(pick(Some(2), Some(3)), Some(2));
        assert_eq!(pick(None, Some(3)), Some(3));
        assert_eq!(pick(Some(3), None), Some(3));
    }
}
