//! [`Module`]: a compiled module, not yet in any store. Making one is in [`crate::compile`].

use crate::Engine;
use crate::artifact::Origin;
use crate::types::{ExportType, ExternType, ImportType, entity_type};
use std::fmt;
use std::sync::{Arc, OnceLock};
use wasmo_abi::index::FuncIndex;
use wasmo_abi::module::{EntityRef, ModuleInfo};

/// A compiled WebAssembly module. It can be instantiated any number of times, in any store of its engine, on any thread; cloning is cheap.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, Module};
///
/// let module = Module::new(&Engine::default(), r#"(module (func (export "f") (result i32) i32.const 7))"#)?;
/// let exports: Vec<_> = module.exports().map(|export| format!("{}: {}", export.name(), export.ty())).collect();
/// assert_eq!(exports, ["f: func () -> (i32)"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Module {
    inner: Arc<ModuleInner>,
}

struct ModuleInner {
    engine: Engine,
    runtime: Arc<wasmo_runtime::Module>,
    origin: Origin,
    /// Positions of the exports, ordered by name; made when somebody asks for one.
    exports_by_name: OnceLock<Vec<usize>>,
    /// See [`Module::source`].
    #[cfg(feature = "compiler")]
    source: OnceLock<Option<wasmo_codegen::Source>>,
}

// Nothing of a module changes once it is made, so a panic cannot leave it half changed.
impl std::panic::UnwindSafe for Module {}
impl std::panic::RefUnwindSafe for Module {}

impl Module {
    pub(crate) fn from_runtime(engine: Engine, runtime: Arc<wasmo_runtime::Module>, origin: Origin) -> Self {
        crate::listing::list_module(&engine, &runtime);
        let inner = ModuleInner {
            engine,
            runtime,
            origin,
            exports_by_name: OnceLock::new(),
            #[cfg(feature = "compiler")]
            source: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn runtime(&self) -> &Arc<wasmo_runtime::Module> {
        &self.inner.runtime
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    pub(crate) fn info(&self) -> &ModuleInfo {
        &self.inner.runtime.info
    }

    pub(crate) fn export_entity(&self, name: &str) -> Option<EntityRef> {
        let exports = &self.info().exports;
        let by_name = self.inner.exports_by_name.get_or_init(|| {
            let mut by_name: Vec<usize> = (0..exports.len()).collect();
            by_name.sort_by(|&a, &b| (*exports[a].name).cmp(&exports[b].name));
            by_name
        });
        let found = by_name.binary_search_by(|&position| (*exports[position].name).cmp(name)).ok()?;
        Some(exports[by_name[found]].entity)
    }

    /// The engine that the module was compiled by.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// Whether both are the same compiled module.
    pub fn same(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
    }

    /// The module's own name, from its name section.
    pub fn name(&self) -> Option<&str> {
        self.info().name.as_deref()
    }

    /// The index of the start function, which runs whenever the module is instantiated.
    pub fn start_function(&self) -> Option<u32> {
        self.info().start.map(|func| func.0)
    }

    /// The imports, in order; imports of equal names are all there.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> + '_ {
        let info = self.info();
        info.imports
            .iter()
            .map(|import| ImportType::new(&import.module, &import.name, entity_type(info, import.entity)))
    }

    /// The exports, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> + '_ {
        let info = self.info();
        info.exports.iter().map(|export| ExportType::new(&export.name, entity_type(info, export.entity)))
    }

    /// The type of the export called `name`.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        self.export_entity(name).map(|entity| entity_type(self.info(), entity))
    }

    /// The contents of the custom sections called `name`, in order. A module from an artefact has none, like names and sizes below.
    pub fn custom_sections<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let bytes = &self.inner.runtime.bytes;
        let sections = self.info().custom_sections.iter();
        sections.filter(move |section| section.name == name).filter_map(|section| bytes.get(section.bytes.clone()))
    }

    /// The names and sizes in bytes of all custom sections, in order.
    pub fn custom_section_sizes(&self) -> impl ExactSizeIterator<Item = (&str, usize)> + '_ {
        self.info().custom_sections.iter().map(|section| (section.name.as_str(), section.bytes.len()))
    }

    /// The binary that the module was made from; for text, what it was translated to. [`None`] for a module from an artefact, which does not have it.
    pub fn binary(&self) -> Option<&[u8]> {
        match self.inner.origin {
            Origin::Binary => Some(&self.inner.runtime.bytes),
            Origin::Artifact(_) => None,
            #[cfg(feature = "compiler")]
            Origin::Tiers { artifact: None, .. } => Some(&self.inner.runtime.bytes),
            #[cfg(feature = "compiler")]
            Origin::Tiers { artifact: Some(_), .. } => None,
        }
    }

    /// The bodies of the functions of a module that was compiled as a whole, for late modules to have copies of small ones; read when first asked for.
    #[cfg(feature = "compiler")]
    pub(crate) fn source(&self) -> Option<&wasmo_codegen::Source> {
        let Origin::Binary = self.inner.origin else { return None };
        self.inner.source.get_or_init(|| wasmo_codegen::Source::new(self.inner.runtime.bytes.clone()).ok()).as_ref()
    }

    /// The number of bytes of machine code.
    pub fn code_size(&self) -> usize {
        self.inner.runtime.code_size()
    }

    /// The functions that the module defines, in order.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = ModuleFunction<'_>> + '_ {
        let info = self.info();
        let mut code_sizes = vec![0; info.bodies.len()];
        for range in self.inner.runtime.code.units.iter().flat_map(|unit| unit.functions.iter()) {
            let position = range.func.and_then(|func| info.defined_func(func));
            if let Some(size) = position.and_then(|position| code_sizes.get_mut(position)) {
                *size += range.size as usize;
            }
        }
        info.bodies.iter().zip(code_sizes).enumerate().map(move |(position, (body, code_size))| {
            let func = info.func_of_defined(position);
            ModuleFunction { info, func, body_size: body.size(), offset: body.start as usize, code_size }
        })
    }

    /// Memories of the module, imported ones first: their types.
    pub fn memories(&self) -> impl ExactSizeIterator<Item = crate::MemoryType> + '_ {
        self.info().memories.values().map(|ty| crate::MemoryType { inner: *ty })
    }

    /// Tables of the module, imported ones first: their types.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = crate::TableType> + '_ {
        self.info().tables.values().map(|ty| crate::TableType { inner: *ty })
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// One function that a module defines; see [`Module::functions`].
#[derive(Clone)]
pub struct ModuleFunction<'module> {
    info: &'module ModuleInfo,
    func: FuncIndex,
    body_size: usize,
    offset: usize,
    code_size: usize,
}

impl<'module> ModuleFunction<'module> {
    /// The index in the module.
    pub fn index(&self) -> u32 {
        self.func.0
    }

    /// The name from the name section, or the name of an export.
    pub fn name(&self) -> Option<&'module str> {
        func_name(self.info, self.func)
    }

    /// [`ModuleFunction::name`] as the programmer wrote it, when it is a mangled name of Rust's.
    pub fn demangled_name(&self) -> Option<std::borrow::Cow<'module, str>> {
        self.name().map(crate::backtrace::demangle)
    }

    /// The type.
    pub fn ty(&self) -> ExternType {
        entity_type(self.info, EntityRef::Func(self.func))
    }

    /// The size of the body in the module, in bytes.
    pub fn body_size(&self) -> usize {
        self.body_size
    }

    /// Where the body begins in the module's bytes.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The size of its machine code in bytes; 0 when every call of it was replaced by its content and nothing else can reach it.
    pub fn code_size(&self) -> usize {
        self.code_size
    }
}

impl fmt::Debug for ModuleFunction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleFunction")
            .field("index", &self.index())
            .field("name", &self.name())
            .field("body_size", &self.body_size)
            .field("code_size", &self.code_size)
            .finish()
    }
}

/// The name of a function: from the name section, else that of an import or export.
pub(crate) fn func_name(info: &ModuleInfo, func: FuncIndex) -> Option<&str> {
    let exported = || info.exports.iter().find(|e| e.entity == EntityRef::Func(func)).map(|export| &*export.name);
    info.func_names.get(func).or_else(exported)
}
