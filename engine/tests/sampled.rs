//! Code that was made soon is found where it runs, and improved; and calls that last get code that they can go on in.
#![cfg(feature = "wat")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wasmo::{Config, Engine, Instance, Module, Result, Store, Tier, TierEvent, Tuning, TypedFunc};

const PROGRAM: &str = r#"(module
    (func (export "heavy") (param $n i32) (result i32) (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (local.get $n)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

/// What `heavy` answers.
fn heavy(n: u32) -> i32 {
    (1..=n).rev().fold(0, |sum: u32, n| sum.wrapping_mul(31).wrapping_add(n)).cast_signed()
}

struct Guest {
    store: Store<()>,
    instance: Instance,
    events: Arc<Mutex<Vec<TierEvent>>>,
}

impl Guest {
    fn new(tuning: Tuning) -> Result<Self> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let mut config = Config::new();
        config.tier(Tier::Auto).tuning(tuning).tier_observer(move |event| seen.lock().unwrap().push(*event));
        let engine = Engine::new(&config)?;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &Module::new(&engine, PROGRAM)?, &[])?;
        Ok(Self { store, instance, events })
    }

    fn call(&mut self, n: i32) -> Result<i32> {
        let heavy: TypedFunc<i32, i32> = self.instance.get_typed_func(&mut self.store, "heavy")?;
        heavy.call(&mut self.store, n)
    }

    fn count(&self, which: impl Fn(&TierEvent) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| which(event)).count()
    }
}

#[test]
fn what_runs_is_found_again_after_each_pause() -> Result<()> {
    // In each round there is time for a few samples, and in each pause for the sampler to lose interest.
    let mut guest = Guest::new(Tuning { soon_asks: 20, bytes_an_ask: usize::MAX, ..Tuning::default() })?;
    let improved = |event: &TierEvent| matches!(event, TierEvent::Optimized { .. });
    let start = Instant::now();
    while guest.count(improved) == 0 {
        for _ in 0..300 {
            assert_eq!(guest.call(3000)?, heavy(3000));
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it is never improved: {:?}", guest.events);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(guest.call(3000)?, heavy(3000));
    assert_eq!(guest.count(improved), 1, "{:?}", guest.events);
    Ok(())
}

#[test]
fn only_calls_that_last_are_left_at_loops() -> Result<()> {
    let tuning = || Tuning {
        budget: 100,
        budget_while_waiting: 50,
        lasting_asks: 4,
        // It is never asked for.
        sample_period: Duration::from_secs(3600),
        synchronous: true,
        ahead: false,
        ..Tuning::default()
    };
    let soon = |event: &TierEvent| matches!(event, TierEvent::Soon { .. });
    let left = |event: &TierEvent| matches!(event, TierEvent::Osr { .. });
    let mut short = Guest::new(tuning())?;
    for _ in 0..1000 {
        assert_eq!(short.call(5)?, heavy(5));
    }
    assert_eq!((short.count(soon), short.count(left)), (1, 0), "{:?}", short.events);
    let mut long = Guest::new(tuning())?;
    assert_eq!(long.call(10_000)?, heavy(10_000));
    // Whoever calls it next is to have code at once; then it turned out that the call lasts.
    assert_eq!((long.count(soon), long.count(left)), (2, 1), "{:?}", long.events);
    Ok(())
}
