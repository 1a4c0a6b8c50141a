//! [`Description`]: what an artefact says of the module in it, and the parts that hold it.

use super::{ArtifactError, Part, flat};
use crate::index::MemoryIndex;
use crate::memory_image::memory_images;
use crate::module::{DataKind, DataSegment, ModuleInfo};
use crate::table::{Bytes, FuncNames, Row, Table};
use crate::types::PAGE_SIZE;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// What is written into a [`Part`].
#[derive(Debug)]
pub struct Content {
    /// Which.
    pub part: Part,
    /// The bytes.
    pub bytes: Bytes,
}

/// Where the thunks of one type lie in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThunkOffsets {
    /// Distance of [`crate::code::Thunks::enter`] from the text, or `u32::MAX` for types without thunks.
    pub enter: u32,
    /// Distance of [`crate::code::Thunks::exit`] from the text.
    pub exit: u32,
}

impl Row for ThunkOffsets {
    const SIZE: usize = 8;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        Self { enter: words(0), exit: words(1) }
    }

    fn write(self, word: impl FnMut(u32)) {
        [self.enter, self.exit].into_iter().for_each(word);
    }
}

/// The initial content of a part of a defined memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The memory.
    pub memory: MemoryIndex,
    /// The address in the memory that the image begins at, a multiple of the page size of the file.
    pub start: u64,
    /// Where in the part [`Part::Images`] it lies; it begins at a page.
    pub bytes: Range<usize>,
}

impl Image {
    /// Whether it lies within the initial size of a memory that the module defines.
    fn fits(&self, info: &ModuleInfo) -> bool {
        let end = (self.bytes.len() as u64).checked_add(self.start);
        let size = info.memories.get(self.memory).and_then(|ty| ty.limits.min.checked_mul(PAGE_SIZE));
        info.defined_memory(self.memory).is_some() && end.zip(size).is_some_and(|(end, size)| end <= size)
    }
}

/// What is known of a module and does not grow with its code.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// The module. The ranges of data segments are ranges of [`Part::Data`]. Segments in images, of which there may be thousands, are passive ones without content, and left out where none but such follow.
    pub info: ModuleInfo,
    /// The initial contents of memories.
    pub images: Vec<Image>,
}

/// The form of a [`Description`] in a file.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    /// The module, without what follows.
    info: ModuleInfo,
    images: Vec<Image>,
    type_count: usize,
    types: &'a [u8],
    /// The names of all imports and exports.
    names: &'a str,
    imports: &'a [u8],
    exports: &'a [u8],
}

impl Description {
    /// The bytes of [`Part::Description`]; `None` when it is larger than that of any valid module.
    fn encode(&self) -> Option<Vec<u8>> {
        let Self { info, images } = self;
        let mut names = String::new();
        let imports = flat::from_imports(&info.imports, &mut names)?;
        let exports = flat::from_exports(&info.exports, &mut names)?;
        let stored = Stored {
            info: info.clone(),
            images: images.clone(),
            type_count: info.types.len(),
            types: &flat::from_types(&info.types)?,
            names: &names,
            imports: &imports,
            exports: &exports,
        };
        postcard::to_stdvec(&stored).ok()
    }

    /// Reads what [`Description::encode`] wrote; `None` when it did not.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let Stored { mut info, images, type_count, types, names, imports, exports } =
            postcard::from_bytes(bytes).ok()?;
        let names: Arc<str> = names.into();
        info.types = flat::to_types(type_count, types)?;
        info.imports = flat::to_imports(imports, &names)?;
        info.exports = flat::to_exports(exports, &names)?;
        Some(Self { info, images })
    }

    /// The contents of the parts that describe a module: its description, its tables, and the data of its segments, as images where they make good ones
    /// ([`memory_images`]). `bytes` is its binary, `page` the largest page of the machines that are to map the file, a power of two of at most
    /// [`crate::types::PAGE_SIZE`].
    ///
    /// # Errors
    /// `Malformed` when a segment lies outside of the binary.
    ///
    /// # Panics
    /// When `page` is not such a number.
    pub fn contents(info: &ModuleInfo, bytes: &[u8], page: u64) -> Result<Vec<Content>, ArtifactError> {
        let outside = || ArtifactError::Malformed("a segment lies outside");
        let mut info = info.clone();
        info.custom_sections.clear();
        let (mut images, mut image_bytes) = (Vec::new(), Vec::new());
        for image in memory_images(&info, page) {
            let start = image_bytes.len();
            image_bytes.append(&mut image.content(bytes).ok_or_else(outside)?);
            images.push(Image { memory: image.memory, start: image.range.start, bytes: start..image_bytes.len() });
        }
        let (mut data, mut segments, mut needed) = (Vec::new(), Vec::new(), 0);
        for segment in info.data.values() {
            let content = bytes.get(segment.bytes.clone()).ok_or_else(outside)?;
            let start = data.len();
            // Once an instance is made, an active segment is as one without content.
            let kind = match &segment.kind {
                DataKind::Active { memory, .. } if images.iter().any(|image| image.memory == *memory) => {
                    DataKind::Passive
                }
                kind => {
                    data.extend_from_slice(content);
                    needed = segments.len() + 1;
                    kind.clone()
                }
            };
            segments.push(DataSegment { kind, bytes: start..data.len() });
        }
        segments.truncate(needed);
        info.data = segments.into_iter().collect();
        let tables = [
            (Part::Funcs, info.funcs.bytes().clone()),
            (Part::Escaping, info.escaping.bytes().clone()),
            (Part::ElemFuncs, info.elem_funcs.bytes().clone()),
            (Part::Bodies, info.bodies.bytes().clone()),
            (Part::NameRows, info.func_names.rows().bytes().clone()),
            (Part::NameText, info.func_names.text().clone()),
            (Part::Data, data.into()),
            (Part::Images, image_bytes.into()),
        ];
        let description = Self { info, images }.encode();
        let description = description.ok_or(ArtifactError::Malformed("the module has no description"))?;
        let first = Content { part: Part::Description, bytes: description.into() };
        Ok(std::iter::once(first).chain(tables.map(|(part, bytes)| Content { part, bytes })).collect())
    }

    /// Reads the parts back: `part` gives the bytes of a part, of which but the length is not looked at, and `description` those of [`Part::Description`]. Everything that an
    /// index could lead astray is compared.
    ///
    /// # Errors
    /// `Malformed` when they do not fit each other.
    pub fn from_parts(part: impl Fn(Part) -> Bytes, description: &[u8]) -> Result<Self, ArtifactError> {
        let unreadable = ArtifactError::Malformed("its description cannot be read");
        let mut this = Self::decode(description).ok_or(unreadable)?;
        let short = ArtifactError::Malformed("a table ends within a row");
        let info = &mut this.info;
        let tables = (|| {
            info.funcs = Table::from_bytes(part(Part::Funcs))?;
            info.escaping = Table::from_bytes(part(Part::Escaping))?;
            info.elem_funcs = Table::from_bytes(part(Part::ElemFuncs))?;
            info.bodies = Table::from_bytes(part(Part::Bodies))?;
            info.func_names = FuncNames::from_parts(Table::from_bytes(part(Part::NameRows))?, part(Part::NameText));
            Some(())
        })();
        tables.ok_or(short)?;
        if info.imported_funcs.checked_add(info.bodies.len()) != Some(info.funcs.len()) {
            return Err(ArtifactError::Malformed("its functions and their bodies differ in number"));
        }
        if !this.images.iter().all(|image| image.fits(&this.info)) {
            return Err(ArtifactError::Malformed("an image does not fit its memory"));
        }
        Ok(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Limits, MemoryType};

    #[test]
    fn images_beyond_their_memory_are_refused() {
        let ty = MemoryType { limits: Limits { min: 1, max: None } };
        let info =
            || ModuleInfo { memories: [ty, ty].into_iter().collect(), imported_memories: 1, ..ModuleInfo::default() };
        let read = |memory: u32, start: u64, bytes: Range<usize>| {
            let this = Description { info: info(), images: vec![Image { memory: MemoryIndex(memory), start, bytes }] };
            let description = this.encode().expect("it can be written");
            Description::from_parts(|_| Bytes::default(), &description).map(|this| this.images.len())
        };
        assert_eq!(read(1, 4096, 0..61_440).ok(), Some(1));
        for (memory, start, end) in [(0, 0, 4096), (2, 0, 4096), (1, 4096, 65_536), (1, u64::MAX, 4096)] {
            assert!(matches!(read(memory, start, 0..end), Err(ArtifactError::Malformed(_))), "{memory} {start} {end}");
        }
    }
}
