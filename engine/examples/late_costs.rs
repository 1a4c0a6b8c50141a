//! What late linking costs: time to add and to remove modules of several sizes.
//!
//! `cargo run --release -p wasmo --example late_costs [ROUNDS]`

use std::time::Instant;
use wasmo::{Engine, Instance, Module, Result, Store};

const HOST: &str = r#"(module
    (memory (export "memory") 1)
    (table (export "__indirect_function_table") 16 funcref))"#;

/// A module with `functions` functions of about 400 bytes each, whose start function puts them into the table. `seed` makes its bytes different from those of
/// all others.
fn module(functions: usize, seed: usize) -> Result<Vec<u8>> {
    let mut text = String::from(
        r#"(module
        (import "env" "memory" (memory 1))
        (import "env" "__indirect_function_table" (table $table 0 funcref))
        (type $f (func (param i32 i32) (result i32)))"#,
    );
    for number in 0..functions {
        text +=
            &format!("(func $f{number} (type $f) (local i32 i32 i32) (local.set 2 (i32.const {}))", seed * 31 + number);
        for step in 0..9 {
            text += &format!(
                "(block (br_if 0 (i32.lt_s (local.get 0) (i32.const {step})))
                    (local.set 3 (i32.load offset={} (local.get 1)))
                    (i32.store offset={} (local.get 1) (i32.add (local.get 3) (local.get 2)))
                    (local.set 4 (call_indirect $table (type $f) (local.get 3) (local.get 4) (i32.const {step})))
                    (local.set 2 (i32.xor (local.get 2) (i32.mul (local.get 4) (i32.const {})))))",
                step * 8,
                step * 8 + 4,
                77 + step
            );
        }
        text += "(local.get 2))";
    }
    let names: String = (0..functions).map(|number| format!(" $f{number}")).collect();
    text += &format!(
        "(elem $new func {names})
        (func $patch (local i32)
            (local.set 0 (table.grow $table (ref.null func) (i32.const {functions})))
            (table.init $table $new (local.get 0) (i32.const 0) (i32.const {functions}))
            (i32.store (i32.const 8) (local.get 0)))
        (start $patch))"
    );
    Ok(wat::parse_str(&text)?)
}

fn main() -> Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(200), |text| text.parse())?;
    let engine = Engine::default();
    for functions in [1, 2, 10, 100] {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &Module::new(&engine, HOST)?, &[])?;
        let modules = (0..rounds).map(|seed| module(functions, seed)).collect::<Result<Vec<_>>>()?;
        let mut times = Vec::new();
        for bytes in &modules {
            let start = Instant::now();
            instance.add_module(&mut store, bytes)?;
            times.push(start.elapsed());
        }
        times.sort();
        println!(
            "{functions:>4} functions, {:>6} bytes: median {:>8.1} us, best {:>8.1} us",
            modules[0].len(),
            times[times.len() / 2].as_secs_f64() * 1e6,
            times[0].as_secs_f64() * 1e6
        );
    }
    Ok(())
}
