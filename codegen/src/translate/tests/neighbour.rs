//! Code that calls functions of a neighbour.

use super::*;
use crate::neighbour::Neighbour;
use crate::profile::{Callees, Guess};
use crate::translate::neighbour::settle;
use crate::unit::Source;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmo_abi::code::ModuleCode;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::layout::VmContextLayout;

const MODULE: &str = r#"(module
    (import "env" "memory" (memory 1))
    (import "env" "g" (func $import (param i32) (result i32)))
    (import "env" "h" (func $other (param i32) (result i32)))
    (import "env" "table" (table 3 funcref))
    (type $f (func (param i32) (result i32)))
    (func $run (type $f)
        (i32.store (i32.const 8) (local.get 0))
        (call_indirect (type $f) (local.get 0) (i32.const 1)))
    (func $last (type $f) (return_call $import (local.get 0)))
    (func $call (type $f) (i32.add (call $import (local.get 0)) (call $other (local.get 0)))))"#;

const NEIGHBOUR: &str = r#"(module
    (import "host" "k" (func $k))
    (memory (export "memory") 1)
    (table (export "table") 3 funcref)
    (global $global (mut i32) (i32.const 0))
    (elem (i32.const 0) func $f $g $wide)
    (func $f (param i32) (result i32) (i32.const 5))
    (func $g (export "g") (param i32) (result i32)
        (global.set $global (i32.load (local.get 0)))
        (call $f (local.get 0)))
    (func $wide (param i64) (result i32) (i32.const 7)))"#;

const CONTEXT: usize = 0x10_0000;
const ENTRIES: usize = 0x20_0000;
const CODE: usize = 0x30_0000;

/// The IR of these functions of the module, before and after what is left of the neighbour's was made calls, with a neighbour of which these functions may be inlined; its `g` is
/// imported, and guessed to be what the call through the table finds, or another.
fn translated(functions: &[usize], inlined: &[usize], guess: u32, entries: usize) -> (String, String) {
    let source = Source::new(wat::parse_str(NEIGHBOUR).expect("it is well formed").into()).expect("it is valid");
    let code = ModuleCode {
        entries: [0, 16, 32].into_iter().collect(),
        base: CODE,
        thunks: Vec::new(),
        units: Vec::new(),
        owner: Arc::new(()),
    };
    let imports = BTreeMap::from([(FuncIndex(0), FuncIndex(2))]);
    let neighbour = Neighbour {
        info: source.info(),
        source: Some(&source),
        code: &code,
        entries,
        context: CONTEXT,
        imports: &imports,
        inlined: inlined.to_vec(),
    };
    let bytes = wat::parse_str(MODULE).expect("the test's module is well formed");
    let module = Source::new(bytes.clone().into()).expect("the test's module is valid");
    let calls = module.calls_through_tables(0).into_iter();
    let callees: Callees = calls.map(|offset| (offset, Guess::Neighbour(FuncIndex(guess)))).collect();
    let options = tiered(Tunables::default(), Some(Tier::Optimized), Arch::X86_64);
    crate::llvm::load().expect("LLVM is there");
    let context = Context::create();
    let guide = Guide::Callees(&callees, Some(&neighbour));
    let partition = Partition { functions, copies: &[], osr: &[], guide };
    let module = module_partition(&context, module.parsed(), &bytes, partition, &options).expect("it is valid");
    module.verify().expect("LLVM accepts the module");
    let before = module.print_to_string().to_string();
    settle(&module, &neighbour).expect("all functions have code");
    module.verify().expect("LLVM accepts the module");
    (before, module.print_to_string().to_string())
}

fn called(ir: &str) -> usize {
    ir.lines().filter(|line| line.contains("call ") && line.contains("@wasm_n")).count()
}

#[test]
fn a_call_that_finds_a_neighbours_function_is_guarded() {
    let (ir, settled) = translated(&[0], &[1], 2, ENTRIES);
    let info = Source::new(wat::parse_str(NEIGHBOUR).expect("it is well formed").into()).expect("it is valid");
    let layout = VmContextLayout::new(info.info());
    let slot = info.info().func(FuncIndex(2)).and_then(|func| func.func_ref).expect("it escapes");
    let record = CONTEXT + layout.func_ref(slot);
    assert_eq!(count(&ir, "icmp eq ptr"), 1, "{ir}");
    assert_eq!(count(&ir, &format!("inttoptr (i64 {record} to ptr)")), 1, "{ir}");
    assert_eq!(count(&ir, &format!("@wasm_n2(ptr swiftself inttoptr (i64 {CONTEXT} to ptr)")), 1, "{ir}");
    assert_eq!(count(&ir, "define available_externally"), 1, "{ir}");
    // What the neighbour defines may be what the module imports.
    assert!(ir.contains("ImportedMemories") && ir.contains("ImportedGlobals"), "{ir}");
    assert!(!ir.contains("\"memory 0\"") && !ir.contains("\"global 0\""), "{ir}");
    // What is not inlined is called where it is.
    assert_eq!((called(&ir), called(&settled)), (1, 0), "{settled}");
    assert_eq!(count(&settled, &format!("inttoptr (i64 {} to ptr)(ptr swiftself", CODE + 16)), 1, "{settled}");
}

#[test]
fn operators_of_a_neighbour_come_after_those_of_the_module() {
    let (ir, _) = translated(&[0], &[1], 2, ENTRIES);
    let len = wat::parse_str(MODULE).expect("the test's module is well formed").len();
    let line = |text: &str| text.split("!DILocation(line: ").nth(1)?.split(",").next()?.parse::<usize>().ok();
    let lines = ir.lines().filter_map(line);
    let (own, beyond): (Vec<usize>, Vec<usize>) = lines.partition(|&line| line < len);
    assert!(!own.is_empty() && !beyond.is_empty(), "{own:?} {beyond:?}");
}

#[test]
fn a_function_that_is_not_inlined_is_called_by_its_entry_or_where_it_is() {
    let (ir, _) = translated(&[0], &[], 2, ENTRIES);
    assert_eq!((count(&ir, "define available_externally"), called(&ir)), (0, 0), "{ir}");
    assert_eq!(count(&ir, &format!("load ptr, ptr inttoptr (i64 {} to ptr)", ENTRIES + 16)), 1, "{ir}");
    // The functions of a module that is not in tiers have no entries.
    let (ir, _) = translated(&[0], &[], 2, 0);
    assert_eq!((count(&ir, "define available_externally"), called(&ir)), (0, 0), "{ir}");
    assert_eq!(count(&ir, &format!("inttoptr (i64 {} to ptr)(ptr swiftself", CODE + 16)), 1, "{ir}");
    let (ir, _) = translated(&[0], &[1], 2, 0);
    assert_eq!((count(&ir, "define available_externally"), called(&ir)), (1, 1), "{ir}");
    assert_eq!(count(&ir, &format!("inttoptr (i64 {CODE} to ptr)(ptr swiftself")), 1, "what is inlined calls\n{ir}");
}

#[test]
fn imported_functions_are_known() {
    let (ir, settled) = translated(&[2], &[1], 2, ENTRIES);
    assert_eq!((called(&ir), called(&settled)), (1, 0), "{ir}");
    // A tail call leaves nothing of the caller behind.
    let (ir, _) = translated(&[1], &[1], 2, ENTRIES);
    assert_eq!((called(&ir), count(&ir, "musttail call")), (0, 1), "{ir}");
    assert_eq!(count(&ir, &format!("load ptr, ptr inttoptr (i64 {} to ptr)", ENTRIES + 16)), 1, "{ir}");
}

#[test]
fn guesses_that_cannot_be_right_are_not_believed() {
    // An import; of another type; not there.
    for guess in [0, 3, 4, u32::MAX] {
        let (ir, _) = translated(&[0], &[1], guess, ENTRIES);
        assert_eq!((called(&ir), count(&ir, "icmp eq ptr")), (0, 0), "{guess}: {ir}");
    }
}
