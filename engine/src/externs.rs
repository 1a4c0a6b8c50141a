//! [`Extern`]: anything that can be imported or exported, as a value.

use crate::store::{StoreId, StoreOpaque};
use crate::{AsContext, ExternType, Func, Global, Memory, MemoryType, Table, TableType};
use wasmo_abi::types::{Limits, PAGE_SIZE};

/// A function, global, table or memory of a store.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A global.
    Global(Global),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
}

macro_rules! parts {
    ($($variant:ident $into:ident $what:literal;)*) => {
        impl Extern {$(
            #[doc = concat!("The ", $what, ", if this is one.")]
            pub fn $into(self) -> Option<$variant> {
                match self {
                    Self::$variant(item) => Some(item),
                    _ => None,
                }
            }
        )*}

        $(impl From<$variant> for Extern {
            fn from(item: $variant) -> Self {
                Self::$variant(item)
            }
        })*
    };
}

parts! {
    Func into_func "function";
    Global into_global "global";
    Table into_table "table";
    Memory into_memory "memory";
}

impl Extern {
    /// The type.
    ///
    /// # Panics
    /// When the item is of another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        let context = store.as_context();
        match self {
            Self::Func(func) => ExternType::Func(func.ty(context)),
            Self::Global(global) => ExternType::Global(global.ty(context)),
            Self::Table(table) => ExternType::Table(table.ty(context)),
            Self::Memory(memory) => ExternType::Memory(memory.ty(context)),
        }
    }

    pub(crate) fn store(&self) -> StoreId {
        match self {
            Self::Func(func) => func.store(),
            Self::Global(global) => global.store(),
            Self::Table(table) => table.store(),
            Self::Memory(memory) => memory.store(),
        }
    }

    /// The type that counts when the item is imported: what has grown has a greater minimum (core specification, 4.5.3).
    pub(crate) fn current_type(&self, store: &StoreOpaque) -> ExternType {
        let runtime = store.runtime();
        match self {
            Self::Func(func) => ExternType::Func(func.type_in(store)),
            Self::Global(global) => ExternType::Global(global.type_in(store)),
            Self::Table(table) => {
                let mut inner = runtime.table_type(table.id());
                inner.limits = Limits { min: runtime.table_len(table.id()), ..inner.limits };
                ExternType::Table(TableType { inner })
            }
            Self::Memory(memory) => {
                let mut inner = runtime.memory_type(memory.id());
                inner.limits = Limits { min: runtime.memory_len(memory.id()) as u64 / PAGE_SIZE, ..inner.limits };
                ExternType::Memory(MemoryType { inner })
            }
        }
    }

    pub(crate) fn from_runtime(store: StoreId, item: wasmo_runtime::Extern) -> Self {
        match item {
            wasmo_runtime::Extern::Func(handle) => Self::Func(Func::new_handle(store, handle)),
            wasmo_runtime::Extern::Global(id) => Self::Global(Global::new_handle(store, id)),
            wasmo_runtime::Extern::Table(id) => Self::Table(Table::new_handle(store, id)),
            wasmo_runtime::Extern::Memory(id) => Self::Memory(Memory::new_handle(store, id)),
        }
    }

    pub(crate) fn to_runtime(self) -> wasmo_runtime::Extern {
        match self {
            Self::Func(func) => wasmo_runtime::Extern::Func(func.handle()),
            Self::Global(global) => wasmo_runtime::Extern::Global(global.id()),
            Self::Table(table) => wasmo_runtime::Extern::Table(table.id()),
            Self::Memory(memory) => wasmo_runtime::Extern::Memory(memory.id()),
        }
    }
}

/// One export of an instance; see [`crate::Instance::exports`].
#[derive(Clone, Debug)]
pub struct Export<'instance> {
    name: &'instance str,
    definition: Extern,
}

impl<'instance> Export<'instance> {
    pub(crate) fn new(name: &'instance str, definition: Extern) -> Self {
        Self { name, definition }
    }

    /// The name, unique among the exports.
    pub fn name(&self) -> &'instance str {
        self.name
    }

    /// The type.
    ///
    /// # Panics
    /// When `store` is another one than the instance's.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.definition.ty(store)
    }

    /// What is exported.
    pub fn into_extern(self) -> Extern {
        self.definition
    }

    /// The function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        self.definition.into_func()
    }

    /// The global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        self.definition.into_global()
    }

    /// The table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        self.definition.into_table()
    }

    /// The memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        self.definition.into_memory()
    }
}
