//! Modules compiled, linked and called without the runtime crate.

mod common;

use common::{Instance, compiler, i32s, link};
use wasmo_abi::tunables::{OptLevel, Tunables};
use wasmo_abi::vm::RawValue;

const LEVELS: [OptLevel; 2] = [OptLevel::None, OptLevel::Speed];

fn instance(opt_level: OptLevel, text: &str, hosts: &[common::HostFunc]) -> Instance {
    let compiler = compiler(Tunables { opt_level, ..Tunables::default() });
    // Code lives as long as its owner, with or without the compiler.
    let (info, _, code) = link(&compiler, text);
    drop(compiler);
    Instance::new(info, code, hosts)
}

fn u32s(values: &[RawValue]) -> Vec<u32> {
    values.iter().map(|value| value.as_u32()).collect()
}

#[test]
fn adds_and_loops() {
    for level in LEVELS {
        let mut instance = instance(
            level,
            r#"(module
                (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
                (func (export "fib") (param $n i32) (result i64) (local $a i64) (local $b i64) (local $t i64)
                    (local.set $b (i64.const 1))
                    (block $out (loop $again
                        (br_if $out (i32.eqz (local.get $n)))
                        (local.set $t (i64.add (local.get $a) (local.get $b)))
                        (local.set $a (local.get $b))
                        (local.set $b (local.get $t))
                        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                        (br $again)))
                    (local.get $a)))"#,
            &[],
        );
        assert_eq!(u32s(&instance.call("add", &i32s(&[2, 40]))), [42]);
        assert_eq!(u32s(&instance.call("add", &i32s(&[u32::MAX, 2]))), [1]);
        assert_eq!(instance.call("fib", &i32s(&[90]))[0].as_u64(), 2_880_067_194_370_816_120);
    }
}

/// 10 integers, 10 floats: more than there are registers of either class.
const PARAMS: &str = "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64";

/// LLVM 22.1.8 drops stack arguments that a `musttail` call changes (#199224): all of them must arrive.
#[test]
fn a_tail_call_may_change_arguments_beyond_the_registers() {
    let rotated: Vec<String> = (0..20)
        .map(|position| match position {
            0..10 => format!("(i32.add (local.get {}) (i32.const 1))", (position + 3) % 10),
            _ => format!("(f64.add (local.get {}) (f64.const 1))", 10 + (position - 10 + 3) % 10),
        })
        .collect();
    let back: Vec<String> = (0..10)
        .map(|position| format!("(i32.trunc_f64_s (local.get {}))", position + 10))
        .chain((0..10).map(|position| format!("(f64.convert_i32_s (local.get {position}))")))
        .collect();
    let gets: String = (0..20).map(|position| format!("(local.get {position})")).collect();
    let text = format!(
        r#"(module
            (type $wide (func (param {PARAMS}) (result {PARAMS})))
            (func $third (type $wide) {gets})
            (func $second (type $wide) (return_call $third {}))
            (func (export "first") (type $wide) (return_call $second {})))"#,
        back.join(" "),
        rotated.join(" ")
    );
    let mut arguments = i32s(&[100, 101, 102, 103, 104, 105, 106, 107, 108, 109]);
    arguments.extend((0..10).map(|position| RawValue::from_u64(f64::from(200 + position).to_bits())));
    for level in LEVELS {
        let results = instance(level, &text, &[]).call("first", &arguments);
        let integers = u32s(&results[..10]);
        let floats: Vec<f64> = results[10..].iter().map(|value| f64::from_bits(value.as_u64())).collect();
        assert_eq!(integers, [204, 205, 206, 207, 208, 209, 210, 201, 202, 203], "{level:?}");
        assert_eq!(floats, [104., 105., 106., 107., 108., 109., 110., 101., 102., 103.], "{level:?}");
    }
}

/// LLVM 22.1.8 aborts when results do not fit the registers: those beyond go through the spill area.
#[test]
fn a_call_may_have_more_results_than_registers() {
    let text = r#"(module
        (func $many (param i32) (result i32 i32 i32 i32 i32 i32 i32)
            (local.get 0) (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5)
            (i32.mul (local.get 0) (i32.const 3)))
        (func (export "sum") (param i32) (result i32)
            (call $many (local.get 0)) i32.add i32.add i32.add i32.add i32.add i32.add)
        (func (export "many") (param i32) (result i32 i32 i32 i32 i32 i32 i32) (call $many (local.get 0))))"#;
    for level in LEVELS {
        let mut instance = instance(level, text, &[]);
        assert_eq!(u32s(&instance.call("sum", &i32s(&[10]))), [55]);
        assert_eq!(u32s(&instance.call("many", &i32s(&[9]))), [9, 1, 2, 3, 4, 5, 27]);
    }
}

#[test]
fn the_host_is_called_with_all_arguments_and_gives_all_results() {
    fn host(values: &mut [RawValue]) {
        let sum: u32 = u32s(&values[..9]).iter().sum();
        assert_eq!(values[9].as_u128(), 7 << 64 | 5);
        for (position, value) in values[..6].iter_mut().enumerate() {
            *value = RawValue::from_u32(sum + u32::try_from(position).expect("small"));
        }
    }
    let text = r#"(module
        (import "" "" (func $host (param i32 i32 i32 i32 i32 i32 i32 i32 i32 v128) (result i32 i32 i32 i32 i32 i32)))
        (func (export "run") (param i32) (result i32 i32 i32 i32 i32 i32)
            (call $host (local.get 0) (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5)
                (i32.const 6) (i32.const 7) (i32.const 8) (v128.const i64x2 5 7))))"#;
    for level in LEVELS {
        let results = instance(level, text, &[host]).call("run", &i32s(&[64]));
        assert_eq!(u32s(&results), [100, 101, 102, 103, 104, 105]);
    }
}

/// A call may go to a function of another partition.
#[test]
fn partitions_call_each_other() {
    // Each body is about 1,000 bytes, so that a partition is full after some 60 of them.
    let count = 400;
    let padding =
        "(local.set 0 (i32.mul (i32.xor (local.get 0) (i32.const 0x12345678)) (i32.const 0x7654321)))".repeat(70);
    let mut text = "(module (func $f0 (param i32) (result i32) (local.get 0))".to_owned();
    for index in 1..count {
        text += &format!("(func $f{index} (param i32) (result i32) {padding} (call $f{} (local.get 0)))", index - 1);
    }
    text += &format!("(func (export \"run\") (param i32) (result i32) (call $f{} (local.get 0))))", count - 1);
    let mut expected = 7u32;
    for _ in 1..count {
        for _ in 0..70 {
            expected = (expected ^ 0x1234_5678).wrapping_mul(0x765_4321);
        }
    }
    for opt_level in LEVELS {
        let compiler = compiler(Tunables { opt_level, ..Tunables::default() });
        let (info, _, code) = link(&compiler, &text);
        assert!(code.units.len() > 3, "{} partitions", code.units.len());
        assert!(code.units.is_sorted_by_key(|unit| unit.start));
        assert_eq!(u32s(&Instance::new(info, code, &[]).call("run", &i32s(&[7]))), [expected]);
    }
}

#[test]
fn epochs_are_polled_on_entry_and_on_every_back_edge() {
    fn host(_: &mut [RawValue]) {}
    let text = r#"(module
        (import "" "" (func $host))
        (func (export "run") (param $n i32)
            (loop $again
                (call $host)
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    for opt_level in LEVELS {
        for epoch_interruption in [false, true] {
            let compiler = compiler(Tunables { opt_level, epoch_interruption, ..Tunables::default() });
            let (info, _, code) = link(&compiler, text);
            let mut instance = Instance::new(info, code, &[host]);
            // The epoch is 0. At a deadline of 0 every poll calls the helper.
            instance.call("run", &i32s(&[10]));
            // One entry and 9 back-edges.
            assert_eq!(instance.exec.fuel, if epoch_interruption { 10 } else { 0 }, "{opt_level:?}");
            instance.exec.fuel = 0;
            instance.exec.epoch_deadline = 1;
            instance.call("run", &i32s(&[10]));
            assert_eq!(instance.exec.fuel, 0);
        }
    }
}
