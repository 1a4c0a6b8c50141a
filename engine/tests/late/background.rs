//! Late modules that are compiled in the background.

use std::time::{Duration, Instant};
use wasmo::late_link::{JitErrorCode, JitLimits, RemoveError, add_to_linker};
use wasmo::{CompileError, Engine, Instance, LateModule, Linker, Module, Result, Store};

const HOST: &str = r#"(module
    (import "wasmo_jit" "add_module_async" (func $add (param i32 i32) (result i32)))
    (import "wasmo_jit" "poll" (func $poll (param i32) (result i32)))
    (import "wasmo_jit" "remove_module" (func $remove (param i32) (result i32)))
    (memory (export "memory") 16)
    (global (export "count") (mut i32) (i32.const 0))
    (func (export "add") (param i32 i32) (result i32) (call $add (local.get 0) (local.get 1)))
    (func (export "poll") (param i32) (result i32) (call $poll (local.get 0)))
    (func (export "remove") (param i32) (result i32) (call $remove (local.get 0))))"#;

struct World {
    store: Store<()>,
    instance: Instance,
}

impl World {
    fn new(limits: JitLimits) -> Result<Self> {
        let engine = Engine::new(&crate::config())?;
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker, limits)?;
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &Module::new(&engine, HOST)?)?;
        Ok(Self { store, instance })
    }

    fn call(&mut self, name: &str, argument: i32) -> Result<i32> {
        self.instance.get_typed_func::<i32, i32>(&mut self.store, name)?.call(&mut self.store, argument)
    }

    /// Lets the guest ask for a module.
    fn ask(&mut self, text: &str) -> Result<i32> {
        let binary = wat::parse_str(text)?;
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        memory.write(&mut self.store, 64, &binary)?;
        let add = self.instance.get_typed_func::<(i32, i32), i32>(&mut self.store, "add")?;
        let handle = add.call(&mut self.store, (64, i32::try_from(binary.len())?))?;
        // The bytes were copied.
        memory.write(&mut self.store, 64, &vec![0xff; binary.len()])?;
        Ok(handle)
    }

    /// Polls until there is an answer.
    fn await_answer(&mut self, handle: i32) -> Result<i32> {
        let start = Instant::now();
        loop {
            let answer = self.call("poll", handle)?;
            if answer != 0 {
                return Ok(answer);
            }
            assert!(start.elapsed() < Duration::from_secs(60), "the module is never compiled");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn count(&mut self) -> i32 {
        self.instance.get_global(&mut self.store, "count").unwrap().get(&mut self.store).i32().unwrap()
    }
}

/// A module whose start function adds `n` to the count.
fn counting(n: i32) -> String {
    format!(
        r#"(module
            (import "env" "count" (global $count (mut i32)))
            (func $f (global.set $count (i32.add (global.get $count) (i32.const {n}))))
            (start $f))"#
    )
}

#[test]
fn the_poll_that_finds_it_compiled_links_it() -> Result<()> {
    let mut world = World::new(JitLimits::default())?;
    let handle = world.ask(&counting(3))?;
    assert_eq!(handle, 0);
    assert_eq!(world.count(), 0);
    assert_eq!(world.await_answer(handle)?, 1);
    assert_eq!(world.count(), 3);
    // It is linked once.
    assert_eq!((world.call("poll", handle)?, world.count()), (1, 3));
    assert_eq!(world.call("remove", handle)?, 0);
    assert_eq!(world.call("poll", handle)?, JitErrorCode::BadHandle.to_i32());
    Ok(())
}

#[test]
fn failures_are_answered_by_every_poll() -> Result<()> {
    let mut world = World::new(JitLimits::default())?;
    for (text, code) in [
        ("(module (func (result i32)))", JitErrorCode::Invalid),
        (r#"(module (import "env" "gone" (func)))"#, JitErrorCode::Import),
        ("(module (func $f unreachable) (start $f))", JitErrorCode::Trap),
    ] {
        let handle = world.ask(text)?;
        assert!(handle >= 0);
        assert_eq!(world.await_answer(handle)?, code.to_i32(), "{text}");
        assert_eq!(world.call("poll", handle)?, code.to_i32(), "{text}");
        assert_eq!(world.call("remove", handle)?, 0);
    }
    for handle in [77, -1, i32::MIN] {
        assert_eq!(world.call("poll", handle)?, JitErrorCode::BadHandle.to_i32());
        assert_eq!(world.call("remove", handle)?, JitErrorCode::BadHandle.to_i32());
    }
    Ok(())
}

#[test]
fn requests_can_be_given_up() -> Result<()> {
    let mut world = World::new(JitLimits { modules: 3, ..JitLimits::default() })?;
    for _ in 0..20 {
        let handles = [1, 2, 3].map(|n| world.ask(&counting(n)));
        for handle in handles {
            assert_eq!(world.call("remove", handle?)?, 0);
        }
    }
    // Those that are under way count.
    for n in 0..3 {
        assert!(world.ask(&counting(n))? >= 0);
    }
    assert_eq!(world.ask(&counting(9))?, JitErrorCode::Limit.to_i32());
    Ok(())
}

#[test]
fn many_requests_at_once() -> Result<()> {
    const COUNT: i32 = 300;
    let mut world = World::new(JitLimits::default())?;
    let mut handles = Vec::new();
    for n in 1..=COUNT {
        handles.push((world.ask(&counting(n))?, n));
        // Somebody is in a hurry meanwhile, and some change their minds.
        if n % 50 == 0 {
            world.instance.add_module(&mut world.store, counting(0))?;
        }
    }
    let mut expected = 0;
    for (handle, n) in handles.into_iter().rev() {
        if n % 3 == 0 {
            assert_eq!(world.call("remove", handle)?, 0);
        } else {
            assert_eq!(world.await_answer(handle)?, 1);
            expected += n;
        }
    }
    assert_eq!(world.count(), expected);
    Ok(())
}

#[test]
fn stores_may_go_with_requests_under_way() -> Result<()> {
    for _ in 0..20 {
        let mut world = World::new(JitLimits::default())?;
        for n in 0..20 {
            world.ask(&counting(n))?;
        }
    }
    Ok(())
}

#[test]
fn hosts_ask_too() -> Result<()> {
    let mut world = World::new(JitLimits::default())?;
    let wait = |world: &mut World, late: LateModule| loop {
        match late.poll(&mut world.store) {
            Ok(false) => std::thread::sleep(Duration::from_millis(1)),
            other => return other,
        }
    };
    let good = world.instance.add_module_async(&mut world.store, counting(5))?;
    let bad = world.instance.add_module_async(&mut world.store, b"\0asm\x01\0\0\0\xff")?;
    assert!(wait(&mut world, good)?);
    assert_eq!(world.count(), 5);
    assert!(wait(&mut world, bad).unwrap_err().is::<CompileError>());
    assert!(bad.poll(&mut world.store).is_err());
    bad.remove(&mut world.store)?;
    good.remove(&mut world.store)?;
    assert_eq!(good.remove(&mut world.store), Err(RemoveError::Unknown));
    Ok(())
}
