//! Late linking where late modules are compiled as a whole before they are linked.

mod common;
mod late;

use wasmo::{Config, OptLevel};

fn config() -> Config {
    let mut config = Config::new();
    config.late_link_opt_level(OptLevel::None);
    config
}
