//! The flat forms of a module's types, imports and exports: each kind in one run of bytes, which is read without looking for its parts.
//!
//! A module of some size has hundreds of these, and reading them is most of what loading an artefact takes.

use crate::index::{FuncIndex, GlobalIndex, IndexVec, MemoryIndex, TableIndex, TypeIndex};
use crate::module::{EntityRef, Export, Import};
use crate::name::Name;
use crate::table::{Row, Table, rows};
use crate::type_list::TypeList;
use crate::types::FuncType;
use std::sync::Arc;

/// The form of a list of types: for each its parameters and its results. `None` when there are too many of these.
pub(super) fn from_types(types: &IndexVec<TypeIndex, FuncType>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for ty in types.values() {
        ty.params.write(&mut bytes)?;
        ty.results.write(&mut bytes)?;
    }
    Some(bytes)
}

/// The types that [`from_types`] wrote, which are `count`; `None` when it did not.
pub(super) fn to_types(count: usize, mut bytes: &[u8]) -> Option<IndexVec<TypeIndex, FuncType>> {
    // Each takes at least so much, whatever the file says of their number.
    let mut types = Vec::with_capacity(count.min(bytes.len() / 16));
    while !bytes.is_empty() {
        types.push(FuncType { params: TypeList::read(&mut bytes)?, results: TypeList::read(&mut bytes)? });
    }
    (types.len() == count).then(|| types.into_iter().collect())
}

/// An import or an export: where its names lie in the text of all names, and what it is. Exports have no first name.
#[derive(Clone, Copy)]
struct Item {
    names: [(u32, u32); 2],
    entity: Option<EntityRef>,
}

impl Row for Item {
    const SIZE: usize = 24;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        let index = words(5);
        let entity = match words(4) {
            0 => Some(EntityRef::Func(FuncIndex(index))),
            1 => Some(EntityRef::Table(TableIndex(index))),
            2 => Some(EntityRef::Memory(MemoryIndex(index))),
            3 => Some(EntityRef::Global(GlobalIndex(index))),
            _ => None,
        };
        Self { names: [(words(0), words(1)), (words(2), words(3))], entity }
    }

    fn write(self, mut word: impl FnMut(u32)) {
        let (kind, index) = match self.entity {
            Some(EntityRef::Func(FuncIndex(index))) => (0, index),
            Some(EntityRef::Table(TableIndex(index))) => (1, index),
            Some(EntityRef::Memory(MemoryIndex(index))) => (2, index),
            Some(EntityRef::Global(GlobalIndex(index))) => (3, index),
            None => (u32::MAX, 0),
        };
        self.names.into_iter().flat_map(|(start, end)| [start, end]).chain([kind, index]).for_each(&mut word);
    }
}

/// The form of a list of imports, whose names are appended to `text`. `None` when there are 4 GiB of names.
pub(super) fn from_imports(imports: &[Import], text: &mut String) -> Option<Vec<u8>> {
    let mut put = |name: &str| put(name, text);
    let mut items: Vec<Item> = Vec::with_capacity(imports.len());
    for (position, import) in imports.iter().enumerate() {
        // Most come from the same module as the one before.
        let before = position.checked_sub(1).and_then(|before| imports.get(before).zip(items.get(before)));
        let module = match before {
            Some((before, item)) if before.module == import.module => item.names[0],
            _ => put(&import.module)?,
        };
        items.push(Item { names: [module, put(&import.name)?], entity: Some(import.entity) });
    }
    Some(bytes(items))
}

/// The form of a list of exports; as [`from_imports`].
pub(super) fn from_exports(exports: &[Export], text: &mut String) -> Option<Vec<u8>> {
    let item = |export: &Export| Some(Item { names: [(0, 0), put(&export.name, text)?], entity: Some(export.entity) });
    exports.iter().map(item).collect::<Option<Vec<_>>>().map(bytes)
}

fn put(name: &str, text: &mut String) -> Option<(u32, u32)> {
    let start = u32::try_from(text.len()).ok()?;
    text.push_str(name);
    Some((start, u32::try_from(text.len()).ok()?))
}

fn bytes(items: Vec<Item>) -> Vec<u8> {
    items.into_iter().collect::<Table<Item>>().bytes().to_vec()
}

/// The imports that [`from_imports`] wrote, of whose names `text` is made; `None` when it did not.
pub(super) fn to_imports(bytes: &[u8], text: &Arc<str>) -> Option<Vec<Import>> {
    let import = |Item { names: [module, name], entity }| {
        Some(Import { module: name_at(text, module)?, name: name_at(text, name)?, entity: entity? })
    };
    rows(bytes)?.map(import).collect()
}

/// The exports that [`from_exports`] wrote; as [`to_imports`].
pub(super) fn to_exports(bytes: &[u8], text: &Arc<str>) -> Option<Vec<Export>> {
    let export = |Item { names: [_, name], entity }| Some(Export { name: name_at(text, name)?, entity: entity? });
    rows(bytes)?.map(export).collect()
}

fn name_at(text: &Arc<str>, (start, end): (u32, u32)) -> Option<Name> {
    Name::part_of(text, start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ValType;

    #[test]
    fn types_come_back() {
        let list = |len| [ValType::I64, ValType::FUNCREF, ValType::F32].into_iter().cycle().take(len).collect();
        let types: IndexVec<TypeIndex, FuncType> =
            (0..40).map(|len| FuncType { params: list(len), results: list(len % 7) }).collect();
        let bytes = from_types(&types).expect("the lists are short");
        assert_eq!(to_types(40, &bytes), Some(types));
        assert_eq!(to_types(39, &bytes), None);
        assert_eq!(to_types(usize::MAX, &bytes), None);
        for len in 0..bytes.len() {
            assert_eq!(to_types(40, &bytes[..len]), None, "{len}");
        }
    }

    #[test]
    fn imports_and_exports_come_back() {
        let imports: Vec<_> = [("env", "f"), ("env", "ü"), ("", ""), ("env", "long name")]
            .into_iter()
            .zip(1..)
            .map(|((module, name), index)| Import {
                module: module.into(),
                name: name.into(),
                entity: EntityRef::Memory(MemoryIndex(index)),
            })
            .collect();
        let exports = vec![
            Export { name: "f".into(), entity: EntityRef::Func(FuncIndex(7)) },
            Export { name: "".into(), entity: EntityRef::Global(GlobalIndex(0)) },
            Export { name: "t".into(), entity: EntityRef::Table(TableIndex(1)) },
        ];
        let mut text = String::new();
        let first = from_imports(&imports, &mut text).expect("the names are short");
        let second = from_exports(&exports, &mut text).expect("the names are short");
        assert_eq!(text, "envfüenvlong nameft");
        let text: Arc<str> = text.into();
        assert_eq!(to_imports(&first, &text), Some(imports));
        assert_eq!(to_exports(&second, &text), Some(exports));
        assert_eq!(to_imports(&first[1..], &text), None);
        // The second name is cut within a letter, the third kind of thing is unknown.
        for (byte, value) in [(24 + 12, 5), (2 * 24 + 16, 9), (24 + 13, 1)] {
            let mut changed = first.clone();
            changed[byte] = value;
            assert_eq!(to_imports(&changed, &text), None, "{byte}");
        }
    }
}
