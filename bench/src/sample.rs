//! Runs every guest on every engine, round by round, and keeps what was measured.

use crate::engine::{Engine, Prepared};
use crate::guest::{Family, Guest};
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// Figures of several runs.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one figure.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The median, or NaN when there is no figure.
    pub fn median(&self) -> f64 {
        match self.0.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => self.0[count / 2],
            count => (self.0[count / 2 - 1] + self.0[count / 2]) / 2.0,
        }
    }

    /// How far the quarter of the greatest and that of the least lie apart, over the median: for many figures, of which some few are far out.
    pub fn quartile_spread(&self) -> f64 {
        let quarter = self.0.len() / 4;
        match (self.0.get(quarter), self.0.get(self.0.len().saturating_sub(quarter + 1))) {
            (Some(least), Some(greatest)) => (greatest - least) / self.median(),
            _ => f64::NAN,
        }
    }

    /// The spread: (greatest − least) / median.
    pub fn spread(&self) -> f64 {
        match (self.0.first(), self.0.last()) {
            (Some(least), Some(greatest)) => (greatest - least) / self.median(),
            _ => f64::NAN,
        }
    }
}

/// What one engine did with one guest.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Seconds to compile, on all threads that the engine uses.
    pub compile: Samples,
    /// Seconds to instantiate.
    pub instantiate: Samples,
    /// Seconds of the guest's inner part.
    pub run: Samples,
}

/// One guest on all engines.
pub struct Row {
    /// The guest's name.
    pub name: String,
    /// Its family.
    pub family: Family,
    /// One cell an engine.
    pub cells: Vec<Cell>,
}

/// Runs `rounds` rounds of all. The checksums of all engines must agree.
pub fn run(engines: &[Box<dyn Engine>], guests: &[Guest], rounds: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for guest in guests {
        let mut cells = vec![Cell::default(); engines.len()];
        let mut prepared: Vec<Box<dyn Prepared>> = Vec::new();
        for (engine, cell) in engines.iter().zip(&mut cells) {
            let (program, compile) =
                engine.prepare(guest).with_context(|| format!("{} cannot prepare {}", engine.name(), guest.name))?;
            cell.compile.push(compile.as_secs_f64());
            prepared.push(program);
        }
        let mut checksum: Option<String> = None;
        for round in 0..rounds {
            for ((engine, program), cell) in engines.iter().zip(&prepared).zip(&mut cells) {
                eprint!("\r\x1b[K{} round {}/{rounds} {}", guest.name, round + 1, engine.name());
                let run = program.run().with_context(|| format!("{} on {}", guest.name, engine.name()))?;
                let expected = checksum.get_or_insert_with(|| run.output.checksum.clone());
                if *expected != run.output.checksum {
                    bail!("{} on {}: checksum {} is not {expected}", guest.name, engine.name(), run.output.checksum);
                }
                cell.run.push(Duration::from_nanos(run.output.nanoseconds).as_secs_f64());
                cell.instantiate.push(run.instantiate.as_secs_f64());
            }
        }
        eprint!("\r\x1b[K");
        rows.push(Row { name: guest.name.clone(), family: guest.family, cells });
    }
    Ok(rows)
}

/// The geometric mean, or NaN when there is no figure.
pub fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value.ln(), count + 1.0));
    (sum / count).exp()
}
