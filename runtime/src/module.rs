//! [`Module`]: a module's facts and its live code.
use crate::type_registry::TypeRegistry;
use std::sync::Arc;
use wasmo_abi::code::ModuleCode;
use wasmo_abi::layout::VmContextLayout;
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::vm::EnterThunk;

/// A module: what is known of it, and its code, ready to run.
#[derive(Debug)]
pub struct Module {
    /// What is known of it.
    pub info: ModuleInfo,
    /// Where the parts of its instances' contexts lie.
    pub layout: VmContextLayout,
    /// Engine-wide numbers of its types, in order.
    pub type_ids: Vec<u32>,
    /// Its code.
    pub code: ModuleCode,
    /// The binary it was made from.
    pub bytes: Arc<[u8]>,
}

impl Module {
    /// Puts a module together and enters its code in the registry that explains addresses; it leaves it when dropped.
    pub fn new(info: ModuleInfo, code: ModuleCode, bytes: Arc<[u8]>, types: &TypeRegistry) -> Arc<Self> {
        let layout = VmContextLayout::new(&info);
        let type_ids = info.types.as_slice().iter().map(|ty| types.register(ty)).collect();
        Arc::new(Self { info, layout, type_ids, code, bytes })
    }

    /// The thunk through which functions of the type with the engine-wide number `type_id` are entered, if the module has one.
    pub fn enter_thunk(&self, type_id: u32) -> Option<EnterThunk> {
        let position = self.type_ids.iter().position(|&id| id == type_id)?;
        self.code.thunks.get(position).copied().flatten().map(|thunks| thunks.enter)
    }
}
