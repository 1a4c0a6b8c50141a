//! Accesses to linear memory.
//!
//! An access has no check of its own, unless traps are strict: the index, extended to 64 bits, and the static offset are added to the base, and
//! what lies outside of the memory faults.
//!
//! Addresses that cannot wrap (ARCHITECTURE.md, section 5): once `x` was accessed on every path to here, in a memory that stays low, `x + c` with a
//! small `c` is computed without a wrap-around, and LLVM is told so. [`Accessed`] remembers such `x`, as long as they dominate. Both are often sums
//! themselves, of a pointer into the middle of a structure: after `p - 48`, `p - 40` is 8 more than what was accessed. Where LLVM has
//! moved the access to `x` behind that to `x + c`, and it is to trap, then `x + c` without wrap-around is outside of the memory but still in the
//! reservation, and the other access traps instead.

use std::collections::HashMap;
use std::mem::offset_of;

use inkwell::IntPredicate;
use inkwell::types::BasicType;
use inkwell::values::{AsValueRef, BasicValue, InstructionOpcode, IntValue, PointerValue};
use wasmo_abi::index::MemoryIndex;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::tunables::MAX_UNWRAPPED_ADDEND;
use wasmo_abi::vm::{VmMemory, VmMemorySlot};
use wasmparser::{MemArg, MemArgTarget};

use super::dropped::is_dropped;
use super::function::FunctionTranslator;
use super::trap::constant;
use crate::error::Error;
use crate::ir::Value;
use crate::ir::builder::{int, set_volatile};
use crate::ir::tbaa::{Region, Tag};

/// Static offsets from here on could, with a sum that was wrongly taken not to wrap, lead out of the reservation. Such accesses are rare, and
/// their indices are made safe from what LLVM knows of sums.
const FAR_OFFSET: u64 = 1 << 31;

/// How many additions of constants an index is taken apart at.
const MAX_ADDITIONS: usize = 4;

/// How many accessed indices are kept that differ by constants, so that a guest with many of them cannot make the search long.
const MAX_NEIGHBOURS: usize = 32;

/// Indices that were accessed on every path to here.
#[derive(Debug, Default)]
pub struct Accessed<'ctx> {
    /// By the value that they are sums of: the constant (modulo 2³²) and the index. In the order in which they were entered.
    neighbours: HashMap<usize, Vec<(u32, IntValue<'ctx>)>>,
    /// What each entry is a sum of, in the order in which they were entered.
    log: Vec<usize>,
}

/// A state of an [`Accessed`] to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl<'ctx> Accessed<'ctx> {
    /// The current state.
    pub fn mark(&self) -> Mark {
        Mark(self.log.len())
    }

    /// Forgets what was entered since `mark`: it does not dominate what follows.
    pub fn back_to(&mut self, mark: Mark) {
        for key in self.log.drain(mark.0.min(self.log.len())..) {
            if let Some(neighbours) = self.neighbours.get_mut(&key) {
                neighbours.pop();
            }
        }
    }

    /// Enters `index`, which is `sum`.
    fn enter(&mut self, index: IntValue<'ctx>, sum: Sum<'ctx>) {
        let neighbours = self.neighbours.entry(sum.key()).or_default();
        if neighbours.len() < MAX_NEIGHBOURS && neighbours.iter().all(|&(constant, _)| constant != sum.constant) {
            neighbours.push((sum.constant, index));
            self.log.push(sum.key());
        }
    }

    /// The first index entered that `sum` is equal to or a small constant more than, without wrap-around, and that constant. Always the first,
    /// so that neighbours have the same one.
    fn below(&self, sum: Sum<'ctx>) -> Option<(IntValue<'ctx>, u64)> {
        self.neighbours.get(&sum.key())?.iter().find_map(|&(constant, index)| {
            let addend = u64::from(sum.constant.wrapping_sub(constant));
            (addend <= MAX_UNWRAPPED_ADDEND).then_some((index, addend))
        })
    }

    /// Whether an index equal to `sum` was entered.
    fn contains(&self, sum: Sum<'ctx>) -> bool {
        self.neighbours
            .get(&sum.key())
            .is_some_and(|neighbours| neighbours.iter().any(|&(constant, _)| constant == sum.constant))
    }
}

/// An index as the sum, modulo 2³², of a value and a constant.
#[derive(Clone, Copy, Debug)]
struct Sum<'ctx> {
    value: IntValue<'ctx>,
    constant: u32,
}

impl Sum<'_> {
    /// The value's identity.
    fn key(&self) -> usize {
        self.value.as_value_ref().addr()
    }
}

/// A place in linear memory.
#[derive(Clone, Copy, Debug)]
pub struct Place<'ctx> {
    /// Its address, of which nothing is known to be a multiple of.
    pub address: PointerValue<'ctx>,
    /// What accesses are marked with.
    pub tag: Tag<'ctx>,
}

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    /// Pops an index and answers the place in memory that `argument` makes of it, of `size` bytes.
    ///
    /// # Errors
    /// An internal one when the access is to no memory.
    pub fn memory_address(&mut self, argument: &MemArg, size: u32) -> Result<Place<'ctx>, Error> {
        let index = self.pop_int()?;
        let MemArgTarget::Memory(memory) = argument.target else {
            return Err(Error::internal("an access to something other than a memory"));
        };
        let memory = MemoryIndex(memory);
        self.locate();
        if self.ir.options.tunables.strict_traps {
            let end = argument.offset.saturating_add(u64::from(size));
            let end = self.ir.builder().build_int_add(self.ir.zext64(index)?, self.ir.i64(end), "")?;
            let beyond = self.ir.icmp(IntPredicate::UGT, end, self.memory_size(memory)?)?;
            self.trap_if(beyond, TrapCode::MemoryOutOfBounds)?;
        }
        let (known, addend) = self.known_index(memory, index, argument.offset)?;
        let mut address = self.indexed(memory, known)?;
        for offset in [addend, argument.offset] {
            if offset != 0 {
                address = self.ir.gep(address, self.ir.i64(offset))?;
            }
        }
        // Finding the memory may have led the builder elsewhere.
        self.locate();
        Ok(Place { address, tag: self.ir.tag(self.unit.memory_region(memory)) })
    }

    /// What to compute the address of an access to `index` with: an index, and what to add to it without a wrap-around.
    fn known_index(
        &mut self,
        memory: MemoryIndex,
        index: IntValue<'ctx>,
        offset: u64,
    ) -> Result<(IntValue<'ctx>, u64), Error> {
        if self.ir.options.quick {
            return Ok((index, 0));
        }
        let sum = self.sum(index);
        let known = if offset < FAR_OFFSET {
            self.accessed.below(sum).unwrap_or((index, 0))
        } else {
            (self.ir.freeze(index)?, 0)
        };
        if self.unit.stays_low(memory) && constant(index).is_none() {
            self.accessed.enter(index, sum);
        }
        Ok(known)
    }

    /// `index` without the constants that were added to it.
    fn sum(&self, index: IntValue<'ctx>) -> Sum<'ctx> {
        let mut sum = Sum { value: index, constant: 0 };
        for _ in 0..MAX_ADDITIONS {
            let Some((operand, addend)) = self.addition(sum.value) else { break };
            sum = Sum { value: operand, constant: sum.constant.wrapping_add(addend) };
        }
        sum
    }

    /// The operands of `value` when it is the sum of some value and a constant.
    fn addition(&self, value: IntValue<'ctx>) -> Option<(IntValue<'ctx>, u32)> {
        let sum = self.ir.instruction(value).filter(|sum| sum.get_opcode() == InstructionOpcode::Add)?;
        match (sum.get_operand(0)?.value()?, sum.get_operand(1)?.value()?) {
            (Value::IntValue(operand), Value::IntValue(addend)) => {
                Some((operand, u32::try_from(constant(addend)?).ok()?))
            }
            _ => None,
        }
    }

    /// `i32.add`, which does not wrap around when one operand was accessed and the other is a small constant.
    ///
    /// LLVM is told so only where the access has a check of its own. An access without one vanishes when nothing uses its value, and then the
    /// sum may wrap after all: harmless in an address, which stays in the reservation, but not in a sum that may reach a
    /// table's index or a branch, where LLVM could conclude from "never wraps" that a check is not needed.
    pub(super) fn add_i32(&mut self, a: IntValue<'ctx>, b: IntValue<'ctx>) -> Result<IntValue<'ctx>, Error> {
        let builder = self.ir.builder();
        // The constant is kept second, where `addition` looks for it.
        let (a, b) = if constant(a).is_some() { (b, a) } else { (a, b) };
        let small = constant(b).is_some_and(|addend| 0 < addend && addend <= MAX_UNWRAPPED_ADDEND);
        Ok(if small && self.ir.options.tunables.strict_traps && self.accessed.contains(self.sum(a)) {
            builder.build_int_nuw_add(a, b, "")?
        } else {
            builder.build_int_add(a, b, "")?
        })
    }

    /// The address `offset` bytes, an i64, past the beginning of `memory`.
    pub(super) fn memory_place(
        &mut self,
        memory: MemoryIndex,
        offset: IntValue<'ctx>,
    ) -> Result<PointerValue<'ctx>, Error> {
        let base = self.context_field(self.unit.layout.memory(memory) + offset_of!(VmMemorySlot, base))?;
        self.ir.gep(base, offset)
    }

    /// The current size of `memory` in bytes, an i64.
    pub(super) fn memory_size(&self, memory: MemoryIndex) -> Result<IntValue<'ctx>, Error> {
        let slot = self.unit.layout.memory(memory) + offset_of!(VmMemorySlot, memory);
        let head = self.ir.constant_pointer(self.context, slot)?;
        let size = self.ir.field(head, offset_of!(VmMemory, size))?;
        int(self.ir.load(self.ir.types.i64, size, 8, self.ir.tag(Region::MemoryHeads))?)
    }

    /// Pops an index and loads a value of type `ty`, which has `size` bytes in memory.
    ///
    /// # Errors
    /// An internal one when the access is to no memory.
    pub fn load(&mut self, ty: impl BasicType<'ctx>, size: u32, argument: &MemArg) -> Result<Value<'ctx>, Error> {
        let place = self.memory_address(argument, size)?;
        let value = self.ir.load(ty, place.address, 1, place.tag)?;
        self.loads.extend(self.ir.instruction(value));
        Ok(value)
    }

    /// Pops an index and stores `value`, which has `size` bytes in memory.
    ///
    /// # Errors
    /// An internal one when the access is to no memory.
    pub fn store(&mut self, value: impl BasicValue<'ctx>, size: u32, argument: &MemArg) -> Result<(), Error> {
        let place = self.memory_address(argument, size)?;
        self.ir.store(value, place.address, 1, place.tag)?;
        Ok(())
    }

    /// Makes loads whose values nothing uses volatile, so that they stay and trap as they should.
    pub(super) fn keep_dropped_loads(&mut self) -> Result<(), Error> {
        for load in self.loads.drain(..).filter(|&load| is_dropped(load)) {
            set_volatile(load)?;
        }
        Ok(())
    }
}
