//! [`Definition`]: what a name stands for in a linker.

use crate::func::HostFunc;
use crate::store::{StoreId, StoreOpaque};
use crate::{Extern, ExternType, Func};
use std::sync::Arc;
use wasmo_runtime::Import;

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Definition {
    /// An item of a store, and its type when it was defined.
    Extern(Extern, ExternType),
    /// A host function, in no store yet.
    Host(Arc<HostFunc>),
}

impl Definition {
    /// The type now, when the store is known; else when it was defined. What has grown since only fits more imports.
    pub(super) fn ty(&self, store: Option<&StoreOpaque>) -> ExternType {
        match (self, store) {
            (Self::Host(host), _) => ExternType::Func(host.ty().clone()),
            (Self::Extern(item, _), Some(store)) => {
                store.assert_owns(item.store());
                item.current_type(store)
            }
            (Self::Extern(_, ty), None) => ty.clone(),
        }
    }

    /// What a module that imports it is given, and the store that it can be in, if that is a certain one. The function is only good as long as this is.
    pub(super) fn to_import(&self) -> (Import, Option<StoreId>) {
        match self {
            Self::Extern(item, _) => (item.to_runtime().into(), Some(item.store())),
            Self::Host(host) => (Import::Host(host.to_import()), None),
        }
    }

    pub(super) fn to_extern(&self, store: &mut StoreOpaque) -> Extern {
        match self {
            Self::Extern(item, _) => {
                store.assert_owns(item.store());
                *item
            }
            Self::Host(host) => Func::from_host(store, host).into(),
        }
    }
}
