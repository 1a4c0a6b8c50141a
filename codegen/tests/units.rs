//! Units of modules in tiers, for every processor: what is in them, and that they refer to nothing but themselves.

use std::collections::BTreeSet;
use wasmo_abi::table::Bytes;
use wasmo_abi::tier::Tier;
use wasmo_abi::tunables::Tunables;
use wasmo_codegen::{Callees, Compiler, Cpu, PlacedCode, Request, Source, TargetOptions};

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

#[test]
fn copies_are_for_their_unit_only() {
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let target = TargetOptions { triple: Some(triple.to_owned()), cpu: Cpu::Baseline, threads: 1 };
        let compiler = Compiler::new(Tunables::default(), target).expect("a known target");
        let bytes = wat::parse_str(CALLER).expect("the text is well-formed");
        let source = Source::new(Bytes::from(bytes)).expect("the module is valid");
        let unit = |copies: Vec<usize>| {
            let request = Request {
                tier: Tier::Optimized,
                soon: false,
                functions: vec![2],
                copies,
                osr: Vec::new(),
                callees: Callees::new(),
                neighbour: None,
            };
            let code = compiler.compile_unit(&source, &request, &|| false).expect("the unit compiles");
            code.at(1 << 20)
        };
        assert_eq!(functions(&unit(Vec::new())), BTreeSet::from([2]), "{triple}");
        let with_copies = unit(vec![0, 1]);
        assert_eq!(functions(&with_copies), BTreeSet::from([0, 2]), "{triple}: what was inlined is gone");
        let for_others: Vec<_> = with_copies.functions.iter().map(|&(position, _)| position).collect();
        assert_eq!(for_others, [2], "{triple}");
    }
}
