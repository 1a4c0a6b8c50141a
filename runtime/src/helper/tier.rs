//! Helpers for modules in tiers.

use super::Helper;
use crate::error::{Error, Failure};
use crate::instance::Instance;
use crate::store::Store;
use crate::tier::{Tiers, retired};
use std::sync::atomic::Ordering;
use wasmo_abi::tier::{Asking, Onward};
use wasmo_abi::vm::RawValue;

fn tiers(instance: &Instance) -> Result<&Tiers, Failure> {
    let tiers = instance.module().tiers.as_ref();
    tiers.ok_or_else(|| Failure::Error(Error::Internal("a module that is not in tiers asked for code".into())))
}

/// A function without code is called.
pub(super) struct Compile;

impl Helper for Compile {
    const ARGUMENTS: usize = 1;
    const ANSWERS: bool = true;

    fn run(store: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        // SAFETY: a helper runs on the stack that it was called on, and has not looked at any entry yet.
        unsafe { retired::pass(store.exec_ref()) };
        let position = arguments[0].as_u32() as usize;
        let code = tiers(instance)?.compiler.compile(instance.module(), position)?;
        Ok(RawValue::from_u64(code as u64))
    }
}

/// Code asks for better code.
pub(super) struct TierUp;

impl Helper for TierUp {
    const ARGUMENTS: usize = 2;
    const ANSWERS: bool = true;

    fn run(store: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        // SAFETY: as above.
        unsafe { retired::pass(store.exec_ref()) };
        let (position, asking) = (arguments[0].as_u32() as usize, Asking::decode(arguments[1].as_u32()));
        let onward = tiers(instance)?.compiler.tier_up(instance.module(), position, asking);
        // The guest goes there at once.
        store.exec_ref().vm.resume_at.store(onward.map_or(0, Onward::resume_at), Ordering::Relaxed);
        Ok(RawValue::from_u64(onward.map_or(0, |onward| onward.code) as u64))
    }
}
