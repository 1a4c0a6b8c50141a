//! [`PoolingConfig`]: how much an engine keeps for reuse, and how much of it there may be.

use wasmo_runtime::PoolLimits;

/// How many stores, instances, memories and tables an engine has for all its guests, and how large they may be. With it ([`crate::Config::pooling`]), what a store leaves
/// when it is dropped is kept for the next one. An instance of a module that imports nothing but functions, all of them the host's, is kept as a whole, by its module, so that the next instance
/// of the same module costs next to nothing; of others the parts are used again. To gain by it, keep [`Module`](crate::Module)s, and use
/// [`Linker::instantiate_pre`](crate::Linker::instantiate_pre).
///
/// Whatever is kept is made as new when its store is dropped, on the thread that drops it: no guest sees what another has left in memories, tables or globals. Guests' stacks and the area for arguments that find no
/// register are the exception: their content is not cleared (but for what lies deep in a stack, and see [`PoolingConfig::stack_zeroing`]), since WebAssembly has no way to read them.
///
/// What is kept gives way to what is needed. When all of something is in use, making one more is an error, [`PoolConcurrencyLimitError`]: nothing is made beyond the limits. What belongs to a store is in use
/// until the store is dropped, also what is left of an instance that could not be completed.
///
/// Limits of a store ([`Store::limiter`](crate::Store::limiter)) hold as without a pool; the limiter is asked for each memory and table of an instance that was kept, too.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Config, Engine, Linker, Module, PoolConcurrencyLimitError, PoolingConfig, Store};
///
/// let mut pooling = PoolingConfig::new();
/// pooling.total_memories(1).max_memory_size(1 << 20);
/// let engine = Engine::new(Config::new().pooling(pooling))?;
/// let module = Module::new(&engine, "(module (memory 1))")?;
/// let pre = Linker::<()>::new(&engine).instantiate_pre(&module)?;
///
/// let mut store = Store::new(&engine, ());
/// pre.instantiate(&mut store)?;
/// let error = pre.instantiate(&mut store).unwrap_err();
/// assert!(error.is::<PoolConcurrencyLimitError>());
/// drop(store);
/// pre.instantiate(&mut Store::new(&engine, ()))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PoolingConfig {
    pub(crate) limits: PoolLimits,
}

impl Default for PoolingConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl PoolingConfig {
    /// 1,000 of each kind; memories of up to 4 GiB, tables of up to 20,000 elements; 64 KiB of each memory stay resident.
    pub fn new() -> Self {
        let limits = PoolLimits {
            stores: 1000,
            instances: 1000,
            memories: 1000,
            tables: 1000,
            memory_size: 4 << 30,
            table_elements: 20_000,
            keep_resident: 64 << 10,
            stack_zeroing: false,
        };
        Self { limits }
    }

    /// The most stores at one time, each of which has a stack for its guests.
    pub fn total_stacks(&mut self, count: u32) -> &mut Self {
        self.limits.stores = count as usize;
        self
    }

    /// The most instances at one time.
    pub fn total_core_instances(&mut self, count: u32) -> &mut Self {
        self.limits.instances = count as usize;
        self
    }

    /// The most memories at one time. Each takes 8 GiB of address space, of which a process has 128 TiB.
    pub fn total_memories(&mut self, count: u32) -> &mut Self {
        self.limits.memories = count as usize;
        self
    }

    /// The most tables at one time.
    pub fn total_tables(&mut self, count: u32) -> &mut Self {
        self.limits.tables = count as usize;
        self
    }

    /// The most bytes that a memory may have or grow to. Modules that ask for more at the start cannot be instantiated.
    pub fn max_memory_size(&mut self, bytes: usize) -> &mut Self {
        self.limits.memory_size = bytes as u64;
        self
    }

    /// The most elements that a table may have or grow to. Modules that ask for more at the start cannot be instantiated.
    pub fn table_elements(&mut self, elements: usize) -> &mut Self {
        self.limits.table_elements = elements as u64;
        self
    }

    /// How many bytes at the beginning of a memory, rounded down to whole pages, are cleared when a guest has gone; the others, and the parts that hold a module's data (when
    /// there is so much of it that it is not copied), are given back to the system, and cost a page fault each when they are used again.
    pub fn linear_memory_keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.limits.keep_resident = bytes;
        self
    }

    /// Whether guests' stacks are cleared, too; off by default.
    pub fn stack_zeroing(&mut self, enable: bool) -> &mut Self {
        self.limits.stack_zeroing = enable;
        self
    }
}

/// All that a pool has of something is in use; see [`PoolingConfig`]. Errors are downcast to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("maximum concurrent limit of {limit} for {kind} reached")]
pub struct PoolConcurrencyLimitError {
    pub(crate) kind: &'static str,
    pub(crate) limit: usize,
}

impl PoolConcurrencyLimitError {
    /// Of what there is no more: "stores", "instances", "memories" or "tables".
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// How many there may be.
    pub fn limit(&self) -> usize {
        self.limit
    }
}
