//! Late linking as it is by default: late modules are compiled in tiers.

mod common;
mod late;

use wasmo::Config;

fn config() -> Config {
    Config::new()
}
