//! Makes the part of the crate that is C++, and the seam behind which LLVM is loaded when it is first needed (`src/llvm.rs`).
//!
//! The C++ shim becomes a shared library that depends on LLVM's; the crate carries it as bytes. No program that has this crate is linked with LLVM: for each function
//! of LLVM's C API and of the shim there is a stub, which jumps to where its slot says.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSymbol};

const SOURCES: [&str; 11] = [
    "arrays.cpp",
    "emitter.cpp",
    "epoch.cpp",
    "exit.cpp",
    "optimize.cpp",
    "places.cpp",
    "protect.cpp",
    "quiet.cpp",
    "session.cpp",
    "slab.cpp",
    "target.cpp",
];
const PREFIX: &str = "LLVM_SYS_221_PREFIX";

fn main() {
    println!("cargo::rerun-if-env-changed={PREFIX}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/shim");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let llvm = llvm_library();
    let shim = out.join("libwasmo_shim.so");
    println!("cargo::rustc-env=WASMO_LLVM_LIBRARY={}", llvm.display());
    build_shim(&llvm, &shim);

    let mut functions = self::functions(&llvm, "LLVM");
    functions.extend(self::functions(&shim, "wasmo_"));
    let names: String = functions.iter().map(|name| format!("{name}\0")).collect();
    write(&out.join("functions"), &names);
    write(&out.join("functions.count"), &functions.len().to_string());
    let stubs = out.join("stubs.s");
    write(&stubs, &assembly(&functions));
    cc::Build::new().file(&stubs).compile("wasmo_llvm_stubs");
}

/// Compiles the shim, and links it with LLVM's library, which it will find where it is now.
fn build_shim(llvm: &Path, shim: &Path) {
    let mut build = cc::Build::new();
    build.cpp(true).warnings(false).opt_level(2).pic(true);
    for flag in llvm_config(&["--cxxflags"]).split_whitespace() {
        // As system headers, LLVM's own do not warn.
        match flag.strip_prefix("-I") {
            Some(dir) => build.flag("-isystem").flag(dir),
            None => build.flag(flag),
        };
    }
    build.flag("-Wall").flag("-Wextra").flag("-Wno-unused-parameter");
    build.files(SOURCES.iter().map(|name| Path::new("src/shim").join(name)));
    let objects = build.compile_intermediates();

    let mut link = build.get_compiler().to_command();
    link.args(["-shared", "-Wl,--no-undefined", "-Wl,--strip-debug", "-o"]).arg(shim).args(objects).arg(llvm);
    if let Some(dir) = llvm.parent() {
        link.arg(format!("-Wl,-rpath,{}", dir.display()));
    }
    let status = link.status().unwrap_or_else(|error| panic!("cannot run {link:?}: {error}"));
    assert!(status.success(), "{link:?} failed: {status}");
}

/// The functions that a library exports whose names begin with `prefix`.
fn functions(library: &Path, prefix: &str) -> Vec<String> {
    let bytes = fs::read(library).unwrap_or_else(|error| panic!("cannot read {}: {error}", library.display()));
    let file = object::File::parse(&*bytes).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
    let defined = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
    let names = defined.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names.dedup();
    assert!(!names.is_empty(), "{} exports no {prefix}…", library.display());
    names
}

/// A stub for each function, in the order of their slots, `wasmo_llvm_slots`.
fn assembly(functions: &[String]) -> String {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let mut text = String::from("    .text\n");
    for (position, name) in functions.iter().enumerate() {
        let slot = format!("wasmo_llvm_slots+{}", position * 8);
        let jump = match arch.as_str() {
            "x86_64" => format!("    jmpq *{slot}(%rip)\n"),
            // x16 is the register that linkers use for the same purpose.
            "aarch64" => format!("    adrp x16, {slot}\n    ldr x16, [x16, :lo12:{slot}]\n    br x16\n"),
            other => panic!("wasmo compiles on x86-64 and AArch64, not on {other}"),
        };
        let _ = write!(
            text,
            "    .globl {name}\n    .hidden {name}\n    .type {name}, %function\n{name}:\n{jump}    .size {name}, .-{name}\n"
        );
    }
    let _ = write!(
        text,
        "    .bss\n    .p2align 3\n    .globl wasmo_llvm_slots\n    .hidden wasmo_llvm_slots\n    .type wasmo_llvm_slots, %object\n\
         wasmo_llvm_slots:\n    .zero {size}\n    .size wasmo_llvm_slots, {size}\n    .section .note.GNU-stack,\"\",%progbits\n",
        size = functions.len() * 8
    );
    text
}

/// LLVM's shared library.
fn llvm_library() -> PathBuf {
    let files = llvm_config(&["--link-shared", "--libfiles"]);
    let library = PathBuf::from(files.trim());
    assert!(
        library.is_file(),
        "wasmo needs LLVM 22 as a shared library (Debian, Ubuntu: apt install llvm-22-dev); {library:?} is none. Set {PREFIX} to where it is installed"
    );
    library
}

/// What `llvm-config` answers: the one of the installation that `llvm-sys` uses, or `llvm-config-22` on the path.
fn llvm_config(args: &[impl AsRef<OsStr>]) -> String {
    let config = match env::var_os(PREFIX) {
        Some(prefix) => PathBuf::from(prefix).join("bin").join("llvm-config"),
        None => PathBuf::from("llvm-config-22"),
    };
    let output = Command::new(&config).args(args).output().unwrap_or_else(|error| {
        panic!(
            "cannot run {}: {error}. wasmo needs LLVM 22 with its headers (Debian, Ubuntu: apt install llvm-22-dev); \
             set {PREFIX} to where it is installed",
            config.display()
        )
    });
    assert!(
        output.status.success(),
        "{} failed: {}; {}",
        config.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("llvm-config prints UTF-8")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
