//! Whatever computes with a signalling NaN gives a quiet one (core specification, 4.3.3, NaN propagation), and whatever only moves it gives the
//! same bits: however LLVM simplifies, and however late it learns that an operation changes no number.

mod common;

use common::{Instance, compiler, link};
use wasmo_abi::tunables::{OptLevel, Tunables};
use wasmo_abi::vm::RawValue;

/// Bodies that compute something of the local `$x` of type `F`, which is a NaN; `M` is the other type of float.
const QUIET: &[&str] = &[
    // Neutral constants.
    "(F.mul (local.get $x) (F.const 1))",
    "(F.mul (F.const -1) (local.get $x))",
    "(F.div (local.get $x) (F.const 1))",
    "(F.add (local.get $x) (F.const -0))",
    "(F.sub (local.get $x) (F.const 0))",
    "(F.sub (F.const -0) (local.get $x))",
    "(F.add (F.abs (local.get $x)) (F.const 0))",
    "(F.min (local.get $x) (F.const -0))",
    "(F.max (F.const -0) (local.get $x))",
    "(F.min (local.get $x) (F.const inf))",
    "(F.max (local.get $x) (F.const -inf))",
    "(F.min (F.const nan:0x200000) (local.get $x))",
    "(F.max (F.convert_i32_s (i32.const 1)) (F.const nan:0x200000))",
    "(F.max (local.get $x) (local.get $x))",
    "(F.mul (local.get $x) (F.convert_i32_s (i32.const 1)))",
    "(F.mul (local.get $x) (F.reinterpret_I (I.const ONE)))",
    "(F.mul (local.get $x) (global.get $one))",
    // They come through a call that is inlined.
    "(call $mul (local.get $x) (F.const 1))",
    "(call $mul (F.const -1) (local.get $x))",
    "(call $sub (local.get $x) (F.const 0))",
    "(call $add (local.get $x) (F.const -0))",
    "(call $div (local.get $x) (F.const 1))",
    "(call $min (local.get $x) (F.const -0))",
    "(F.mul (local.get $x) (call $one))",
    "(call $mul (local.get $x) (F.sub (F.const 3) (F.const 2)))",
    "(call $mul (local.get $x) (F.copysign (F.const 1) (F.const -5)))",
    // Through memory, a local of a loop, both arms of a condition; known by a comparison.
    "(F.store (i32.const 8) (F.const 1)) (F.mul (local.get $x) (F.load (i32.const 8)))",
    "(local.set $y (F.const 1))
     (loop $again
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (local.set $y (F.mul (local.get $y) (F.const 1)))
        (br_if $again (i32.lt_u (local.get $n) (i32.const 5))))
     (F.mul (local.get $x) (local.get $y))",
    "(if (local.get $n) (then (local.set $y (F.const 1))) (else (local.set $y (F.const 1))))
     (F.div (local.get $x) (local.get $y))",
    "(local.set $y (F.sqrt (F.convert_i32_u (local.get $one))))
     (if (result F) (F.eq (local.get $y) (F.const 1))
        (then (F.mul (local.get $x) (local.get $y)))
        (else (F.const 0)))",
    "(local.set $x (select (F.mul (local.get $x) (F.const 1)) (local.get $x) (local.get $one))) (local.get $x)",
    "(call $sub (F.neg (F.abs (call $mul (local.get $x) (F.const 1)))) (F.const 0))",
];

/// Likewise for f32 alone: demotions of what was promoted.
const QUIET_F32: &[&str] = &[
    "(f32.demote_f64 (f64.promote_f32 (local.get $x)))",
    "(f32.demote_f64 (f64.neg (f64.promote_f32 (local.get $x))))",
    "(f32.demote_f64 (f64.abs (f64.promote_f32 (local.get $x))))",
    "(f32.demote_f64 (f64.copysign (f64.promote_f32 (local.get $x)) (f64.const -1)))",
    "(f32.demote_f64 (f64.copysign (f64.promote_f32 (local.get $x)) (f64.convert_i32_u (local.get $one))))",
    "(f32.demote_f64 (select (f64.promote_f32 (local.get $x)) (f64.const 3) (local.get $one)))",
    "(f32.demote_f64 (call $promote (local.get $x)))",
    "(call $demote (f64.promote_f32 (local.get $x)))",
    "(f32.demote_f64 (f64.mul (f64.promote_f32 (local.get $x)) (f64.promote_f32 (f32.const 1))))",
    "(f32.demote_f64 (f64.floor (f64.promote_f32 (local.get $x))))",
    "(f64.store (i32.const 8) (f64.promote_f32 (local.get $x))) (f32.demote_f64 (f64.load (i32.const 8)))",
];

/// Bodies of type v128 that compute with every lane of the local `$v`, all of which are signalling NaNs of type `F` (in the shape `S`).
const QUIET_LANES: &[&str] = &[
    "(S.mul (local.get $v) (S.splat (F.const 1)))",
    "(S.sub (local.get $v) (call $splat (F.const 0)))",
    "(S.mul (local.get $v) (call $splat (F.const 1)))",
    "(S.div (local.get $v) (call $splat (F.const 1)))",
    "(S.add (call $splat (F.const -0)) (local.get $v))",
    "(S.mul (call $splat (F.const -1)) (local.get $v))",
    "(S.min (local.get $v) (call $splat (F.const -0)))",
    "(S.max (local.get $v) (call $splat (F.const -0)))",
    "(S.min (local.get $v) (S.splat (F.const inf)))",
    "(S.max (S.splat (F.const -inf)) (local.get $v))",
    "(S.max (S.splat (F.const nan:0x200000)) (local.get $v))",
    "(S.add (S.abs (local.get $v)) (S.splat (F.const 0)))",
    "(S.splat (call $mul (S.extract_lane 1 (local.get $v)) (F.const 1)))",
    "(S.splat (S.extract_lane 0 (S.mul (local.get $v) (call $splat (F.const 1)))))",
];

/// Bodies that only move `$x`, or change its sign: all bits but that of the sign stay.
const SAME: &[&str] = &[
    "(F.neg (local.get $x))",
    "(F.abs (local.get $x))",
    "(F.copysign (local.get $x) (F.const -1))",
    "(select (local.get $x) (F.mul (local.get $x) (F.const 1)) (local.get $one))",
    "(F.store (i32.const 8) (local.get $x)) (F.load (i32.const 8))",
    "(call $id (local.get $x))",
    "(if (result F) (local.get $one) (then (local.get $x)) (else (F.mul (local.get $x) (F.const 1))))",
    "(global.set $g (local.get $x)) (global.get $g)",
];

/// One float type: names, and a signalling NaN.
struct Float {
    name: &'static str,
    int: &'static str,
    shape: &'static str,
    one: u64,
    /// The bit that a quiet NaN has.
    quiet: u64,
    sign: u64,
    signalling: u64,
}

const FLOATS: [Float; 2] = [
    Float {
        name: "f32",
        int: "i32",
        shape: "f32x4",
        one: 0x3f80_0000,
        quiet: 0x0040_0000,
        sign: 0x8000_0000,
        signalling: 0x7fa0_1234,
    },
    Float {
        name: "f64",
        int: "i64",
        shape: "f64x2",
        one: 0x3ff0_0000_0000_0000,
        quiet: 0x0008_0000_0000_0000,
        sign: 0x8000_0000_0000_0000,
        signalling: 0xfff4_0000_1234_5678,
    },
];

/// What `body` gives for the signalling NaN of `float`, in bits, with and without optimisation. The last parameter is 1, which the compiler does not know.
fn results(float: &Float, body: &str) -> [u64; 2] {
    let text = format!(
        r#"(module
            (memory 1)
            (global $one F (F.const 1))
            (global $g (mut F) (F.const 1))
            (func $id (param F) (result F) (local.get 0))
            (func $one (result F) (F.const 1))
            (func $add (param F F) (result F) (F.add (local.get 0) (local.get 1)))
            (func $sub (param F F) (result F) (F.sub (local.get 0) (local.get 1)))
            (func $mul (param F F) (result F) (F.mul (local.get 0) (local.get 1)))
            (func $div (param F F) (result F) (F.div (local.get 0) (local.get 1)))
            (func $min (param F F) (result F) (F.min (local.get 0) (local.get 1)))
            (func $promote (param f32) (result f64) (f64.promote_f32 (local.get 0)))
            (func $demote (param f64) (result f32) (f32.demote_f64 (local.get 0)))
            (func $splat (param F) (result v128) (S.splat (local.get 0)))
            (func $body (param $x F) (param $v v128) (param $one i32) (result F) (local $y F) (local $n i32) {body})
            (func (export "f") (param I i32) (result I)
                (I.reinterpret_F
                    (call $body (F.reinterpret_I (local.get 0)) (SI.splat (local.get 0)) (local.get 1)))))"#
    );
    let lanes = if float.int == "i32" { "i32x4" } else { "i64x2" };
    let text = text.replace("SI.", &format!("{lanes}."));
    let text = text.replace("ONE", &float.one.to_string());
    let mut typed = String::new();
    let mut word = String::new();
    // Names of one capital stand for types.
    for letter in text.chars().chain([' ']) {
        if letter.is_alphanumeric() {
            word.push(letter);
            continue;
        }
        typed += match word.as_str() {
            "F" => float.name,
            "I" => float.int,
            "S" => float.shape,
            other => other,
        };
        word.clear();
        typed.push(letter);
    }
    let typed = typed.replace("reinterpret_F", &format!("reinterpret_{}", float.name));
    let typed = typed.replace("reinterpret_I", &format!("reinterpret_{}", float.int));
    [OptLevel::None, OptLevel::Speed].map(|opt_level| {
        let compiler = compiler(Tunables { opt_level, ..Tunables::default() });
        let (info, _, code) = link(&compiler, &typed);
        let arguments = [RawValue::from_u64(float.signalling), RawValue::from_u64(1)];
        let result = Instance::new(info, code, &[]).call("f", &arguments)[0];
        if float.int == "i32" { u64::from(result.as_u32()) } else { result.as_u64() }
    })
}

/// Which of `bodies` give something else than `right` says.
fn wrong<'a>(float: &Float, bodies: impl Iterator<Item = &'a str>, right: impl Fn(u64) -> bool) -> Vec<String> {
    bodies
        .flat_map(|body| {
            let results = results(float, body);
            let wrong = results.iter().any(|&bits| !right(bits));
            wrong.then(|| format!("{}, unoptimised and optimised: {results:x?}: {body}", float.name))
        })
        .collect()
}

#[test]
fn a_signalling_nan_that_is_computed_with_becomes_quiet() {
    let mut all = Vec::new();
    for float in &FLOATS {
        let exponent = !(float.quiet * 2 - 1) & (float.sign - 1);
        let is_quiet = |bits: u64| bits & exponent == exponent && bits & float.quiet != 0;
        let only_f32 = if float.name == "f32" { QUIET_F32 } else { &[] };
        all.extend(wrong(float, QUIET.iter().chain(only_f32).copied(), is_quiet));
        let lanes: Vec<String> = QUIET_LANES
            .iter()
            .flat_map(|body| (0..2).map(move |lane| format!("(S.extract_lane {lane} {body})")))
            .collect();
        all.extend(wrong(float, lanes.iter().map(String::as_str), is_quiet));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn a_signalling_nan_that_is_only_moved_stays_as_it_is() {
    for float in &FLOATS {
        let all = wrong(float, SAME.iter().copied(), |bits| bits | float.sign == float.signalling | float.sign);
        assert!(all.is_empty(), "{}", all.join("\n"));
    }
}
