//! Profiles: code counts what it does, and code that is made with what was counted, or with guesses in tiers, does the same as any other, whatever the profile says.
#![cfg(all(feature = "compiler", feature = "wat"))]

use std::sync::{Arc, Mutex};
use wasmo::profile::{Counts, FunctionProfile};
use wasmo::{
    Config, Engine, Extern, Func, Instance, Module, Profile, Ref, Result, Store, Table, Tier, TierEvent, Trap, Tuning,
    Val,
};
use wasmo_abi::artifact::checksum;

/// Calls through a table in which functions of its own, of another type, and nothing can be; by tail calls as well.
const CALLS: &str = r#"(module
    (type $f (func (param i32) (result i32)))
    (table $t (export "table") 5 funcref)
    (elem (i32.const 0) $inc $double $wide $inc)
    (func $inc (type $f) (i32.add (local.get 0) (i32.const 1)))
    (func $double (type $f) (i32.shl (local.get 0) (i32.const 1)))
    (func $wide (param i64) (result i64) (local.get 0))
    (func (export "put") (param $to i32) (param $from i32)
        (table.set (local.get $to) (table.get (local.get $from))))
    (func $run (export "run") (param $slot i32) (param $n i32) (result i32) (local $x i32)
        (loop $again
            (local.set $x (call_indirect (type $f) (local.get $x) (local.get $slot)))
            (block $c (block $b (block $a (br_table $a $b $c (i32.rem_u (local.get $n) (i32.const 5))))
                (local.set $x (i32.xor (local.get $x) (i32.const 1))))
                (local.set $x (i32.add (local.get $x) (i32.const 3))))
            (if (i32.and (local.get $x) (i32.const 4)) (then (local.set $x (i32.sub (local.get $x) (i32.const 2)))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $x))
    (func $tail (export "tail") (param $slot i32) (param $n i32) (result i32)
        (if (local.get $n) (then (return_call $tail (local.get $slot) (i32.sub (local.get $n) (i32.const 1)))))
        (return_call_indirect (type $f) (i32.const 20) (local.get $slot)))
    (func (export "never") (result i32) (i32.const 3)))"#;

fn counting() -> Engine {
    Engine::new(Config::new().collect_profile(true)).unwrap()
}

/// One module in a store of its own.
struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine, module: &Module) -> Self {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        Self { store, instance }
    }

    fn call(&mut self, name: &str, slot: i32, n: i32) -> Result<i32> {
        self.instance.get_typed_func::<(i32, i32), i32>(&mut self.store, name)?.call(&mut self.store, (slot, n))
    }

    fn put(&mut self, to: i32, from: i32) {
        let put = self.instance.get_typed_func::<(i32, i32), ()>(&mut self.store, "put").unwrap();
        put.call(&mut self.store, (to, from)).unwrap();
    }

    /// All that the guest can do, as text.
    fn observe(&mut self) -> String {
        let mut seen = String::new();
        for content in [0, 1, 2, 4, 3] {
            self.put(0, content);
            for name in ["run", "tail"] {
                let result = self.call(name, 0, 7);
                let trap = result.as_ref().err().and_then(|error| error.downcast_ref::<Trap>()).copied();
                seen.push_str(&format!("{content} {name}: {:?} {trap:?}\n", result.ok()));
            }
        }
        seen + &format!("{:?}", self.call("run", 9, 1).err().and_then(|error| error.downcast_ref::<Trap>().copied()))
    }
}

/// The profile of a run in which slot 0 nearly always has `$inc`.
fn profile() -> Profile {
    let engine = counting();
    let module = Module::new(&engine, CALLS).unwrap();
    let mut guest = Guest::new(&engine, &module);
    guest.call("run", 0, 1000).unwrap();
    guest.call("run", 1, 10).unwrap();
    guest.call("tail", 0, 5).unwrap();
    module.profile().unwrap()
}

fn function(profile: &Profile, index: u32) -> &FunctionProfile {
    profile.functions().iter().find(|function| function.index == index).unwrap()
}

#[test]
fn code_counts_what_it_does() {
    let profile = profile();
    let calls: Vec<_> = profile.functions().iter().map(|function| (function.index, function.entries)).collect();
    // `$inc`, `$double`, `$run`, `$tail`; neither `$wide` nor `put` nor `never`.
    assert_eq!(calls, [(0, 1001), (1, 10), (4, 2), (5, 6)]);
    let counts: Vec<_> = function(&profile, 4).sites.iter().map(|site| &site.counts).collect();
    let [Counts::Loop { rounds }, Counts::Call { total, hits, target }, Counts::Table { taken }, inner, outer] =
        counts[..]
    else {
        panic!("{counts:?}");
    };
    assert_eq!((*rounds, *total, *hits, *target), (1010, 1010, 1000, Some(0)));
    // Of 1 to 1000, and of 1 to 10, a fifth is a multiple of 5, a fifth one more, and the rest takes the default.
    assert_eq!(taken[..], [202, 202, 606]);
    let (Counts::Branch { total, .. }, Counts::Branch { taken, total: rounds }) = (inner, outer) else {
        panic!("{counts:?}");
    };
    assert_eq!((*total, *taken, *rounds), (1010, 1008, 1010));
    let tail: Vec<_> = function(&profile, 5).sites.iter().map(|site| site.counts.clone()).collect();
    let call = Counts::Call { total: 1, hits: 1, target: Some(0) };
    assert_eq!(tail, [Counts::Branch { taken: 5, total: 6 }, call]);
}

#[test]
fn a_profile_comes_back_from_its_file() {
    let profile = profile();
    assert!(Profile::detect(&profile.to_bytes()));
    assert_eq!(Profile::from_bytes(&profile.to_bytes()).unwrap(), profile);
    assert!(Profile::from_bytes(b"\0asm").unwrap_err().to_string().contains("no profile"));
}

#[test]
fn modules_count_only_when_they_are_told_to() {
    let engine = Engine::default();
    assert!(Module::new(&engine, CALLS).unwrap().profile().is_none());
    let module = Module::new(&counting(), CALLS).unwrap();
    assert_eq!(module.profile().unwrap().functions(), []);
}

#[test]
fn guards_honour_slots_that_change() {
    let engine = Engine::default();
    let expected = Guest::new(&engine, &Module::new(&engine, CALLS).unwrap()).observe();
    assert!(expected.contains("BadSignature") && expected.contains("IndirectCallToNull"), "{expected}");
    let module = Module::new_with_profile(&engine, CALLS, &profile()).unwrap();
    assert_eq!(Guest::new(&engine, &module).observe(), expected);
    // What the host puts there is honoured too.
    let mut guest = Guest::new(&engine, &module);
    let table: Table = guest.instance.get_table(&mut guest.store, "table").unwrap();
    let host = Func::wrap(&mut guest.store, |x: i32| x - 100);
    table.set(&mut guest.store, 0, Ref::Func(Some(host))).unwrap();
    assert_eq!(guest.call("tail", 0, 3).unwrap(), -80);
    // A million tail calls, guarded and not, take no stack.
    assert_eq!(guest.call("tail", 3, 1_000_000).unwrap(), 21);
    assert_eq!(guest.call("tail", 1, 1_000_000).unwrap(), 40);
}

#[test]
fn artefacts_are_made_with_profiles_too() {
    let engine = Engine::default();
    struct Unobserved;
    impl wasmo::CompileObserver for Unobserved {}
    let artifact = engine.precompile_module_with_profile(CALLS.as_bytes(), &profile(), &Unobserved).unwrap();
    // SAFETY: the engine has just made it.
    let module = unsafe { Module::deserialize(&engine, artifact) }.unwrap();
    let expected = Guest::new(&engine, &Module::new(&engine, CALLS).unwrap()).observe();
    assert_eq!(Guest::new(&engine, &module).observe(), expected);
}

/// A function that counts in a global of its own instance, called through a table that instances share.
const OWN: &str = r#"(module
    (import "" "t" (table 1 funcref))
    (type $f (func (result i32)))
    (global $own (mut i32) (i32.const 0))
    (elem declare func $count)
    (func $count (type $f) (global.set $own (i32.add (global.get $own) (i32.const 1))) (global.get $own))
    (func (export "install") (table.set (i32.const 0) (ref.func $count)))
    (func (export "run") (result i32) (call_indirect (type $f) (i32.const 0))))"#;

#[test]
fn guards_tell_instances_of_one_module_apart() {
    let two = |engine: &Engine, module: &Module| {
        let mut store = Store::new(engine, ());
        let ty = wasmo::TableType::new(wasmo::RefType::FUNCREF, 1, None);
        let table: Extern = Table::new(&mut store, ty, Ref::Func(None)).unwrap().into();
        let [a, b] = [(); 2].map(|()| Instance::new(&mut store, module, std::slice::from_ref(&table)).unwrap());
        (store, a, b)
    };
    let call = |store: &mut Store<()>, instance: Instance, name: &str| {
        let mut results = vec![Val::I32(0); usize::from(name == "run")];
        instance.get_func(&mut *store, name).unwrap().call(&mut *store, &[], &mut results).unwrap();
        results.first().and_then(Val::i32)
    };
    let engine = counting();
    let module = Module::new(&engine, OWN).unwrap();
    let (mut store, a, b) = two(&engine, &module);
    call(&mut store, a, "install");
    for instance in [vec![a; 20], vec![b; 2]].concat() {
        call(&mut store, instance, "run");
    }
    let profile = module.profile().unwrap();
    let run = profile.functions().iter().find(|function| function.index == 2).unwrap();
    assert_eq!(run.sites[0].counts, Counts::Call { total: 22, hits: 20, target: Some(0) });

    let engine = Engine::default();
    let module = Module::new_with_profile(&engine, OWN, &profile).unwrap();
    let (mut store, a, b) = two(&engine, &module);
    call(&mut store, a, "install");
    assert_eq!(call(&mut store, a, "run"), Some(1));
    // `b` finds the same function, and it is not its own.
    assert_eq!(call(&mut store, b, "run"), Some(2));
    call(&mut store, b, "install");
    assert_eq!(call(&mut store, b, "run"), Some(1));
    assert_eq!(call(&mut store, a, "run"), Some(2));
}

#[test]
fn fuel_is_the_same_with_a_profile() {
    let mut config = Config::new();
    config.consume_fuel(true);
    let engine = Engine::new(&config).unwrap();
    let used = |module: &Module| {
        let mut store = Store::new(&engine, ());
        store.set_fuel(1_000_000).unwrap();
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        let mut used = Vec::new();
        for (name, slot) in [("run", 0), ("run", 1), ("run", 2), ("tail", 3), ("tail", 1), ("tail", 4)] {
            let call = instance.get_typed_func::<(i32, i32), i32>(&mut store, name).unwrap();
            let result = call.call(&mut store, (slot, 9)).ok();
            used.push((result, store.get_fuel().unwrap()));
        }
        used
    };
    let profiled = used(&Module::new_with_profile(&engine, CALLS, &profile()).unwrap());
    assert_eq!(profiled, used(&Module::new(&engine, CALLS).unwrap()));
}

#[test]
fn threads_lose_counts_at_most() {
    let engine = counting();
    let module = Module::new(&engine, CALLS).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| Guest::new(&engine, &module).call("run", 0, 50_000).unwrap());
        }
    });
    let profile = module.profile().unwrap();
    let entries = function(&profile, 0).entries;
    assert!((1..=200_000).contains(&entries), "{entries}");
    let engine = Engine::default();
    let expected = Guest::new(&engine, &Module::new(&engine, CALLS).unwrap()).observe();
    let module = Module::new_with_profile(&engine, CALLS, &profile).unwrap();
    assert_eq!(Guest::new(&engine, &module).observe(), expected);
}

#[test]
fn profiles_of_other_modules_are_refused() {
    let engine = Engine::default();
    let error = Module::new_with_profile(&engine, "(module (func nop))", &profile()).unwrap_err();
    assert!(error.to_string().contains("another module"), "{error}");
}

#[test]
fn profiles_that_lie_make_no_wrong_code() {
    let engine = Engine::default();
    let expected = Guest::new(&engine, &Module::new(&engine, CALLS).unwrap()).observe();
    let bytes = profile().to_bytes();
    let (mut refused, mut used) = (0, 0);
    for position in 44..bytes.len() - 32 {
        // Neighbouring numbers make neighbouring functions of right ones.
        for value in [bytes[position].wrapping_add(1), bytes[position].wrapping_sub(1), 0x7f, 0] {
            let mut changed = bytes.clone();
            changed[position] = value;
            let end = changed.len() - 32;
            let sum = checksum(&changed[..end]);
            changed[end..].copy_from_slice(&sum);
            let Ok(profile) = Profile::from_bytes(&changed) else {
                refused += 1;
                continue;
            };
            let module = Module::new_with_profile(&engine, CALLS, &profile).unwrap();
            assert_eq!(Guest::new(&engine, &module).observe(), expected, "byte {position} is {value}");
            used += 1;
        }
    }
    assert!(refused > 10 && used > 100, "{refused} refused, {used} used");
}

/// Optimised, while the guest waits, when it has run for a little.
fn tiers() -> (Engine, Arc<Mutex<Vec<TierEvent>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let tuning = Tuning {
        budget: 20,
        budget_while_waiting: 20,
        soon_asks: 0,
        synchronous: true,
        ahead: false,
        ..Tuning::default()
    };
    let mut config = Config::new();
    config.tier(Tier::Auto).tuning(tuning).tier_observer(move |event| seen.lock().unwrap().push(*event));
    (Engine::new(&config).unwrap(), events)
}

#[test]
fn optimised_code_guesses_what_lift_off_code_has_called() {
    let engine = Engine::default();
    let expected = Guest::new(&engine, &Module::new(&engine, CALLS).unwrap()).observe();
    // For each function that is called at first: what `run` is optimised with.
    for slot in [0, 1] {
        let (engine, events) = tiers();
        let module = Module::new(&engine, CALLS).unwrap();
        let mut guest = Guest::new(&engine, &module);
        assert!(guest.call("run", slot, 1000).is_ok());
        let optimised: Vec<_> = events.lock().unwrap().iter().copied().collect();
        // `run` calls nothing directly, so the other function of its unit is the one that it was found to call.
        let guessed = |event: &TierEvent| matches!(event, TierEvent::Optimized { func: 4, functions: 2, .. });
        assert!(optimised.iter().any(guessed), "{optimised:?}");
        for round in 0..3 {
            assert_eq!(guest.observe(), expected, "slot {slot}, round {round}");
            guest.put(0, 3);
        }
        assert_eq!(Guest::new(&engine, &module).observe(), expected);
        assert_eq!(guest.call("tail", 1, 1_000_000).unwrap(), 40);
    }
}

#[test]
fn guesses_tell_instances_of_one_module_apart() {
    let (engine, _) = tiers();
    let module = Module::new(&engine, OWN).unwrap();
    let mut store = Store::new(&engine, ());
    let ty = wasmo::TableType::new(wasmo::RefType::FUNCREF, 1, None);
    let table: Extern = Table::new(&mut store, ty, Ref::Func(None)).unwrap().into();
    let [a, b] = [(); 2].map(|()| Instance::new(&mut store, &module, std::slice::from_ref(&table)).unwrap());
    let install = |store: &mut Store<()>, instance: Instance| {
        let install = instance.get_typed_func::<(), ()>(&mut *store, "install").unwrap();
        install.call(&mut *store, ()).unwrap();
    };
    let run = |store: &mut Store<()>, instance: Instance| {
        instance.get_typed_func::<(), i32>(&mut *store, "run").unwrap().call(&mut *store, ()).unwrap()
    };
    install(&mut store, a);
    // Long past the moment when `run` is optimised with its guess, which holds for `a` alone.
    for count in 0..200 {
        assert_eq!(run(&mut store, a), 2 * count + 1);
        assert_eq!(run(&mut store, b), 2 * count + 2);
    }
    install(&mut store, b);
    assert_eq!((run(&mut store, a), run(&mut store, b)), (1, 2));
}
