//! Guests that are stopped, or made to pause.

mod common;

use common::{compiled, instance, instance_with, run, trap};
use std::io::{PipeWriter, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wasmo::{Caller, Config, Engine, Func, Instance, Linker, Result, Store, Trap, UpdateDeadline, bail};

const SPIN: &str = r#"(module
    (func (export "spin") (loop br 0))
    (func (export "work") (param i32) (result i32) (local i32)
        (loop
            (local.set 1 (i32.xor (i32.mul (local.get 1) (i32.const 31)) (local.get 0)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        local.get 1))"#;

#[test]
fn another_thread_interrupts() -> Result<()> {
    let (mut store, instance) = instance(SPIN)?;
    let handle = store.interrupt_handle();
    let stop = Arc::new(AtomicBool::new(false));
    let other = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(3));
                handle.interrupt();
            }
            handle
        }
    });
    for _ in 0..20 {
        assert_eq!(trap(&run(&mut store, instance, "spin").unwrap_err()), Trap::Interrupt);
    }
    stop.store(true, Ordering::Relaxed);
    let handle = other.join().expect("the thread ends well");
    // Nothing is left over for the next call, and a handle may outlive its store.
    assert!(!handle.interrupt());
    let work = instance.get_typed_func::<i32, i32>(&mut store, "work")?;
    work.call(&mut store, 1000)?;
    drop(store);
    assert!(!handle.interrupt());
    Ok(())
}

#[test]
fn an_interruption_waits_for_the_host() -> Result<()> {
    let text = r#"(module (import "" "" (func $host)) (func (export "run") call $host (loop br 0)))"#;
    let (mut store, instance) = instance_with(&Engine::default(), false, text, |store| {
        let handle = store.interrupt_handle();
        let host = Func::wrap(store, move |mut caller: Caller<'_, bool>| {
            assert!(!caller.interrupted());
            assert!(handle.interrupt());
            assert!(caller.interrupted());
            *caller.data_mut() = true;
        });
        vec![host.into()]
    })?;
    assert_eq!(trap(&run(&mut store, instance, "run").unwrap_err()), Trap::Interrupt);
    assert!(*store.data(), "the host function ran to its end");
    Ok(())
}

/// A store and an instance whose `run` calls a host function without end that waits for a byte that never comes. The host function is slow on its way
/// into the wait by as many steps as the store's data say.
fn waiting() -> Result<(Store<u32>, Instance, PipeWriter)> {
    let (reader, writer) = std::io::pipe()?;
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "wait", move |caller: Caller<'_, u32>| {
        for step in 0..*caller.data() {
            std::hint::black_box(step);
        }
        let _ = (&reader).read(&mut [0]);
    })?;
    let text = r#"(module (import "" "wait" (func $wait)) (func (export "run") (loop (call $wait) (br 0))))"#;
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &compiled(&engine, text)?)?;
    Ok((store, instance, writer))
}

#[test]
fn no_interruption_is_lost_before_a_wait() -> Result<()> {
    let (mut store, instance, _writer) = waiting()?;
    let handle = store.interrupt_handle();
    let (go, started) = std::sync::mpsc::channel::<()>();
    // Interrupts each call once, soon after it has begun.
    let other = std::thread::spawn(move || {
        for () in started {
            while !handle.interrupt() {
                std::hint::spin_loop();
            }
        }
    });
    for round in 0..3000 {
        *store.data_mut() = round % 64 * 10_000;
        go.send(())?;
        assert_eq!(trap(&run(&mut store, instance, "run").unwrap_err()), Trap::Interrupt);
    }
    drop(go);
    other.join().expect("the thread ends well");
    Ok(())
}

#[test]
fn no_time_limit_is_lost_before_a_wait() -> Result<()> {
    let (mut store, instance, _writer) = waiting()?;
    for round in 0..300 {
        *store.data_mut() = round * 2000;
        store.set_timeout(Duration::from_micros(u64::from(round % 100)));
        assert_eq!(trap(&run(&mut store, instance, "run").unwrap_err()), Trap::Interrupt);
    }
    Ok(())
}

#[test]
fn calls_have_a_time_limit() -> Result<()> {
    let (mut store, instance) = instance(SPIN)?;
    let work = instance.get_typed_func::<i32, i32>(&mut store, "work")?;
    store.set_timeout(Duration::from_millis(50));
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(trap(&run(&mut store, instance, "spin").unwrap_err()), Trap::Interrupt);
        let taken = start.elapsed();
        assert!(taken >= Duration::from_millis(50) && taken < Duration::from_secs(5), "{taken:?}");
        // The limit is one for each call, and none is left over.
        work.call(&mut store, 1000)?;
    }
    store.set_timeout(Duration::ZERO);
    assert_eq!(trap(&run(&mut store, instance, "spin").unwrap_err()), Trap::Interrupt);
    store.set_timeout(None);
    work.call(&mut store, 1000)?;
    store.set_timeout(Duration::MAX);
    work.call(&mut store, 1000)?;
    Ok(())
}

#[test]
fn many_short_calls_with_a_time_limit() -> Result<()> {
    let (mut store, instance) = instance(SPIN)?;
    let work = instance.get_typed_func::<i32, i32>(&mut store, "work")?;
    store.set_timeout(Duration::from_micros(200));
    let mut stopped = 0;
    for _ in 0..2000 {
        match work.call(&mut store, 50_000) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(trap(&error), Trap::Interrupt);
                stopped += 1;
            }
        }
    }
    store.set_timeout(None);
    println!("{stopped} of 2000 calls were stopped");
    for _ in 0..100 {
        work.call(&mut store, 50_000)?;
    }
    Ok(())
}

#[test]
fn fuel_is_used_up() -> Result<()> {
    let engine = Engine::new(Config::new().consume_fuel(true))?;
    let (mut store, instance) = instance_with(&engine, (), SPIN, |_| Vec::new())?;
    let work = instance.get_typed_func::<i32, i32>(&mut store, "work")?;
    assert_eq!(store.get_fuel()?, 0);
    assert_eq!(trap(&work.call(&mut store, 10).unwrap_err()), Trap::OutOfFuel);

    let used = |store: &mut wasmo::Store<()>, n| -> Result<u64> {
        store.set_fuel(1_000_000)?;
        work.call(&mut *store, n)?;
        Ok(1_000_000 - store.get_fuel()?)
    };
    let (first, second, third) = (used(&mut store, 100)?, used(&mut store, 100)?, used(&mut store, 200)?);
    assert_eq!(first, second, "fuel is deterministic");
    assert!(third > first + 100 && third < 3 * first, "{first} {third}");

    store.set_fuel(1_000_000)?;
    assert_eq!(trap(&run(&mut store, instance, "spin").unwrap_err()), Trap::OutOfFuel);
    assert_eq!(store.get_fuel()?, 0);
    Ok(())
}

#[test]
fn fuel_needs_to_be_configured() -> Result<()> {
    let (mut store, _) = instance(SPIN)?;
    assert!(store.set_fuel(1).is_err());
    assert!(store.get_fuel().is_err());
    Ok(())
}

fn ticking(engine: &Engine) -> impl Drop + use<> {
    struct Ticker(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);
    impl Drop for Ticker {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
            if let Some(thread) = self.1.take() {
                thread.join().expect("the thread ends well");
            }
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let engine = engine.weak();
    let thread = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(2));
                if let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                }
            }
        }
    });
    Ticker(stop, Some(thread))
}

#[test]
fn epochs_trap() -> Result<()> {
    let engine = Engine::new(Config::new().epoch_interruption(true))?;
    let (mut store, instance) = instance_with(&engine, (), SPIN, |_| Vec::new())?;
    let work = instance.get_typed_func::<i32, i32>(&mut store, "work")?;
    assert_eq!(trap(&work.call(&mut store, 10).unwrap_err()), Trap::Interrupt, "no deadline is set yet");
    store.set_epoch_deadline(1);
    work.call(&mut store, 10)?;
    engine.increment_epoch();
    assert_eq!(trap(&work.call(&mut store, 10).unwrap_err()), Trap::Interrupt);
    let _ticker = ticking(&engine);
    store.set_epoch_deadline(3);
    assert_eq!(trap(&run(&mut store, instance, "spin").unwrap_err()), Trap::Interrupt);
    Ok(())
}

#[test]
fn epochs_let_the_guest_go_on() -> Result<()> {
    let engine = Engine::new(Config::new().epoch_interruption(true))?;
    let (mut store, instance) = instance_with(&engine, 0, SPIN, |_| Vec::new())?;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        match *store.data() {
            10 => bail!("enough"),
            20 => Ok(UpdateDeadline::Interrupt),
            _ => Ok(UpdateDeadline::Continue(1)),
        }
    });
    let _ticker = ticking(&engine);
    assert_eq!(run(&mut store, instance, "spin").unwrap_err().root_cause().to_string(), "enough");
    assert_eq!(*store.data(), 10);
    assert_eq!(trap(&run(&mut store, instance, "spin").unwrap_err()), Trap::Interrupt);
    assert_eq!(*store.data(), 20);
    store.epoch_deadline_trap();
    assert_eq!(trap(&run(&mut store, instance, "spin").unwrap_err()), Trap::Interrupt);
    assert_eq!(*store.data(), 20);
    Ok(())
}
