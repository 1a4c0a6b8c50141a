//! Skeleton of the store's interface.
#![allow(unused, missing_docs, clippy::missing_safety_doc, reason = "being filled")]
use crate::error::*;
use crate::module::Module;
use crate::trap::backtrace::Backtrace;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use wasmo_abi::code::Thunks;
use wasmo_abi::index::*;
use wasmo_abi::module::EntityRef;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::*;
use wasmo_abi::vm::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryId(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableId(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalId(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InstanceId(pub u32);

/// A function of a store. Made by the store; as a raw reference value it is its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FuncHandle(NonNull<VmFuncRef>);
// SAFETY: the handle is only followed by the methods of a store, on the thread that has the store.
unsafe impl Send for FuncHandle {}
// SAFETY: as above.
unsafe impl Sync for FuncHandle {}
impl FuncHandle {
    /// The reference value, as `funcref` values are in `RawValue`s and tables.
    pub fn to_raw(self) -> u64 {
        self.0.as_ptr() as u64
    }
    /// The function that a reference value means; `None` for null.
    /// # Safety
    /// The value is a funcref of a live store, and the handle is used with that store only.
    pub unsafe fn from_raw(raw: u64) -> Option<Self> {
        NonNull::new(raw as *mut VmFuncRef).map(Self)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extern {
    Func(FuncHandle),
    Table(TableId),
    Memory(MemoryId),
    Global(GlobalId),
}

pub struct StoreOptions {
    pub stack_size: usize,
    pub epoch: Arc<AtomicU64>,
}

pub trait StoreHooks {
    /// bytes; current 0 at creation
    fn memory_growing(&mut self, current: u64, desired: u64, max: Option<u64>) -> bool;
    /// elements
    fn table_growing(&mut self, current: u64, desired: u64, max: Option<u64>) -> bool;
    /// ticks beyond the current epoch
    fn new_epoch(&mut self) -> Result<u64, Failure>;
    /// fuel to add
    fn out_of_fuel(&mut self) -> Result<u64, Failure>;
}

#[derive(Debug)]
pub struct Instance {}
impl Instance {
    pub fn module(&self) -> &Arc<Module> {
        todo!()
    }
    pub fn context(&self) -> *mut VmContext {
        todo!()
    }
    /// of a function that escapes (exported, in an element segment, ref.func): else None, see Store::func
    pub fn func(&self, func: FuncIndex) -> Option<FuncHandle> {
        todo!()
    }
    pub fn table(&self, table: TableIndex) -> TableId {
        todo!()
    }
    pub fn memory(&self, memory: MemoryIndex) -> MemoryId {
        todo!()
    }
    pub fn global(&self, global: GlobalIndex) -> GlobalId {
        todo!()
    }
    pub fn entity(&self, entity: EntityRef) -> Option<Extern> {
        todo!()
    }
}

#[derive(Clone)]
pub struct InterruptHandle {}
impl InterruptHandle {
    pub fn interrupt(&self) {
        todo!()
    }
}

pub struct Store {
    not_sync: PhantomData<*mut u8>,
}
// SAFETY: the store's pointers lead to what it owns.
unsafe impl Send for Store {}
impl Store {
    pub fn new(options: &StoreOptions) -> Result<Box<Self>, Error> {
        todo!()
    }
    /// The store that an execution context (VmHostFunc::exec, VmContext::exec) belongs to.
    pub unsafe fn of_exec(exec: *mut VmExecContext) -> *mut Self {
        todo!()
    }
    /// The instance that a context (VmHostFunc::caller) belongs to.
    pub unsafe fn instance_of(context: *mut VmContext) -> InstanceId {
        todo!()
    }
    pub fn set_hooks(&mut self, hooks: Option<*mut dyn StoreHooks>) {
        todo!()
    }
    /// A pointer of the embedder's, not looked at.
    pub fn set_data(&mut self, data: *mut u8) {
        todo!()
    }
    pub fn data(&self) -> *mut u8 {
        todo!()
    }
    pub fn new_memory(&mut self, ty: MemoryType) -> Result<MemoryId, Error> {
        todo!()
    }
    pub fn new_table(&mut self, ty: TableType, init: u64) -> Result<TableId, Error> {
        todo!()
    }
    pub fn new_global(&mut self, ty: GlobalType, value: RawValue) -> GlobalId {
        todo!()
    }
    /// exit: Thunks::exit of the type, or 0 when no code will call it except through an import of a module
    pub fn new_host_func(
        &mut self,
        ty: u32,
        callback: VmHostCallback<VmHostFunc>,
        data: *mut u8,
        exit: usize,
    ) -> FuncHandle {
        todo!()
    }
    pub fn instantiate(&mut self, module: &Arc<Module>, imports: &[Extern]) -> Result<InstanceId, InstantiateError> {
        todo!()
    }
    pub fn instance(&self, instance: InstanceId) -> &Instance {
        todo!()
    }
    /// Any function of an instance, escaping or not (start functions); None when out of range.
    pub fn func(&mut self, instance: InstanceId, func: FuncIndex) -> Option<FuncHandle> {
        todo!()
    }
    pub fn func_type_id(&self, func: FuncHandle) -> u32 {
        todo!()
    }
    /// The host's data, when it is a host function.
    pub fn host_data(&self, func: FuncHandle) -> Option<*mut u8> {
        todo!()
    }
    /// The enter thunk that func's own module has for its type. None for host functions: call does not need one for them.
    pub fn enter_thunk(&self, func: FuncHandle) -> Option<EnterThunk> {
        todo!()
    }
    pub fn memory_type(&self, memory: MemoryId) -> MemoryType {
        todo!()
    }
    pub fn memory_pages(&self, memory: MemoryId) -> u64 {
        todo!()
    }
    pub fn memory_base(&self, memory: MemoryId) -> *mut u8 {
        todo!()
    }
    /// bytes
    pub fn memory_len(&self, memory: MemoryId) -> usize {
        todo!()
    }
    /// old size in pages; None when it may not or cannot
    pub fn memory_grow(&mut self, memory: MemoryId, delta: u64) -> Option<u64> {
        todo!()
    }
    pub fn table_type(&self, table: TableId) -> TableType {
        todo!()
    }
    pub fn table_len(&self, table: TableId) -> u64 {
        todo!()
    }
    pub fn table_get(&self, table: TableId, index: u64) -> Option<u64> {
        todo!()
    }
    pub fn table_set(&mut self, table: TableId, index: u64, reference: u64) -> Result<(), TrapCode> {
        todo!()
    }
    pub fn table_grow(&mut self, table: TableId, delta: u64, reference: u64) -> Option<u64> {
        todo!()
    }
    pub fn table_fill(&mut self, table: TableId, start: u64, reference: u64, count: u64) -> Result<(), TrapCode> {
        todo!()
    }
    pub fn table_copy(
        &mut self,
        to: TableId,
        from: TableId,
        to_start: u64,
        from_start: u64,
        count: u64,
    ) -> Result<(), TrapCode> {
        todo!()
    }
    pub fn global_type(&self, global: GlobalId) -> GlobalType {
        todo!()
    }
    pub fn global_get(&self, global: GlobalId) -> RawValue {
        todo!()
    }
    pub fn global_set(&mut self, global: GlobalId, value: RawValue) {
        todo!()
    }
    /// Calls func. `enter` may be None for host functions only.
    pub unsafe fn call(
        this: *mut Self,
        func: FuncHandle,
        enter: Option<EnterThunk>,
        values: *mut RawValue,
    ) -> Result<(), CallError> {
        todo!()
    }
    /// A host callback leaves its reason here before it answers 1.
    pub fn fail(&mut self, failure: Failure) {
        todo!()
    }
    /// As fail, when the frames are known already (the failure comes from an inner call).
    pub fn fail_with(&mut self, error: CallError) {
        todo!()
    }
    pub fn backtrace(&self) -> Backtrace {
        todo!()
    }
    pub fn interrupt_handle(&self) -> InterruptHandle {
        todo!()
    }
    /// Whether an interruption is waiting for the host function under way to return.
    pub fn interrupted(&self) -> bool {
        todo!()
    }
    pub fn fuel(&self) -> u64 {
        todo!()
    }
    pub fn set_fuel(&mut self, fuel: u64) {
        todo!()
    }
    pub fn set_epoch_deadline(&mut self, ticks: u64) {
        todo!()
    }
}
