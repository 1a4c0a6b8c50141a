//! The tables of what was measured from the start of a process.

use super::Report;
use super::table::Table;
use crate::sample::{Samples, geometric_mean};
use crate::tiers::{Cell, Starts};

fn figure(samples: &Samples) -> String {
    match samples.median() {
        median if median.is_nan() => "–".to_owned(),
        median => format!("{median:.1} ±{:.0}%", samples.spread() * 100.0),
    }
}

/// One row a contender: of each program, when its first instruction was and how long all of it took.
fn start_table(starts: &Starts) -> Table {
    let mut rows = vec![vec!["from nothing, ms".to_owned()]];
    for program in &starts.programs {
        rows[0].extend([format!("{}: first instruction at", program.name), "total".to_owned()]);
    }
    for (position, name) in starts.names.iter().enumerate() {
        let mut line = vec![(*name).to_owned()];
        for program in &starts.programs {
            let cell = &program.cells[position];
            line.extend([figure(&cell.first), figure(&cell.total)]);
        }
        rows.push(line);
    }
    Table(rows)
}

/// One row a program: the total of each contender, and wasmo's in tiers over Wasmtime's.
fn total_table(totals: &Starts) -> Table {
    let position = |name| totals.names.iter().position(|&other| other == name);
    let (ours, theirs) = (position("wasmo auto"), position("cranelift"));
    let ratio = |cells: &[Cell]| {
        let median = |position: Option<usize>| position.map_or(f64::NAN, |position| cells[position].total.median());
        median(ours) / median(theirs)
    };
    let mut rows = vec![vec!["total with compilation, ms".to_owned()]];
    rows[0].extend(totals.names.iter().map(|&name| name.to_owned()));
    rows[0].push("auto / cranelift".to_owned());
    for program in &totals.programs {
        let mut line = vec![program.name.clone()];
        line.extend(program.cells.iter().map(|cell| figure(&cell.total)));
        line.push(format!("{:.2}", ratio(&program.cells)));
        rows.push(line);
    }
    let mut line = vec!["geometric mean".to_owned()];
    line.extend((0..totals.names.len()).map(|position| {
        format!("{:.1}", geometric_mean(totals.programs.iter().map(|program| program.cells[position].total.median())))
    }));
    line.push(format!("{:.2}", geometric_mean(totals.programs.iter().map(|program| ratio(&program.cells)))));
    rows.push(line);
    Table(rows)
}

/// One row a program: its runs with the same cache, the second run after work in the background, and what it takes when it was compiled ahead of time.
fn again_table(report: &Report) -> Table {
    let head = ["run again, ms", "first", "second", "third", "in the background", "second then", "ahead of time"];
    let ratios = ["second / ahead", "third / ahead", "second then / ahead"];
    let mut rows = vec![head.iter().chain(&ratios).map(|&name| name.to_owned()).collect::<Vec<_>>()];
    for again in &report.again {
        let mut line = vec![again.name.clone()];
        line.extend(again.runs.iter().chain([&again.background, &again.later, &again.ahead]).map(figure));
        let compared = again.runs[1..].iter().chain([&again.later]);
        line.extend(compared.map(|run| format!("{:.2}", run.median() / again.ahead.median())));
        rows.push(line);
    }
    Table(rows)
}

/// Those tables for which something was measured.
pub(super) fn tables(report: &Report) -> Vec<Table> {
    let mut tables = Vec::new();
    if !report.starts.programs.is_empty() {
        tables.push(start_table(&report.starts));
    }
    if !report.totals.programs.is_empty() {
        tables.push(total_table(&report.totals));
    }
    if !report.again.is_empty() {
        tables.push(again_table(report));
    }
    tables
}
