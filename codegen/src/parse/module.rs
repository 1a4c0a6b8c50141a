//! The walk over a module's sections.
//!
//! Each section is first read for form, then validated, then entered in the [`ModuleInfo`]; so whatever is entered is known to be in
//! bounds and well typed.

use std::ops::Range;

use wasmo_abi::index::{
    EntityIndex, FuncIndex, FuncRefIndex, GlobalIndex, IndexVec, MemoryIndex, TableIndex, TypeIndex,
};
use wasmo_abi::module::{
    Body, ConstExpr, ConstOp, CustomSection, DataKind, DataSegment, ElemItems, ElemKind, ElemSegment, EntityRef,
    Export, Func, Import, ModuleInfo,
};
use wasmo_abi::types::RefType;
use wasmparser::{
    DataSectionReader, Element, ElementItems, ElementKind, ElementSectionReader, ExportSectionReader, ExternalKind,
    FromReader, FuncToValidate, GlobalSectionReader, ImportSectionReader, KnownCustom, NameSectionReader, Parser,
    Payload, SectionLimited, TableInit, TableSectionReader, TypeRef, TypeSectionReader, ValidPayload, Validator,
    ValidatorResources,
};

use super::const_expr::const_expr;
use super::types::{func_type, global_type, memory_type, ref_type, table_type};
use super::{ParsedModule, features, names};
use crate::error::{Error, ErrorKind};

/// Validates everything but the bodies of functions.
///
/// # Errors
/// When the module is malformed, invalid, or uses features that wasmo does not have.
pub fn parse_full(bytes: &[u8]) -> Result<ParsedModule, Error> {
    let mut validator = Validator::new_with_features(features());
    let mut walk = Walk::default();
    let mut parser = Parser::new(0);
    parser.set_features(features());
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(|error| Error::malformed(&error))?;
        check_form(&payload)?;
        let valid = validator.payload(&payload).map_err(|error| Error::invalid(&error))?;
        if let ValidPayload::Func(func, body) = valid {
            walk.bodies.push(Body { start: offset(body.range().start)?, end: offset(body.range().end)? });
            walk.funcs.push(func);
            continue;
        }
        walk.section(payload, bytes)?;
    }
    walk.finish()
}

/// Reads a section to its end, so that errors of form are told as such.
fn check_form(payload: &Payload<'_>) -> Result<(), Error> {
    fn all<'a, T: FromReader<'a>>(section: &SectionLimited<'a, T>) -> Result<(), Error> {
        section.clone().into_iter().try_for_each(|item| item.map(drop)).map_err(|error| Error::malformed(&error))
    }
    match payload {
        Payload::TypeSection(section) => all(section),
        Payload::ImportSection(section) => all(section),
        Payload::FunctionSection(section) => all(section),
        Payload::TableSection(section) => all(section),
        Payload::MemorySection(section) => all(section),
        Payload::GlobalSection(section) => all(section),
        Payload::ExportSection(section) => all(section),
        Payload::ElementSection(section) => all(section),
        Payload::DataSection(section) => all(section),
        _ => Ok(()),
    }
}

fn range(range: Range<u64>) -> Result<Range<usize>, Error> {
    let convert = |offset| {
        usize::try_from(offset).map_err(|_| Error::new(ErrorKind::Limit, "the module does not fit the address space"))
    };
    Ok(convert(range.start)?..convert(range.end)?)
}

/// Bodies lie in the first 4 GiB of a module.
fn offset(offset: u64) -> Result<u32, Error> {
    u32::try_from(offset).map_err(|_| Error::new(ErrorKind::Limit, "the module is larger than 4 GiB"))
}

/// What was read so far. The tables of [`ModuleInfo`] are filled at the end.
#[derive(Default)]
struct Walk<'a> {
    info: ModuleInfo,
    all_funcs: IndexVec<FuncIndex, Func>,
    escaping: IndexVec<FuncRefIndex, FuncIndex>,
    elem_funcs: Vec<FuncIndex>,
    bodies: Vec<Body>,
    funcs: Vec<FuncToValidate<ValidatorResources>>,
    /// Kept until the number of functions is known.
    names: Option<NameSectionReader<'a>>,
}

impl<'a> Walk<'a> {
    fn section(&mut self, payload: Payload<'a>, bytes: &[u8]) -> Result<(), Error> {
        match payload {
            Payload::TypeSection(section) => self.types(section),
            Payload::ImportSection(section) => self.imports(section),
            Payload::FunctionSection(section) => each(section, |ty| {
                self.all_funcs.push(Func { ty: TypeIndex(ty), func_ref: None });
                Ok(())
            }),
            Payload::TableSection(section) => self.tables(section),
            Payload::MemorySection(section) => each(section, |ty| {
                self.info.memories.push(memory_type(&ty));
                Ok(())
            }),
            Payload::GlobalSection(section) => self.globals(section),
            Payload::ExportSection(section) => self.exports(section),
            Payload::StartSection { func, .. } => {
                self.info.start = Some(FuncIndex(func));
                Ok(())
            }
            Payload::ElementSection(section) => self.elements(section),
            Payload::DataSection(section) => self.data(section, bytes),
            Payload::CustomSection(section) => {
                let bytes = range(section.data_range())?;
                self.info.custom_sections.push(CustomSection { name: section.name().to_owned(), bytes });
                if let KnownCustom::Name(names) = section.as_known() {
                    self.names = Some(names);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn types(&mut self, section: TypeSectionReader<'_>) -> Result<(), Error> {
        for ty in section.into_iter_err_on_gc_types() {
            let ty = ty.map_err(|error| Error::invalid(&error))?;
            self.info.types.push(func_type(&ty)?);
        }
        Ok(())
    }

    fn imports(&mut self, section: ImportSectionReader<'_>) -> Result<(), Error> {
        for import in section.into_imports() {
            let import = import.map_err(|error| Error::malformed(&error))?;
            let info = &mut self.info;
            let entity = match import.ty {
                TypeRef::Func(ty) => {
                    info.imported_funcs += 1;
                    EntityRef::Func(self.all_funcs.push(Func { ty: TypeIndex(ty), func_ref: None }))
                }
                TypeRef::Table(ty) => {
                    info.imported_tables += 1;
                    EntityRef::Table(info.tables.push(table_type(&ty)?))
                }
                TypeRef::Memory(ty) => {
                    info.imported_memories += 1;
                    EntityRef::Memory(info.memories.push(memory_type(&ty)))
                }
                TypeRef::Global(ty) => {
                    info.imported_globals += 1;
                    EntityRef::Global(info.globals.push(global_type(&ty)?))
                }
                TypeRef::Tag(_) | TypeRef::FuncExact(_) => {
                    return Err(Error::new(ErrorKind::Unsupported, "an import of a kind that is not supported"));
                }
            };
            let (module, name) = (import.module.into(), import.name.into());
            info.imports.push(Import { module, name, entity });
        }
        Ok(())
    }

    fn tables(&mut self, section: TableSectionReader<'_>) -> Result<(), Error> {
        each(section, |table| {
            let ty = table_type(&table.ty)?;
            let init = match table.init {
                TableInit::RefNull => [ConstOp::RefNull(ty.element)].into(),
                TableInit::Expr(expr) => self.const_expr(&expr)?,
            };
            self.info.tables.push(ty);
            self.info.table_inits.push(init);
            Ok(())
        })
    }

    fn globals(&mut self, section: GlobalSectionReader<'_>) -> Result<(), Error> {
        each(section, |global| {
            let init = self.const_expr(&global.init_expr)?;
            self.info.globals.push(global_type(&global.ty)?);
            self.info.global_inits.push(init);
            Ok(())
        })
    }

    fn exports(&mut self, section: ExportSectionReader<'_>) -> Result<(), Error> {
        each(section, |export| {
            let entity = match export.kind {
                ExternalKind::Func | ExternalKind::FuncExact => {
                    self.escape(FuncIndex(export.index));
                    EntityRef::Func(FuncIndex(export.index))
                }
                ExternalKind::Table => EntityRef::Table(TableIndex(export.index)),
                ExternalKind::Memory => EntityRef::Memory(MemoryIndex(export.index)),
                ExternalKind::Global => EntityRef::Global(GlobalIndex(export.index)),
                ExternalKind::Tag => {
                    return Err(Error::new(ErrorKind::Unsupported, "an export of a kind that is not supported"));
                }
            };
            self.info.exports.push(Export { name: export.name.into(), entity });
            Ok(())
        })
    }

    fn elements(&mut self, section: ElementSectionReader<'_>) -> Result<(), Error> {
        each(section, |Element { kind, items, .. }| {
            let kind = match kind {
                ElementKind::Passive => ElemKind::Passive,
                ElementKind::Declared => ElemKind::Declared,
                ElementKind::Active { table_index, offset_expr } => ElemKind::Active {
                    table: TableIndex(table_index.unwrap_or(0)),
                    offset: self.const_expr(&offset_expr)?,
                },
            };
            let (element, items) = match items {
                ElementItems::Functions(section) => {
                    let start = self.elem_funcs.len();
                    each(section, |func| {
                        self.escape(FuncIndex(func));
                        self.elem_funcs.push(FuncIndex(func));
                        Ok(())
                    })?;
                    (RefType::Func, ElemItems::Funcs(start..self.elem_funcs.len()))
                }
                ElementItems::Expressions(ty, section) => {
                    let mut exprs = Vec::new();
                    each(section, |expr| {
                        exprs.push(self.const_expr(&expr)?);
                        Ok(())
                    })?;
                    (ref_type(ty)?, ElemItems::Exprs(exprs.into()))
                }
            };
            self.info.elems.push(ElemSegment { kind, element, items });
            Ok(())
        })
    }

    fn data(&mut self, section: DataSectionReader<'_>, bytes: &[u8]) -> Result<(), Error> {
        each(section, |segment| {
            let kind = match segment.kind {
                wasmparser::DataKind::Passive => DataKind::Passive,
                wasmparser::DataKind::Active { memory_index, offset_expr } => {
                    DataKind::Active { memory: MemoryIndex(memory_index), offset: self.const_expr(&offset_expr)? }
                }
            };
            let end = range(segment.range)?.end;
            let content = end
                .checked_sub(segment.data.len())
                .map(|start| start..end)
                .filter(|content| bytes.get(content.clone()) == Some(segment.data))
                .ok_or_else(|| Error::internal("a data segment's content does not lie at its end"))?;
            self.info.data.push(DataSegment { kind, bytes: content });
            Ok(())
        })
    }

    fn const_expr(&mut self, expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, Error> {
        let expr = const_expr(expr)?;
        for op in &expr {
            if let ConstOp::RefFunc(func) = op {
                self.escape(*func);
            }
        }
        Ok(expr)
    }

    /// Gives `func` a slot among the function references, unless it has one.
    fn escape(&mut self, func: FuncIndex) {
        if func.position() < self.all_funcs.len() && self.all_funcs[func].func_ref.is_none() {
            self.all_funcs[func].func_ref = Some(self.escaping.push(func));
        }
    }

    fn finish(mut self) -> Result<ParsedModule, Error> {
        let names = self.names.map(|section| names::read(section, self.all_funcs.len())).unwrap_or_default();
        self.info.name = names.module;
        self.info.func_names = names.funcs;
        self.info.funcs = self.all_funcs.values().copied().collect();
        self.info.escaping = self.escaping.values().copied().collect();
        self.info.elem_funcs = self.elem_funcs.into_iter().collect();
        self.info.bodies = self.bodies.into_iter().collect();
        let declared = self.info.funcs.len() - self.info.imported_funcs;
        if declared != self.funcs.len() {
            return Err(Error::new(ErrorKind::Malformed, "functions and bodies differ in number"));
        }
        Ok(ParsedModule { info: self.info, funcs: self.funcs })
    }
}

/// Hands each item of a section, which has been read before, to `enter`.
fn each<'a, T: FromReader<'a>>(
    section: SectionLimited<'a, T>,
    mut enter: impl FnMut(T) -> Result<(), Error>,
) -> Result<(), Error> {
    for item in section {
        enter(item.map_err(|error| Error::malformed(&error))?)?;
    }
    Ok(())
}
