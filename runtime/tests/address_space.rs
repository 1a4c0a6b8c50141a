//! What happens when address space runs out; a test of its own, since it takes that of its whole process.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use wasmo_abi::types::{Limits, MemoryType};
use wasmo_runtime::{Error, Pool, Store, StoreOptions};

#[test]
fn too_many_memories_are_an_error() {
    let options = StoreOptions { stack_size: 1 << 20, epoch: Arc::new(AtomicU64::new(0)), pool: Pool::new(None) };
    let mut store = Store::new(&options).unwrap();
    // 47 bits of address space hold fewer than 16,384 reservations.
    let ty = MemoryType { limits: Limits { min: 0, max: None } };
    let error = (0..17_000).find_map(|_| store.new_memory(ty).err()).unwrap();
    let text = error.to_string();
    assert!(matches!(error, Error::Os { .. }) && text.contains("address space"), "{text}");
}
