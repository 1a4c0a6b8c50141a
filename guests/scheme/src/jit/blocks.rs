//! From branches to blocks: where WebAssembly's blocks and loops must begin and end, so that every branch of
//! a procedure's instructions is a branch out of a block or back to the start of a loop.
//!
//! `emit` makes forward branches, and back branches (`Op::Loop`) to the start of a loop that nothing enters elsewhere. A block
//! for the branches to one target ends just before the target and begins before the first of the branches, or
//! further up where it would otherwise begin within something that ends earlier.

use super::operands::branch;
use crate::op::Op;

/// A block or loop around the instructions from `start` to just before `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Region {
    pub start: usize,
    pub end: usize,
    pub is_loop: bool,
}

impl Region {
    /// The instruction that a branch to this region's label goes to.
    pub fn target(&self) -> usize {
        if self.is_loop { self.start } else { self.end }
    }
}

/// The regions of `code`, in the order in which they open.
pub(super) fn regions(code: &[Op]) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    let branches = || {
        code.iter().enumerate().filter_map(|(index, &op)| Some((index, (index + 1).checked_add_signed(branch(op)?)?)))
    };
    for (from, header) in branches().filter(|&(from, to)| to <= from) {
        match regions.iter_mut().find(|region| region.start == header) {
            Some(region) => region.end = region.end.max(from + 1),
            None => regions.push(Region { start: header, end: from + 1, is_loop: true }),
        }
    }
    // First branch to each target, by target.
    let mut forward: Vec<(usize, usize)> = branches().filter(|&(from, to)| to > from).map(|(f, t)| (t, f)).collect();
    forward.sort_unstable();
    forward.dedup_by_key(|branch| branch.0);
    for (end, first) in forward {
        let mut start = first;
        // Whatever ends earlier is in `regions` by now, because targets come in ascending order.
        while let Some(outer) = regions.iter().find(|region| {
            let ends_before = if region.is_loop { region.end <= end } else { region.end < end };
            region.start < start && start < region.end && ends_before
        }) {
            start = outer.start;
        }
        regions.push(Region { start, end, is_loop: false });
    }
    // What is open longer opens first; a loop opens inside of a block of the same extent.
    regions.sort_by_key(|region| (region.start, usize::MAX - region.end, region.is_loop));
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &[Op], expected: &[(usize, usize, bool)]) {
        let found: Vec<_> = regions(code).iter().map(|region| (region.start, region.end, region.is_loop)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn branches_that_cross_open_early() {
        let jump = |to| Op::JumpIf { s: 2, to };
        // 0 → 3 and 1 → 4: the second block opens with the first.
        let end = Op::Return { s: 2 };
        check(&[jump(2), jump(2), end, end, end], &[(0, 4, false), (0, 3, false)]);
    }

    #[test]
    fn exits_of_loops_are_outside_of_them() {
        let code =
            [Op::Int { d: 2, i: 0 }, Op::JumpIf { s: 2, to: 1 }, Op::Loop { top: 3, to: -2 }, Op::Return { s: 2 }];
        check(&code, &[(1, 3, false), (1, 3, true)]);
    }
}
