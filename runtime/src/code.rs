//! The code registry: which module an address of code belongs to.
//!
//! It is one for the process: modules enter their code units when they are made and take them out before their code is
//! freed. It holds no module alive.

use crate::module::Module;
use crate::trap::Registers;
use crate::trap::unwind::UnwindRules;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use wasmo_abi::code::CodeUnit;
use wasmo_abi::index::FuncIndex;

struct Entry {
    end: usize,
    module: Weak<Module>,
    unit: UnitRef,
}

/// A code unit of a module.
#[derive(Clone)]
enum UnitRef {
    /// At this position among those that the module was made with.
    First(usize),
    /// One that was added.
    Added(Arc<AddedUnit>),
}

/// Code that was added to a module while it existed.
#[derive(Debug)]
pub(crate) struct AddedUnit {
    pub(crate) code: CodeUnit,
    pub(crate) unwind_rules: UnwindRules,
    /// Frees the code when dropped.
    pub(crate) _owner: Owner,
}

/// What keeps code.
pub(crate) struct Owner {
    pub(crate) _code: Arc<dyn std::any::Any + Send + Sync>,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Owner")
    }
}

/// Units by their first address. They do not overlap.
static REGISTRY: RwLock<BTreeMap<usize, Entry>> = RwLock::new(BTreeMap::new());

/// Enters code that was added to a module.
pub(crate) fn register_added(module: &Arc<Module>, unit: &Arc<AddedUnit>) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    let (start, end) = (unit.code.start, unit.code.start + unit.code.size);
    registry.insert(start, Entry { end, module: Arc::downgrade(module), unit: UnitRef::Added(Arc::clone(unit)) });
}

/// Takes out code that was added to a module and begins at `start`, before it is freed.
pub(crate) fn unregister_added(start: usize) {
    REGISTRY.write().unwrap_or_else(PoisonError::into_inner).remove(&start);
}

/// Enters the code of a module.
pub(crate) fn register(module: &Arc<Module>) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    for (position, unit) in module.code.units.iter().enumerate() {
        // An empty unit has no address of its own.
        if unit.size > 0 {
            let unit_ref = UnitRef::First(position);
            let entry = Entry { end: unit.start + unit.size, module: Arc::downgrade(module), unit: unit_ref };
            registry.insert(unit.start, entry);
        }
    }
}

/// Takes the code of a module out. The module is being dropped, so that its weak references lead nowhere any more.
pub(crate) fn unregister(module: &mut Module) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    let first = module.code.units.iter().map(|unit| unit.start);
    let added = module.added.get_mut().unwrap_or_else(PoisonError::into_inner);
    for start in first.chain(added.keys().copied()) {
        if registry.get(&start).is_some_and(|entry| entry.module.strong_count() == 0) {
            registry.remove(&start);
        }
    }
}

impl UnitRef {
    /// The unit, and what was found in its call frame information so far.
    fn get<'a>(&'a self, module: &'a Module) -> Option<(&'a CodeUnit, &'a UnwindRules)> {
        match self {
            Self::First(position) => module.code.units.get(*position).zip(module.unwind_rules.get(*position)),
            Self::Added(unit) => Some((&unit.code, &unit.unwind_rules)),
        }
    }
}

/// What is known of an address of code.
pub(crate) struct Location {
    /// The module.
    pub(crate) module: Arc<Module>,
    unit: UnitRef,
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
        (entry.module.upgrade()?, entry.unit.clone(), start)
    };
    let offset = u32::try_from(address - start).ok()?;
    let (func, wasm_offset) = explain(unit.get(&module)?.0, offset);
    Some(Location { module, unit, offset, func, wasm_offset })
}

/// The function and the operator at `offset` in `unit`.
fn explain(unit: &CodeUnit, offset: u32) -> (Option<FuncIndex>, Option<u32>) {
    let func = unit
        .functions
        .last_before(|range| range.offset <= offset)
        .filter(|range| offset - range.offset < range.size)
        .and_then(|range| range.func);
    (func, unit.wasm_offsets.find(offset))
}

impl Location {
    /// The registers of the caller, where `at` are those at this location.
    pub(crate) fn step(&self, at: Registers, read: impl Fn(usize) -> Option<usize>) -> Option<Registers> {
        let (unit, rules) = self.unit.get(&self.module)?;
        rules.step(&unit.unwind, self.offset, at, read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmo_abi::code::{FunctionRange, UnwindTable};
    use wasmo_abi::offsets::WasmOffset;

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
