//! What loading an artefact costs once its file is in memory and was checked: `cargo run --release --example load_costs FILE.wasmo`.

use std::path::PathBuf;
use std::time::Instant;

use wasmo::{Engine, Module, Result};

const ROUNDS: usize = 15;
const LOADS: u32 = 2000;

fn main() -> Result<()> {
    let Some(file) = std::env::args_os().nth(1).map(PathBuf::from) else { wasmo::bail!("name an artefact") };
    let mut config = wasmo::Config::new();
    // SAFETY: whoever names the file wants it loaded; none of its code is run.
    let load = |engine: &Engine| unsafe { Module::deserialize_file(engine, &file) };
    let info = wasmo::ArtifactInfo::read(&std::fs::read(&file)?)?;
    config.strict_traps(info.strict_traps()).consume_fuel(info.consume_fuel());
    config.epoch_interruption(info.epoch_interruption());
    let engine = Engine::new(&config)?;
    let start = Instant::now();
    let first = load(&engine)?;
    println!("first load, with the checksum: {:.1} µs", start.elapsed().as_secs_f64() * 1e6);
    drop(first);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..LOADS {
            drop(load(&engine)?);
        }
        rounds.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(LOADS));
    }
    rounds.sort_by(f64::total_cmp);
    println!("load and drop: {:.1} µs (median of {ROUNDS} times {LOADS}, least {:.1})", rounds[ROUNDS / 2], rounds[0]);
    Ok(())
}
