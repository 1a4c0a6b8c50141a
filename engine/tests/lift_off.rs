//! Lift-off code computes what optimised code does, where variables have registers of their own: with calls, tail calls, and helpers between their uses, and more of them than there are registers.
#![cfg(feature = "wat")]

use wasmo::{Config, Engine, Instance, Module, Store, Tier, Val};

/// What each of these functions answers for some arguments, in code of a tier.
fn answers(tier: Tier, text: &str) -> Vec<String> {
    let engine = Engine::new(Config::new().tier(tier)).unwrap();
    let module = Module::new(&engine, text).unwrap();
    let mut answers = Vec::new();
    for name in module.exports().map(|export| export.name().to_owned()).collect::<Vec<_>>() {
        for n in [0, 1, 7, 100, -1] {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let func = instance.get_func(&mut store, &name).unwrap();
            let mut results = vec![Val::I32(0); func.ty(&store).results().len()];
            let outcome = func.call(&mut store, &[Val::I32(n)], &mut results);
            answers.push(format!("{name}({n}): {results:?}, {:?}", outcome.map_err(|error| error.to_string())));
        }
    }
    answers
}

#[track_caller]
fn check(text: &str) {
    let lift_off = answers(Tier::LiftOff, text);
    assert!(!lift_off.is_empty(), "nothing is exported");
    assert_eq!(lift_off, answers(Tier::Optimized, text));
}

/// A loop of 100 rounds at most around this.
fn counted(body: &str) -> String {
    format!(
        "(local.set $left (i32.and (local.get $n) (i32.const 127)))
        (block $out (loop $again
            (br_if $out (i32.eqz (local.get $left)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            {body}
            (br $again)))"
    )
}

#[test]
fn variables_survive_calls() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let locals: String = names.iter().map(|name| format!("(local ${name} i32) (local ${name}f f64) ")).collect();
    let mut body = String::new();
    for (position, name) in names.iter().enumerate() {
        let other = names[(position + 3) % names.len()];
        body += &format!(
            "(local.set ${name} (call $mix (local.get ${other}) (local.get ${name})))
            (local.set ${name}f (f64.add (call $half (local.get ${other}f)) (f64.convert_i32_s (local.get ${name}))))"
        );
    }
    let sum: String = names
        .iter()
        .map(|name| format!("(local.get ${name}) (i32.trunc_sat_f64_s (local.get ${name}f)) (i32.xor) (i32.add) "))
        .collect();
    check(&format!(
        "(module
            (func $mix (param $x i32) (param $y i32) (result i32) (local $left i32)
                (i32.add (i32.mul (local.get $x) (i32.const 31)) (i32.add (local.get $y) (i32.const 7))))
            (func $half (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))
            (func (export \"calls\") (param $n i32) (result i32) (local $left i32) {locals}
                {} (i32.const 0) {sum}))",
        counted(&body)
    ));
}

#[test]
fn results_and_variables_share_registers() {
    let body = "(call $five (local.get $a) (local.get $b) (local.get $c) (local.get $d) (local.get $e) (local.get $x) (local.get $y))
        (local.set $y) (local.set $x) (local.set $e) (local.set $d) (local.set $c) (local.set $b) (local.set $a)
        (local.set $e (i32.add (local.get $e) (i32.add (local.get $a) (local.get $left))))";
    check(&format!(
        "(module
            (type $five (func (param i32 i32 i32 i32 i32 f32 f32) (result i32 i32 i32 i32 i32 f32 f32)))
            (func $five (type $five)
                (local.get 4) (local.get 0) (i32.add (local.get 1) (i32.const 5)) (local.get 2) (i32.xor (local.get 3) (local.get 4))
                (f32.add (local.get 6) (f32.const 0.5)) (local.get 5))
            (func (export \"results\") (param $n i32) (result i32 i32 i32 i32 i32 f32 f32)
                (local $left i32) (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $e i32) (local $x f32) (local $y f32)
                (local.set $a (local.get $n))
                {}
                (local.get $a) (local.get $b) (local.get $c) (local.get $d) (local.get $e) (local.get $x) (local.get $y)))",
        counted(body)
    ));
}

#[test]
fn parameters_change_places_in_tail_calls() {
    check(
        "(module
            (func $turn (param $n i32) (param $a i32) (param $b i64) (param $c i32) (param $d i64) (param $e i32) (param $f i32) (param $g i64)
                        (param $x f32) (param $y f64) (param $z f32) (result i64)
                (if (i32.eqz (local.get $n)) (then (return (i64.add (local.get $b) (i64.add (local.get $d) (i64.add (local.get $g)
                    (i64.extend_i32_s (i32.sub (local.get $a) (i32.add (local.get $c) (i32.add (local.get $e) (i32.trunc_sat_f32_s (f32.add (local.get $x) (local.get $z)))))))))))))
                (return_call $turn (i32.sub (local.get $n) (i32.const 1)) (local.get $f) (local.get $g) (local.get $a) (local.get $b) (local.get $c)
                    (i32.add (local.get $e) (local.get $a)) (i64.xor (local.get $d) (i64.extend_i32_u (local.get $c)))
                    (local.get $z) (f64.promote_f32 (local.get $x)) (f32.add (f32.demote_f64 (local.get $y)) (f32.const 1.5))))
            (func (export \"turn\") (param $n i32) (result i64)
                (call $turn (i32.and (local.get $n) (i32.const 127)) (i32.const -1) (i64.const -2) (i32.const 3) (i64.const 0x123456789abc) (i32.const 5) (i32.const 6)
                    (i64.const 7) (f32.const 8) (f64.const 9) (f32.const 10))))",
    );
}

#[test]
fn variables_survive_helpers() {
    let body = "(memory.fill (local.get $a) (local.get $b) (i32.and (local.get $c) (i32.const 255)))
        (memory.copy (i32.add (local.get $b) (i32.const 300)) (local.get $a) (i32.and (local.get $b) (i32.const 255)))
        (local.set $grown (i32.add (local.get $grown) (memory.grow (i32.and (local.get $left) (i32.const 1)))))
        (local.set $a (i32.and (i32.add (local.get $a) (i32.const 3)) (i32.const 1023)))
        (local.set $b (i32.and (i32.add (local.get $b) (local.get $a)) (i32.const 1023)))
        (local.set $c (i32.add (i32.load8_u (local.get $b)) (local.get $c)))
        (local.set $x (f64.add (local.get $x) (f64.convert_i32_u (local.get $c))))
        (local.set $c (i32.add (local.get $c) (table.grow $t (ref.func $f) (i32.const 1))))
        (local.set $c (i32.add (local.get $c) (call_indirect (type $f) (local.get $a) (i32.and (local.get $left) (i32.const 1)))))";
    check(&format!(
        "(module
            (type $f (func (param i32) (result i32)))
            (memory 1 200) (table $t 2 funcref) (elem (i32.const 0) $f $g)
            (func $f (type $f) (i32.add (local.get 0) (i32.const 1)))
            (func $g (type $f) (i32.mul (local.get 0) (local.get 0)))
            (func (export \"helpers\") (param $n i32) (result i32 i32 i32 i32 f64)
                (local $left i32) (local $a i32) (local $b i32) (local $c i32) (local $grown i32) (local $x f64)
                {}
                (local.get $a) (local.get $b) (local.get $c) (local.get $grown) (local.get $x)))",
        counted(body)
    ));
}

#[test]
fn operands_keep_what_variables_held() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let locals: String = names.iter().map(|name| format!("(local ${name} i64) ")).collect();
    let gets: String = names.iter().map(|name| format!("(local.get ${name}) ")).collect();
    let sets: String = names.iter().map(|name| format!("(local.set ${name}) ")).collect();
    let tees: String =
        names.iter().map(|name| format!("(local.tee ${name} (i64.add (local.get ${name}) (i64.const 11))) ")).collect();
    let adds = "(i64.xor) (i64.add) (i64.sub) (i64.mul) (i64.or) (i64.rotl) (i64.add) (i64.xor) (i64.sub) ";
    // Without a call, so that the registers of arguments are variables', too; and deep enough that operands go to their slots.
    let body = format!(
        "{gets} {tees} {adds} (drop) {sets}
        (local.set $a (i64.add (local.get $a) (i64.extend_i32_u (local.get $left))))
        (local.set $j (i64.div_u (local.get $j) (i64.or (local.get $b) (i64.const 1))))
        (local.set $h (i64.shl (local.get $h) (local.get $a)))
        (local.set $i (select (local.get $h) (local.get $b) (i64.lt_s (local.get $c) (local.get $j))))"
    );
    check(&format!(
        "(module (func (export \"operands\") (param $n i32) (result i64) (local $left i32) {locals} {} {gets} {adds}))",
        counted(&body)
    ));
}
