//! Late linking where everything changes its tier at once: every function is optimised when it is called for the first or the second time, and every loop goes on in optimised code,
//! while the guest waits.

mod common;
mod late;

use wasmo::{Config, Tier, Tuning};

fn config() -> Config {
    let tuning = Tuning { budget: 0, budget_while_waiting: 0, synchronous: true, ahead: false, ..Tuning::default() };
    let mut config = Config::new();
    config.tier(Tier::Auto).tuning(tuning);
    config
}
