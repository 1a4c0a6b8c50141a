//! [`TypeRegistry`]: one number for each function type of an engine.
//!
//! `call_indirect` compares types of different modules, so their own indices do not serve. A number is given out once
//! and kept for the engine's life: the number of different types is small whatever the number of modules.
//! [`wasmo_abi::vm::NULL_TYPE_ID`] is never given out.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
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
    numbers: HashMap<Arc<FuncType>, u32, Keyed>,
    types: Vec<Arc<FuncType>>,
}

/// Makes hashers of types, which are a few words each. The key is drawn at random, since guests choose the types.
#[derive(Debug)]
struct Keyed(u64);

impl Default for Keyed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0) | 1)
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { key: self.0, state: self.0 }
    }
}

/// Multiplies, and adds the two halves of the product.
struct Folding {
    key: u64,
    state: u64,
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    #[allow(clippy::cast_possible_truncation, reason = "the halves of a product")]
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.key);
        self.state = (product as u64) ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.state
    }
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

    /// The numbers of `types`, in order; as [`TypeRegistry::register`].
    ///
    /// # Panics
    /// As that.
    pub fn register_all(&self, types: &[FuncType]) -> Vec<u32> {
        let known = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let mut numbers: Vec<u32> = types.iter().map_while(|ty| known.numbers.get(ty).copied()).collect();
        drop(known);
        numbers.extend(types[numbers.len()..].iter().map(|ty| self.register(ty)));
        numbers
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
    use wasmo_abi::type_list::TypeList;
    use wasmo_abi::types::ValType;

    #[test]
    fn equal_types_share_a_number() {
        let registry = TypeRegistry::new();
        let make =
            |params: &[ValType]| FuncType { params: params.iter().copied().collect(), results: TypeList::default() };
        let first = registry.register(&make(&[ValType::I32]));
        let second = registry.register(&make(&[ValType::I64]));
        assert_ne!(first, second);
        assert_eq!(first, registry.register(&make(&[ValType::I32])));
        assert_eq!(*registry.get(second), make(&[ValType::I64]));
        let all = registry.register_all(&[make(&[ValType::I64]), make(&[ValType::F32]), make(&[ValType::I32])]);
        assert_eq!((all[0], all[2]), (second, first));
        assert_eq!(*registry.get(all[1]), make(&[ValType::F32]));
    }
}
