//! Limits on what the guests of a store may use: the trait [`ResourceLimiter`], and [`StoreLimits`], which fits most embedders.

use crate::{Error, Result};
use anyhow::bail;

/// The number of instances, of tables and of memories that a store admits when nothing else is said.
pub const DEFAULT_LIMIT: usize = 10_000;

/// Decides whether memories and tables may be created and grow. See [`crate::Store::limiter`].
pub trait ResourceLimiter {
    /// May a memory grow from `current` to `desired` bytes? `maximum` is the bound that its type sets, if any. Also asked, with `current` 0, when
    /// a memory is created.
    ///
    /// On `Ok(false)`, `memory.grow` answers −1, and creation is an error.
    ///
    /// # Errors
    /// An error ends the guest (or the call that would create the memory) with it.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// May a table grow from `current` to `desired` elements? As for memories.
    ///
    /// # Errors
    /// An error ends the guest (or the call that would create the table) with it.
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// Growing a memory has failed although it was allowed, because `error`.
    ///
    /// # Errors
    /// An error ends the guest with it; by default, `memory.grow` just answers −1.
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        tracing::debug!(%error, "a memory could not grow");
        Ok(())
    }

    /// Growing a table has failed although it was allowed, because `error`.
    ///
    /// # Errors
    /// An error ends the guest with it; by default, `table.grow` just answers −1.
    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        tracing::debug!(%error, "a table could not grow");
        Ok(())
    }

    /// The greatest number of instances in the store.
    fn instances(&self) -> usize {
        DEFAULT_LIMIT
    }

    /// The greatest number of tables in the store.
    fn tables(&self) -> usize {
        DEFAULT_LIMIT
    }

    /// The greatest number of memories in the store.
    fn memories(&self) -> usize {
        DEFAULT_LIMIT
    }
}

/// A [`ResourceLimiter`] of fixed numbers, made with [`StoreLimitsBuilder`].
#[derive(Clone, Debug)]
pub struct StoreLimits {
    memory_size: Option<usize>,
    table_elements: Option<usize>,
    instances: usize,
    tables: usize,
    memories: usize,
    trap_on_grow_failure: bool,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            memory_size: None,
            table_elements: None,
            instances: DEFAULT_LIMIT,
            tables: DEFAULT_LIMIT,
            memories: DEFAULT_LIMIT,
            trap_on_grow_failure: false,
        }
    }
}

impl StoreLimits {
    fn decide(&self, what: &str, desired: usize, limit: Option<usize>, maximum: Option<usize>) -> Result<bool> {
        let allowed = limit.is_none_or(|limit| desired <= limit) && maximum.is_none_or(|maximum| desired <= maximum);
        if !allowed && self.trap_on_grow_failure {
            bail!("forcing a trap: a {what} may not grow to {desired}");
        }
        Ok(allowed)
    }

    fn failed(&self, error: Error) -> Result<()> {
        if self.trap_on_grow_failure { Err(error.context("forcing a trap: growing has failed")) } else { Ok(()) }
    }
}

impl ResourceLimiter for StoreLimits {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.decide("memory", desired, self.memory_size, maximum)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.decide("table", desired, self.table_elements, maximum)
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed(error)
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed(error)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

/// Makes [`StoreLimits`].
///
/// ```
/// use wasmo::{Engine, Store, StoreLimits, StoreLimitsBuilder};
///
/// let limits: StoreLimits = StoreLimitsBuilder::new().memory_size(16 << 20).instances(2).build();
/// let mut store = Store::new(&Engine::default(), limits);
/// store.limiter(|limits| limits);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing before `build` is called"]
pub struct StoreLimitsBuilder(StoreLimits);

impl StoreLimitsBuilder {
    /// No limits besides [`DEFAULT_LIMIT`] instances, tables and memories.
    pub fn new() -> Self {
        Self::default()
    }

    /// The greatest size of each memory in bytes.
    pub fn memory_size(mut self, bytes: usize) -> Self {
        self.0.memory_size = Some(bytes);
        self
    }

    /// The greatest size of each table in elements.
    pub fn table_elements(mut self, elements: usize) -> Self {
        self.0.table_elements = Some(elements);
        self
    }

    /// The greatest number of instances.
    pub fn instances(mut self, limit: usize) -> Self {
        self.0.instances = limit;
        self
    }

    /// The greatest number of tables.
    pub fn tables(mut self, limit: usize) -> Self {
        self.0.tables = limit;
        self
    }

    /// The greatest number of memories.
    pub fn memories(mut self, limit: usize) -> Self {
        self.0.memories = limit;
        self
    }

    /// Whether a guest that may not grow ends with an error rather than be told −1.
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// The limits.
    #[must_use]
    pub fn build(self) -> StoreLimits {
        self.0
    }
}
