//! `relaxed_madd` rounds once where the processor that code is for can do so in one instruction, and twice elsewhere; and always the same, whether a
//! compiler or the processor computes it.

mod common;

use common::{Instance, compiler, link};
use wasmo_abi::tunables::{OptLevel, Tunables};
use wasmo_abi::vm::RawValue;
use wasmo_codegen::{Compiler, Cpu, Print, TargetOptions};

/// Both operators, in both shapes.
const OPERATORS: &str = r#"(module
    (func (export "madd32") (param v128 v128 v128) (result v128)
        (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))
    (func (export "nmadd32") (param v128 v128 v128) (result v128)
        (f32x4.relaxed_nmadd (local.get 0) (local.get 1) (local.get 2)))
    (func (export "madd64") (param v128 v128 v128) (result v128)
        (f64x2.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))
    (func (export "nmadd64") (param v128 v128 v128) (result v128)
        (f64x2.relaxed_nmadd (local.get 0) (local.get 1) (local.get 2))))"#;

/// [`OPERATORS`] in assembly.
fn assembly(triple: &str, cpu: Cpu, opt_level: OptLevel) -> String {
    let target = TargetOptions { triple: Some(triple.to_owned()), cpu, threads: 1 };
    let compiler = Compiler::new(Tunables { opt_level, ..Tunables::default() }, target).expect("a known target");
    let bytes = wat::parse_str(OPERATORS).expect("the text is well-formed");
    let info = wasmo_codegen::parse(&bytes).expect("the module is valid");
    compiler.print(&info, &bytes, Print::Assembly).expect("the module compiles")
}

#[test]
fn the_processors_instruction_is_used_where_it_is_there() {
    for opt_level in [OptLevel::None, OptLevel::Speed] {
        for cpu in ["x86-64-v3", "x86-64-v4", "haswell", "znver4"] {
            let text = assembly("x86_64-unknown-linux-gnu", Cpu::Named(cpu.to_owned()), opt_level);
            for fused in ["vfmadd", "vfnmadd"] {
                for kind in ["ps", "pd"] {
                    let is_fused = |word: &str| word.starts_with(fused) && word.ends_with(kind);
                    assert!(text.split_whitespace().any(is_fused), "no {fused}…{kind} for {cpu}:\n{text}");
                }
            }
        }
        let text = assembly("aarch64-unknown-linux-gnu", Cpu::Baseline, opt_level);
        assert!(text.contains("fmla"), "{text}");
    }
}

#[test]
fn code_for_any_processor_does_without() {
    for cpu in [Cpu::Baseline, Cpu::Named("sandybridge".to_owned())] {
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            let text = assembly("x86_64-unknown-linux-gnu", cpu.clone(), opt_level);
            let fused: Vec<&str> =
                text.split_whitespace().filter(|word| word.starts_with("vfm") || word.starts_with("vfnm")).collect();
            assert!(fused.is_empty() && text.contains("mulp"), "for {cpu:?}: {fused:?}\n{text}");
        }
    }
}

/// What `x * x - y` is when it is rounded twice, and when it is rounded once, of numbers for which these differ.
fn differing() -> (f64, f64, f64, f64) {
    let x = 1.0 + f64::EPSILON * 3.0;
    let y = x * x;
    (x, y, 0.0, x.mul_add(x, -y))
}

#[test]
fn compilers_and_processors_round_alike() {
    let (x, y, twice, once) = differing();
    assert_ne!(once, twice);
    let bits = |number: f64| number.to_bits();
    let madd = |a: &str, b: &str, c: &str| format!("(f64x2.extract_lane 1 (f64x2.relaxed_madd {a} {b} {c}))");
    let (known_x, known_y) =
        (format!("(v128.const i64x2 0 {})", bits(x)), format!("(v128.const i64x2 0 {})", bits(-y)));
    let (unknown_x, unknown_y) = ("(f64x2.splat (local.get 0))", "(f64x2.neg (f64x2.splat (local.get 1)))");
    let text = format!(
        r#"(module
            (func (export "none known") (param f64 f64) (result f64) {})
            (func (export "all known") (param f64 f64) (result f64) {})
            (func (export "factors known") (param f64 f64) (result f64) {})
            (func (export "sum known") (param f64 f64) (result f64) {}))"#,
        madd(unknown_x, unknown_x, unknown_y),
        madd(&known_x, &known_x, &known_y),
        madd(&known_x, &known_x, unknown_y),
        madd(unknown_x, unknown_x, &known_y),
    );
    let mut results = Vec::new();
    for opt_level in [OptLevel::None, OptLevel::Speed] {
        let compiler = compiler(Tunables { opt_level, ..Tunables::default() });
        let (info, _, code) = link(&compiler, &text);
        let mut instance = Instance::new(info, code, &[]);
        for name in ["none known", "all known", "factors known", "sum known"] {
            let result = instance.call(name, &[RawValue::from_u64(bits(x)), RawValue::from_u64(bits(y))])[0];
            results.push((name, f64::from_bits(result.as_u64())));
        }
    }
    let has_instruction = cfg!(target_arch = "aarch64") || {
        #[cfg(target_arch = "x86_64")]
        let found = std::arch::is_x86_feature_detected!("fma");
        #[cfg(not(target_arch = "x86_64"))]
        let found = false;
        found
    };
    let expected = if has_instruction { once } else { twice };
    for (name, result) in results {
        assert_eq!(result, expected, "{name}");
    }
}
