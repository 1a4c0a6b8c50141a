//! LLVM's intrinsic functions, found by name.

use inkwell::intrinsics::Intrinsic;
use inkwell::types::BasicTypeEnum;
use inkwell::values::{CallSiteValue, FunctionValue};

use super::context::Ir;
use super::types::Value;
use crate::error::Error;

impl<'ctx> Ir<'ctx> {
    /// The result of intrinsic function `name`, overloaded for `types`.
    ///
    /// # Errors
    /// An internal one when LLVM has no such function, or the function has no result.
    pub fn intrinsic(
        &self,
        name: &str,
        types: &[BasicTypeEnum<'ctx>],
        arguments: &[Value<'ctx>],
    ) -> Result<Value<'ctx>, Error> {
        self.intrinsic_call(name, types, arguments)?
            .try_as_basic_value()
            .basic()
            .ok_or_else(|| Error::internal(format!("the intrinsic function {name} has no result")))
    }

    /// A call of intrinsic function `name`, overloaded for `types`.
    ///
    /// # Errors
    /// An internal one when LLVM has no such function.
    pub fn intrinsic_call(
        &self,
        name: &str,
        types: &[BasicTypeEnum<'ctx>],
        arguments: &[Value<'ctx>],
    ) -> Result<CallSiteValue<'ctx>, Error> {
        let function = self.intrinsic_function(name, types)?;
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.into()).collect();
        Ok(self.builder().build_direct_call(function, &arguments, "")?)
    }

    /// An instruction without code that may read all memory: stores before it are done, even if nothing that LLVM sees reads them.
    ///
    /// # Errors
    /// An internal one when the builder refuses.
    pub fn keep_stores(&self) -> Result<(), Error> {
        let ty = self.types.void.fn_type(&[], false);
        let nothing =
            self.context().create_inline_asm(ty, String::new(), "~{memory}".to_owned(), true, false, None, false);
        self.builder().build_indirect_call(ty, nothing, &[], "")?;
        Ok(())
    }

    fn intrinsic_function(&self, name: &str, types: &[BasicTypeEnum<'ctx>]) -> Result<FunctionValue<'ctx>, Error> {
        use std::fmt::Write as _;
        let mut key = name.to_owned();
        for ty in types {
            // Writing to a string cannot fail.
            let _ = match ty {
                BasicTypeEnum::IntType(ty) => write!(key, ".i{}", ty.get_bit_width()),
                BasicTypeEnum::FloatType(ty) => write!(key, ".f{}", ty.get_bit_width()),
                other => write!(key, ".{}", other.print_to_string()),
            };
        }
        if let Some(&function) = self.intrinsics.borrow().get(&key) {
            return Ok(function);
        }
        let function = Intrinsic::find(name)
            .and_then(|intrinsic| intrinsic.get_declaration(self.module(), types))
            .ok_or_else(|| Error::internal(format!("LLVM does not know the intrinsic function {key}")))?;
        self.intrinsics.borrow_mut().insert(key, function);
        Ok(function)
    }
}
