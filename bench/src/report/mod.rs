//! The figures as a table for the terminal and Markdown, and as a chart.

mod chart;
mod table;

use crate::artefacts::Artefact;
use crate::calls::Calls;
use crate::compile::Compile;
use crate::engine::{Engine, NATIVE};
use crate::guest::Family;
use crate::instances::Instances;
use crate::sample::{Row, geometric_mean};
use crate::sizes::Sizes;

/// All that was measured.
pub struct Report<'a> {
    /// The engines, in the order of the cells.
    pub engines: &'a [Box<dyn Engine>],
    /// One row a guest.
    pub table: &'a [Row],
    /// Calls between host and guest.
    pub calls: &'a [Calls],
    /// Making and dropping instances.
    pub instances: &'a [Instances],
    /// Programs that were compiled before.
    pub artefacts: &'a [Artefact],
    /// Their sizes, and those of others.
    pub sizes: &'a [Sizes],
    /// Compiling CPython.
    pub compiles: &'a [Compile],
}

impl Report<'_> {
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
