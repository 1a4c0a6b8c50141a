//! [`ModuleInfo`]: all that is known of a module besides its function bodies.
//!
//! The parser in `codegen` makes it; code generation, the runtime and the embedding API read it. It is validated: every index in it is
//! within its space, every constant expression is well typed.

use crate::index::{
    DataIndex, ElemIndex, EntityIndex, FuncIndex, FuncRefIndex, GlobalIndex, IndexVec, MemoryIndex, TableIndex,
    TypeIndex,
};
use crate::name::Name;
use crate::table::{FuncNames, Row, Table};
use crate::types::{FuncType, GlobalType, MemoryType, RefType, TableType};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// An item of the export section, or the target of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntityRef {
    /// A function.
    Func(FuncIndex),
    /// A table.
    Table(TableIndex),
    /// A memory.
    Memory(MemoryIndex),
    /// A global.
    Global(GlobalIndex),
}

/// One import. Its type is found in the index space of `entity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// First name: the module to import from.
    pub module: Name,
    /// Second name: the item.
    pub name: Name,
    /// The index that the import has in this module.
    pub entity: EntityRef,
}

/// One export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The name, unique among the exports.
    pub name: Name,
    /// What is exported.
    pub entity: EntityRef,
}

/// An operator of a constant expression (core specification, 3.3.10, and the extended constant expressions of 3.0).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ConstOp {
    /// Push an `i32`.
    I32Const(i32),
    /// Push an `i64`.
    I64Const(i64),
    /// Push an `f32`, given by its bits.
    F32Const(u32),
    /// Push an `f64`, given by its bits.
    F64Const(u64),
    /// Push a `v128`, given by its bits (lane 0 lowest).
    V128Const(u128),
    /// Push the value of a global that comes before.
    GlobalGet(GlobalIndex),
    /// Push a reference to a function.
    RefFunc(FuncIndex),
    /// Push a null reference.
    RefNull(RefType),
    /// Pop two, push the wrapping sum.
    I32Add,
    /// Pop two, push the wrapping difference.
    I32Sub,
    /// Pop two, push the wrapping product.
    I32Mul,
    /// Pop two, push the wrapping sum.
    I64Add,
    /// Pop two, push the wrapping difference.
    I64Sub,
    /// Pop two, push the wrapping product.
    I64Mul,
}

/// A constant expression in postfix order; it leaves exactly one value.
pub type ConstExpr = Box<[ConstOp]>;

/// When a data segment is copied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DataKind {
    /// At instantiation.
    Active {
        /// The memory that it is copied to.
        memory: MemoryIndex,
        /// Where, in bytes.
        offset: ConstExpr,
    },
    /// When `memory.init` says so.
    Passive,
}

/// A data segment; its bytes are a range of the module's bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataSegment {
    /// When it is copied.
    pub kind: DataKind,
    /// Where its content lies in the module's bytes.
    pub bytes: Range<usize>,
}

/// When an element segment is copied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ElemKind {
    /// At instantiation.
    Active {
        /// The table that it is copied to.
        table: TableIndex,
        /// Where, in elements.
        offset: ConstExpr,
    },
    /// When `table.init` says so.
    Passive,
    /// Never: it only declares functions as escaping.
    Declared,
}

/// The content of an element segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ElemItems {
    /// References to functions, the common case: where they lie in [`ModuleInfo::elem_funcs`].
    Funcs(Range<usize>),
    /// One constant expression an element.
    Exprs(Box<[ConstExpr]>),
}

/// An element segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ElemSegment {
    /// When it is copied.
    pub kind: ElemKind,
    /// Type of the elements.
    pub element: RefType,
    /// The elements.
    pub items: ElemItems,
}

impl ElemSegment {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.items {
            ElemItems::Funcs(funcs) => funcs.len(),
            ElemItems::Exprs(exprs) => exprs.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A function of the module's index space.
#[derive(Clone, Copy, Debug)]
pub struct Func {
    /// Its type.
    pub ty: TypeIndex,
    /// Its slot among the function references, when it escapes: it is exported, in an element segment, the operand of
    /// a constant `ref.func`, or imported and any of these.
    pub func_ref: Option<FuncRefIndex>,
}

impl Row for Func {
    const SIZE: usize = 8;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        let func_ref = Some(words(1)).filter(|&slot| slot != u32::MAX);
        Self { ty: TypeIndex(words(0)), func_ref: func_ref.map(FuncRefIndex) }
    }

    fn write(self, word: impl FnMut(u32)) {
        [self.ty.0, self.func_ref.map_or(u32::MAX, |slot| slot.0)].into_iter().for_each(word);
    }
}

/// Where the body of a function (locals and operators) lies in the module's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset past the last byte.
    pub end: u32,
}

impl Body {
    /// The offsets of all its bytes.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The size in bytes.
    pub fn size(self) -> usize {
        self.range().len()
    }
}

impl Row for Body {
    const SIZE: usize = 8;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        Self { start: words(0), end: words(1) }
    }

    fn write(self, word: impl FnMut(u32)) {
        [self.start, self.end].into_iter().for_each(word);
    }
}

/// A custom section.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CustomSection {
    /// Its name.
    pub name: String,
    /// Where its content (without the name) lies in the module's bytes.
    pub bytes: Range<usize>,
}

/// All that is known of a module besides its function bodies. What there may be much of is left out when it is serialised: an artefact has sections and forms of its own
/// for it (see [`crate::artifact`]); and so are custom sections.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// The module's own name, from the name section.
    pub name: Option<String>,
    /// Function types.
    #[serde(skip)]
    pub types: IndexVec<TypeIndex, FuncType>,
    /// Imports in order.
    #[serde(skip)]
    pub imports: Vec<Import>,
    /// Functions, the imported ones first.
    #[serde(skip)]
    pub funcs: Table<Func>,
    /// How many functions are imported.
    pub imported_funcs: usize,
    /// Tables, the imported ones first.
    pub tables: IndexVec<TableIndex, TableType>,
    /// How many tables are imported.
    pub imported_tables: usize,
    /// The value that fills each defined table at instantiation; null where the text says nothing.
    pub table_inits: Vec<ConstExpr>,
    /// Memories, the imported ones first.
    pub memories: IndexVec<MemoryIndex, MemoryType>,
    /// How many memories are imported.
    pub imported_memories: usize,
    /// Globals, the imported ones first.
    pub globals: IndexVec<GlobalIndex, GlobalType>,
    /// How many globals are imported.
    pub imported_globals: usize,
    /// Initial values of the defined globals, in order.
    pub global_inits: Vec<ConstExpr>,
    /// Exports in order.
    #[serde(skip)]
    pub exports: Vec<Export>,
    /// The start function.
    pub start: Option<FuncIndex>,
    /// Element segments.
    pub elems: IndexVec<ElemIndex, ElemSegment>,
    /// The functions that element segments list ([`ElemItems::Funcs`]).
    #[serde(skip)]
    pub elem_funcs: Table<FuncIndex>,
    /// Data segments.
    pub data: IndexVec<DataIndex, DataSegment>,
    /// Functions that have a [`FuncRefIndex`], in the order of those indices.
    #[serde(skip)]
    pub escaping: Table<FuncIndex>,
    /// The bodies of the defined functions, in order.
    #[serde(skip)]
    pub bodies: Table<Body>,
    /// Names of functions from the name section, as written there (not demangled).
    #[serde(skip)]
    pub func_names: FuncNames,
    /// Custom sections in order.
    #[serde(skip)]
    pub custom_sections: Vec<CustomSection>,
}

impl ModuleInfo {
    /// The function `func`, if the module has it.
    pub fn func(&self, func: FuncIndex) -> Option<Func> {
        self.funcs.get(func.position())
    }

    /// The type index of function `func`.
    ///
    /// # Panics
    /// When the module has no such function; likewise below.
    pub fn func_type_index(&self, func: FuncIndex) -> TypeIndex {
        self.func(func).expect("function indices are validated").ty
    }

    /// The type of function `func`.
    pub fn func_type(&self, func: FuncIndex) -> &FuncType {
        &self.types[self.func_type_index(func)]
    }

    /// The position of `func` among the defined functions, or `None` when it is imported.
    pub fn defined_func(&self, func: FuncIndex) -> Option<usize> {
        func.position().checked_sub(self.imported_funcs)
    }

    /// The position of `table` among the defined tables, or `None` when it is imported.
    pub fn defined_table(&self, table: TableIndex) -> Option<usize> {
        table.position().checked_sub(self.imported_tables)
    }

    /// The position of `memory` among the defined memories, or `None` when it is imported.
    pub fn defined_memory(&self, memory: MemoryIndex) -> Option<usize> {
        memory.position().checked_sub(self.imported_memories)
    }

    /// The position of `global` among the defined globals, or `None` when it is imported.
    pub fn defined_global(&self, global: GlobalIndex) -> Option<usize> {
        global.position().checked_sub(self.imported_globals)
    }

    /// The index of the defined function at `position` among the defined ones.
    pub fn func_of_defined(&self, position: usize) -> FuncIndex {
        FuncIndex::from_position(self.imported_funcs + position)
    }
}
