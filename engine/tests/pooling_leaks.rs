//! What an instance leaves behind is not there for the next one.
//!
//! Instances of a few modules are made in turn, each in a store of its own. Whatever can be seen of a new one is compared with what was seen of the first one of the
//! same module, made by an engine that had done nothing else; then a few things are done to it by which it could leave something behind.

use std::sync::Arc;
use std::time::Duration;
use wasmo::{
    Caller, Config, Engine, ExternRef, Instance, InstancePre, Linker, Module, PoolingConfig, Ref, Result, Store, Val,
    bail,
};

/// Exports everything it has, and a function for each way to change it. `DATA` is replaced.
const VICTIM: &str = r#"(module
    (type $number (func (result i32)))
    (import "host" "touch" (func $host (result i32)))
    (import "host" "fail" (func $fail))
    (memory $m (export "m") 2 9) (memory $none (export "none") 0 3) (memory $fixed (export "fixed") 1 1)
    (data (memory $m) (i32.const 16) "DATA") (data (memory $m) (i32.const 131000) "end of the second page")
    (data $passive "passive") (data (memory $fixed) (i32.const 65532) "edge")
    (table $t (export "t") 6 12 funcref) (table $x (export "x") 3 9 externref) (table $all (export "all") 2 2 funcref)
    (elem (table $t) (i32.const 1) func $one $host $two)
    (elem $late func $two $one)
    (elem (table $all) (i32.const 0) funcref (ref.func $one) (ref.null func))
    (global $i (export "i") (mut i32) (i32.const 7)) (global $l (export "l") (mut i64) (i64.const -7))
    (global $d (export "d") (mut f64) (f64.const 0.5)) (global $v (export "v") (mut v128) (v128.const i64x2 1 2))
    (global $f (export "f") (mut funcref) (ref.func $one)) (global $e (export "e") (mut externref) (ref.null extern))
    (func $one (type $number) (i32.const 1)) (func $two (type $number) (i32.const 2))
    (func (export "call") (param i32) (result i32) (call_indirect $t (type $number) (local.get 0)))
    (func (export "late_data") (result i32)
        (memory.init $m $passive (i32.const 1000) (i32.const 0) (i32.const 7)) (i32.load8_u (i32.const 1006)))
    (func (export "late_elem") (result i32)
        (table.init $t $late (i32.const 0) (i32.const 0) (i32.const 2)) (call_indirect $t (type $number) (i32.const 0)))
    (func (export "fill")
        (memory.fill $m (i32.const 0) (i32.const 0xaa) (i32.mul (memory.size $m) (i32.const 65536)))
        (memory.fill $none (i32.const 0) (i32.const 0xbb) (i32.mul (memory.size $none) (i32.const 65536)))
        (memory.fill $fixed (i32.const 0) (i32.const 0xcc) (i32.const 65536)))
    (func (export "grow") (drop (memory.grow $m (i32.const 3))) (drop (memory.grow $none (i32.const 1))))
    (func (export "store_last") (i32.store8 $m (i32.sub (i32.mul (memory.size $m) (i32.const 65536)) (i32.const 1)) (i32.const 1)))
    (func (export "store_data") (i32.store8 $m (i32.const 17) (i32.const 1)))
    (func (export "set_element") (table.set $t (i32.const 1) (ref.func $two)))
    (func (export "set_null") (table.set $all (i32.const 0) (ref.null func)))
    (func (export "set_extern") (param externref) (table.set $x (i32.const 2) (local.get 0)) (global.set $e (local.get 0)))
    (func (export "fill_table") (table.fill $t (i32.const 0) (ref.func $two) (table.size $t)))
    (func (export "copy_table") (table.copy $t $t (i32.const 0) (i32.const 2) (i32.const 3)))
    (func (export "grow_table") (drop (table.grow $t (ref.func $one) (i32.const 4))))
    (func (export "init_table") (table.init $t $late (i32.const 4) (i32.const 0) (i32.const 2)))
    (func (export "set_globals")
        (global.set $i (i32.const 9)) (global.set $l (i64.const 9)) (global.set $d (f64.const 9))
        (global.set $v (v128.const i64x2 9 9)) (global.set $f (ref.func $two)))
    (func (export "drop_data") (data.drop $passive)) (func (export "drop_elem") (elem.drop $late))
    (func (export "trap") (i32.store (i32.const 40) (i32.const 40)) unreachable)
    (func (export "trap_outside") (i32.store (i32.const 80) (i32.const 40)) (i32.store (i32.const 0x7fffffff) (i32.const 1)))
    (func $deep (export "overflow") (param i64) (i32.store (i32.const 90) (i32.const 40)) (call $deep (i64.add (local.get 0) (i64.const 1))) (i32.store (i32.const 91) (i32.const 40)))
    (func (export "fail") (i32.store (i32.const 60) (i32.const 40)) (call $fail))
    (func (export "host") (result i32) (call $host))
    (func (export "spin") (i32.store (i32.const 70) (i32.const 40)) (loop br 0)))"#;

/// Imports all that the victim has, and writes to it; so it is never kept itself.
const MEDDLER: &str = r#"(module
    (import "v" "m" (memory 2)) (import "v" "t" (table 6 funcref)) (import "v" "all" (table 2 funcref))
    (import "v" "i" (global $i (mut i32))) (import "v" "f" (global $f (mut funcref)))
    (data (i32.const 100) "meddled") (elem (table 0) (i32.const 3) func $mine)
    (func $mine (result i32) (i32.const 3))
    (func (export "run") (global.set $i (i32.const 77)) (global.set $f (ref.func $mine)) (table.set 1 (i32.const 1) (ref.func $mine))))"#;

/// Changes itself when it starts.
const STARTER: &str = r#"(module
    (memory $m (export "m") 1) (data "not used") (table $t (export "t") 2 funcref) (global $i (export "i") (mut i32) (i32.const 1))
    (func $start (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (global.get $i)))
        (global.set $i (i32.add (global.get $i) (i32.const 1))) (table.set (i32.const 1) (ref.func $start)))
    (elem declare func $start) (start $start))"#;

const NAMES: [&str; 16] = [
    "fill",
    "grow",
    "store_last",
    "store_data",
    "set_element",
    "set_null",
    "fill_table",
    "copy_table",
    "grow_table",
    "init_table",
    "set_globals",
    "drop_data",
    "drop_elem",
    "trap",
    "trap_outside",
    "fail",
];

/// A generator of pseudo-random numbers: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }
}

/// A store's data: how often the host was called.
type Count = u32;

struct Guests {
    engine: Engine,
    modules: Vec<InstancePre<Count>>,
    meddler: Module,
}

fn guests(config: &Config) -> Result<Guests> {
    let engine = Engine::new(config)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "touch", |mut caller: Caller<'_, Count>| -> Result<i32> {
        *caller.data_mut() += 1;
        let memory = caller.get_export("m").and_then(|item| item.into_memory()).expect("the caller exports it");
        memory.write(&mut caller, 200, b"by the host")?;
        Ok(10)
    })?;
    linker.func_wrap("host", "fail", || -> Result<()> { bail!("on purpose") })?;
    // Twenty thousand bytes become an image, a few are copied.
    let texts =
        [VICTIM.replace("DATA", &"large data ".repeat(2000)), VICTIM.replace("DATA", "small data"), STARTER.to_owned()];
    let pre = |text: &String| linker.instantiate_pre(&Module::new(&engine, text)?);
    let modules = texts.iter().map(pre).collect::<Result<_>>()?;
    let meddler = Module::new(&engine, MEDDLER)?;
    Ok(Guests { engine, modules, meddler })
}

/// What a reference is, in words. Functions are told apart by what they answer.
fn describe(store: &mut Store<Count>, reference: Ref) -> Result<String> {
    Ok(match reference {
        Ref::Func(Some(func)) => match func.typed::<(), i32>(&mut *store) {
            Ok(func) => format!("function {}", func.call(store, ())?),
            Err(_) => "function".to_owned(),
        },
        Ref::Extern(Some(_)) => "value of the host's".to_owned(),
        _ => "null".to_owned(),
    })
}

/// Everything that can be seen of an instance.
fn observe(store: &mut Store<Count>, instance: Instance) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    let exports: Vec<_> =
        instance.exports(&mut *store).map(|export| (export.name().to_owned(), export.into_extern())).collect();
    // Memories first: calls may write to them.
    for (name, item) in &exports {
        if let Some(memory) = item.into_memory() {
            let content = memory.data(&*store);
            let written = content.iter().enumerate().filter(|&(_, &byte)| byte != 0);
            let sum = written
                .fold(0_u64, |sum, (at, &byte)| sum.wrapping_mul(31).wrapping_add(at as u64 * 256 + u64::from(byte)));
            seen.push(format!("{name}: {} bytes, {sum:x}", content.len()));
        }
    }
    for (name, item) in exports {
        if let Some(table) = item.into_table() {
            let elements: Vec<_> = (0..table.size(&*store)).filter_map(|at| table.get(&mut *store, at)).collect();
            let elements = elements.into_iter().map(|element| describe(store, element)).collect::<Result<Vec<_>>>()?;
            seen.push(format!("{name}: {elements:?}"));
        } else if let Some(global) = item.into_global() {
            let value = match global.get(&mut *store) {
                Val::FuncRef(func) => describe(store, Ref::Func(func))?,
                Val::ExternRef(value) => describe(store, Ref::Extern(value))?,
                value => format!("{value:?}"),
            };
            seen.push(format!("{name}: {value}"));
        }
    }
    for name in ["late_data", "late_elem", "host"] {
        if let Ok(func) = instance.get_typed_func::<(), i32>(&mut *store, name) {
            seen.push(format!("{name}: {:?}", func.call(&mut *store, ()).ok()));
        }
    }
    seen.push(format!("calls of the host: {}", store.data()));
    Ok(seen)
}

/// How many ways there are to leave something behind.
const ACTIONS: u64 = NAMES.len() as u64 + 9;

/// One of them.
fn act(guests: &Guests, action: u64, store: &mut Store<Count>, instance: Instance) -> Result<()> {
    match action {
        0 => {
            let handle = store.interrupt_handle();
            store.set_timeout(Duration::from_millis(1));
            let spin = instance.get_typed_func::<(), ()>(&mut *store, "spin")?;
            assert!(spin.call(&mut *store, ()).is_err());
            store.set_timeout(None);
            handle.interrupt();
        }
        1 => {
            let overflow = instance.get_typed_func::<i64, ()>(&mut *store, "overflow")?;
            assert!(overflow.call(&mut *store, 0).is_err());
        }
        2 => {
            let value = ExternRef::new(&mut *store, 5)?;
            let set = instance.get_func(&mut *store, "set_extern").expect("exported");
            set.call(&mut *store, &[Val::ExternRef(Some(value))], &mut [])?;
        }
        3 => {
            let memory = instance.get_memory(&mut *store, "m").expect("exported");
            // Whether there is room depends on what was done before.
            let _grown = memory.grow(&mut *store, 2);
        }
        4 => instance.get_memory(&mut *store, "m").expect("exported").data_mut(&mut *store)[70_000] = 1,
        5 => {
            let table = instance.get_table(&mut *store, "t").expect("exported");
            table.set(&mut *store, 2, Ref::Func(None))?;
            let _grown = table.grow(&mut *store, 1, Ref::Func(None));
        }
        6 => instance.get_global(&mut *store, "l").expect("exported").set(&mut *store, Val::I64(1))?,
        7 => {
            let imports: Vec<_> =
                guests.meddler.imports().map(|import| instance.get_export(&mut *store, import.name())).collect();
            let imports: Vec<_> = imports.into_iter().map(|item| item.expect("exported")).collect();
            let meddler = Instance::new(&mut *store, &guests.meddler, &imports)?;
            meddler.get_typed_func::<(), ()>(&mut *store, "run")?.call(&mut *store, ())?;
        }
        8 => {
            observe(store, instance)?;
        }
        other => {
            let name = NAMES[usize::try_from(other - 9).expect("small")];
            let result = instance.get_typed_func::<(), ()>(&mut *store, name)?.call(&mut *store, ());
            // What fails depends on what was done before, too.
            assert!(result.is_err() || !["trap", "trap_outside", "fail"].contains(&name));
        }
    }
    Ok(())
}

/// Makes instances to which one thing is done, and looks at the next one; then `rounds` others, some of them two to a store, to which several are done.
fn run(config: &Config, seed: u64, rounds: usize) -> Result<()> {
    let mut expected = Vec::new();
    for which in 0..3 {
        // An engine of its own, of which nothing was used before.
        let fresh = guests(&Config::new())?;
        let mut store = Store::new(&fresh.engine, 0);
        let instance = fresh.modules[which].instantiate(&mut store)?;
        expected.push(observe(&mut store, instance)?);
    }
    let guests = Arc::new(guests(config)?);
    for action in 0..ACTIONS {
        for (which, expected) in expected.iter().enumerate().take(2) {
            let mut store = Store::new(&guests.engine, 0);
            let instance = guests.modules[which].instantiate(&mut store)?;
            act(&guests, action, &mut store, instance)?;
            drop(store);
            let mut store = Store::new(&guests.engine, 0);
            let instance = guests.modules[which].instantiate(&mut store)?;
            assert_eq!(&observe(&mut store, instance)?, expected, "after {action}");
        }
    }
    let mut random = Random(seed);
    let mut last: Option<Vec<usize>> = None;
    for round in 0..rounds {
        let mut store = Store::new(&guests.engine, 0);
        let picks: Vec<_> =
            (0..1 + random.below(2)).map(|_| usize::try_from(random.below(3)).expect("small")).collect();
        let made =
            picks.iter().map(|&which| guests.modules[which].instantiate(&mut store)).collect::<Result<Vec<_>>>()?;
        // One that nobody has looked at differs from one that somebody has: only its own content is written again.
        if random.below(3) != 0 {
            for (&which, &instance) in picks.iter().zip(&made) {
                *store.data_mut() = 0;
                let seen = observe(&mut store, instance)?;
                assert_eq!(seen, expected[which], "round {round}, seed {seed}, after {last:?}");
            }
        }
        for (&which, &instance) in picks.iter().zip(&made) {
            if which < 2 {
                for _ in 0..random.below(4) {
                    act(&guests, random.below(ACTIONS), &mut store, instance)?;
                }
            }
        }
        if random.below(4) == 0 {
            std::thread::spawn(move || drop(store)).join().expect("a store can be dropped anywhere");
        }
        last = Some(picks);
    }
    Ok(())
}

fn pooled(keep_resident: usize, stack_zeroing: bool) -> Config {
    let mut pooling = PoolingConfig::new();
    pooling.linear_memory_keep_resident(keep_resident).stack_zeroing(stack_zeroing);
    let mut config = Config::new();
    config.pooling(pooling);
    config
}

#[test]
fn nothing_is_left_in_pooled_instances() -> Result<()> {
    run(&pooled(64 << 10, false), 1, 600)
}

#[test]
fn nothing_is_left_where_nothing_stays_resident() -> Result<()> {
    run(&pooled(0, true), 2, 400)
}

#[test]
fn nothing_is_left_where_all_stays_resident() -> Result<()> {
    run(&pooled(usize::MAX, false), 3, 400)
}

#[test]
fn nothing_is_left_where_part_of_a_page_would_stay_resident() -> Result<()> {
    run(&pooled(70_001, false), 4, 400)
}

#[test]
fn nothing_is_left_without_a_pool() -> Result<()> {
    run(&Config::new(), 5, 400)
}

#[test]
fn nothing_is_left_where_little_can_be_kept() -> Result<()> {
    let mut pooling = PoolingConfig::new();
    pooling.total_core_instances(8).total_memories(7).total_tables(7).total_stacks(1);
    run(Config::new().pooling(pooling), 6, 400)
}
