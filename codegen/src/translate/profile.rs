//! Code that counts, and code that is made with what was counted ([`crate::profile`]).
//!
//! What an operator is translated to is the same in either case, but for instructions that count, for metadata that says how often branches go where, and for guards: where
//! a call through a table nearly always finds one function, that one is called directly when it is found again. A guard compares with the one record of that function of
//! this very instance, so it is right whatever the table holds by then, and says all that the ordinary check would.

use std::mem::offset_of;

use inkwell::values::{InstructionValue, IntValue, PointerValue};
use inkwell::{AtomicOrdering, IntPredicate};
use wasmo_abi::index::{FuncRefIndex, TypeIndex};
use wasmo_abi::profile::Counts;
use wasmo_abi::tier::{Tier, VmEntry, all_entries, callee_slot};
use wasmo_abi::vm::VmContext;

use super::function::FunctionTranslator;
use crate::error::Error;
use crate::ir::Value;
use crate::ir::builder::int;
use crate::ir::tbaa::Region;
use crate::profile::{Counters, Guess, Guide, Kind, Vote};

/// What a call through a table is likely to find.
#[derive(Clone, Copy, Debug)]
pub struct Likely {
    /// The function.
    pub func: Guess,
    /// Its record.
    pub func_ref: FuncRefIndex,
    /// How often it was that one, and how often it was not.
    pub weights: [u64; 2],
}

/// How often a guess of which nothing is known is taken to be right, and how often wrong.
const GUESS: [u64; 2] = [4, 1];

impl<'a, 'ctx> FunctionTranslator<'a, 'ctx> {
    fn counters(&self) -> Option<&'a Counters> {
        match self.unit.guide {
            Guide::Count(counters) => Some(counters),
            Guide::None | Guide::Use(_) | Guide::Callees(..) => None,
        }
    }

    /// The first counter of the current operator, if there is one.
    fn place(&self, kind: Kind) -> Option<u32> {
        self.counters()?.place(self.offset, kind)
    }

    fn word(&mut self, word: u32) -> Result<PointerValue<'ctx>, Error> {
        let entries = self.context_field(offset_of!(VmContext, entries))?;
        let functions = self.unit.info.bodies.len();
        let counters = all_entries(functions) * size_of::<VmEntry>();
        self.ir.field(entries, counters + word as usize * size_of::<u64>())
    }

    /// Reads a counter. That other threads write to it at the same time is nothing that LLVM may draw conclusions from.
    fn read(&self, word: PointerValue<'ctx>) -> Result<IntValue<'ctx>, Error> {
        let value = self.ir.load(self.ir.types.i64, word, 8, self.ir.tag(Region::Entries))?;
        self.unordered(self.ir.instruction(value))?;
        int(value)
    }

    fn write(&self, word: PointerValue<'ctx>, value: IntValue<'ctx>) -> Result<(), Error> {
        let store = self.ir.store(Value::IntValue(value), word, 8, self.ir.tag(Region::Entries))?;
        self.unordered(Some(store))
    }

    fn unordered(&self, access: Option<InstructionValue<'ctx>>) -> Result<(), Error> {
        let access = access.ok_or_else(|| Error::internal("an access is not an instruction"))?;
        let set = access.set_atomic_ordering(AtomicOrdering::Unordered);
        set.map_err(|error| Error::internal(format!("cannot make an access atomic: {error}")))
    }

    fn add_to(&self, word: PointerValue<'ctx>, addend: IntValue<'ctx>) -> Result<(), Error> {
        let sum = self.ir.builder().build_int_add(self.read(word)?, addend, "")?;
        self.write(word, sum)
    }

    fn add_one(&mut self, word: u32) -> Result<(), Error> {
        let word = self.word(word)?;
        self.add_to(word, self.ir.i64(1))
    }

    /// Counts a call of the function.
    pub(super) fn count_call(&mut self) -> Result<(), Error> {
        let position = self.unit.info.defined_func(self.func);
        let word = self.counters().zip(position).and_then(|(counters, position)| counters.entry(position));
        word.map_or(Ok(()), |word| self.add_one(word))
    }

    /// Counts a round of the loop at whose head the builder stands.
    pub(super) fn count_head(&mut self) -> Result<(), Error> {
        self.place(Kind::Loop).map_or(Ok(()), |word| self.add_one(word))
    }

    /// Counts how often `condition`, of an `if` or `br_if`, holds.
    pub(super) fn count_condition(&mut self, condition: IntValue<'ctx>) -> Result<(), Error> {
        let Some(word) = self.place(Kind::Branch) else { return Ok(()) };
        self.add_one(word)?;
        let taken = self.word(word + 1)?;
        self.add_to(taken, self.ir.zext64(condition)?)
    }

    /// Counts where a `br_table` with `index` and so many targets besides the default goes.
    pub(super) fn count_target(&mut self, index: IntValue<'ctx>, targets: u32) -> Result<(), Error> {
        let Some(word) = self.place(Kind::Table(targets.saturating_add(1))) else { return Ok(()) };
        let default = self.ir.i32(targets);
        let listed = self.ir.icmp(IntPredicate::ULT, index, default)?;
        let target = self.ir.zext64(int(self.ir.select(listed, index, default)?)?)?;
        let offset = self.ir.builder().build_int_nuw_mul(target, self.ir.i64(size_of::<u64>() as u64), "")?;
        let first = self.word(word)?;
        self.add_to(self.ir.gep(first, offset)?, self.ir.i64(1))
    }

    /// Notes what a call through a table calls, in lift-off code, for the optimiser to guess what it will call. What threads do to each other's notes is of no matter.
    pub(super) fn note_callee(&mut self, code: PointerValue<'ctx>) -> Result<(), Error> {
        if self.ir.options.tier != Some(Tier::LiftOff) {
            return Ok(());
        }
        let functions = self.unit.info.bodies.len();
        let slot = functions + callee_slot(self.offset, functions);
        let entries = self.context_field(offset_of!(VmContext, entries))?;
        let place = self.ir.field(entries, slot * size_of::<VmEntry>() + offset_of!(VmEntry, code))?;
        self.ir.store(Value::PointerValue(code), place, 8, self.ir.tag(Region::Entries))?;
        Ok(())
    }

    /// Counts a call through a table, of `code` with `context`.
    pub(super) fn count_callee(&mut self, code: PointerValue<'ctx>, context: PointerValue<'ctx>) -> Result<(), Error> {
        let Some(word) = self.place(Kind::Call) else { return Ok(()) };
        let ir = self.ir;
        self.add_one(word + Vote::Total as u32)?;
        let [candidate_at, lead_at, hits_at] = [
            self.word(word + Vote::Candidate as u32)?,
            self.word(word + Vote::Lead as u32)?,
            self.word(word + Vote::Hits as u32)?,
        ];
        let own = ir.builder().build_int_compare(IntPredicate::EQ, context, self.context, "")?;
        let code = ir.builder().build_ptr_to_int(code, ir.types.i64, "")?;
        let code = int(ir.select(own, code, ir.i64(0))?)?;
        let (candidate, lead, hits) = (self.read(candidate_at)?, self.read(lead_at)?, self.read(hits_at)?);
        let [one, zero] = [1, 0].map(|number| ir.i64(number));
        let add = |value, addend| ir.builder().build_int_add(value, addend, "");
        let open = ir.icmp(IntPredicate::EQ, lead, zero)?;
        let known = ir.icmp(IntPredicate::EQ, candidate, code)?;
        let candidate = int(ir.select(open, code, candidate)?)?;
        let ahead = ir.icmp(IntPredicate::EQ, candidate, code)?;
        let step = int(ir.select(ahead, one, ir.types.i64.const_all_ones())?)?;
        let others = int(ir.select(open, one, hits)?)?;
        let hits = int(ir.select(known, add(hits, one)?, others)?)?;
        self.write(candidate_at, candidate)?;
        self.write(lead_at, add(lead, step)?)?;
        self.write(hits_at, hits)
    }

    fn counted(&self) -> Option<&'a Counts> {
        self.unit.guide.profile()?.function(self.func)?.site(self.offset)
    }

    /// Says of the branch of an `if` or `br_if` how often it went where.
    pub(super) fn weigh_condition(&self, branch: InstructionValue<'ctx>) -> Result<(), Error> {
        match self.counted() {
            Some(&Counts::Branch { taken, total }) => {
                self.ir.set_weights(branch, &[taken, total.saturating_sub(taken)])
            }
            _ => Ok(()),
        }
    }

    /// Says of a switch, which stands for a `br_table` with the targets at these depths, how often it went where. Its cases are those that do not go where the default does.
    pub(super) fn weigh_targets(
        &self,
        switch: InstructionValue<'ctx>,
        targets: &[u32],
        default: u32,
    ) -> Result<(), Error> {
        let Some(Counts::Table { taken }) = self.counted() else { return Ok(()) };
        let Some((otherwise, taken)) = taken.split_last().filter(|(_, taken)| taken.len() == targets.len()) else {
            return Ok(());
        };
        let mut weights = vec![*otherwise];
        for (&depth, &taken) in targets.iter().zip(taken) {
            match weights.first_mut() {
                Some(first) if depth == default => *first = first.saturating_add(taken),
                _ => weights.push(taken),
            }
        }
        self.ir.set_weights(switch, &weights)
    }

    /// What the current operator, a call through a table of a function of type `ty`, is likely to find. Only what can be there is answered, whatever the profile says: a function of
    /// that type that the module, or its neighbour's, defines and that can be in a table.
    pub(super) fn likely_callee(&self, ty: TypeIndex) -> Option<Likely> {
        let (func, hits, others) = match self.unit.guide {
            Guide::Callees(callees, _) => (*callees.get(&self.offset)?, GUESS[0], GUESS[1]),
            _ => {
                let (func, hits, others) = self.counted()?.dominant_target()?;
                (Guess::Own(func), hits, others)
            }
        };
        let (info, index) = match func {
            Guess::Own(index) => (self.unit.info, index),
            Guess::Neighbour(index) => (self.unit.neighbour?.info(), index),
        };
        info.defined_func(index)?;
        let func_ref = info.func(index)?.func_ref?;
        let fits = info.func_type(index) == self.unit.info.types.get(ty)?;
        fits.then_some(Likely { func, func_ref, weights: [hits, others] })
    }
}
