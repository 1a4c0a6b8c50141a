//! Two thousand random modules must do on wasmo what they do on wasmi.

use wasmo_fuzz::campaign;

/// A crash of the process names no seed, so the seeds last begun stand in this file.
const LAST_SEED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/differential-last-seed");

#[test]
fn two_thousand_modules_agree() {
    let totals = campaign::run(0..2_000, None, 2, 200, |seed, totals| {
        std::fs::write(LAST_SEED, seed.to_string()).expect("the target folder can be written");
        totals.differences.len() < 3
    });
    assert!(totals.differences.is_empty(), "{}", totals.differences.join("\n"));
    assert!(totals.agreed >= 1_500, "only {} modules were compared, {} skipped", totals.agreed, totals.skipped);
}
