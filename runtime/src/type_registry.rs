//! [`TypeRegistry`]: one number for each function type of an engine.
//!
//! `call_indirect` compares types of different modules, so their own indices do not serve. A number is given out once
//! and kept for the engine's life: the number of different types is small whatever the number of modules.
//! [`wasmo_abi::vm::NULL_TYPE_ID`] is never given out.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use wasmo_abi::types::FuncType;
use wasmo_abi::vm::NULL_TYPE_ID;

/// Function types and their numbers.
#[derive(Debug, Default)]
pub struct TypeRegistry {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    numbers: HashMap<Arc<FuncType>, u32>,
    types: Vec<Arc<FuncType>>,
}

impl TypeRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of `ty`; equal types have equal numbers.
    ///
    /// # Panics
    /// When 2³² − 1 different types are registered already, which no memory holds.
    pub fn register(&self, ty: &FuncType) -> u32 {
        // Both maps are only ever changed together below, after everything that may panic; so a poisoned lock guards
        // sound content.
        if let Some(&number) = self.inner.read().unwrap_or_else(PoisonError::into_inner).numbers.get(ty) {
            return number;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = inner.numbers.get(ty) {
            return number;
        }
        let number = u32::try_from(inner.types.len()).expect("fewer than 2^32 function types");
        assert!(number != NULL_TYPE_ID, "fewer than 2^32 - 1 function types");
        let ty = Arc::new(ty.clone());
        inner.types.push(Arc::clone(&ty));
        inner.numbers.insert(ty, number);
        number
    }

    /// The type with number `number`.
    ///
    /// # Panics
    /// When this registry did not give the number out.
    pub fn get(&self, number: u32) -> Arc<FuncType> {
        Arc::clone(&self.inner.read().unwrap_or_else(PoisonError::into_inner).types[number as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmo_abi::types::ValType;

    #[test]
    fn equal_types_share_a_number() {
        let registry = TypeRegistry::new();
        let make = |params: &[ValType]| FuncType { params: params.into(), results: Box::new([]) };
        let first = registry.register(&make(&[ValType::I32]));
        let second = registry.register(&make(&[ValType::I64]));
        assert_ne!(first, second);
        assert_eq!(first, registry.register(&make(&[ValType::I32])));
        assert_eq!(*registry.get(second), make(&[ValType::I64]));
    }
}
