//! [`ArtifactContents`]: what is in an artefact, of whatever machine, for those who look and do not load.
//!
//! The file may be damaged, or made by somebody who means harm: nothing in it is taken for a right index.

use super::ArtifactInfo;
use crate::Result;
use crate::types::{ExportType, ImportType, entity_type};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use wasmo_abi::artifact::{ArtifactError, Description, Part};
use wasmo_abi::code::FunctionRange;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::module::{EntityRef, ModuleInfo};
use wasmo_abi::table::{Bytes, Table};

/// A half of an artefact; each has a checksum of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArtifactHalf {
    /// What code needs to run. A file in which it is damaged cannot be loaded.
    Code,
    /// Names, offsets and call frame information. Where they are damaged, backtraces lack them.
    Tables,
}

/// What is in an artefact; see [`ArtifactInfo::contents`].
#[derive(Debug)]
pub struct ArtifactContents {
    info: ModuleInfo,
    functions: Table<FunctionRange>,
}

/// A function that is in an artefact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFunction {
    /// The index in the module.
    pub index: u32,
    /// The name from the name section, or the name of an export.
    pub name: Option<String>,
    /// The size of its machine code in bytes.
    pub code_size: u64,
}

impl ArtifactFunction {
    /// The name as the programmer wrote it, when it is a mangled name of Rust's.
    pub fn demangled_name(&self) -> Option<Cow<'_, str>> {
        self.name.as_deref().map(crate::backtrace::demangle)
    }
}

impl ArtifactInfo {
    /// The halves of the artefact `artifact` whose checksums do not fit; none when it is whole.
    ///
    /// # Errors
    /// When it has not as many bytes as this header says.
    pub fn damaged(&self, artifact: &[u8]) -> Result<Vec<ArtifactHalf>> {
        self.header.verify_size(artifact.len() as u64)?;
        let checks = [
            (ArtifactHalf::Code, self.header.verify_hot(artifact)),
            (ArtifactHalf::Tables, self.header.verify_cold(artifact)),
        ];
        Ok(checks.into_iter().filter(|(_, check)| check.is_err()).map(|(half, _)| half).collect())
    }

    /// What is in the artefact `artifact`, which is for any machine and has this header.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn contents(&self, artifact: Vec<u8>) -> Result<ArtifactContents> {
        self.header.verify_size(artifact.len() as u64)?;
        let artifact = Arc::new(artifact);
        let part = |part| Bytes::part_of(Arc::clone(&artifact) as _, self.header.part(part));
        let Description { info, .. } = Description::from_parts(part, &part(Part::Description))?;
        let functions = Table::from_bytes(part(Part::Functions));
        let functions = functions.ok_or(ArtifactError::Malformed("a table ends within a row"))?;
        let named = info.imports.iter().map(|import| import.entity);
        if !named.chain(info.exports.iter().map(|export| export.entity)).all(|entity| has(&info, entity)) {
            return Err(ArtifactError::Malformed("it imports or exports what it does not have").into());
        }
        Ok(ArtifactContents { info, functions })
    }
}

impl ArtifactContents {
    /// The module's own name.
    pub fn name(&self) -> Option<&str> {
        self.info.name.as_deref()
    }

    /// The imports, in order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> + '_ {
        let info = &self.info;
        info.imports
            .iter()
            .map(|import| ImportType::new(&import.module, &import.name, entity_type(info, import.entity)))
    }

    /// The exports, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> + '_ {
        let info = &self.info;
        info.exports.iter().map(|export| ExportType::new(&export.name, entity_type(info, export.entity)))
    }

    /// The functions that the module defines, in order. Those without code of their own, because every call of them was replaced by their content,
    /// have the size 0.
    pub fn functions(&self) -> Vec<ArtifactFunction> {
        let mut sizes: HashMap<u32, u64> = HashMap::new();
        for range in self.functions.iter() {
            if let Some(FuncIndex(index)) = range.func {
                *sizes.entry(index).or_default() += u64::from(range.size);
            }
        }
        let mut exported: HashMap<u32, &str> = HashMap::new();
        for export in &self.info.exports {
            if let EntityRef::Func(FuncIndex(index)) = export.entity {
                exported.entry(index).or_insert(&export.name);
            }
        }
        let defined = (0..self.info.bodies.len()).map(|position| self.info.func_of_defined(position));
        let function = |func: FuncIndex| ArtifactFunction {
            index: func.0,
            name: self.info.func_names.get(func).or(exported.get(&func.0).copied()).map(str::to_owned),
            code_size: sizes.get(&func.0).copied().unwrap_or(0),
        };
        defined.map(function).collect()
    }
}

/// Whether a module has what an import or export names.
fn has(info: &ModuleInfo, entity: EntityRef) -> bool {
    match entity {
        EntityRef::Func(func) => info.func(func).is_some_and(|func| info.types.get(func.ty).is_some()),
        EntityRef::Table(table) => info.tables.get(table).is_some(),
        EntityRef::Memory(memory) => info.memories.get(memory).is_some(),
        EntityRef::Global(global) => info.globals.get(global).is_some(),
    }
}
