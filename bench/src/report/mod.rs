//! The figures as a table for the terminal and Markdown, and as a chart.

mod chart;
mod curves;
mod table;
mod tiers;

use crate::artefacts::Artefact;
use crate::calls::Calls;
use crate::compile::Compile;
use crate::engine::{Engine, NATIVE};
use crate::guest::Family;
use crate::instances::Instances;
use crate::late::Late;
use crate::sample::{Row, geometric_mean};
use crate::sizes::Sizes;
use crate::tiers::{Again, Starts};
use crate::work::Work;

/// All that was measured.
#[derive(Default)]
pub struct Report {
    /// The engines, in the order of the cells.
    pub engines: Vec<Box<dyn Engine>>,
    /// One row a guest.
    pub table: Vec<Row>,
    /// Calls between host and guest.
    pub calls: Vec<Calls>,
    /// Making and dropping instances.
    pub instances: Vec<Instances>,
    /// Programs that were compiled before.
    pub artefacts: Vec<Artefact>,
    /// Their sizes, and those of others.
    pub sizes: Vec<Sizes>,
    /// Compiling CPython.
    pub compiles: Vec<Compile>,
    /// A loop, and CPython's start, with nothing compiled before.
    pub starts: Starts,
    /// Programs with their compilation.
    pub totals: Starts,
    /// Programs that are run again.
    pub again: Vec<Again>,
    /// Adding modules to a running program.
    pub late: Vec<Late>,
    /// Work done over time.
    pub works: Vec<Work>,
}

impl Report {
    /// The position of the native program among the engines.
    fn native(&self) -> usize {
        self.engines.iter().position(|engine| engine.name() == NATIVE).unwrap_or(0)
    }

    /// An engine's median time on a guest over the native program's.
    fn ratio(&self, row: &Row, engine: usize) -> f64 {
        row.cells[engine].run.median() / row.cells[self.native()].run.median()
    }

    /// The geometric mean of an engine's ratios in a family.
    fn mean_ratio(&self, family: Family, engine: usize) -> f64 {
        geometric_mean(self.table.iter().filter(|row| row.family == family).map(|row| self.ratio(row, engine)))
    }

    /// The families that were run.
    fn families(&self) -> impl Iterator<Item = Family> {
        [Family::Kernel, Family::Crate].into_iter().filter(|&family| self.table.iter().any(|row| row.family == family))
    }
}
