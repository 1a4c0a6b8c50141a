//! Helpers for memories and data segments.

use super::{Helper, size_or_failure};
use crate::error::Failure;
use crate::instance::Instance;
use crate::store::Store;
use wasmo_abi::index::{DataIndex, MemoryIndex};
use wasmo_abi::vm::RawValue;

/// `memory.grow`.
pub(super) struct Grow;

impl Helper for Grow {
    const ARGUMENTS: usize = 2;
    const ANSWERS: bool = true;

    fn run(store: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        let memory = instance.memory(MemoryIndex(arguments[0].as_u32()));
        let size = store.memory_grow(memory, u64::from(arguments[1].as_u32()));
        if size.is_none() {
            store.ask(|hooks| hooks.memory_grow_failed()).transpose()?;
        }
        Ok(size_or_failure(size))
    }
}

/// `memory.init`.
pub(super) struct Init;

impl Helper for Init {
    const ARGUMENTS: usize = 5;
    const ANSWERS: bool = false;

    fn run(store: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        let memory = MemoryIndex(arguments[0].as_u32());
        let data = DataIndex(arguments[1].as_u32());
        let [to, from, count] = [2, 3, 4].map(|position: usize| u64::from(arguments[position].as_u32()));
        instance.init_memory(store, memory, data, to, from, count)?;
        Ok(RawValue::default())
    }
}

/// `data.drop`.
pub(super) struct DropData;

impl Helper for DropData {
    const ARGUMENTS: usize = 1;
    const ANSWERS: bool = false;

    fn run(_: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        instance.drop_data(DataIndex(arguments[0].as_u32()));
        Ok(RawValue::default())
    }
}
