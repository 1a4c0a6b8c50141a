//! Every vector operator is translated, on every target, to IR that LLVM accepts; and does not lose what WebAssembly asks of NaNs.

use std::collections::BTreeSet;

use inkwell::context::Context;
use wasmo_abi::tunables::Tunables;
use wasmparser::{Operator, Parser, Payload};

use crate::ir::Options;
use crate::ir::context::Arch;
use crate::parse::parse_full;
use crate::profile::Guide;
use crate::translate::{Partition, module_partition};

/// Operators with their immediates, by what they take and give: i, l, f, d are i32, i64, f32, f64 and v is v128.
#[rustfmt::skip]
const OPERATORS: &[(&str, &str, &[&str])] = &[
    ("v", "v", &[
        "v128.not", "i8x16.abs", "i8x16.neg", "i16x8.abs", "i16x8.neg", "i32x4.abs", "i32x4.neg", "i64x2.abs",
        "i64x2.neg", "i8x16.popcnt", "i16x8.extend_low_i8x16_s", "i16x8.extend_high_i8x16_s",
        "i16x8.extadd_pairwise_i8x16_s", "i16x8.extend_low_i8x16_u", "i16x8.extend_high_i8x16_u",
        "i16x8.extadd_pairwise_i8x16_u", "i32x4.extend_low_i16x8_s", "i32x4.extend_high_i16x8_s",
        "i32x4.extadd_pairwise_i16x8_s", "i32x4.extend_low_i16x8_u", "i32x4.extend_high_i16x8_u",
        "i32x4.extadd_pairwise_i16x8_u", "i64x2.extend_low_i32x4_s", "i64x2.extend_high_i32x4_s",
        "i64x2.extend_low_i32x4_u", "i64x2.extend_high_i32x4_u", "f32x4.ceil", "f32x4.floor", "f32x4.trunc",
        "f32x4.nearest", "f32x4.abs", "f32x4.neg", "f32x4.sqrt", "f64x2.ceil", "f64x2.floor", "f64x2.trunc",
        "f64x2.nearest", "f64x2.abs", "f64x2.neg", "f64x2.sqrt", "i32x4.trunc_sat_f32x4_s", "i32x4.trunc_sat_f32x4_u",
        "i32x4.trunc_sat_f64x2_s_zero", "i32x4.trunc_sat_f64x2_u_zero", "f32x4.convert_i32x4_s",
        "f32x4.convert_i32x4_u", "f64x2.convert_low_i32x4_s", "f64x2.convert_low_i32x4_u", "f32x4.demote_f64x2_zero",
        "f64x2.promote_low_f32x4", "i32x4.relaxed_trunc_f32x4_s", "i32x4.relaxed_trunc_f32x4_u",
        "i32x4.relaxed_trunc_f64x2_s_zero", "i32x4.relaxed_trunc_f64x2_u_zero",
    ]),
    ("vv", "v", &[
        "v128.and", "v128.andnot", "v128.or", "v128.xor", "i8x16.eq", "i8x16.ne", "i8x16.lt_s", "i8x16.lt_u",
        "i8x16.gt_s", "i8x16.gt_u", "i8x16.le_s", "i8x16.le_u", "i8x16.ge_s", "i8x16.ge_u", "i8x16.add", "i8x16.sub",
        "i8x16.min_s", "i8x16.min_u", "i8x16.max_s", "i8x16.max_u", "i16x8.eq", "i16x8.ne", "i16x8.lt_s",
        "i16x8.lt_u", "i16x8.gt_s", "i16x8.gt_u", "i16x8.le_s", "i16x8.le_u", "i16x8.ge_s", "i16x8.ge_u", "i16x8.add",
        "i16x8.sub", "i16x8.mul", "i16x8.min_s", "i16x8.min_u", "i16x8.max_s", "i16x8.max_u", "i32x4.eq", "i32x4.ne",
        "i32x4.lt_s", "i32x4.lt_u", "i32x4.gt_s", "i32x4.gt_u", "i32x4.le_s", "i32x4.le_u", "i32x4.ge_s",
        "i32x4.ge_u", "i32x4.add", "i32x4.sub", "i32x4.mul", "i32x4.min_s", "i32x4.min_u", "i32x4.max_s",
        "i32x4.max_u", "i64x2.eq", "i64x2.ne", "i64x2.lt_s", "i64x2.gt_s", "i64x2.le_s", "i64x2.ge_s", "i64x2.add",
        "i64x2.sub", "i64x2.mul", "i8x16.add_sat_s", "i8x16.add_sat_u", "i8x16.sub_sat_s", "i8x16.sub_sat_u",
        "i8x16.avgr_u", "i16x8.add_sat_s", "i16x8.add_sat_u", "i16x8.sub_sat_s", "i16x8.sub_sat_u", "i16x8.avgr_u",
        "i8x16.swizzle", "i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31", "i16x8.q15mulr_sat_s",
        "i32x4.dot_i16x8_s", "i16x8.extmul_low_i8x16_s", "i16x8.extmul_high_i8x16_s", "i8x16.narrow_i16x8_s",
        "i16x8.extmul_low_i8x16_u", "i16x8.extmul_high_i8x16_u", "i8x16.narrow_i16x8_u", "i32x4.extmul_low_i16x8_s",
        "i32x4.extmul_high_i16x8_s", "i16x8.narrow_i32x4_s", "i32x4.extmul_low_i16x8_u", "i32x4.extmul_high_i16x8_u",
        "i16x8.narrow_i32x4_u", "i64x2.extmul_low_i32x4_s", "i64x2.extmul_high_i32x4_s", "i64x2.extmul_low_i32x4_u",
        "i64x2.extmul_high_i32x4_u", "f32x4.eq", "f32x4.ne", "f32x4.lt", "f32x4.gt", "f32x4.le", "f32x4.ge",
        "f32x4.add", "f32x4.sub", "f32x4.mul", "f32x4.div", "f32x4.min", "f32x4.max", "f32x4.pmin", "f32x4.pmax",
        "f32x4.relaxed_min", "f32x4.relaxed_max", "f64x2.eq", "f64x2.ne", "f64x2.lt", "f64x2.gt", "f64x2.le",
        "f64x2.ge", "f64x2.add", "f64x2.sub", "f64x2.mul", "f64x2.div", "f64x2.min", "f64x2.max", "f64x2.pmin",
        "f64x2.pmax", "f64x2.relaxed_min", "f64x2.relaxed_max", "i8x16.relaxed_swizzle", "i16x8.relaxed_q15mulr_s",
        "i16x8.relaxed_dot_i8x16_i7x16_s",
    ]),
    ("vvv", "v", &[
        "v128.bitselect", "i8x16.relaxed_laneselect", "i16x8.relaxed_laneselect", "i32x4.relaxed_laneselect",
        "i64x2.relaxed_laneselect", "f32x4.relaxed_madd", "f32x4.relaxed_nmadd", "f64x2.relaxed_madd",
        "f64x2.relaxed_nmadd", "i32x4.relaxed_dot_i8x16_i7x16_add_s",
    ]),
    ("v", "i", &[
        "v128.any_true", "i8x16.extract_lane_s 15", "i8x16.extract_lane_u 15", "i16x8.extract_lane_s 7",
        "i16x8.extract_lane_u 7", "i32x4.extract_lane 3", "i8x16.all_true", "i8x16.bitmask", "i16x8.all_true",
        "i16x8.bitmask", "i32x4.all_true", "i32x4.bitmask", "i64x2.all_true", "i64x2.bitmask",
    ]),
    ("i", "v", &[
        "i8x16.splat", "i16x8.splat", "i32x4.splat", "v128.load offset=3", "v128.load8x8_s", "v128.load8x8_u",
        "v128.load16x4_s", "v128.load16x4_u", "v128.load32x2_s", "v128.load32x2_u", "v128.load8_splat",
        "v128.load16_splat", "v128.load32_splat", "v128.load64_splat", "v128.load32_zero", "v128.load64_zero",
    ]),
    ("vi", "v", &[
        "i8x16.replace_lane 15", "i16x8.replace_lane 7", "i32x4.replace_lane 3", "i8x16.shl", "i8x16.shr_s",
        "i8x16.shr_u", "i16x8.shl", "i16x8.shr_s", "i16x8.shr_u", "i32x4.shl", "i32x4.shr_s", "i32x4.shr_u",
        "i64x2.shl", "i64x2.shr_s", "i64x2.shr_u",
    ]),
    ("l", "v", &[
        "i64x2.splat",
    ]),
    ("v", "l", &[
        "i64x2.extract_lane 1",
    ]),
    ("vl", "v", &[
        "i64x2.replace_lane 1",
    ]),
    ("f", "v", &[
        "f32x4.splat",
    ]),
    ("v", "f", &[
        "f32x4.extract_lane 3",
    ]),
    ("vf", "v", &[
        "f32x4.replace_lane 3",
    ]),
    ("d", "v", &[
        "f64x2.splat",
    ]),
    ("v", "d", &[
        "f64x2.extract_lane 1",
    ]),
    ("vd", "v", &[
        "f64x2.replace_lane 1",
    ]),
    ("", "v", &[
        "v128.const i32x4 1 2 3 4",
    ]),
    ("iv", "", &[
        "v128.store", "v128.store8_lane 1", "v128.store16_lane 1", "v128.store32_lane 1", "v128.store64_lane 1",
    ]),
    ("iv", "v", &[
        "v128.load8_lane 1", "v128.load16_lane 1", "v128.load32_lane 1", "v128.load64_lane 1",
    ]),
];

/// A module with a function for each operator.
fn module() -> Vec<u8> {
    let mut text = String::from("(module (memory 1)");
    for (operands, results, operators) in OPERATORS {
        let types = |letters: &str| letters.chars().map(|letter| format!(" {}", type_of(letter))).collect::<String>();
        let gets: String = (0..operands.len()).map(|index| format!(" (local.get {index})")).collect();
        for operator in *operators {
            text += &format!("(func (param{}) (result{}) ({operator}{gets}))", types(operands), types(results));
        }
    }
    wat::parse_str(text + ")").expect("the table is well-formed")
}

fn type_of(letter: char) -> &'static str {
    match letter {
        'i' => "i32",
        'l' => "i64",
        'f' => "f32",
        'd' => "f64",
        _ => "v128",
    }
}

/// The verified IR of all functions of `wasm`.
fn translated(wasm: &[u8], arch: Arch) -> String {
    translated_for(wasm, arch, arch == Arch::Aarch64)
}

/// As [`translated`], for a processor that can multiply and add in one instruction, or cannot.
fn translated_for(wasm: &[u8], arch: Arch, fused_multiply_add: bool) -> String {
    let (tunables, triple) = (Tunables::default(), String::new());
    let options = Options { tunables, tier: None, quick: false, soon: None, arch, fused_multiply_add, triple };
    let parsed = parse_full(wasm).expect("a valid module");
    let functions: Vec<usize> = (0..parsed.funcs.len()).collect();
    crate::llvm::load().expect("LLVM is there");
    let context = Context::create();
    let partition = Partition { functions: &functions, copies: &[], osr: &[], guide: Guide::None };
    let module = module_partition(&context, &parsed, wasm, partition, &options).expect("all operators are known");
    module.verify().expect("LLVM accepts the module");
    module.print_to_string().to_string()
}

/// The name of `operator` in wasmparser, without immediates.
fn name(operator: &Operator<'_>) -> String {
    format!("{operator:?}").chars().take_while(|letter| letter.is_alphanumeric()).collect()
}

macro_rules! names {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        &[$(stringify!($op)),*]
    };
}

#[test]
fn the_table_is_complete() {
    let all: &[&str] = wasmparser::for_each_visit_simd_operator!(names);
    let wasm = module();
    let mut found = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&wasm) {
        if let Payload::CodeSectionEntry(body) = payload.expect("a well-formed module") {
            for operator in body.get_operators_reader().expect("a body") {
                found.insert(name(&operator.expect("an operator")));
            }
        }
    }
    let missing: Vec<_> = all.iter().filter(|&&name| !found.contains(name)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    assert_eq!(all.len(), 256);
}

#[test]
fn every_operator_is_accepted_on_x86_64() {
    translated(&module(), Arch::X86_64);
}

#[test]
fn every_operator_is_accepted_where_multiplication_and_addition_are_one() {
    translated_for(&module(), Arch::X86_64, true);
}

#[test]
fn every_operator_is_accepted_on_aarch64() {
    translated(&module(), Arch::Aarch64);
}

/// The IR of a function that takes a vector and returns what `expression` makes of it.
fn expression(expression: &str) -> String {
    let text = format!("(module (func (param v128) (result v128) {expression}))");
    translated(&wat::parse_str(text).expect("a well-formed expression"), Arch::X86_64)
}

#[test]
fn operations_that_only_make_nans_quiet_are_kept() {
    let x = "(local.get 0)";
    for operation in [
        format!("(f32x4.mul {x} (v128.const f32x4 1 1 1 1))"),
        format!("(f64x2.mul (v128.const f64x2 -1 -1) {x})"),
        format!("(f32x4.div {x} (v128.const f32x4 1 1 1 1))"),
        format!("(f32x4.add {x} (v128.const f32x4 -0 -0 -0 -0))"),
        format!("(f64x2.sub {x} (v128.const f64x2 0 0))"),
        format!("(f64x2.sub (v128.const f64x2 -0 -0) {x})"),
        format!("(f32x4.mul {x} (f32x4.splat (f32.const 1)))"),
        format!("(f32x4.mul {x} (v128.const f32x4 2 3 1 4))"),
        format!("(f32x4.demote_f64x2_zero (f64x2.promote_low_f32x4 {x}))"),
    ] {
        assert!(
            expression(&operation).contains("@llvm.arithmetic.fence"),
            "nothing keeps LLVM from dropping {operation}"
        );
    }
}

#[test]
fn other_constants_are_not_hidden() {
    assert!(!expression("(f32x4.mul (local.get 0) (v128.const f32x4 5 2 3 4))").contains("fence"));
    assert!(!expression("(f32x4.add (local.get 0) (v128.const f32x4 2 2 2 2))").contains("fence"));
}

#[test]
fn loads_stay_when_what_is_made_of_them_is_dropped() {
    for (operands, operator) in [
        ("(param i32)", "(v128.load32_splat (local.get 0))"),
        ("(param i32)", "(v128.load8x8_s (local.get 0))"),
        ("(param i32)", "(v128.load64_zero (local.get 0))"),
        ("(param i32 v128)", "(v128.load8_lane 3 (local.get 0) (local.get 1))"),
        ("(param i32 v128)", "(i32x4.add (v128.load (local.get 0)) (local.get 1))"),
    ] {
        let text = format!("(module (memory 1) (func {operands} (drop {operator})))");
        let ir = translated(&wat::parse_str(&text).expect("a well-formed module"), Arch::X86_64);
        assert!(ir.contains("load volatile"), "nothing keeps LLVM from dropping the load of {operator}:\n{ir}");
    }
}
