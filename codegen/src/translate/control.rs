//! Control frames: where paths part and meet.
//!
//! Every branch to the end of a frame leaves an [`Edge`] with the frame, and with it what the frame's results and the variables assigned within
//! hold on that path. At the end the paths are merged, with phis only for what differs. The header of a loop has its phis from the start,
//! since the branches back to it come later.
//!
//! Code that control cannot reach is validated but not translated: only the nesting of its frames is followed.

use inkwell::basic_block::BasicBlock;
use inkwell::values::{BasicValue, IntValue, PhiValue};
use wasmo_abi::index::TypeIndex;
use wasmparser::{BlockType, BrTable, Operator};

use super::address::Mark;
use super::function::FunctionTranslator;
use super::trap::constant;
use crate::error::Error;
use crate::ir::Value;

/// A branch to the end of a frame.
#[derive(Debug)]
struct Edge<'ctx> {
    from: BasicBlock<'ctx>,
    /// The frame's results, then what the variables assigned in the frame hold.
    values: Vec<Value<'ctx>>,
}

#[derive(Debug)]
enum Kind<'ctx> {
    Block,
    Loop {
        header: BasicBlock<'ctx>,
        /// For the parameters, then for the variables assigned in the loop.
        phis: Vec<PhiValue<'ctx>>,
    },
    If {
        /// Where the condition does not hold.
        otherwise: BasicBlock<'ctx>,
        /// The parameters, then what the variables assigned in the frame hold, before the frame.
        before: Vec<Value<'ctx>>,
    },
}

/// An open control frame.
#[derive(Debug)]
pub struct Frame<'ctx> {
    kind: Kind<'ctx>,
    params: usize,
    results: usize,
    /// How many operands lie below the frame's own.
    height: usize,
    /// The variables that are assigned in the frame.
    assigned: Box<[u32]>,
    /// Where branches to the end go; made for the first of them.
    end: Option<BasicBlock<'ctx>>,
    edges: Vec<Edge<'ctx>>,
    accessed: Mark,
}

fn missing_frame() -> Error {
    Error::internal("a control frame is missing")
}

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    /// Opens the frame that is the whole body: a branch to its end returns.
    pub(super) fn open_function(&mut self, results: usize) -> Result<(), Error> {
        // What variables hold is of no interest after the end.
        self.open(Kind::Block, 0, results, Box::default())?;
        self.begin_fuel()
    }

    fn open(&mut self, kind: Kind<'ctx>, params: usize, results: usize, assigned: Box<[u32]>) -> Result<(), Error> {
        let height =
            self.stack.len().checked_sub(params).ok_or_else(|| Error::internal("a block's parameters are missing"))?;
        let accessed = self.accessed.mark();
        self.frames.push(Frame { kind, params, results, height, assigned, end: None, edges: Vec::new(), accessed });
        Ok(())
    }

    fn begin_frame(&mut self) -> Box<[u32]> {
        let assigned = self.assigned.take(self.begun_frames);
        self.begun_frames += 1;
        assigned
    }

    fn arity(&self, ty: BlockType) -> (usize, usize) {
        match ty {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => {
                let ty = &self.unit.info.types[TypeIndex(index)];
                (ty.params.len(), ty.results.len())
            }
        }
    }

    /// The top `count` operands, then what the variables `assigned` hold.
    fn state(&self, count: usize, assigned: &[u32]) -> Result<Vec<Value<'ctx>>, Error> {
        let operands = self.stack.len().checked_sub(count).and_then(|rest| self.stack.get(rest..));
        let mut values = operands.ok_or_else(|| Error::internal("operands are missing"))?.to_vec();
        for &local in assigned {
            values.push(self.local(local)?);
        }
        Ok(values)
    }

    /// Makes `values` the top `count` operands and what the variables `assigned` hold.
    fn set_state(&mut self, count: usize, assigned: &[u32], values: &[Value<'ctx>]) -> Result<(), Error> {
        let (operands, locals) = values.split_at_checked(count).ok_or_else(|| Error::internal("values are missing"))?;
        self.stack.extend_from_slice(operands);
        for (&local, &value) in assigned.iter().zip(locals) {
            self.set_local(local, value)?;
        }
        Ok(())
    }

    /// What variable `index` holds.
    pub(super) fn local(&self, index: u32) -> Result<Value<'ctx>, Error> {
        self.locals.get(index as usize).copied().ok_or_else(|| Error::internal("a local variable is missing"))
    }

    /// Makes variable `index` hold `value`.
    pub(super) fn set_local(&mut self, index: u32, value: Value<'ctx>) -> Result<(), Error> {
        let local =
            self.locals.get_mut(index as usize).ok_or_else(|| Error::internal("a local variable is missing"))?;
        *local = value;
        Ok(())
    }

    /// `block`
    pub(super) fn begin_block(&mut self, ty: BlockType) -> Result<(), Error> {
        let (params, results) = self.arity(ty);
        let assigned = self.begin_frame();
        self.open(Kind::Block, params, results, assigned)
    }

    /// `loop`
    pub(super) fn begin_loop(&mut self, ty: BlockType) -> Result<(), Error> {
        self.flush_fuel()?;
        let (params, results) = self.arity(ty);
        let assigned = self.begin_frame();
        let (header, before) = (self.new_block(), self.ir.block()?);
        self.ir.br(header)?;
        self.ir.at_end(header);
        let state = self.state(params, &assigned)?;
        self.stack.truncate(self.stack.len() - params);
        let mut phis = Vec::with_capacity(state.len());
        for value in &state {
            let phi = self.ir.phi(value.get_type())?;
            phi.add_incoming(&[(value, before)]);
            phis.push(phi);
        }
        let values: Vec<_> = phis.iter().map(|phi| phi.as_basic_value()).collect();
        self.set_state(params, &assigned, &values)?;
        self.open(Kind::Loop { header, phis }, params, results, assigned)?;
        self.check_fuel()
    }

    /// `if`
    pub(super) fn begin_if(&mut self, ty: BlockType) -> Result<(), Error> {
        let condition = self.pop_condition()?;
        self.flush_fuel()?;
        let (params, results) = self.arity(ty);
        let assigned = self.begin_frame();
        let before = self.state(params, &assigned)?;
        let (then, otherwise) = (self.new_block(), self.new_block());
        self.ir.cond_br(condition, then, otherwise)?;
        self.ir.at_end(then);
        self.open(Kind::If { otherwise, before }, params, results, assigned)
    }

    /// `else`, the part before it being reachable at its end or not.
    pub(super) fn begin_else(&mut self) -> Result<(), Error> {
        if self.reachable {
            self.flush_fuel()?;
            self.branch_to(0)?;
        }
        let frame = self.frames.last_mut().ok_or_else(missing_frame)?;
        let Kind::If { otherwise, before } = std::mem::replace(&mut frame.kind, Kind::Block) else {
            return Err(Error::internal("else without if"));
        };
        let (params, height, accessed) = (frame.params, frame.height, frame.accessed);
        let assigned = std::mem::take(&mut frame.assigned);
        self.accessed.back_to(accessed);
        self.stack.truncate(height);
        self.set_state(params, &assigned, &before)?;
        if let Some(frame) = self.frames.last_mut() {
            frame.assigned = assigned;
        }
        self.ir.at_end(otherwise);
        self.reachable = true;
        Ok(())
    }

    /// `end`, the code before it being reachable or not.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        if let Some(Frame { kind: Kind::If { .. }, .. }) = self.frames.last() {
            self.begin_else()?;
        }
        if self.reachable {
            self.flush_fuel()?;
        }
        let frame = self.frames.last().ok_or_else(missing_frame)?;
        match frame.end {
            // Only the code before leads here.
            None => {
                let (results, accessed) = (frame.results, frame.accessed);
                let frame = self.frames.pop().ok_or_else(missing_frame)?;
                if self.reachable {
                    let values = self.pop_n(results)?;
                    self.stack.truncate(frame.height);
                    self.stack.extend(values);
                } else {
                    self.stack.truncate(frame.height);
                    self.accessed.back_to(accessed);
                }
            }
            Some(end) => {
                if self.reachable {
                    self.branch_to(0)?;
                }
                let frame = self.frames.pop().ok_or_else(missing_frame)?;
                self.ir.at_end(end);
                let values = self.merge(&frame.edges)?;
                self.stack.truncate(frame.height);
                self.set_state(frame.results, &frame.assigned, &values)?;
                self.accessed.back_to(frame.accessed);
                self.reachable = true;
            }
        }
        if self.frames.is_empty() && self.reachable {
            self.emit_return()?;
        }
        Ok(())
    }

    /// What holds where `edges` meet, which is where the builder stands.
    fn merge(&self, edges: &[Edge<'ctx>]) -> Result<Vec<Value<'ctx>>, Error> {
        let (first, others) = edges.split_first().ok_or_else(|| Error::internal("a merge of no paths"))?;
        let mut merged = Vec::with_capacity(first.values.len());
        for (position, &value) in first.values.iter().enumerate() {
            let same = others.iter().all(|edge| edge.values.get(position) == Some(&value));
            merged.push(if same {
                value
            } else {
                let phi = self.ir.phi(value.get_type())?;
                for edge in edges {
                    if let Some(value) = edge.values.get(position) {
                        phi.add_incoming(&[(value, edge.from)]);
                    }
                }
                phi.as_basic_value()
            });
        }
        Ok(merged)
    }

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

    fn branch_to(&mut self, depth: u32) -> Result<(), Error> {
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
        let target = self.edge(depth)?;
        let go_on = self.new_block();
        self.ir.cond_br(condition, target, go_on)?;
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
        let switch_block = self.ir.block()?;
        let mut blocks: std::collections::BTreeMap<u32, BasicBlock<'ctx>> = std::collections::BTreeMap::new();
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
        self.ir.builder().build_switch(index, block_of(default)?, &cases)?;
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

    fn emit_return(&mut self) -> Result<(), Error> {
        let values = std::mem::take(&mut self.stack);
        self.ir.emit_return(self.context, &self.signature, &values)
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
        self.ir.icmp(inkwell::IntPredicate::NE, value, self.ir.i32(0))
    }

    /// Follows the nesting of code that control cannot reach.
    pub(super) fn skip(&mut self, operator: &Operator<'_>) -> Result<(), Error> {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                self.begun_frames += 1;
                self.dead_frames += 1;
            }
            Operator::End if self.dead_frames > 0 => self.dead_frames -= 1,
            Operator::End => return self.end(),
            Operator::Else if self.dead_frames == 0 => return self.begin_else(),
            _ => {}
        }
        Ok(())
    }
}
