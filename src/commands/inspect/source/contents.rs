//! [`Contents`]: a module's sections, as far as they are shown.
//!
//! Indices come from the file and may lie: they are looked up with [`slice::get`], and what is not there is shown as `?`.

use std::collections::HashMap;

use rustc_demangle::demangle;
use wasmparser::{
    CompositeInnerType, ElementItems, Export, ExternalKind, FuncType, GlobalType, Import, KnownCustom, MemoryType,
    Name, Parser, Payload, Result, TableType, TypeRef,
};

/// What is in a module.
#[derive(Default)]
pub(crate) struct Contents<'a> {
    types: Vec<Option<FuncType>>,
    pub(crate) imports: Vec<Import<'a>>,
    pub(crate) exports: Vec<Export<'a>>,
    /// The type index of every function, imports first.
    funcs: Vec<u32>,
    /// All memories, imports first; so are tables and globals.
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) tables: Vec<TableType>,
    pub(crate) globals: Vec<GlobalType>,
    imported_funcs: usize,
    /// The size of each body in bytes, in the order of the code section.
    pub(crate) bodies: Vec<u64>,
    /// Bytes and number of the data segments.
    pub(crate) data: Segments,
    /// Elements and number of the element segments.
    pub(crate) elements: Segments,
    pub(crate) start: Option<u32>,
    pub(crate) custom: Vec<(&'a str, usize)>,
    names: HashMap<u32, &'a str>,
}

/// Segments of one kind.
#[derive(Default)]
pub(crate) struct Segments {
    pub(crate) count: u64,
    /// Bytes, or elements, in all of them together.
    pub(crate) total: u64,
}

impl<'a> Contents<'a> {
    /// Reads a module, which is not a component: [`crate::input`] has seen to that.
    ///
    /// # Errors
    ///
    /// Bytes that are not a module; a name section with mistakes is left out instead, as an engine would do.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut contents = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            contents.add(payload?)?;
        }
        Ok(contents)
    }

    fn add(&mut self, payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for ty in group?.into_types() {
                        self.types.push(match ty.composite_type.inner {
                            CompositeInnerType::Func(ty) => Some(ty),
                            _ => None,
                        });
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import?);
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.funcs.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.tables.push(table?.ty);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories.push(memory?);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    self.globals.push(global?.ty);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.exports.push(export?);
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(section) => {
                for element in section {
                    self.elements.count += 1;
                    self.elements.total += u64::from(match element?.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    });
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    self.data.count += 1;
                    self.data.total += data?.data.len() as u64;
                }
            }
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                self.bodies.push(range.end.saturating_sub(range.start));
            }
            Payload::CustomSection(section) => {
                self.custom.push((section.name(), section.data().len()));
                if let KnownCustom::Name(names) = section.as_known() {
                    for name in names {
                        let Ok(Name::Function(names)) = name else { continue };
                        self.names.extend(names.into_iter().flatten().map(|naming| (naming.index, naming.name)));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: Import<'a>) {
        match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                self.funcs.push(ty);
                self.imported_funcs += 1;
            }
            TypeRef::Table(ty) => self.tables.push(ty),
            TypeRef::Memory(ty) => self.memories.push(ty),
            TypeRef::Global(ty) => self.globals.push(ty),
            TypeRef::Tag(_) => {}
        }
        self.imports.push(import);
    }

    /// The defined functions as (index, size of the body), largest first.
    pub(crate) fn functions_by_size(&self) -> Vec<(usize, u64)> {
        let bodies = self.bodies.iter().enumerate();
        let mut functions: Vec<_> = bodies.map(|(number, size)| (self.imported_funcs + number, *size)).collect();
        functions.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        functions
    }

    /// The signature of a type.
    pub(crate) fn signature(&self, ty: u32) -> String {
        let ty = usize::try_from(ty).ok().and_then(|ty| self.types.get(ty));
        let Some(Some(ty)) = ty else { return "?".to_owned() };
        let list = |types: &[wasmparser::ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let results = match ty.results() {
            [] => String::new(),
            [one] => format!(" -> {one}"),
            many => format!(" -> ({})", list(many)),
        };
        format!("({}){results}", list(ty.params()))
    }

    /// The signature of a function.
    pub(crate) fn function_signature(&self, func: usize) -> String {
        self.funcs.get(func).map_or_else(|| "?".to_owned(), |ty| self.signature(*ty))
    }

    /// What a function is called: by the name section, else by an export, else nothing.
    pub(crate) fn function_name(&self, func: usize) -> String {
        let Ok(index) = u32::try_from(func) else { return String::new() };
        let is_it = |export: &&Export<'_>| export.kind == ExternalKind::Func && export.index == index;
        match (self.names.get(&index), self.exports.iter().find(is_it)) {
            (Some(name), _) => format!("{:#}", demangle(name)),
            (None, Some(export)) => export.name.to_owned(),
            (None, None) => String::new(),
        }
    }
}
