//! What lift-off code is translated to: little, since nothing optimises it, and each instruction less is time saved.

use super::*;

/// The first function of a module in text form as lift-off code, without what metadata says.
fn lift_off(text: &str) -> String {
    let bytes = wat::parse_str(text).expect("the test's module is well formed");
    let options = tiered(Tunables::default(), Some(Tier::LiftOff), Arch::X86_64);
    body(&translate(&bytes, &options).expect("the test's module is valid"))
}

#[test]
fn what_a_block_knows_is_not_computed_again() {
    insta::assert_snapshot!(lift_off(
        r#"(module (memory 1)
        (func (param $p i32) (local $sum i32)
            (local.set $sum (i32.add (i32.load offset=4 (local.get $p)) (i32.load offset=8 (local.get $p))))
            (i32.store offset=12 (local.get $p) (local.get $sum))
            (if (local.get $sum) (then (i32.store (local.get $p) (i32.const 7))))))"#
    ));
}

#[test]
fn loops_are_left_through_one_block() {
    insta::assert_snapshot!(lift_off(
        r#"(module
        (func (param $n i32) (result i64) (local $i i64)
            (loop $empty (br_if $empty (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (i64.const 5)
            (loop $with_operand (local.set $i (i64.const 1)) (br_if $with_operand (local.get $n)))
            (i64.add (local.get $i))))"#
    ));
}

#[test]
fn calls_go_through_entries() {
    insta::assert_snapshot!(lift_off(
        r#"(module
        (func (param i32) (result i32) (call 1 (local.get 0) (call 1 (i32.const 3) (local.get 0))))
        (func (param i32 i32) (result i32) (local.get 1)))"#
    ));
}
