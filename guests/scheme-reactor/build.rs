//! Tells the linker what a host needs: the table, which late modules import and grow, and the C library's `free`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-cdylib-link-arg=--export-table");
        println!("cargo::rustc-cdylib-link-arg=--export=free");
        println!("cargo::rustc-cdylib-link-arg=--growable-table");
    }
}
