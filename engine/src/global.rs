//! [`Global`]: a global of a store.

use crate::store::{StoreId, StoreOpaque};
use crate::{AsContext, AsContextMut, GlobalType, Mutability, Result, Val, ValType};
use anyhow::bail;
use wasmo_abi::vm::RawValue;
use wasmo_runtime::GlobalId;

/// A global of a store. A handle: copying it copies no global, and it lives as long as the store.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, Global, GlobalType, Mutability, Store, Val, ValType};
///
/// let mut store = Store::new(&Engine::default(), ());
/// let global = Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Var), Val::I32(1))?;
/// global.set(&mut store, Val::I32(2))?;
/// assert_eq!(global.get(&mut store).i32(), Some(2));
/// assert!(global.set(&mut store, Val::I64(2)).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Global {
    store: StoreId,
    id: GlobalId,
}

fn content_to_raw(store: &mut StoreOpaque, value: Val, content: ValType) -> Result<RawValue> {
    let found = value.val_type();
    if found != content {
        bail!("type mismatch: the value should be {content}, but is {found}");
    }
    value.to_raw(store)
}

impl Global {
    /// A new global that holds `value`.
    ///
    /// # Errors
    /// When `value` is not of the type, or is a reference of another store.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Self> {
        let mut context = store.as_context_mut();
        let opaque = context.opaque();
        let raw = content_to_raw(opaque, value, *ty.content())?;
        Ok(Self { store: opaque.id(), id: opaque.runtime_mut().new_global(ty.to_abi(), raw) })
    }

    pub(crate) fn new_handle(store: StoreId, id: GlobalId) -> Self {
        Self { store, id }
    }

    pub(crate) fn id(self) -> GlobalId {
        self.id
    }

    pub(crate) fn store(self) -> StoreId {
        self.store
    }

    pub(crate) fn type_in(self, store: &StoreOpaque) -> GlobalType {
        store.assert_owns(self.store);
        GlobalType::from_abi(store.runtime().global_type(self.id))
    }

    /// The type.
    ///
    /// # Panics
    /// When the global is of another store.
    pub fn ty(&self, store: impl AsContext) -> GlobalType {
        self.type_in(&store.as_context().0.opaque)
    }

    /// The value.
    ///
    /// # Panics
    /// When the global is of another store.
    pub fn get(&self, store: impl AsContextMut) -> Val {
        let opaque = &store.as_context().0.opaque;
        let content = *self.type_in(opaque).content();
        // SAFETY: a global's content is of its type, and of its store.
        unsafe { Val::from_raw(opaque.runtime().global_get(self.id), content, opaque) }
    }

    /// Sets the value.
    ///
    /// # Errors
    /// When the global is immutable; when `value` is not of its type, or is a reference of another store.
    ///
    /// # Panics
    /// When the global is of another store.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let mut context = store.as_context_mut();
        let opaque = context.opaque();
        let ty = self.type_in(opaque);
        if ty.mutability() == Mutability::Const {
            bail!("immutable global cannot be set");
        }
        let raw = content_to_raw(opaque, value, *ty.content())?;
        opaque.runtime_mut().global_set(self.id, raw);
        Ok(())
    }
}
