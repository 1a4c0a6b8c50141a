//! Control frames: where paths part and meet.
//!
//! Every branch to the end of a frame ([`super::branch`]) leaves an [`Edge`] with the frame, and with it what the frame's results and the variables assigned within
//! hold on that path. At the end the paths are merged, with phis only for what differs. The header of a loop has its phis from the start,
//! since the branches back to it come later.
//!
//! Code that control cannot reach is validated but not translated: only the nesting of its frames is followed.

use inkwell::basic_block::BasicBlock;
use inkwell::values::PhiValue;
use wasmo_abi::index::TypeIndex;
use wasmo_abi::tier::LoopIndex;
use wasmparser::{BlockType, Operator};

use super::address::Mark;
use super::entrances::Buried;
use super::function::FunctionTranslator;
use crate::error::Error;
use crate::ir::Value;

/// A branch to the end of a frame.
#[derive(Debug)]
pub(super) struct Edge<'ctx> {
    pub(super) from: BasicBlock<'ctx>,
    /// The frame's results, then what the variables assigned in the frame hold.
    pub(super) values: Vec<Value<'ctx>>,
}

#[derive(Debug)]
pub(super) enum Kind<'ctx> {
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
    pub(super) kind: Kind<'ctx>,
    pub(super) params: usize,
    pub(super) results: usize,
    /// How many operands lie below the frame's own.
    height: usize,
    /// The variables that are assigned in the frame.
    pub(super) assigned: Box<[u32]>,
    /// Where branches to the end go; made for the first of them.
    pub(super) end: Option<BasicBlock<'ctx>>,
    pub(super) edges: Vec<Edge<'ctx>>,
    /// The operands below the frame, when the function can be entered at a loop in it.
    pub(super) buried: Option<Buried<'ctx>>,
    accessed: Mark,
}

/// What is known of a frame when it begins.
#[derive(Default)]
struct Begun<'ctx> {
    assigned: Box<[u32]>,
    buried: Option<Buried<'ctx>>,
}

pub(super) fn missing_frame() -> Error {
    Error::internal("a control frame is missing")
}

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    /// Opens the frame that is the whole body: a branch to its end returns.
    pub(super) fn open_function(&mut self, results: usize) -> Result<(), Error> {
        // What variables hold is of no interest after the end.
        self.open(Kind::Block, 0, results, Begun::default())?;
        self.ask_at_entry()?;
        self.count_call()?;
        self.begin_fuel()
    }

    fn open(&mut self, kind: Kind<'ctx>, params: usize, results: usize, begun: Begun<'ctx>) -> Result<(), Error> {
        let height = self.height_below(params)?;
        let accessed = self.accessed.mark();
        let Begun { assigned, buried } = begun;
        let (end, edges) = (None, Vec::new());
        self.frames.push(Frame { kind, params, results, height, assigned, end, edges, buried, accessed });
        Ok(())
    }

    fn height_below(&self, params: usize) -> Result<usize, Error> {
        self.stack.len().checked_sub(params).ok_or_else(|| Error::internal("a block's parameters are missing"))
    }

    /// What is found out about a frame with `params` parameters that begins here, before control goes anywhere.
    fn begin_frame(&mut self, params: usize) -> Result<Begun<'ctx>, Error> {
        let (assigned, around) = self.assigned.take(self.begun_frames);
        self.begun_frames += 1;
        let buried = if around { Some(self.bury(self.height_below(params)?)?) } else { None };
        Ok(Begun { assigned, buried })
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
    pub(super) fn state(&mut self, count: usize, assigned: &[u32]) -> Result<Vec<Value<'ctx>>, Error> {
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

    /// `block`
    pub(super) fn begin_block(&mut self, ty: BlockType) -> Result<(), Error> {
        let (params, results) = self.arity(ty);
        let begun = self.begin_frame(params)?;
        self.open(Kind::Block, params, results, begun)
    }

    /// `loop`
    pub(super) fn begin_loop(&mut self, ty: BlockType) -> Result<(), Error> {
        self.flush_fuel()?;
        let (params, results) = self.arity(ty);
        let begun = self.begin_frame(params)?;
        let at = LoopIndex(self.begun_loops);
        self.begun_loops += 1;
        let (header, before) = (self.new_block(), self.ir.block()?);
        self.ir.br(header)?;
        self.ir.at_end(header);
        let state = self.state(params, &begun.assigned)?;
        self.stack.truncate(self.stack.len() - params);
        let mut phis = Vec::with_capacity(state.len());
        for value in &state {
            let phi = self.ir.phi(value.get_type())?;
            phi.add_incoming(&[(value, before)]);
            phis.push(phi);
        }
        let values: Vec<_> = phis.iter().map(|phi| phi.as_basic_value()).collect();
        self.set_state(params, &begun.assigned, &values)?;
        let entered = (self.osr == Some(at) || self.entrances.is_some()).then(|| phis.clone());
        self.open(Kind::Loop { header, phis }, params, results, begun)?;
        if let Some(phis) = entered {
            self.enter_here(at, header, &phis)?;
        }
        self.count_head()?;
        self.ask_at_loop(at)?;
        self.check_fuel()
    }

    /// `if`
    pub(super) fn begin_if(&mut self, ty: BlockType) -> Result<(), Error> {
        let condition = self.pop_condition()?;
        self.flush_fuel()?;
        let (params, results) = self.arity(ty);
        let begun = self.begin_frame(params)?;
        let before = self.state(params, &begun.assigned)?;
        let (then, otherwise) = (self.new_block(), self.new_block());
        self.count_condition(condition)?;
        let branch = self.ir.cond_br(condition, then, otherwise)?;
        self.weigh_condition(branch)?;
        self.ir.at_end(then);
        self.open(Kind::If { otherwise, before }, params, results, begun)
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
                    if let Some(buried) = &frame.buried {
                        self.dig_up(buried)?;
                    }
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
                if let Some(buried) = &frame.buried {
                    self.dig_up(buried)?;
                }
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

    fn emit_return(&mut self) -> Result<(), Error> {
        let values = std::mem::take(&mut self.stack);
        self.ir.emit_return(self.context, &self.signature, &values)
    }

    /// Follows the nesting of code that control cannot reach.
    pub(super) fn skip(&mut self, operator: &Operator<'_>) -> Result<(), Error> {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                self.begun_frames += 1;
                self.begun_loops += u32::from(matches!(operator, Operator::Loop { .. }));
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
