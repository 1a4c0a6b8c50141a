//! Control frames and branches (core specification, 4.4.8).
//!
//! Where paths meet, operands are in their slots. A branch copies the operands that it carries to the slots that they have at its target, and changes nothing else, so that what follows a
//! conditional branch finds everything where it was. Branches to the function's own frame put the results where the caller expects them.

use super::call::Location;
use super::function::{Generator, operand_type};
use super::masm::{Compare, Cond, Label, Masm};
use super::operands::{Operand, Place, Type};
use crate::error::{Error, ErrorKind};
use std::collections::BTreeMap;
use wasmo_abi::index::TypeIndex;
use wasmo_abi::type_list::TypeList;
use wasmo_abi::types::ValType;
use wasmparser::{BlockType, BrTable, Operator};

/// The most values that all branches of one function may carry: a bound on the code of bodies made to need much of it.
const MAX_CARRIED: usize = 1 << 20;

pub(super) enum Kind {
    Function,
    Block,
    Loop(Label),
    If {
        otherwise: Label,
        /// The parameters before the frame: in their slots, or constants.
        params: Vec<Operand>,
    },
}

/// An open control frame.
pub(super) struct Frame {
    kind: Kind,
    params: usize,
    results: Results,
    /// How many operands lie below the frame's own.
    pub(super) height: usize,
    end: Label,
    /// Whether branches lead to the end.
    used: bool,
}

/// The types of a frame's results.
#[derive(Clone)]
enum Results {
    None,
    One(Type),
    Several(TypeIndex),
}

fn missing_frame() -> Error {
    Error::internal("a control frame is missing")
}

impl<M: Masm> Generator<'_, M> {
    pub(super) fn open_function(&mut self) {
        let end = self.epilogue;
        let results = Results::None;
        self.frames.push(Frame { kind: Kind::Function, params: 0, results, height: 0, end, used: false });
    }

    /// How many parameters, and which results; `None` when there are vectors among them.
    fn block_type(&self, ty: BlockType) -> Result<Option<(usize, Results)>, Error> {
        Ok(match ty {
            BlockType::Empty => Some((0, Results::None)),
            BlockType::Type(ty) => operand_type(crate::parse::value_type(ty)?).map(|ty| (0, Results::One(ty))),
            BlockType::FuncType(index) => {
                let ty = &self.context.info.types[TypeIndex(index)];
                let all = |types: &TypeList| types.iter().all(|&ty| operand_type(ty).is_some());
                (all(&ty.params) && all(&ty.results)).then(|| (ty.params.len(), Results::Several(TypeIndex(index))))
            }
        })
    }

    fn result_types(&self, results: &Results) -> Vec<Type> {
        match *results {
            Results::None => Vec::new(),
            Results::One(ty) => vec![ty],
            Results::Several(index) => {
                self.context.info.types[index].results.iter().filter_map(|&ty: &ValType| operand_type(ty)).collect()
            }
        }
    }

    fn result_count(&self, results: &Results) -> usize {
        match *results {
            Results::None => 0,
            Results::One(_) => 1,
            Results::Several(index) => self.context.info.types[index].results.len(),
        }
    }

    fn open(&mut self, kind: Kind, params: usize, results: Results) -> Result<(), Error> {
        let height = self.stack.len().checked_sub(params).ok_or_else(missing_frame)?;
        let end = self.masm.new_label();
        self.frames.push(Frame { kind, params, results, height, end, used: false });
        Ok(())
    }

    /// `block`; answers whether there is code for it.
    pub(super) fn begin_block(&mut self, ty: BlockType) -> Result<bool, Error> {
        let Some((params, results)) = self.block_type(ty)? else { return Ok(false) };
        self.settle()?;
        self.open(Kind::Block, params, results)?;
        Ok(true)
    }

    /// `loop`; likewise.
    pub(super) fn begin_loop(&mut self, ty: BlockType) -> Result<bool, Error> {
        let Some((params, results)) = self.block_type(ty)? else { return Ok(false) };
        self.settle()?;
        // Branches back bring other parameters.
        self.copy_to_slots(params, self.stack.len().checked_sub(params).ok_or_else(missing_frame)?)?;
        let start = self.stack.len() - params;
        for operand in self.stack.iter_mut().skip(start) {
            operand.place = Place::Slot;
        }
        let header = self.masm.new_label();
        self.join(header);
        self.open(Kind::Loop(header), params, results)?;
        self.count_round()?;
        Ok(true)
    }

    /// `if`; likewise.
    pub(super) fn begin_if(&mut self, ty: BlockType) -> Result<bool, Error> {
        let Some((params, results)) = self.block_type(ty)? else { return Ok(false) };
        let cond = self.pop_condition()?;
        self.settle()?;
        let otherwise = self.masm.new_label();
        self.masm.jump_if(M::invert(cond), otherwise);
        let start = self.stack.len().checked_sub(params).ok_or_else(missing_frame)?;
        let before = self.stack.get(start..).unwrap_or_default().to_vec();
        self.open(Kind::If { otherwise, params: before }, params, results)?;
        Ok(true)
    }

    /// `else`, the part before it being reachable at its end or not.
    pub(super) fn begin_else(&mut self) -> Result<(), Error> {
        if self.reachable {
            self.jump_to_end()?;
        }
        let frame = self.frames.last_mut().ok_or_else(missing_frame)?;
        let Kind::If { otherwise, params } = std::mem::replace(&mut frame.kind, Kind::Block) else {
            return Err(Error::internal("else without if"));
        };
        let height = frame.height;
        self.drop_to(height)?;
        for operand in params {
            self.push(operand.ty, operand.place);
        }
        self.join(otherwise);
        self.reachable = true;
        Ok(())
    }

    /// Puts a label here that is jumped to from elsewhere, where registers may have had other copies.
    fn join(&mut self, label: Label) {
        self.masm.bind(label);
        self.copies.forget_all();
    }

    /// From the end of the current frame's code to the frame's end.
    fn jump_to_end(&mut self) -> Result<(), Error> {
        let frame = self.frames.last_mut().ok_or_else(missing_frame)?;
        frame.used = true;
        let (end, height, results) = (frame.end, frame.height, frame.results.clone());
        self.copy_to_slots(self.result_count(&results), height)?;
        self.masm.jump(end);
        Ok(())
    }

    /// `end`, the code before it being reachable or not.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        let frame = self.frames.last().ok_or_else(missing_frame)?;
        match frame.kind {
            Kind::Function => return self.end_function(),
            // What is left without an `else` is its parameters.
            Kind::If { .. } if frame.params > 0 => self.begin_else()?,
            Kind::If { otherwise, .. } => {
                let frame = self.frames.pop().ok_or_else(missing_frame)?;
                self.drop_to(frame.height)?;
                self.join(otherwise);
                self.masm.bind(frame.end);
                self.reachable = true;
                return Ok(());
            }
            Kind::Block | Kind::Loop(_) => {}
        }
        let frame = self.frames.last().ok_or_else(missing_frame)?;
        let (height, used, results) = (frame.height, frame.used, frame.results.clone());
        let is_loop = matches!(frame.kind, Kind::Loop(_));
        if is_loop || !used {
            // Only the code before leads here.
            let frame = self.frames.pop().ok_or_else(missing_frame)?;
            self.masm.bind(frame.end);
            if !self.reachable {
                self.drop_to(height)?;
            }
            return Ok(());
        }
        if self.reachable {
            self.copy_to_slots(self.result_count(&results), height)?;
        }
        let frame = self.frames.pop().ok_or_else(missing_frame)?;
        self.drop_to(height)?;
        self.join(frame.end);
        for ty in self.result_types(&results) {
            self.push(ty, Place::Slot);
        }
        self.reachable = true;
        Ok(())
    }

    /// The end of the function: returns.
    fn end_function(&mut self) -> Result<(), Error> {
        self.frames.pop();
        if self.reachable {
            self.place_results()?;
        }
        if self.reachable || self.returns {
            self.join(self.epilogue);
            let left = self.masm.leave_frame(self.variables.kept);
            self.masm.ret();
            let again = u32::try_from(self.masm.code().len()).map_err(|_| Self::too_large())?;
            self.left.push((left, again));
        }
        self.drop_to(0)
    }

    /// Puts the results where the caller expects them.
    fn place_results(&mut self) -> Result<(), Error> {
        let locations = Location::of_results::<M>(&self.ty.results);
        self.place_values(&locations)
    }

    fn frame_at(&mut self, depth: u32) -> Result<&mut Frame, Error> {
        let position = self.frames.len().checked_sub(1 + depth as usize);
        position.and_then(|position| self.frames.get_mut(position)).ok_or_else(missing_frame)
    }

    /// How many operands a branch to `depth` carries that are not where it needs them; and where it goes once they are.
    fn edge(&mut self, depth: u32) -> Result<(usize, Label), Error> {
        let stack = self.stack.len();
        let frame = self.frame_at(depth)?;
        let height = frame.height;
        frame.used = true;
        let (label, results, params) = match frame.kind {
            Kind::Function => (frame.end, Results::None, 0),
            Kind::Loop(header) => (header, Results::None, frame.params),
            Kind::Block | Kind::If { .. } => (frame.end, frame.results.clone(), 0),
        };
        if matches!(frame.kind, Kind::Function) {
            self.returns = true;
            self.carry(self.ty.results.len())?;
            return Ok((self.ty.results.len(), label));
        }
        let count = params + self.result_count(&results);
        self.carry(count)?;
        let start = stack.checked_sub(count).ok_or_else(missing_frame)?;
        let in_place = start == height
            && self.stack.get(start..).is_some_and(|operands| operands.iter().all(|at| at.place == Place::Slot));
        Ok((if in_place { 0 } else { count }, label))
    }

    /// Counts values that code is written for, more of them than there are in the function's text.
    pub(super) fn carry(&mut self, values: usize) -> Result<(), Error> {
        if self.carried + values > MAX_CARRIED {
            return Err(Error::new(ErrorKind::Limit, "the branches of a function carry too many values"));
        }
        self.carried += values;
        Ok(())
    }

    /// Copies what a branch to `depth` carries, and jumps.
    fn follow(&mut self, depth: u32, count: usize, label: Label) -> Result<(), Error> {
        let frame = self.frame_at(depth)?;
        let height = frame.height;
        if matches!(frame.kind, Kind::Function) {
            self.place_results()?;
        } else if count > 0 {
            self.copy_to_slots(count, height)?;
        }
        self.masm.jump(label);
        Ok(())
    }

    /// `br`
    pub(super) fn branch(&mut self, depth: u32) -> Result<(), Error> {
        let (count, label) = self.edge(depth)?;
        self.follow(depth, count, label)?;
        self.leave()
    }

    /// `return`
    pub(super) fn return_values(&mut self) -> Result<(), Error> {
        let outermost = self.frames.len().checked_sub(1).and_then(|depth| u32::try_from(depth).ok());
        self.branch(outermost.ok_or_else(missing_frame)?)
    }

    /// `br_if`
    pub(super) fn branch_if(&mut self, depth: u32) -> Result<(), Error> {
        let cond = self.pop_condition()?;
        let (count, label) = self.edge(depth)?;
        if count == 0 {
            self.masm.jump_if(cond, label);
            return Ok(());
        }
        let go_on = self.masm.new_label();
        self.masm.jump_if(M::invert(cond), go_on);
        self.follow(depth, count, label)?;
        self.masm.bind(go_on);
        Ok(())
    }

    /// `br_table`
    pub(super) fn branch_table(&mut self, table: &BrTable<'_>) -> Result<(), Error> {
        let index = self.pop_gpr()?;
        let malformed = |error: wasmparser::Error| Error::malformed(&error);
        let depths = table.targets().collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        // Targets for which operands have to be copied are reached through a piece of code each.
        let mut pieces: BTreeMap<u32, (Label, usize, Label)> = BTreeMap::new();
        let mut labels = Vec::with_capacity(depths.len() + 1);
        for &depth in depths.iter().chain([&table.default()]) {
            if let Some(&(piece, _, _)) = pieces.get(&depth) {
                labels.push(piece);
                continue;
            }
            let (count, label) = self.edge(depth)?;
            if count == 0 {
                labels.push(label);
            } else {
                let piece = self.masm.new_label();
                pieces.insert(depth, (piece, count, label));
                labels.push(piece);
            }
        }
        let default = labels.pop().ok_or_else(missing_frame)?;
        if labels.is_empty() {
            self.masm.jump(default);
        } else {
            self.masm.jump_table(index, &labels, default);
        }
        self.release(index);
        for (depth, (piece, count, label)) in pieces {
            self.masm.bind(piece);
            self.follow(depth, count, label)?;
        }
        self.leave()
    }

    /// From here to the end of the frame, control reaches nothing.
    pub(super) fn leave(&mut self) -> Result<(), Error> {
        let height = self.frames.last().ok_or_else(missing_frame)?.height;
        self.drop_to(height)?;
        self.reachable = false;
        Ok(())
    }

    /// Pops an i32 as a condition of the flags.
    pub(super) fn pop_condition(&mut self) -> Result<Cond, Error> {
        let popped = self.pop()?;
        if let Place::Flags(cond) = popped.operand.place {
            return Ok(cond);
        }
        let reg = self.read_gpr(popped)?;
        self.masm.test(super::masm::Width::W32, reg);
        self.release(reg);
        Ok(M::cond(Compare::Ne))
    }

    /// Follows the nesting of code that control cannot reach.
    pub(super) fn skip(&mut self, operator: &Operator<'_>) -> Result<(), Error> {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
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
