//! Records the git revision and, for a build with the compiler, the LLVM version for `wasmo --version`. Where one cannot be found out (a
//! source archive without git), it is `unknown`, and the build goes on.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LLVM_SYS_221_PREFIX");

    let revision = answer("git", &["rev-parse", "--short=12", "HEAD"]);
    // The commit changes when HEAD moves to another branch, and when the branch moves, whose file may be packed away.
    for file in ["HEAD", "logs/HEAD", "packed-refs"] {
        if let Some(path) = answer("git", &["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rustc-env=WASMO_REVISION={}", revision.as_deref().unwrap_or("unknown"));

    println!("cargo::rustc-env=WASMO_COMPILER={}", compiler());
}

/// What compiles in this build.
fn compiler() -> String {
    if env::var_os("CARGO_FEATURE_COMPILER").is_none() {
        return "no compiler".to_owned();
    }
    let prefix = env::var_os("LLVM_SYS_221_PREFIX").map(|prefix| PathBuf::from(prefix).join("bin/llvm-config"));
    let candidates = prefix.into_iter().chain(["llvm-config-22", "llvm-config"].map(PathBuf::from));
    let llvm =
        candidates.filter_map(|program| answer(program, &["--version"])).find(|version| version.starts_with("22."));
    format!("LLVM {}", llvm.as_deref().unwrap_or("unknown"))
}

/// The first line that a program answers with, if it succeeds.
fn answer(program: impl AsRef<Path>, args: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref()).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
