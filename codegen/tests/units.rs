//! Units of modules in tiers, for every processor: what is in them, and that they refer to nothing but themselves.

use std::collections::BTreeSet;
use wasmo_abi::table::Bytes;
use wasmo_abi::tier::Tier;
use wasmo_abi::tunables::Tunables;
use wasmo_codegen::{Compiler, Cpu, PlacedCode, Request, Soon, Source, TargetOptions};

/// A recursion, which is never inlined as a whole, and something that always is.
const CALLER: &str = r#"(module
    (func $down (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.load (i32.const 8)) (call $down (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 7))))
    (func $one (result i32) (i32.const 1))
    (func $caller (param i32) (result i32) (i32.add (call $down (local.get 0)) (call $one)))
    (memory 1))"#;

/// The functions that there is code of.
fn functions(code: &PlacedCode) -> BTreeSet<u32> {
    code.unit.functions.iter().filter_map(|range| Some(range.func?.0)).collect()
}

const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

fn unit(triple: &str, text: &str, request: &Request<'_>) -> PlacedCode {
    let target = TargetOptions { triple: Some(triple.to_owned()), cpu: Cpu::Baseline, threads: 1 };
    let compiler = Compiler::new(Tunables::default(), target).expect("a known target");
    let bytes = wat::parse_str(text).expect("the text is well-formed");
    let source = Source::new(Bytes::from(bytes)).expect("the module is valid");
    compiler.compile_unit(&source, request, &|| false).expect("the unit compiles").at(1 << 20)
}

#[test]
fn copies_are_for_their_unit_only() {
    for triple in TARGETS {
        let unit = |copies: Vec<usize>| {
            unit(triple, CALLER, &Request { tier: Tier::Optimized, copies, ..Request::lift_off(vec![2]) })
        };
        assert_eq!(functions(&unit(Vec::new())), BTreeSet::from([2]), "{triple}");
        let with_copies = unit(vec![0, 1]);
        assert_eq!(functions(&with_copies), BTreeSet::from([0, 2]), "{triple}: what was inlined is gone");
        let for_others: Vec<_> = with_copies.functions.iter().map(|&(position, _)| position).collect();
        assert_eq!(for_others, [2], "{triple}");
    }
}

/// A loop that needs all of its variables.
const LOOP: &str = r#"(module
    (func (param $n i32) (param $a i64) (param $b f64) (result i64) (local $sum i64)
        (loop $again
            (local.set $sum (i64.add (local.get $a) (i64.mul (local.get $sum) (i64.const 31))))
            (local.set $b (f64.add (local.get $b) (f64.const 0.5)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i64.add (local.get $sum) (i64.trunc_sat_f64_s (local.get $b)))))"#;

#[test]
fn only_code_for_calls_that_last_can_be_entered_and_left_at_loops() {
    for triple in TARGETS {
        let size = |soon| {
            let request = Request { tier: Tier::Optimized, soon, ..Request::lift_off(vec![0]) };
            unit(triple, LOOP, &request).unit.size
        };
        let [best, whole, at_loops] = [None, Some(Soon::Whole), Some(Soon::AtLoops)].map(size);
        assert!(best < whole, "{triple}: what can be improved asks: {best} {whole}");
        assert!(whole + 50 < at_loops, "{triple}: it has the state handed over: {whole} {at_loops}");
    }
}
