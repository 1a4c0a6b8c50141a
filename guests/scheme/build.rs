//! Tells the linker what the command needs for late modules: they import its table, and grow it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-bins=--export-table");
        println!("cargo::rustc-link-arg-bins=--growable-table");
    }
}
