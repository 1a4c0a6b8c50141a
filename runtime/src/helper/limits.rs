//! Helpers for guests that have run for as long as they may.

use super::Helper;
use crate::error::Failure;
use crate::instance::Instance;
use crate::store::Store;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::vm::RawValue;

/// The epoch deadline has passed.
pub(super) struct NewEpoch;

impl Helper for NewEpoch {
    const ARGUMENTS: usize = 0;
    const ANSWERS: bool = false;

    fn run(store: &mut Store, _: &Instance, _: &[RawValue]) -> Result<RawValue, Failure> {
        let answer = store.ask(|hooks| hooks.new_epoch());
        let ticks = answer.unwrap_or(Err(Failure::Trap(TrapCode::Interrupt)))?;
        store.set_epoch_deadline(ticks);
        Ok(RawValue::default())
    }
}

/// The fuel is used up.
pub(super) struct OutOfFuel;

impl Helper for OutOfFuel {
    const ARGUMENTS: usize = 0;
    const ANSWERS: bool = false;

    fn run(store: &mut Store, _: &Instance, _: &[RawValue]) -> Result<RawValue, Failure> {
        let answer = store.ask(|hooks| hooks.out_of_fuel());
        let fuel = answer.unwrap_or(Err(Failure::Trap(TrapCode::OutOfFuel)))?;
        // What was used beyond the budget is paid first, so that a guest cannot live on credit.
        if store.add_fuel(fuel) { Ok(RawValue::default()) } else { Err(Failure::Trap(TrapCode::OutOfFuel)) }
    }
}
