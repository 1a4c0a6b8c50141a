//! Calls of run-time helpers (see [`wasmo_abi::builtin`]).

use std::mem::offset_of;

use inkwell::types::BasicTypeEnum;
use inkwell::values::{BasicMetadataValueEnum, PointerValue};
use wasmo_abi::builtin::{Builtin, VmBuiltins};
use wasmo_abi::vm::{RawValue, VmExecContext};

use super::function::FunctionTranslator;
use crate::error::Error;
use crate::ir::Value;
use crate::ir::tbaa::Region;

/// The most arguments that a helper takes.
const MAX_ARGUMENTS: usize = 5;

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    /// Calls a helper on the host's stack; it may trap. Integers are handed over extended with zeros to 64 bits. Answers where the
    /// helper's result is.
    ///
    /// # Errors
    /// An internal one when there are too many arguments.
    pub fn call_helper(&mut self, helper: Builtin, arguments: &[Value<'ctx>]) -> Result<PointerValue<'ctx>, Error> {
        if arguments.len() > MAX_ARGUMENTS {
            return Err(Error::internal("a helper with too many arguments"));
        }
        self.flush_fuel()?;
        let values = self.helper_values()?;
        self.locate();
        for (position, &argument) in arguments.iter().enumerate() {
            let place = self.ir.field(values, position * size_of::<RawValue>())?;
            let argument = match argument {
                Value::IntValue(argument) => self.ir.zext64(argument)?.into(),
                other => other,
            };
            self.ir.store(argument, place, 16, self.ir.tag(Region::Values))?;
        }
        let ptr = self.ir.types.ptr;
        let exec = self.ir.exec(self.context)?;
        let table = self.helpers(exec)?;
        let (exit, callback) = (
            self.ir.constant_pointer(table, offset_of!(VmBuiltins, exit))?,
            self.ir.constant_pointer(table, helper.offset())?,
        );
        let ty = self.ir.types.void.fn_type(&[ptr.into(), ptr.into(), ptr.into(), ptr.into()], false);
        let arguments = [exec.into(), callback.into(), self.context.into(), values.into()];
        let call = self.ir.builder().build_indirect_call(ty, exit, &arguments, "")?;
        self.ir.mark_call(call);
        Ok(values)
    }

    /// The result of type `ty` that a helper left at `values`.
    ///
    /// # Errors
    /// An internal one when the builder refuses.
    pub fn helper_result(
        &self,
        values: PointerValue<'ctx>,
        ty: impl Into<BasicTypeEnum<'ctx>>,
    ) -> Result<Value<'ctx>, Error> {
        self.ir.load(ty.into(), values, 16, self.ir.tag(Region::Values))
    }

    /// Calls a leaf helper: the C function at `offset` of the helper table, which takes an address, something of type `second`, and a
    /// number of bytes.
    ///
    /// # Errors
    /// An internal one when the builder refuses.
    pub fn call_leaf(&mut self, offset: usize, arguments: [Value<'ctx>; 3]) -> Result<(), Error> {
        self.locate();
        let helpers = self.helpers(self.ir.exec(self.context)?)?;
        let function = self.ir.constant_pointer(helpers, offset)?;
        let parameters: Vec<_> = arguments.iter().map(|argument| argument.get_type().into()).collect();
        let ty = self.ir.types.ptr.fn_type(&parameters, false);
        let arguments = arguments.map(BasicMetadataValueEnum::from);
        let call = self.ir.builder().build_indirect_call(ty, function, &arguments, "")?;
        self.ir.mark_call(call);
        Ok(())
    }

    /// The table of helpers of the execution context at `exec`.
    fn helpers(&self, exec: PointerValue<'ctx>) -> Result<PointerValue<'ctx>, Error> {
        self.ir.constant_pointer(exec, offset_of!(VmExecContext, builtins))
    }

    fn helper_values(&mut self) -> Result<PointerValue<'ctx>, Error> {
        if let Some(values) = self.helper_values {
            return Ok(values);
        }
        let bytes = u32::try_from(MAX_ARGUMENTS * size_of::<RawValue>()).unwrap_or(u32::MAX);
        let values = self.ir.frame_slot(self.function, bytes)?;
        self.forget_location();
        self.helper_values = Some(values);
        Ok(values)
    }
}
