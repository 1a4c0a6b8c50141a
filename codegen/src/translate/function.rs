//! [`FunctionTranslator`]: the translation of one function body.
//!
//! The body is read once; each operator is validated and then, if control can reach it, translated to SSA form at once. Local variables
//! and the operand stack exist only here, as the SSA values that they hold; [`super::control`] merges them where paths meet, [`super::branch`] is how they part.
//!
//! What operators build on:
//!
//! * [`FunctionTranslator::pop`] (`pop_int`, `pop_float`, `pop_n`) and [`FunctionTranslator::push`]: operands and results, in the LLVM
//!   types that [`crate::ir::types`] gives for their wasm types. A v128 is always `<2 x i64>` on the stack.
//! * `ir`: the instructions, [`Ir`]; `ir.builder()` and `ir.module()` are LLVM's own.
//! * [`FunctionTranslator::trap_if`]: traps with a condition.
//! * [`FunctionTranslator::load`] and [`FunctionTranslator::store`]: accesses to linear memory, which pop the index themselves
//!   (a store's value is popped before); [`FunctionTranslator::memory_address`] for what they do not cover.
//! * [`FunctionTranslator::call_helper`]: run-time helpers that may trap.
//! * [`FunctionTranslator::locate`] must be called before an instruction that may trap or call is built, so that its place is known; all of
//!   the above do so.

use std::rc::Rc;

use inkwell::basic_block::BasicBlock;
use inkwell::debug_info::{AsDIScope, DIScope};
use inkwell::module::Linkage;
use inkwell::values::{FunctionValue, InstructionValue, PointerValue};
use wasmo_abi::index::{FuncIndex, TypeIndex};
use wasmo_abi::tier::LoopIndex;
use wasmo_abi::trap::TrapCode;
use wasmparser::{FuncValidator, FuncValidatorAllocations, FunctionBody, OperatorsReader, ValidatorResources};

use super::address::Accessed;
use super::control::Frame;
use super::entrances::Entrances;
use super::liveness::Liveness;
use super::ops;
use super::prescan::{Assigned, Entered};
use super::reuse::Reuse;
use super::tier::{Exit, Locals, osr_signature};
use super::unit::Unit;
use crate::error::{Error, ErrorKind};
use crate::ir::signature::Signature;
use crate::ir::{Ir, Value};
use crate::parse::value_type;
use crate::unit::Soon;

/// What a body is translated to.
#[derive(Clone, Copy, Debug)]
pub enum Variant {
    /// The function.
    Whole(Linkage),
    /// What is left of it at the head of a loop.
    From(LoopIndex),
}

/// The translation of one function body.
#[derive(Debug)]
pub struct FunctionTranslator<'a, 'ctx> {
    /// What the functions of the LLVM module share.
    pub unit: &'a Unit<'a, 'ctx>,
    /// The LLVM module.
    pub ir: &'a Ir<'ctx>,
    /// The function whose body it is.
    pub func: FuncIndex,
    /// The function being built.
    pub function: FunctionValue<'ctx>,
    /// Its own context: the instance's.
    pub context: PointerValue<'ctx>,
    /// How it is called.
    pub signature: Rc<Signature<'ctx>>,
    /// The operand stack.
    pub(super) stack: Vec<Value<'ctx>>,
    /// The local variables.
    pub(super) locals: Locals<'ctx>,
    /// The loop that the function begins at instead of at its beginning.
    pub(super) osr: Option<LoopIndex>,
    /// The loops that it can be entered at besides, in code that is to be there soon.
    pub(super) entrances: Option<Entrances<'ctx>>,
    /// The open control frames that began in reachable code, the function's own first.
    pub(super) frames: Vec<Frame<'ctx>>,
    /// Whether control can reach the current operator.
    pub(super) reachable: bool,
    /// How many frames are open that began in unreachable code.
    pub(super) dead_frames: usize,
    /// How many frames have begun.
    pub(super) begun_frames: usize,
    /// How many of them are loops.
    pub(super) begun_loops: u32,
    pub(super) assigned: Assigned,
    /// Which variables may yet be read at loops, in code that is entered and left there; of other code nothing is known.
    pub(super) liveness: Liveness,
    /// How many values all branches so far carry.
    pub(super) edge_values: usize,
    /// Indices that were accessed on every path to here.
    pub(super) accessed: Accessed<'ctx>,
    /// Where lift-off code is left; made for the first loop.
    pub(super) exit: Option<Exit<'ctx>>,
    /// How many operands code was written for to hand them over there.
    pub(super) handed_over: usize,
    pub(super) reuse: Reuse<'ctx>,
    /// Loads from linear memory.
    pub(super) loads: Vec<InstructionValue<'ctx>>,
    /// Where arguments and results of helpers are; made when first needed.
    pub(super) helper_values: Option<PointerValue<'ctx>>,
    /// Operators executed since fuel was last taken.
    pub(super) fuel: u64,
    scope: DIScope<'ctx>,
    /// Offset of the current operator in the module's bytes.
    pub(super) offset: u32,
    located: bool,
}

impl<'a, 'ctx> FunctionTranslator<'a, 'ctx> {
    /// Translates `body` as the definition of `func`. Answers the validator's allocations for further use.
    ///
    /// # Errors
    /// When the body is malformed or invalid.
    pub fn translate(
        unit: &'a Unit<'a, 'ctx>,
        func: FuncIndex,
        variant: Variant,
        body: &FunctionBody<'_>,
        mut validator: FuncValidator<ValidatorResources>,
    ) -> Result<FuncValidatorAllocations, Error> {
        let ty = unit.info.func_type_index(func);
        let mut translator = Self::new(unit, func, ty, variant, module_offset(body.range().start)?)?;
        translator.define_locals(ty, body, &mut validator)?;
        translator.look_ahead(body)?;
        translator.open_function(unit.info.types[ty].results.len())?;
        let mut operators = body.get_operators_reader().map_err(|error| Error::malformed(&error))?;
        while !operators.eof() {
            translator.operator(&mut operators, &mut validator)?;
        }
        operators.finish().map_err(|error| Error::malformed(&error))?;
        translator.complete_exit()?;
        translator.complete_entrances()?;
        translator.keep_dropped_loads()?;
        let entry = translator.function.get_first_basic_block();
        if entry.is_none_or(|entry| entry.get_terminator().is_none()) {
            return Err(Error::internal("a function is to begin at a loop that it does not have or cannot reach"));
        }
        Ok(validator.into_allocations())
    }

    fn new(
        unit: &'a Unit<'a, 'ctx>,
        func: FuncIndex,
        ty: TypeIndex,
        variant: Variant,
        offset: u32,
    ) -> Result<Self, Error> {
        let ir = unit.ir;
        let (function, signature, osr) = match variant {
            Variant::Whole(linkage) => {
                let function = unit.function(func);
                function.set_linkage(linkage);
                (function, unit.signature(ty), None)
            }
            Variant::From(at) => {
                let signature = Rc::new(osr_signature(ir, &unit.info.types[ty]));
                (unit.osr_function(func, at, &signature), signature, Some(at))
            }
        };
        let scope = unit.debug.describe(function, &unit.symbol(func), unit.line(offset)).as_debug_info_scope();
        ir.at_end(ir.new_block(function));
        unit.debug.set_location(ir, scope, unit.line(offset));
        let locals = match osr {
            None => ir.load_params(function, &signature)?,
            // Nothing leads to where the function would begin, so that it does not matter what its parameters are there. The entry is completed at the loop.
            Some(_) => {
                ir.at_end(ir.new_block(function));
                unit.info.types[ty].params.iter().map(|&param| ir.types.zero(param)).collect()
            }
        };
        Ok(Self {
            unit,
            ir,
            func,
            function,
            context: ir.context_param(function)?,
            locals: Locals::Values(locals),
            osr,
            entrances: None,
            signature,
            stack: Vec::new(),
            frames: Vec::new(),
            reachable: true,
            dead_frames: 0,
            begun_frames: 0,
            begun_loops: 0,
            assigned: Assigned::default(),
            liveness: Liveness::default(),
            edge_values: 0,
            accessed: Accessed::default(),
            exit: None,
            handed_over: 0,
            reuse: Reuse::default(),
            loads: Vec::new(),
            helper_values: None,
            fuel: 0,
            scope,
            offset,
            located: true,
        })
    }

    fn define_locals(
        &mut self,
        ty: TypeIndex,
        body: &FunctionBody<'_>,
        validator: &mut FuncValidator<ValidatorResources>,
    ) -> Result<(), Error> {
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader).map_err(|error| Error::invalid(&error))?;
        let params = self.unit.info.types[ty].params.len();
        for index in params.. {
            let Some(ty) = u32::try_from(index).ok().and_then(|index| validator.get_local_type(index)) else { break };
            if let Locals::Values(values) = &mut self.locals {
                values.push(self.ir.types.zero(value_type(ty)?));
            }
        }
        Ok(())
    }

    /// Finds out what must be known of a body before it is translated, and where its variables are to be.
    fn look_ahead(&mut self, body: &FunctionBody<'_>) -> Result<(), Error> {
        if self.ir.options.quick {
            return self.keep_locals_in_frame();
        }
        if self.ir.options.soon == Some(Soon::AtLoops) && self.osr.is_none() {
            // Variables that lie in the frame are never merged, so that it does not matter where they are assigned.
            let found = Assigned::find(body, 0, Entered::AtAnyLoop)?;
            if found.has_loops() {
                self.assigned = found;
                self.liveness = Liveness::find(body, self.locals.len())?;
                return self.begin_entrances();
            }
        }
        let entered = self.osr.map_or(Entered::AtTheBeginning, Entered::At);
        self.assigned = Assigned::find(body, self.locals.len(), entered)?;
        Ok(())
    }

    fn operator(
        &mut self,
        operators: &mut OperatorsReader<'_>,
        validator: &mut FuncValidator<ValidatorResources>,
    ) -> Result<(), Error> {
        let (operator, offset) = operators.read_with_offset().map_err(|error| Error::malformed(&error))?;
        validator.op(offset, &operator).map_err(|error| Error::invalid(&error))?;
        self.offset = module_offset(offset)?;
        self.located = false;
        if self.reachable {
            self.count_fuel(&operator);
            ops::translate(self, &operator).map_err(|error| match error.offset {
                None => error.at(self.offset as usize),
                Some(_) => error,
            })
        } else {
            self.skip(&operator)
        }
    }

    /// Marks the instructions that follow as belonging to the current operator.
    ///
    /// Not every operator does so, since it costs: those that can neither trap nor call are never looked up by address.
    pub fn locate(&mut self) {
        if !self.located {
            self.unit.debug.set_location(self.ir, self.scope, self.unit.line(self.offset));
            self.located = true;
        }
    }

    /// Marks the next instruction as a trap of the current operator, in lift-off code.
    pub(super) fn locate_trap(&mut self, code: TrapCode) {
        self.unit.debug.set_trap_location(self.ir, self.scope, self.offset, code);
        self.located = false;
    }

    /// To be called when the builder was elsewhere in between, where it took up the location of what is there.
    pub(super) fn forget_location(&mut self) {
        self.located = false;
    }

    /// A new block of the function.
    pub fn new_block(&self) -> BasicBlock<'ctx> {
        self.ir.new_block(self.function)
    }
}

fn module_offset(offset: u64) -> Result<u32, Error> {
    u32::try_from(offset).map_err(|_| Error::new(ErrorKind::Limit, "a module of 4 GiB or more"))
}
