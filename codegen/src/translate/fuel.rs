//! Fuel (see [`wasmo_abi::vm::VmExecContext::fuel`]): each operator executed takes one unit.
//!
//! Operators are counted here along straight-line code, and added to the store's counter where control may go elsewhere. The counter is looked at on entry to a
//! function and at the head of a loop, the two places that every endless computation passes again and again; so how much has been used
//! there depends on the guest alone.

use std::mem::offset_of;

use inkwell::IntPredicate;
use wasmo_abi::builtin::Builtin;
use wasmo_abi::vm::VmExecContext;
use wasmparser::Operator;

use super::function::FunctionTranslator;
use crate::error::Error;
use crate::ir::Value;
use crate::ir::builder::int;
use crate::ir::tbaa::Region;

impl<'ctx> FunctionTranslator<'_, 'ctx> {
    fn consumes_fuel(&self) -> bool {
        self.ir.options.tunables.consume_fuel
    }

    /// Counts `operator`, unless it is one that only gives structure.
    pub(super) fn count_fuel(&mut self, operator: &Operator<'_>) {
        let structure = matches!(
            operator,
            Operator::Nop | Operator::Block { .. } | Operator::Loop { .. } | Operator::Else | Operator::End
        );
        if !structure {
            self.fuel += 1;
        }
    }

    /// What happens to fuel on entry to the function.
    pub(super) fn begin_fuel(&mut self) -> Result<(), Error> {
        // A function without operators calls nothing, but a call of it must cost something.
        self.fuel = 1;
        self.flush_fuel()?;
        self.check_fuel()
    }

    /// Adds what was counted to the store's counter; to be called before control may leave straight-line code.
    pub(super) fn flush_fuel(&mut self) -> Result<(), Error> {
        let used = std::mem::take(&mut self.fuel);
        if !self.consumes_fuel() || used == 0 {
            return Ok(());
        }
        let counter = self.ir.field(self.ir.exec(self.context)?, offset_of!(VmExecContext, fuel))?;
        let tag = self.ir.tag(Region::Exec);
        let before = int(self.ir.load(self.ir.types.i64, counter, 8, tag)?)?;
        let after = self.ir.builder().build_int_add(before, self.ir.i64(used), "")?;
        self.ir.store(Value::IntValue(after), counter, 8, tag)?;
        Ok(())
    }

    /// Calls the helper when fuel is used up.
    pub(super) fn check_fuel(&mut self) -> Result<(), Error> {
        if !self.consumes_fuel() {
            return Ok(());
        }
        self.locate();
        let counter = self.ir.field(self.ir.exec(self.context)?, offset_of!(VmExecContext, fuel))?;
        let used = int(self.ir.load(self.ir.types.i64, counter, 8, self.ir.tag(Region::Exec))?)?;
        let exhausted = self.ir.icmp(IntPredicate::SGE, used, self.ir.i64(0))?;
        let go_on = self.begin_unlikely(exhausted)?;
        self.call_helper(Builtin::OutOfFuel, &[])?;
        self.ir.br(go_on)?;
        self.ir.at_end(go_on);
        Ok(())
    }
}
