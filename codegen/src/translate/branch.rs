//! Branches: the ways out of a frame.

use std::collections::BTreeMap;

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::{BasicValue, IntValue};
use wasmparser::BrTable;

use super::control::{Edge, Frame, Kind, missing_frame};
use super::function::FunctionTranslator;
use super::trap::constant;
use crate::error::{Error, ErrorKind};

/// The most values that all branches of one function may carry: a bound on memory for bodies made to need much of it.
const MAX_EDGE_VALUES: usize = 1 << 24;

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    fn frame(&mut self, depth: u32) -> Result<&mut Frame<'ctx>, Error> {
        let position = self.frames.len().checked_sub(1 + depth as usize);
        position.and_then(|position| self.frames.get_mut(position)).ok_or_else(missing_frame)
    }

    /// Makes the branch from the current block that leads to the frame at `depth` known there; answers the block to branch to.
    fn edge(&mut self, depth: u32) -> Result<BasicBlock<'ctx>, Error> {
        let (from, function, ir) = (self.ir.block()?, self.function, self.ir);
        let frame = self.frame(depth)?;
        let assigned = std::mem::take(&mut frame.assigned);
        let count = if matches!(frame.kind, Kind::Loop { .. }) { frame.params } else { frame.results };
        let values = self.state(count, &assigned)?;
        self.count_edge(values.len())?;
        let frame = self.frame(depth)?;
        frame.assigned = assigned;
        if let Kind::Loop { header, phis } = &frame.kind {
            for (phi, value) in phis.iter().zip(&values) {
                phi.add_incoming(&[(value as &dyn BasicValue<'ctx>, from)]);
            }
            return Ok(*header);
        }
        frame.edges.push(Edge { from, values });
        Ok(*frame.end.get_or_insert_with(|| ir.new_block(function)))
    }

    pub(super) fn branch_to(&mut self, depth: u32) -> Result<(), Error> {
        let target = self.edge(depth)?;
        self.ir.br(target)
    }

    /// `br`
    pub(super) fn branch(&mut self, depth: u32) -> Result<(), Error> {
        self.flush_fuel()?;
        self.branch_to(depth)?;
        self.leave();
        Ok(())
    }

    /// `br_if`
    pub(super) fn branch_if(&mut self, depth: u32) -> Result<(), Error> {
        let condition = self.pop_condition()?;
        self.flush_fuel()?;
        self.count_condition(condition)?;
        let target = self.edge(depth)?;
        let go_on = self.new_block();
        let branch = self.ir.cond_br(condition, target, go_on)?;
        self.weigh_condition(branch)?;
        self.ir.at_end(go_on);
        Ok(())
    }

    /// `br_table`. A target that is named several times is reached through a block of its own, so that its phis grow by one entry only.
    pub(super) fn branch_table(&mut self, table: &BrTable<'_>) -> Result<(), Error> {
        let index = self.pop_int()?;
        self.flush_fuel()?;
        let malformed = |error: wasmparser::Error| Error::malformed(&error);
        let targets = table.targets().collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        let default = table.default();
        self.count_target(index, table.len())?;
        let switch_block = self.ir.block()?;
        let mut blocks: BTreeMap<u32, BasicBlock<'ctx>> = BTreeMap::new();
        for depth in targets.iter().copied().chain([default]) {
            blocks.entry(depth).or_insert_with(|| self.ir.new_block(self.function));
        }
        let block_of = |depth| blocks.get(&depth).copied().ok_or_else(missing_frame);
        let mut cases = Vec::with_capacity(targets.len());
        for (case, &depth) in (0_u32..).zip(&targets) {
            if depth != default {
                cases.push((self.ir.i32(case), block_of(depth)?));
            }
        }
        let switch = self.ir.builder().build_switch(index, block_of(default)?, &cases)?;
        self.weigh_targets(switch, &targets, default)?;
        for (depth, block) in blocks {
            self.ir.at_end(block);
            self.branch_to(depth)?;
        }
        self.ir.at_end(switch_block);
        self.leave();
        Ok(())
    }

    /// `return`
    pub(super) fn return_values(&mut self) -> Result<(), Error> {
        let outermost = u32::try_from(self.frames.len() - 1).map_err(|_| missing_frame())?;
        self.branch(outermost)
    }

    fn count_edge(&mut self, values: usize) -> Result<(), Error> {
        self.edge_values += values;
        if self.edge_values > MAX_EDGE_VALUES {
            return Err(Error::new(ErrorKind::Limit, "the branches of a function carry too many values"));
        }
        Ok(())
    }

    /// From here to the end of the frame, control reaches nothing.
    pub(super) fn leave(&mut self) {
        self.reachable = false;
    }

    /// Pops an i32 as a truth value.
    pub(super) fn pop_condition(&mut self) -> Result<IntValue<'ctx>, Error> {
        let value = self.pop_int()?;
        if let Some(truth) = constant(value) {
            return Ok(self.ir.types.i1.const_int(u64::from(truth != 0), false));
        }
        if let Some(condition) = self.ir.widened_condition(value) {
            return Ok(condition);
        }
        self.ir.icmp(IntPredicate::NE, value, self.ir.i32(0))
    }
}
