//! Limits on what guests may use.

mod common;

use common::{compiled, instance_with, run};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmo::{
    Engine, Instance, Memory, MemoryType, Ref, RefType, ResourceLimiter, Result, Store, StoreLimits,
    StoreLimitsBuilder, Table, TableType, bail,
};

const GROW: &str = r#"(module
    (memory (export "m") 1 100) (table (export "t") 1 100 funcref)
    (func (export "memory") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "table") (param i32) (result i32) (table.grow (ref.null func) (local.get 0)))
    (func (export "run")))"#;

fn limited(limits: StoreLimits) -> Result<(Store<StoreLimits>, Instance)> {
    let engine = Engine::default();
    instance_with(&engine, limits, GROW, |store| {
        store.limiter(|limits| limits);
        Vec::new()
    })
}

#[test]
fn sizes_are_limited() -> Result<()> {
    let limits = StoreLimitsBuilder::new().memory_size(3 * 65_536).table_elements(4).build();
    let (mut store, instance) = limited(limits)?;
    let memory = instance.get_typed_func::<i32, i32>(&mut store, "memory")?;
    let table = instance.get_typed_func::<i32, i32>(&mut store, "table")?;
    assert_eq!(memory.call(&mut store, 3)?, -1);
    assert_eq!(memory.call(&mut store, 2)?, 1);
    assert_eq!(memory.call(&mut store, 1)?, -1);
    assert_eq!(memory.call(&mut store, 0)?, 3);
    assert_eq!(table.call(&mut store, 4)?, -1);
    assert_eq!(table.call(&mut store, 3)?, 1);
    assert_eq!(table.call(&mut store, 1)?, -1);
    let memory = instance.get_memory(&mut store, "m").expect("exported");
    assert!(memory.grow(&mut store, 1).is_err());
    let table = instance.get_table(&mut store, "t").expect("exported");
    assert!(table.grow(&mut store, 1, Ref::Func(None)).is_err());
    assert!(Memory::new(&mut store, MemoryType::new(4, None)).is_err());
    assert!(Table::new(&mut store, TableType::new(RefType::FUNCREF, 5, None), Ref::Func(None)).is_err());
    Ok(())
}

#[test]
fn initial_sizes_are_limited() -> Result<()> {
    assert!(limited(StoreLimitsBuilder::new().memory_size(65_535).build()).is_err());
    assert!(limited(StoreLimitsBuilder::new().table_elements(0).build()).is_err());
    assert!(limited(StoreLimitsBuilder::new().memory_size(65_536).table_elements(1).build()).is_ok());
    Ok(())
}

#[test]
fn failing_growth_may_end_the_guest() -> Result<()> {
    let limits = StoreLimitsBuilder::new().memory_size(3 * 65_536).trap_on_grow_failure(true).build();
    let (mut store, instance) = limited(limits)?;
    let memory = instance.get_typed_func::<i32, i32>(&mut store, "memory")?;
    let table = instance.get_typed_func::<i32, i32>(&mut store, "table")?;
    assert_eq!(memory.call(&mut store, 1)?, 1);
    let error = memory.call(&mut store, 2).unwrap_err();
    assert!(error.root_cause().to_string().contains("a memory may not grow to 262144"), "{error:?}");
    // The table's own maximum.
    assert!(table.call(&mut store, 100).is_err());
    assert_eq!(table.call(&mut store, 99)?, 1);
    let memory = instance.get_memory(&mut store, "m").expect("exported");
    let error = memory.grow(&mut store, 2).unwrap_err();
    assert!(error.to_string().contains("a memory may not grow"), "{error:?}");
    Ok(())
}

#[test]
fn numbers_are_limited() -> Result<()> {
    let limits = StoreLimitsBuilder::new().instances(3).memories(4).tables(3).build();
    let (mut store, _) = limited(limits)?;
    let engine = store.engine().clone();
    let module = compiled(&engine, "(module)")?;
    Instance::new(&mut store, &module, &[])?;
    Instance::new(&mut store, &module, &[])?;
    let error = Instance::new(&mut store, &module, &[]).unwrap_err();
    assert!(error.to_string().contains("instances count too high at 4 (the limit is 3)"), "{error}");
    for _ in 0..3 {
        Memory::new(&mut store, MemoryType::new(0, None))?;
    }
    assert!(Memory::new(&mut store, MemoryType::new(0, None)).is_err());
    let ty = TableType::new(RefType::EXTERNREF, 0, None);
    for _ in 0..2 {
        Table::new(&mut store, ty, Ref::Extern(None))?;
    }
    assert!(Table::new(&mut store, ty, Ref::Extern(None)).is_err());
    Ok(())
}

/// Asks for everything, and has moods.
#[derive(Default)]
struct Moody {
    asked: Vec<(usize, usize, Option<usize>)>,
    failed: u32,
    panics: bool,
}

impl ResourceLimiter for Moody {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.asked.push((current / 65_536, desired / 65_536, maximum.map(|maximum| maximum / 65_536)));
        assert!(!self.panics, "a moody limiter");
        if desired == 13 * 65_536 {
            bail!("an unlucky number");
        }
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmo::Error) -> Result<()> {
        self.failed += 1;
        Ok(())
    }
}

#[test]
fn limiters_of_the_embedders_own() -> Result<()> {
    let engine = Engine::default();
    let (mut store, instance) = instance_with(&engine, Moody::default(), GROW, |store| {
        store.limiter(|moody| moody);
        Vec::new()
    })?;
    let memory = instance.get_typed_func::<i32, i32>(&mut store, "memory")?;
    assert_eq!(memory.call(&mut store, 2)?, 1);
    assert_eq!(store.data().asked, [(0, 1, Some(100)), (1, 3, Some(100))]);
    assert_eq!(memory.call(&mut store, 98)?, -1);
    assert_eq!(store.data().failed, 1);
    assert_eq!(memory.call(&mut store, 10).unwrap_err().root_cause().to_string(), "an unlucky number");
    let exported = instance.get_memory(&mut store, "m").expect("exported");
    assert_eq!(exported.grow(&mut store, 10).unwrap_err().to_string(), "an unlucky number");
    assert_eq!(exported.size(&store), 3);

    store.data_mut().panics = true;
    for _ in 0..2 {
        let payload = catch_unwind(AssertUnwindSafe(|| memory.call(&mut store, 1))).expect_err("it panics");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"a moody limiter"));
        let payload = catch_unwind(AssertUnwindSafe(|| exported.grow(&mut store, 1))).expect_err("it panics");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"a moody limiter"));
    }
    store.data_mut().panics = false;
    assert_eq!(memory.call(&mut store, 1)?, 3);
    run(&mut store, instance, "run")
}

#[test]
fn sizes_that_no_machine_has_are_errors() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    assert!(Memory::new(&mut store, MemoryType::new(65_537, None)).is_err());
    assert!(Memory::new(&mut store, MemoryType::new(2, Some(1))).is_err());
    let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
    for delta in [65_536, u64::from(u32::MAX), u64::MAX] {
        assert!(memory.grow(&mut store, delta).is_err(), "{delta}");
    }
    let table = Table::new(&mut store, TableType::new(RefType::EXTERNREF, 1, None), Ref::Extern(None))?;
    for delta in [u64::from(u32::MAX), u64::MAX] {
        assert!(table.grow(&mut store, delta, Ref::Extern(None)).is_err(), "{delta}");
    }
    assert!(memory.read(&store, usize::MAX, &mut [0; 2]).is_err());
    assert!(memory.write(&mut store, 65_535, &[0; 2]).is_err());
    assert!(table.fill(&mut store, u64::MAX, Ref::Extern(None), 2).is_err());
    assert!(Table::copy(&mut store, &table, u64::MAX, &table, 0, u64::MAX).is_err());
    assert!(table.set(&mut store, 0, Ref::Func(None)).is_err(), "of another type");
    Ok(())
}
