//! [`PartialArtifact`]: an artefact that may not have code for all functions, and grows.
//!
//! A module in tiers is compiled piece by piece while it runs. What there is when the run ends goes to a file of the same form as any artefact, which the
//! next run maps; what that one compiles is added ([`link::append`]), and so on. The pieces reach one another through the module's entries only
//! ([`wasmo_abi::tier`]), so that each piece can be linked alone, and code that has been replaced can be left out, or left where it is.

use super::{LinkedImage, link};
use crate::artifact::{complete, refused};
use crate::compiler::Compiler;
use crate::error::Error;
use crate::ir::context::Arch;
use crate::object::{Object, SymbolKind};
use crate::target::floor;
use crate::unit::Source;
use std::collections::HashSet;
use std::sync::Arc;
use wasmo_abi::artifact::{Content, Description, Header, Part};
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::table::{Bytes, Table};
use wasmo_abi::tier::Learned;

/// The parts that no linker makes, and that stay the same however much code there is.
const FIXED: [Part; 9] = [
    Part::Description,
    Part::Funcs,
    Part::Escaping,
    Part::ElemFuncs,
    Part::Data,
    Part::Images,
    Part::Bodies,
    Part::NameRows,
    Part::NameText,
];

/// What there is of a module's code, and all else that an artefact holds.
#[derive(Debug)]
pub struct PartialArtifact {
    header: Header,
    contents: Vec<Content>,
    image: LinkedImage,
}

impl PartialArtifact {
    /// Nothing but the thunks of the module in `source`, whose objects are `thunks` ([`Compiler::module_thunks`]).
    ///
    /// # Errors
    /// `Limit` when the module is too large for the format, and internal ones.
    pub fn new(compiler: &Compiler, source: &Source, thunks: &[Arc<Object>]) -> Result<Self, Error> {
        let info = source.info();
        let counts =
            link::Counts { types: info.types.len(), imported: info.imported_funcs, defined: info.bodies.len() };
        let empty = LinkedImage::empty(compiler.target.arch(), counts);
        let thunks: Vec<&Object> = thunks.iter().map(Arc::as_ref).collect();
        let image = link::append(empty, &thunks, info.imported_funcs)?;
        let contents = Description::contents(info, source.bytes(), image.page_size()).map_err(refused)?;
        // As long as LLVM has made nothing of it, the code needs what all needs.
        let arch = compiler.target.arch();
        let header = compiler.header(source.bytes(), arch.baseline(), floor(arch));
        Ok(Self { header, contents, image }.for_what_was_made(compiler))
    }

    /// What is in an artefact with this header, of which `part` gives the parts.
    ///
    /// # Errors
    /// `Internal` when the parts do not fit each other.
    pub fn read(header: &Header, part: impl Fn(Part) -> Bytes) -> Result<Self, Error> {
        let image = LinkedImage::read(Arch::of_triple(&header.triple)?, header, &part)?;
        let contents = FIXED.map(|fixed| Content { part: fixed, bytes: part(fixed) });
        Ok(Self { header: header.clone(), contents: contents.into(), image })
    }

    /// Adds the code in `objects`, which `compiler` has made and which are in the order in which it was published. Objects of which every function has been replaced are left out.
    ///
    /// # Errors
    /// `Limit` when there is too much code, `Internal` when the objects are not of the module that `info` describes.
    pub fn add(self, compiler: &Compiler, info: &ModuleInfo, objects: &[Arc<Object>]) -> Result<Self, Error> {
        let mut replaced = HashSet::new();
        let mut needed: Vec<&Object> = Vec::with_capacity(objects.len());
        for object in objects.iter().rev() {
            let functions = object.symbols.iter().filter_map(|symbol| match symbol.kind {
                SymbolKind::Func(func) => Some(func),
                _ => None,
            });
            if functions.filter(|&func| replaced.insert(func)).count() > 0 {
                needed.push(object);
            }
        }
        needed.reverse();
        let image = link::append(self.image, &needed, info.imported_funcs)?;
        Ok(Self { image, ..self }.for_what_was_made(compiler))
    }

    /// Notes that there may be code that `compiler` has made with LLVM, which uses what the processor has.
    fn for_what_was_made(mut self, compiler: &Compiler) -> Self {
        if let Some(target) = compiler.target.made() {
            target.cpu().clone_into(&mut self.header.cpu);
            self.header.features = self.header.features.with(target.extensions());
        }
        self
    }

    /// The file, with what was `learned` of each defined function. `info` describes the module.
    ///
    /// # Errors
    /// `Limit` when it is too large for the format, and internal ones.
    pub fn write(mut self, info: &ModuleInfo, learned: &Table<Learned>) -> Result<Vec<u8>, Error> {
        self.contents.push(Content { part: Part::Learned, bytes: learned.bytes().clone() });
        let file = super::write(&self.image, &self.contents, &self.image.symbols(info))?;
        complete(self.header, file)
    }
}
