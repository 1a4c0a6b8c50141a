//! How a module is divided for compilation.
//!
//! A partition is what LLVM sees at once: large enough that functions are inlined into their neighbours, small enough that all cores have
//! work to the end and that little IR is alive at a time. The division depends on the module alone, never on the number of threads, so that the
//! same module always gives the same code.

use crate::error::Error;
use std::collections::BTreeSet;
use wasmo_abi::index::TypeIndex;
use wasmo_abi::module::{EntityRef, ModuleInfo};

/// A partition is full once its bodies have this many bytes.
const TARGET_BYTES: usize = 64 << 10;

/// A part of a module that is compiled to one object: functions, or thunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The functions, by their positions among the defined ones, ascending.
    pub(crate) functions: Vec<usize>,
    /// Small functions of other partitions that these call, to be inlined; ascending.
    pub(crate) copies: Vec<usize>,
    /// The types whose thunks are compiled.
    pub(crate) thunks: Vec<TypeIndex>,
    /// Size of the functions' bodies in bytes.
    pub(crate) bytes: usize,
    /// Where in the module the first body begins.
    pub(crate) start: usize,
}

/// Divides a module. No partition is empty; a module without functions and thunks has none.
pub(crate) fn divide(info: &ModuleInfo) -> Vec<Partition> {
    let mut partitions = divide_into(info, TARGET_BYTES);
    let thunks = thunk_types(info);
    if !thunks.is_empty() {
        let start = info.bodies.last().map_or(0, |body| body.end);
        partitions.push(Partition { thunks, start, ..Partition::default() });
    }
    partitions
}

/// All functions of a module as one partition.
pub(crate) fn undivided(info: &ModuleInfo) -> Partition {
    divide_into(info, usize::MAX).pop().unwrap_or_default()
}

fn divide_into(info: &ModuleInfo, target: usize) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = Vec::new();
    for (position, body) in info.bodies.iter().enumerate() {
        if partitions.last().is_none_or(|last| last.bytes >= target) {
            partitions.push(Partition { start: body.start, ..Partition::default() });
        }
        if let Some(partition) = partitions.last_mut() {
            partition.functions.push(position);
            partition.bytes += body.len();
        }
    }
    partitions
}

/// The types of functions that the host may call or that may be the host's: escaping and imported ones.
fn thunk_types(info: &ModuleInfo) -> Vec<TypeIndex> {
    let imported = info.imports.iter().filter_map(|import| match import.entity {
        EntityRef::Func(func) => Some(func),
        _ => None,
    });
    let escaping = info.escaping.values().copied();
    let start = info.start.into_iter();
    let types: BTreeSet<u32> =
        imported.chain(escaping).chain(start).filter_map(|func| Some(info.funcs.get(func)?.ty.0)).collect();
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

    fn info(lengths: &[usize]) -> ModuleInfo {
        let mut start = 100;
        let bodies = lengths.iter().map(|length| {
            start += length;
            start - length..start
        });
        ModuleInfo { bodies: bodies.collect(), ..ModuleInfo::default() }
    }

    #[test]
    fn a_partition_ends_with_the_function_that_fills_it() {
        let partitions = divide_into(&info(&[10, 10, 50, 1, 1]), 20);
        let functions: Vec<_> = partitions.iter().map(|partition| partition.functions.clone()).collect();
        assert_eq!(functions, [vec![0, 1], vec![2], vec![3, 4]]);
        assert_eq!(partitions.iter().map(|partition| partition.start).collect::<Vec<_>>(), [100, 120, 170]);
        assert_eq!(partitions.iter().map(|partition| partition.bytes).sum::<usize>(), 72);
    }

    #[test]
    fn an_empty_module_has_no_partition() {
        assert!(divide(&info(&[])).is_empty());
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
