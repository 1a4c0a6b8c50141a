//! Code that counts, and what a profile adds to code: weights, guards, and what is said of functions that were never called.

use super::*;
use crate::profile::{Counters, Guess, Kind};
use wasmo_abi::index::FuncIndex;
use wasmo_abi::profile::{Counts, FunctionProfile, Profile, Site};

const MODULE: &str = r#"(module
    (type $f (func (param i32) (result i32)))
    (table 3 funcref)
    (elem (i32.const 0) $callee)
    (func $run (param $slot i32) (result i32)
        (if (local.get $slot) (then (return (call $never (i32.const 5)))))
        (block $o (block $b (br_table $b $o $b $b (local.get $slot))))
        (call_indirect (type $f) (i32.const 7) (local.get $slot)))
    (func $callee (type $f) (local.get 0))
    (func $never (type $f) (i32.const 1)))"#;

fn bytes() -> Vec<u8> {
    wat::parse_str(MODULE).expect("the test's module is well formed")
}

/// A profile of the module in which its operators have these counts: of the `if`, the `br_table` and the call.
fn profile(branch: Counts, table: Counts, call: Counts) -> Profile {
    let bytes = bytes();
    let parsed = parse_full(&bytes).expect("the module is valid");
    let counters = Counters::find(&parsed, &bytes).expect("there is little to count");
    let counts = vec![branch, table, call];
    let kinds = [Kind::Branch, Kind::Table(4), Kind::Call];
    let body = parsed.info.bodies.get(0).expect("it has functions");
    let offset = |kind| (body.start..body.end).find(|&offset| counters.place(offset, kind).is_some());
    let offsets = kinds.map(|kind| offset(kind).expect("the function has such an operator"));
    let sites = offsets.into_iter().zip(counts).map(|(offset, counts)| Site { offset, counts }).collect();
    let called = |index, sites| FunctionProfile { index, entries: 40, sites };
    Profile { wasm: [0; 32], functions: vec![called(0, sites), called(1, Vec::new())] }
}

fn guided(profile: &Profile) -> String {
    let options = options(Tunables::default(), Arch::X86_64);
    translate_guided(&bytes(), &[0, 1, 2], &[], &options, Guide::Use(profile)).expect("the module is valid")
}

fn usual() -> Profile {
    profile(
        Counts::Branch { taken: 10, total: 40 },
        Counts::Table { taken: vec![1, 2, 4, 8] },
        Counts::Call { total: 30, hits: 27, target: Some(1) },
    )
}

#[test]
fn what_is_counted_and_where() {
    let bytes = bytes();
    let parsed = parse_full(&bytes).expect("the module is valid");
    let counters = Counters::find(&parsed, &bytes).expect("there is little to count");
    // Calls of the functions; two of the `if`, four of the `br_table`, four of the call.
    assert_eq!(counters.words(), 3 + 2 + 4 + 4);
    assert_eq!(
        (0..4).map(|position| counters.entry(position)).collect::<Vec<_>>(),
        [Some(0), Some(11), Some(12), None]
    );
    let holds = |word: usize| [9_u64, 9, 3, 0, 0, 9, 0, 5, 77, 4, 4, 0, 2].get(word).copied().unwrap_or(0);
    let counted = counters.read(&parsed.info, holds, |address| (address == 77).then_some(FuncIndex(1)));
    let indices: Vec<_> = counted.iter().map(|function| (function.index, function.entries)).collect();
    assert_eq!(indices, [(0, 9), (2, 2)], "what was not called is left out");
    let counts: Vec<_> = counted[0].sites.iter().map(|site| site.counts.clone()).collect();
    let branch = Counts::Branch { taken: 3, total: 9 };
    let call = Counts::Call { total: 5, hits: 4, target: Some(1) };
    assert_eq!(counts, [branch, Counts::Table { taken: vec![0, 0, 9, 0] }, call]);
}

#[test]
fn code_that_counts() {
    let bytes = bytes();
    let parsed = parse_full(&bytes).expect("the module is valid");
    let counters = Counters::find(&parsed, &bytes).expect("there is little to count");
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let options = tiered(Tunables::default(), Some(Tier::LiftOff), arch);
        let counting = translate_guided(&bytes, &[0, 1, 2], &[], &options, Guide::Count(&counters));
        let counting = counting.expect("the module is valid");
        // Each counter is read and written as a whole.
        assert_eq!(count(&counting, "load atomic i64"), 3 + 2 + 1 + 4, "{counting}");
        assert_eq!(count(&counting, "store atomic i64"), 3 + 2 + 1 + 4, "{counting}");
        assert_eq!(count(&counting, "unordered, align 8"), 20, "{counting}");
    }
    let options = tiered(Tunables::default(), Some(Tier::LiftOff), Arch::X86_64);
    assert_eq!(count(&translate(&bytes, &options).expect("the module is valid"), "atomic"), 0);
}

#[test]
fn a_call_that_nearly_always_finds_one_function_is_guarded() {
    let ir = guided(&usual());
    insta::assert_snapshot!(body(&ir));
}

#[test]
fn lift_off_code_notes_what_it_calls_and_optimised_code_guesses() {
    let bytes = bytes();
    let lift_off = tiered(Tunables::default(), Some(Tier::LiftOff), Arch::X86_64);
    let noted = translate(&bytes, &lift_off).expect("the module is valid");
    let body = body(&noted);
    assert_eq!(count(&body, "store ptr"), 1, "{body}");
    let Profile { functions, .. } = usual();
    let call = functions[0].sites.last().expect("the call is the last").offset;
    let optimised = tiered(Tunables::default(), Some(Tier::Optimized), Arch::X86_64);
    for (callees, guards) in
        [(vec![(call, 1)], 1), (vec![(call, 2)], 0), (vec![(call, 9)], 0), (vec![(call + 1, 1)], 0)]
    {
        let callees = callees.into_iter().map(|(offset, func)| (offset, Guess::Own(FuncIndex(func)))).collect();
        let guessed = translate_guided(&bytes, &[0, 1], &[], &optimised, Guide::Callees(&callees, None));
        let guessed = guessed.expect("the module is valid");
        assert_eq!(count(&guessed, "icmp eq ptr"), guards, "{callees:?} {guessed}");
        // Nothing is said of what is called how often.
        assert!(!guessed.contains("function_entry_count") && !guessed.contains("optsize"), "{guessed}");
    }
}

#[test]
fn branches_have_weights() {
    let ir = guided(&usual());
    let has = |what: &str| assert!(ir.contains(what), "{what} is not in\n{ir}");
    has(r#"!{!"function_entry_count", i64 40}"#);
    // Of the `if`: taken and not. Of the `br_table`, whose first and third case go where the default does. Of the guard.
    has(r#"!{!"branch_weights", i32 11, i32 31}"#);
    has(r#"!{!"branch_weights", i32 14, i32 3}"#);
    has(r#"!{!"branch_weights", i32 28, i32 4}"#);
    let attributes = |function: &str| {
        let line =
            ir.lines().find(|line| line.starts_with("define") && line.contains(function)).expect("it is defined");
        let group = line.split('#').nth(1).and_then(|rest| rest.split(' ').next()).expect("it has attributes");
        let group = format!("attributes #{group} = ");
        ir.lines().find(|line| line.starts_with(&group)).expect("they are listed").to_owned()
    };
    let never = attributes("@wasm_f2(");
    assert!(never.contains("cold") && never.contains("optsize"), "{never}");
    assert!(!attributes("@wasm_f1(").contains("cold"));
}

#[test]
fn what_no_profile_can_say_is_not_believed() {
    let with = |target, hits| {
        let call = Counts::Call { total: 10, hits, target };
        guided(&profile(Counts::Branch { taken: u64::MAX, total: 1 }, Counts::Table { taken: vec![1; 9] }, call))
    };
    let calls_directly = |ir: &str| body(ir).contains("@wasm_f1(");
    assert!(calls_directly(&with(Some(1), 10)));
    // Not dominant; not there; of another place in the table; not a function that can be in a table.
    for (target, hits) in [(Some(1), 7), (Some(99), 10), (Some(u32::MAX), 10), (None, 10), (Some(0), 10), (Some(2), 10)]
    {
        let ir = with(target, hits);
        assert!(!calls_directly(&ir), "{target:?}: {ir}");
        assert_eq!(count(&body(&ir), "icmp eq ptr"), 0, "{target:?}: {ir}");
    }
    // What was counted at operators of other kinds is nothing to these.
    let call = Counts::Call { total: 10, hits: 10, target: Some(1) };
    let ir = guided(&profile(Counts::Loop { rounds: 3 }, Counts::Branch { taken: 1, total: 2 }, call));
    assert!(calls_directly(&ir) && !ir.contains("i32 2, i32 2}"), "{ir}");
}
