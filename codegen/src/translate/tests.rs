//! Every operator is translated to IR that LLVM accepts, under every choice that changes IR; and the IR has what the design counts on.

use inkwell::context::Context;
use wasmo_abi::tier::{LoopIndex, Tier};
use wasmo_abi::tunables::Tunables;
use wasmparser::Operator;

use super::{Partition, module_partition};
use crate::error::{Error, ErrorKind};
use crate::ir::Options;
use crate::ir::context::Arch;
use crate::parse::{parse_full, validate};
use crate::profile::Guide;

mod lift_off;
mod neighbour;
mod profile;

fn options(tunables: Tunables, arch: Arch) -> Options {
    tiered(tunables, None, arch)
}

fn tiered(tunables: Tunables, tier: Option<Tier>, arch: Arch) -> Options {
    let quick = tier == Some(Tier::LiftOff);
    Options { tunables, tier, quick, soon: None, arch, fused_multiply_add: false, triple: String::new() }
}

fn translate(bytes: &[u8], options: &Options) -> Result<String, Error> {
    let functions: Vec<usize> = (0..parse_full(bytes)?.funcs.len()).collect();
    translate_some(bytes, &functions, &[], options)
}

fn translate_some(
    bytes: &[u8],
    functions: &[usize],
    osr: &[(usize, LoopIndex)],
    options: &Options,
) -> Result<String, Error> {
    translate_guided(bytes, functions, osr, options, Guide::None)
}

fn translate_guided(
    bytes: &[u8],
    functions: &[usize],
    osr: &[(usize, LoopIndex)],
    options: &Options,
    guide: Guide<'_>,
) -> Result<String, Error> {
    let parsed = parse_full(bytes)?;
    crate::llvm::load().expect("LLVM is there");
    let context = Context::create();
    let partition = Partition { functions, copies: &[], osr, guide };
    let module = module_partition(&context, &parsed, bytes, partition, options)?;
    if let Err(message) = module.verify() {
        panic!("LLVM refuses the IR: {message}\n{}", module.print_to_string());
    }
    Ok(module.print_to_string().to_string())
}

/// The IR of a module in text form, accepted by LLVM under every choice; answered is that of the default choice for x86-64.
fn ir(text: &str) -> String {
    let bytes = wat::parse_str(text).expect("the test's module is well formed");
    for strict_traps in [true, false] {
        for consume_fuel in [true, false] {
            for arch in [Arch::Aarch64, Arch::X86_64] {
                let tunables = Tunables { strict_traps, consume_fuel, ..Tunables::default() };
                translate(&bytes, &options(tunables, arch)).expect("the test's module is valid");
                let lift_off = tiered(tunables, Some(Tier::LiftOff), arch);
                translate(&bytes, &lift_off).expect("the test's module is valid");
                begin_at_loops(&bytes, &tiered(tunables, Some(Tier::Optimized), arch));
            }
        }
    }
    translate(&bytes, &options(Tunables::default(), Arch::X86_64)).expect("the test's module is valid")
}

/// The first function of a module's IR, without what metadata says.
fn body(ir: &str) -> String {
    let lines: Vec<&str> = ir
        .lines()
        .skip_while(|line| !line.starts_with("define"))
        .take_while(|line| *line != "}")
        .filter(|line| !line.is_empty())
        .map(|line| line.split(", !").next().unwrap_or(line))
        .collect();
    lines.join("\n")
}

/// Translates the variants of all functions that begin at loops; answers their IR.
fn begin_at_loops(bytes: &[u8], options: &Options) -> Vec<String> {
    let parsed = parse_full(bytes).expect("the test's module is valid");
    let mut variants = Vec::new();
    for position in 0..parsed.funcs.len() {
        let body = parsed.body(position, bytes).expect("the body is there");
        let operators = body.get_operators_reader().expect("the body is well formed");
        let loops = operators.into_iter().filter(|operator| matches!(operator, Ok(Operator::Loop { .. }))).count();
        for at in (0..).map(LoopIndex).take(loops) {
            match translate_some(bytes, &[], &[(position, at)], options) {
                Ok(variant) => variants.push(variant),
                Err(error) => assert!(error.message.contains("cannot reach"), "{error}"),
            }
        }
    }
    variants
}

#[test]
fn functions_can_begin_at_any_loop() {
    // Operands of every type below frames around the loop, variables that only some paths assign, loops in loops and in branches.
    let text = r#"(module (memory 1)
        (type $t (func (param i32 f64) (result i32 f64)))
        (func (param $n i32) (param $x f64) (result i64) (local $i i32) (local $v v128) (local $r externref)
            (i64.const 1)
            (v128.const i64x2 1 2)
            (i32.add (local.get $n) (i32.const 1))
            (block $out (param i32) (result i32)
                (f32.convert_i32_s (local.get $n))
                (loop $outer (param i32 f32) (result i32 f32)
                    (local.set $i (i32.const 0))
                    (br_if $out (i32.const 7) (i32.gt_u (local.get $n) (i32.const 100)))
                    (drop)
                    (i32.mul (local.get $i) (local.get $n))
                    (loop $inner
                        (local.set $i (i32.add (local.get $i) (i32.const 1)))
                        (i32.store (local.get $i) (local.get $n))
                        (if (i32.and (local.get $i) (i32.const 1))
                            (then (local.set $x (f64.add (local.get $x) (f64.const 1)))
                                (loop $innermost (br_if $innermost (i32.load (local.get $i)))))
                            (else (local.set $n (i32.sub (local.get $n) (i32.const 1)))))
                        (br_if $inner (i32.lt_u (local.get $i) (local.get $n))))
                    (f32.const 2)
                    (call_indirect $table (type $t) (i32.const 1) (f64.const 1) (i32.const 0))
                    (drop) (drop) (drop) (drop)
                    (br_if $outer (i32.eqz (local.get $n))))
                (drop))
            (drop)
            (i64x2.extract_lane 0)
            (i64.add)
            (i64.add (i64.trunc_sat_f64_s (local.get $x)))
            (return)
            (loop (br 0)))
        (table $table 1 funcref))"#;
    let bytes = wat::parse_str(text).expect("the test's module is well formed");
    let variants = begin_at_loops(&bytes, &tiered(Tunables::default(), Some(Tier::Optimized), Arch::X86_64));
    assert_eq!(variants.len(), 3, "the last loop cannot be reached");
    ir(text);
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

/// Number operators, by the types that they take and the type that they give.
#[rustfmt::skip]
const OPERATORS: &[(&str, &str, &[&str])] = &[
    ("i32", "i32", &["clz", "ctz", "popcnt", "eqz", "extend8_s", "extend16_s", "reinterpret_f32:f32",
        "wrap_i64:i64", "trunc_f32_s:f32", "trunc_f32_u:f32", "trunc_f64_s:f64", "trunc_f64_u:f64",
        "trunc_sat_f32_s:f32", "trunc_sat_f32_u:f32", "trunc_sat_f64_s:f64", "trunc_sat_f64_u:f64"]),
    ("i32 i32", "i32", &["add", "sub", "mul", "div_s", "div_u", "rem_s", "rem_u", "and", "or", "xor", "shl", "shr_s",
        "shr_u", "rotl", "rotr", "eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u"]),
    ("i64", "i64", &["clz", "ctz", "popcnt", "extend8_s", "extend16_s", "extend32_s", "reinterpret_f64:f64",
        "extend_i32_s:i32", "extend_i32_u:i32", "trunc_f32_s:f32", "trunc_f32_u:f32", "trunc_f64_s:f64",
        "trunc_f64_u:f64", "trunc_sat_f32_s:f32", "trunc_sat_f32_u:f32", "trunc_sat_f64_s:f64", "trunc_sat_f64_u:f64"]),
    ("i64 i64", "i64", &["add", "sub", "mul", "div_s", "div_u", "rem_s", "rem_u", "and", "or", "xor", "shl", "shr_s",
        "shr_u", "rotl", "rotr"]),
    ("i64 i64", "i32", &["eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u"]),
    ("i64", "i32", &["eqz"]),
    ("f32", "f32", &["abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt", "reinterpret_i32:i32",
        "convert_i32_s:i32", "convert_i32_u:i32", "convert_i64_s:i64", "convert_i64_u:i64", "demote_f64:f64"]),
    ("f32 f32", "f32", &["add", "sub", "mul", "div", "min", "max", "copysign"]),
    ("f32 f32", "i32", &["eq", "ne", "lt", "gt", "le", "ge"]),
    ("f64", "f64", &["abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt", "reinterpret_i64:i64",
        "convert_i32_s:i32", "convert_i32_u:i32", "convert_i64_s:i64", "convert_i64_u:i64", "promote_f32:f32"]),
    ("f64 f64", "f64", &["add", "sub", "mul", "div", "min", "max", "copysign"]),
    ("f64 f64", "i32", &["eq", "ne", "lt", "gt", "le", "ge"]),
];

#[test]
fn every_number_operator_is_translated() {
    let mut text = String::from("(module ");
    for (params, result, names) in OPERATORS {
        let prefix = params.split(' ').next().unwrap_or_default();
        for name in *names {
            // After the colon is the type of the operand where it is not the prefix.
            let (name, params) = name.split_once(':').unwrap_or((name, params));
            let gets: String = (0..params.split(' ').count()).map(|index| format!("(local.get {index})")).collect();
            text += &format!("(func (param {params}) (result {result}) ({prefix}.{name} {gets}))\n");
            // Constant operands must not lead LLVM's constant folder to something that is not an instruction where one is needed.
            let constants: String = params.split(' ').map(|ty| format!("({ty}.const 0)")).collect();
            text += &format!("(func (result {result}) ({prefix}.{name} {constants}))\n");
        }
    }
    ir(&(text + ")"));
}

#[test]
fn every_access_to_memory_is_translated() {
    let mut text = String::from("(module (import \"\" \"\" (memory 1)) (memory 1) (memory 65536)");
    for memory in 0..3 {
        for (ty, sizes) in [
            ("i32", &["", "8_s", "8_u", "16_s", "16_u"][..]),
            ("f32", &[""]),
            ("f64", &[""]),
            ("i64", &["", "8_s", "8_u", "16_s", "16_u", "32_s", "32_u"]),
        ] {
            for size in sizes {
                text += &format!(
                    "(func (param i32) (result {ty}) ({ty}.load{size} {memory} offset=4294967295 (local.get 0)))\n\
                     (func (result {ty}) ({ty}.load{size} {memory} (i32.const 8)))\n\
                     (func (param i32) (drop ({ty}.load{size} {memory} (local.get 0))))\n"
                );
                if !size.ends_with("_s") {
                    let size = size.trim_end_matches("_u");
                    text += &format!(
                        "(func (param i32 {ty}) ({ty}.store{size} {memory} offset=16 (local.get 0) (local.get 1)))\n"
                    );
                }
            }
        }
        text += &format!(
            "(func (result i32) (memory.size {memory})) (func (param i32) (result i32) (memory.grow {memory} (local.get 0)))
             (func (param i32 i32 i32) (memory.fill {memory} (local.get 0) (local.get 1) (local.get 2)))
             (func (param i32 i32 i32) (memory.copy {memory} 1 (local.get 0) (local.get 1) (local.get 2)))
             (func (param i32 i32 i32) (memory.init {memory} $d (local.get 0) (local.get 1) (local.get 2)))\n"
        );
    }
    ir(&(text + "(func (data.drop $d)) (data $d \"abc\"))"));
}

#[test]
fn tables_references_and_globals_are_translated() {
    ir(r#"(module
        (import "" "t" (table $it 1 funcref)) (import "" "x" (table $ix 1 externref))
        (import "" "g" (global $ig i32)) (import "" "m" (global $im (mut f64))) (import "" "f" (func $if (param i32)))
        (table $t 10 10 funcref) (table $g 1 funcref) (table $x 10 externref)
        (global $a (mut i32) (i32.const 1)) (global $b i64 (i64.const 2)) (global $c (mut v128) (v128.const i64x2 1 2))
        (global $r (mut funcref) (ref.func $f)) (global $s (mut externref) (ref.null extern)) (global $h i32 (global.get $ig))
        (func $f (param i32) (result funcref) (table.get $t (local.get 0)))
        (func (param i32) (result funcref) (table.get $it (local.get 0)))
        (func (param i32) (result externref) (table.get $ix (local.get 0)))
        (func (param i32) (result externref) (table.get $x (local.get 0)))
        (func (param i32 funcref) (table.set $t (local.get 0) (local.get 1)))
        (func (param i32) (table.set $it (local.get 0) (ref.null func)))
        (func (param i32) (table.set $it (local.get 0) (ref.func $if)))
        (func (param i32 externref) (table.set $x (local.get 0) (local.get 1)))
        (func (result i32 i32 i32) (table.size $t) (table.size $it) (table.size $x))
        (func (param funcref i32) (result i32) (table.grow $g (local.get 0) (local.get 1)))
        (func (param externref i32) (result i32) (table.grow $x (local.get 0) (local.get 1)))
        (func (param i32 externref i32) (table.fill $x (local.get 0) (local.get 1) (local.get 2)))
        (func (param i32 i32 i32) (table.copy $t $it (local.get 0) (local.get 1) (local.get 2)))
        (func (param i32 i32 i32) (table.init $t $e (local.get 0) (local.get 1) (local.get 2)))
        (func (elem.drop $e))
        (func (param funcref externref) (result i32 i32) (ref.is_null (local.get 0)) (ref.is_null (local.get 1)))
        (func (result funcref externref funcref) (ref.null func) (ref.null extern) (ref.func $f))
        (func (param i32 externref externref) (result externref)
            (select (result externref) (local.get 1) (local.get 2) (local.get 0)))
        (func (result i32 f64 i32 i64 v128 funcref externref i32)
            (global.get $ig) (global.get $im) (global.get $a) (global.get $b) (global.get $c) (global.get $r) (global.get $s)
            (global.get $h))
        (func (param f64 i32 v128 funcref externref)
            (global.set $im (local.get 0)) (global.set $a (local.get 1)) (global.set $c (local.get 2))
            (global.set $r (local.get 3)) (global.set $s (local.get 4)))
        (elem $e func $f $if))"#);
}

#[test]
fn calls_of_every_kind_are_translated() {
    let many = "(param i64 i32 f32 i64 i32 i64 i64 i64 f64 f64 f64 f64 f64 f64 f64 f64 f64 v128 externref funcref) \
                (result i32 i64 i32 i64 i32 i64 f32 f64 f32 f64 f32 v128 externref funcref)";
    let gets: String = (0..20).map(|index| format!("(local.get {index})")).collect();
    let text = ir(&format!(
        r#"(module (type $many (func {many})) (import "" "f" (func $import (type $many))) (table 3 funcref)
            (func $callee (type $many) (call $import {gets}))
            (func (type $many) (call $callee {gets}))
            (func (type $many) (call_indirect (type $many) {gets} (i32.const 2)))
            (func (type $many) (return_call $callee {gets}))
            (func (type $many) (return_call $import {gets}))
            (func (type $many) (return_call_indirect (type $many) {gets} (i32.const 1)))
            (func (type $many) (return (call $callee {gets})))
            (func (param i32) (return_call $none)) (func $none))"#
    ));
    assert!(count(&text, "musttail call") == 4, "tail calls are certain: {text}");
    assert!(count(&text, "notail call") == 4, "other calls are none: {text}");
}

#[test]
fn control_flow_of_every_shape_is_translated() {
    ir(r#"(module
        (func (param i32 i32) (result i32) (if (result i32) (local.get 0) (then (local.get 1)) (else (i32.const 7))))
        (func (param i32) (if (local.get 0) (then (local.set 0 (i32.const 1)))))
        (func (param i32) (result i32) (local.get 0) (if (param i32) (result i32) (local.get 0) (then (i32.const 1) i32.add)))
        (func (param i32) (result i32) (if (local.get 0) (then (return (i32.const 1))) (else (return (i32.const 2)))) (unreachable))
        (func (param i32) (result i32 i32) (block (result i32 i32) (i32.const 1) (i32.const 2) (br_if 0 (local.get 0)) (br 0)))
        (func (param i32) (result i32) (loop (result i32) (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
            (br_if 0 (local.get 0)) (local.get 0)))
        (func (param i32) (result i32) (i32.const 5) (loop (param i32) (result i32) (i32.const 1) i32.add (local.get 0) (br_if 0)))
        (func (param i32) (block (block (block (br_table 0 1 2 1 1 0 2 3 3 (local.get 0))) (return)) (br 0)))
        (func (param i32) (result i32) (block (result i32) (i32.const 1) (br_table 0 0 0 0 (local.get 0))))
        (func (param i32) (loop (block (br_table 0 1 0 1 1 2 (local.get 0))) (br 0)))
        (func (unreachable) (block (loop (if (i32.const 1) (then) (else (br 2))))) (drop (i32.add)))
        (func (result i32) (block (result i32) (br 0 (i32.const 1)) (block) (drop)) (return) (loop (br 0)))
        (func (param i32) (loop (br_if 1 (local.get 0)) (loop (br_if 1 (local.get 0)) (br 0))))
        (func (local v128 f32 f64 i64 funcref externref) (loop (local.set 0 (local.get 0)) (local.set 4 (ref.null func)) (br 0)))
        (func (param i32) (result i64) (if (result i64) (local.get 0) (then (unreachable)) (else (i64.const 1))))
        (func (param i32) (result i64) (block (unreachable)) (i64.const 1)) (func) (func (nop) (return)))"#);
}

/// Merges have phis for what differs only, loops for what they assign only.
#[test]
fn phis_are_few() {
    let text = ir(r#"(module (func (param i32 i32 i32 i32) (result i32)
        (loop (local.set 0 (i32.sub (local.get 0) (local.get 1)))
            (if (local.get 2) (then (local.set 3 (i32.const 4))))
            (br_if 0 (local.get 0)))
        (local.get 3)))"#);
    assert_eq!(count(&text, " phi "), 3, "for two variables at the header, one after the if: {text}");
}

/// A constant that makes an operation look like a mere copy is hidden; others are not.
#[test]
fn neutral_constants_are_hidden() {
    let function = |operator: &str, constant: &str| {
        format!("(module (func (param f64) (result f64) (f64.{operator} (local.get 0) (f64.const {constant}))))")
    };
    for (operator, constant, fences) in
        [("mul", "1", 1), ("mul", "-1", 1), ("div", "1", 1), ("add", "-0", 1), ("sub", "0", 1), ("mul", "3", 0)]
    {
        let text = ir(&function(operator, constant));
        assert_eq!(count(&text, "call double @llvm.arithmetic.fence"), fences, "{operator} {constant}: {text}");
    }
    let text = ir("(module (func (param f32) (result f32) (f32.demote_f64 (f64.promote_f32 (local.get 0)))))");
    assert_eq!(count(&text, "call double @llvm.arithmetic.fence"), 1, "{text}");
}

#[test]
fn loads_are_volatile_only_when_dropped() {
    let text = ir("(module (memory 1) (func (param i32) (drop (i32.load8_u (local.get 0)))))");
    assert_eq!(count(&text, "load volatile"), 1, "{text}");
    let text = ir("(module (memory 1) (func (param i32) (result i32) (i32.load8_u (local.get 0))))");
    assert_eq!(count(&text, "load volatile"), 0, "{text}");
}

/// What was accessed, with a check, can be increased a little without wrap-around, where it was accessed on every path.
#[test]
fn accessed_indices_do_not_wrap() {
    let ir = |tunables: Tunables, memory: &str, body: &str| {
        let text = format!("(module (memory {memory}) (func (param i32 i32) (result i32) (local i32) {body}))");
        let bytes = wat::parse_str(&text).expect("the test's module is well formed");
        translate(&bytes, &options(tunables, Arch::X86_64)).expect("the test's module is valid")
    };
    let strict = Tunables { strict_traps: true, ..Tunables::default() };
    let known = |memory: &str, body: &str| {
        let relaxed = ir(Tunables::default(), memory, body);
        assert!(!relaxed.contains("add nuw i32"), "an access without a check may vanish: {relaxed}");
        ir(strict, memory, body).contains("add nuw i32")
    };
    let access = "(local.set 2 (i32.load (local.get 0)))";
    let then = "(i32.add (local.get 0) (i32.const 65536))";
    assert!(known("1", &format!("{access} {then}")), "after an access");
    assert!(!known("1", then), "without one");
    assert!(!known("65536", &format!("{access} {then}")), "in a memory that may be full");
    let far = "(i32.add (local.get 0) (i32.const 65537))";
    assert!(!known("1", &format!("{access} {far}")), "too far");
    let sometimes = format!("(if (local.get 1) (then {access})) {then}");
    assert!(!known("1", &sometimes), "on some paths only");
    let skipped = format!("(block (br_if 0 (local.get 1)) {access}) {then}");
    assert!(!known("1", &skipped), "on some paths only");
    let block = format!("(block {access}) {then}");
    assert!(known("1", &block), "in a block that nothing leaves early");
    let looped = format!("(loop {access} (br_if 0 (local.get 1))) {then}");
    assert!(known("1", &looped), "after a loop that accesses");
    let before =
        "(local.set 1 (i32.add (local.get 0) (i32.const 8))) (drop (i32.load (local.get 0))) (i32.load (local.get 1))";
    assert!(
        ir(Tunables::default(), "1", before).contains("i64 8"),
        "a sum before the access is taken apart at its use"
    );
}

/// A pointer into the middle of a structure: its fields are apart by constants, whichever sign those have that lead to them.
#[test]
fn neighbours_of_accessed_indices_do_not_wrap() {
    let offsets = |body: &str| {
        let text = ir(&format!("(module (memory 1) (func (param i32 i32) {body}))"));
        let gep = |line: &&str| line.contains("getelementptr") && !line.contains("i64 %") && !line.contains("%0,");
        text.lines().filter(gep).filter_map(|line| line.split("i64 ").nth(1)?.split(',').next()?.parse().ok()).collect()
    };
    let clear = |addend: i32| format!("(i32.store (i32.add (local.get 0) (i32.const {addend})) (i32.const 0))");
    let near =
        |addends: &[i32]| -> Vec<u32> { offsets(&addends.iter().map(|&addend| clear(addend)).collect::<String>()) };
    assert_eq!(near(&[-48, -40, 0, 8]), [8, 48, 56], "relative to the lowest, which is accessed first");
    assert_eq!(
        near(&[-40, -48, -32]),
        [8],
        "what is below an accessed index may wrap, what is above its neighbour not"
    );
    assert_eq!(near(&[-48, 65488]), [65536]);
    assert_eq!(near(&[-48, 65489]), [], "too far");
    assert_eq!(near(&[2147483640, -2147483648]), [8], "constants may wrap, indices not");
    let sometimes = format!("(if (local.get 1) (then {})) {}", clear(-48), clear(-40));
    assert_eq!(offsets(&sometimes), Vec::<u32>::new(), "on some paths only");
    let many: Vec<i32> = (1..100).rev().map(|step| step * 100_000).collect();
    assert_eq!(near(&many), [], "more neighbours than are kept");
}

/// A far offset could make of a sum that wraps after all an address outside of the reservation.
#[test]
fn far_offsets_do_not_trust_sums() {
    let text = ir("(module (memory 1) (func (param i32) (result i32) (drop (i32.load (local.get 0)))
        (i32.load offset=0x80000000 (i32.add (local.get 0) (i32.const 8)))))");
    assert_eq!(count(&text, "freeze i32"), 1, "{text}");
}

/// An instruction that calls belongs to its operator, whatever had to be built elsewhere for it.
#[test]
fn calls_of_helpers_have_their_location() {
    let text = ir("(module (memory 1) (func (param i32) (result i32) (memory.grow (i32.const 1))))");
    let location = |line: &str| line.rsplit("!dbg ").next().map(str::to_owned);
    let call = text.lines().find(|line| line.contains("call void %")).and_then(location).expect("there is a call");
    let scope = text.lines().find(|line| line.contains("alloca")).expect("there is a slot");
    assert_ne!(location(scope).as_ref(), Some(&call), "the call is not at the function's beginning: {text}");
}

/// A body that makes the translator need memory out of proportion is refused, before it does.
#[test]
fn branches_that_carry_too_much_are_refused() {
    let sets: String = (0..2000).map(|local| format!("(local.set {local} (i32.const 1))")).collect();
    let branches = "(br_if 0 (local.get 0))".repeat(10_000);
    let locals = "i32 ".repeat(2000);
    let text = format!("(module (func (local {locals}) (block {branches} {sets})))");
    let bytes = wat::parse_str(text).expect("the text is well formed");
    let error = translate(&bytes, &options(Tunables::default(), Arch::X86_64)).expect_err("it is too much");
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
}

/// The walk of one `i32.load` and one `call_indirect` through the translator.
#[test]
fn a_load_and_an_indirect_call_look_like_this() {
    let text = ir(r#"(module (type $t (func (param i32) (result i32))) (memory 1) (table 2 2 funcref)
        (func (param i32) (result i32)
            (call_indirect (type $t) (i32.load offset=8 (local.get 0)) (local.get 0))))"#);
    insta::assert_snapshot!(body(&text));
}

/// Errors say what and where.
#[test]
fn bad_modules_are_refused() {
    let invalid = wat::parse_str("(module (func (result i32)))").expect("the text is well formed");
    let error =
        translate(&invalid, &options(Tunables::default(), Arch::X86_64)).expect_err("the function has no result");
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert!(error.offset.is_some(), "{error}");
    assert_eq!(validate(&invalid).expect_err("the function has no result").kind, ErrorKind::Invalid);
    let valid = wat::parse_str("(module (func (result i32) (i32.const 1)))").expect("the text is well formed");
    validate(&valid).expect("the module is valid");
    for end in 0..valid.len() {
        // After the header and after the section of types, what is left out is not missed.
        let whole = matches!(end, 8 | 15);
        assert_eq!(parse_full(valid.get(..end).unwrap_or_default()).is_ok(), whole, "cut at {end}");
    }
    for text in
        ["(module (memory i64 1))", "(module (tag))", "(module (type (struct)))", "(module (memory 1 1 shared))"]
    {
        let bytes = wat::parse_str(text).expect("the text is well formed");
        assert!(parse_full(&bytes).is_err(), "{text} uses a feature that is not there");
    }
}
