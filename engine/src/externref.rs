//! [`ExternRef`]: a value of the host's that guests can hold a reference to.
//!
//! A reference travels through the guest as a number, the value stays with the store, which keeps it as long as it lives: the guest's
//! memory is not searched for references.

use crate::store::StoreId;
use crate::{AsContext, AsContextMut, Result};
use anyhow::bail;
use std::any::Any;

/// A reference to a value of the host's, which lives as long as the store.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, ExternRef, Instance, Module, Store};
///
/// let engine = Engine::default();
/// let module = Module::new(
///     &engine,
///     r#"(module (func (export "same") (param externref) (result externref) local.get 0))"#,
/// )?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let same = instance.get_typed_func::<Option<ExternRef>, Option<ExternRef>>(&mut store, "same")?;
///
/// let value = ExternRef::new(&mut store, "a string of the host's")?;
/// let back = same.call(&mut store, Some(value))?.expect("not null");
/// let back = back.data(&store)?.expect("it has data").downcast_ref::<&str>();
/// assert_eq!(back, Some(&"a string of the host's"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExternRef {
    store: StoreId,
    index: usize,
}

/// A handle on a value that a store keeps. In wasmo every handle is one, so this is the type itself; the name is there for programs that write
/// `Rooted<ExternRef>`.
pub type Rooted<T> = T;

impl ExternRef {
    /// Puts `value` into the store, where it stays until the store is dropped.
    ///
    /// # Errors
    /// Never so far.
    pub fn new<T: Any + Send + Sync>(mut store: impl AsContextMut, value: T) -> Result<Rooted<Self>> {
        let mut context = store.as_context_mut();
        let opaque = context.opaque();
        opaque.externs.push(Box::new(value));
        Ok(Self { store: opaque.id(), index: opaque.externs.len() - 1 })
    }

    /// The value; always there so far.
    ///
    /// # Errors
    /// When the reference is of another store.
    pub fn data<'a, C: AsContext>(&self, store: &'a C) -> Result<Option<&'a (dyn Any + Send + Sync)>> {
        let opaque = &store.as_context().0.opaque;
        if opaque.id() != self.store {
            bail!("an externref was used with another store than its own");
        }
        Ok(opaque.externs.get(self.index).map(AsRef::as_ref))
    }

    /// The value, to be changed; always there so far.
    ///
    /// # Errors
    /// When the reference is of another store.
    pub fn data_mut<'a, C: AsContextMut>(&self, store: &'a mut C) -> Result<Option<&'a mut (dyn Any + Send + Sync)>> {
        let opaque = &mut store.as_context_mut().0.opaque;
        if opaque.id() != self.store {
            bail!("an externref was used with another store than its own");
        }
        Ok(opaque.externs.get_mut(self.index).map(AsMut::as_mut))
    }

    /// Whether both refer to the same value.
    ///
    /// # Errors
    /// Never so far.
    pub fn rooted_eq(_store: impl AsContext, a: &Self, b: &Self) -> Result<bool> {
        Ok(a == b)
    }

    pub(crate) fn store(self) -> StoreId {
        self.store
    }

    /// The number that stands for the reference in the guest; 0 stands for null.
    pub(crate) fn to_raw(self) -> u64 {
        self.index as u64 + 1
    }

    pub(crate) fn from_raw(store: StoreId, raw: u64) -> Option<Self> {
        let index = usize::try_from(raw.checked_sub(1)?).ok()?;
        Some(Self { store, index })
    }
}
