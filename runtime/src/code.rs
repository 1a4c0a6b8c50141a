//! The code registry: which module an address of code belongs to.
//!
//! It is one for the process: modules enter their code units when they are made and take them out before their code is
//! freed. It holds no module alive.

use crate::module::Module;
use crate::trap::Registers;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use wasmo_abi::code::CodeUnit;
use wasmo_abi::index::FuncIndex;

struct Entry {
    end: usize,
    module: Weak<Module>,
    /// The unit's position among the module's units.
    unit: usize,
}

/// Units by their first address. They do not overlap.
static REGISTRY: RwLock<BTreeMap<usize, Entry>> = RwLock::new(BTreeMap::new());

/// Enters the code of a module.
pub(crate) fn register(module: &Arc<Module>) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    for (position, unit) in module.code.units.iter().enumerate() {
        // An empty unit has no address of its own.
        if unit.size > 0 {
            let entry = Entry { end: unit.start + unit.size, module: Arc::downgrade(module), unit: position };
            registry.insert(unit.start, entry);
        }
    }
}

/// Takes the code of a module out. The module is being dropped, so that its weak references lead nowhere any more.
pub(crate) fn unregister(module: &Module) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    for unit in &module.code.units {
        if registry.get(&unit.start).is_some_and(|entry| entry.module.strong_count() == 0) {
            registry.remove(&unit.start);
        }
    }
}

/// What is known of an address of code.
pub(crate) struct Location {
    /// The module.
    pub(crate) module: Arc<Module>,
    unit: usize,
    offset: u32,
    /// The function, unless the code is a thunk.
    pub(crate) func: Option<FuncIndex>,
    /// The operator that the code belongs to, as an offset in the module's bytes.
    pub(crate) wasm_offset: Option<u32>,
}

/// Finds what is known of the code at `address`.
pub(crate) fn find(address: usize) -> Option<Location> {
    let (module, unit, start) = {
        let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
        let (&start, entry) = registry.range(..=address).next_back()?;
        if address >= entry.end {
            return None;
        }
        (entry.module.upgrade()?, entry.unit, start)
    };
    let offset = u32::try_from(address - start).ok()?;
    let (func, wasm_offset) = explain(module.code.units.get(unit)?, offset);
    Some(Location { module, unit, offset, func, wasm_offset })
}

/// The function and the operator at `offset` in `unit`.
fn explain(unit: &CodeUnit, offset: u32) -> (Option<FuncIndex>, Option<u32>) {
    let func = unit
        .functions
        .last_before(|range| range.offset <= offset)
        .filter(|range| offset - range.offset < range.size)
        .and_then(|range| range.func);
    let wasm_offset =
        unit.wasm_offsets.last_before(|row| row.code <= offset).map(|row| row.wasm).filter(|&wasm| wasm != u32::MAX);
    (func, wasm_offset)
}

impl Location {
    /// The registers of the caller, where `at` are those at this location.
    pub(crate) fn step(&self, at: Registers, read: impl Fn(usize) -> Option<usize>) -> Option<Registers> {
        let unit = self.module.code.units.get(self.unit)?;
        self.module.unwind_rules.get(self.unit)?.step(&unit.unwind, self.offset, at, read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmo_abi::code::{FunctionRange, UnwindTable, WasmOffset};

    #[test]
    fn offsets_are_explained_by_the_row_that_covers_them() {
        let range = |offset, size, func| FunctionRange { offset, size, func };
        let row = |code, wasm| WasmOffset { code, wasm };
        let unit = CodeUnit {
            start: 0x1000,
            size: 100,
            functions: [range(0, 10, Some(FuncIndex(3))), range(16, 20, None), range(40, 10, Some(FuncIndex(4)))]
                .into_iter()
                .collect(),
            wasm_offsets: [row(2, 77), row(10, u32::MAX), row(40, 99)].into_iter().collect(),
            unwind: UnwindTable::default(),
        };
        assert_eq!(explain(&unit, 0), (Some(FuncIndex(3)), None));
        assert_eq!(explain(&unit, 9), (Some(FuncIndex(3)), Some(77)));
        assert_eq!(explain(&unit, 12), (None, None));
        assert_eq!(explain(&unit, 16), (None, None));
        assert_eq!(explain(&unit, 49), (Some(FuncIndex(4)), Some(99)));
        assert_eq!(explain(&unit, 50), (None, Some(99)));
    }
}
