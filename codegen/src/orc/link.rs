//! Linking: from compiled objects to live code with its tables.

use super::session::{Dylib, Session};
use crate::error::Error;
use crate::object::{Object, SymbolKind};
use std::sync::Arc;
use wasmo_abi::code::{CodeUnit, ModuleCode, Thunks};
use wasmo_abi::index::{FuncIndex, TypeIndex};

/// Links the objects of one module that has `types` types, `imported` imported and `defined` defined functions.
///
/// One symbol of each object is looked up; where the others are follows from the object's own symbol table, because a text section is placed as a
/// whole.
///
/// # Errors
/// `Internal` when ORC refuses an object, a symbol is undefined, or a defined function is missing.
pub(crate) fn link(
    session: &Arc<Session>,
    objects: &[Object],
    types: usize,
    imported: usize,
    defined: usize,
) -> Result<ModuleCode, Error> {
    let (dylib, starts) = load(session, objects)?;
    let mut entries: Vec<usize> = vec![0; defined];
    let mut enters = vec![None; types];
    let mut exits = vec![None; types];
    let mut units = Vec::with_capacity(objects.len());
    for (object, start) in objects.iter().zip(starts) {
        for symbol in &object.symbols {
            let address = start + symbol.offset as usize;
            let place = match symbol.kind {
                SymbolKind::Func(FuncIndex(func)) => {
                    (func as usize).checked_sub(imported).and_then(|position| entries.get_mut(position)).map(|entry| {
                        *entry = address;
                    })
                }
                SymbolKind::Osr(..) | SymbolKind::Copy(_) => None,
                SymbolKind::Enter(TypeIndex(ty)) => enters.get_mut(ty as usize).map(|enter| *enter = Some(address)),
                SymbolKind::Exit(TypeIndex(ty)) => exits.get_mut(ty as usize).map(|exit| *exit = Some(address)),
            };
            place.ok_or_else(|| Error::internal(format!("an object defines {}", symbol.kind.name())))?;
        }
        units.push(code_unit(object, start));
    }
    if let Some(missing) = entries.iter().position(|&entry| entry == 0) {
        return Err(Error::internal(format!("function {} was not compiled", imported + missing)));
    }
    units.sort_by_key(|unit| unit.start);
    let base = units.first().map_or(0, |unit| unit.start);
    let distance = |entry: usize| u32::try_from(entry - base);
    let entries: Result<Vec<u32>, _> = entries.into_iter().map(distance).collect();
    let entries = entries.map_err(|_| Error::internal("a module's code is spread over more than 4 GiB"))?;
    let entries = entries.into_iter().collect();
    let thunks = enters
        .into_iter()
        .zip(exits)
        .map(|(enter, exit)| {
            // SAFETY: the address is that of the enter thunk, which has this C signature.
            let enter = unsafe { std::mem::transmute::<usize, wasmo_abi::vm::EnterThunk>(enter?) };
            Some(Thunks { enter, exit: exit? })
        })
        .collect();
    Ok(ModuleCode { entries, base, thunks, units, owner: Arc::new(Owner { _dylib: dylib }) })
}

/// Links objects that refer to no others; answers where the text of each begins.
fn load(session: &Arc<Session>, objects: &[Object]) -> Result<(Dylib, Vec<usize>), Error> {
    let dylib = session.dylib()?;
    let mut anchors = Vec::with_capacity(objects.len());
    for object in objects {
        dylib.add(object.elf()?)?;
        let anchor = object.symbols.first().ok_or_else(|| Error::internal("an object without functions"))?;
        anchors.push(anchor.kind.name());
    }
    let addresses = dylib.lookup(&anchors)?;
    let start = |(object, address): (&Object, usize)| {
        let anchor = object.symbols.first()?;
        address.checked_sub(anchor.offset as usize)
    };
    let starts: Option<Vec<usize>> = objects.iter().zip(addresses).map(start).collect();
    let starts = starts.ok_or_else(|| Error::internal("an object is linked at an impossible address"))?;
    Ok((dylib, starts))
}

fn code_unit(object: &Object, start: usize) -> CodeUnit {
    CodeUnit {
        start,
        size: object.text_size,
        functions: object.functions().into_iter().collect(),
        wasm_offsets: object.wasm_offsets.iter().copied().collect(),
        unwind: object.unwind.clone(),
    }
}

/// Keeps a module's code alive.
#[derive(Debug)]
struct Owner {
    _dylib: Dylib,
}
