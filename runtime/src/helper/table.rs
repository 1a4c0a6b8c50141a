//! Helpers for tables and element segments.

use super::{Helper, size_or_failure};
use crate::error::Failure;
use crate::instance::Instance;
use crate::store::Store;
use wasmo_abi::index::{ElemIndex, TableIndex};
use wasmo_abi::vm::RawValue;

/// `table.grow`.
pub(super) struct Grow;

impl Helper for Grow {
    const ARGUMENTS: usize = 3;
    const ANSWERS: bool = true;

    fn run(store: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        let table = instance.table(TableIndex(arguments[0].as_u32()));
        let (reference, delta) = (arguments[1].as_u64(), u64::from(arguments[2].as_u32()));
        let size = store.table_grow(table, delta, reference);
        if size.is_none() {
            store.ask(|hooks| hooks.table_grow_failed()).transpose()?;
        }
        Ok(size_or_failure(size))
    }
}

/// `table.fill`.
pub(super) struct Fill;

impl Helper for Fill {
    const ARGUMENTS: usize = 4;
    const ANSWERS: bool = false;

    fn run(store: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        let table = instance.table(TableIndex(arguments[0].as_u32()));
        let [start, count] = [1, 3].map(|position: usize| u64::from(arguments[position].as_u32()));
        store.table_fill(table, start, arguments[2].as_u64(), count)?;
        Ok(RawValue::default())
    }
}

/// `table.copy`.
pub(super) struct Copy;

impl Helper for Copy {
    const ARGUMENTS: usize = 5;
    const ANSWERS: bool = false;

    fn run(store: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        let [to, from] = [0, 1].map(|position: usize| instance.table(TableIndex(arguments[position].as_u32())));
        let [to_start, from_start, count] = [2, 3, 4].map(|position: usize| u64::from(arguments[position].as_u32()));
        store.table_copy(to, from, to_start, from_start, count)?;
        Ok(RawValue::default())
    }
}

/// `table.init`.
pub(super) struct Init;

impl Helper for Init {
    const ARGUMENTS: usize = 5;
    const ANSWERS: bool = false;

    fn run(store: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        let table = TableIndex(arguments[0].as_u32());
        let elem = ElemIndex(arguments[1].as_u32());
        let [to, from, count] = [2, 3, 4].map(|position: usize| u64::from(arguments[position].as_u32()));
        instance.init_table(store, table, elem, to, from, count)?;
        Ok(RawValue::default())
    }
}

/// `elem.drop`.
pub(super) struct DropElem;

impl Helper for DropElem {
    const ARGUMENTS: usize = 1;
    const ANSWERS: bool = false;

    fn run(_: &mut Store, instance: &Instance, arguments: &[RawValue]) -> Result<RawValue, Failure> {
        instance.drop_elem(ElemIndex(arguments[0].as_u32()));
        Ok(RawValue::default())
    }
}
