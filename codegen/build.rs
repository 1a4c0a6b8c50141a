//! Compiles the C++ shim against the LLVM that `llvm-sys` links.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: [&str; 7] =
    ["arrays.cpp", "epoch.cpp", "optimize.cpp", "protect.cpp", "session.cpp", "slab.cpp", "target.cpp"];
const PREFIX: &str = "LLVM_SYS_221_PREFIX";

fn main() {
    println!("cargo::rerun-if-env-changed={PREFIX}");
    println!("cargo::rerun-if-changed=src/shim");
    let flags = llvm_cxxflags();
    let mut build = cc::Build::new();
    build.cpp(true).warnings(false).opt_level(2);
    for flag in flags.split_whitespace() {
        // As system headers, LLVM's own do not warn.
        match flag.strip_prefix("-I") {
            Some(dir) => build.flag("-isystem").flag(dir),
            None => build.flag(flag),
        };
    }
    build.flag("-Wall").flag("-Wextra").flag("-Wno-unused-parameter");
    build.files(SOURCES.iter().map(|name| Path::new("src/shim").join(name)));
    build.compile("wasmo_shim");
}

/// The compiler flags that LLVM's headers want, from the installation that `llvm-sys` uses or from `llvm-config-22` on the path.
fn llvm_cxxflags() -> String {
    let config = match env::var_os(PREFIX) {
        Some(prefix) => PathBuf::from(prefix).join("bin").join("llvm-config"),
        None => PathBuf::from("llvm-config-22"),
    };
    let output = Command::new(&config).arg("--cxxflags").output().unwrap_or_else(|error| {
        panic!(
            "cannot run {}: {error}. wasmo needs LLVM 22 with its headers (Debian, Ubuntu: apt install llvm-22-dev); \
             set {PREFIX} to where it is installed",
            config.display()
        )
    });
    assert!(output.status.success(), "{} --cxxflags failed: {}", config.display(), output.status);
    String::from_utf8(output.stdout).expect("llvm-config prints UTF-8")
}
