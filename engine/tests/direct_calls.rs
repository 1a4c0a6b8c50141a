//! Calls whose arguments and results travel in registers all the way, at the borders of what fits, and everything that may end them.

mod common;

use common::{compiled, instance_with, names, run, trap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wasmo::{
    Caller, Config, Engine, Error, Extern, ExternRef, Func, FuncType, Instance, Result, Store, Trap, UpdateDeadline,
    V128, bail,
};

/// A module that hands its parameters on to the host, which it calls as an import and through a table, and answers what that answers.
fn forwarding(ty: &FuncType) -> String {
    let list = |types: Vec<String>| types.join(" ");
    let params = list(ty.params().map(|ty| ty.to_string()).collect());
    let results = list(ty.results().map(|ty| ty.to_string()).collect());
    let arguments = list((0..ty.params().len()).map(|index| format!("local.get {index}")).collect());
    format!(
        r#"(module
            (type $t (func (param {params}) (result {results})))
            (import "" "" (func $host (type $t)))
            (table $t funcref (elem $host))
            (func (export "import") (type $t) {arguments} call $host)
            (func (export "table") (type $t) {arguments} (call_indirect (type $t) (i32.const 0)))
            (func (export "tail") (type $t) {arguments} return_call $host))"#
    )
}

/// Calls `$host` with the arguments through a guest, each of the guest's ways; the results must be `$expected`.
macro_rules! goes_through {
    ($($host:expr, ($($ty:ty),*) -> $result:ty: ($($argument:expr),*) => $expected:expr;)*) => {$({
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let host = Func::wrap(&mut store, $host);
        let module = compiled(&engine, forwarding(&host.ty(&store)))?;
        let instance = Instance::new(&mut store, &module, &[host.into()])?;
        for name in ["import", "table", "tail"] {
            let func = instance.get_typed_func::<($($ty,)*), $result>(&mut store, name)?;
            for _ in 0..3 {
                let found = func.call(&mut store, ($($argument,)*))?;
                assert_eq!(format!("{found:?}"), format!("{:?}", $expected), "{} {name}", host.ty(&store));
            }
        }
        let found = host.typed::<($($ty,)*), $result>(&store)?.call(&mut store, ($($argument,)*))?;
        assert_eq!(format!("{found:?}"), format!("{:?}", $expected), "{} from the host", host.ty(&store));
    })*};
}

#[test]
fn one_value_of_each_class() -> Result<()> {
    goes_through! {
        || {}, () -> (): () => ();
        |n: i32| n.wrapping_neg(), (i32) -> i32: (i32::MIN + 1) => i32::MAX;
        |n: u32| n ^ 1, (u32) -> u32: (u32::MAX) => u32::MAX - 1;
        |n: i64| n - 1, (i64) -> i64: (i64::MIN + 1) => i64::MIN;
        |n: u64| !n, (u64) -> u64: (1 << 40) => !(1_u64 << 40);
        |n: f32| n * 2.0, (f32) -> f32: (1.25) => 2.5_f32;
        |n: f64| n / 2.0, (f64) -> f64: (-0.5) => -0.25;
        |n: V128| n, (V128) -> V128: (V128::from(u128::MAX - 5)) => V128::from(u128::MAX - 5);
        |n: Option<ExternRef>| n, (Option<ExternRef>) -> Option<ExternRef>: (None) => None::<ExternRef>;
        |f: Option<Func>| f, (Option<Func>) -> Option<Func>: (None) => None::<Func>;
        |n: i32| (n, ), (i32) -> i32: (7) => 7;
        |n: i32, x: f64| (x, n), (i32, f64) -> (f64, i32): (7, 0.5) => (0.5, 7);
        |n: i32| -> Result<i64> { Ok(i64::from(n) << 32) }, (i32) -> i64: (-1) => -1_i64 << 32;
        || 5_i64, () -> i64: () => 5_i64;
        |_: i32| {}, (i32) -> (): (1) => ();
    }
    Ok(())
}

#[test]
fn bits_of_floats_are_kept() -> Result<()> {
    let (signalling, single) = (f64::from_bits(0x7ff4_0000_dead_beef), f32::from_bits(0x7fa1_2345));
    goes_through! {
        |x: f64, y: f32| x.to_bits() ^ u64::from(y.to_bits()), (f64, f32) -> u64: (signalling, single)
            => 0x7ff4_0000_dead_beef_u64 ^ 0x7fa1_2345;
        |n: u64| f64::from_bits(n), (u64) -> f64: (0) => 0.0;
    }
    let text = r#"(module (import "" "" (func $host (result f64)))
        (func (export "run") (result i64) (i64.reinterpret_f64 (call $host))))"#;
    let (mut store, instance) = instance_with(&Engine::default(), (), text, |store| {
        vec![Func::wrap(store, || f64::from_bits(0x7ff4_0000_dead_beef)).into()]
    })?;
    let run = instance.get_typed_func::<(), u64>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, ())?, 0x7ff4_0000_dead_beef);
    Ok(())
}

#[test]
#[allow(clippy::many_single_char_names, reason = "the test is about many arguments")]
fn as_many_as_fit_and_one_more() -> Result<()> {
    goes_through! {
        // Five integers and eight floats go to the host in registers, six or nine do not.
        |a: i32, b: i64, c: u32, d: u64, e: i32| {
            i64::from(a) + 2 * b + 3 * i64::from(c) + 4 * d.cast_signed() + 5 * i64::from(e)
        }, (i32, i64, u32, u64, i32) -> i64: (1, 2, 3, 4, -5) => 1 + 4 + 9 + 16 - 25_i64;
        |a: i32, b: i64, c: u32, d: u64, e: i32, f: i64| {
            i64::from(a) + 2 * b + 3 * i64::from(c) + 4 * d.cast_signed() + 5 * i64::from(e) + 6 * f
        }, (i32, i64, u32, u64, i32, i64) -> i64: (1, 2, 3, 4, -5, 6) => 1 + 4 + 9 + 16 - 25 + 36_i64;
        |a: f32, b: f64, c: f32, d: f64, e: f32, f: f64, g: f32, h: f64| {
            f64::from(a) + 2.0 * b + 4.0 * f64::from(c) + 8.0 * d + 16.0 * f64::from(e) + 32.0 * f + 64.0 * f64::from(g) + 128.0 * h
        }, (f32, f64, f32, f64, f32, f64, f32, f64) -> f64: (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0) => 223.0;
        |a: f32, b: f64, c: f32, d: f64, e: f32, f: f64, g: f32, h: f64, i: f32| {
            f64::from(a) + 2.0 * b + 4.0 * f64::from(c) + 8.0 * d + 16.0 * f64::from(e) + 32.0 * f + 64.0 * f64::from(g) + 128.0 * h
                + 256.0 * f64::from(i)
        }, (f32, f64, f32, f64, f32, f64, f32, f64, f32) -> f64: (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0) => 479.0;
        |a: i32, p: f32, b: i64, q: f64, c: i32, r: f32, d: i64, s: f64, e: i32, t: f32, u: f64, v: f64, w: f32| {
            let integers = i64::from(a) + 2 * b + 3 * i64::from(c) + 4 * d + 5 * i64::from(e);
            let floats = f64::from(p) + 2.0 * q + 4.0 * f64::from(r) + 8.0 * s + 16.0 * f64::from(t) + 32.0 * u + 64.0 * v
                + 128.0 * f64::from(w);
            floats * 1000.0 + f64::from(u32::try_from(integers).unwrap_or(0))
        }, (i32, f32, i64, f64, i32, f32, i64, f64, i32, f32, f64, f64, f32) -> f64:
            (1, 1.0, 2, 0.0, 3, 1.0, 4, 0.0, 5, 1.0, 0.0, 1.0, 1.0) => 213_055.0;
    }
    Ok(())
}

#[test]
fn the_host_calls_with_as_many_as_fit_and_one_more() -> Result<()> {
    type Fits = (i64, f64, i64, f64, i64, f64, i64, f64, i64, f64, i64, f64, f64, f64);
    type More = (i64, i64, i64, i64, i64, i64, i64);
    let text = r#"(module
        (func (export "fits") (param i64 f64 i64 f64 i64 f64 i64 f64 i64 f64 i64 f64 f64 f64) (result f64 i64 f64 i64 f64 i64 f64 i64)
            (f64.add (local.get 13) (local.get 12)) (i64.add (local.get 10) (local.get 8)) (f64.add (local.get 11) (local.get 9))
            (i64.add (local.get 6) (local.get 4)) (local.get 7) (local.get 2) (f64.sub (local.get 5) (local.get 3))
            (local.get 0))
        (func (export "more") (param i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64)
            local.get 6 local.get 5 local.get 4 local.get 3 local.get 2)
        (func (export "singles") (param i32 f32) (result f32 i32) local.get 1 local.get 0))"#;
    let (mut store, instance) = instance_with(&Engine::default(), (), text, |_| Vec::new())?;
    let fits = instance.get_typed_func::<Fits, (f64, i64, f64, i64, f64, i64, f64, i64)>(&mut store, "fits")?;
    let more = instance.get_typed_func::<More, (i64, i64, i64, i64, i64)>(&mut store, "more")?;
    let singles = instance.get_typed_func::<(i32, f32), (f32, i32)>(&mut store, "singles")?;
    for _ in 0..3 {
        let found = fits.call(&mut store, (1, 0.1, 2, 0.25, 3, 0.5, 4, 4.0, 5, 8.0, 6, 16.0, 32.0, 64.0))?;
        assert_eq!(found, (96.0, 11, 24.0, 7, 4.0, 2, 0.25, 1));
        assert_eq!(more.call(&mut store, (1, 2, 3, 4, 5, 6, 7))?, (7, 6, 5, 4, 3));
        assert_eq!(singles.call(&mut store, (-1, -0.5))?, (-0.5, -1));
    }
    // With a time limit the call is made another way.
    store.set_timeout(std::time::Duration::from_secs(100));
    assert_eq!(singles.call(&mut store, (-1, -0.5))?, (-0.5, -1));
    assert_eq!(more.call(&mut store, (1, 2, 3, 4, 5, 6, 7))?, (7, 6, 5, 4, 3));
    Ok(())
}

#[test]
fn references_go_through_registers() -> Result<()> {
    let text = r#"(module
        (import "" "" (func $host (param funcref externref i32) (result funcref)))
        (type $inc (func (param i32) (result i32)))
        (table 1 funcref)
        (func $inc (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
        (elem declare func $inc)
        (func (export "run") (param externref) (result i32)
            (table.set (i32.const 0) (call $host (ref.func $inc) (local.get 0) (i32.const 3)))
            (call_indirect (type $inc) (i32.const 40) (i32.const 0))))"#;
    let (mut store, instance) = instance_with(&Engine::default(), 0, text, |store| {
        let twice = Func::wrap(&mut *store, |n: i32| 2 * n);
        let host = Func::wrap(
            store,
            move |mut caller: Caller<'_, i32>,
                  func: Option<Func>,
                  value: Option<ExternRef>,
                  n: i32|
                  -> Result<Option<Func>> {
                let func = func.expect("the guest's function");
                *caller.data_mut() = func.typed::<i32, i32>(&caller)?.call(&mut caller, n)?;
                // Without a value, a function of the host's is given that no module has imported.
                Ok(Some(if value.is_some() { func } else { twice }))
            },
        );
        vec![host.into()]
    })?;
    let run = instance.get_typed_func::<Option<ExternRef>, i32>(&mut store, "run")?;
    let value = ExternRef::new(&mut store, 5_u8)?;
    assert_eq!(run.call(&mut store, Some(value))?, 41);
    assert_eq!(run.call(&mut store, None)?, 80);
    assert_eq!(*store.data(), 4);
    // A function of another store cannot be a result.
    let mut other = Store::new(&Engine::default(), ());
    let foreign = Func::wrap(&mut other, || {});
    let text = r#"(module (import "" "" (func $host (result funcref))) (func (export "run") (drop (call $host))))"#;
    let (mut store, instance) =
        instance_with(&Engine::default(), (), text, |store| vec![Func::wrap(store, move || Some(foreign)).into()])?;
    assert!(common::run(&mut store, instance, "run").is_err());
    Ok(())
}

/// What a guest keeps over a call, in as many registers as there are and more, is what it was.
#[test]
fn what_a_guest_keeps_survives_the_host() -> Result<()> {
    let body: String =
        (0..12).map(|n| format!("(local.set {n} (i64.mul (local.get 24) (i64.const {})))", n + 3)).collect();
    let floats: String = (12..24)
        .map(|n| format!("(local.set {n} (f64.convert_i64_s (i64.add (local.get 24) (i64.const {n}))))"))
        .collect();
    let calls = "(local.set 24 (i64.add (local.get 24) (i64.extend_i32_u (call $host (i32.wrap_i64 (local.get 24)) (local.get 12)))))"
        .repeat(3);
    let sum: String = (0..12)
        .map(|n| format!("(local.set 24 (i64.xor (i64.rotl (local.get 24) (i64.const 5)) (local.get {n})))"))
        .collect();
    let float_sum: String = (12..24)
        .map(|n| {
            format!(
                "(local.set 24 (i64.xor (i64.rotl (local.get 24) (i64.const 3)) (i64.reinterpret_f64 (local.get {n}))))"
            )
        })
        .collect();
    let locals = format!("(local {} {} i64)", "i64 ".repeat(12), "f64 ".repeat(12));
    // The parameter is copied to local 24, so that the others have these numbers.
    let module = |host: &str| {
        format!(
            r#"(module {host} (global $in (mut i64) (i64.const 0))
            (func $body (result i64) {locals} (local.set 24 (global.get $in)) {body} {floats} {calls} {sum} {float_sum} local.get 24)
            (func (export "run") (param i64) (result i64) (global.set $in (local.get 0)) (call $body)))"#
        )
    };
    let import = r#"(import "" "" (func $host (param i32 f64) (result i32)))"#;
    let own = "(func $host (param i32 f64) (result i32) (i32.xor (local.get 0) (i32.trunc_sat_f64_s (local.get 1))))";
    let mix = |n: i32, x: f64| {
        // Changes as many registers as it can.
        let mut values = [0_u64; 16];
        for (position, value) in values.iter_mut().enumerate() {
            *value = std::hint::black_box(position as u64 ^ u64::from(n.cast_unsigned()));
        }
        let floats: f64 = std::hint::black_box([x; 16]).iter().zip(values).map(|(x, n)| x * (n as f64)).sum();
        std::hint::black_box(floats);
        #[allow(clippy::cast_possible_truncation, reason = "saturates as the guest's instruction does")]
        let x = x as i32;
        n ^ x
    };
    let engine = Engine::default();
    let (mut expected, inner) = instance_with(&engine, (), &module(own), |_| Vec::new())?;
    let (mut store, instance) =
        instance_with(&engine, (), &module(import), |store| vec![Func::wrap(store, mix).into()])?;
    let own = inner.get_typed_func::<i64, i64>(&mut expected, "run")?;
    let run = instance.get_typed_func::<i64, i64>(&mut store, "run")?;
    for n in [0, 1, -1, 1 << 20, i64::MAX / 7] {
        assert_eq!(run.call(&mut store, n)?, own.call(&mut expected, n)?, "{n}");
    }
    Ok(())
}

/// How the innermost of several activations ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Returns,
    Traps,
    Faults,
    Errors,
    Panics,
    Interrupted,
    Overflows,
}

/// What the hosts of [`NESTING`] work on.
#[derive(Default)]
struct Nesting {
    end: Option<End>,
    /// The level at which a host function catches what happened; 0 for none.
    caught_at: i32,
    dropped: Arc<AtomicU32>,
}

/// Guest and host in turn, down to level 0; each level adds its number to the result on the way back, from locals that it kept.
const NESTING: &str = r#"(module
    (import "" "down" (func $down (param i32 i64 f64) (result i64)))
    (import "" "end" (func $end (param f64) (result f64)))
    (memory 1)
    (func $overflow (param i32) (result i32) (i32.add (call $overflow (local.get 0)) (i32.const 1)))
    (func $run (export "run") (param $level i32) (param $sum i64) (param $x f64) (result i64)
        (local $kept i64)
        (local.set $kept (i64.mul (i64.extend_i32_s (local.get $level)) (i64.const 3)))
        (if (i32.eqz (local.get $level)) (then
            (local.set $x (call $end (local.get $x)))
            (if (f64.eq (local.get $x) (f64.const 1)) (then unreachable))
            (if (f64.eq (local.get $x) (f64.const 2)) (then (drop (i32.load (i32.const -1)))))
            (if (f64.eq (local.get $x) (f64.const 6)) (then (drop (call $overflow (i32.const 0)))))
            (return (i64.add (local.get $sum) (i64.trunc_sat_f64_s (local.get $x))))))
        (i64.add (local.get $kept) (call $down (local.get $level) (local.get $sum) (local.get $x)))))"#;

struct CountsDrop(Arc<AtomicU32>);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn nesting(engine: &Engine) -> Result<(Store<Nesting>, Instance)> {
    instance_with(engine, Nesting::default(), NESTING, |store| {
        let handle = store.interrupt_handle();
        let down =
            Func::wrap(&mut *store, |mut caller: Caller<'_, Nesting>, level: i32, sum: i64, x: f64| -> Result<i64> {
                let _guard = CountsDrop(Arc::clone(&caller.data().dropped));
                let run = caller.get_export("run").and_then(Extern::into_func).expect("exported");
                let run = run.typed::<(i32, i64, f64), i64>(&caller)?;
                let called = run.call(&mut caller, (level - 1, sum + 1, x));
                if called.is_err() && caller.data().caught_at == level { Ok(-1000) } else { called }
            });
        let end = Func::wrap(store, move |caller: Caller<'_, Nesting>, x: f64| -> Result<f64> {
            match caller.data().end.expect("set") {
                End::Returns => Ok(x),
                End::Traps => Ok(1.0),
                End::Faults => Ok(2.0),
                End::Overflows => Ok(6.0),
                End::Errors => bail!("the host's error"),
                End::Panics => panic!("the host's panic"),
                End::Interrupted => {
                    assert!(handle.interrupt());
                    Ok(x)
                }
            }
        });
        vec![down.into(), end.into()]
    })
}

fn assert_ended_by(error: &Error, end: End) {
    match end {
        End::Traps => assert_eq!(trap(error), Trap::UnreachableCodeReached),
        End::Faults => assert_eq!(trap(error), Trap::MemoryOutOfBounds),
        End::Interrupted => assert_eq!(trap(error), Trap::Interrupt),
        End::Overflows => assert_eq!(trap(error), Trap::StackOverflow),
        _ => assert_eq!(error.root_cause().to_string(), "the host's error"),
    }
}

#[test]
fn every_end_goes_through_every_level() -> Result<()> {
    use End::{Errors, Faults, Interrupted, Overflows, Panics, Returns, Traps};
    let (mut store, instance) = nesting(&Engine::default())?;
    let run = instance.get_typed_func::<(i32, i64, f64), i64>(&mut store, "run")?;
    let dropped = Arc::clone(&store.data().dropped);
    for end in [Returns, Traps, Errors, Faults, Panics, Overflows, Returns, Interrupted, Panics, Returns] {
        for levels in [0_i32, 1, 2, 5, 40] {
            store.data_mut().end = Some(end);
            store.data_mut().caught_at = 0;
            dropped.store(0, Ordering::Relaxed);
            let sum = i64::from(levels) + 3 * i64::from(levels * (levels + 1) / 2);
            match catch_unwind(AssertUnwindSafe(|| run.call(&mut store, (levels, 0, 9.0)))) {
                Ok(Ok(found)) => assert_eq!((end, found), (Returns, sum + 9)),
                Ok(Err(error)) => {
                    assert_ended_by(&error, end);
                    let frames = names(&error).into_iter().filter(|name| name == "run").count();
                    // A stack that is full has more frames than a backtrace.
                    if end == Overflows {
                        assert!(frames <= 1);
                    } else {
                        assert_eq!(
                            frames,
                            usize::try_from(levels)? + 1,
                            "{end:?}: all activations are in the backtrace"
                        );
                    }
                }
                Err(payload) => {
                    assert_eq!((end, payload.downcast_ref::<&str>()), (Panics, Some(&"the host's panic")));
                }
            }
            assert_eq!(
                dropped.load(Ordering::Relaxed),
                levels.cast_unsigned(),
                "{end:?}: the host's frames were unwound"
            );
        }
    }
    Ok(())
}

#[test]
fn what_is_caught_on_the_way_leaves_the_rest_as_it_was() -> Result<()> {
    let (mut store, instance) = nesting(&Engine::default())?;
    let run = instance.get_typed_func::<(i32, i64, f64), i64>(&mut store, "run")?;
    for end in [End::Traps, End::Faults, End::Errors, End::Overflows] {
        for caught_at in 1..=6 {
            store.data_mut().end = Some(end);
            store.data_mut().caught_at = caught_at;
            // The host at level `caught_at` answers -1000, and each guest from there up adds three times its level.
            let expected: i64 = -1000 + (caught_at..=6).map(|level| 3 * i64::from(level)).sum::<i64>();
            assert_eq!(run.call(&mut store, (6, 0, 9.0))?, expected, "{end:?} {caught_at}");
        }
    }
    // An interruption caught by a host function goes on once it returns to its guest.
    store.data_mut().end = Some(End::Interrupted);
    store.data_mut().caught_at = 3;
    assert_eq!(trap(&run.call(&mut store, (6, 0, 9.0)).unwrap_err()), Trap::Interrupt);
    Ok(())
}

#[test]
fn fuel_and_epochs_end_guests_below_hosts() -> Result<()> {
    let engine = Engine::new(Config::new().consume_fuel(true))?;
    let (mut store, instance) = nesting(&engine)?;
    let run = instance.get_typed_func::<(i32, i64, f64), i64>(&mut store, "run")?;
    store.data_mut().end = Some(End::Returns);
    store.set_fuel(1_000_000)?;
    run.call(&mut store, (20, 0, 9.0))?;
    let used = 1_000_000 - store.get_fuel()?;
    for fuel in [0, used / 3, used / 2, used * 3 / 4] {
        store.set_fuel(fuel)?;
        store.data_mut().dropped.store(0, Ordering::Relaxed);
        let error = run.call(&mut store, (20, 0, 9.0)).unwrap_err();
        assert_eq!(trap(&error), Trap::OutOfFuel, "{fuel}");
    }
    store.set_fuel(used)?;
    run.call(&mut store, (20, 0, 9.0))?;

    let engine = Engine::new(Config::new().epoch_interruption(true))?;
    let (mut store, instance) = nesting(&engine)?;
    let run = instance.get_typed_func::<(i32, i64, f64), i64>(&mut store, "run")?;
    store.data_mut().end = Some(End::Returns);
    store.set_epoch_deadline(1);
    run.call(&mut store, (5, 0, 9.0))?;
    engine.increment_epoch();
    assert_eq!(trap(&run.call(&mut store, (5, 0, 9.0)).unwrap_err()), Trap::Interrupt);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
    assert_eq!(run.call(&mut store, (5, 0, 9.0))?, 5 + 45 + 9);
    Ok(())
}

/// A thread interrupts at any moment while guest and host call each other as fast as they can.
#[test]
fn interruptions_between_short_calls() -> Result<()> {
    let text = r#"(module (import "" "" (func $host (param i64) (result i64)))
        (func (export "run") (local i64) (loop (local.set 0 (call $host (local.get 0))) (br 0))))"#;
    let (mut store, instance) =
        instance_with(&Engine::default(), (), text, |store| vec![Func::wrap(store, |n: i64| n + 1).into()])?;
    let handle = store.interrupt_handle();
    let done = Arc::new(AtomicU32::new(0));
    let other = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            while done.load(Ordering::Relaxed) == 0 {
                handle.interrupt();
                std::hint::spin_loop();
            }
        }
    });
    let mut with_frames = 0;
    for _ in 0..2000 {
        let error = run(&mut store, instance, "run").unwrap_err();
        assert_eq!(trap(&error), Trap::Interrupt);
        with_frames += u32::from(error.downcast_ref::<wasmo::WasmBacktrace>().is_some());
    }
    done.store(1, Ordering::Relaxed);
    other.join().expect("the thread ends well");
    // Those have none that come before the guest has begun.
    assert!(with_frames >= 1980, "{with_frames} of 2000 interruptions have a backtrace");
    Ok(())
}

/// One closure, its function imported by one instance and handed to another: each sees its caller.
#[test]
fn each_importer_has_its_record() -> Result<()> {
    let engine = Engine::default();
    let module = compiled(
        &engine,
        r#"(module (import "" "" (func $host (result i32))) (global (export "id") (mut i32) (i32.const 0))
            (func (export "run") (result i32) call $host))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, ()>| -> Result<i32> {
        let Some(Extern::Global(id)) = caller.get_export("id") else { bail!("no caller") };
        Ok(id.get(&mut caller).unwrap_i32())
    });
    let mut funcs = Vec::new();
    for number in 0..5 {
        let instance = Instance::new(&mut store, &module, &[host.into()])?;
        instance.get_global(&mut store, "id").expect("exported").set(&mut store, number.into())?;
        funcs.push(instance.get_typed_func::<(), i32>(&mut store, "run")?);
    }
    for (number, func) in (0..).zip(&funcs) {
        assert_eq!(func.call(&mut store, ())?, number);
    }
    assert!(host.typed::<(), i32>(&store)?.call(&mut store, ()).is_err(), "the host has no exports");
    Ok(())
}
