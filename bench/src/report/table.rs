//! The tables.

use super::{Report, tiers};
use crate::engine::NATIVE;
use crate::sample::Samples;

/// A table of strings: the first row is its head, the first column its labels.
pub(super) struct Table(pub(super) Vec<Vec<String>>);

impl Table {
    fn text(&self) -> String {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(
                |(column, (cell, &width))| {
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            );
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        self.0.iter().map(line).collect()
    }

    fn markdown(&self) -> String {
        let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
        let mut lines = self.0.iter().map(line);
        let head = lines.next().unwrap_or_default();
        let rule = format!("|---|{}\n", "---:|".repeat(self.0.first().map_or(0, |row| row.len() - 1)));
        format!("{head}{rule}{}", lines.collect::<String>())
    }
}

/// Every engine's settings, one a line.
fn settings(report: &Report) -> String {
    report.engines.iter().map(|engine| format!("- {}: {}\n", engine.name(), engine.settings())).collect()
}

/// Run times: native in milliseconds, the others as ratios to it, with the spread of the runs in percent.
fn run_table(report: &Report) -> Table {
    let mut rows = vec![vec!["run (ratio to native, ± spread)".to_owned()]];
    rows[0].extend(report.engines.iter().map(|engine| match engine.name() {
        NATIVE => "native ms".to_owned(),
        name => name.to_owned(),
    }));
    for family in report.families() {
        for row in report.table.iter().filter(|row| row.family == family) {
            let mut line = vec![format!("{} {}", family.prefix(), row.name)];
            line.extend(row.cells.iter().enumerate().map(|(engine, cell)| {
                let spread = cell.run.spread() * 100.0;
                if engine == report.native() {
                    format!("{:.1} ±{spread:.0}%", cell.run.median() * 1e3)
                } else {
                    format!("{:.2} ±{spread:.0}%", report.ratio(row, engine))
                }
            }));
            rows.push(line);
        }
        let mut line = vec![format!("{}: geometric mean", family.prefix())];
        line.extend((0..report.engines.len()).map(|engine| format!("{:.3}", report.mean_ratio(family, engine))));
        rows.push(line);
    }
    Table(rows)
}

/// Compile and instantiation times of the engines that are libraries.
fn phase_table(report: &Report) -> Table {
    let libraries: Vec<usize> = (0..report.engines.len())
        .filter(|&engine| report.table.iter().any(|row| row.cells[engine].compile.median() > 0.0))
        .collect();
    let mut rows = vec![vec!["phases".to_owned()]];
    for &engine in &libraries {
        let name = report.engines[engine].name();
        rows[0].extend([format!("{name} compile ms"), format!("{name} instantiate µs")]);
    }
    for row in &report.table {
        let mut line = vec![format!("{} {}", row.family.prefix(), row.name)];
        for &engine in &libraries {
            let cell = &row.cells[engine];
            line.extend([
                format!("{:.1}", cell.compile.median() * 1e3),
                format!("{:.1}", cell.instantiate.median() * 1e6),
            ]);
        }
        rows.push(line);
    }
    Table(rows)
}

fn call_table(report: &Report) -> Table {
    let mut rows = vec![["calls", "host → wasm ns", "wasm → host ns"].map(String::from).to_vec()];
    for calls in &report.calls {
        let figure = |samples: &Samples| format!("{:.2} ±{:.0}%", samples.median(), samples.spread() * 100.0);
        rows.push(vec![calls.engine.to_owned(), figure(&calls.into_wasm), figure(&calls.into_host)]);
    }
    Table(rows)
}

fn instance_table(report: &Report) -> Table {
    let mut rows =
        vec![["instances, µs each", "small", "small, called", "CPython", "load CPython"].map(String::from).to_vec()];
    for instances in &report.instances {
        let figure = |samples: &Samples| format!("{:.2}", samples.median());
        let figures = [&instances.small, &instances.called, &instances.python, &instances.load].map(figure);
        rows.push([vec![instances.engine.to_owned()], figures.to_vec()].concat());
    }
    Table(rows)
}

fn artefact_table(report: &Report) -> Table {
    let head = ["artefacts", "wasmo ms", "from its cache ms", "Wasmtime ms"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for artefact in &report.artefacts {
        let figure = |samples: &Samples| format!("{:.2} ±{:.0}%", samples.median(), samples.spread() * 100.0);
        let times = [&artefact.wasmo, &artefact.wasmo_cache, &artefact.wasmtime].map(figure);
        rows.push([vec![artefact.name.to_owned()], times.to_vec()].concat());
    }
    Table(rows)
}

fn size_table(report: &Report) -> Table {
    let mut rows = vec![["sizes of artefacts", "wasmo KiB", "Wasmtime KiB", "ratio"].map(String::from).to_vec()];
    for sizes in &report.sizes {
        let kibibytes = |size: usize| format!("{:.0}", size as f64 / 1024.0);
        let ratio = format!("{:.2}", sizes.wasmo as f64 / sizes.wasmtime as f64);
        rows.push(vec![sizes.name.clone(), kibibytes(sizes.wasmo), kibibytes(sizes.wasmtime), ratio]);
    }
    Table(rows)
}

fn compile_table(report: &Report) -> Table {
    let mut rows = vec![["compiling CPython", "CPU s", "s", "peak MiB"].map(String::from).to_vec()];
    for compile in &report.compiles {
        rows.push(vec![
            compile.engine.to_owned(),
            format!("{:.2}", compile.cpu.median()),
            format!("{:.2}", compile.wall.median()),
            format!("{:.0}", compile.memory.median()),
        ]);
    }
    Table(rows)
}

fn late_table(report: &Report) -> Table {
    let head = ["late linking, µs each (± quartiles)", "functions", "bytes", "link", "first call", "remove"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for late in &report.late {
        let figure = |samples: &Samples| match samples.median() {
            median if median.is_nan() => "–".to_owned(),
            median => format!("{median:.1} ±{:.0}%", samples.quartile_spread() * 100.0),
        };
        rows.push(vec![
            late.engine.to_owned(),
            late.functions.to_string(),
            late.bytes.to_string(),
            figure(&late.link),
            figure(&late.call),
            figure(&late.remove),
        ]);
    }
    Table(rows)
}

impl Report {
    fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        if !self.table.is_empty() {
            tables.extend([run_table(self), phase_table(self)]);
        }
        if !self.calls.is_empty() {
            tables.push(call_table(self));
        }
        if !self.instances.is_empty() {
            tables.push(instance_table(self));
        }
        if !self.artefacts.is_empty() {
            tables.push(artefact_table(self));
        }
        if !self.sizes.is_empty() {
            tables.push(size_table(self));
        }
        if !self.compiles.is_empty() {
            tables.push(compile_table(self));
        }
        tables.extend(tiers::tables(self));
        if !self.late.is_empty() {
            tables.push(late_table(self));
        }
        tables
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let tables: String = self.tables().iter().map(|table| table.text() + "\n").collect();
        format!("{tables}{}", settings(self))
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> String {
        let tables: String = self.tables().iter().map(|table| table.markdown() + "\n").collect();
        format!(
            "# wasmo and its peers\n\nMedians; engines in turn, round by round.\n\n{tables}{}\n{}",
            settings(self),
            self.charts().iter().map(|(name, _)| format!("![chart]({name})\n")).collect::<String>()
        )
    }
}
