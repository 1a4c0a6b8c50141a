//! Code comes and goes: nothing is left behind, and errors leave the compiler usable.

mod common;

use common::{Instance, compiler, i32s, link};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmo_abi::code::ModuleCode;
use wasmo_abi::index::TypeIndex;
use wasmo_abi::tunables::{OptLevel, Tunables};
use wasmo_abi::types::{FuncType, ValType};
use wasmo_codegen::{Compiler, Cpu, ErrorKind, Observer, TargetOptions};

fn quick() -> Tunables {
    Tunables { opt_level: OptLevel::None, ..Tunables::default() }
}

#[cfg(target_os = "linux")]
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("Linux has it").lines().count()
}

/// The kernel allows 65,530 mappings a process. Neighbouring modules share theirs, and freed ones leave none.
#[test]
#[cfg(target_os = "linux")]
fn thousands_of_small_modules_need_few_mappings() {
    let compiler = compiler(quick());
    let text = r#"(module (table (export "t") 1 funcref) (func (export "f") (param i32) (result f64)
        (f64.mul (f64.convert_i32_u (local.get 0)) (f64.const 1.1))))"#;
    let bytes = wat::parse_str(text).expect("the text is well-formed");
    let info = wasmo_codegen::parse(&bytes).expect("the module is valid");
    let make = || {
        let compiled = compiler.compile(&info, &bytes, &()).expect("the module compiles");
        compiler.link(&info, compiled).expect("the module links")
    };
    // Allocators and threads make mappings of their own at first.
    drop(make());
    let before = mappings();
    let mut kept: Vec<ModuleCode> = (0..1_000).map(|_| make()).collect();
    let slack = 60;
    assert!(mappings() < before + slack, "{} mappings grew to {}", before, mappings());
    // Holes between modules are used again.
    let mut position = 0;
    kept.retain(|_| {
        position += 1;
        position % 100 == 0
    });
    let highest = |kept: &[ModuleCode]| {
        kept.iter().flat_map(|code| (0..code.entries.len()).map(|position| code.entry(position))).max()
    };
    let top = highest(&kept);
    kept.extend((0..900).map(|_| make()));
    assert_eq!(highest(&kept), top);
    kept.clear();
    assert!(mappings() < before + slack, "{} mappings grew to {}", before, mappings());
}

#[test]
fn the_mistake_that_stands_first_is_reported() {
    // Two partitions and more, with mistakes in the first function and in the last, which are of different length.
    let padding =
        "(local.set 0 (i32.mul (i32.xor (local.get 0) (i32.const 0x12345678)) (i32.const 0x7654321)))".repeat(70);
    let mut text = "(module (func (param i32) (drop (i64.add (local.get 0) (i64.const 1))))".to_owned();
    for _ in 0..200 {
        text += &format!("(func (param i32) {padding})");
    }
    text += &format!("(func (param i32) {padding} (drop (f32.neg (local.get 0)))))");
    let bytes = wat::parse_str(&text).expect("the text is well-formed");
    let info = wasmo_codegen::parse(&bytes).expect("only bodies are invalid");
    let compiler = compiler(quick());
    for _ in 0..10 {
        let error = compiler.compile(&info, &bytes, &()).expect_err("the module is invalid");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(
            info.bodies
                .get(0)
                .expect("there are functions")
                .range()
                .contains(&error.offset.expect("the mistake has a place")),
            "{error}"
        );
    }
}

struct Watch {
    stop_at: u64,
    done: AtomicU64,
    total: AtomicU64,
}

impl Observer for Watch {
    fn progress(&self, done: u64, total: u64) {
        self.done.fetch_max(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }
    fn cancelled(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.stop_at
    }
}

#[test]
fn an_observer_sees_progress_and_may_cancel() {
    let padding =
        "(local.set 0 (i32.mul (i32.xor (local.get 0) (i32.const 0x12345678)) (i32.const 0x7654321)))".repeat(70);
    let text = format!("(module {})", format!("(func (param i32) {padding})").repeat(300));
    let bytes = wat::parse_str(&text).expect("the text is well-formed");
    let info = wasmo_codegen::parse(&bytes).expect("the module is valid");
    let compiler = compiler(quick());
    let total: usize = info.bodies.iter().map(wasmo_abi::module::Body::size).sum();
    let watch = |stop_at| Watch { stop_at, done: AtomicU64::new(0), total: AtomicU64::new(0) };

    let all = watch(u64::MAX);
    compiler.compile(&info, &bytes, &all).expect("nobody cancels");
    assert_eq!((all.done.into_inner(), all.total.into_inner()), (total as u64, total as u64));

    let some = watch(1);
    let error = compiler.compile(&info, &bytes, &some).expect_err("it is cancelled");
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(some.done.into_inner() < total as u64);
}

/// Loses patience when it has been asked so often.
struct Patience(AtomicU64);

impl Observer for Patience {
    fn cancelled(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn optimising_one_function_can_be_cancelled() {
    let text = "(module (memory 1) (func (param i32) (loop (i32.store (local.get 0) (i32.load offset=4 (local.get 0)))
        (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 4)))))))";
    let bytes = wat::parse_str(text).expect("the text is well-formed");
    let info = wasmo_codegen::parse(&bytes).expect("the module is valid");
    let compiler = compiler(Tunables::default());
    let many = Patience(AtomicU64::new(u64::MAX));
    compiler.compile(&info, &bytes, &many).expect("nobody cancels");
    let asked = u64::MAX - many.0.into_inner();
    assert!(asked > 50, "{asked}: before every pass");
    // Each time in another pass; what is compiled next is not disturbed by it.
    for patience in (0..asked).step_by(7) {
        let error = compiler.compile(&info, &bytes, &Patience(AtomicU64::new(patience))).expect_err("it is cancelled");
        assert_eq!(error.kind, ErrorKind::Cancelled, "{patience}");
    }
    compiler.compile(&info, &bytes, &()).expect("nobody cancels");
}

#[test]
fn thunks_are_made_for_types_that_no_module_has() {
    let compiler = compiler(quick());
    // LLVM makes the first, the baseline compiler the second.
    for result in [ValType::V128, ValType::F32] {
        let ty = FuncType { params: [ValType::I32, ValType::F64].into(), results: [result].into() };
        let placed = compiler.thunks(&ty).expect("thunks compile").at(0x1_0000);
        let &[(TypeIndex(0), enter, exit)] = &placed.thunks[..] else { panic!("{result:?}: {placed:?}") };
        let starts: Vec<usize> =
            placed.unit.functions.iter().map(|range| placed.unit.start + range.offset as usize).collect();
        assert!(starts.contains(&enter) && starts.contains(&exit) && enter != exit, "{result:?}: {starts:x?}");
    }
}

#[test]
fn a_module_without_functions_compiles() {
    let compiler = compiler(quick());
    let (_, _, code) = link(&compiler, "(module (memory 1))");
    assert!(code.entries.is_empty() && code.units.is_empty());
}

#[test]
fn modules_are_compiled_and_linked_by_several_threads_at_a_time() {
    let compiler = compiler(quick());
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let compiler = &compiler;
            scope.spawn(move || {
                for round in 0..20u32 {
                    let number = thread * 100 + round;
                    let text = format!(r#"(module (func (export "f") (result i32) (i32.const {number})))"#);
                    let (info, _, code) = link(compiler, &text);
                    let mut instance = Instance::new(info, code, &[]);
                    assert_eq!(instance.call("f", &i32s(&[]))[0].as_u32(), number);
                }
            });
        }
    });
}

#[test]
fn unfit_processors_are_refused() {
    let new = |cpu: &str| {
        let target = TargetOptions { cpu: Cpu::Named(cpu.to_owned()), threads: 1, ..TargetOptions::default() };
        Compiler::new(Tunables::default(), target).map(drop)
    };
    let refused = |cpu: &str| new(cpu).expect_err("the processor is unfit");
    assert_eq!(refused("nonsense").kind, ErrorKind::Unsupported);
    assert_eq!(refused("non\0sense").kind, ErrorKind::Unsupported);
    if cfg!(target_arch = "x86_64") {
        assert!(refused("x86-64").message.contains("x86-64-v2"));
        assert_eq!(new("x86-64-v2").map_err(|error| error.to_string()), Ok(()));
    }
}

#[test]
fn targets_are_refused_with_a_reason() {
    let new = |triple: &str, cpu: Cpu| {
        let target = TargetOptions { triple: Some(triple.to_owned()), cpu, threads: 1 };
        Compiler::new(quick(), target)
    };
    for triple in ["", "riscv64gc-unknown-linux-gnu", "x86_64-pc-windows-msvc", "aarch64\0-linux"] {
        assert_eq!(new(triple, Cpu::Baseline).expect_err("no code for it").kind, ErrorKind::Unsupported, "{triple}");
    }
    let foreign = if cfg!(target_arch = "x86_64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
    assert_eq!(new(foreign, Cpu::Host).expect_err("this machine is none").kind, ErrorKind::Unsupported);
    let compiler = new(foreign, Cpu::Baseline).expect("the target is known");
    assert_eq!(compiler.triple(), foreign);
    // Its code is compiled, but not run here.
    let bytes = wat::parse_str("(module (func (export \"f\")))").expect("the text is well-formed");
    let info = wasmo_codegen::parse(&bytes).expect("the module is valid");
    let compiled = compiler.compile(&info, &bytes, &()).expect("the module compiles");
    let error = compiler.link(&info, compiled).expect_err("it is for another machine");
    assert!(error.kind == ErrorKind::Unsupported && error.message.contains(foreign), "{error}");
    assert!(compiler.check_host().is_err());
}

/// LLVM's target machines outlive the contexts of what they compile, and must not hold on to anything in them.
#[test]
fn machines_are_used_again() {
    let bytes = wat::parse_str("(module (func (export \"f\")) (func (block (br_if 0 (i32.const 1)))))");
    let bytes = bytes.expect("the text is well-formed");
    let info = wasmo_codegen::parse(&bytes).expect("the module is valid");
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let target = TargetOptions { triple: Some(triple.to_owned()), cpu: Cpu::Baseline, threads: 1 };
        let compiler = Compiler::new(quick(), target).expect("the target is known");
        let code = || {
            let compiled = compiler.compile(&info, &bytes, &()).expect("the module compiles");
            compiler.artifact(&info, &bytes, &compiled).expect("the module links")
        };
        let first = code();
        for _ in 0..50 {
            assert!(code() == first, "{triple}: the same module gives other code");
        }
    }
}

#[test]
fn code_uses_no_extension_that_cannot_be_asked_for() {
    use wasmo_abi::cpu;
    let names = |triple: &str, name: &str, list: &'static [&'static str]| -> Vec<&str> {
        let target = TargetOptions { triple: Some(triple.to_owned()), cpu: Cpu::Named(name.to_owned()), threads: 1 };
        let compiler = Compiler::new(quick(), target).expect("LLVM knows the processor");
        compiler.cpu_features().expect("LLVM is there").names(list).collect()
    };
    let x86 = |name| names("x86_64-unknown-linux-gnu", name, cpu::X86_64);
    assert_eq!(x86("x86-64-v2"), ["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cx16", "fxsr"]);
    assert!(x86("x86-64-v3").contains(&"avx2") && !x86("x86-64-v3").contains(&"avx512f"));
    // It has FMA4, XOP and TBM, which are switched off without taking AVX with them.
    assert!(x86("bdver4").contains(&"avx2"));
    assert!(x86("znver4").contains(&"avx512vl"));
    let arm = |name| names("aarch64-unknown-linux-gnu", name, cpu::AARCH64);
    assert_eq!(arm("generic"), ["neon"]);
    assert!(arm("neoverse-v2").contains(&"lse") && arm("neoverse-v2").contains(&"dotprod"));
}
