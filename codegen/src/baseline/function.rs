//! [`Generator`]: machine code for one function body, in one pass.
//!
//! Each operator is read, validated unless the module is known to be valid, and turned into instructions at once; what control cannot reach is only followed for its nesting. Variables are where [`super::variables`] says, operands
//! where [`super::operands`] does. What is seldom executed (traps, questions to the runtime) is noted and written behind the function.
//!
//! The frame, from the stack pointer on: what the processor's calls need ([`Masm::BELOW`], the context in it), what is kept for the caller, the variables, the operands' slots, and among those, above the operands, the
//! arguments of helpers.

use super::copies::Copies;
use super::masm::{FrameMarks, FrameOffset, Label, Masm};
use super::operands::{Below, Operand, Type};
use super::{Context, Finished, operators};
use crate::error::{Error, ErrorKind};
use crate::parse::value_type;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::offsets::WasmOffset;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::{FuncType, ValType};
use wasmparser::{FuncValidator, FunctionBody, ValidatorResources};

use super::control::Frame;
use super::tier::Cold;
use super::variables::Variables;

/// The most bytes of a frame.
const MAX_FRAME: u32 = (1 << 24) - 16;

/// Machine code for one function body.
pub(super) struct Generator<'a, M> {
    pub(super) context: &'a Context<'a>,
    pub(super) masm: &'a mut M,
    /// Which operators of the module code belongs to: rows in the order of the code.
    pub(super) offsets: &'a mut Vec<WasmOffset>,
    /// The function, by its position among the defined ones.
    pub(super) position: usize,
    pub(super) ty: &'a FuncType,
    pub(super) locals: Vec<Type>,
    pub(super) variables: Variables,
    pub(super) stack: Vec<Operand>,
    pub(super) below: Below,
    /// The registers for operands, and those of them that are free; as bits.
    pub(super) operand_gprs: u32,
    pub(super) operand_fprs: u32,
    pub(super) free_gprs: u32,
    pub(super) free_fprs: u32,
    pub(super) copies: Copies,
    /// Where the operands' slots begin.
    pub(super) slots: FrameOffset,
    /// How many slots there are.
    pub(super) highest: usize,
    /// The open control frames that began in reachable code, the function's own first.
    pub(super) frames: Vec<Frame>,
    pub(super) reachable: bool,
    /// How many frames are open that began in unreachable code.
    pub(super) dead_frames: usize,
    pub(super) begun_loops: u32,
    /// Where the function returns, once its results are where its caller expects them.
    pub(super) epilogue: Label,
    pub(super) returns: bool,
    /// How many values all branches so far carry.
    pub(super) carried: usize,
    pub(super) cold: Vec<Cold>,
    /// Traps that are jumped to.
    traps: Vec<(Label, TrapCode, u32)>,
    /// Where the frame is taken away, and where it is there again.
    pub(super) left: Vec<(u32, u32)>,
    /// Offset of the current operator in the module's bytes.
    pub(super) offset: u32,
}

impl<'a, M: Masm> Generator<'a, M> {
    /// Writes the code of the function at `position` among the defined ones; `None` when it has something that there is no code for here.
    ///
    /// # Errors
    /// When the body is malformed or invalid, or needs too large a frame.
    pub(super) fn generate(
        context: &'a Context<'a>,
        masm: &'a mut M,
        offsets: &'a mut Vec<WasmOffset>,
        position: usize,
        body: &FunctionBody<'_>,
        mut validator: Option<&mut FuncValidator<ValidatorResources>>,
    ) -> Result<Option<Finished>, Error> {
        let func = context.info.func_of_defined(position);
        let ty = context.info.func_type(func);
        let Some(locals) = Self::find_locals(ty, body, validator.as_deref_mut())? else { return Ok(None) };
        if ty.results.iter().any(|&ty| operand_type(ty).is_none()) {
            return Ok(None);
        }
        let variables = Variables::find::<M>(&locals, body)?;
        let count = u32::try_from(locals.len()).map_err(|_| Self::too_large())?;
        // The slots begin at a multiple of 16.
        let slots = FrameOffset((M::BELOW + 8 * (variables.kept.count() + count)).next_multiple_of(16));
        let (variable_gprs, variable_fprs) = variables.registers();
        masm.align(16);
        let epilogue = masm.new_label();
        let mut generator = Self {
            context,
            masm,
            offsets,
            position,
            ty,
            locals,
            variables,
            stack: Vec::with_capacity(16),
            below: Below::default(),
            operand_gprs: M::GPRS.iter().fold(0, |set, reg| set | 1 << reg.0) & !variable_gprs,
            operand_fprs: M::FPRS.iter().fold(0, |set, reg| set | 1 << reg.0) & !variable_fprs,
            free_gprs: 0,
            free_fprs: 0,
            copies: Copies::default(),
            slots,
            highest: 0,
            frames: Vec::with_capacity(8),
            reachable: true,
            dead_frames: 0,
            begun_loops: 0,
            epilogue,
            returns: false,
            carried: 0,
            cold: Vec::new(),
            traps: Vec::new(),
            left: Vec::new(),
            offset: module_offset(body.range().start)?,
        };
        generator.free_all();
        generator.whole(body, validator, func)
    }

    fn whole(
        mut self,
        body: &FunctionBody<'_>,
        mut validator: Option<&mut FuncValidator<ValidatorResources>>,
        func: FuncIndex,
    ) -> Result<Option<Finished>, Error> {
        self.begin_row();
        let mut marks = self.masm.begin_function(self.variables.kept);
        self.define_locals()?;
        self.open_function();
        self.count_entry()?;
        let mut operators = body.get_operators_reader().map_err(|error| Error::malformed(&error))?;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset().map_err(|error| Error::malformed(&error))?;
            if let Some(validator) = &mut validator {
                validator.op(offset, &operator).map_err(|error| Error::invalid(&error))?;
            }
            self.offset = module_offset(offset)?;
            if !self.reachable {
                self.skip(&operator)?;
            } else if !operators::generate(&mut self, &operator)? {
                return Ok(None);
            }
        }
        operators.finish().map_err(|error| Error::malformed(&error))?;
        self.finish(&mut marks)?;
        let Self { masm, left, .. } = self;
        masm.finish_labels()?;
        Ok(Some(Finished { func, start: marks.start, end: marks.end, frame: M::describe_frame(&marks, &left) }))
    }

    /// The types of all variables, unless there are some that have no place here.
    fn find_locals(
        ty: &FuncType,
        body: &FunctionBody<'_>,
        validator: Option<&mut FuncValidator<ValidatorResources>>,
    ) -> Result<Option<Vec<Type>>, Error> {
        if let Some(validator) = validator {
            let mut reader = body.get_binary_reader();
            validator.read_locals(&mut reader).map_err(|error| Error::invalid(&error))?;
        }
        let mut locals = Vec::with_capacity(16);
        for &param in ty.params.iter() {
            let Some(ty) = operand_type(param) else { return Ok(None) };
            locals.push(ty);
        }
        for group in body.get_locals_reader().map_err(|error| Error::malformed(&error))? {
            let (count, ty) = group.map_err(|error| Error::malformed(&error))?;
            let Some(ty) = operand_type(value_type(ty)?) else { return Ok(None) };
            locals.resize(locals.len() + count as usize, ty);
        }
        Ok(Some(locals))
    }

    fn finish(&mut self, marks: &mut FrameMarks) -> Result<(), Error> {
        self.write_cold()?;
        for (label, code, offset) in std::mem::take(&mut self.traps) {
            self.masm.bind(label);
            self.offset = offset;
            self.begin_row();
            self.masm.trap(code);
        }
        let size = self.slot(self.highest)?.0.next_multiple_of(16);
        if size > MAX_FRAME {
            return Err(Self::too_large());
        }
        self.masm.end_function(marks, size);
        Ok(())
    }

    pub(super) fn too_large() -> Error {
        Error::new(ErrorKind::Limit, "a function has too many variables and operands")
    }

    /// From here on, code belongs to the current operator. To be called before whatever may trap or call is written.
    pub(super) fn begin_row(&mut self) {
        let code = u32::try_from(self.masm.code().len()).unwrap_or(u32::MAX);
        match self.offsets.last_mut() {
            Some(last) if last.wasm == self.offset => {}
            Some(last) if last.code == code => last.wasm = self.offset,
            _ => self.offsets.push(WasmOffset { code, wasm: self.offset }),
        }
    }

    /// Where to jump for a trap of the current operator.
    pub(super) fn trap_label(&mut self, code: TrapCode) -> Label {
        if let Some(&(label, _, _)) = self.traps.last().filter(|last| (last.1, last.2) == (code, self.offset)) {
            return label;
        }
        let label = self.masm.new_label();
        self.traps.push((label, code, self.offset));
        label
    }
}

/// The type that values of a type have as operands; `None` for vectors.
pub(super) fn operand_type(ty: ValType) -> Option<Type> {
    match ty {
        ValType::I32 => Some(Type::I32),
        ValType::I64 | ValType::Ref(_) => Some(Type::I64),
        ValType::F32 => Some(Type::F32),
        ValType::F64 => Some(Type::F64),
        ValType::V128 => None,
    }
}

fn module_offset(offset: u64) -> Result<u32, Error> {
    u32::try_from(offset).map_err(|_| Error::new(ErrorKind::Limit, "a module of 4 GiB or more"))
}
