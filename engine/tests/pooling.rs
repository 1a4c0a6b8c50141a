//! Pools: their limits, what happens when instantiation fails half way, and that nothing of a store's own (fuel, deadlines, limits, handles) goes to the next one.

mod common;

use common::{compiled, trap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmo::{
    Caller, Config, Engine, Extern, FuncType, Instance, InstancePre, Linker, Memory, MemoryType,
    PoolConcurrencyLimitError, PoolingConfig, Ref, RefType, Result, Store, StoreLimits, StoreLimitsBuilder, Table,
    TableType, Trap, Val, ValType,
};

const SMALL: &str = r#"(module
    (memory (export "m") 1 10) (data (i32.const 16) "data") (table (export "t") 2 10 funcref) (elem (i32.const 0) $load)
    (global $g (mut i32) (i32.const 0))
    (func $load (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "grow_table") (param i32) (result i32) (table.grow (ref.null func) (local.get 0)))
    (func (export "count") (result i32) (global.set $g (i32.add (global.get $g) (i32.const 1))) (global.get $g))
    (func (export "spin") (loop br 0)))"#;

fn config(set: impl FnOnce(&mut PoolingConfig)) -> Config {
    let mut pooling = PoolingConfig::new();
    set(&mut pooling);
    let mut config = Config::new();
    config.pooling(pooling);
    config
}

fn pre<T: 'static>(engine: &Engine, text: &str) -> Result<InstancePre<T>> {
    Linker::new(engine).instantiate_pre(&compiled(engine, text)?)
}

fn call<T: 'static>(store: &mut Store<T>, instance: Instance, name: &str, argument: i32) -> Result<i32> {
    instance.get_typed_func::<i32, i32>(&mut *store, name)?.call(store, argument)
}

fn limit_of<T>(result: Result<T>) -> (&'static str, usize) {
    let Err(error) = result else { panic!("the limit is reached") };
    let limit = error.downcast_ref::<PoolConcurrencyLimitError>().unwrap_or_else(|| panic!("another error: {error:?}"));
    (limit.kind(), limit.limit())
}

#[test]
fn all_kinds_are_counted_and_come_back() -> Result<()> {
    let engine = Engine::new(&config(|pooling| {
        pooling.total_stacks(3).total_core_instances(4).total_memories(2).total_tables(2);
    }))?;
    let (small, empty) = (pre(&engine, SMALL)?, pre(&engine, "(module)")?);
    for _ in 0..5 {
        let mut first = Store::new(&engine, ());
        let mut second = Store::new(&engine, ());
        let third = Store::new(&engine, ());
        assert_eq!(limit_of(Store::try_new(&engine, ())), ("stores", 3));
        small.instantiate(&mut first)?;
        small.instantiate(&mut second)?;
        // The attempt stays in the store, and with it the instance that it began.
        assert_eq!(limit_of(small.instantiate(&mut second)), ("memories", 2));
        assert_eq!(limit_of(Memory::new(&mut first, MemoryType::new(0, None))), ("memories", 2));
        let table = Table::new(&mut first, TableType::new(RefType::FUNCREF, 1, None), Ref::Func(None));
        assert_eq!(limit_of(table), ("tables", 2));
        empty.instantiate(&mut first)?;
        assert_eq!(limit_of(empty.instantiate(&mut second)), ("instances", 4));
        drop(third);
        drop(Store::new(&engine, ()));
    }
    Ok(())
}

#[test]
fn what_is_kept_makes_room_for_other_modules() -> Result<()> {
    let engine = Engine::new(&config(|pooling| {
        pooling.total_core_instances(3).total_memories(3).total_tables(3);
    }))?;
    let modules: Vec<_> = (0..5)
        .map(|number| pre::<()>(&engine, &SMALL.replace("\"data\"", &format!("\"data {number}\""))))
        .collect::<Result<_>>()?;
    for round in 0..20 {
        let mut store = Store::new(&engine, ());
        for module in (0..3).map(|step| &modules[(round * 2 + step) % modules.len()]) {
            let instance = module.instantiate(&mut store)?;
            assert_eq!(call(&mut store, instance, "load", 17)?, i32::from(b'a'));
        }
    }
    // The host's own memories and tables, too.
    let mut store = Store::new(&engine, ());
    for _ in 0..3 {
        Memory::new(&mut store, MemoryType::new(1, None))?;
        Table::new(&mut store, TableType::new(RefType::EXTERNREF, 1, None), Ref::Extern(None))?;
    }
    // And modules that are gone keep nothing.
    drop((store, modules));
    let mut store = Store::new(&engine, ());
    for _ in 0..3 {
        pre(&engine, SMALL)?.instantiate(&mut store)?;
    }
    Ok(())
}

#[test]
fn sizes_are_limited_by_the_pool() -> Result<()> {
    let engine = Engine::new(&config(|pooling| {
        pooling.max_memory_size(3 * 65_536 + 1).table_elements(4);
    }))?;
    let small = pre(&engine, SMALL)?;
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        let instance = small.instantiate(&mut store)?;
        assert_eq!(call(&mut store, instance, "grow", 3)?, -1);
        assert_eq!(call(&mut store, instance, "grow", 2)?, 1);
        assert_eq!(call(&mut store, instance, "grow", 1)?, -1);
        assert_eq!(call(&mut store, instance, "grow_table", 3)?, -1);
        assert_eq!(call(&mut store, instance, "grow_table", 2)?, 2);
        assert_eq!(call(&mut store, instance, "grow_table", 1)?, -1);
        let memory = instance.get_memory(&mut store, "m").expect("exported");
        assert!(memory.grow(&mut store, 1).is_err());
        assert_eq!(trap(&call(&mut store, instance, "load", 3 * 65_536).unwrap_err()), Trap::MemoryOutOfBounds);
    }
    let mut store = Store::new(&engine, ());
    for text in ["(module (memory 4))", "(module (table 5 funcref))"] {
        let error = format!("{:#}", pre(&engine, text)?.instantiate(&mut store).unwrap_err());
        assert!(error.contains("larger than the pool's"), "{error}");
    }
    assert!(Memory::new(&mut store, MemoryType::new(4, None)).is_err());
    Ok(())
}

#[test]
fn a_store_limits_instances_from_the_pool_too() -> Result<()> {
    let engine = Engine::new(&config(|_| ()))?;
    let small = pre::<StoreLimits>(&engine, SMALL)?;
    let with = |limits: StoreLimits| {
        let mut store = Store::new(&engine, limits);
        store.limiter(|limits| limits);
        let instance = small.instantiate(&mut store);
        (store, instance)
    };
    for _ in 0..5 {
        with(StoreLimits::default()).1?;
        assert!(with(StoreLimitsBuilder::new().memory_size(65_535).build()).1.is_err());
        assert!(with(StoreLimitsBuilder::new().table_elements(1).build()).1.is_err());
        assert!(with(StoreLimitsBuilder::new().instances(0).build()).1.is_err());
        let (mut store, instance) = with(StoreLimitsBuilder::new().memory_size(2 * 65_536).build());
        let instance = instance?;
        assert_eq!((call(&mut store, instance, "grow", 2)?, call(&mut store, instance, "grow", 1)?), (-1, 1));
    }
    Ok(())
}

#[test]
fn a_segment_out_of_bounds_traps_and_what_came_before_it_stays() -> Result<()> {
    let engine = Engine::new(&config(|pooling| {
        pooling.total_core_instances(20);
    }))?;
    let outer = pre::<()>(
        &engine,
        r#"(module (memory (export "m") 1) (table (export "t") 4 funcref)
            (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#,
    )?;
    let data = compiled(
        &engine,
        r#"(module (import "" "m" (memory 1)) (data (i32.const 0) "first") (data (i32.const 65533) "second") (data (i32.const 100) "third"))"#,
    )?;
    // Its own memory would start as an image, had the elements fitted.
    let elements = compiled(
        &engine,
        format!(
            r#"(module (import "" "t" (table 4 funcref)) (memory 1) (data (i32.const 0) "{}")
                (elem (i32.const 0) $read) (elem (i32.const 3) $read $read)
                (func $read (result i32) (i32.load8_u (i32.const 5))))"#,
            "x".repeat(30_000)
        ),
    )?;
    let own =
        pre::<()>(&engine, r#"(module (memory 1) (data (i32.const 0) "first") (data (i32.const 65533) "second"))"#)?;
    for _ in 0..30 {
        let mut store = Store::new(&engine, ());
        let instance = outer.instantiate(&mut store)?;
        let memory = instance.get_memory(&mut store, "m").expect("exported");
        assert_eq!(memory.data(&store)[..5], [0; 5]);
        let error = Instance::new(&mut store, &data, &[Extern::Memory(memory)]).unwrap_err();
        assert_eq!(trap(&error), Trap::MemoryOutOfBounds);
        assert_eq!(&memory.data(&store)[..6], b"first\0");
        assert_eq!((&memory.data(&store)[65_533..], memory.data(&store)[100]), (&[0; 3][..], 0));
        let table = instance.get_table(&mut store, "t").expect("exported");
        assert!(call(&mut store, instance, "call", 0).is_err());
        let error = Instance::new(&mut store, &elements, &[Extern::Table(table)]).unwrap_err();
        assert_eq!(trap(&error), Trap::TableOutOfBounds);
        assert_eq!(call(&mut store, instance, "call", 0)?, 0);
        assert_eq!(trap(&call(&mut store, instance, "call", 3).unwrap_err()), Trap::IndirectCallToNull);
        assert_eq!(trap(&own.instantiate(&mut store).unwrap_err()), Trap::MemoryOutOfBounds);
    }
    Ok(())
}

#[test]
fn what_belongs_to_a_store_does_not_go_to_the_next() -> Result<()> {
    let mut config = config(|pooling| {
        pooling.total_stacks(1).total_core_instances(1);
    });
    let engine = Engine::new(config.consume_fuel(true).epoch_interruption(true))?;
    let small = pre::<u32>(&engine, SMALL)?;
    let mut handles = Vec::new();
    for round in 0..10 {
        let mut store = Store::new(&engine, round);
        handles.push(store.interrupt_handle());
        assert_eq!(store.get_fuel()?, 0);
        store.set_fuel(1000)?;
        let instance = small.instantiate(&mut store)?;
        // The deadline is in the past until it is set, as that of any new store.
        assert_eq!(trap(&call(&mut store, instance, "load", 16).unwrap_err()), Trap::Interrupt);
        store.set_epoch_deadline(3);
        assert_eq!(call(&mut store, instance, "load", 16)?, i32::from(b'd'));
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
        assert_eq!(trap(&spin.call(&mut store, ()).unwrap_err()), Trap::OutOfFuel);
        store.set_fuel(u64::MAX)?;
        engine.increment_epoch();
        engine.increment_epoch();
        engine.increment_epoch();
        assert_eq!(trap(&spin.call(&mut store, ()).unwrap_err()), Trap::Interrupt);
        assert!(!handles.iter().any(wasmo::InterruptHandle::interrupt), "nothing runs");
    }
    Ok(())
}

#[test]
fn handles_of_a_store_do_not_stop_the_next() -> Result<()> {
    let engine = Engine::new(&config(|pooling| {
        pooling.total_stacks(1);
    }))?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "host", |mut caller: Caller<'_, Vec<wasmo::InterruptHandle>>| -> i32 {
        // The last handle is this store's own.
        let others = caller.data_mut();
        let own = others.pop().expect("pushed below");
        assert!(others.iter().all(|handle| !handle.interrupt()), "they are of stores that are gone");
        assert!(!caller.interrupted());
        assert!(own.interrupt() && caller.interrupted());
        1
    })?;
    let text =
        r#"(module (import "" "host" (func $host (result i32))) (func (export "run") (result i32) (call $host)))"#;
    let module = linker.instantiate_pre(&compiled(&engine, text)?)?;
    let mut handles = Vec::new();
    for _ in 0..5 {
        let mut store = Store::new(&engine, handles.clone());
        let own = store.interrupt_handle();
        store.data_mut().push(own.clone());
        let instance = module.instantiate(&mut store)?;
        let run = instance.get_typed_func::<(), i32>(&mut store, "run")?;
        assert_eq!(trap(&run.call(&mut store, ()).unwrap_err()), Trap::Interrupt);
        handles.push(own);
    }
    Ok(())
}

#[test]
fn each_store_calls_its_own_host_functions() -> Result<()> {
    let engine = Engine::new(&config(|_| ()))?;
    let text = r#"(module (import "" "f" (func $f (result i32))) (table 1 funcref) (elem (i32.const 0) $f) (export "f" (func $f))
        (func (export "direct") (result i32) (call $f)) (func (export "indirect") (result i32) (call_indirect (result i32) (i32.const 0))))"#;
    let module = compiled(&engine, text)?;
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for round in 0..50 {
        let mut store = Store::new(&engine, round * 100);
        let mut linker = Linker::new(&engine);
        let counted = Counted(Arc::clone(&dropped));
        linker.func_wrap("", "f", move |caller: Caller<'_, i32>| -> i32 {
            let _captured = &counted;
            assert!(caller.instance().is_some());
            *caller.data() + round
        })?;
        // Sometimes through the linker, sometimes as an item of the store.
        let instance = if round % 3 == 0 {
            let func = linker.get(&mut store, "", "f").expect("defined");
            Instance::new(&mut store, &module, &[func])?
        } else {
            linker.instantiate(&mut store, &module)?
        };
        drop(linker);
        for name in ["direct", "indirect", "f"] {
            let func = instance.get_typed_func::<(), i32>(&mut store, name)?;
            assert_eq!(func.call(&mut store, ())?, round * 101, "{name}");
        }
        assert_eq!(dropped.load(Ordering::Relaxed), usize::try_from(round)?, "the store keeps the function");
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 50);
    Ok(())
}

#[test]
fn instances_go_from_store_to_store_in_any_order() -> Result<()> {
    let engine = Engine::new(config(|_| ()).consume_fuel(true))?;
    let text = r#"(module (import "" "f" (func $f (result i32))) (memory 1) (data (i32.const 3) "data")
        (func (export "run") (result i32) (i32.store8 (i32.const 3) (i32.const 1)) (call $f)))"#;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "f", |caller: Caller<'_, i32>| *caller.data())?;
    let module = linker.instantiate_pre(&compiled(&engine, text)?)?;
    let mut stores = Vec::new();
    for round in 0..200_usize {
        let number = i32::try_from(round)?;
        // One that has no instance, so that instances do not always come back with the parts of the store that they had.
        let spare = (round % 3 == 0).then(|| Store::new(&engine, -1));
        let mut store = Store::new(&engine, number);
        drop(spare);
        store.set_fuel(100_000)?;
        let instance = module.instantiate(&mut store)?;
        let run = instance.get_typed_func::<(), i32>(&mut store, "run")?;
        assert_eq!(run.call(&mut store, ())?, number);
        stores.push((store, run));
        for (store, run) in &mut stores {
            let number = *store.data();
            let before = store.get_fuel()?;
            assert_eq!(run.call(&mut *store, ())?, number);
            assert!(store.get_fuel()? < before, "it is this store's fuel");
        }
        if stores.len() > 4 {
            // Stores and instances come back in another order than they went.
            let (first, second) = (stores.swap_remove(round % 5), stores.swap_remove(round % 3));
            drop(first);
            drop(second);
        }
    }
    Ok(())
}

#[test]
fn handles_of_the_store_before_are_refused() -> Result<()> {
    let engine = Engine::new(&config(|pooling| {
        pooling.total_stacks(1).total_core_instances(1);
    }))?;
    let small = pre(&engine, SMALL)?;
    let mut first = Store::new(&engine, ());
    let old = small.instantiate(&mut first)?;
    let (memory, func) =
        (old.get_memory(&mut first, "m").expect("exported"), old.get_func(&mut first, "load").expect("exported"));
    drop(first);
    let mut second = Store::new(&engine, ());
    small.instantiate(&mut second)?;
    assert!(catch_unwind(AssertUnwindSafe(|| memory.size(&second))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| old.get_memory(&mut second, "m").is_some())).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| func.typed::<i32, i32>(&second).is_ok())).is_err());
    Ok(())
}

#[test]
fn many_threads_share_a_pool() -> Result<()> {
    let engine = Engine::new(&config(|pooling| {
        pooling.total_core_instances(6).total_stacks(6).total_memories(6).total_tables(6);
    }))?;
    let modules = [
        pre::<()>(&engine, SMALL)?,
        pre::<()>(&engine, &SMALL.replace("\"data\"", &format!("\"{}\"", "d".repeat(20_000))))?,
    ];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_usize)
            .map(|thread| {
                let (engine, modules) = (&engine, &modules);
                scope.spawn(move || -> Result<()> {
                    for round in 0..2000 {
                        let mut store = Store::new(engine, ());
                        let instance = modules[(round + thread) % 2].instantiate(&mut store)?;
                        assert_eq!(call(&mut store, instance, "load", 16)?, i32::from(b'd'));
                        assert_eq!(call(&mut store, instance, "load", 40_000)?, 0);
                        let write = instance.get_typed_func::<(i32, i32), ()>(&mut store, "store")?;
                        write.call(&mut store, (16, 1))?;
                        write.call(&mut store, (40_000, 1))?;
                        let count = instance.get_typed_func::<(), i32>(&mut store, "count")?;
                        assert_eq!(count.call(&mut store, ())?, 1);
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })
}

/// Typed closures and others are called by different code, of which tables and function records have copies.
#[test]
fn an_instance_calls_each_kind_of_host_function_by_its_own_code() -> Result<()> {
    let engine = Engine::new(&config(|pooling| {
        pooling.total_core_instances(1).total_tables(1);
    }))?;
    let module = compiled(
        &engine,
        r#"(module (type $t (func (param i32) (result i32))) (import "" "f" (func $f (type $t)))
            (table funcref (elem $f)) (export "f" (func $f))
            (func (export "import") (param i32) (result i32) (call $f (local.get 0)))
            (func (export "table") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (i32.const 0))))"#,
    )?;
    let ty = FuncType::new(&engine, [ValType::I32], [ValType::I32]);
    let mut typed = Linker::<()>::new(&engine);
    typed.func_wrap("", "f", |n: i32| n + 1)?;
    let mut dynamic = Linker::<()>::new(&engine);
    dynamic.func_new("", "f", ty, |_, params, results| {
        results[0] = Val::I32(params[0].unwrap_i32() + 2);
        Ok(())
    })?;
    let (typed, dynamic) = (typed.instantiate_pre(&module)?, dynamic.instantiate_pre(&module)?);
    for (pre, more) in [(&typed, 1), (&typed, 1), (&dynamic, 2), (&dynamic, 2), (&typed, 1), (&dynamic, 2)] {
        let mut store = Store::new(&engine, ());
        let instance = pre.instantiate(&mut store)?;
        for name in ["f", "import", "table"] {
            assert_eq!(call(&mut store, instance, name, 40)?, 40 + more, "{name}");
        }
    }
    Ok(())
}
