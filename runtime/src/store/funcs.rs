//! Functions of a store: those of its instances, and those of the host.

use super::{FuncHandle, HostImport, InstanceId, Store};
use crate::entry;
use crate::func_ref::NULL_ELEMENT;
use crate::instance::Instance;
use std::ptr;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::vm::{EnterThunk, VmContext, VmFuncRef, VmHostCallback, VmHostFunc};

impl Store {
    /// Makes a function for guests out of one of the host's: `callback` is called with a record that has `data`, and
    /// with the instance that imported the function as `caller`. `ty` is the engine-wide number of its type, `exit` the
    /// exit thunk of that type ([`wasmo_abi::code::Thunks::exit`]), or 0 when code can reach the function through an
    /// import only, where the importer's own thunk serves; code that reaches it otherwise traps.
    pub fn new_host_func(
        &mut self,
        ty: u32,
        callback: VmHostCallback<VmHostFunc>,
        data: *mut u8,
        exit: usize,
    ) -> FuncHandle {
        self.add_host_func(ty, HostImport::new(callback, data), if exit == 0 { entry::no_code() } else { exit })
    }

    /// As [`Store::new_host_func`] without an exit thunk; a function that is called directly needs none.
    pub fn new_host_import(&mut self, ty: u32, host: HostImport) -> FuncHandle {
        self.add_host_func(ty, host, host.direct_exit().unwrap_or_else(entry::no_code))
    }

    fn add_host_func(&mut self, ty: u32, host: HostImport, code: usize) -> FuncHandle {
        let record = host.record(self.exec(), ptr::null_mut());
        let (context, _) = self.host_funcs.push(record);
        let (code, context) = (code as *const u8, context.as_ptr().cast());
        let (record, _) = self.func_refs.push(NULL_ELEMENT);
        // SAFETY: the record was just made and nobody else knows it.
        unsafe { record.write(VmFuncRef { type_id: ty, code, context, func_ref: record.as_ptr() }) };
        FuncHandle::permanent(record)
    }

    /// Whether a function was made by [`Store::new_host_func`] without an exit thunk. Guests can call it only by
    /// importing it.
    pub fn lacks_exit_thunk(&self, func: FuncHandle) -> bool {
        self.is_live(func) && func.record().code as usize == entry::no_code()
    }

    /// Gives a function that [lacks](Store::lacks_exit_thunk) it the exit thunk of its type, so that guests can call it
    /// however they come by it from now on. Nothing happens when it has one.
    pub fn set_exit_thunk(&mut self, func: FuncHandle, exit: usize) {
        if self.lacks_exit_thunk(func) {
            // SAFETY: the record lives as long as the store, which is borrowed mutably, so no guest reads it meanwhile.
            unsafe { (*func.record_place().as_ptr()).code = exit as *const u8 };
        }
    }

    /// The function `func` of an instance, whether it escapes or not; `None` when the module has no such function.
    pub fn func(&mut self, instance: InstanceId, func: FuncIndex) -> Option<FuncHandle> {
        let instance = self.instance_place(instance);
        // SAFETY: instances are never borrowed mutably once they are made.
        let instance = unsafe { instance.as_ref() };
        if let Some(handle) = instance.func(func) {
            return Some(handle);
        }
        instance.module().info.func(func)?;
        if let Some(&handle) = instance.late_func_refs.borrow().get(&func) {
            return Some(handle);
        }
        let handle = match instance.late {
            Some(late) => FuncHandle::late(instance.new_func_record(func), late),
            None => {
                let (record, _) = self.func_refs.push(NULL_ELEMENT);
                // SAFETY: the record was just made and nobody else knows it.
                unsafe { record.write(instance.func_record(func, record.as_ptr())) };
                FuncHandle::permanent(record)
            }
        };
        instance.late_func_refs.borrow_mut().insert(func, handle);
        Some(handle)
    }

    /// The function as a `funcref` value; null when it is gone.
    pub fn func_to_raw(&self, func: FuncHandle) -> u64 {
        if self.is_live(func) { func.to_raw() } else { 0 }
    }

    /// The engine-wide number of a function's type; `None` when it is gone.
    pub fn func_type_id(&self, func: FuncHandle) -> Option<u32> {
        self.is_live(func).then(|| func.record().type_id)
    }

    /// What [`Store::new_host_func`] was given as `data`, if the function is the host's.
    pub fn host_data(&self, func: FuncHandle) -> Option<*mut u8> {
        if !self.is_live(func) {
            return None;
        }
        // SAFETY: records of host functions live as long as the store.
        func.host().map(|host| unsafe { host.as_ref() }.data)
    }

    /// The thunk that a function's own module has for its type; `None` for functions of the host, for which
    /// [`Store::call`] needs none, and for those that are gone.
    pub fn enter_thunk(&self, func: FuncHandle) -> Option<EnterThunk> {
        if !self.is_live(func) || func.host().is_some() {
            return None;
        }
        let record = func.record();
        // SAFETY: a context that is not a host function's is an instance's, which lives as long as the store.
        let instance = unsafe { &*(*record.context.cast::<VmContext>()).instance.cast::<Instance>() };
        instance.module().enter_thunk(record.type_id)
    }
}
