//! Loops that native clang vectorises are vectorised by wasmo too: the assembly of numeric kernels that clang -O3 has compiled to wasm
//! (`guests/kernels/snapshots`), for a fixed processor. What is compared is not the text, which changes with every version of LLVM, but the instructions
//! that matter: which of them the inner loops hold, and which they must not hold.

use std::path::Path;

use wasmo_abi::tunables::Tunables;
use wasmo_codegen::{Compiler, Cpu, Print, TargetOptions};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// A processor with 256-bit vectors.
const CPU: &str = "x86-64-v3";

/// Prints the snapshot kernel `name`.
fn print(name: &str, what: Print) -> String {
    print_guest(&format!("snapshot-{name}"), what)
}

/// Prints the guest `name`.
fn print_guest(name: &str, what: Print) -> String {
    let file = format!("../guests/built/{name}.wasm");
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("the guests are built");
    let info = wasmo_codegen::parse(&bytes).expect("a valid module");
    let target = TargetOptions { triple: Some(TARGET.to_owned()), cpu: Cpu::Named(CPU.to_owned()), threads: 1 };
    let compiler = Compiler::new(Tunables::default(), target).expect("the processor is known");
    compiler.print(&info, &bytes, what).expect("the module compiles")
}

/// The bodies of the innermost loops of `assembly`: from a label to a jump back to it, without another such jump in between.
fn inner_loops(assembly: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = assembly.lines().map(str::trim).collect();
    let mut loops = Vec::new();
    let mut last_jump_back = 0;
    for (end, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with('j')) {
        let Some(label) = line.split_whitespace().nth(1) else { continue };
        let Some(start) =
            lines[..end].iter().rposition(|line| line.strip_prefix(label).is_some_and(|rest| rest.starts_with(':')))
        else {
            continue;
        };
        if start >= last_jump_back {
            loops.push(lines[start..end].iter().copied().filter(|line| !line.starts_with(['.', '#'])).collect());
        }
        last_jump_back = end;
    }
    loops
}

/// Whether `line` is `instruction` on whole 256-bit vectors.
fn is_packed(line: &str, instruction: &str) -> bool {
    line.split_whitespace().next() == Some(instruction) && line.contains("%ymm")
}

/// An inner loop of kernel `name` must consist of `wanted`, on 256-bit vectors, and neither do one lane at a time nor move lanes about.
fn check(name: &str, wanted: &[&str]) {
    let assembly = print(name, Print::Assembly);
    let loops = inner_loops(&assembly);
    let vectorised: Vec<_> = loops
        .iter()
        .filter(|body| wanted.iter().all(|instruction| body.iter().any(|line| is_packed(line, instruction))))
        .collect();
    assert!(!vectorised.is_empty(), "no inner loop of {name} has all of {wanted:?} on 256-bit vectors:\n{assembly}");
    for body in vectorised {
        for line in body {
            let instruction = line.split_whitespace().next().unwrap_or_default();
            let one_lane = ["vmulsd", "vaddsd", "vmulss", "vaddss"].contains(&instruction);
            let moves_lanes = ["vperm", "vshuf", "vunpck", "vinsert", "vextract", "vblend"]
                .iter()
                .any(|prefix| instruction.starts_with(prefix));
            assert!(!one_lane && !moves_lanes, "{line} in the vectorised loop of {name}:\n{body:#?}");
        }
    }
}

#[test]
fn the_matrix_product_is_vectorised() {
    check("matmul", &["vmulpd", "vaddpd", "vmovupd"]);
}

#[test]
fn the_stencil_is_vectorised() {
    check("stencil", &["vmulpd", "vaddpd", "vmovupd"]);
}

#[test]
fn saxpy_is_vectorised() {
    check("saxpy", &["vmulps", "vaddps", "vmovups"]);
}

/// The fields of a body are reached from a pointer into its middle, so some at negative distances. Pairs of them are loaded, computed with and stored at once,
/// none lane by lane.
#[test]
fn fields_around_a_pointer_are_neighbours() {
    let assembly = print_guest("kernel-nbody", Print::Assembly);
    let loops = inner_loops(&assembly);
    let pairs: Vec<_> = loops.iter().filter(|body| body.iter().any(|line| line.starts_with("vsqrtsd"))).collect();
    assert!(!pairs.is_empty(), "no inner loop has a square root:\n{assembly}");
    for body in pairs {
        let count =
            |instruction: &str| body.iter().filter(|line| line.split_whitespace().next() == Some(instruction)).count();
        assert!(count("vmulpd") >= 4 && count("vmovupd") >= 3, "few pairs in {body:#?}");
        assert_eq!(count("vmovhpd"), 0, "a pair is loaded lane by lane in {body:#?}");
    }
}

/// WebAssembly rounds the product and the sum each, whatever the processor could do at once.
#[test]
fn products_and_sums_are_not_fused() {
    for name in ["matmul", "stencil", "saxpy"] {
        let assembly = print(name, Print::Assembly);
        assert!(
            !assembly.contains("vfmadd") && !assembly.contains("vfnmadd"),
            "a fused instruction in {name}:\n{assembly}"
        );
    }
}

#[test]
fn the_search_for_loops_sees_scalar_code() {
    let scalar = ".LBB0_1:\n\tvmulsd %xmm0, %xmm1, %xmm0\n\tjne .LBB0_1\n.LBB0_2:\n\tjmp .LBB0_3\n.LBB0_3:\n\tretq";
    let loops = inner_loops(scalar);
    assert_eq!(loops, [["vmulsd %xmm0, %xmm1, %xmm0"]]);
    assert!(!is_packed(loops[0][0], "vmulpd"));
}

/// The producer has unrolled the inner loops of these kernels, so that each accesses a[i] and a[i + 1]. Whether two rows overlap is compared
/// when the loop is entered, and once: a comparison of a[i] with a[i + 1] would find that they do, always, and the vectorised loop
/// would never run.
#[test]
fn rows_are_compared_as_wholes() {
    for name in ["matmul", "saxpy"] {
        let ir = print(name, Print::OptimizedIr);
        let compared = ir.lines().filter(|line| line.trim_start().starts_with("%found.conflict")).count();
        assert_eq!(compared, 1, "comparisons of ranges in {name}:\n{ir}");
    }
}
